"""Forgetting alarms in SQLite (A8).

What is kept is counted by looking at each new alarm once, on the reading connection: publishing writes no byte for it.
The room of what is deleted stays in the file, for the alarms that come. Giving it back to the disk (incremental vacuum)
would move pages about in commits that everybody waits for.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from hotspare_cloud.core.expiry import KeptRow
from hotspare_cloud.store.base import AlarmState
from hotspare_cloud.store.base_expiry import Forgotten, Size
from hotspare_store.database import Database

ALARM_BYTES = 130
"""What an alarm takes in the file besides its payload: its columns, its delivery, its place in the indexes, the air in
the pages. Measured on 200,000 alarms."""


class SqliteExpiry:
    """`ExpiryStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def sizes(self) -> tuple[Mapping[int, Size], float]:
        """See ExpiryStore."""

        def work(db: sqlite3.Connection) -> tuple[Mapping[int, Size], float]:
            rows = db.execute("SELECT group_id, alarms, bytes, through FROM kept_size")
            sizes = {row["group_id"]: Size(row["alarms"], row["bytes"], row["through"]) for row in rows}
            return sizes, db.execute("SELECT believed_at FROM expiry").fetchone()[0]

        return cast(tuple[Mapping[int, Size], float], await self._db.read(work))

    async def save_sizes(self, sizes: Mapping[int, Size], believed_at: float) -> None:
        """See ExpiryStore."""

        def work(db: sqlite3.Connection) -> None:
            for group_id, size in sizes.items():
                _save(db, group_id, size)
            db.execute("UPDATE expiry SET believed_at = ?", (believed_at,))

        await self._db.write(work)

    async def last_numbers(self) -> Mapping[int, int]:
        """See ExpiryStore."""
        query = "SELECT group_id, last_number FROM grp"
        return cast(dict[int, int], await self._db.read(lambda db: {row[0]: row[1] for row in db.execute(query)}))

    async def count_on(self, group_id: int, size: Size, limit: int) -> Size:
        """See ExpiryStore."""

        def work(db: sqlite3.Connection) -> Size:
            count, told, through = db.execute(_COUNT, (group_id, size.through, limit)).fetchone()
            if not count:
                return size
            return Size(size.alarms + count, size.bytes + told + count * ALARM_BYTES, through)

        return cast(Size, await self._db.read(work))

    async def kept_after(self, group_id: int, after: int, through: int, limit: int, now: float) -> Sequence[KeptRow]:
        """See ExpiryStore."""
        named = {"group": group_id, "after": after, "through": through, "limit": limit, "now": now}
        return cast(
            list[KeptRow], await self._db.read(lambda db: [_row(row) for row in db.execute(_KEPT_AFTER, named)])
        )

    async def forget(self, group_id: int, rows: Sequence[KeptRow], size: Size) -> Forgotten:
        """See ExpiryStore."""
        return cast(Forgotten, await self._db.write(partial(_forget, group_id=group_id, rows=rows, size=size)))

    async def forget_deliveries(self, group_id: int, limit: int) -> bool:
        """See ExpiryStore."""
        named = {"group": group_id, "limit": limit}
        # Looked for where nobody waits for it: a group may have thousands of epochs.
        found = await self._db.read(lambda db: db.execute(_EPOCH_BEHIND, named).fetchone())
        if found is None:
            return False
        named["epoch"] = found["epoch"]
        return cast(bool, await self._db.write(lambda db: db.execute(_FORGET_DELIVERIES, named).rowcount > 0))

    async def forget_moves(self, group_id: int, before: float, keep: int, limit: int) -> bool:
        """See ExpiryStore."""
        named = {"group": group_id, "before": before, "keep": keep, "limit": limit}
        due = await self._db.read(lambda db: any(db.execute(query, named).fetchone() for query in _MOVES_DUE))
        if not due:
            return False

        def work(db: sqlite3.Connection) -> bool:
            gone = [db.execute(statement, named).rowcount for statement in _FORGET_MOVES]
            return limit in gone

        return cast(bool, await self._db.write(work))


def _forget(db: sqlite3.Connection, group_id: int, rows: Sequence[KeptRow], size: Size) -> Forgotten:
    # Debian's SQLite wipes what it deletes, which writes every page that comes free once more.
    db.execute("PRAGMA secure_delete = FAST")
    gone: list[int] = []
    told = 0
    for row in rows:
        # One that was set aside may have been put back into the queue meanwhile.
        same = (group_id, row.number, row.state)
        found = db.execute(
            "SELECT length(payload) FROM alarm WHERE group_id = ? AND number = ? AND state = ?", same
        ).fetchone()
        if found is not None:
            told += found[0]
            gone.append(row.number)
    keys = [(group_id, number) for number in gone]
    for table in ("alarm", "set_aside", "gateway_report", "twin"):
        db.executemany(f"DELETE FROM {table} WHERE group_id = ? AND number = ?", keys)
    after = replace(size, alarms=size.alarms - len(gone), bytes=size.bytes - told - len(gone) * ALARM_BYTES)
    _save(db, group_id, after)
    aside = {row.number for row in rows if row.is_aside}
    return Forgotten(after, gone, [number for number in gone if number in aside])


def _save(db: sqlite3.Connection, group_id: int, size: Size) -> None:
    db.execute(
        "INSERT OR REPLACE INTO kept_size (group_id, alarms, bytes, through) VALUES (?, ?, ?, ?)",
        (group_id, size.alarms, size.bytes, size.through),
    )


def _row(row: sqlite3.Row) -> KeptRow:
    return KeptRow(
        number=row["number"],
        state=row["state"],
        received_at=row["received_at"],
        ended_at=row["ended_at"],
        is_aside=row["state"] == AlarmState.SET_ASIDE,
    )


_COUNT = """
    SELECT count(*), sum(told), max(number) FROM (
        SELECT number, length(payload) AS told FROM alarm WHERE group_id = ? AND number > ? ORDER BY number LIMIT ?
    )
"""
# A gateway tells the time of a confirmation by its own clock (D4): it counts for no more than now.
_KEPT_AFTER = """
    SELECT a.number, a.state, a.received_at, CASE a.state
        WHEN 1 THEN max(a.received_at, min(ifnull(a.confirmed_at, a.received_at), :now))
        WHEN 2 THEN ifnull((SELECT s.at FROM set_aside s WHERE s.group_id = a.group_id AND s.number = a.number), :now)
    END AS ended_at
    FROM alarm a WHERE a.group_id = :group AND a.number > :after AND a.number <= :through
    ORDER BY a.number LIMIT :limit
"""
_LOWEST = "ifnull((SELECT min(number) FROM alarm WHERE group_id = :group), 9223372036854775807)"
_EPOCH_BEHIND = f"""
    SELECT e.epoch FROM epoch e WHERE e.group_id = :group AND EXISTS (
        SELECT 1 FROM delivery d WHERE d.group_id = e.group_id AND d.epoch = e.epoch AND d.number < {_LOWEST}
    ) ORDER BY e.epoch LIMIT 1
"""
_FORGET_DELIVERIES = f"""
    DELETE FROM delivery WHERE group_id = :group AND epoch = :epoch AND number IN (
        SELECT number FROM delivery WHERE group_id = :group AND epoch = :epoch AND number < {_LOWEST}
        ORDER BY number LIMIT :limit
    )
"""
# The newest is never among them: epochs count on from it.
_OLD_EPOCHS = """
    FROM epoch WHERE group_id = :group AND held = 0 AND ended_at < :before
        AND epoch < (SELECT max(e.epoch) FROM epoch e WHERE e.group_id = :group)
        AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.group_id = epoch.group_id AND d.epoch = epoch.epoch)
"""
_OLD_LINES = """
    FROM history WHERE group_id = :group AND at < :before
        AND number <= (SELECT max(h.number) FROM history h WHERE h.group_id = :group) - :keep
"""
_MOVES_DUE = (f"SELECT 1 {_OLD_EPOCHS} LIMIT 1", f"SELECT 1 {_OLD_LINES} LIMIT 1")
_FORGET_MOVES = (
    f"DELETE FROM epoch WHERE group_id = :group AND epoch IN (SELECT epoch {_OLD_EPOCHS} ORDER BY epoch LIMIT :limit)",
    f"DELETE FROM history WHERE group_id = :group AND number IN"
    f" (SELECT number {_OLD_LINES} ORDER BY number LIMIT :limit)",
)
