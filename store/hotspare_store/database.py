"""One SQLite file, one thread that writes, and group commit.

Writes are functions of a connection. The writer takes all that wait, up to a bound, runs them in one transaction (each
in a savepoint of its own, so that one that fails harms no other), commits once, and only then completes them: what was
answered survives a power cut (A1: WAL with synchronous=FULL). SQLite has no group commit of its own.

Only the writer's connection ever writes or checkpoints, for SQLite before 3.51.3 can damage a WAL when several do.
Reads use a second connection that can't write, in short transactions, so that the WAL can be checkpointed.

A full disk rolls back cleanly, and the process goes on: writes are refused with DISK_LOW, but those marked `vital`
(acknowledgements, epochs) are tried again after a reserve file was given up. An I/O error at a commit has an unknown
outcome: nothing is answered any more, and the process has to stop and recover at its next start.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlite_utils

from hotspare_model.errors import HotspareError, Reason
from hotspare_store.folder import DataFolderError

GROUP_LIMIT = 500
"""Writes in one commit at most: bounds how long the first of them waits."""

RESERVE_BYTES = 4 * 1024 * 1024
"""Size of the file that is given up when the disk is full, so that vital writes still pass."""

RETRY_WHEN_FULL = timedelta(seconds=5)


def store_failed() -> HotspareError:
    """The answer to every call once the outcome of a commit is unknown."""
    return HotspareError(Reason.STORE_FAILED, "the store failed; the server stops and recovers at its next start")


@dataclass(slots=True)
class _Write:
    work: Callable[[sqlite3.Connection], Any]
    vital: bool
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class DatabaseCounters:
    """What the writer did since it started, for metrics."""

    commits: int = 0
    writes: int = 0
    commit_seconds: float = 0.0
    full: int = 0


class Database:
    """A SQLite file with its writer. Open it with `Database.open`, in the process that holds the folder's lock."""

    def __init__(self, path: Path, on_failure: Callable[[BaseException], None]) -> None:
        self.path = path
        self.counters = DatabaseCounters()
        self._on_failure = on_failure
        self._reserve = path.with_suffix(".reserve")
        self._inbox: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._reader_pool = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._failed = False
        self._closed = False
        self._reserve_spent = False
        self._writer = self._connect()
        self._reader: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)

    @classmethod
    def open(
        cls,
        path: Path,
        migrations: sqlite_utils.Migrations,
        on_failure: Callable[[BaseException], None] = lambda error: None,
    ) -> "Database":
        """Open or make the file, bring its schema up to date, and start the writer.

        `on_failure` is called once, from the writer's thread, when the outcome of a commit is unknown.

        Raises:
            DataFolderError: the file is from a newer version, is no database, or can't be written.
        """
        try:
            database = cls(path, on_failure)
            database._migrate(migrations)
            database._reader = database._connect()
            database._reader.execute("PRAGMA query_only = ON")
            database._reader.execute("PRAGMA wal_autocheckpoint = 0")
        except (sqlite3.Error, OSError) as error:
            raise DataFolderError(f"the database {path} can't be used: {error}") from error
        database._keep_reserve()
        database._thread.start()
        return database

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    def _migrate(self, migrations: sqlite_utils.Migrations) -> None:
        schema = sqlite_utils.Database(self._writer)
        known = {migration.name for migration in migrations.pending(schema)}
        applied = {migration.name for migration in migrations.applied(schema)}
        newer = applied - _all_names(migrations)
        if newer:
            raise DataFolderError(
                f"the database {self.path} is from a newer version of this software "
                f"(it knows {', '.join(sorted(newer))}); upgrade the software, or use another data folder"
            )
        if known:
            migrations.apply(schema)

    async def write(self, work: Callable[[sqlite3.Connection], Any], *, vital: bool = False) -> Any:
        """Run `work` in the writer's thread and return its result once it is durable.

        `work` must be quick, and must not begin or end transactions. An exception of its own undoes what it did, and is
        raised here. It runs whether or not the caller is still there. A `vital` write may use the disk's reserve.

        Raises:
            HotspareError: DISK_LOW (the disk is full), STORE_FAILED (the outcome is unknown; the process stops).
        """
        if self._failed or self._closed:
            raise store_failed()
        if self._reserve_spent and not vital and not self.restore_reserve():
            raise _disk_full()
        loop = asyncio.get_running_loop()
        write = _Write(work, vital, loop, loop.create_future())
        self._inbox.put(write)
        return await write.done

    async def read(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run `work` on the reading connection, in its thread, and return its result.

        It sees all that was durable when it began.
        """
        reader = self._reader
        assert reader is not None
        return await asyncio.get_running_loop().run_in_executor(self._reader_pool, lambda: work(reader))

    def read_now(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run `work` on the reading connection in this thread: for the start, before anything is served."""
        reader = self._reader
        assert reader is not None
        return work(reader)

    def close(self) -> None:
        """Finish the writes that wait, and close the file. Harmless when it was closed before."""
        if self._closed:
            return
        self._closed = True
        self._inbox.put(None)
        self._thread.join()
        self._reader_pool.shutdown()
        if self._reader is not None:
            self._reader.close()
        self._writer.close()

    # The writer's thread.

    def _run(self) -> None:
        stopping = False
        while not stopping:
            group: list[_Write] = []
            item = self._inbox.get()
            while True:
                if item is None:
                    stopping = True
                else:
                    group.append(item)
                if len(group) >= GROUP_LIMIT or self._inbox.empty():
                    break
                item = self._inbox.get()
            if group:
                self._commit(group)

    def _commit(self, group: list[_Write]) -> None:
        started = time.monotonic()
        try:
            if not self._failed:
                self._transact_or_refuse(group)
        except Exception as error:
            # Whatever it is: should this thread end silently, all who write would wait for ever.
            self._fail(error)
        if self._failed:
            for write in group:
                write.error = store_failed()
        self.counters.commits += 1
        self.counters.writes += len(group)
        self.counters.commit_seconds += time.monotonic() - started
        _complete(group)

    def _transact_or_refuse(self, group: list[_Write]) -> None:
        try:
            self._transact(group)
        except sqlite3.Error as error:
            self._undo()
            if _is_full(error):
                self._commit_full(group)
            else:
                self._fail(error)

    def _transact(self, group: list[_Write]) -> None:
        connection = self._writer
        connection.execute("BEGIN IMMEDIATE")
        for write in group:
            write.error = None
            connection.execute("SAVEPOINT one")
            try:
                write.result = write.work(connection)
            except sqlite3.Error as error:
                # SQLite rolls the whole transaction back by itself on some errors.
                if _is_full(error) or _is_fatal(error) or not connection.in_transaction:
                    raise
                write.error = error
            except Exception as error:
                write.error = error
            if write.error is not None:
                connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
        connection.execute("COMMIT")

    def _commit_full(self, group: list[_Write]) -> None:
        """The disk is full: what is vital gets the reserve, each for itself; the rest is refused."""
        self.counters.full += 1
        if any(write.vital for write in group):
            # From here on only what is vital is written, until there is room to lay it down again.
            self._reserve_spent = True
            self._free_reserve()
        for write in group:
            if write.vital:
                try:
                    self._transact([write])
                    continue
                except sqlite3.Error as error:
                    self._undo()
                    if not _is_full(error):
                        self._fail(error)
                        return
            write.error = _disk_full()

    def _undo(self) -> None:
        if self._writer.in_transaction:
            try:
                self._writer.execute("ROLLBACK")
            except sqlite3.Error as error:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failed:
            self._failed = True
            self._on_failure(error)

    def _keep_reserve(self) -> None:
        """Lay the reserve down, where the disk has room for it."""
        try:
            descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self._free_reserve()

    def _free_reserve(self) -> None:
        # On a full disk a file system that copies on writing may refuse even that.
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def restore_reserve(self) -> bool:
        """Lay the reserve down again after it was given up and the disk has room. Returns whether it is there."""
        if not self._reserve.exists():
            self._keep_reserve()
        if self._reserve.exists():
            self._reserve_spent = False
        return not self._reserve_spent


def _disk_full() -> HotspareError:
    return HotspareError(Reason.DISK_LOW, "the disk is full", retry_after=RETRY_WHEN_FULL, free_bytes=0, floor_bytes=0)


def _all_names(migrations: sqlite_utils.Migrations) -> set[str]:
    empty = sqlite_utils.Database(memory=True)
    return {migration.name for migration in migrations.pending(empty)}


def _is_full(error: sqlite3.Error) -> bool:
    # The shared-memory index of the WAL can't grow on a full disk either; nothing was committed then.
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def _is_fatal(error: sqlite3.Error) -> bool:
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return primary in (
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
    )


def _complete(group: list[_Write]) -> None:
    """Hand the results over, with one call a loop for the whole group."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in group:
        by_loop.setdefault(write.loop, []).append(write)
    for loop, writes in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, writes)


def _resolve(writes: list[_Write]) -> None:
    for write in writes:
        if write.done.done():
            continue
        if write.error is not None:
            write.done.set_exception(write.error)
        else:
            write.done.set_result(write.result)
