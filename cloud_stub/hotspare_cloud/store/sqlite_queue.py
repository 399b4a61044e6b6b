"""Alarms that were set aside, and the queue as people see it, in SQLite (A5)."""

import sqlite3
from collections.abc import Sequence
from typing import cast
from uuid import UUID

from hotspare_cloud.core.window import LOST_TOO_OFTEN
from hotspare_cloud.store.base import AlarmState
from hotspare_cloud.store.base_queue import (
    DeliveryRow,
    QueuedRow,
    Refused,
    RefusedAlarm,
    Replayed,
    SetAsideCause,
)
from hotspare_store.database import Database

REQUESTS_KEPT = 86_400.0
"""Seconds for which the id of an operator's wish is remembered."""


class SqliteQueue:
    """`QueueStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def set_aside(self, group_id: int, epoch: int, receiver_id: str, refused: RefusedAlarm, at: float) -> Refused:
        """See QueueStore."""
        return cast(
            Refused,
            await self._db.write(lambda db: _refused(db, group_id, epoch, receiver_id, refused, at), vital=True),
        )

    async def replay(self, group_id: int, number: int, operator: str, request_id: str, at: float) -> Replayed:
        """See QueueStore."""
        return cast(
            Replayed,
            await self._db.write(lambda db: _replay(db, group_id, number, operator, request_id, at), vital=True),
        )

    async def queue(
        self, group_id: int, states: Sequence[int], device_id: str, after: int, limit: int
    ) -> Sequence[QueuedRow]:
        """See QueueStore."""

        def work(db: sqlite3.Connection) -> list[QueuedRow]:
            rows: list[sqlite3.Row] = []
            for state in states:
                # The index of that state alone has what is looked for: a history of millions costs nothing.
                query = f"{_SELECT.format(_INDEX[AlarmState(state)])} AND a.state = {int(state)}"
                query += (
                    " AND a.number > :after AND (:device = '' OR a.device_id = :device) ORDER BY a.number LIMIT :limit"
                )
                named = {"group": group_id, "after": after, "device": device_id, "limit": limit}
                rows += db.execute(query, named)
            return sorted(map(_row, rows), key=lambda row: row.number)[:limit]

        return cast(list[QueuedRow], await self._db.read(work))

    async def queued(self, group_id: int, numbers: Sequence[int]) -> Sequence[QueuedRow]:
        """See QueueStore."""

        def work(db: sqlite3.Connection) -> list[QueuedRow]:
            query = f"{_SELECT.format('')} AND a.number = :number"
            found = (db.execute(query, {"group": group_id, "number": each}).fetchone() for each in sorted(numbers))
            return [_row(row) for row in found if row is not None]

        return cast(list[QueuedRow], await self._db.read(work))

    async def numbers_of(self, group_id: int, alarm_id: str) -> Sequence[int]:
        """See QueueStore."""
        query = "SELECT number FROM alarm WHERE group_id = ? AND alarm_id = ? ORDER BY number"
        key = (group_id, UUID(alarm_id).bytes)
        return cast(list[int], await self._db.read(lambda db: [row["number"] for row in db.execute(query, key)]))

    async def deliveries(self, group_id: int, number: int) -> Sequence[DeliveryRow]:
        """See QueueStore."""

        def work(db: sqlite3.Connection) -> list[DeliveryRow]:
            return [DeliveryRow(**row) for row in db.execute(_DELIVERIES, {"group": group_id, "number": number})]

        return cast(list[DeliveryRow], await self._db.read(work))


def count_losses(db: sqlite3.Connection, group_id: int, epoch: int, at: float) -> list[int]:
    """The holder of an epoch was lost: count it against what was out, inside of a commit.

    Returns what was lost with too many, and is set aside by this (timing: what counts as a loss).
    """
    out = "number IN (SELECT number FROM delivery WHERE group_id = :group AND epoch = :epoch)"
    named = {"group": group_id, "epoch": epoch, "limit": LOST_TOO_OFTEN}
    db.execute(f"UPDATE alarm SET losses = losses + 1 WHERE group_id = :group AND state = 0 AND {out}", named)
    query = f"SELECT number, losses FROM alarm WHERE group_id = :group AND state = 0 AND losses >= :limit AND {out}"
    lost = db.execute(query, named).fetchall()
    for row in lost:
        why = f"the working receiver was lost under it {row['losses']} times, the last time with this alarm alone"
        _put_aside(db, group_id, row["number"], epoch, SetAsideCause.LOST_UNDER_IT, why, at)
    return [row["number"] for row in lost]


def _refused(
    db: sqlite3.Connection, group_id: int, epoch: int, receiver_id: str, refused: RefusedAlarm, at: float
) -> Refused:
    holder = db.execute(
        "SELECT receiver_id, ended_at FROM epoch WHERE group_id = ? AND epoch = ?", (group_id, epoch)
    ).fetchone()
    if holder is None or holder["receiver_id"] != receiver_id or holder["ended_at"] is not None:
        return Refused.EPOCH_OVER
    row = db.execute(
        "SELECT a.state, coalesce(s.replayed_after, 0) AS replayed_after"
        " FROM alarm a JOIN delivery d ON d.group_id = a.group_id AND d.number = a.number"
        " LEFT JOIN set_aside s ON s.group_id = a.group_id AND s.number = a.number"
        " WHERE a.group_id = ? AND a.number = ? AND d.epoch = ?",
        (group_id, refused.number, epoch),
    ).fetchone()
    if row is None:
        return Refused.NEVER_DELIVERED
    # Told again, for its answer was lost: an operator may have put the alarm back since.
    of_before = 0 < refused.attempt <= row["replayed_after"]
    if row["state"] != AlarmState.WAITING or of_before:
        return Refused.KNOWN
    why = f"output {refused.output} refused it {refused.refusals} times: {refused.reason}"
    _put_aside(db, group_id, refused.number, epoch, SetAsideCause.REFUSED, why, at, refused.frame, refused.answer)
    return Refused.SET_ASIDE


def _put_aside(
    db: sqlite3.Connection,
    group_id: int,
    number: int,
    epoch: int,
    cause: SetAsideCause,
    reason: str,
    at: float,
    frame: bytes = b"",
    answer: bytes = b"",
) -> None:
    db.execute("UPDATE alarm SET state = ? WHERE group_id = ? AND number = ?", (AlarmState.SET_ASIDE, group_id, number))
    db.execute(
        "INSERT INTO set_aside (group_id, number, epoch, cause, reason, at, frame, answer, replayed_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '') ON CONFLICT DO UPDATE SET epoch = excluded.epoch,"
        " cause = excluded.cause, reason = excluded.reason, at = excluded.at, frame = excluded.frame,"
        " answer = excluded.answer, replayed_at = NULL",
        (group_id, number, epoch, int(cause), reason, at, frame, answer),
    )


def _replay(db: sqlite3.Connection, group_id: int, number: int, operator: str, request_id: str, at: float) -> Replayed:
    row = db.execute("SELECT state FROM alarm WHERE group_id = ? AND number = ?", (group_id, number)).fetchone()
    if row is None:
        return Replayed.UNKNOWN
    done = "SELECT 1 FROM request WHERE group_id = ? AND request_id = ? AND at >= ?"
    if db.execute(done, (group_id, request_id, at - REQUESTS_KEPT)).fetchone():
        return Replayed.DONE_BEFORE
    if row["state"] != AlarmState.SET_ASIDE:
        return Replayed.NOT_SET_ASIDE
    db.execute("UPDATE alarm SET state = 0, losses = 0 WHERE group_id = ? AND number = ?", (group_id, number))
    db.execute(
        "UPDATE set_aside SET replayed_at = ?, replayed_by = ?, replayed_after ="
        " (SELECT deliveries FROM alarm a WHERE a.group_id = set_aside.group_id AND a.number = set_aside.number)"
        " WHERE group_id = ? AND number = ?",
        (at, operator, group_id, number),
    )
    db.execute("DELETE FROM request WHERE at < ?", (at - REQUESTS_KEPT,))
    db.execute("INSERT OR REPLACE INTO request VALUES (?, ?, ?)", (group_id, request_id, at))
    return Replayed.QUEUED


_INDEX = {
    AlarmState.WAITING: "INDEXED BY alarm_waiting",
    AlarmState.SET_ASIDE: "INDEXED BY alarm_set_aside",
}

# From the newest epoch back: there the deliveries are of what still waits, and few are looked at.
_LAST_EPOCH = """
    CASE a.deliveries WHEN 0 THEN 0 ELSE ifnull((
        SELECT e.epoch FROM epoch e WHERE e.group_id = a.group_id AND EXISTS (
            SELECT 1 FROM delivery d WHERE d.group_id = e.group_id AND d.epoch = e.epoch AND d.number = a.number
        ) ORDER BY e.epoch DESC LIMIT 1
    ), 0) END
