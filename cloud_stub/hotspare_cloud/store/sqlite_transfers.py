"""What arrives of configurations, laid down and made to count, in SQLite (B5, B7, B8).

The writer is everybody's: whatever grows with a configuration takes it for a bounded number of records at a time, so
that nobody's alarms and epochs wait for another one's configuration. (`repair`, which is rare, is one write.)
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hotspare_cloud.store.base_records import Backup, Bucket, Buckets, DeviceRow, Place, RecordRow
from hotspare_cloud.store.sqlite_records import kinds_to_json
from hotspare_model.digest import RecordKind, bucket_digest, bucket_of
from hotspare_model.supervision import Watched
from hotspare_store.database import Database

REQUESTS_KEPT = 86_400.0
"""Seconds for which an operator's wish that was carried out is remembered."""

# First what was becomes a version, then what arrived becomes what is.
_KEEP_VERSIONS = """
    INSERT INTO record_version (group_id, kind, id, revision, until, payload, changed, operator)
    SELECT r.group_id, r.kind, r.id, r.revision, :revision, r.payload, r.changed, r.operator
      FROM incoming CROSS JOIN record r
        ON r.group_id = :group AND r.kind = incoming.kind AND r.id = incoming.id
      WHERE transfer_id = :transfer"""
_TAKE_OVER = """
    INSERT INTO record (group_id, kind, id, bucket, payload, revision, changed, operator)
    SELECT :group, kind, id, bucket, payload, :revision, changed, operator FROM incoming
      WHERE transfer_id = :transfer{some}
    ON CONFLICT (group_id, kind, id) DO UPDATE SET payload = excluded.payload, bucket = excluded.bucket
"""
_AS_NEW = ", revision = excluded.revision, changed = excluded.changed, operator = excluded.operator"
_KEEP_DEVICES = """
    INSERT OR REPLACE INTO device (group_id, device_id, key_sha256, account_number, supervision, disabled)
    SELECT :group, id, key_sha256, account_number, supervision, disabled FROM incoming
      WHERE transfer_id = :transfer AND kind = :device AND payload != x''
"""
_DROP_DEVICES = """
    DELETE FROM {table} WHERE group_id = :group AND device_id IN
      (SELECT id FROM incoming WHERE transfer_id = :transfer AND kind = :device AND payload = x'')
"""


