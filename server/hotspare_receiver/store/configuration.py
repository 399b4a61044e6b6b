"""The configuration at this receiver: records of six kinds, each edit a revision, and what was sent of it
(B1, B3).

A record is the deterministically serialized `Record` of the contract, kept as bytes: the digest is over
exactly what every side stores. A deleted one stays as a row without contents, for its deletion has to travel
too.
"""

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from hotspare_model.digest import (
    BUCKETS,
    EMPTY_BUCKET,
    KindDigest,
    RecordKind,
    bucket_digest,
    bucket_of,
    digest_of_buckets,
    empty_digests,
)
from hotspare_receiver.core.push import Change, Digests, LocalCopy
from hotspare_store.database import Database

SENT_KEPT = 100
"""Pushes without an answer that are remembered at most; only the newest of them can be the cloud's."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the copy stands. `operator`: who made the newest edit. Without lineage it was never edited."""

    lineage: str = ""
    revision: int = 0
    operator: str = ""


@dataclass(frozen=True, slots=True)
class KindState:
    """One kind: its digest, and when (aware UTC) and in which revision it changed last."""

    digest: KindDigest
    revision: int
    updated: datetime | None


@dataclass(frozen=True, slots=True)
class Cut:
    """The copy at one moment: its head, its digests, and the changes after a base (all records, with base 0)."""

    head: Head
    digests: Digests
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records by id, whether there are more, and how many the filter lets through in all."""

    records: tuple[tuple[str, bytes], ...]
    more: bool
    total: int


class _Buckets:
    """The digests of one kind's buckets at a revision: an edit costs one bucket and not the whole kind."""

    def __init__(self) -> None:
        self.revision = 0
        self.digests = [EMPTY_BUCKET] * BUCKETS
        self.counts = [0] * BUCKETS

    def follow(self, connection: sqlite3.Connection, kind: RecordKind, revision: int) -> None:
        """Digest the buckets anew that changed since."""
        if revision == self.revision:
            return
        changed = connection.execute(
            "SELECT DISTINCT bucket FROM record WHERE kind = ? AND revision > ?", (int(kind), self.revision)
        ).fetchall()
        for (bucket,) in changed:
            rows = connection.execute(
                "SELECT id, record FROM record WHERE kind = ? AND bucket = ? AND record IS NOT NULL",
                (int(kind), bucket),
            ).fetchall()
            self.digests[bucket] = bucket_digest((row["id"].encode(), row["record"]) for row in rows)
            self.counts[bucket] = len(rows)
        self.revision = revision


