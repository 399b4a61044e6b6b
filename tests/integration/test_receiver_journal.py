"""The journal of the alarm path on a real database whose writes and reads the test holds back."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver import journal as journal_module
from hotspare_receiver.core.forwarder import Delivered
from hotspare_receiver.journal import Journal, Unstored
from hotspare_receiver.store.schema import migrations
from hotspare_store.database import Database
from tests.integration.path_fakes import stored_alarm, until

SCOPE = "north/default"


class HeldDatabase:
    """A database that does nothing before it may, and refuses writes as full as long as it is told to be."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.may_write = asyncio.Event()
        self.may_read = asyncio.Event()
        self.is_full = False
        self.refused = 0
        self.may_write.set()
        self.may_read.set()
        self.read_now = database.read_now

    async def write(self, work: Callable[[sqlite3.Connection], Any], *, vital: bool = False) -> Any:
        assert vital, "confirmations must pass on a full disk"
        await self.may_write.wait()
        if self.is_full:
            self.refused += 1
            raise HotspareError(Reason.DISK_LOW, "the disk is full")
        return await self.database.write(work, vital=vital)

    async def read(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        result = await self.database.read(work)
        await self.may_read.wait()
        return result


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[HeldDatabase]:
    database = Database.open(tmp_path / "receiver.db", migrations)
    yield HeldDatabase(database)
    database.close()


@pytest.fixture
async def journal(database: HeldDatabase) -> AsyncIterator[Journal]:
    journal = Journal(database)  # type: ignore[arg-type]
    yield journal
    database.may_write.set()
    database.is_full = False
    await journal.close()


def heard_by(journal: Journal) -> list[Unstored]:
    heard: list[Unstored] = []

    def listener(scope: str, confirmations: Sequence[Unstored]) -> None:
        assert scope == SCOPE
        heard.extend(confirmations)

    journal.listen(listener)
    return heard


def delivered(number: int, epoch: int = 1) -> Delivered:
    return Delivered(stored_alarm(number), epoch, 1, False, b"raw")


async def test_timing_3_a_confirmation_is_told_when_it_is_durable_and_not_before(
    journal: Journal, database: HeldDatabase
) -> None:
    heard = heard_by(journal)
    database.may_write.clear()
    journal.note_delivered(SCOPE, [delivered(1)])
    journal.confirm(SCOPE, [delivered(1)])
    for _ in range(10):
        await asyncio.sleep(0)
    assert (heard, journal.unwritten_confirmations, dict(journal.unstored(SCOPE))) == ([], 1, {})
    database.may_write.set()
    await until(lambda: heard)
    assert heard == [Unstored(1, 1, stored_alarm(1).alarm.alarm_id)]
    assert (journal.unwritten_confirmations, list(journal.unstored(SCOPE))) == (0, [1])


async def test_a7_a_full_disk_holds_confirmations_back_and_loses_none(
    journal: Journal, database: HeldDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_DELAY", 0.01)
    heard = heard_by(journal)
    database.is_full = True
    journal.note_delivered(SCOPE, [delivered(1), delivered(2)])
    journal.confirm(SCOPE, [delivered(1)])
    await until(lambda: database.refused >= 2)
    journal.confirm(SCOPE, [delivered(2)])
    assert heard == []
    database.is_full = False
    await until(lambda: [one.number for one in heard] == [1, 2])


async def test_f6_an_alarm_confirmed_while_the_disk_is_asked_is_known(journal: Journal, database: HeldDatabase) -> None:
    journal.note_delivered(SCOPE, [delivered(1), delivered(2)])
    await journal.flush()
    database.may_read.clear()
    asked = asyncio.create_task(journal.known_confirmed(SCOPE, [delivered(1, 2), delivered(2, 2), delivered(3, 2)]))
    heard = heard_by(journal)
    journal.confirm(SCOPE, [delivered(1)])
    await until(lambda: heard)
    journal.stored(SCOPE, 1, [(1, 1)])
    database.may_read.set()
    assert await asked == {1}


async def test_timing_3_stored_counts_for_the_epoch_that_it_names_alone(journal: Journal) -> None:
    heard = heard_by(journal)
    journal.note_delivered(SCOPE, [delivered(number) for number in (1, 2, 3)])
    journal.confirm(SCOPE, [delivered(1, 1), delivered(2, 2), delivered(3, 1)])
    await until(lambda: len(heard) == 3)
    assert journal.stored(SCOPE, 1, [(1, 2), (1, 10**12)]) == 2
    assert list(journal.unstored(SCOPE)) == [2]
    assert journal.stored("north/other", 2, [(1, 3)]) == 0


async def test_timing_3_what_is_pending_is_read_at_the_next_start(journal: Journal, database: HeldDatabase) -> None:
    heard = heard_by(journal)
    journal.note_epoch(SCOPE, 4)
    journal.note_epoch(SCOPE, 3)
    journal.note_delivered(SCOPE, [delivered(1), delivered(2)])
    journal.confirm(SCOPE, [delivered(1), delivered(2)])
    await until(lambda: len(heard) == 2)
    journal.stored(SCOPE, 1, [(2, 2)])
    await journal.close()
    later = Journal(database.database)
    assert list(later.unstored(SCOPE)) == [1]
    assert (later.highest_epoch(SCOPE), later.highest_epoch("north/other")) == (4, 0)
    assert await later.known_confirmed(SCOPE, [delivered(1), delivered(2), delivered(3)]) == {1, 2}


async def test_a4_one_note_that_cannot_be_written_takes_no_confirmation_with_it(
    database: HeldDatabase, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """A number that no database holds, of a cloud with a defect."""
    heard = heard_by(journal)
    good, bad = delivered(1), delivered(2**63)
    database.may_write.clear()
    journal.note_delivered(SCOPE, [good, bad])
    journal.confirm(SCOPE, [good, bad])
    database.may_write.set()
    await until(lambda: [each.number for each in heard] == [1, 2**63])
    assert [record.msg for record in caplog.records].count("journal_note_dropped") >= 1
    again = Journal(database)  # type: ignore[arg-type]
    assert list(again.unstored(SCOPE)) == [1]
