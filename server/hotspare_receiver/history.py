"""The history of alarms at this receiver (A8): its tables, and reading them.

A row of `alarm` is one alarm of one group; its numbers mean nothing outside of that, so each row names its
scope. A cloud that was set up anew counts from 1 again: the alarm id tells its alarms from the earlier ones.
"""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

import sqlite_utils

from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.store.schema import migrations

PAGE_LIMIT = 1000

LOOKED_AT = 2000
"""Alarms that one read looks at for a list: a rare state in a long history must not keep the alarm path waiting."""

ATTEMPTS_FIRST, ATTEMPTS_LAST = 50, 150
"""Attempts of one alarm that are shown, the first and the newest: a silent ARC makes thousands a week."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@migrations(name="journal_1")
def _journal(db: sqlite_utils.Database) -> None:
    """Alarms with their attempts, and the highest epoch seen."""
    for statement in _JOURNAL_1:
        db.execute(statement)


@migrations(name="journal_set_aside")
def _set_aside(db: sqlite_utils.Database) -> None:
    """Alarms that an output refused too often (A5): since when, and up to which attempt that was so."""
    db.execute("ALTER TABLE alarm ADD COLUMN set_aside INTEGER")
    db.execute("ALTER TABLE alarm ADD COLUMN aside_at INTEGER")


@migrations(name="journal_expiry")
def _expiry(db: sqlite_utils.Database) -> None:
    """What is kept, and how far it was counted (A8); a list by time finds its alarms without a look at all others."""
    for statement in _JOURNAL_EXPIRY:
        db.execute(statement)


_JOURNAL_EXPIRY = (
    """
    CREATE TABLE history_size (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        alarms INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        alarm_through INTEGER NOT NULL,
        attempt_through INTEGER NOT NULL,
        looked INTEGER NOT NULL
    ) STRICT
    """,
    "INSERT INTO history_size VALUES (1, 0, 0, 0, 0, 0, 0)",
    "CREATE INDEX alarm_by_received ON alarm (received)",
    "DROP INDEX alarm_by_device",
    "CREATE INDEX alarm_by_device ON alarm (device_id, received)",
    "CREATE INDEX alarm_aside ON alarm (received) WHERE set_aside IS NOT NULL",
    # Why it went to no output: the configuration says so. Empty: it is to go.
    "ALTER TABLE alarm ADD COLUMN not_forwarded TEXT NOT NULL DEFAULT ''",
)

_JOURNAL_1 = (
    # Times are microseconds since 1970, UTC. `id` grows in the order in which the alarms came here.
    """
    CREATE TABLE alarm (
        id INTEGER PRIMARY KEY,
        scope TEXT NOT NULL,
        number INTEGER NOT NULL,
        alarm_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        stored BLOB NOT NULL,
        received INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        deliveries INTEGER NOT NULL,
        delivered INTEGER NOT NULL,
        confirmed INTEGER,
        acknowledged INTEGER,
        attempt_count INTEGER NOT NULL DEFAULT 0,
        last_problem TEXT NOT NULL DEFAULT '',
        forwarded_code TEXT NOT NULL DEFAULT '',
        UNIQUE (scope, number, alarm_id)
    ) STRICT
    """,
    "CREATE INDEX alarm_by_device ON alarm (device_id)",
    "CREATE INDEX alarm_by_alarm_id ON alarm (alarm_id)",
    # Confirmations that the cloud has not stored yet: few, and looked for at each start.
    "CREATE INDEX alarm_unstored ON alarm (id) WHERE confirmed IS NOT NULL AND acknowledged IS NULL",
    """
    CREATE TABLE attempt (
        id INTEGER PRIMARY KEY,
        alarm INTEGER NOT NULL REFERENCES alarm (id) ON DELETE CASCADE,
        output TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        started INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        outcome INTEGER NOT NULL,
        frame BLOB NOT NULL,
        answer BLOB NOT NULL,
        detail TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX attempt_by_alarm ON attempt (alarm)",
    "CREATE TABLE highest_epoch (scope TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID",
)


