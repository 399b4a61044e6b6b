"""Reading the cloud's copies of configurations in SQLite.

Every page is a short transaction of its own: what it shows is bound to a revision, not to a moment, so that a long
transfer keeps no log from being checkpointed and no other reader waiting.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from hotspare_cloud.store.base_records import Backup, Bucket, DeviceRow, Difference, KindRow
from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.supervision import Watched
from hotspare_model.transfer import Change
from hotspare_store.database import Database

PAGE_BYTES = 512 * 1024
"""Bytes of records from which on a page is full."""

FEW = 1000
"""Up to so many changes are found by their revision and sorted; more are found by going through the whole kind."""

_BACKUP_COLUMNS = (
    "lineage, revision, software_version, kinds, stored_at, receiver_id, operator, change_count, restored_from,"
    " base_revision, base_lineage"
)

# What was there at a revision is either still there, or among the versions that ended after it. Each half is in the
# order of the primary key, so that the two are merged and not sorted; `+` keeps the planner from other indexes.
_AT_REVISION = """
    SELECT id, payload, changed, operator FROM record {by_revision}
      WHERE group_id = :group AND kind = :kind AND id > :after AND {plus}revision > :since AND {plus}revision <= :at
        AND (:since > 0 OR payload != x'')
    UNION ALL
    SELECT id, payload, changed, operator FROM record_version {by_until}
      WHERE group_id = :group AND kind = :kind AND id > :after AND +revision > :since AND +revision <= :at
        AND {plus}until > :at AND (:since > 0 OR payload != x'')
    ORDER BY id LIMIT :limit
"""
_FEW_AT_REVISION = _AT_REVISION.format(
    by_revision="INDEXED BY record_revision", by_until="INDEXED BY version_until", plus=""
)
_MANY_AT_REVISION = _AT_REVISION.format(by_revision="", by_until="", plus="+")

_ONE_AT_REVISION = """
    SELECT payload FROM record WHERE group_id = :group AND kind = :kind AND id = :id AND +revision <= :at
    UNION ALL
    SELECT payload FROM record_version
      WHERE group_id = :group AND kind = :kind AND id = :id AND revision <= :at AND +until > :at
"""

_CHANGED_BETWEEN = """
    SELECT id FROM record
      WHERE group_id = :group AND kind = :kind AND id > :after AND +revision > :from AND +revision <= :to
    UNION
    SELECT id FROM record_version
      WHERE group_id = :group AND kind = :kind AND id > :after AND +revision > :from AND +revision <= :to
    ORDER BY id LIMIT :limit
