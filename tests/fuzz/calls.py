"""Calls of the contract with anything in them: every method of every service, by its descriptor.

Messages are made field by field, of values that mean something here (ids, numbers at a limit) and of hostile ones; some
are broken as bytes afterwards, so that they are no message at all.
"""

import importlib
import json
import math
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

import hotspare.v1

PACKAGE = "hotspare.v1"
CLOUD, RECEIVER = "cloud", "receiver"

SERVED: Mapping[str, tuple[str, ...]] = {
    CLOUD: (
        "AccountService", "AlarmPullService", "AlarmService", "BackupService", "RoleService", "SyncService",
        "VersionService",
    ),
    RECEIVER: (
        "AlarmFeedService", "AlarmPullService", "AlarmService", "BackupService", "ConfigurationService",
        "ReceiverService", "RoleService", "VersionService",
    ),
}  # fmt: skip
"""Of a service that a server does not have, gRPC itself says so."""

CALLERS: Mapping[str, tuple[str, ...]] = {
    CLOUD: ("host", "spare", "device", "operator", "nobody", "stranger"),
    RECEIVER: ("admin", "operator", "viewer", "feed", "device", "nobody", "stranger"),
}
LIKELY: Mapping[str, tuple[str, ...]] = {
    "AccountService": ("operator",),
    "AlarmService": ("device",),
    "AlarmFeedService": ("admin", "feed"),
}
"""Who gets further than others with a service, where that is not the host or the admin."""

KEEPER, WITNESS = UNTOUCHED = ("keeper", "witness")
"""The token by which the cloud is set up, and the account that stands for everybody else: no call names them."""

NUMBERS = (0, 1, 2, 3, 5, 100, 255, 256, 999, 1000, 1001, 9999, 10_000, 65_535, 65_536)
LIMITS = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = (
    "",
    " ",
    "a",
    "none",
    "0",
    "-",
    "..",
    "../../x",
    "a" * 65,
    "é" * 40,
    "\u202e",
    "\x00",
    "\n",
    "\x1b[31m",
    "𝄞",
    "%s{}'\"",
)
LONG = "x" * 70_000
MANY = 1200


@dataclass(frozen=True)
class Call:
    """One call. `frames`: as bytes, one of a call that takes one message."""

    server: str
    method: str
    """Its path."""
    caller: str
    frames: tuple[bytes, ...]
    half_closes: bool
    """Whether a stream of requests ends in order; else it is dropped."""

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {**asdict(self), "frames": [frame.hex() for frame in self.frames]}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Call":
        """As it was kept."""
        return cls(**{**kept, "frames": tuple(bytes.fromhex(frame) for frame in kept["frames"])})


def load(path: Path) -> list[Call]:
    """The calls of a find, in their order."""
    return [Call.from_json(kept) for kept in json.loads(path.read_text(encoding="ascii"))]


def dump(calls: list[Call]) -> str:
    """The text of a find."""
    return json.dumps([call.to_json() for call in calls], indent=1) + "\n"


@cache
def services() -> Mapping[str, ServiceDescriptor]:
    """All services of the contract, by name."""
    found: dict[str, ServiceDescriptor] = {}
    for module in pkgutil.iter_modules(hotspare.v1.__path__):
        if module.name.endswith("_service_pb2"):
            file = importlib.import_module(f"{PACKAGE}.{module.name}").DESCRIPTOR
            found |= file.services_by_name
    return found


@cache
def methods() -> Mapping[str, MethodDescriptor]:
    """All methods, by path."""
    return {
        f"/{PACKAGE}.{service.name}/{method.name}": method
        for service in services().values()
        for method in service.methods
    }


