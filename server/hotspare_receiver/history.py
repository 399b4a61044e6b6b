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
    """Oldest first. Empty in a list."""


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
    """Alarms, newest first. `next` is None on the last page."""

    records: tuple[AlarmRecord, ...]
    next: int | None


def to_micros(time: datetime) -> int:
    """Microseconds since 1970, as the tables have them."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`."""
    return _EPOCH + micros * _MICROSECOND


def select_alarms(connection: sqlite3.Connection, query: AlarmQuery) -> AlarmPage:
    """Read one page."""
    size = min(max(query.page_size, 1), PAGE_LIMIT)
    conditions: list[tuple[str, object]] = []
    if query.device_id:
        conditions.append(("device_id = ?", query.device_id))
    if query.start is not None:
        conditions.append(("received >= ?", to_micros(query.start)))
    if query.end is not None:
        conditions.append(("received < ?", to_micros(query.end)))
    if query.before is not None:
        conditions.append(("id < ?", query.before))
    where = [condition for condition, _ in conditions]
    if query.state is not None:
        where.append(_IN_STATE[query.state])
    rows = connection.execute(
        f"SELECT * FROM alarm WHERE {' AND '.join(where) or 'TRUE'} ORDER BY id DESC LIMIT ?",
        [*(value for _, value in conditions), size + 1],
    ).fetchall()
    page = rows[:size]
    return AlarmPage(tuple(_record(row) for row in page), page[-1]["id"] if len(rows) > size else None)


def select_alarm(connection: sqlite3.Connection, column: str, key: int | str) -> AlarmRecord | None:
    """Read one alarm with its attempts, the newest where several have the key."""
    statement = f"SELECT * FROM alarm WHERE {column} = ? ORDER BY id DESC LIMIT 1"
    row = connection.execute(statement, (key,)).fetchone()
    if row is None:
        return None
    attempts = connection.execute("SELECT * FROM attempt WHERE alarm = ? ORDER BY id", (row["id"],))
    return _record(row, tuple(_attempt(attempt) for attempt in attempts))


_IN_STATE = {
    RecordState.DELIVERED: "confirmed IS NULL AND set_aside IS NULL",
    RecordState.CONFIRMED: "confirmed IS NOT NULL",
    RecordState.SET_ASIDE: "confirmed IS NULL AND set_aside IS NOT NULL",
}


def _state(row: sqlite3.Row) -> RecordState:
    if row["confirmed"] is not None:
        return RecordState.CONFIRMED
    return RecordState.DELIVERED if row["set_aside"] is None else RecordState.SET_ASIDE


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
        last_problem=row["last_problem"],
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