class ConfigurationStore:
    """Records in the database. `head` is here too, always that of the newest edit that was answered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # After the start only the thread of reads uses it.
        self._buckets: dict[RecordKind, _Buckets] = {}
        self.head: Head = database.read_now(_head)
        self.kinds: tuple[KindState, ...] = database.read_now(self._kind_states)

    async def edit(
        self,
        kind: RecordKind,
        record_id: str,
        operator: str,
        now: datetime,
        change: Callable[[bytes | None], bytes | None],
    ) -> bytes | None:
        """Put what `change` makes of a record in its place, as the next revision; the same again makes none.

        `change` gets the record, or None, and returns the new one, or None for deleting it. It runs in the
        transaction, and what it raises is raised here, with nothing changed.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
        """

        def work(connection: sqlite3.Connection) -> tuple[bytes | None, Head]:
            row = connection.execute(
                "SELECT record FROM record WHERE kind = ? AND id = ?", (int(kind), record_id)
            ).fetchone()
            before: bytes | None = None if row is None else row["record"]
            after = change(before)
            head = _head(connection)
            if after == before:
                return after, head
            head = Head(head.lineage or str(uuid.uuid4()), head.revision + 1, operator)
            connection.execute(
                "INSERT OR REPLACE INTO copy VALUES (1, ?, ?, ?)", (head.lineage, head.revision, operator)
            )
            connection.execute(
                "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?)",
                (int(kind), record_id, bucket_of(record_id), after, head.revision),
            )
            connection.execute(
                "INSERT OR REPLACE INTO kind_update VALUES (?, ?, ?)",
                (int(kind), head.revision, now.isoformat()),
            )
            return after, head

        after, head = await self._database.write(work)
        if head.revision > self.head.revision:
            self.head = head
        result: bytes | None = after
        return result

    async def get(self, kind: RecordKind, record_id: str) -> bytes | None:
        """A record, or None."""

        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(
                "SELECT record FROM record WHERE kind = ? AND id = ?", (int(kind), record_id)
            ).fetchone()
            return None if row is None else row["record"]

        record: bytes | None = await self._database.read(work)
        return record

    async def page(self, kind: RecordKind, after: str, size: int, accept: Callable[[bytes], bool] | None) -> RecordPage:
        """Records with ids above `after` that `accept` lets through (None: all), at most `size` of them."""

        def work(connection: sqlite3.Connection) -> RecordPage:
            with _one_view(connection):
                if accept is None:
                    total = connection.execute(
                        "SELECT count(*) FROM record WHERE kind = ? AND record IS NOT NULL", (int(kind),)
                    ).fetchone()[0]
                    found = connection.execute(
                        "SELECT id, record FROM record WHERE kind = ? AND record IS NOT NULL AND id > ? "
                        "ORDER BY id LIMIT ?",
                        (int(kind), after, size + 1),
                    ).fetchall()
                    rows = [(row["id"], row["record"]) for row in found]
                else:
                    let_through = [item for item in _records(connection, kind) if accept(item[1])]
                    total = len(let_through)
                    rows = [item for item in let_through if item[0] > after][: size + 1]
            return RecordPage(tuple(rows[:size]), len(rows) > size, total)

        page: RecordPage = await self._database.read(work)
        return page

    async def count(self) -> int:
        """How many records there are, of all kinds."""

        def work(connection: sqlite3.Connection) -> int:
            found: int = connection.execute("SELECT count(*) FROM record WHERE record IS NOT NULL").fetchone()[0]
            return found

        total: int = await self._database.read(work)
        return total

    async def cut(self, base: int) -> Cut:
        """The changes after revision `base`, with head and digests of the same moment."""

        def work(connection: sqlite3.Connection) -> Cut:
            with _one_view(connection):
                return Cut(_head(connection), self._digests(connection), tuple(_changes(connection, base)))

        found: Cut = await self._database.read(work)
        return found

    async def refresh(self) -> tuple[KindState, ...]:
        """Read the state of all kinds anew, for the backup table and for GetDigest; `kinds` has it then too."""

        def work(connection: sqlite3.Connection) -> tuple[KindState, ...]:
            with _one_view(connection):
                return self._kind_states(connection)

        self.kinds = await self._database.read(work)
        return self.kinds

    async def local_copy(self) -> LocalCopy:
        """What the decision about the next push needs."""

        def work(connection: sqlite3.Connection) -> LocalCopy:
            with _one_view(connection):
                head = _head(connection)
                rows = connection.execute("SELECT revision, digests FROM push").fetchall()
            return LocalCopy(
                head.lineage, head.revision, {row["revision"]: _digests_of(row["digests"]) for row in rows}
            )

        copy: LocalCopy = await self._database.read(work)
        return copy

    async def remember_push(self, revision: int, digests: Digests) -> None:
        """Keep what is about to be sent, so that it is known again if its answer is lost."""
        text = json.dumps([[int(digest.kind), digest.count, digest.sha256.hex()] for digest in digests])

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO push VALUES (?, ?)", (revision, text))
            connection.execute(
                "DELETE FROM push WHERE revision NOT IN (SELECT revision FROM push ORDER BY revision DESC LIMIT ?)",
                (SENT_KEPT,),
            )

        await self._database.write(work)

    async def pushed(self, revision: int) -> None:
        """The cloud has `revision`: what was sent before it is history."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM push WHERE revision < ?", (revision,))

        await self._database.write(work)

    def _kind_states(self, connection: sqlite3.Connection) -> tuple[KindState, ...]:
        updates = {row["kind"]: row for row in connection.execute("SELECT * FROM kind_update")}
        states = []
        for digest in self._digests(connection):
            row = updates.get(int(digest.kind))
            states.append(
                KindState(digest, 0, None)
                if row is None
                else KindState(digest, row["revision"], datetime.fromisoformat(row["time"]))
            )
        return tuple(states)

    def _digests(self, connection: sqlite3.Connection) -> Digests:
        found = {digest.kind: digest for digest in empty_digests()}
        for row in connection.execute("SELECT kind, revision FROM kind_update").fetchall():
            kind, revision = RecordKind(row["kind"]), row["revision"]
            buckets = self._buckets.setdefault(kind, _Buckets())
            buckets.follow(connection, kind, revision)
            found[kind] = digest_of_buckets(kind, sum(buckets.counts), buckets.digests)
        return tuple(found[kind] for kind in RecordKind)


@contextmanager
def _one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads inside see the same moment. Short: a long one keeps the WAL from being checkpointed."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def _head(connection: sqlite3.Connection) -> Head:
    row = connection.execute("SELECT * FROM copy").fetchone()
    return Head() if row is None else Head(row["lineage"], row["revision"], row["operator"])


def _records(connection: sqlite3.Connection, kind: RecordKind) -> Iterator[tuple[str, bytes]]:
    rows = connection.execute(
        "SELECT id, record FROM record WHERE kind = ? AND record IS NOT NULL ORDER BY id", (int(kind),)
    )
    for row in rows:
        yield row["id"], row["record"]


def _changes(connection: sqlite3.Connection, base: int) -> Iterator[Change]:
    """By kind, then id, as the transfer takes them. Where all is sent, deletions mean nothing."""
    rows = connection.execute(
        "SELECT * FROM record WHERE revision > ? AND (? > 0 OR record IS NOT NULL) ORDER BY kind, id",
        (base, base),
    )
    for row in rows:
        yield Change(RecordKind(row["kind"]), row["id"], row["record"] or b"", row["revision"])


def _digests_of(text: str) -> Digests:
    return tuple(KindDigest(RecordKind(kind), count, bytes.fromhex(sha256)) for kind, count, sha256 in json.loads(text))
