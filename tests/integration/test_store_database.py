"""The database and its one writer: group commit, isolation of failures, a full disk, a failed disk (A1, A7)."""

import asyncio
import errno
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils

from hotspare_model.errors import HotspareError, Reason
from hotspare_store.database import Database
from hotspare_store.folder import DataFolderError

MIGRATIONS = sqlite_utils.Migrations("test")


@MIGRATIONS()
def m0001_lines(db: sqlite_utils.Database) -> None:
    """One table."""
    db.execute("CREATE TABLE line (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")


class Opened:
    """A database, with what its failures said."""

    def __init__(self, folder: Path) -> None:
        self.failures: list[BaseException] = []
        self.database = Database.open(folder / "test.db", MIGRATIONS, self.failures.append)

    async def add(self, number: int, text: str = "x", *, vital: bool = False) -> object:
        """Write one line."""
        sql = "INSERT INTO line (number, text) VALUES (?, ?)"
        return await self.database.write(lambda db: db.execute(sql, (number, text)).lastrowid, vital=vital)

    async def numbers(self) -> list[int]:
        """All lines."""
        sql = "SELECT number FROM line ORDER BY rowid"
        return [row["number"] for row in await self.database.read(lambda db: db.execute(sql).fetchall())]

    async def fill(self) -> None:
        """Let the file grow no more. The writer's connection alone knows it."""

        def limit(db: sqlite3.Connection) -> None:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {pages}")

        await self.database.write(limit)

    async def make_room(self) -> None:
        """Let the file grow again."""
        await self.database.write(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone()[0], vital=True)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A new database."""
    database = Opened(tmp_path)
    yield database
    database.database.close()


def others_may(folder: Path) -> list[str]:
    """Files that anybody but their owner may touch."""
    return [path.name for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077]


class Gate:
    """Keeps the writer busy, so that what comes meanwhile is one group."""

    def __init__(self, database: Database) -> None:
        self._open = threading.Event()
        self._entered = threading.Event()
        self._task = asyncio.ensure_future(database.write(lambda db: self._wait()))

    def _wait(self) -> None:
        self._entered.set()
        assert self._open.wait(10)

    async def entered(self) -> None:
        """Wait until the writer is in it."""
        assert await asyncio.to_thread(self._entered.wait, 10)

    async def open(self) -> None:
        """Let the writer go on."""
        self._open.set()
        await self._task


async def test_a1_it_is_durable_and_private_by_its_settings(opened: Opened, tmp_path: Path) -> None:
    def settings(db: sqlite3.Connection) -> tuple[object, ...]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return tuple(db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)

    assert await opened.database.write(settings) == ("wal", 2, 1)  # 2: FULL
    await opened.add(1)
    assert others_may(tmp_path) == []


async def test_a1_what_waits_is_committed_as_one_in_the_order_in_which_it_came(opened: Opened) -> None:
    gate = Gate(opened.database)
    await gate.entered()
    before = opened.database.counters.commits
    order: list[int] = []

    async def add(number: int) -> None:
        await opened.add(number)
        order.append(number)

    writes = [asyncio.ensure_future(add(number)) for number in (5, 3, 9, 1, 7)]
    await asyncio.sleep(0)
    seen = await opened.numbers()
    await gate.open()
    await asyncio.gather(*writes)
    assert (seen, order) == ([], [5, 3, 9, 1, 7])
    assert opened.database.counters.commits - before == 2  # the gate's, and one for all five
    assert opened.database.counters.writes - before >= 5


async def test_s4_a_write_that_fails_undoes_itself_and_harms_no_other_of_its_group(opened: Opened) -> None:
    gate = Gate(opened.database)
    await gate.entered()

    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO line (number, text) VALUES (100, 'x')")
        raise HotspareError(Reason.RESOURCE_EXISTS, "no")

    def defect(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO line (number, text) VALUES (101, 'x')")
        raise ValueError("a defect")

    def wrong_sql(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO line (number, text) VALUES (102, 'x')")
        db.execute("INSERT INTO line (number, text) VALUES (1, 'twice')")

    writes = [
        opened.add(1),
        opened.database.write(half),
        opened.add(2),
        opened.database.write(defect),
        opened.database.write(wrong_sql),
        opened.add(3),
    ]
    waiting = asyncio.gather(*writes, return_exceptions=True)
    await asyncio.sleep(0)
    await gate.open()
    results = await waiting
    assert [type(result) for result in results] == [int, HotspareError, int, ValueError, sqlite3.IntegrityError, int]
    assert await opened.numbers() == [1, 2, 3]
    assert opened.failures == []


async def test_a1_a_write_goes_on_when_its_caller_goes_away(opened: Opened) -> None:
    gate = Gate(opened.database)
    await gate.entered()
    write = asyncio.ensure_future(opened.add(1))
    await asyncio.sleep(0)
    write.cancel()
    await gate.open()
    await opened.add(2)
    assert await opened.numbers() == [1, 2]


async def test_a1_what_was_answered_is_there_when_it_is_opened_again(opened: Opened, tmp_path: Path) -> None:
    await opened.add(1)
    # The files as they are now are what a kill leaves.
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
    again = Opened(tmp_path / "copy")
    assert await again.numbers() == [1]
    again.database.close()


async def test_a_read_can_not_write(opened: Opened) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await opened.database.read(lambda db: db.execute("DELETE FROM line"))


async def test_closing_finishes_what_waits_and_refuses_what_comes(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    writes = [asyncio.ensure_future(opened.add(number)) for number in range(20)]
    await asyncio.sleep(0)
    opened.database.close()
    opened.database.close()
    await asyncio.gather(*writes)
    with pytest.raises(HotspareError) as error:
        await opened.add(99)
    assert error.value.reason is Reason.STORE_FAILED
    again = Opened(tmp_path)
    assert await again.numbers() == list(range(20))
    again.database.close()


async def test_a7_on_a_full_disk_writes_are_refused_and_no_restart_is_needed(opened: Opened) -> None:
    await opened.add(1)
    await opened.fill()
    with pytest.raises(HotspareError) as error:
        await opened.add(2, "x" * 100_000)
    assert error.value.reason is Reason.DISK_LOW
    assert error.value.retry_after is not None
    assert await opened.numbers() == [1]
    assert (opened.failures, opened.database.counters.full) == ([], 1)
    await opened.make_room()
    opened.database.restore_reserve()
    await opened.add(3, "x" * 100_000)
    assert await opened.numbers() == [1, 3]


async def test_a7_what_is_vital_passes_beside_what_the_full_disk_refuses(opened: Opened, tmp_path: Path) -> None:
    reserve = tmp_path / "test.reserve"
    assert reserve.stat().st_size >= 1_000_000
    await opened.add(1)
    await opened.fill()
    gate = Gate(opened.database)
    await gate.entered()
    waiting = asyncio.gather(
        opened.add(2, "x" * 100_000),
        opened.add(3, vital=True),
        opened.add(4, "x" * 100_000, vital=True),
        opened.add(5, vital=True),
        return_exceptions=True,
    )
    await asyncio.sleep(0)
    await gate.open()
    results = await waiting
    refused = [isinstance(result, HotspareError) and result.reason is Reason.DISK_LOW for result in results]
    assert refused == [True, False, True, False]
    assert await opened.numbers() == [1, 3, 5]
    assert not reserve.exists()
    await opened.make_room()
    assert opened.database.restore_reserve()
    assert reserve.exists()
    assert opened.failures == []


async def test_a7_a_reserve_that_a_full_disk_does_not_even_let_go_ends_no_writer(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a file system copies on writing. All who write would wait for ever."""

    def refused(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.ENOSPC, "no space")

    await opened.fill()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        async with asyncio.timeout(10):
            results = await asyncio.gather(
                opened.add(1, "x" * 100_000), opened.add(2, "x" * 100_000, vital=True), return_exceptions=True
            )
    assert [isinstance(one, HotspareError) and one.reason is Reason.DISK_LOW for one in results] == [True, True]
    await opened.make_room()
    opened.database.restore_reserve()
    await opened.add(3)
    assert await opened.numbers() == [3]


