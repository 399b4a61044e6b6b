"""Steps of who works in SQLite: epochs, holds, what stands, and the history; each step in one commit."""

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, cast

from hotspare_cloud.core.state import Kind, Pause, Pin, Reason, Standing
from hotspare_cloud.store.base import HistoryLine, SavedStep, Step
from hotspare_cloud.store.sqlite_alarms import store_alarms
from hotspare_cloud.store.sqlite_queue import count_losses
from hotspare_model.group import GroupSettings, Role
from hotspare_store.database import Database

REQUESTS_KEPT = 86_400.0
"""Seconds for which the id of an operator's wish is remembered."""

_LINE_COLUMNS = (
    "kind, at, from_receiver_id, from_role, to_receiver_id, to_role, reason, detail, operator, epoch, gap, planned"
)


class SqliteSteps:
    """The part of `GroupStore` that each move passes."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def save_step(self, group_id: int, step: Step) -> SavedStep:
        """See GroupStore."""
        return cast(SavedStep, await self._db.write(lambda db: _save_step(db, group_id, step), vital=True))

    async def add_lines(self, group_id: int, lines: Sequence[HistoryLine]) -> None:
        """See GroupStore."""
        await self._db.write(lambda db: add_lines(db, group_id, lines), vital=True)

    async def history(
        self, group_id: int, *, before: int, since: float | None, until: float | None, limit: int
    ) -> Sequence[HistoryLine]:
        """See GroupStore."""

        def work(db: sqlite3.Connection) -> list[HistoryLine]:
            rows = db.execute(
                f"SELECT number, {_LINE_COLUMNS} FROM history WHERE group_id = :group"
                " AND (:before = 0 OR number < :before) AND (:since IS NULL OR at >= :since)"
                " AND (:until IS NULL OR at < :until) ORDER BY number DESC LIMIT :limit",
                {"group": group_id, "before": before, "since": since, "until": until, "limit": limit},
            )
            return [_line(row) for row in rows]

        return cast(list[HistoryLine], await self._db.read(work))

    async def is_done(self, group_id: int, request_id: str, since: float) -> bool:
        """See GroupStore."""
        query = "SELECT 1 FROM request WHERE group_id = ? AND request_id = ? AND at >= ?"
        found = await self._db.read(lambda db: db.execute(query, (group_id, request_id, since)).fetchone())
        return found is not None


def _save_step(db: sqlite3.Connection, group_id: int, step: Step) -> SavedStep:
    at, lost = time.time(), []
    if step.ended is not None:
        epoch, held = step.ended
        db.execute(
            "UPDATE epoch SET ended_at = ?, held = ? WHERE group_id = ? AND epoch = ?", (at, int(held), group_id, epoch)
        )
        if step.lost:
            lost = count_losses(db, group_id, epoch, at)
    free = "UPDATE epoch SET held = 0 WHERE group_id = ? AND epoch = ?"
    db.executemany(free, [(group_id, epoch) for epoch in step.freed])
    if step.begun is not None:
        begun = step.begun
        db.execute(
            "INSERT INTO epoch (group_id, epoch, receiver_id, incarnation, machine_id, role, reason, previous,"
            " gap, started_at, held) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                group_id,
                begun.epoch,
                begun.receiver_id,
                begun.incarnation,
                begun.machine_id,
                int(step.role) if step.role else None,
                begun.reason.value,
                begun.previous,
                begun.gap,
                at,
            ),
        )
    add_lines(db, group_id, step.lines)
    if step.standing is not None:
        db.execute("UPDATE grp SET standing = ? WHERE group_id = ?", (standing_to_json(step.standing), group_id))
    if step.settings is not None:
        db.execute("UPDATE grp SET settings = ? WHERE group_id = ?", (settings_to_json(step.settings), group_id))
    if step.request_id:
        db.execute("DELETE FROM request WHERE at < ?", (at - REQUESTS_KEPT,))
        db.execute("INSERT OR REPLACE INTO request VALUES (?, ?, ?)", (group_id, step.request_id, at))
    told = [] if step.arc_alarm is None else store_alarms(db, group_id, [step.arc_alarm])
    return SavedStep(any(not kept.duplicate for kept in told), lost)


def add_lines(db: sqlite3.Connection, group_id: int, lines: Sequence[HistoryLine]) -> None:
    """Add lines to the history of a group, numbered on."""
    for line in lines:
        db.execute(
            f"INSERT INTO history (group_id, number, {_LINE_COLUMNS}) VALUES (?,"
            " (SELECT ifnull(max(number), 0) + 1 FROM history WHERE group_id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                group_id,
                group_id,
                line.kind.value,
                line.at,
                line.from_receiver_id,
                int(line.from_role) if line.from_role else None,
                line.to_receiver_id,
                int(line.to_role) if line.to_role else None,
                line.reason.value if line.reason else None,
                line.detail,
                line.operator,
                line.epoch,
                line.gap,
                int(line.planned),
            ),
        )


def standing_to_json(standing: Standing) -> str:
    """What stands, as it is stored."""
    return json.dumps(asdict(standing), sort_keys=True)


def standing_from_json(text: str) -> Standing:
    """What stands, as it was stored; what is not there has its default."""
    stored: dict[str, Any] = json.loads(text)
    pin, pause = stored.pop("pin", None), stored.pop("pause", None)
    losses = stored.pop("losses", [])
    held_back = stored.pop("held_back", [])
    return Standing(
        pin=Pin(**pin) if pin else None,
        pause=Pause(**pause) if pause else None,
        losses=tuple((receiver_id, count) for receiver_id, count in losses),
        held_back=tuple(held_back),
        **stored,
    )


def settings_to_json(settings: GroupSettings) -> str:
    """The settings as they are stored; spans in seconds."""
    values = {
        name: value.total_seconds() if isinstance(value, timedelta) else value
        for name, value in asdict(settings).items()
    }
    return json.dumps(values, sort_keys=True)


def _line(row: sqlite3.Row) -> HistoryLine:
    return HistoryLine(
        number=row["number"],
        kind=Kind(row["kind"]),
        at=row["at"],
        from_receiver_id=row["from_receiver_id"],
        from_role=Role(row["from_role"]) if row["from_role"] else None,
        to_receiver_id=row["to_receiver_id"],
        to_role=Role(row["to_role"]) if row["to_role"] else None,
        reason=Reason(row["reason"]) if row["reason"] else None,
        detail=row["detail"],
        operator=row["operator"],
        epoch=row["epoch"],
        gap=row["gap"],
        planned=bool(row["planned"]),
    )
