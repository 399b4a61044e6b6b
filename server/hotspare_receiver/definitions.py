"""The group's definitions and devices in memory, for the alarm path: no alarm asks the disk (O1).

A copy changes by edits, syncs and restores, and by being cleared. Whatever it was, the digests of the buckets tell
which records it touched, so a change costs its buckets and not the whole copy; and of the devices only those are kept
that have something to say. What can't be read is left out, and what is left out goes to the ARC as if nobody had said
anything about it.
"""

import asyncio
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from hotspare_model.code_translation import CodeBook, Definition
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError
from hotspare_model.kinds import kind_of
from hotspare_receiver.clients.waiting import sleep_or
from hotspare_receiver.core.group_view import GroupView
from hotspare_rpc.logs import log_event
from hotspare_rpc.records import unpack

LOOK_INTERVAL = 5.0
"""Seconds between two looks at the copy that nobody asked for: for an edit whose caller left before its answer."""

_log = logging.getLogger(__name__)
_DEVICE, _EVENT = kind_of(RecordKind.DEVICE), kind_of(RecordKind.EVENT)
_LINE = re.compile(r"[0-9A-F]{1,6}")
_Key: TypeAlias = tuple[int, int]
"""Kind and bucket."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What one bucket says."""

    sha256: bytes
    definitions: tuple[Definition, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    disabled: tuple[str, ...] = ()


class Definitions:
    """Follows the copy in the database at `path`, and tells what it says about alarms."""

    def __init__(self, path: Path, on_view: Callable[[GroupView], None]) -> None:
        """`on_view` is called in the loop, with each view that differs from the one before."""
        self._path = path
        self._on_view = on_view
        self._parts: Mapping[_Key, _Part] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Read the copy in this thread, and tell it: for the start, before an alarm can come."""
        try:
            self._take(_read(self._path, self._parts))
        except sqlite3.Error as error:
            log_event(_log, logging.ERROR, "definitions_not_read", error=error)

    def changed(self) -> None:
        """The copy is, or may be, another one."""
        self._changed.set()

    def start(self) -> None:
        """Begin to follow. Call it in the loop."""
        self._task = asyncio.create_task(self._follow(), name="definitions")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await sleep_or(self._changed, LOOK_INTERVAL)
            self._changed.clear()
            try:
                self._take(await asyncio.to_thread(_read, self._path, self._parts))
            except Exception as error:
                # The view that is there goes on; the next look tries again.
                log_event(_log, logging.ERROR, "definitions_not_read", error=error)

    def _take(self, found: tuple[Mapping[_Key, _Part], GroupView] | None) -> None:
        if found is not None:
            self._parts, view = found
            self._on_view(view)


def _read(path: Path, known: Mapping[_Key, _Part]) -> tuple[Mapping[_Key, _Part], GroupView] | None:
    """What the copy says, at one moment; None where it says what it said before. Slow: call it in a thread."""
    with _reading(path) as connection:
        digests = {
            (kind, bucket): sha256
            for kind, bucket, sha256 in connection.execute(
                "SELECT kind, bucket, sha256 FROM bucket WHERE kind IN (?, ?)", (_DEVICE.number, _EVENT.number)
            )
        }
        if digests == {key: part.sha256 for key, part in known.items()}:
            return None
        parts = {
            key: known[key] if key in known and known[key].sha256 == sha256 else _part(connection, key, sha256)
            for key, sha256 in digests.items()
        }
    return parts, GroupView(
        codes=CodeBook(definition for part in parts.values() for definition in part.definitions),
        lines=dict(line for part in parts.values() for line in part.lines),
        disabled=frozenset(device_id for part in parts.values() for device_id in part.disabled),
    )


# A device with a line number has the first of these bytes, one that is disabled the others: they are the tags of the
# two fields. So SQLite leaves out most that have nothing to say, and the loop is not held up by reading them here.
_TELLING = "(instr(record, x'2a') OR instr(record, x'3001'))"
_SELECT_BUCKET = "SELECT record FROM record INDEXED BY record_bucket WHERE kind = ? AND bucket = ?"


def _part(connection: sqlite3.Connection, key: _Key, sha256: bytes) -> _Part:
    telling = "record IS NOT NULL" if key[0] == _EVENT.number else _TELLING
    records = [record for (record,) in connection.execute(f"{_SELECT_BUCKET} AND {telling}", key)]
    if key[0] == _EVENT.number:
        return _Part(sha256, tuple(_definitions(records)))
    devices = list(_devices(records))
    return _Part(
        sha256,
        lines=tuple((device_id, line) for device_id, line, _ in devices if line),
        disabled=tuple(device_id for device_id, _, disabled in devices if disabled),
    )


def _definitions(records: list[bytes]) -> Iterator[Definition]:
    for record in records:
        try:
            event = unpack(_EVENT, record)
        except HotspareError as error:
            log_event(_log, logging.ERROR, "definition_not_read", problem=error.message)
            continue
        forwarded = event.forwarded if event.HasField("forwarded") else True
        yield Definition(event.contact_id_code, event.sia_code, event.sia_restore_code, forwarded)


def _devices(records: list[bytes]) -> Iterator[tuple[str, str, bool]]:
    """Id, line number and whether it is disabled."""
    for record in records:
        try:
            device = unpack(_DEVICE, record).device
        except HotspareError as error:
            log_event(_log, logging.ERROR, "device_not_read", problem=error.message)
            continue
        line = device.line_number.upper()
        yield device.device_id, line if _LINE.fullmatch(line) else "", device.disabled


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of its own that reads one moment, so that no read of the alarm path waits for it."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()
