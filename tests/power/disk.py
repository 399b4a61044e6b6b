"""What a disk may hold after a power cut, from a record of all that was written to it and synced.

What was synced is there. What was written since the last sync of its file is there or not, sector by sector, in any
order: a sector holds what it had after some number of the writes to it. A file that was made since may be missing, one
that was deleted since may still be there. Nothing that was synced is harmed by a write beside it (SQLite takes that for
granted as well: SQLITE_IOCAP_POWERSAFE_OVERWRITE).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes were put into a file."""

    file: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file was cut to a size."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """All of a file is durable."""

    file: str


@dataclass(frozen=True, slots=True)
class Delete:
    """A file was deleted; `durably` when its folder was synced."""

    file: str
    durably: bool


@dataclass(frozen=True, slots=True)
class Said:
    """Something was answered to somebody: from now on it must survive."""

    fact: object


Event = Write | Truncate | Sync | Delete | Said


class Survival(Enum):
    """What is left of what was not synced."""

    NOTHING = "nothing of it"
    ALL = "all of it"
    FIRST = "the first of it, the last write torn"
    SECTORS = "some sectors"
    TORN = "some sectors, and parts of sectors"


@dataclass
class _File:
    durable: bytearray | None
    """What is surely there; None: perhaps not even the file."""
    pending: list[Write | Truncate | Delete] = field(default_factory=list)

    def settle(self) -> None:
        """All that was written is durable."""
        data = bytearray() if self.durable is None else self.durable
        for event in self.pending:
            _apply(data, event)
        self.durable = data
        self.pending.clear()


class Replay:
    """Goes through a record, and makes disks as a cut at the place reached may leave them."""

    def __init__(self, base: Mapping[str, bytes], log: Sequence[Event]) -> None:
        """`base`: the files at the beginning, durable."""
        self._files = {name: _File(bytearray(data)) for name, data in base.items()}
        self._log = log
        self._place = 0
        self.facts: list[object] = []
        """What was answered so far."""

    def advance(self, place: int) -> None:
        """Go on until this many events have happened."""
        for event in self._log[self._place : place]:
            self._happen(event)
        self._place = max(self._place, place)

    def _happen(self, event: Event) -> None:
        match event:
            case Said(fact):
                self.facts.append(fact)
            case Sync(name):
                self._file(name).settle()
            case Delete(name, True):
                self._files.pop(name, None)
            case Write() | Truncate() | Delete():
                self._file(event.file).pending.append(event)

    def _file(self, name: str) -> _File:
        return self._files.setdefault(name, _File(None))

    @property
    def unsynced(self) -> int:
        """Bytes that a cut may take."""
        events = (event for file in self._files.values() for event in file.pending)
        return sum(len(event.data) for event in events if isinstance(event, Write))

    def disk(self, survival: Survival, random: Random) -> dict[str, bytes]:
        """The files after a cut here."""
        left: dict[str, bytes] = {}
        for name, file in self._files.items():
            data = _left_of(file, survival, random)
            if data is not None:
                left[name] = data
        return left


def _left_of(file: _File, survival: Survival, random: Random) -> bytes | None:
    made = file.durable is not None
    if survival is Survival.NOTHING or not file.pending:
        return bytes(file.durable) if file.durable is not None else None
    if survival not in (Survival.ALL, Survival.FIRST) and not made and random.random() < 0.2:
        return None
    data = bytearray() if file.durable is None else bytearray(file.durable)
    match survival:
        case Survival.ALL:
            events = file.pending
        case Survival.FIRST:
            events = _first(file.pending, random)
        case _:
            events = list(_sectors(file.pending, random, torn=survival is Survival.TORN))
    for event in events:
        if isinstance(event, Delete):
            return None
        _apply(data, event)
    return bytes(data)


def _apply(data: bytearray, event: Write | Truncate | Delete) -> None:
    match event:
        case Write(_, offset, new):
            if len(data) < offset:
                data.extend(bytes(offset - len(data)))
            data[offset : offset + len(new)] = new
        case Truncate(_, size):
            del data[size:]
            data.extend(bytes(size - len(data)))
        case Delete():
            data.clear()


def _first(pending: Sequence[Write | Truncate | Delete], random: Random) -> list[Write | Truncate | Delete]:
    count = random.randrange(len(pending) + 1)
    kept = list(pending[:count])
    if kept and isinstance(last := kept[-1], Write):
        kept[-1] = Write(last.file, last.offset, last.data[: random.randrange(len(last.data) + 1)])
    return kept


def _sectors(
    pending: Sequence[Write | Truncate | Delete], random: Random, *, torn: bool
) -> Iterator[Write | Truncate | Delete]:
    """Of each sector the first so many of the writes to it, and of the last of these, perhaps, only a part."""
    favour = random.choice((0.1, 0.5, 0.9))
    pieces = [piece for event in pending for piece in _pieces(event)]
    count: dict[int, int] = {}
    for piece in pieces:
        if isinstance(piece, Write):
            count[piece.offset // SECTOR] = count.get(piece.offset // SECTOR, 0) + 1
    left = {
        sector: among if random.random() < favour else random.randrange(among + 1) for sector, among in count.items()
    }
    for piece in pieces:
        if not isinstance(piece, Write):
            if random.random() < favour:
                yield piece
            continue
        sector = piece.offset // SECTOR
        if left[sector] == 0:
            continue
        left[sector] -= 1
        if torn and left[sector] == 0 and random.random() < 0.3:
            yield Write(piece.file, piece.offset, piece.data[: random.randrange(len(piece.data) + 1)])
        else:
            yield piece


def _pieces(event: Write | Truncate | Delete) -> Iterator[Write | Truncate | Delete]:
    if not isinstance(event, Write):
        yield event
        return
    start, end = event.offset, event.offset + len(event.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield Write(event.file, start, event.data[start - event.offset : stop - event.offset])
        start = stop
