"""What subscribers of a stream output were told, and what they acknowledged: durable, so that neither a restart of this
receiver nor one of the subscriber loses anything (O1).

An alarm has one cursor in a subscription, however often it is told. A cursor is never given to another alarm: a late
acknowledgement would confirm what nobody has. So they go on above the time at which the process began, in microseconds,
also on a disk that was set back.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hotspare_receiver.clock import Clock
from hotspare_store.database import Database

HIGHEST = 2**63 - 1
"""The database counts no further."""

KEPT = 20_000
"""Cursors that are remembered of a subscription at least; an acknowledgement of an older one is unknown."""

CLEAN_EVERY = 1000
"""Alarms that are told or acknowledged between two looks for what is older."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An alarm that is to be told."""

    number: int
    alarm_id: str
    epoch: int
    replay: bool
    """Whether an operator sends it again, so that an earlier acknowledgement does not count."""


@dataclass(frozen=True, slots=True)
class Telling:
    """One telling of an alarm, noted."""

    cursor: int
    attempt: int
    """From 1, over all processes. One that never left this machine after all is counted too."""
    acknowledged: bool
    """Whether the subscriber has it already: it is not to be told."""


@dataclass(frozen=True, slots=True)
class KnownCursor:
    """The alarm behind a cursor that came with an acknowledgement."""

    cursor: int
    scope: str
    number: int
    alarm_id: str
    epoch: int
    """Under which it was told last."""
    again: bool
    """Whether it had been acknowledged before."""


class FeedStore:
    """Cursors of all subscriptions in one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Read where the cursors go on. For the start, before anything is served."""
        self._database = database
        self._clock = clock
        highest: int = database.read_now(
            lambda connection: connection.execute("SELECT coalesce(max(cursor), 0) FROM feed").fetchone()[0]
        )
        self._next = max(highest + 1, int(clock.wall().timestamp() * 1_000_000))
        self._since_cleaned = 0

    def new_cursor(self) -> int:
        """A cursor that no alarm has or had."""
        cursor, self._next = self._next, self._next + 1
        return cursor

    async def tell(self, subscription: str, scope: str, alarms: Sequence[Wanted]) -> list[Telling]:
        """Note that alarms are about to be told, in this order; what was noted is durable.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
        """
        cursors = [self.new_cursor() for _ in alarms]
        clean = self._clean_is_due(len(alarms))

        def work(connection: sqlite3.Connection) -> list[Telling]:
            if clean:
                connection.execute(_CLEAN, {"subscription": subscription, "kept": KEPT})
            return [
                _tell(connection, (cursor, subscription, scope, one.number, one.alarm_id, one.epoch), one.replay)
                for cursor, one in zip(cursors, alarms, strict=True)
            ]

        told: list[Telling] = await self._database.write(work, vital=True)
        return told

    async def acknowledge(self, subscription: str, cursors: Iterable[int]) -> dict[int, KnownCursor]:
        """Keep acknowledgements; returns those cursors that this subscription was ever told, as far as is remembered.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
        """
        asked = tuple(dict.fromkeys(cursor for cursor in cursors if cursor <= HIGHEST))
        now = int(self._clock.wall().timestamp() * 1_000_000)
        clean = self._clean_is_due(len(asked))

        def work(connection: sqlite3.Connection) -> dict[int, KnownCursor]:
            found = {}
            for cursor in asked:
                row = connection.execute(_SELECT, (cursor, subscription)).fetchone()
                if row is None:
                    continue
                found[cursor] = KnownCursor(
                    cursor, row["scope"], row["number"], row["alarm_id"], row["epoch"], row["acknowledged"] is not None
                )
                if row["acknowledged"] is None:
                    connection.execute("UPDATE feed SET acknowledged = ? WHERE cursor = ?", (now, cursor))
            if clean:
                connection.execute(_CLEAN, {"subscription": subscription, "kept": KEPT})
            return found

        known: dict[int, KnownCursor] = await self._database.write(work, vital=True)
        return known

    async def stored_alarm(self, known: KnownCursor) -> bytes | None:
        """The alarm behind a cursor as it was delivered, from the journal. None: the journal has it no more."""
        key = (known.scope, known.number, known.alarm_id)
        row = await self._database.read(lambda connection: connection.execute(_SELECT_STORED, key).fetchone())
        return None if row is None else bytes(row[0])

    def _clean_is_due(self, more: int) -> bool:
        self._since_cleaned += more
        due = self._since_cleaned >= CLEAN_EVERY
        if due:
            self._since_cleaned = 0
        return due


def _tell(connection: sqlite3.Connection, key: tuple[object, ...], replay: bool) -> Telling:
    row = connection.execute(_TELL, (*key, replay)).fetchone()
    if row is not None:
        return Telling(row[0], row[1], False)
    row = connection.execute(_SELECT_TOLD, key[1:5]).fetchone()
    return Telling(row[0], row[1], True)


# Does nothing, and returns nothing, where the subscriber has it already.
_TELL = """
    INSERT INTO feed (cursor, subscription, scope, number, alarm_id, epoch, attempt) VALUES (?, ?, ?, ?, ?, ?, 1)
    ON CONFLICT (subscription, scope, number, alarm_id)
    DO UPDATE SET attempt = attempt + 1, epoch = excluded.epoch, acknowledged = NULL WHERE acknowledged IS NULL OR ?
    RETURNING cursor, attempt
"""
_SELECT_TOLD = """
    SELECT cursor, attempt FROM feed WHERE subscription = ? AND scope = ? AND number = ? AND alarm_id = ?
"""
_SELECT = """
    SELECT cursor, scope, number, alarm_id, epoch, acknowledged FROM feed WHERE cursor = ? AND subscription = ?
"""
_CLEAN = """
    DELETE FROM feed WHERE subscription = :subscription AND cursor <= (
        SELECT cursor FROM feed WHERE subscription = :subscription ORDER BY cursor DESC LIMIT 1 OFFSET :kept
    )
"""
_SELECT_STORED = "SELECT stored FROM alarm WHERE scope = ? AND number = ? AND alarm_id = ?"
