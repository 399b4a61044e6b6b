"""The lives of devices in SQLite (A9).

That an event was told stands in the row of the device, written in the commit that stores the event: so there is one of
each silence and one of its end, whatever a process that died had in its memory.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import cast

from hotspare_cloud.store.base_devices import LifeRow, NewTell
from hotspare_cloud.store.sqlite_alarms import store_alarms
from hotspare_store.database import Database

ROWS_AT_ONCE = 1000
"""Rows for which the store's writer, which is everybody's, is taken at once: a few milliseconds."""

_SAVE = """
    INSERT INTO device_life (group_id, device_id, last_seen, told)
    SELECT group_id, device_id, :at, 0 FROM device WHERE group_id = :group AND device_id = :device
    ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen
"""


class SqliteDevices:
    """`DeviceStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def lives(self) -> Sequence[LifeRow]:
        """See DeviceStore."""

        def work(db: sqlite3.Connection) -> list[LifeRow]:
            rows = db.execute("SELECT group_id, device_id, last_seen, told FROM device_life")
            return [LifeRow(row["group_id"], row["device_id"], row["last_seen"], bool(row["told"])) for row in rows]

        return cast(list[LifeRow], await self._db.read(work))

    async def save_lives(self, group_id: int, last_seen: Mapping[str, float]) -> None:
        """See DeviceStore."""
        left = iter(last_seen.items())
        while some := list(islice(left, ROWS_AT_ONCE)):
            await self._db.write(partial(_save, group_id=group_id, some=some))

    async def tell(self, group_id: int, tells: Sequence[NewTell]) -> Sequence[bool]:
        """See DeviceStore."""
        return cast(list[bool], await self._db.write(lambda db: [_tell(db, group_id, tell) for tell in tells]))


def _save(db: sqlite3.Connection, group_id: int, some: Sequence[tuple[str, float]]) -> None:
    db.executemany(_SAVE, [{"group": group_id, "device": device_id, "at": at} for device_id, at in some])


def _tell(db: sqlite3.Connection, group_id: int, tell: NewTell) -> bool:
    key = (group_id, tell.device_id)
    if db.execute("SELECT 1 FROM device WHERE group_id = ? AND device_id = ?", key).fetchone() is None:
        return False
    before = db.execute("SELECT told FROM device_life WHERE group_id = ? AND device_id = ?", key).fetchone()
    if bool(before and before["told"]) == tell.silent:
        return False
    db.execute(
        "INSERT INTO device_life (group_id, device_id, last_seen, told) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen, told = excluded.told",
        (*key, tell.last_seen, int(tell.silent)),
    )
    store_alarms(db, group_id, [tell.alarm])
    return True
