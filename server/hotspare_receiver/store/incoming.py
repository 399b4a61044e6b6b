"""A transfer on its way into this receiver's copy (B5): staged as it comes, proved, then applied whole or not at all.

Pieces are written to tables of their own, so that memory stays bounded; what the tables of the configuration derive
from a record is staged beside it. Once all is there, the digests that it leads to are computed on a connection of
their own. Only then comes the one transaction that applies it: SQL alone, so that the commits of the alarm path wait
for it as short as can be. It refuses when the copy, or the role, is another one by then.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hotspare_model.digest import (
    BUCKETS,
    EMPTY_BUCKET,
    KindDigest,
    RecordKind,
    bucket_digest,
    bucket_of,
    digest_of_buckets,
)
from hotspare_model.kinds import kind_of
from hotspare_model.transfer import Change, Digests, TransferHeader, differing
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.outgoing import write_digests
from hotspare_rpc.records import check_record, check_record_id, filter_values, references, search_text
from hotspare_store.database import Database

SLICE = 2000
"""Rows that are written at once: what others write waits no longer than for so many."""


FEW = 1000
"""Records up to which each is looked up to be replaced; for more of them SQLite reads their kinds once."""


class WrongDigests(Exception):
    """A transfer does not lead to the digests that it names."""

    def __init__(self, kinds: tuple[RecordKind, ...]) -> None:
        super().__init__(f"the digest of {', '.join(kind_of(kind).plural for kind in kinds)} is not the one told")
        self.kinds = kinds


class Overtaken(Exception):
    """The copy, or the role, changed while a transfer was under way."""

    def __init__(self) -> None:
        super().__init__("the copy or the role changed while the transfer was under way")


@dataclass(frozen=True, slots=True)
class Held:
    """As what a transfer was asked for: the number of the role (None: without one) and its generation."""

    role: int | None
    generation: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is to be applied: whose wish it is, on which copy it was asked for, and what it becomes."""

    header: TransferHeader
    digests: Digests
    """Those that the trailer names."""
    held: Held
    lineage: str
    revision: int
    """Lineage and revision of the copy here when it was asked for."""
    synced: bool
    """Whether the copy then follows a host (X1), or is the host's own."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Changes as they are staged."""

    records: Sequence[tuple[int, str, int, bytes | None, int, str]]
    references: Sequence[tuple[int, str, int, str]]
    values: Sequence[tuple[int, str, str]]
    texts: Sequence[tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class _Proof:
    """The buckets that a transfer changes, as (kind, bucket, count, sha256), and the digests that come out."""

    buckets: Sequence[tuple[int, int, int, bytes]]
    digests: Digests
    few: Sequence[tuple[int, str, int]] | None
    """Records that are here and become others, as (kind, id, whether it goes). None: too many to be named."""


def prepare(changes: Sequence[Change]) -> Rows:
    """Check each record of a piece, and derive what is staged. Slow: call it in a thread.

    Raises:
        HotspareError: FIELD_INVALID for a record that can be none.
    """
    records: list[tuple[int, str, int, bytes | None, int, str]] = []
    referred: list[tuple[int, str, int, str]] = []
    values: list[tuple[int, str, str]] = []
    texts: list[tuple[int, str, str]] = []
    for change in changes:
        number, name = int(change.kind), change.record_id
        if change.record:
            kind = kind_of(change.kind)
            payload = check_record(kind, name, change.record)
            referred += [(number, name, int(to), to_id) for to, to_id in references(kind, payload)]
            values += [(number, value, name) for value in filter_values(kind, payload)]
            texts.append((number, name, search_text(kind, payload)))
        else:
            check_record_id(name)
        records.append((number, name, bucket_of(name), change.record or None, change.revision, change.operator))
    return Rows(records, referred, values, texts)


class Incoming:
    """The staging, and its way into the copy. One transfer at a time."""

    def __init__(self, database: Database, configuration: ConfigurationStore) -> None:
        self._database = database
        self._configuration = configuration

    async def begin(self) -> None:
        """Drop what an earlier transfer left."""
        await self._database.write(_empty)

    async def stage(self, rows: Rows) -> None:
        """Keep a piece. Raises HotspareError DISK_LOW, STORE_FAILED."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT INTO incoming VALUES (?, ?, ?, ?, ?, ?)", rows.records)
            connection.executemany("INSERT OR IGNORE INTO incoming_reference VALUES (?, ?, ?, ?)", rows.references)
            connection.executemany("INSERT OR IGNORE INTO incoming_lookup VALUES (?, ?, ?)", rows.values)
            connection.executemany("INSERT INTO incoming_text VALUES (?, ?, ?)", rows.texts)

        await self._database.write(work)

    async def trim(self, whole: Sequence[RecordKind]) -> None:
        """Make plain changes of the kinds that came whole: what is here and did not come is gone, and what is here as
        it came is none. So the transaction that applies them is as long as the difference."""
        for kind in whole:
            for rows in await asyncio.to_thread(self._read, _GONE, (int(kind),)):
                await self._database.write(_many("INSERT INTO incoming VALUES (?, ?, ?, ?, ?, ?)", rows))
        for rows in await asyncio.to_thread(self._read, _UNCHANGED):
            await self._database.write(_many("DELETE FROM incoming WHERE kind = ? AND id = ?", rows))

    def _read(self, query: str, values: tuple[int, ...] = ()) -> list[list[tuple[Any, ...]]]:
        """Rows that are short, in slices of what is written at once."""
        with _reading(self._database.path) as connection:
            rows = connection.execute(query, values).fetchall()
        return [rows[start : start + SLICE] for start in range(0, len(rows), SLICE)]

    def prove(self, arrival: Arrival) -> _Proof:
        """Whether what was staged leads to the digests that were told. Slow: call it in a thread.

        Raises:
            WrongDigests: it does not.
        """
        with _reading(self._database.path) as connection:
            proof = _proof(connection, arrival.header.whole)
        if wrong := differing(proof.digests, arrival.digests):
            raise WrongDigests(wrong)
        return proof

    async def apply(self, arrival: Arrival, proof: _Proof, now: datetime) -> None:
        """Make it the copy, in one transaction.

        Raises:
            Overtaken: nothing was changed.
            HotspareError: DISK_LOW, STORE_FAILED.
        """
        header = arrival.header

        def work(connection: sqlite3.Connection) -> None:
            _check_still(connection, arrival)
            _apply_records(connection, proof)
            _apply_buckets(connection, proof)
            _note_updates(connection, header, now)
            connection.execute(
                "INSERT OR REPLACE INTO copy (one, lineage, revision, operator, synced, software_version)"
                " VALUES (1, ?, ?, '', ?, ?)",
                (header.lineage, header.revision, int(arrival.synced), header.software_version),
            )
            # What came from the cloud is at the cloud: a spare that is promoted goes on from it (G8).
            connection.execute("DELETE FROM push")
            connection.execute("DELETE FROM lineage_begun")
            connection.execute(
                "INSERT INTO push (revision, digests, stored) VALUES (?, ?, 1)",
                (header.revision, write_digests(arrival.digests)),
            )

        await self._database.write(work)
        await self._configuration.reload()
        await self._database.write(_empty)


def _many(statement: str, rows: Sequence[tuple[Any, ...]]) -> Callable[[sqlite3.Connection], None]:
    def work(connection: sqlite3.Connection) -> None:
        connection.executemany(statement, rows)

    return work


def _empty(connection: sqlite3.Connection) -> None:
    for table in ("incoming", "incoming_reference", "incoming_lookup", "incoming_text"):
        connection.execute(f"DELETE FROM {table}")


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of its own that reads one moment, so that nobody else's reads wait for it."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


# Named, for without statistics SQLite would take the primary key, and read the whole kind for each bucket.
_OF_BUCKET = (
    "SELECT id, record FROM incoming INDEXED BY incoming_bucket"
    " WHERE kind = :kind AND bucket = :bucket AND record IS NOT NULL"
    " UNION ALL SELECT id, record FROM record INDEXED BY record_bucket"
    " WHERE kind = :kind AND bucket = :bucket AND record IS NOT NULL AND NOT EXISTS"
    " (SELECT 1 FROM incoming WHERE incoming.kind = record.kind AND incoming.id = record.id)"
)
_GONE = (
    "SELECT kind, id, bucket, NULL, 0, '' FROM record WHERE kind = ? AND NOT EXISTS"
    " (SELECT 1 FROM incoming WHERE incoming.kind = record.kind AND incoming.id = record.id)"
)
_OTHER = (
    "SELECT incoming.kind, incoming.id, incoming.record IS NULL FROM incoming CROSS JOIN record"
    " ON record.kind = incoming.kind AND record.id = incoming.id WHERE record.record IS NOT incoming.record"
    " OR incoming.record IS NULL"
)
_UNCHANGED = (
    "SELECT incoming.kind, incoming.id FROM incoming CROSS JOIN record"
    " ON record.kind = incoming.kind AND record.id = incoming.id"
    " WHERE record.record IS incoming.record AND record.revision = incoming.revision"
)


def _proof(connection: sqlite3.Connection, whole: Sequence[RecordKind]) -> _Proof:
    """Of kinds that came whole all buckets are digested anew: it may be what is known of them that is wrong."""
    known: dict[int, dict[int, tuple[int, bytes]]] = {int(kind): {} for kind in RecordKind}
    for kind, bucket, count, sha256 in connection.execute("SELECT kind, bucket, count, sha256 FROM bucket"):
        known[kind][bucket] = (count, sha256)
    changed = []
    touched = connection.execute("SELECT DISTINCT kind, bucket FROM incoming INDEXED BY incoming_bucket").fetchall()
    anew = {(int(kind), bucket) for kind in whole for bucket in range(BUCKETS)}
    for kind, bucket in sorted({*anew, *((row[0], row[1]) for row in touched)}):
        rows = connection.execute(_OF_BUCKET, {"kind": kind, "bucket": bucket}).fetchall()
        found = (len(rows), bucket_digest((name.encode(), record) for name, record in rows))
        if known[kind].get(bucket, (0, EMPTY_BUCKET)) != found:
            known[kind][bucket] = found
            changed.append((kind, bucket, *found))
    others = connection.execute(f"{_OTHER} LIMIT {FEW + 1}").fetchall()
    few = others if len(others) <= FEW else None
    return _Proof(changed, tuple(_digest(kind, known[int(kind)]) for kind in RecordKind), few)


def _digest(kind: RecordKind, buckets: Mapping[int, tuple[int, bytes]]) -> KindDigest:
    digests = [buckets[number][1] if number in buckets else EMPTY_BUCKET for number in range(BUCKETS)]
    return digest_of_buckets(kind, sum(count for count, _ in buckets.values()), digests)


def _check_still(connection: sqlite3.Connection, arrival: Arrival) -> None:
    copy = connection.execute("SELECT lineage, revision FROM copy").fetchone()
    identity = connection.execute("SELECT role, generation FROM identity").fetchone()
    here = ("", 0) if copy is None else (copy["lineage"], copy["revision"])
    if here != (arrival.lineage, arrival.revision) or Held(*identity) != arrival.held:
        raise Overtaken


_DERIVED = (
    ("reference", "incoming_reference", ("kind", "id", "to_kind", "to_id")),
    # Named as above: its primary key would be taken for all of the kind.
    ("lookup INDEXED BY lookup_id", "incoming_lookup", ("kind", "value", "id")),
    ("record_text", "incoming_text", ("kind", "id", "text")),
)


def _apply_records(connection: sqlite3.Connection, proof: _Proof) -> None:
    for table, staged, names in _DERIVED:
        # What is derived follows the contents; a record of another revision with the same ones keeps it.
        if proof.few is not None:
            keys = [(kind, record_id) for kind, record_id, _ in proof.few]
            connection.executemany(f"DELETE FROM {table} WHERE kind = ? AND id = ?", keys)
        else:
            connection.execute(f"DELETE FROM {table} WHERE (kind, id) IN (SELECT kind, id FROM ({_OTHER}))")
        columns = ", ".join(f"{staged}.{name}" for name in names)
        connection.execute(
            f"INSERT INTO {table.split()[0]} ({', '.join(names)}) SELECT {columns} FROM incoming LEFT JOIN record"
            " ON record.kind = incoming.kind AND record.id = incoming.id"
            f" CROSS JOIN {staged} ON {staged}.kind = incoming.kind AND {staged}.id = incoming.id"
            " WHERE incoming.record IS NOT NULL AND record.record IS NOT incoming.record"
        )
    if proof.few is not None:
        gone = [(kind, record_id) for kind, record_id, is_gone in proof.few if is_gone]
        connection.executemany("DELETE FROM record WHERE kind = ? AND id = ?", gone)
    else:
        connection.execute(
            "DELETE FROM record WHERE (kind, id) IN (SELECT kind, id FROM incoming WHERE record IS NULL)"
        )
    connection.execute(
        "INSERT INTO record (kind, id, bucket, record, revision, operator)"
        " SELECT kind, id, bucket, record, revision, operator FROM incoming WHERE record IS NOT NULL"
        " ON CONFLICT (kind, id) DO UPDATE SET record = excluded.record, revision = excluded.revision,"
        " operator = excluded.operator"
    )


def _apply_buckets(connection: sqlite3.Connection, proof: _Proof) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO bucket (kind, bucket, count, sha256) VALUES (?, ?, ?, ?)", proof.buckets
    )
    connection.execute("DELETE FROM bucket WHERE count = 0")


def _note_updates(connection: sqlite3.Connection, header: TransferHeader, now: datetime) -> None:
    """When each kind changed, and in which revision: that of its newest change, or where records only went, this."""
    newest = connection.execute("SELECT kind, max(revision) FROM incoming GROUP BY kind").fetchall()
    connection.executemany(
        "INSERT OR REPLACE INTO kind_update (kind, revision, time) VALUES (?, ?, ?)",
        [(kind, revision or header.revision, now.isoformat()) for kind, revision in newest],
    )
    # A kind without a record has its row too: it is this copy's choice to have none.
    connection.executemany(
        "INSERT INTO kind_update (kind, revision, time) VALUES (?, 0, ?) ON CONFLICT DO NOTHING",
        [(int(kind), now.isoformat()) for kind in header.whole],
    )
