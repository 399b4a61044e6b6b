"""Values of the contract in words for people: enums, times, spans, sizes."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1.group_pb2 import Role
from hotspare_rpc.text import printable

NONE = "-"
"""Stands for what is not set."""


def word(enum: EnumDescriptor, number: int) -> str:
    """A value of an enum as our options spell it: `up-to-date`; unspecified and unknown ones as NONE (V3)."""
    unspecified = enum.values_by_number[0].name
    value = enum.values_by_number.get(number)
    if value is None or value.name == unspecified:
        return NONE
    prefix = unspecified.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(prefix).lower().replace("_", "-")


def phrase(enum: EnumDescriptor, number: int) -> str:
    """A value of an enum in plain words: `connection lost`; NONE as in `word`."""
    text = word(enum, number)
    return text if text == NONE else text.replace("-", " ")


def plural(count: int, noun: str) -> str:
    """The noun as it stands behind that number."""
    return noun if count == 1 else f"{noun}s"


def role_word(number: int) -> str:
    """A role as `--role` takes it: `host`, `spare1`."""
    return word(Role.DESCRIPTOR, number).replace("spare-", "spare")


def words(enum: EnumDescriptor, numbers: Iterable[int]) -> str:
    """Several values, parted by commas; NONE for no value."""
    return ", ".join(word(enum, number) for number in numbers) or NONE


def time(message: Timestamp) -> datetime | None:
    """A time; None for one that no calendar has."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def clock(message: Timestamp) -> str:
    """A time of the local clock with its offset: `2026-11-22 17:04:26+01:00`."""
    moment = time(message)
    if moment is None:
        return "implausible"
    with contextlib.suppress(ValueError, OverflowError):
        moment = moment.astimezone()
    text = moment.isoformat(sep=" ", timespec="seconds")
    return text.replace("+00:00", "Z")


def ago(message: Timestamp, now: datetime) -> str:
    """How long ago a time was, such as `4 min ago`; `in 4 min` for one to come."""
    moment = time(message)
    if moment is None:
        return "implausible"
    distance = now - moment
    # Clocks of two machines differ a little: what has just happened must not seem to come.
    if timedelta(seconds=-2) < distance < timedelta(seconds=1):
        return "now"
    return f"{span(distance)} ago" if distance > timedelta(0) else f"in {span(-distance)}"


def since(message: Timestamp, now: datetime) -> str:
    """A time that something lasts from: `since 2026-11-22 17:04:26+01:00 (4 min ago)`."""
    return f"since {clock(message)} ({ago(message, now)})"


def span(length: timedelta) -> str:
    """A span with two digits that matter: `350 ms`, `5.2 s`, `3 min 4 s`, `2 h 5 min`, `5 d 3 h`."""
    seconds = length.total_seconds()
    if seconds < 0:
        return f"-{span(-length)}"
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms" if 0 < seconds < 0.00995 else f"{seconds * 1000:.0f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, smaller, smaller_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def duration(message: Duration) -> str:
    """A span of the contract."""
    return span(timedelta(seconds=message.seconds, microseconds=message.nanos // 1000))


def size(count: int) -> str:
    """A number of bytes, in decimal units: `1.5 GB`."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{count} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def cause(details: str) -> str:
    """The end of gRPC's chain of causes, which is the part that people can use."""
    for mark in ("Failed to connect to remote host: ", "last error: UNKNOWN: ", "last error: "):
        details = details.rpartition(mark)[2]
    return printable(details, 200).rstrip(".")


def number(count: int) -> str:
    """A count, with its thousands apart."""
    return f"{count:,}"


def yes_no(value: bool) -> str:
    """A flag."""
    return "yes" if value else "no"
