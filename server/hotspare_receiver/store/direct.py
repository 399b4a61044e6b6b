"""Direct alarms that an isolated host took and the cloud does not have yet, and those that it may have (D4)."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from hotspare_receiver.history import from_micros, to_micros
from hotspare_store.database import Database

Key = tuple[str, str]
"""Device and alarm id."""


@dataclass(frozen=True, slots=True)
class KeptAlarm:
    """An alarm that is kept here; `submission` as it is for the cloud."""

    number: int
    """Among those that were ever kept here, from 1."""
    scope: str
    key: Key
    account_number: str
    submission: bytes
    received: datetime
    confirmed: datetime | None = None
    """When the ARC confirmed it. None: it has not."""
    wire_sequence: str = ""
    answer: bytes = b""


class DirectStore:
    """The rows, in the database. What it holds at the start is read once; who uses it keeps it in step."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.kept: Mapping[int, KeptAlarm] = {}
        """At the start, by number."""
        self.doubts: Mapping[Key, datetime] = {}
        """At the start: what the cloud may have, and since when."""
        database.read_now(self._load)

    def _load(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT * FROM direct_alarm ORDER BY number").fetchall()
        self.kept = {row["number"]: _kept(row) for row in rows}
        doubts = connection.execute("SELECT * FROM direct_doubt").fetchall()
        self.doubts = {(row["device_id"], row["alarm_id"]): from_micros(row["since"]) for row in doubts}

    async def keep(self, alarm: KeptAlarm) -> tuple[KeptAlarm, bool]:
        """Keep an alarm, whose number is given here; returns it, and whether it had been kept before.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED; it is not kept then.
        """

        def work(connection: sqlite3.Connection) -> tuple[KeptAlarm, bool]:
            known = connection.execute(
                "SELECT * FROM direct_alarm WHERE scope = ? AND device_id = ? AND alarm_id = ?",
                (alarm.scope, *alarm.key),
            ).fetchone()
            if known is not None:
                return _kept(known), True
            number = connection.execute(
                "INSERT INTO direct_alarm (scope, device_id, alarm_id, account_number, submission, received)"
                " VALUES (?, ?, ?, ?, ?, ?) RETURNING number",
                (alarm.scope, *alarm.key, alarm.account_number, alarm.submission, to_micros(alarm.received)),
            ).fetchone()["number"]
            return replace(alarm, number=number), False

        found: tuple[KeptAlarm, bool] = await self._database.write(work)
        return found

    async def confirm(self, number: int, at: datetime, wire_sequence: str, answer: bytes) -> None:
        """The ARC has an alarm. Raises HotspareError DISK_LOW, STORE_FAILED."""
        values = (to_micros(at), wire_sequence, answer, number)
        statement = "UPDATE direct_alarm SET confirmed = ?, wire_sequence = ?, answer = ? WHERE number = ?"
        await self._database.write(lambda db: db.execute(statement, values).rowcount, vital=True)

    async def forget(self, number: int) -> None:
        """The cloud has an alarm, or will never take it. Raises HotspareError DISK_LOW, STORE_FAILED."""
        statement = "DELETE FROM direct_alarm WHERE number = ?"
        await self._database.write(lambda db: db.execute(statement, (number,)).rowcount, vital=True)

    async def doubt(self, key: Key, since: datetime) -> None:
        """The cloud may have an alarm from now on. Raises HotspareError DISK_LOW, STORE_FAILED."""
        statement = "INSERT INTO direct_doubt VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._database.write(lambda db: db.execute(statement, (*key, to_micros(since))).rowcount)

    async def settle(self, keys: tuple[Key, ...]) -> None:
        """There is no doubt about these. Raises HotspareError DISK_LOW, STORE_FAILED."""
        statement = "DELETE FROM direct_doubt WHERE device_id = ? AND alarm_id = ?"
        await self._database.write(lambda db: db.executemany(statement, keys).rowcount, vital=True)


def _kept(row: sqlite3.Row) -> KeptAlarm:
    return KeptAlarm(
        number=row["number"],
        scope=row["scope"],
        key=(row["device_id"], row["alarm_id"]),
        account_number=row["account_number"],
        submission=row["submission"],
        received=from_micros(row["received"]),
        confirmed=None if row["confirmed"] is None else from_micros(row["confirmed"]),
        wire_sequence=row["wire_sequence"],
        answer=row["answer"],
    )
