"""What the cloud keeps beside an alarm of a device that is connected directly too, in SQLite (D2, D3, D4).

All of it runs inside of the commit that stores the alarm. Nothing of it is touched for a group whose receivers take no
direct alarms: their alarms have neither a sighting nor a report.
"""

import sqlite3

from hotspare_cloud.core.sameness import SAME_WITHIN, SIGHTINGS_KEPT
from hotspare_cloud.store.base import AlarmState, KeptAlarm, NewAlarm

SWEPT_AT_ONCE = 8
"""Sightings that are looked at to be forgotten whenever one is added: more than are added, and no burden."""


def direct_groups(db: sqlite3.Connection) -> list[int]:
    """The groups that have a twin, or a sighting that is open."""
    seen = "EXISTS (SELECT 1 FROM {} s WHERE s.group_id = g.group_id)"
    query = f"SELECT g.group_id FROM grp g WHERE {seen.format('twin')} OR {seen.format('sighting')}"
    return [row["group_id"] for row in db.execute(query)]


def find_twin(db: sqlite3.Connection, group_id: int, alarm_id: bytes, alarm: NewAlarm) -> sqlite3.Row | None:
    """The stored alarm of which this one is the copy from the other path (D3); else it waits for its own copy.

    The sighting of the found one is used up, so that the next copy finds the next alarm; and this id stands for it from
    now on (A2).
    """
    number = _known_twin(db, group_id, alarm_id, alarm.device_id)
    if number is None:
        number = _use_up(db, group_id, alarm)
        if number is None:
            return None
        db.execute(
            "INSERT INTO twin (group_id, alarm_id, device_id, number) VALUES (?, ?, ?, ?)",
            (group_id, alarm_id, alarm.device_id, number),
        )
    row: sqlite3.Row | None = db.execute(
        "SELECT number, account_sequence, received_at, payload, alarm_id FROM alarm WHERE group_id = ? AND number = ?",
        (group_id, number),
    ).fetchone()
    return row


def keep_report(db: sqlite3.Connection, group_id: int, alarm_id: bytes, alarm: NewAlarm, kept: KeptAlarm) -> KeptAlarm:
    """Keep what goes with an alarm that is stored, now or before: its sighting, and what its gateway tells."""
    if alarm.sighting is not None and not kept.duplicate:
        _lay_out(db, group_id, alarm, kept.number)
    report = alarm.report
    if report is None:
        return kept
    db.execute(
        "INSERT INTO gateway_report (group_id, number, alarm_id, receiver_id, reported_at, report)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (group_id, kept.number, alarm_id, report.receiver_id, alarm.received_at, report.payload),
    )
    if report.confirmed_at is None:
        return kept
    confirm = (
        "UPDATE alarm SET state = ?, confirmed_at = ?, confirmed_by = ? WHERE group_id = ? AND number = ? AND state = ?"
    )
    values = (AlarmState.CONFIRMED, report.confirmed_at, report.receiver_id, group_id, kept.number)
    if db.execute(confirm, (*values, AlarmState.WAITING)).rowcount:
        return kept._replace(confirmed=True)
    if db.execute(confirm, (*values, AlarmState.SET_ASIDE)).rowcount:
        return kept._replace(confirmed=True, was_aside=True)
    return kept


def _known_twin(db: sqlite3.Connection, group_id: int, alarm_id: bytes, device_id: str) -> int | None:
    row = db.execute(
        "SELECT number FROM twin WHERE group_id = ? AND alarm_id = ? AND device_id = ?", (group_id, alarm_id, device_id)
    ).fetchone()
    return row["number"] if row is not None else None


def _use_up(db: sqlite3.Connection, group_id: int, alarm: NewAlarm) -> int | None:
    """The number of the earliest open sighting on the other path that fits, which is open no more."""
    sighting = alarm.sighting
    assert sighting is not None
    row = db.execute(
        "SELECT id, number FROM sighting INDEXED BY sighting_open WHERE group_id = ? AND device_id = ? AND content = ?"
        " AND side = ? AND occurred BETWEEN ? AND ? ORDER BY occurred, id LIMIT 1",
        (
            group_id,
            alarm.device_id,
            sighting.content,
            int(sighting.side.other),
            sighting.occurred - SAME_WITHIN,
            sighting.occurred + SAME_WITHIN,
        ),
    ).fetchone()
    if row is None:
        return None
    db.execute("DELETE FROM sighting WHERE id = ?", (row["id"],))
    number: int = row["number"]
    return number


def _lay_out(db: sqlite3.Connection, group_id: int, alarm: NewAlarm, number: int) -> None:
    sighting = alarm.sighting
    assert sighting is not None
    db.execute(
        "INSERT INTO sighting (group_id, device_id, content, side, occurred, number, seen_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            group_id,
            alarm.device_id,
            sighting.content,
            int(sighting.side),
            sighting.occurred,
            number,
            alarm.received_at,
        ),
    )
    # The oldest have the lowest ids: forgetting them costs a bounded look at the beginning of the table.
    db.execute(
        "DELETE FROM sighting WHERE id IN (SELECT id FROM sighting ORDER BY id LIMIT ?) AND seen_at < ?",
        (SWEPT_AT_ONCE, alarm.received_at - SIGHTINGS_KEPT),
    )