async def test_a_defect_in_the_writers_thread_fails_the_store_and_is_told(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened.database, "_transact", _broken)
    async with asyncio.timeout(10):
        for number in (1, 2):
            with pytest.raises(HotspareError) as error:
                await opened.add(number)
            assert error.value.reason is Reason.STORE_FAILED
    assert [str(failure) for failure in opened.failures] == ["a defect"]


def _broken(group: object) -> None:
    raise RuntimeError("a defect")


async def test_a7_the_reserve_is_for_vital_writes(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it was given up, what is not vital is refused until it is laid down again, though it might just fit."""
    await opened.add(1)
    await opened.fill()
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", no_room)
        with pytest.raises(HotspareError):
            await opened.add(2, "x" * 100_000, vital=True)
        with pytest.raises(HotspareError) as error:
            await opened.add(3)
        assert error.value.reason is Reason.DISK_LOW
        await opened.add(4, vital=True)
    await opened.make_room()
    await opened.add(5)
    assert await opened.numbers() == [1, 4, 5]


def no_room(descriptor: int, offset: int, length: int) -> None:
    """What a full disk says."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(code: int) -> sqlite3.OperationalError:
    """The error that SQLite raises for a code."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY])
async def test_a1_a_failed_disk_answers_nothing_any_more_and_tells_it_once(
    opened: Opened, tmp_path: Path, code: int
) -> None:
    await opened.add(1)
    gate = Gate(opened.database)
    await gate.entered()

    def fail(db: sqlite3.Connection) -> None:
        raise failing(code)

    waiting = asyncio.gather(opened.add(2), opened.database.write(fail), opened.add(3), return_exceptions=True)
    await asyncio.sleep(0)
    await gate.open()
    results = [
        *(await waiting),
        *(await asyncio.gather(opened.add(4), opened.add(5, vital=True), return_exceptions=True)),
    ]
    assert [isinstance(each, HotspareError) and each.reason for each in results] == [Reason.STORE_FAILED] * 5
    assert [getattr(error, "sqlite_errorcode", None) for error in opened.failures] == [code]
    opened.database.close()
    again = Opened(tmp_path)
    assert await again.numbers() == [1]
    again.database.close()


async def test_a1_a_shared_memory_that_can_not_grow_is_a_full_disk_and_no_failure(opened: Opened) -> None:
    def fail(db: sqlite3.Connection) -> None:
        raise failing(sqlite3.SQLITE_IOERR_SHMSIZE)

    with pytest.raises(HotspareError) as error:
        await opened.database.write(fail)
    assert error.value.reason is Reason.DISK_LOW
    assert opened.failures == []


async def test_v3_a_schema_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    newer = sqlite_utils.Migrations("test")
    newer()(m0001_lines)

    @newer()
    def m0002_later(db: sqlite_utils.Database) -> None:
        """One more column."""
        db.execute("ALTER TABLE line ADD COLUMN later TEXT")

    Database.open(tmp_path / "test.db", newer).close()
    before = (tmp_path / "test.db").read_bytes()
    with pytest.raises(DataFolderError, match=r"newer version.*m0002_later"):
        Database.open(tmp_path / "test.db", MIGRATIONS)
    assert (tmp_path / "test.db").read_bytes() == before


async def test_v3_a_schema_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    old = Opened(tmp_path)
    await old.add(1)
    old.database.close()
    newer = sqlite_utils.Migrations("test")
    newer()(m0001_lines)

    @newer()
    def m0002_later(db: sqlite_utils.Database) -> None:
        """One more column."""
        db.execute("ALTER TABLE line ADD COLUMN later TEXT")

    database = Database.open(tmp_path / "test.db", newer)
    rows = await database.read(lambda db: [tuple(row) for row in db.execute("SELECT * FROM line")])
    assert rows == [(1, "x", None)]
    database.close()


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_s4_what_is_no_database_is_told_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "test.db").write_bytes(content)
    with pytest.raises(DataFolderError, match=r"test\.db"):
        Database.open(tmp_path / "test.db", MIGRATIONS)


def test_s4_a_folder_in_place_of_the_database_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "test.db").mkdir()
    with pytest.raises(DataFolderError, match="can't be used"):
        Database.open(tmp_path / "test.db", MIGRATIONS)
