"""Channels of clients, with settings that find a dead peer in seconds and come back to it in one."""

from urllib.parse import quote

import grpc

from hotspare_rpc.address import Address, parse_address
from hotspare_rpc.tls import ChannelTls
from hotspare_rpc.transport import KEEPALIVE_OPTIONS, MESSAGE_OPTIONS, Options

UNIX_PREFIX = "unix:"

# By default gRPC waits up to two minutes between attempts: too long for a lease.
RECONNECT_OPTIONS: Options = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    # Not a pause but the time that one attempt has. TCP, TLS and HTTP/2 need three to four round trips: with
    # 500 ms a link over a satellite never connects. A refused connection ends its attempt at once.
    ("grpc.min_reconnect_backoff_ms", 3000),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class PlaintextError(ValueError):
    """Without TLS a channel would carry secrets across a network (S3)."""


def open_channel(address: str, tls: ChannelTls | None) -> grpc.aio.Channel:
    """Open a channel to `HOST:PORT`, or to `unix:PATH` (never with TLS: the file's mode guards it).

    It connects when it is first used and again whenever it must; close it in the end. Call it in the running
    loop.

    Raises:
        AddressError: the address is malformed.
        PlaintextError: without TLS, the address is not of this machine.
    """
    if address.startswith(UNIX_PREFIX):
        return grpc.aio.insecure_channel(unix_target(address.removeprefix(UNIX_PREFIX)), _options())
    parsed = parse_address(address)
    if tls is not None:
        return grpc.aio.secure_channel(str(parsed), tls.credentials(), _options(parsed))
    if not parsed.is_loopback:
        raise PlaintextError(
            f"{parsed} is not on this machine, and without TLS keys would cross the network in clear: "
            "use TLS (--tls-ca)"
        )
    return grpc.aio.insecure_channel(str(parsed), _options(parsed))


def unix_target(path: str) -> str:
    """The name by which gRPC knows a socket in the file system; it takes names as URIs."""
    return UNIX_PREFIX + quote(path)


def _options(address: Address | None = None) -> Options:
    options = MESSAGE_OPTIONS + KEEPALIVE_OPTIONS + RECONNECT_OPTIONS
    if address is None or address.is_loopback:
        # A proxy set in the environment is for the way out; asked for this machine it would connect to
        # itself.
        options += (("grpc.enable_http_proxy", 0),)
    return options
