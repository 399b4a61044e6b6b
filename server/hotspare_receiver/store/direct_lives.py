"""The lives of devices that are connected directly (A9): when each was heard last, and what the ARC was told of it.

What the ARC is to be told is kept before it goes out, with its alarm id: so that it is one alarm, however often it is
handed over.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

from hotspare_store.database import Database

ROWS_AT_ONCE = 1000
"""Rows for which the writer is taken at once: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Intention:
    """An event that is to be told. Times are wall clock, seconds since 1970."""

    device_id: str
    alarm_id: str
    silent: bool
    at: float
    last_seen: float


@dataclass(frozen=True, slots=True)
class DirectLife:
    """What is stored of a device that was heard at least once."""

    device_id: str
    last_seen: float
    told: bool
    """Whether the ARC was told last that it is silent."""
    intention: Intention | None


class DirectLives:
    """The table, in the receiver's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[DirectLife]:
        """Of all devices."""
        return cast(list[DirectLife], await self._database.read(_all))

    async def save(self, last_seen: Mapping[str, float]) -> None:
        """Note when devices were heard last. Raises HotspareError DISK_LOW, STORE_FAILED."""
        left = iter(last_seen.items())
        while some := list(islice(left, ROWS_AT_ONCE)):
            await self._database.write(_Saving(some))

    async def intend(self, intentions: Iterable[Intention]) -> None:
        """Keep what is to be told. Raises HotspareError DISK_LOW, STORE_FAILED."""
        rows = [(each.device_id, each.last_seen, each.alarm_id, each.silent, each.at) for each in intentions]
        statement = (
            "INSERT INTO direct_life (device_id, last_seen, told, alarm_id, silent, at) VALUES (?, ?, 0, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen, alarm_id = excluded.alarm_id,"
            " silent = excluded.silent, at = excluded.at"
        )
        await self._database.write(lambda db: db.executemany(statement, rows) and None)

    async def done(self, intention: Intention) -> None:
        """It is durable where alarms go. Raises HotspareError DISK_LOW, STORE_FAILED."""
        statement = "UPDATE direct_life SET told = silent, alarm_id = '' WHERE device_id = ? AND alarm_id = ?"
        key = (intention.device_id, intention.alarm_id)
        await self._database.write(lambda db: db.execute(statement, key) and None)

    async def forget(self, device_ids: Iterable[str]) -> None:
        """Devices that are gone. Raises HotspareError DISK_LOW, STORE_FAILED."""
        rows = [(device_id,) for device_id in device_ids]
        statement = "DELETE FROM direct_life WHERE device_id = ?"
        await self._database.write(lambda db: db.executemany(statement, rows) and None)


class _Saving:
    """One write of times, a row a device."""

    def __init__(self, some: Sequence[tuple[str, float]]) -> None:
        self._some = some

    def __call__(self, db: sqlite3.Connection) -> None:
        db.executemany(
            "INSERT INTO direct_life (device_id, last_seen, told, alarm_id, silent, at) VALUES (?, ?, 0, '', 0, 0)"
            " ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen",
            self._some,
        )


def _all(db: sqlite3.Connection) -> list[DirectLife]:
    found = []
    for row in db.execute("SELECT device_id, last_seen, told, alarm_id, silent, at FROM direct_life"):
        device_id, last_seen, told, alarm_id, silent, at = row
        intention = Intention(device_id, alarm_id, bool(silent), at, last_seen) if alarm_id else None
        found.append(DirectLife(device_id, last_seen, bool(told), intention))
    return found
