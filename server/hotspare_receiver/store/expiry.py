"""Counting and deleting the history of alarms in SQLite (A8).

What is kept is counted by looking at each new row once, on the reading connection: the alarm path writes no byte for
it. The sums are stored with what is deleted, and counting goes on behind what was counted.

The room of what is deleted stays in the file, for the alarms that come: the file is as large as the history ever was.
Giving it back (incremental vacuum) would move pages about in commits that the alarm path waits for.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hotspare_receiver.core.expiry import STEP_ATTEMPTS, Row

ALARM_BYTES = 250
ATTEMPT_BYTES = 85
"""What a row takes in the file besides what is told here: its columns, its place in the indexes, the air in the pages.
Measured on 200,000 alarms."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept, as far as it was counted: the rows up to the two ids."""

    alarms: int = 0
    attempts: int = 0
    bytes: int = 0
    alarm_through: int = 0
    attempt_through: int = 0
    looked: int = 0
    """When the clean-up last believed the wall clock, microseconds since 1970."""


def load(connection: sqlite3.Connection) -> Kept:
    """What was counted until the last time."""
    return Kept(**dict(connection.execute(f"SELECT {_COLUMNS} FROM history_size").fetchone()))


def save(connection: sqlite3.Connection, kept: Kept) -> None:
    """Store the sums, in the transaction of the caller."""
    connection.execute(
        f"UPDATE history_size SET ({_COLUMNS}) = (?, ?, ?, ?, ?, ?)",
        (kept.alarms, kept.attempts, kept.bytes, kept.alarm_through, kept.attempt_through, kept.looked),
    )


def count_on(connection: sqlite3.Connection, kept: Kept, limit: int) -> Kept:
    """Count the next rows, so many of each table at most. The same again: there are no more."""
    alarms, told, alarm_through = connection.execute(_COUNT_ALARMS, (kept.alarm_through, limit)).fetchone()
    attempts, exchanged, attempt_through = connection.execute(_COUNT_ATTEMPTS, (kept.attempt_through, limit)).fetchone()
    return replace(
        kept,
        alarms=kept.alarms + alarms,
        attempts=kept.attempts + attempts,
        bytes=kept.bytes + alarms * ALARM_BYTES + (told or 0) + attempts * ATTEMPT_BYTES + (exchanged or 0),
        alarm_through=alarm_through or kept.alarm_through,
        attempt_through=attempt_through or kept.attempt_through,
    )


def oldest(connection: sqlite3.Connection) -> int | None:
    """When the oldest alarm that is kept was received, microseconds since 1970."""
    row = connection.execute("SELECT received FROM alarm ORDER BY id LIMIT 1").fetchone()
    return None if row is None else int(row[0])


def rows_after(connection: sqlite3.Connection, after: int, through: int, limit: int) -> list[Row]:
    """The next alarms up to the one with the id `through`; never the newest, whose id must not be given out again."""
    return [
        Row(
            id=row["id"],
            received=row["received"],
            delivered=row["delivered"],
            confirmed=row["confirmed"],
            acknowledged=row["acknowledged"],
            set_aside=row["set_aside"],
            attempts=row["attempt_count"],
            over=bool(row["over"]),
        )
        for row in connection.execute(_ROWS, (after, through, limit))
    ]


def delete(connection: sqlite3.Connection, rows: Sequence[Row], kept: Kept) -> tuple[Kept, Sequence[int] | None]:
    """Delete alarms with their attempts, in the transaction of the caller, and count them off.

    Those to which something happened meanwhile stay. Returns what is kept, and the ids that went; None: only a part of
    the attempts did, and the same has to be asked again.
    """
    # Debian's SQLite wipes what it deletes, which writes every page that comes free once more.
    connection.execute("PRAGMA secure_delete = FAST")
    same = [row.id for row in rows if connection.execute(_SAME, _same(row)).fetchone()]
    marks = ",".join("?" * len(same))
    attempts = connection.execute(_ITS_ATTEMPTS.format(marks), (*same, STEP_ATTEMPTS)).fetchall()
    connection.executemany("DELETE FROM attempt WHERE id = ?", [(attempt["id"],) for attempt in attempts])
    counted = [attempt["bytes"] for attempt in attempts if attempt["id"] <= kept.attempt_through]
    after = replace(
        kept,
        attempts=kept.attempts - len(counted),
        bytes=kept.bytes - sum(counted) - len(counted) * ATTEMPT_BYTES,
        # The id of the newest is given out again once that is gone.
        attempt_through=min(kept.attempt_through, connection.execute(_LAST_ATTEMPT).fetchone()[0] or 0),
    )
    if len(attempts) == STEP_ATTEMPTS:
        save(connection, after)
        return after, None
    told = connection.execute(f"SELECT sum(length(stored)) FROM alarm WHERE id IN ({marks})", same).fetchone()[0]
    gone = connection.execute(f"DELETE FROM alarm WHERE id IN ({marks})", same).rowcount
    after = replace(after, alarms=after.alarms - gone, bytes=after.bytes - (told or 0) - gone * ALARM_BYTES)
    save(connection, after)
    return after, same


def _same(row: Row) -> tuple[object, ...]:
    return (row.id, row.delivered, row.confirmed, row.acknowledged, row.set_aside)


_COLUMNS = "alarms, attempts, bytes, alarm_through, attempt_through, looked"
_COUNT_ALARMS = """
    SELECT count(*), sum(told), max(id) FROM (
        SELECT id, length(stored) AS told FROM alarm WHERE id > ? ORDER BY id LIMIT ?
    )
"""
_COUNT_ATTEMPTS = """
    SELECT count(*), sum(exchanged), max(id) FROM (
        SELECT id, length(frame) + length(answer) + length(detail) AS exchanged FROM attempt
        WHERE id > ? ORDER BY id LIMIT ?
    )
"""
_ROWS = """
    SELECT id, received, delivered, confirmed, acknowledged, set_aside, attempt_count,
        epoch < ifnull((SELECT h.epoch FROM highest_epoch h WHERE h.scope = alarm.scope), 0) AS over
    FROM alarm WHERE id > ? AND id <= ? AND id < (SELECT max(id) FROM alarm) ORDER BY id LIMIT ?
"""
_SAME = """
    SELECT 1 FROM alarm WHERE id = ? AND delivered = ? AND confirmed IS ? AND acknowledged IS ? AND set_aside IS ?
"""
_ITS_ATTEMPTS = """
    SELECT id, length(frame) + length(answer) + length(detail) AS bytes FROM attempt WHERE alarm IN ({}) LIMIT ?
"""
_LAST_ATTEMPT = "SELECT max(id) FROM attempt"
