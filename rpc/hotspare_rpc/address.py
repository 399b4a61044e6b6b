"""Addresses on the command line: `HOST:PORT`, IPv6 in brackets."""

import ipaddress
import re
from dataclasses import dataclass

from hotspare_rpc.text import printable

HIGHEST_PORT = 65535

_FORM = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_NAME = 253


class AddressError(ValueError):
    """The text is no `HOST:PORT`; the message says what is wrong with it."""


class ListenError(Exception):
    """A server cannot or must not listen at an address; the message names the address and the cause."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or to connect. Port 0 lets the system choose one when listening."""

    host: str
    """A name or a literal IP address, without brackets."""
    port: int

    def __str__(self) -> str:
        """`HOST:PORT`, what `parse_address` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine is reached by it."""
        return is_loopback(self.host)


def parse_address(text: str) -> Address:
    """Read `HOST:PORT`, for example `127.0.0.1:7000`, `cloud.example.org:443` or `[::1]:7000`.

    Raises:
        AddressError: it is something else.
    """
    shown = f"'{printable(text, 80)}'"
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise AddressError(f"{shown} is no address: expected HOST:PORT, and [HOST]:PORT for IPv6{_hint(text)}")
    port = int(match["port"])
    if port > HIGHEST_PORT:
        raise AddressError(f"{shown} is no address: a port is at most {HIGHEST_PORT}")
    host = _ipv6(match["six"], shown) if match["six"] else match["host"]
    if match["host"]:
        _check_name(host, shown)
    return Address(host, port)


def is_loopback(host: str) -> bool:
    """Tell whether `host` is of 127.0.0.0/8, is ::1, or is `localhost`. Other names are never looked up."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _hint(text: str) -> str:
    if ":" not in text:
        return "; the port is missing"
    if text.strip().startswith(":"):
        return "; the host is missing (0.0.0.0 stands for all IPv4 addresses, [::] for all)"
    return ""


def _ipv6(text: str, shown: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise AddressError(f"{shown} is no address: in brackets stands an IPv6 address") from None


def _check_name(host: str, shown: str) -> None:
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise AddressError(f"{shown} is no address: the host is no IPv4 address") from None
    elif _NAME.fullmatch(host) is None or len(host) > _LONGEST_NAME:
        raise AddressError(f"{shown} is no address: the host is neither a name nor an IP address")