class RecordState(IntEnum):
    """How far an alarm is here. The numbers are those of alarm.proto's AlarmState."""

    DELIVERED = 2
    CONFIRMED = 4
    SET_ASIDE = 5
    NOT_FORWARDED = 6
    """The configuration says that it goes to no output; the cloud was told that it is done with."""
    GIVEN_BACK = 7
    """Not confirmed here, and its epoch is over: the cloud has given it to whoever works now."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt to give an alarm to an output; `frame` and `answer` as they were on the wire."""

    output: str
    attempt: int
    started: datetime
    ended: datetime
    outcome: Outcome
    frame: bytes
    answer: bytes
    detail: str


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An alarm with what this receiver knows of its way; `stored` is the serialized StoredAlarm."""

    stored: bytes
    number: int
    alarm_id: str
    device_id: str
    state: RecordState
    epoch: int
    deliveries: int
    delivered: datetime
    confirmed: datetime | None
    acknowledged: datetime | None
    attempt_count: int
    last_problem: str
    forwarded_code: str
    attempts: tuple[AttemptRecord, ...] = ()
    """Oldest first; the first and the newest, where there are many. Empty in a list."""


@dataclass(frozen=True, slots=True)
class AlarmQuery:
    """Which alarms; `start` and `end` bound the time of receipt at the cloud, `end` excluded."""

    device_id: str = ""
    state: RecordState | None = None
    start: datetime | None = None
    end: datetime | None = None
    page_size: int = 100
    before: int | None = None
    """`AlarmPage.next` of the page before."""


@dataclass(frozen=True, slots=True)
class AlarmPage:
    """Alarms, newest first by their time of receipt. `next` is None on the last page."""

    records: tuple[AlarmRecord, ...]
    next: int | None


def to_micros(time: datetime) -> int:
    """Microseconds since 1970, as the tables have them."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`."""
    return _EPOCH + micros * _MICROSECOND


def select_alarms(connection: sqlite3.Connection, query: AlarmQuery) -> AlarmPage:
    """Read up to one page, from a bounded part of the history: an empty page that has a `next` goes on from there."""
    size = query.page_size
    where, values = _where(query)
    wanted = _IN_STATE[query.state] if query.state is not None else "TRUE"
    rows = connection.execute(
        f"SELECT * FROM ({_LOOKED_AT.format(where)}) WHERE {wanted} ORDER BY received DESC, id DESC LIMIT ?",
        (*values, LOOKED_AT, size + 1),
    ).fetchall()
    page = rows[:size]
    records = tuple(_record(row) for row in page)
    if len(rows) > size:
        return AlarmPage(records, _place(page[-1]))
    last = connection.execute(
        f"SELECT received, id FROM alarm WHERE {where} ORDER BY received DESC, id DESC LIMIT 1 OFFSET ?",
        (*values, LOOKED_AT - 1),
    ).fetchone()
    return AlarmPage(records, _place(last) if last is not None else None)


def select_alarm(connection: sqlite3.Connection, column: str, key: int | str) -> AlarmRecord | None:
    """Read one alarm with its attempts, the newest where several have the key."""
    found = _OF_NUMBER if column == "number" else f"{column} = ?"
    row = connection.execute(_ONE.format(found), (key,)).fetchone()
    if row is None:
        return None
    attempts = connection.execute(_ATTEMPTS, {"alarm": row["id"], "first": ATTEMPTS_FIRST, "last": ATTEMPTS_LAST})
    return _record(row, tuple(_attempt(attempt) for attempt in attempts))


def _where(query: AlarmQuery) -> tuple[str, list[object]]:
    conditions: list[tuple[str, object]] = []
    if query.device_id:
        conditions.append(("device_id = ?", query.device_id))
    if query.start is not None:
        conditions.append(("received >= ?", to_micros(query.start)))
    if query.end is not None:
        conditions.append(("received < ?", to_micros(query.end)))
    where, values = [condition for condition, _ in conditions], [value for _, value in conditions]
    if query.before is not None:
        where.append("(received, id) < (?, ?)")
        # A place comes from outside: one that no database has is before everything, or behind.
        received = max(-_HIGHEST, min(_HIGHEST, query.before >> _ID_BITS))
        values += [received, query.before & (1 << _ID_BITS) - 1]
    if query.state is RecordState.SET_ASIDE:
        # Few, and with an index of their own.
        where.append("set_aside IS NOT NULL")
    return " AND ".join(where) or "TRUE", values


