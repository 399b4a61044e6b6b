"""What the environment tells, channels made of it, and the lines that the program prints."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc

OPTIONS = [
    # A receiver that is gone without a word (power, network) is noticed after four seconds, not after minutes. All four
    # count: without the third a ping is lost only after a minute; without the fourth pings end where nothing is sent.
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
    # Without this a channel that could not connect for a while tries again only every two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Receiver:
    """A member of the group. Tokens belong to one receiver, so each has its own."""

    address: str
    feed: Metadata
    """For StreamAlarms and SendTestAlarm."""
    viewer: Metadata
    """For reading: WatchMembers, GetAlarm."""


def setting(name: str) -> str:
    """A variable of the environment that must be there."""
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{name} is not set")
    return value


def receivers() -> list[Receiver]:
    """All receivers of the group."""
    addresses = setting("HOTSPARE_RECEIVERS").split(",")
    feeds = setting("HOTSPARE_FEED_TOKEN_FILES").split(",")
    viewers = setting("HOTSPARE_VIEWER_TOKEN_FILES").split(",")
    return [
        Receiver(address, bearer(_secret(feed)), bearer(_secret(viewer)))
        for address, feed, viewer in zip(addresses, feeds, viewers, strict=True)
    ]


def bearer(token: str) -> Metadata:
    """Metadata of a call with a token."""
    return (("authorization", f"Bearer {token}"),)


def device() -> Metadata:
    """Metadata of a call of the device."""
    return (
        ("hotspare-arc-id", setting("HOTSPARE_ARC_ID")),
        ("hotspare-device-id", setting("HOTSPARE_DEVICE_ID")),
        ("hotspare-device-key", _secret(setting("HOTSPARE_DEVICE_KEY_FILE"))),
    )


def channel_to(address: str) -> grpc.aio.Channel:
    """A channel, for as long as the program needs that server: it connects anew by itself."""
    authority = os.environ.get("HOTSPARE_TLS_CA")
    if not authority:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    trusted = grpc.ssl_channel_credentials(Path(authority).read_bytes())
    return grpc.aio.secure_channel(address, trusted, options=OPTIONS)


def say(event: str, **values: object) -> None:
    """Print an event, at once: somebody may be waiting for it at the other end of a pipe."""
    words = [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in values.items()]
    print(event, *words, flush=True)


def _secret(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").strip()
