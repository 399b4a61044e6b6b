"""Cursors of subscriptions on the disk (O1): one alarm each, for ever."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hotspare_receiver.journal import Journal
from hotspare_receiver.store import feed
from hotspare_receiver.store.feed import FeedStore, Wanted
from hotspare_receiver.store.schema import migrations
from hotspare_store.database import Database


@dataclass
class Clock:
    """A wall clock that is set by hand."""

    time: datetime = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)

    def now(self) -> float:
        return 0.0

    def wall(self) -> datetime:
        return self.time


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "receiver.db", migrations)
    yield database
    database.close()


def wanted(number: int, *, epoch: int = 1, replay: bool = False) -> Wanted:
    return Wanted(number, f"id-{number}", epoch, replay)


async def test_o1_an_alarm_keeps_its_cursor_and_counts_its_tellings_also_in_the_next_process(
    database: Database,
) -> None:
    store = FeedStore(database, Clock())
    first = await store.tell("a", "north/default", [wanted(1), wanted(2)])
    assert [one.attempt for one in first] == [1, 1]
    again = await FeedStore(database, Clock()).tell("a", "north/default", [wanted(2, epoch=5), wanted(3)])
    assert [(one.cursor == first[1].cursor, one.attempt) for one in again] == [(True, 2), (False, 1)]
    known = await store.acknowledge("a", [first[1].cursor])
    assert [(one.number, one.alarm_id, one.epoch, one.again) for one in known.values()] == [(2, "id-2", 5, False)]


async def test_o1_another_subscription_or_group_has_cursors_of_its_own(database: Database) -> None:
    store = FeedStore(database, Clock())
    told = [
        (await store.tell(subscription, scope, [wanted(1)]))[0].cursor
        for subscription in ("a", "b")
        for scope in ("north/default", "north/other")
    ]
    assert len(set(told)) == 4
    assert set(await store.acknowledge("a", told)) == set(told[:2])


async def test_o1_what_was_acknowledged_is_known_save_for_an_operators_replay(database: Database) -> None:
    store = FeedStore(database, Clock())
    cursor = (await store.tell("a", "s", [wanted(1)]))[0].cursor
    assert not (await store.acknowledge("a", [cursor]))[cursor].again
    assert (await store.acknowledge("a", [cursor]))[cursor].again
    assert [(one.cursor, one.acknowledged) for one in await store.tell("a", "s", [wanted(1)])] == [(cursor, True)]
    replayed = (await store.tell("a", "s", [wanted(1, replay=True)]))[0]
    assert (replayed.cursor, replayed.attempt, replayed.acknowledged) == (cursor, 2, False)
    assert not (await store.acknowledge("a", [cursor]))[cursor].again


async def test_s4_any_number_can_be_asked_for(database: Database) -> None:
    assert await FeedStore(database, Clock()).acknowledge("a", [0, 1, 2**63 - 1, 2**63, 2**64 - 1]) == {}


async def test_o1_a_cursor_is_never_given_twice_not_even_on_a_disk_that_was_set_back(database: Database) -> None:
    clock = Clock()
    lost = FeedStore(database, clock)
    given = {lost.new_cursor() for _ in range(100)}
    # What was given is not on this disk; the next process begins a second later.
    clock.time += timedelta(seconds=1)
    assert FeedStore(database, clock).new_cursor() not in given
    # With a wall clock that was set back, what is on the disk counts.
    told = (await lost.tell("a", "s", [wanted(1)]))[0].cursor
    clock.time -= timedelta(days=1)
    assert FeedStore(database, clock).new_cursor() > told


async def test_o1_of_a_long_history_the_newest_cursors_are_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT", 10)
    monkeypatch.setattr(feed, "CLEAN_EVERY", 25)
    store = FeedStore(database, Clock())
    told = [one.cursor for one in await store.tell("a", "s", [wanted(number) for number in range(1, 21)])]
    other = (await store.tell("b", "s", [wanted(1)]))[0].cursor
    await store.acknowledge("a", told)
    assert set(await store.acknowledge("a", told)) == set(told[-10:])
    assert set(await store.acknowledge("b", [other])) == {other}


async def test_a8_the_alarm_behind_a_cursor_is_that_of_the_journal(database: Database) -> None:
    store = FeedStore(database, Clock())
    journal = Journal(database, Clock())
    cursor = (await store.tell("a", "s", [wanted(1)]))[0].cursor
    known = (await store.acknowledge("a", [cursor]))[cursor]
    assert await store.stored_alarm(known) is None
    await journal.close()