"""
_SELECT = f"""
    SELECT a.number, a.device_id, a.account_sequence, a.received_at, a.payload, a.state, a.deliveries, a.losses,
        ifnull(a.confirmed_by, '') AS confirmed_by, a.confirmed_at, {_LAST_EPOCH} AS epoch,
        s.cause, s.reason, s.at, s.frame, s.answer, s.replayed_by
    FROM alarm a {{}} LEFT JOIN set_aside s ON s.group_id = a.group_id AND s.number = a.number
    WHERE a.group_id = :group
"""
_DELIVERIES = """
    SELECT e.epoch, e.receiver_id, d.at AS delivered_at, e.ended_at, ifnull((
        SELECT n.reason FROM epoch n WHERE n.group_id = e.group_id AND n.epoch > e.epoch ORDER BY n.epoch LIMIT 1
    ), '') AS next_reason
    FROM epoch e CROSS JOIN delivery d ON d.group_id = e.group_id AND d.epoch = e.epoch AND d.number = :number
    WHERE e.group_id = :group ORDER BY e.epoch
"""


def _row(row: sqlite3.Row) -> QueuedRow:
    return QueuedRow(
        number=row["number"],
        device_id=row["device_id"],
        account_sequence=row["account_sequence"],
        received_at=row["received_at"],
        payload=row["payload"],
        state=row["state"],
        deliveries=row["deliveries"],
        epoch=row["epoch"],
        losses=row["losses"],
        confirmed_by=row["confirmed_by"],
        confirmed_at=row["confirmed_at"],
        cause=None if row["cause"] is None else SetAsideCause(row["cause"]),
        reason=row["reason"] or "",
        set_aside_at=row["at"] or 0.0,
        frame=row["frame"] or b"",
        answer=row["answer"] or b"",
        replayed_by=row["replayed_by"] or "",
    )