_ID_BITS = 40
"""Bits of a place in a list that are the row's id; the rest is the time of receipt."""

_HIGHEST = 2**63 - 1


def _place(row: sqlite3.Row) -> int:
    """Where a list goes on behind this row."""
    received, alarm = int(row["received"]), int(row["id"])
    return received << _ID_BITS | alarm


_OVER = "epoch < ifnull((SELECT h.epoch FROM highest_epoch h WHERE h.scope = alarm.scope), 0) AS over"
_LOOKED_AT = f"SELECT *, {_OVER} FROM alarm WHERE {{}} ORDER BY received DESC, id DESC LIMIT ?"
_ONE = f"SELECT *, {_OVER} FROM alarm WHERE {{}} ORDER BY +id DESC LIMIT 1"
# Numbers are looked up within a scope: of these there are few, and each is found by one step in the index.
_OF_NUMBER = """
    number = ? AND scope IN (
        WITH RECURSIVE scopes (scope) AS (
            SELECT min(scope) FROM alarm
            UNION ALL SELECT (SELECT min(a.scope) FROM alarm a WHERE a.scope > scopes.scope) FROM scopes
            WHERE scopes.scope IS NOT NULL
        ) SELECT scope FROM scopes WHERE scope IS NOT NULL
    )
"""
_ATTEMPTS = """
    SELECT * FROM attempt WHERE id IN (
        SELECT * FROM (SELECT id FROM attempt WHERE alarm = :alarm ORDER BY id LIMIT :first)
        UNION SELECT * FROM (SELECT id FROM attempt WHERE alarm = :alarm ORDER BY id DESC LIMIT :last)
    ) ORDER BY id
"""
_IN_STATE = {
    RecordState.DELIVERED: "confirmed IS NULL AND set_aside IS NULL AND NOT over",
    RecordState.CONFIRMED: "confirmed IS NOT NULL AND not_forwarded = ''",
    RecordState.NOT_FORWARDED: "confirmed IS NOT NULL AND not_forwarded <> ''",
    RecordState.SET_ASIDE: "confirmed IS NULL AND set_aside IS NOT NULL",
    RecordState.GIVEN_BACK: "confirmed IS NULL AND set_aside IS NULL AND over",
}


def _state(row: sqlite3.Row) -> RecordState:
    if row["confirmed"] is not None:
        return RecordState.NOT_FORWARDED if row["not_forwarded"] else RecordState.CONFIRMED
    if row["set_aside"] is not None:
        return RecordState.SET_ASIDE
    return RecordState.GIVEN_BACK if row["over"] else RecordState.DELIVERED


def _record(row: sqlite3.Row, attempts: tuple[AttemptRecord, ...] = ()) -> AlarmRecord:
    return AlarmRecord(
        stored=row["stored"],
        number=row["number"],
        alarm_id=row["alarm_id"],
        device_id=row["device_id"],
        state=_state(row),
        epoch=row["epoch"],
        deliveries=row["deliveries"],
        delivered=from_micros(row["delivered"]),
        confirmed=None if row["confirmed"] is None else from_micros(row["confirmed"]),
        acknowledged=None if row["acknowledged"] is None else from_micros(row["acknowledged"]),
        attempt_count=row["attempt_count"],
        last_problem=row["not_forwarded"] or row["last_problem"],
        forwarded_code=row["forwarded_code"],
        attempts=attempts,
    )


def _attempt(row: sqlite3.Row) -> AttemptRecord:
    return AttemptRecord(
        output=row["output"],
        attempt=row["attempt"],
        started=from_micros(row["started"]),
        ended=from_micros(row["ended"]),
        outcome=Outcome(row["outcome"]),
        frame=row["frame"],
        answer=row["answer"],
        detail=row["detail"],
    )