class SqliteTransfers:
    """The writing verbs of `RecordStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def transfers(self) -> Sequence[int]:
        """See RecordStore."""
        query = "SELECT DISTINCT transfer_id FROM incoming"
        return cast(list[int], await self._db.read(lambda db: [row[0] for row in db.execute(query)]))

    async def stage(self, transfer_id: int, records: Sequence[RecordRow]) -> None:
        """See RecordStore."""
        rows = [_staged(transfer_id, record) for record in records]
        insert = "INSERT OR REPLACE INTO incoming VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        await self._db.write(lambda db: db.executemany(insert, rows) and None)

    async def missing(self, transfer_id: int, group_id: int, kind: RecordKind, after: str, limit: int) -> Sequence[str]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> list[str]:
            rows = db.execute(
                "SELECT r.id FROM record r WHERE r.group_id = ? AND r.kind = ? AND r.id > ? AND r.payload != x''"
                " AND NOT EXISTS (SELECT 1 FROM incoming i WHERE i.transfer_id = ? AND i.kind = r.kind"
                " AND i.bucket = r.bucket AND i.id = r.id) ORDER BY r.id LIMIT ?",
                (group_id, int(kind), after, transfer_id, limit),
            )
            return [row["id"] for row in rows]

        return cast(list[str], await self._db.read(work))

    async def drop_unchanged(self, transfer_id: int, group_id: int, after: Place, limit: int) -> Place | None:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> Place | None:
            end, some, values = _next(db, transfer_id, after, limit)
            db.execute(
                f"DELETE FROM incoming WHERE transfer_id = :transfer{some} AND payload = ifnull((SELECT r.payload"
                " FROM record r WHERE r.group_id = :group AND r.kind = incoming.kind AND r.id = incoming.id), x'')",
                values | {"group": group_id},
            )
            return end

        return cast(Place | None, await self._db.write(work))

    async def touched(self, transfer_id: int) -> Mapping[RecordKind, Sequence[int]]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> dict[RecordKind, list[int]]:
            found: dict[RecordKind, list[int]] = {}
            query = "SELECT DISTINCT kind, bucket FROM incoming WHERE transfer_id = ?"
            for row in db.execute(query, (transfer_id,)):
                found.setdefault(RecordKind(row["kind"]), []).append(row["bucket"])
            return found

        return cast(dict[RecordKind, list[int]], await self._db.read(work))

    async def digest_with(
        self, transfer_id: int, group_id: int, kind: RecordKind, buckets: Sequence[int]
    ) -> Mapping[int, Bucket]:
        """See RecordStore."""
        marks = ", ".join("?" * len(buckets))
        columns, which = "SELECT bucket, id, payload FROM", f"kind = ? AND bucket IN ({marks})"
        is_there = f"{columns} record INDEXED BY record_bucket WHERE group_id = ? AND {which}"
        arrived = f"{columns} incoming WHERE transfer_id = ? AND {which}"

        def work(db: sqlite3.Connection) -> dict[int, Bucket]:
            records: dict[int, dict[str, bytes]] = {bucket: {} for bucket in buckets}
            for query, owner in ((is_there, group_id), (arrived, transfer_id)):
                for bucket, record_id, payload in db.execute(query, (owner, int(kind), *buckets)):
                    records[bucket][record_id] = payload
            return {bucket: _digest(found) for bucket, found in records.items()}

        return cast(dict[int, Bucket], await self._db.read(work))

    async def staged(self, transfer_id: int) -> int:
        """See RecordStore."""
        query = "SELECT count(*) FROM incoming WHERE transfer_id = ?"
        return cast(int, await self._db.read(lambda db: db.execute(query, (transfer_id,)).fetchone()[0]))

    async def apply(self, transfer_id: int, group_id: int, revision: int, after: Place, limit: int) -> Place | None:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> Place | None:
            end, some, values = _next(db, transfer_id, after, limit)
            values |= _values(transfer_id, group_id, revision)
            db.execute(_KEEP_VERSIONS + some, values)
            db.execute(_TAKE_OVER.format(some=some) + _AS_NEW, values)
            return end

        return cast(Place | None, await self._db.write(work))

    async def undo(self, group_id: int, above: int, limit: int) -> bool:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> bool:
            left = limit
            for kind in RecordKind:
                rows = db.execute(
                    "SELECT id FROM record INDEXED BY record_revision"
                    " WHERE group_id = ? AND kind = ? AND revision > ? LIMIT ?",
                    (group_id, int(kind), above, left),
                ).fetchall()
                for row in rows:
                    _take_back(db, (group_id, int(kind), row["id"]), above)
                left -= len(rows)
            return left == 0

        return cast(bool, await self._db.write(work))

    async def commit(
        self, transfer_id: int, group_id: int, backup: Backup, buckets: Buckets, request_id: str = ""
    ) -> None:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> None:
            values = _values(transfer_id, group_id, backup.revision)
            _save_devices(db, values)
            _save_buckets(db, group_id, buckets)
            _insert_revision(db, group_id, backup)
            if request_id:
                at = time.time()
                db.execute("DELETE FROM request WHERE at < ?", (at - REQUESTS_KEPT,))
                db.execute("INSERT OR REPLACE INTO request VALUES (?, ?, ?)", (group_id, request_id, at))

        await self._db.write(work)

    async def repair(self, transfer_id: int, group_id: int, backup: Backup, buckets: Buckets) -> None:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> None:
            values = _values(transfer_id, group_id, backup.revision)
            db.execute(_TAKE_OVER.format(some=""), values)
            _save_devices(db, values)
            _save_buckets(db, group_id, buckets)
            update = "UPDATE revision SET kinds = ? WHERE group_id = ? AND revision = ?"
            db.execute(update, (kinds_to_json(backup.kinds), group_id, backup.revision))

        await self._db.write(work)

    async def staged_devices(
        self, transfer_id: int, group_id: int, after: str, limit: int
    ) -> Sequence[tuple[str, DeviceRow | None]]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> list[tuple[str, DeviceRow | None]]:
            rows = db.execute(
                "SELECT id, key_sha256, account_number, supervision, disabled FROM incoming"
                " WHERE transfer_id = ? AND kind = ? AND id > ? ORDER BY id LIMIT ?",
                (transfer_id, int(RecordKind.DEVICE), after, limit),
            )
            return [(row["id"], _device(group_id, row)) for row in rows]

        return cast(list[tuple[str, DeviceRow | None]], await self._db.read(work))

    async def drop(self, transfer_id: int, limit: int) -> bool:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> bool:
            key = "kind, bucket, id"
            found = f"SELECT {key} FROM incoming WHERE transfer_id = :transfer LIMIT :limit"
            gone = db.execute(
                f"DELETE FROM incoming WHERE transfer_id = :transfer AND ({key}) IN ({found})",
                {"transfer": transfer_id, "limit": limit},
            )
            return gone.rowcount == limit

        return cast(bool, await self._db.write(work))

    async def prune(self, group_id: int, oldest: int, limit: int) -> bool:
        """See RecordStore."""
        values = {"group": group_id, "oldest": oldest, "limit": limit}

        def work(db: sqlite3.Connection) -> bool:
            # First the revisions: one whose records are half gone must not be asked for.
            return any(db.execute(statement, values).rowcount == limit for statement in _PRUNE)

        return cast(bool, await self._db.write(work))


_PRUNE = (
    "DELETE FROM revision WHERE group_id = :group AND revision IN (SELECT revision FROM revision"
    " WHERE group_id = :group AND revision < :oldest ORDER BY revision LIMIT :limit)",
    "DELETE FROM record_version WHERE group_id = :group AND (kind, id, revision) IN (SELECT kind, id, revision"
    " FROM record_version INDEXED BY version_until WHERE group_id = :group AND until <= :oldest LIMIT :limit)",
    "DELETE FROM record WHERE group_id = :group AND (kind, id) IN (SELECT kind, id FROM record INDEXED BY record_gone"
    " WHERE group_id = :group AND revision <= :oldest AND payload = x'' LIMIT :limit)",
)


def _staged(transfer_id: int, record: RecordRow) -> tuple[Any, ...]:
    device = record.device
    return (
        transfer_id,
        int(record.kind),
        bucket_of(record.id),
        record.id,
        record.payload,
        record.changed,
        record.operator,
        device.key_sha256 if device else None,
        device.account_number if device else None,
        device.watched.interval if device else None,
        int(device.watched.disabled) if device else None,
    )


def _device(group_id: int, row: sqlite3.Row) -> DeviceRow | None:
    if row["key_sha256"] is None:
        return None
    watched = Watched(row["supervision"], bool(row["disabled"]))
    return DeviceRow(group_id, row["id"], row["key_sha256"], row["account_number"], watched)


def _next(
    db: sqlite3.Connection, transfer_id: int, after: Place, limit: int
) -> tuple[Place | None, str, dict[str, Any]]:
    """The next so many records of a transfer: the last of them (None: there are no more behind), and the condition and
    values that mean them."""
    values: dict[str, Any] = {"transfer": transfer_id, "last": limit - 1}
    values |= dict(zip(("from_kind", "from_bucket", "from_id"), after, strict=True))
    some = " AND (incoming.kind, incoming.bucket, incoming.id) > (:from_kind, :from_bucket, :from_id)"
    row = db.execute(
        f"SELECT kind, bucket, id FROM incoming WHERE transfer_id = :transfer{some}"
        " ORDER BY kind, bucket, id LIMIT 1 OFFSET :last",
        values,
    ).fetchone()
    if row is None:
        return None, some, values
    values |= {"to_kind": row["kind"], "to_bucket": row["bucket"], "to_id": row["id"]}
    some += " AND (incoming.kind, incoming.bucket, incoming.id) <= (:to_kind, :to_bucket, :to_id)"
    return (row["kind"], row["bucket"], row["id"]), some, values


def _take_back(db: sqlite3.Connection, key: tuple[int, int, str], above: int) -> None:
    """Make a record what it was before it was applied for a revision above."""
    which = "WHERE group_id = ? AND kind = ? AND id = ?"
    before = db.execute(
        f"SELECT payload, revision, changed, operator FROM record_version {which} AND until > ?", (*key, above)
    ).fetchone()
    if before is None:
        db.execute(f"DELETE FROM record {which}", key)
        return
    db.execute(f"UPDATE record SET payload = ?, revision = ?, changed = ?, operator = ? {which}", (*before, *key))
    db.execute(f"DELETE FROM record_version {which} AND until > ?", (*key, above))


def _values(transfer_id: int, group_id: int, revision: int) -> dict[str, int]:
    return {
        "transfer": transfer_id,
        "group": group_id,
        "revision": revision,
        "device": int(RecordKind.DEVICE),
    }


def _digest(records: Mapping[str, bytes]) -> Bucket:
    there = [(record_id.encode(), payload) for record_id, payload in records.items() if payload]
    return Bucket(len(there), bucket_digest(there))


def _save_devices(db: sqlite3.Connection, values: Mapping[str, int]) -> None:
    db.execute(_KEEP_DEVICES, values)
    for table in ("device", "device_life"):
        db.execute(_DROP_DEVICES.format(table=table), values)


def _save_buckets(db: sqlite3.Connection, group_id: int, buckets: Buckets) -> None:
    for (kind, number), bucket in buckets.items():
        if bucket.count:
            db.execute(
                "INSERT OR REPLACE INTO bucket VALUES (?, ?, ?, ?, ?)",
                (group_id, int(kind), number, bucket.count, bucket.sha256),
            )
        else:
            db.execute(
                "DELETE FROM bucket WHERE group_id = ? AND kind = ? AND bucket = ?", (group_id, int(kind), number)
            )


def _insert_revision(db: sqlite3.Connection, group_id: int, backup: Backup) -> None:
    db.execute(
        "INSERT INTO revision (group_id, revision, lineage, stored_at, receiver_id, operator, software_version, kinds,"
        " change_count, restored_from, base_revision, base_lineage) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            group_id,
            backup.revision,
            backup.lineage,
            backup.stored_at,
            backup.receiver_id,
            backup.operator,
            backup.software_version,
            kinds_to_json(backup.kinds),
            backup.change_count,
            backup.restored_from,
            backup.base_revision,
            backup.base_lineage,
        ),
    )
