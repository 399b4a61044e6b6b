"""The cloud's copies of configurations in SQLite."""

import json
import sqlite3
from collections.abc import Sequence
from typing import cast

from hotspare_cloud.store.base import Backup, DeviceRow, RecordRow
from hotspare_model.digest import KindDigest, RecordKind
from hotspare_store.database import Database


class SqliteRecords:
    """`RecordStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def backup(self, group_id: int) -> Backup | None:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> Backup | None:
            row = db.execute(
                "SELECT lineage, revision, backup_version, backup_digests, backup_at FROM grp WHERE group_id = ?",
                (group_id,),
            ).fetchone()
            if row is None or not row["lineage"]:
                return None
            digests = [
                KindDigest(RecordKind(kind), count, bytes.fromhex(sha256))
                for kind, count, sha256 in json.loads(row["backup_digests"])
            ]
            return Backup(row["lineage"], row["revision"], row["backup_version"], digests, row["backup_at"])

        return cast(Backup | None, await self._db.read(work))

    async def records(self, group_id: int, kind: int) -> Sequence[RecordRow]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> list[RecordRow]:
            rows = db.execute(
                "SELECT id, payload FROM record WHERE group_id = ? AND kind = ? ORDER BY id", (group_id, kind)
            )
            return [RecordRow(kind, row["id"], row["payload"]) for row in rows]

        return cast(list[RecordRow], await self._db.read(work))

    async def save_backup(self, group_id: int, backup: Backup, changes: Sequence[RecordRow], whole: bool) -> None:
        """See RecordStore."""
        digests = json.dumps([(digest.kind, digest.count, digest.sha256.hex()) for digest in backup.digests])

        def work(db: sqlite3.Connection) -> None:
            if whole:
                db.execute("DELETE FROM record WHERE group_id = ?", (group_id,))
                db.execute("DELETE FROM device WHERE group_id = ?", (group_id,))
            for change in changes:
                _apply(db, group_id, backup.revision, change)
            db.execute(
                "UPDATE grp SET lineage = ?, revision = ?, backup_version = ?, backup_digests = ?, backup_at = ?"
                " WHERE group_id = ?",
                (
                    backup.lineage,
                    backup.revision,
                    backup.software_version,
                    digests,
                    backup.updated_at,
                    group_id,
                ),
            )

        await self._db.write(work)

    async def devices(self) -> Sequence[DeviceRow]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> list[DeviceRow]:
            rows = db.execute("SELECT group_id, device_id, key_sha256, account_number FROM device")
            return [DeviceRow(**row) for row in rows]

        return cast(list[DeviceRow], await self._db.read(work))


def _apply(db: sqlite3.Connection, group_id: int, revision: int, change: RecordRow) -> None:
    key = (group_id, change.kind, change.id)
    if not change.payload:
        db.execute("DELETE FROM record WHERE group_id = ? AND kind = ? AND id = ?", key)
        if change.kind == RecordKind.DEVICE:
            db.execute("DELETE FROM device WHERE group_id = ? AND device_id = ?", (group_id, change.id))
        return
    db.execute(
        "INSERT OR REPLACE INTO record (group_id, kind, id, payload, revision) VALUES (?, ?, ?, ?, ?)",
        (*key, change.payload, revision),
    )
    if change.device is not None:
        db.execute(
            "INSERT OR REPLACE INTO device (group_id, device_id, key_sha256, account_number) VALUES (?, ?, ?, ?)",
            (group_id, change.id, change.device.key_sha256, change.device.account_number),
        )
