"""Alarms and their deliveries in SQLite. What runs here once an alarm decides how many pass in a second."""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from hotspare_cloud.store.base import AlarmState, Confirmation, KeptAlarm, NewAlarm, WaitingAlarm
from hotspare_cloud.store.sqlite_direct import direct_groups, find_twin, keep_report
from hotspare_store.database import Database

MAX_NUMBER = 2**63 - 1

_AMONG = "number IN (SELECT value FROM json_each(?)) RETURNING number"

OLDEST_AMONG = 100
"""The oldest is one of so many with the lowest numbers, unless more than so many were put back at once."""

LOOKED_UP_AT_ONCE = 500
"""Ids in one statement."""


class SqliteAlarms:
    """`AlarmStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def store_alarms(self, group_id: int, alarms: Sequence[NewAlarm]) -> Sequence[KeptAlarm]:
        """See AlarmStore."""
        return cast(list[KeptAlarm], await self._db.write(lambda db: store_alarms(db, group_id, alarms)))

    async def direct_groups(self) -> Sequence[int]:
        """See AlarmStore."""
        return cast(list[int], await self._db.read(direct_groups))

    async def waiting_alarms(self, group_id: int, after: int, limit: int) -> Sequence[WaitingAlarm]:
        """See AlarmStore."""
        return cast(list[WaitingAlarm], await self._db.read(lambda db: _waiting(db, group_id, after, limit)))

    async def note_delivery(self, group_id: int, epoch: int, numbers: Sequence[int]) -> Sequence[int]:
        """See AlarmStore."""
        at = time.time()

        def work(db: sqlite3.Connection) -> list[int]:
            count = f"UPDATE alarm SET deliveries = deliveries + 1 WHERE group_id = ? AND state = 0 AND {_AMONG}"
            found = db.execute(count, (group_id, json.dumps(list(numbers))))
            waiting = sorted(row["number"] for row in found)
            db.executemany(
                "INSERT INTO delivery (group_id, epoch, number, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(group_id, epoch, number, at) for number in waiting],
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
            for first, last in ranges:
                if first > MAX_NUMBER:
                    continue
                known += _delivered(db, group_id, epoch, first, min(last, MAX_NUMBER))
            confirm = (
                "UPDATE alarm SET state = ?, confirmed_at = ?, confirmed_by = ?"
                f" WHERE group_id = ? AND state = ? AND {_AMONG}, received_at"
            )

            def confirmed(state: AlarmState) -> list[tuple[int, float]]:
                values = (AlarmState.CONFIRMED, at, receiver_id, group_id, state, json.dumps(known))
                return [(row["number"], row["received_at"]) for row in db.execute(confirm, values)]

            newly = confirmed(AlarmState.WAITING)
            # Set aside meanwhile, and the ARC has it after all: that is a fact (F7).
            aside = confirmed(AlarmState.SET_ASIDE) if len(newly) < len(known) else []
            both = sorted(newly + aside)
            return Confirmation([number for number, _ in both], known, len(aside), [received for _, received in both])

        return cast(Confirmation, await self._db.write(work, vital=True))

    async def oldest_waiting(self, group_id: int) -> float | None:
        """See AlarmStore."""

        def work(db: sqlite3.Connection) -> float | None:
            # One that was put back has the number of before, and waits since then.
            since: float | None = db.execute(
                "SELECT min(since) FROM (SELECT coalesce(s.replayed_at, a.received_at) AS since"
                " FROM alarm a INDEXED BY alarm_waiting LEFT JOIN set_aside s USING (group_id, number)"
                " WHERE a.group_id = ? AND a.state = 0 ORDER BY a.number LIMIT ?)",
                (group_id, OLDEST_AMONG),
            ).fetchone()[0]
            return since

        return cast(float | None, await self._db.read(work))


def store_alarms(db: sqlite3.Connection, group_id: int, alarms: Sequence[NewAlarm]) -> list[KeptAlarm]:
    """Store alarms in their order, inside of a commit; those that are kept already stay as they are (A2)."""
    if len(alarms) > 1 and all(alarm.sighting is None and alarm.report is None for alarm in alarms):
        return _store_plain(db, group_id, alarms)
    kept: list[KeptAlarm] = []
    for alarm in alarms:
        alarm_id = _id_bytes(alarm.alarm_id)
        known = db.execute(
            "SELECT number, account_sequence, received_at, payload, alarm_id FROM alarm"
            " WHERE group_id = ? AND alarm_id = ? AND device_id = ?",
            (group_id, alarm_id, alarm.device_id),
        ).fetchone()
        if known is None and alarm.sighting is not None:
            known = find_twin(db, group_id, alarm_id, alarm)
        if known is not None:
            kept.append(keep_report(db, group_id, alarm_id, alarm, _kept_before(known, alarm_id)))
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
        new = KeptAlarm(number, sequence, alarm.received_at, False, alarm.payload)
        kept.append(keep_report(db, group_id, alarm_id, alarm, new))
    return kept


def _store_plain(db: sqlite3.Connection, group_id: int, alarms: Sequence[NewAlarm]) -> list[KeptAlarm]:
    """The same for many alarms that came by the cloud path alone: a statement each for all of them."""
    keys = [(_id_bytes(alarm.alarm_id), alarm.device_id) for alarm in alarms]
    known = _known(db, group_id, [alarm_id for alarm_id, _ in keys])
    fresh: dict[tuple[bytes, str], NewAlarm] = {}
    for key, alarm in zip(keys, alarms, strict=True):
        if key not in known:
            fresh.setdefault(key, alarm)
    last, base = db.execute(
        "UPDATE grp SET last_number = last_number + ? WHERE group_id = ? RETURNING last_number, sequence_base",
        (len(fresh), group_id),
    ).fetchone()
    sequences = _next_sequences(db, group_id, base, Counter(alarm.account_number for alarm in fresh.values()))
    rows = []
    stored: dict[tuple[bytes, str], KeptAlarm] = {}
    for number, (key, alarm) in enumerate(fresh.items(), start=last - len(fresh) + 1):
        sequence = next(sequences[alarm.account_number])
        stored[key] = KeptAlarm(number, sequence, alarm.received_at, False, alarm.payload)
        rows.append(
            (
                group_id,
                number,
                key[0],
                alarm.device_id,
                alarm.account_number,
                sequence,
                alarm.received_at,
                alarm.payload,
            )
        )
    db.executemany(
        "INSERT INTO alarm (group_id, number, alarm_id, device_id, account_number, account_sequence,"
        " received_at, payload, state, deliveries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
        rows,
    )
    kept: list[KeptAlarm] = []
    told: set[tuple[bytes, str]] = set()
    for key in keys:
        if key in known:
            kept.append(known[key])
        elif key in told:
            # What comes twice among these is kept already the second time.
            kept.append(stored[key]._replace(duplicate=True))
        else:
            told.add(key)
            kept.append(stored[key])
    return kept


def _id_bytes(alarm_id: str) -> bytes:
    """A UUID's 16 bytes: of its text form, which the intake has checked."""
    return bytes.fromhex(alarm_id.replace("-", ""))


