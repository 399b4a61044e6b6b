"""The digests of the configuration, kept by bucket: an edit costs its buckets, never a whole kind (B5)."""

import sqlite3
from collections.abc import Iterable
from typing import TypeAlias

from hotspare_model.digest import (
    BUCKETS,
    EMPTY_BUCKET,
    KindDigest,
    RecordKind,
    bucket_digest,
    bucket_of,
    digest_of_buckets,
)

Bucket: TypeAlias = tuple[RecordKind, int]


def bucket_for(kind: RecordKind, record_id: str) -> Bucket:
    """Where a record counts."""
    return kind, bucket_of(record_id)


def follow(connection: sqlite3.Connection, touched: Iterable[Bucket]) -> None:
    """Digest the touched buckets anew, in the transaction that touched them."""
    for kind, bucket in set(touched):
        rows = connection.execute(
            "SELECT id, record FROM record INDEXED BY record_bucket"
            " WHERE kind = ? AND bucket = ? AND record IS NOT NULL",
            (int(kind), bucket),
        ).fetchall()
        if not rows:
            connection.execute("DELETE FROM bucket WHERE kind = ? AND bucket = ?", (int(kind), bucket))
            continue
        sha256 = bucket_digest((row["id"].encode(), row["record"]) for row in rows)
        connection.execute("INSERT OR REPLACE INTO bucket VALUES (?, ?, ?, ?)", (int(kind), bucket, len(rows), sha256))


def digests(connection: sqlite3.Connection) -> tuple[KindDigest, ...]:
    """The digest of each kind, in the order of their numbers."""
    buckets = {kind: [EMPTY_BUCKET] * BUCKETS for kind in RecordKind}
    counts = dict.fromkeys(RecordKind, 0)
    for row in connection.execute("SELECT kind, bucket, count, sha256 FROM bucket"):
        kind = RecordKind(row["kind"])
        buckets[kind][row["bucket"]] = row["sha256"]
        counts[kind] += row["count"]
    return tuple(digest_of_buckets(kind, counts[kind], buckets[kind]) for kind in RecordKind)


def count(connection: sqlite3.Connection, kind: RecordKind) -> int:
    """How many records of a kind there are."""
    found: int = connection.execute(
        "SELECT coalesce(sum(count), 0) FROM bucket WHERE kind = ?", (int(kind),)
    ).fetchone()[0]
    return found
