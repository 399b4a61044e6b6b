"""Alarms and their deliveries in SQLite. What runs here once an alarm decides how many pass in a second."""

import sqlite3
from collections.abc import Sequence
from typing import cast
from uuid import UUID

from hotspare_cloud.store.base import AlarmState, Confirmation, KeptAlarm, NewAlarm, WaitingAlarm
from hotspare_store.database import Database

MAX_NUMBER = 2**63 - 1


class SqliteAlarms:
    """`AlarmStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def store_alarms(self, group_id: int, alarms: Sequence[NewAlarm]) -> Sequence[KeptAlarm]:
        """See AlarmStore."""
        return cast(list[KeptAlarm], await self._db.write(lambda db: store_alarms(db, group_id, alarms)))

    async def waiting_alarms(self, group_id: int, after: int, limit: int) -> Sequence[WaitingAlarm]:
        """See AlarmStore."""
        return cast(list[WaitingAlarm], await self._db.read(lambda db: _waiting(db, group_id, after, limit)))

    async def note_delivery(self, group_id: int, epoch: int, numbers: Sequence[int]) -> Sequence[int]:
        """See AlarmStore."""

        def work(db: sqlite3.Connection) -> list[int]:
            count = "UPDATE alarm SET deliveries = deliveries + 1 WHERE group_id = ? AND number = ? AND state = 0"
            waiting = [number for number in numbers if db.execute(count, (group_id, number)).rowcount]
            db.executemany(
                "INSERT INTO delivery (group_id, epoch, number) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [(group_id, epoch, number) for number in waiting],
            )
            return waiting

        return cast(list[int], await self._db.write(work, vital=True))

    async def confirm(
        self, group_id: int, epoch: int, receiver_id: str, ranges: Sequence[tuple[int, int]], at: float
    ) -> Confirmation:
        """See AlarmStore."""

        def work(db: sqlite3.Connection) -> Confirmation:
            holder = db.execute(
                "SELECT receiver_id FROM epoch WHERE group_id = ? AND epoch = ?", (group_id, epoch)
            ).fetchone()
            if holder is None or holder["receiver_id"] != receiver_id:
                return Confirmation((), ())
            known: list[int] = []
            newly: list[int] = []
            aside = 0
            for first, last in ranges:
                if first > MAX_NUMBER:
                    continue
                known += _delivered(db, group_id, epoch, first, min(last, MAX_NUMBER))
            confirm = (
                "UPDATE alarm SET state = ?, confirmed_at = ?, confirmed_by = ?"
                " WHERE group_id = ? AND number = ? AND state = ?"
            )
            values = (AlarmState.CONFIRMED, at, receiver_id, group_id)
            for number in known:
                if db.execute(confirm, (*values, number, AlarmState.WAITING)).rowcount:
                    newly.append(number)
                elif db.execute(confirm, (*values, number, AlarmState.SET_ASIDE)).rowcount:
                    # Set aside meanwhile, and the ARC has it after all: that is a fact (F7).
                    newly.append(number)
                    aside += 1
            return Confirmation(newly, known, aside)

        return cast(Confirmation, await self._db.write(work, vital=True))

    async def oldest_waiting(self, group_id: int) -> float | None:
        """See AlarmStore."""

        def work(db: sqlite3.Connection) -> float | None:
            row = db.execute(
                "SELECT received_at FROM alarm WHERE group_id = ? AND state = 0 ORDER BY number LIMIT 1",
                (group_id,),
            ).fetchone()
            return row["received_at"] if row else None

        return cast(float | None, await self._db.read(work))


def store_alarms(db: sqlite3.Connection, group_id: int, alarms: Sequence[NewAlarm]) -> list[KeptAlarm]:
    """Store alarms in their order, inside of a commit; those that are kept already stay as they are (A2)."""
    kept: list[KeptAlarm] = []
    for alarm in alarms:
        alarm_id = UUID(alarm.alarm_id).bytes
        known = db.execute(
            "SELECT number, account_sequence, received_at, payload FROM alarm"
            " WHERE group_id = ? AND alarm_id = ? AND device_id = ?",
            (group_id, alarm_id, alarm.device_id),
        ).fetchone()
        if known is not None:
            kept.append(_kept_before(known))
            continue
        number, base = db.execute(
            "UPDATE grp SET last_number = last_number + 1 WHERE group_id = ? RETURNING last_number, sequence_base",
            (group_id,),
        ).fetchone()
        sequence = db.execute(
            "INSERT INTO account_line (group_id, account_number, last_sequence)"
            " VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET last_sequence = last_sequence + 1 RETURNING last_sequence",
            (group_id, alarm.account_number, base + 1),
        ).fetchone()[0]
        db.execute(
            "INSERT INTO alarm (group_id, number, alarm_id, device_id, account_number, account_sequence,"
            " received_at, payload, state, deliveries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
            (
                group_id,
                number,
                alarm_id,
                alarm.device_id,
                alarm.account_number,
                sequence,
                alarm.received_at,
                alarm.payload,
            ),
        )
        kept.append(KeptAlarm(number, sequence, alarm.received_at, False, alarm.payload))
    return kept


def _kept_before(row: sqlite3.Row) -> KeptAlarm:
    return KeptAlarm(row["number"], row["account_sequence"], row["received_at"], True, row["payload"])


def _waiting(db: sqlite3.Connection, group_id: int, after: int, limit: int) -> list[WaitingAlarm]:
    rows = db.execute(
        "SELECT number, device_id, account_number, account_sequence, received_at, payload, deliveries,"
        " deliveries > 0 AS maybe_sent, losses, EXISTS (SELECT 1 FROM set_aside s"
        " WHERE s.group_id = alarm.group_id AND s.number = alarm.number) AS replay"
        " FROM alarm INDEXED BY alarm_waiting"
        " WHERE group_id = ? AND state = 0 AND number > ? ORDER BY number LIMIT ?",
        (group_id, after, limit),
    )
    return [
        WaitingAlarm(
            row["number"],
            row["device_id"],
            row["account_number"],
            row["account_sequence"],
            row["received_at"],
            row["payload"],
            row["deliveries"],
            bool(row["maybe_sent"]),
            row["losses"],
            bool(row["replay"]),
        )
        for row in rows
    ]


def _delivered(db: sqlite3.Connection, group_id: int, epoch: int, first: int, last: int) -> list[int]:
    rows = db.execute(
        "SELECT number FROM delivery WHERE group_id = ? AND epoch = ? AND number BETWEEN ? AND ? ORDER BY number",
        (group_id, epoch, first, last),
    )
    return [row["number"] for row in rows]
