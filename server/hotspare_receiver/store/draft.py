"""One edit of the configuration, whole: what it reads and writes, and its place in the line of changes (B3).

Whatever an edit changes, with all that goes along, is one revision; an edit that changes nothing is none.
"""

import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from hotspare_model.digest import RecordKind
from hotspare_receiver.store import catalogue, records
from hotspare_receiver.store.digests import Bucket, follow


@dataclass(frozen=True, slots=True)
class Head:
    """Where the copy stands. `operator`: who made the newest edit. Without lineage it was never edited."""

    lineage: str = ""
    revision: int = 0
    operator: str = ""


class Draft:
    """An edit under way, in a transaction of the writer. `finish` it, or let the transaction be undone."""

    def __init__(self, connection: sqlite3.Connection, operator: str, now: datetime) -> None:
        self._connection = connection
        self._operator = operator
        self._now = now
        self._before = read_head(connection)
        self._revision = self._before.revision + 1
        self._touched: set[Bucket] = set()
        self._pending: Mapping[str, bytes] = {} if events_began(connection) else catalogue.catalogue()

    @property
    def changed(self) -> bool:
        """Whether anything was put."""
        return bool(self._touched)

    def get(self, kind: RecordKind, record_id: str) -> bytes | None:
        """A record as it is now, or None."""
        if kind is catalogue.KIND and self._pending:
            return self._pending.get(record_id)
        return records.get(self._connection, kind, record_id)

    def all(self, kind: RecordKind) -> Iterator[tuple[str, bytes]]:
        """All records of a kind, by id. Finish with them before the next `put`."""
        if kind is catalogue.KIND and self._pending:
            yield from self._pending.items()
            return
        rows = self._connection.execute(
            "SELECT id, record FROM record WHERE kind = ? AND record IS NOT NULL ORDER BY id", (int(kind),)
        )
        for row in rows:
            yield row["id"], row["record"]

    def referring(self, kind: RecordKind, record_id: str) -> list[tuple[RecordKind, str]]:
        """What refers to a record, by kind and id."""
        rows = self._connection.execute(
            "SELECT kind, id FROM reference WHERE to_kind = ? AND to_id = ? ORDER BY kind, id", (int(kind), record_id)
        ).fetchall()
        return [(RecordKind(row["kind"]), row["id"]) for row in rows]

    def with_value(self, kind: RecordKind, value: str) -> list[str]:
        """The ids of the records that the filter of the kind's list finds by `value`."""
        rows = self._connection.execute(
            "SELECT id FROM lookup WHERE kind = ? AND value = ? ORDER BY id", (int(kind), value)
        ).fetchall()
        return [row["id"] for row in rows]

    def put(self, kind: RecordKind, record_id: str, record: bytes | None) -> None:
        """Put a record in its place; None deletes it."""
        pending, self._pending = self._pending, {}
        for event_id, event in pending.items():
            self._put(catalogue.KIND, event_id, event)
        self._put(kind, record_id, record)

    def finish(self) -> Head:
        """Make what was put the next revision. Returns where the copy then stands."""
        if not self._touched:
            return self._before
        head = Head(self._before.lineage or str(uuid.uuid4()), self._revision, self._operator)
        self._connection.execute(
            # The whole row: what an edit leaves is this receiver's own copy, wherever it came from (X1).
            "INSERT OR REPLACE INTO copy (one, lineage, revision, operator) VALUES (1, ?, ?, ?)",
            (head.lineage, head.revision, head.operator),
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO kind_update (kind, revision, time) VALUES (?, ?, ?)",
            [(int(kind), head.revision, self._now.isoformat()) for kind in {kind for kind, _ in self._touched}],
        )
        follow(self._connection, self._touched)
        return head

    def _put(self, kind: RecordKind, record_id: str, record: bytes | None) -> None:
        self._touched.add(records.put(self._connection, kind, record_id, record, self._revision, self._operator))


def read_head(connection: sqlite3.Connection) -> Head:
    """Where the copy stands."""
    row = connection.execute("SELECT lineage, revision, operator FROM copy").fetchone()
    return Head() if row is None else Head(row["lineage"], row["revision"], row["operator"])


def events_began(connection: sqlite3.Connection) -> bool:
    """Whether this configuration has its events already, be it that they were all deleted since."""
    found = connection.execute("SELECT 1 FROM kind_update WHERE kind = ?", (int(catalogue.KIND),)).fetchone()
    return found is not None
