"""The configuration at one moment, read piece by piece: for a push, which must not hold all of it in memory (B3)."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from hotspare_model.digest import RecordKind
from hotspare_model.transfer import CHUNK_BYTES, Change, Digests
from hotspare_receiver.store.digests import digests
from hotspare_receiver.store.draft import Head, read_head

_KEYS = 500
"""Keys that are read at once."""


class View:
    """The changes after a base (all records, with base 0), with head and digests of the same moment.

    Edits go on meanwhile; nothing of them is seen here. Read `changes` once.
    """

    def __init__(self, connection: sqlite3.Connection, base: int, whole_kinds: Collection[RecordKind]) -> None:
        self._connection = connection
        self.head: Head = read_head(connection)
        self.digests: Digests = digests(connection)
        chosen = _chosen(base, whole_kinds)
        self.count: int = connection.execute(f"SELECT count(*) FROM {chosen[0]}", chosen[1]).fetchone()[0]
        self._keys = connection.execute(f"SELECT kind, id FROM {chosen[0]} ORDER BY kind, id", chosen[1])
        self._ahead: list[sqlite3.Row] = []
        # A connection that is closed while another thread steps a statement of it takes the process along.
        self._reading = threading.Lock()
        self._closed = False

    async def changes(self) -> AsyncIterator[Change]:
        """By kind, then id, as a transfer takes them."""
        while piece := await asyncio.to_thread(self._piece):
            for change in piece:
                yield change

    def close(self) -> None:
        """End it, after a read that was abandoned in its thread."""
        with self._reading:
            self._closed = True
            self._connection.close()

    def _piece(self) -> list[Change]:
        with self._reading:
            return [] if self._closed else self._read_piece()

    def _read_piece(self) -> list[Change]:
        """The next changes: at most a piece of a transfer, but one at least while there are any."""
        piece: list[Change] = []
        size = 0
        while size < CHUNK_BYTES:
            if not self._ahead:
                self._ahead = self._keys.fetchmany(_KEYS)[::-1]
            if not self._ahead:
                break
            key = self._ahead.pop()
            row = self._connection.execute(
                "SELECT record, revision, operator FROM record WHERE kind = ? AND id = ?", (key["kind"], key["id"])
            ).fetchone()
            record = row["record"] or b""
            piece.append(Change(RecordKind(key["kind"]), key["id"], record, row["revision"], row["operator"]))
            size += len(record) + len(key["id"])
        return piece


@asynccontextmanager
async def open_view(path: Path, base: int, whole_kinds: Collection[RecordKind] = ()) -> AsyncIterator[View]:
    """Look at the database at `path` as it is now, on a connection of its own.

    Leave it soon: while it is open the WAL can't be reset, and grows with what is written.
    """
    view = await asyncio.to_thread(_open, path, base, whole_kinds)
    try:
        yield view
    finally:
        # Not in the loop: it waits for a read that was abandoned in a thread.
        await asyncio.shield(asyncio.to_thread(view.close))


def _open(path: Path, base: int, whole_kinds: Collection[RecordKind]) -> View:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=5.0
    )
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        return View(connection, base, whole_kinds)
    except BaseException:
        connection.close()
        raise


def _chosen(base: int, whole_kinds: Collection[RecordKind]) -> tuple[str, tuple[int, ...]]:
    """Which records are sent. Where a kind is sent whole, deletions mean nothing."""
    if not base:
        return "record WHERE record IS NOT NULL", ()
    if not whole_kinds:
        # The index has the keys, so that the records of others are not read.
        return "record INDEXED BY record_revision WHERE revision > ?", (base,)
    kinds = tuple(map(int, whole_kinds))
    marks = ", ".join("?" for _ in kinds)
    return f"record WHERE CASE WHEN kind IN ({marks}) THEN record IS NOT NULL ELSE revision > ? END", (*kinds, base)
