"""Network namespaces: a machine of its own for a process, with a line to here that can be cut for real.

Behind such a cut no kernel acknowledges anything: TCP repeats, backs off and gives up as it would in the field. Needs
root and `ip` (Debian: iproute2). No firewall is needed: one way is cut by a wrong hardware address for the other side,
so that its frames are thrown away without a sign to anybody.

Addresses are link-local (RFC 3927): no router passes them on, whatever goes wrong here.
"""

import os
import random
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

IP = shutil.which("ip") or "/usr/sbin/ip"
NOBODY = "02:00:00:00:00:01"
"""A hardware address that nobody has."""


class NoNamespaces(Exception):
    """This machine can't; the message tells why."""


def _ip(*words: str) -> None:
    done = subprocess.run([IP, *words], capture_output=True, text=True)
    if done.returncode:
        raise NoNamespaces(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Line:
    """A veth pair from here to a namespace: a network of two addresses."""

    def __init__(self, namespace: str, label: str, subnet: str) -> None:
        """`label`: for the names of the interfaces, up to 12 characters. `subnet`: its first three numbers and a
        dot; the last is 1 here and 2 there."""
        self.here, self.there = f"{subnet}1", f"{subnet}2"
        self._namespace = namespace
        self._device, self._far_device = f"h{label}", f"n{label}"
        _ip("link", "add", self._device, "type", "veth", "peer", "name", self._far_device, "netns", namespace)
        _ip("address", "add", f"{self.here}/30", "dev", self._device)
        _ip("-n", namespace, "address", "add", f"{self.there}/30", "dev", self._far_device)
        # Known for good, so that no cut shows as a failed look-up of an address.
        self._hardware = Path(f"/sys/class/net/{self._device}/address").read_text().strip()
        shown = subprocess.run(
            [IP, "netns", "exec", namespace, "cat", f"/sys/class/net/{self._far_device}/address"],
            capture_output=True,
            text=True,
        )
        self._far_hardware = shown.stdout.strip()
        _ip("link", "set", self._device, "up")
        _ip("-n", namespace, "link", "set", self._far_device, "up")
        self.heal()

    def cut_outward(self) -> None:
        """What the namespace sends is lost."""
        self._neighbour("-n", self._namespace, hardware=NOBODY)

    def cut_inward(self) -> None:
        """What is sent to the namespace is lost."""
        self._neighbour(hardware=NOBODY)

    def unplug(self) -> None:
        """Take the link down in the namespace: nothing passes, and its kernel knows."""
        _ip("-n", self._namespace, "link", "set", self._far_device, "down")

    def heal(self) -> None:
        """Undo all of that."""
        _ip("-n", self._namespace, "link", "set", self._far_device, "up")
        self._neighbour("-n", self._namespace, hardware=self._hardware)
        self._neighbour(hardware=self._far_hardware)

    def _neighbour(self, *where: str, hardware: str) -> None:
        address, device = (self.here, self._far_device) if where else (self.there, self._device)
        words = ("neighbour", "replace", address, "lladdr", hardware, "dev", device, "nud", "permanent")
        _ip(*where, *words)


class Namespace:
    """A namespace with its lines, each of which can be cut alone: one to the cloud (`wan`), one to the ARC (`lan`)."""

    def __init__(self) -> None:
        """Raises NoNamespaces."""
        if os.geteuid() != 0:
            raise NoNamespaces("only root can make network namespaces")
        if not Path(IP).exists():
            raise NoNamespaces("`ip` is not here (Debian: iproute2)")
        token = uuid.uuid4().hex[:8]
        self.name = f"hotspare-{token}"
        _ip("netns", "add", self.name)
        try:
            _ip("-n", self.name, "link", "set", "lo", "up")
            self.wan = Line(self.name, f"{token}w", _free_subnet())
            self.lan = Line(self.name, f"{token}l", _free_subnet())
        except BaseException:
            self.remove()
            raise

    @property
    def inside(self) -> Sequence[str]:
        """What goes before a command that is to run in it."""
        return (IP, "netns", "exec", self.name)

    def remove(self) -> None:
        """Take it away, with its lines. Processes in it should be gone."""
        # A line goes with its far end, though only once the last process in there has ended.
        subprocess.run([IP, "netns", "delete", self.name], capture_output=True)


def _free_subnet() -> str:
    """The first three numbers of one that this machine does not use."""
    used = subprocess.run([IP, "-o", "-4", "address"], capture_output=True, text=True, check=True).stdout
    # At random, for test runs side by side. Above 160 it would soon be where clouds keep their metadata.
    subnets = [f"169.254.{number}." for number in random.sample(range(1, 161), 160)]
    return next(subnet for subnet in subnets if f" {subnet}" not in used)
