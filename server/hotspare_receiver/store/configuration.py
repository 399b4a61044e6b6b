"""The configuration at this receiver: records of six kinds, and each edit a revision (B1, B3).

A record is the deterministically serialized `Record` of the contract, kept as bytes: the digest is over exactly what
every side stores. A deleted one stays as a row without contents, for its deletion has to travel too.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.transfer import Digests
from hotspare_receiver.store import lists
from hotspare_receiver.store.digests import digests
from hotspare_receiver.store.draft import Draft, Head, read_head
from hotspare_receiver.store.lists import ListFilter, RecordPage
from hotspare_receiver.store.view import View, open_view
from hotspare_store.database import Database

Result = TypeVar("Result")

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KindState:
    """One kind: its digest, and when (aware UTC) and in which revision it changed last."""

    digest: KindDigest
    revision: int
    updated: datetime | None


class ConfigurationStore:
    """Records in the database. `head` is here too, always that of the newest edit that was answered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._on_change: Callable[[], None] = lambda: None
        self.head: Head = database.read_now(read_head)
        self.counts: Mapping[RecordKind, int] = database.read_now(_counts)
        """How many records there are of each kind; those of `head`."""

    def listen(self, on_change: Callable[[], None]) -> None:
        """Have `on_change` called when the records here are, or may be, others: after an edit, a sync, a restore."""
        self._on_change = on_change

    async def edit(self, operator: str, now: datetime, change: Callable[[Draft], Result]) -> Result:
        """Let `change` make an edit; what it puts becomes one revision, durable when this returns, and nothing none.

        `change` runs in the writer's thread, in the transaction. What it raises is raised here, with nothing changed.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
        """

        def work(connection: sqlite3.Connection) -> tuple[Result, Head, Mapping[RecordKind, int]]:
            draft = Draft(connection, operator, now)
            result = change(draft)
            return result, draft.finish(), _counts(connection)

        found: tuple[Result, Head, Mapping[RecordKind, int]] = await self._database.write(work)
        result, head, counts = found
        # Answers of two edits may come in either order.
        if head.revision > self.head.revision:
            self.head, self.counts = head, counts
            self._on_change()
        return result

    async def look(self, look: Callable[[Draft], Result]) -> Result:
        """Let `look` read what an edit would see, at one moment, and change nothing."""

        def work(connection: sqlite3.Connection) -> Result:
            with _one_view(connection):
                # Its connection can't write: a `put` would fail.
                return look(Draft(connection, "", _NEVER))

        found: Result = await self._database.read(work)
        return found

    async def get(self, kind: RecordKind, record_id: str) -> bytes | None:
        """A record, or None."""
        return await self.look(lambda draft: draft.get(kind, record_id))

    async def page(self, kind: RecordKind, after: str, size: int, asked: ListFilter) -> RecordPage:
        """Records with ids above `after` that the filter lets through, at most `size` of them."""

        def work(connection: sqlite3.Connection) -> RecordPage:
            with _one_view(connection):
                return lists.page(connection, kind, after, size, asked)

        found: RecordPage = await self._database.read(work)
        return found

    async def count(self) -> int:
        """How many records there are, of all kinds."""

        def work(connection: sqlite3.Connection) -> int:
            found: int = connection.execute("SELECT coalesce(sum(count), 0) FROM bucket").fetchone()[0]
            return found

        total: int = await self._database.read(work)
        return total

    def view(self, base: int, whole_kinds: Collection[RecordKind] = ()) -> AbstractAsyncContextManager[View]:
        """The changes after revision `base`, and all of some kinds, with head and digests of the same moment, to be
        read piece by piece."""
        return open_view(self._database.path, base, whole_kinds)

    async def standing(self) -> tuple[Head, Digests]:
        """Where the copy stands, and its digests at the same moment."""

        def work(connection: sqlite3.Connection) -> tuple[Head, Digests]:
            with _one_view(connection):
                return read_head(connection), digests(connection)

        found: tuple[Head, Digests] = await self._database.read(work)
        return found

    async def kinds(self) -> tuple[KindState, ...]:
        """The state of all kinds, for the backup table."""

        def work(connection: sqlite3.Connection) -> tuple[KindState, ...]:
            with _one_view(connection):
                return _kind_states(connection)

        found: tuple[KindState, ...] = await self._database.read(work)
        return found

    async def reload(self) -> None:
        """Read head and counts anew, after something else than an edit wrote the copy."""

        def work(connection: sqlite3.Connection) -> tuple[Head, Mapping[RecordKind, int]]:
            with _one_view(connection):
                return read_head(connection), _counts(connection)

        self.head, self.counts = await self._database.read(work)
        self._on_change()


@contextmanager
def _one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads inside see the same moment. Short: a long one keeps the WAL from being checkpointed."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def _counts(connection: sqlite3.Connection) -> Mapping[RecordKind, int]:
    found = connection.execute("SELECT kind, sum(count) AS count FROM bucket GROUP BY kind")
    counts = {row["kind"]: row["count"] for row in found}
    return {kind: counts.get(int(kind), 0) for kind in RecordKind}


def _kind_states(connection: sqlite3.Connection) -> tuple[KindState, ...]:
    updates = {row["kind"]: row for row in connection.execute("SELECT * FROM kind_update")}
    states = []
    for digest in digests(connection):
        row = updates.get(int(digest.kind))
        states.append(
            KindState(digest, 0, None)
            if row is None
            else KindState(digest, row["revision"], datetime.fromisoformat(row["time"]))
        )
    return tuple(states)