"""


class SqliteRecords:
    """The reading verbs of `RecordStore` on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def backup(self, group_id: int) -> Backup | None:
        """See RecordStore."""
        newest = await self.revisions(group_id, before=0, limit=1)
        return newest[0] if newest else None

    async def revision(self, group_id: int, number: int) -> Backup | None:
        """See RecordStore."""
        found = await self.revisions(group_id, before=number + 1, limit=1)
        return found[0] if found and found[0].revision == number else None

    async def revisions(self, group_id: int, *, before: int, limit: int) -> Sequence[Backup]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> list[Backup]:
            rows = db.execute(
                f"SELECT {_BACKUP_COLUMNS} FROM revision WHERE group_id = :group"
                " AND (:before = 0 OR revision < :before) ORDER BY revision DESC LIMIT :limit",
                {"group": group_id, "before": before, "limit": limit},
            )
            return [_backup(row) for row in rows]

        return cast(list[Backup], await self._db.read(work))

    async def revision_times(self, group_id: int) -> Sequence[tuple[int, float]]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> list[tuple[int, float]]:
            query = "SELECT revision, stored_at FROM revision WHERE group_id = ? ORDER BY revision"
            return [(row["revision"], row["stored_at"]) for row in db.execute(query, (group_id,))]

        return cast(list[tuple[int, float]], await self._db.read(work))

    async def changes(
        self, group_id: int, kind: RecordKind, *, since: int, at: int, after: str, limit: int
    ) -> Sequence[Change]:
        """See RecordStore."""
        values = {"group": group_id, "kind": int(kind), "since": since, "at": at, "after": after, "limit": limit}

        def work(db: sqlite3.Connection) -> list[Change]:
            query = _FEW_AT_REVISION if since and _few_changed(db, values) else _MANY_AT_REVISION
            with contextlib.closing(db.execute(query, values)) as rows:
                return _page(kind, rows)

        return cast(list[Change], await self._db.read(work))

    async def differences(
        self, group_id: int, kind: RecordKind, *, from_revision: int, to_revision: int, after: str, limit: int
    ) -> tuple[Sequence[Difference], str]:
        """See RecordStore."""
        values = {"group": group_id, "kind": int(kind), "from": from_revision, "to": to_revision, "after": after}

        def work(db: sqlite3.Connection) -> tuple[list[Difference], str]:
            ids = [row["id"] for row in db.execute(_CHANGED_BETWEEN, {**values, "limit": limit})]
            found: list[Difference] = []
            size = 0
            for record_id in ids:
                before, after = (_at(db, group_id, kind, record_id, at) for at in (from_revision, to_revision))
                if before != after:
                    found.append(Difference(kind, record_id, before, after))
                    size += len(before) + len(after)
                if size >= PAGE_BYTES:
                    return found, record_id
            return found, ids[-1] if len(ids) == limit else ""

        return cast(tuple[list[Difference], str], await self._db.read(work))

    async def bucket_digests(self, group_id: int, kind: RecordKind) -> Mapping[int, Bucket]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> dict[int, Bucket]:
            query = "SELECT bucket, count, sha256 FROM bucket WHERE group_id = ? AND kind = ?"
            rows = db.execute(query, (group_id, int(kind)))
            return {row["bucket"]: Bucket(row["count"], row["sha256"]) for row in rows}

        return cast(dict[int, Bucket], await self._db.read(work))

    async def devices(self) -> Sequence[DeviceRow]:
        """See RecordStore."""

        def work(db: sqlite3.Connection) -> list[DeviceRow]:
            columns = "group_id, device_id, key_sha256, account_number, supervision, disabled"
            rows = db.execute(f"SELECT {columns} FROM device")
            return [
                DeviceRow(group_id, device_id, key, account, Watched(interval, bool(disabled)))
                for group_id, device_id, key, account, interval, disabled in rows
            ]

        return cast(list[DeviceRow], await self._db.read(work))


def kinds_to_json(kinds: Iterable[KindRow]) -> str:
    """The kinds of a revision as they are stored."""
    return json.dumps(
        [(row.digest.kind, row.digest.count, row.digest.sha256.hex(), row.revision, row.changed_at) for row in kinds]
    )


def _backup(row: sqlite3.Row) -> Backup:
    values: dict[str, Any] = dict(row)
    values["kinds"] = tuple(
        KindRow(KindDigest(RecordKind(kind), count, bytes.fromhex(sha256)), revision, changed_at)
        for kind, count, sha256, revision, changed_at in json.loads(values["kinds"])
    )
    return Backup(**values)


def _few_changed(db: sqlite3.Connection, values: Mapping[str, Any]) -> bool:
    query = (
        "SELECT count(*) FROM (SELECT 1 FROM record INDEXED BY record_revision"
        " WHERE group_id = :group AND kind = :kind AND revision > :since LIMIT :most)"
    )
    return bool(db.execute(query, {**values, "most": FEW + 1}).fetchone()[0] <= FEW)


def _page(kind: RecordKind, rows: Iterable[sqlite3.Row]) -> list[Change]:
    page: list[Change] = []
    size = 0
    for row in rows:
        page.append(Change(kind, row["id"], row["payload"], row["changed"], row["operator"]))
        size += len(row["payload"])
        if size >= PAGE_BYTES:
            break
    return page


def _at(db: sqlite3.Connection, group_id: int, kind: RecordKind, record_id: str, revision: int) -> bytes:
    """A record as it was at a revision; empty if it was not there."""
    row = db.execute(
        _ONE_AT_REVISION, {"group": group_id, "kind": int(kind), "id": record_id, "at": revision}
    ).fetchone()
    payload: bytes = row["payload"] if row is not None else b""
    return payload
