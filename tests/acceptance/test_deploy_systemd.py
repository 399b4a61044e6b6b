"""deploy/systemd, judged by systemd itself: units without a fault, exposure within a bound. The servers run with the
system calls that the units leave them, and tell systemd that they serve, live and stop."""

import functools
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import sandbox
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import BIN, Server, console
from tests.acceptance.harness.system import ARC_ID, LOCAL, Receiver, System
from tools.protos import ROOT

pytestmark = [pytest.mark.full, pytest.mark.deb]

SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("hotspare-*"))
SERVICES = [name for name in UNITS if name.endswith(".service")]
SERVERS = ("hotspare-cloud.service", "hotspare-receiver.service")
EXPOSURE = 15
"""Tenths, of `systemd-analyze security`: below 2.0 it calls a unit OK, below 1.0 SAFE. What is left is the network."""
FILTER_LINES = ("@system-service", "~@privileged @resources")


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program is not None, "systemd-analyze is missing; it comes with Debian's systemd (make system-deps)"
    return subprocess.run(
        [program, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"SYSTEMD_PAGER": "", "LC_ALL": "C"},
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units, with the programs where they are here."""
    folder = tmp_path_factory.mktemp("units")
    for name in UNITS:
        text = (SYSTEMD / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("/opt/hotspare/bin", str(BIN)))
    return folder


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_no_fault_in_a_unit(name: str, installed: Path) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", installed / name)
    # A key that it does not know is only told.
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_a_fault_would_be_found(installed: Path, tmp_path: Path) -> None:
    unit = tmp_path / "hotspare-cloud.service"
    unit.write_text((installed / unit.name).read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
    assert "NoNewPrivilege" in analyze("verify", "--man=no", unit).stderr


@pytest.mark.parametrize("name", SERVICES)
def test_s1_the_exposure_of_a_service_is_within_its_bound(name: str, installed: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", installed / name)
    (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert done.returncode == 0, done.stdout
    assert float(level) <= EXPOSURE / 10


def test_users_folders_and_times_are_what_systemd_understands(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name, place in (("sysusers", "sysusers.d"), ("tmpfiles", "tmpfiles.d")):
        (root / "usr/lib" / place).mkdir(parents=True)
        shutil.copy(SYSTEMD / f"hotspare.{name}.conf", root / "usr/lib" / place / "hotspare.conf")
    (root / "etc").mkdir()
    for command in (["systemd-sysusers", f"--root={root}"], ["systemd-tmpfiles", "--create", f"--root={root}"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    users = (root / "etc/passwd").read_text()
    for user, folder in (
        ("hotspare-cloud", "etc/hotspare/cloud"), ("hotspare-cloud", "var/backups/hotspare-cloud"),
        ("hotspare-receiver", "etc/hotspare/receiver"),
    ):  # fmt: skip
        number = int(re.findall(rf"^{user}:[^:]*:(\d+):", users, re.MULTILINE)[0])
        status = (root / folder).stat()
        assert (status.st_uid, oct(status.st_mode & 0o777)) == (number, "0o700")
    (when,) = re.findall(r"^OnCalendar=(.+)$", (SYSTEMD / "hotspare-cloud-backup.timer").read_text(), re.MULTILINE)
    done = analyze("calendar", when)
    assert done.returncode == 0, done.stderr


# The servers, enclosed.


def calls_of(group: str) -> set[str]:
    """The system calls of a group of systemd's, those of its groups with them."""
    found: set[str] = set()
    for line in analyze("syscall-filter", group).stdout.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            found |= calls_of(name)
        elif name and not name.startswith("#"):
            found.add(name)
    return found


@pytest.fixture(scope="module")
def enclosed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """What goes before a program, so that it has the system calls of the units and no others."""
    for name in SERVICES:
        told = re.findall(r"^SystemCallFilter=(.+)$", (SYSTEMD / name).read_text(), re.MULTILINE)
        assert tuple(told) == FILTER_LINES
    allowed = calls_of("@system-service") - calls_of("@privileged") - calls_of("@resources")
    assert {"read", "execve", "fsync"} <= allowed
    assert not {"mount", "setuid", "chown"} & allowed
    names = tmp_path_factory.mktemp("filter") / "names"
    names.write_text("\n".join(sorted(allowed)))
    families = ",".join(str(int(each)) for each in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6))
    for name in SERVERS:
        assert "\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n" in (SYSTEMD / name).read_text()
    return (sys.executable, "-I", sandbox.__file__, str(names), families)