def _known(db: sqlite3.Connection, group_id: int, ids: Sequence[bytes]) -> dict[tuple[bytes, str], KeptAlarm]:
    """Those of these alarms that are stored already, by id and device."""
    found: dict[tuple[bytes, str], KeptAlarm] = {}
    for start in range(0, len(ids), LOOKED_UP_AT_ONCE):
        some = ids[start : start + LOOKED_UP_AT_ONCE]
        # Without its name SQLite would rather read the whole group.
        rows = db.execute(
            "SELECT number, account_sequence, received_at, payload, alarm_id, device_id FROM alarm"
            f" INDEXED BY alarm_identity WHERE group_id = ? AND alarm_id IN ({','.join('?' * len(some))})",
            (group_id, *some),
        )
        for row in rows:
            found[row["alarm_id"], row["device_id"]] = _kept_before(row, row["alarm_id"])
    return found


def _next_sequences(
    db: sqlite3.Connection, group_id: int, base: int, counts: Mapping[str, int]
) -> dict[str, Iterator[int]]:
    """The next numbers of each account number's line, so many as there are alarms of it (A6)."""
    sequences: dict[str, Iterator[int]] = {}
    for account_number, count in counts.items():
        last: int = db.execute(
            "INSERT INTO account_line (group_id, account_number, last_sequence) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET last_sequence = last_sequence + ? RETURNING last_sequence",
            (group_id, account_number, base + count, count),
        ).fetchone()[0]
        sequences[account_number] = iter(range(last - count + 1, last + 1))
    return sequences


def _kept_before(row: sqlite3.Row, alarm_id: bytes) -> KeptAlarm:
    twin = row["alarm_id"] != alarm_id
    return KeptAlarm(row["number"], row["account_sequence"], row["received_at"], True, row["payload"], twin)


def _waiting(db: sqlite3.Connection, group_id: int, after: int, limit: int) -> list[WaitingAlarm]:
    cursor = db.cursor()
    cursor.row_factory = None  # by place: by name it costs more than the reading
    rows = cursor.execute(
        "SELECT number, device_id, account_number, account_sequence, received_at, payload, deliveries,"
        " deliveries > 0 AS maybe_sent, losses, EXISTS (SELECT 1 FROM set_aside s"
        " WHERE s.group_id = alarm.group_id AND s.number = alarm.number) AS replay"
        " FROM alarm INDEXED BY alarm_waiting"
        " WHERE group_id = ? AND state = 0 AND number > ? ORDER BY number LIMIT ?",
        (group_id, after, limit),
    )
    return [
        WaitingAlarm(row[0], row[1], row[2], row[3], row[4], row[5], row[6], bool(row[7]), row[8], bool(row[9]))
        for row in rows
    ]


def _delivered(db: sqlite3.Connection, group_id: int, epoch: int, first: int, last: int) -> list[int]:
    rows = db.execute(
        "SELECT number FROM delivery WHERE group_id = ? AND epoch = ? AND number BETWEEN ? AND ? ORDER BY number",
        (group_id, epoch, first, last),
    )
    return [row["number"] for row in rows]
