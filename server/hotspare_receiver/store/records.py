"""The rows of a record: the record itself, and what is derived from it so that nobody has to read them all.

- `reference`: what it refers to, so that what refers to a record is found by it;
- `lookup`: the values that the filter of its list compares;
- `record_text`: id and name, in which the list's text is looked for.

Every write of a record goes through `put` or `clear`; whoever writes then has the touched buckets digested (see
`store.digests`) in the same transaction.
"""

import sqlite3

from hotspare_model.digest import RecordKind
from hotspare_model.kinds import kind_of
from hotspare_receiver.store.digests import Bucket, bucket_for, follow
from hotspare_rpc.records import filter_values, references, search_text, unpack

_DERIVED = ("reference", "lookup", "record_text")

# Left to itself SQLite takes the primary key of `lookup`, by the kind alone, and reads the whole kind.
_BY_ID = ("reference", "lookup INDEXED BY lookup_id", "record_text")


def put(
    connection: sqlite3.Connection, kind: RecordKind, record_id: str, record: bytes | None, revision: int, operator: str
) -> Bucket:
    """Put a record in its place; without contents it is deleted, and stays as a row so that this can be sent (B3).

    Returns the bucket that it touches. Raises HotspareError FIELD_INVALID when the bytes are no record of the kind.
    """
    bucket = bucket_for(kind, record_id)
    known = connection.execute(
        "SELECT record IS NOT NULL FROM record WHERE kind = ? AND id = ?", (int(kind), record_id)
    ).fetchone()
    connection.execute(
        "INSERT OR REPLACE INTO record (kind, id, bucket, record, revision, operator) VALUES (?, ?, ?, ?, ?, ?)",
        (int(kind), record_id, bucket[1], record, revision, operator),
    )
    if known is not None and known[0]:
        _forget(connection, kind, record_id)
    if record is not None:
        _derive(connection, kind, record_id, record)
    return bucket


def get(connection: sqlite3.Connection, kind: RecordKind, record_id: str) -> bytes | None:
    """A record, or None."""
    row = connection.execute("SELECT record FROM record WHERE kind = ? AND id = ?", (int(kind), record_id)).fetchone()
    return None if row is None else row["record"]


def clear(connection: sqlite3.Connection, kind: RecordKind | None = None) -> int:
    """Remove all records of a kind, or of all kinds, and what is derived. Returns how many there were."""
    condition, values = ("", ()) if kind is None else (" WHERE kind = ?", (int(kind),))
    there: int = connection.execute(f"SELECT coalesce(sum(count), 0) FROM bucket{condition}", values).fetchone()[0]
    for table in ("record", "bucket", *_DERIVED):
        connection.execute(f"DELETE FROM {table}{condition}", values)
    return there


def rebuild(connection: sqlite3.Connection) -> None:
    """Derive everything from the records anew: for a database of before that knew nothing of it."""
    for table in ("bucket", *_DERIVED):
        connection.execute(f"DELETE FROM {table}")
    rows = connection.execute("SELECT kind, id, bucket, record FROM record WHERE record IS NOT NULL")
    buckets = set()
    for row in rows:
        kind = RecordKind(row["kind"])
        _derive(connection, kind, row["id"], row["record"])
        buckets.add((kind, row["bucket"]))
    follow(connection, buckets)


def _derive(connection: sqlite3.Connection, kind: RecordKind, record_id: str, record: bytes) -> None:
    described, number = kind_of(kind), int(kind)
    payload = unpack(described, record)
    connection.execute(
        "INSERT INTO record_text (kind, id, text) VALUES (?, ?, ?)",
        (number, record_id, search_text(described, payload)),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO reference (kind, id, to_kind, to_id) VALUES (?, ?, ?, ?)",
        [(number, record_id, int(to), to_id) for to, to_id in references(described, payload)],
    )
    connection.executemany(
        "INSERT OR IGNORE INTO lookup (kind, value, id) VALUES (?, ?, ?)",
        [(number, value, record_id) for value in filter_values(described, payload)],
    )


def _forget(connection: sqlite3.Connection, kind: RecordKind, record_id: str) -> None:
    for table in _BY_ID:
        connection.execute(f"DELETE FROM {table} WHERE kind = ? AND id = ?", (int(kind), record_id))