class Manager:
    """Stands in for systemd: what a service told it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._told: list[str] = []

    def told(self, line: str) -> int:
        """How often it was told so, so far."""
        try:
            while True:
                self._told.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return self._told.count(line)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def managers(tmp_path: Path) -> Iterator[dict[str, Manager]]:
    made = {name: Manager(tmp_path / name) for name in ("cloud", "host")}
    yield made
    for each in made.values():
        each.close()


def begin(server: Server, manager: Manager) -> None:
    server.env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "600000"}
    server.start()
    until(lambda: manager.told("READY=1"), 30, lambda: f"{server.name} tells that it serves:\n{server.log()}")


def test_the_servers_work_with_the_system_calls_that_the_units_leave_them(
    system: System, enclosed: tuple[str, ...], managers: dict[str, Manager]
) -> None:
    data = system.folder / "cloud"
    command = ["hotspare-cloud", "serve", "--data", str(data), "--listen", LOCAL, "--metrics", LOCAL]
    cloud = system.cloud = system.server(Server("cloud", command, system.folder, inside=enclosed))
    host = Receiver("host", system.folder, inside=enclosed)
    system.server(host)
    system.receivers["host"] = host
    for server in (cloud, host):
        begin(server, managers[server.name])
        # Told when it serves, and not before.
        server.serving()
    made = ("account", "create", ARC_ID, "--data", str(data), "--key-out", str(system.arc_key))
    assert run_enclosed(enclosed, "hotspare-cloud", *made).returncode == 0
    arc = system.arcs["host"] = system.arc("host")
    system.enable()
    panel = system.panel("panel-1", "1234")
    assert panel.publish() is not None
    until(lambda: arc.received, 15, "the ARC has an alarm through servers that are enclosed")
    done = run_enclosed(enclosed, "hotspare-cloud", "backup", "--data", str(data), "--into", str(data / "copies"))
    assert done.returncode == 0, done.stderr
    for manager in managers.values():
        seen = manager.told("WATCHDOG=1")
        until(functools.partial(gives_signs, manager, seen + 2), 10, "signs of life")
    for server in (host, cloud):
        server.signal(signal.SIGTERM)
        assert server.wait() == 0, server.log()
        assert managers[server.name].told("STOPPING=1") == 1


def gives_signs(manager: Manager, count: int) -> bool:
    return manager.told("WATCHDOG=1") >= count


def run_enclosed(enclosed: tuple[str, ...], program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*enclosed, console(program), *words], capture_output=True, text=True, timeout=60)


def test_what_the_filter_forbids_fails(enclosed: tuple[str, ...], tmp_path: Path) -> None:
    """Else the test above would show nothing."""
    program = "import os, sys\ntry:\n os.chown(sys.argv[1], 0, 0)\nexcept PermissionError:\n sys.exit(7)"
    done = subprocess.run([*enclosed, sys.executable, "-c", program, str(tmp_path)], timeout=60)
    assert done.returncode == 7
    netlink = "import socket, sys\ntry:\n socket.socket(16, 3)\nexcept PermissionError:\n sys.exit(9)"
    done = subprocess.run([*enclosed, sys.executable, "-c", netlink], timeout=60)
    assert done.returncode == 9
    mapped = "import mmap, sys\ntry:\n mmap.mmap(-1, 4096, prot=7)\nexcept PermissionError:\n sys.exit(8)"
    done = subprocess.run([*enclosed, sys.executable, "-c", mapped], timeout=60)
    assert done.returncode == 8
