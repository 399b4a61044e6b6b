"""Disks of the simulated machines: SQLite in memory behind a writer whose commits take time.

What was committed survives every crash, and nothing else does. A commit that a crash meets halfway is durable or not,
as the dice say; either way nobody was told.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import sqlite_utils

from hotspare_model.errors import HotspareError, Reason
from hotspare_store.database import GROUP_LIMIT, Database, DatabaseCounters
from tests.simulation.world import Process, World

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
Observer = Callable[[Any], None]

QUICK = (0.0005, 0.006)
"""Seconds that a commit takes on a healthy disk."""


def blank(migrations: sqlite_utils.Migrations) -> sqlite3.Connection:
    """An empty database with that schema."""
    connection = _connection()
    migrations.apply(sqlite_utils.Database(connection))
    return connection


def image_of(connection: sqlite3.Connection) -> bytes:
    """A copy of all that is in it."""
    return connection.serialize()


def _connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


class Disk:
    """What a machine keeps, whatever happens to its processes."""

    def __init__(self, world: World, image: bytes) -> None:
        self.world = world
        self.commit_takes = QUICK
        self.full = False
        """Nothing can be written."""
        self.connection = self.replace(image)

    def replace(self, image: bytes) -> sqlite3.Connection:
        """Have another content; no process may run on it."""
        self.connection = _connection()
        self.connection.deserialize(image)
        return self.connection


class SimDatabase(Database):
    """The database of one process on a disk."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self.path = Path("/nowhere/simulated.db")
        self.counters = DatabaseCounters()
        self._failed = False
        self._writer = self._reader = disk.connection
        self._disk = disk
        self._process = process
        self._random = disk.world.random
        self._waiting: list[tuple[Work, asyncio.Future[Any], Observer | None]] = []
        self._committing: list[tuple[Work, asyncio.Future[Any], Observer | None]] = []
        self._observer: Observer | None = None
        process.on_kill.append(self._killed)

    def observe(self, observer: Observer) -> None:
        """Have `observer` called with the result of the next write, at the moment when that is durable."""
        self._observer = observer

    async def write(self, work: Work, *, vital: bool = False) -> Any:
        """See Database."""
        if self._disk.full:
            # Not even the reserve is left.
            self._observer = None
            await asyncio.sleep(self._random.uniform(*self._disk.commit_takes))
            raise HotspareError(Reason.DISK_LOW, "the disk is full", retry_after=timedelta(seconds=1))
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done, self._observer))
        self._observer = None
        self._commit_next()
        return await done

    async def read(self, work: Work) -> Any:
        """See Database. What it sees was durable when it began, or a moment later."""
        early = self._random.random() < 0.5
        result = work(self._disk.connection) if early else None
        done = asyncio.get_running_loop().create_future()
        self._disk.world.after(self._random.uniform(0.0001, 0.002), self._process.post, "reads", _set, done, None)
        await done
        return result if early else work(self._disk.connection)

    def read_now(self, work: Work) -> Any:
        """See Database."""
        return work(self._disk.connection)

    def close(self) -> None:
        """See Database."""

    def restore_reserve(self) -> bool:
        """See Database."""
        return True

    def _commit_next(self) -> None:
        if self._committing or not self._waiting:
            return
        self._committing, self._waiting = self._waiting[:GROUP_LIMIT], self._waiting[GROUP_LIMIT:]
        delay = self._random.uniform(*self._disk.commit_takes)
        self._disk.world.after(delay, self._process.post, "writes", self._committed)

    def _committed(self) -> None:
        group, self._committing = self._committing, []
        results = self._make_durable(group)
        self._disk.world.after(self._random.uniform(0, 0.0005), self._process.post, "writes", _tell, group, results)
        self._commit_next()

    def _make_durable(self, group: list[tuple[Work, asyncio.Future[Any], Observer | None]]) -> list[Any]:
        connection = self._disk.connection
        results: list[Any] = []
        connection.execute("BEGIN IMMEDIATE")
        for work, _, _ in group:
            connection.execute("SAVEPOINT one")
            try:
                results.append(work(connection))
            except Exception as error:
                connection.execute("ROLLBACK TO one")
                results.append(error)
            connection.execute("RELEASE one")
        connection.execute("COMMIT")
        for (_, _, observer), result in zip(group, results, strict=True):
            if observer is not None and not isinstance(result, Exception):
                observer(result)
        return results

    def _killed(self) -> None:
        if self._committing and self._random.random() < 0.5:
            self._make_durable(self._committing)
        self._committing, self._waiting = [], []


def _set(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _tell(group: list[tuple[Work, asyncio.Future[Any], Observer | None]], results: list[Any]) -> None:
    for (_, done, _), result in zip(group, results, strict=True):
        if done.done():
            continue
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)


class InstantDatabase(Database):
    """For furnishing a disk before anything runs: writes and reads at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def write(self, work: Work, *, vital: bool = False) -> Any:
        """See Database."""
        return work(self._connection)

    async def read(self, work: Work) -> Any:
        """See Database."""
        return work(self._connection)


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")