class Maker:
    """Makes calls. What servers answered is learned, so that later calls name things that exist."""

    LEARNED = 400

    def __init__(self, draw: Random, known: tuple[str, ...]) -> None:
        """`known`: texts that mean something to the servers."""
        self._draw = draw
        self._known = list(known)
        self._learned: list[str] = []
        self._numbers: list[int] = []

    def call(self) -> Call:
        """The next one."""
        draw = self._draw
        server = draw.choice((CLOUD, RECEIVER))
        service = draw.choice(SERVED[server])
        method = draw.choice(services()[service].methods)
        likely = LIKELY.get(service, CALLERS[server][:1])
        caller = draw.choice(likely) if draw.random() < 0.75 else draw.choice(CALLERS[server])
        count = draw.choice((0, 1, 1, 2, 3, 6)) if method.client_streaming else 1
        frames = tuple(self.message(method.input_type) for _ in range(count))
        return Call(server, f"/{PACKAGE}.{service}/{method.name}", caller, frames, draw.random() < 0.8)

    def message(self, descriptor: Descriptor) -> bytes:
        """A message of a type, or bytes that were one."""
        raw = self._message(descriptor, 0).SerializeToString()
        return self._broken(raw) if self._draw.random() < 0.1 else raw

    def learn(self, method: str, answer: bytes) -> None:
        """Remember what an answer names."""
        kind = methods()[method].output_type
        for value in _values(message_factory.GetMessageClass(kind).FromString(answer)):
            pool: list[Any] = self._learned if isinstance(value, str) else self._numbers
            if value and value not in pool and value not in UNTOUCHED:
                pool.append(value)
                del pool[: -self.LEARNED]

    def _message(self, descriptor: Descriptor, depth: int) -> Message:
        made = message_factory.GetMessageClass(descriptor)()
        if descriptor.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
            return self._time(made)
        often = self._draw.choice((0.3, 0.7, 1.0)) if depth < 4 else 0.2
        for field in descriptor.fields:
            if self._draw.random() < often:
                self._fill(made, field, depth)
        return made

    def _time(self, made: Any) -> Message:
        made.seconds = self._draw.choice((0, 1, -1, 60, 3600, 1_800_000_000, 253_402_300_799, 315_576_000_000, 2**62))
        made.nanos = self._draw.choice((0, 0, 1, 999_999_999, 1_000_000_000, -1, 2**31 - 1))
        return made  # type: ignore[no-any-return]

    def _fill(self, made: Message, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return
        if not field.is_repeated:
            if field.message_type is not None:
                getattr(made, field.name).CopyFrom(self._message(field.message_type, depth + 1))
                getattr(made, field.name).SetInParent()
            else:
                setattr(made, field.name, self._value(field))
            return
        many = field.message_type is None and self._draw.random() < 0.03
        count = MANY if many else self._draw.choice((0, 1, 1, 2, 4))
        for _ in range(count):
            if field.message_type is not None:
                getattr(made, field.name).append(self._message(field.message_type, depth + 1))
            else:
                getattr(made, field.name).append(self._value(field))

    def _value(self, field: FieldDescriptor) -> Any:
        draw = self._draw
        match field.type:
            case FieldDescriptor.TYPE_STRING:
                return self._text()
            case FieldDescriptor.TYPE_BYTES:
                return draw.choice((b"", b"\x00", draw.randbytes(16), draw.randbytes(32), draw.randbytes(33)))
            case FieldDescriptor.TYPE_BOOL:
                return draw.random() < 0.5
            case FieldDescriptor.TYPE_ENUM:
                assert field.enum_type is not None
                known = [value.number for value in field.enum_type.values]
                return draw.choice((*known, *known, -1, 99, 2**31 - 1))
            case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
                return draw.choice((0.0, -0.0, 44.5, 180.1, math.nan, math.inf, -math.inf, 1e30))
            case _:
                return self._integer(field)

    def _integer(self, field: FieldDescriptor) -> int:
        draw = self._draw
        wide = field.type in (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT64)
        signed = field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64)
        value: int = draw.choice((*NUMBERS, *self._numbers)) if draw.random() < 0.8 else draw.choice(LIMITS)
        top: int = 2 ** ((64 if wide else 32) - signed) - 1
        return min(abs(value), top) * (-1 if signed and draw.random() < 0.1 else 1)

    def _text(self) -> str:
        draw = self._draw
        chance = draw.random()
        if chance < 0.6:
            return draw.choice(self._known)
        if chance < 0.8 and self._learned:
            return draw.choice(self._learned)
        if chance < 0.81:
            return LONG
        return draw.choice(TEXTS)

    def _broken(self, raw: bytes) -> bytes:
        broken, draw = bytearray(raw), self._draw
        for _ in range(draw.choice((1, 1, 2, 5))):
            at = draw.randrange(len(broken) + 1)
            broken[at : at + draw.choice((0, 1, 1, 4))] = draw.randbytes(draw.choice((0, 1, 1, 3)))
        return bytes(broken)


def _values(message: Message) -> Iterator[str | int]:
    for field, value in message.ListFields():
        for one in value if field.is_repeated else (value,):
            if isinstance(one, Message):
                yield from _values(one)
            elif isinstance(one, str) or (isinstance(one, int) and not isinstance(one, bool)):
                yield one
