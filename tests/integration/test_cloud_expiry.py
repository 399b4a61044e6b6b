"""What the cloud forgets of its alarms, and what it never does (A2, A8), on a real store."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from hotspare_cloud import expiry as expiry_module
from hotspare_cloud.clock import StallWatch
from hotspare_cloud.core.expiry import KEPT_FOR, Cause
from hotspare_cloud.core.state import BeginEpoch, Kind
from hotspare_cloud.core.state import Reason as Move
from hotspare_cloud.directory import Directory, shutting_down
from hotspare_cloud.expiry import Expiry
from hotspare_cloud.store import sqlite_expiry
from hotspare_cloud.store.base import AccountRow, HistoryLine, NewAlarm, Step
from hotspare_cloud.store.base_queue import RefusedAlarm
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_model.group import Role
from hotspare_model.retention import HistoryLimits

DAY = 86_400.0
NOW = 1_800_000_000.0
LONG_AGO = NOW - 100 * DAY


@dataclass
class Trial:
    """A store with two groups, and its clean-up at a time that the test sets."""

    store: SqliteStore
    directory: Directory
    groups: Sequence[int]
    wall: float = NOW
    limits: HistoryLimits = field(default_factory=HistoryLimits)

    def expiry(self) -> Expiry:
        return Expiry(self.store, self.directory, self.limits, lambda: self.wall, rest=lambda took, running: 0.0)

    async def keep(self, count: int, at: float, *, group: int = 0, size: int = 200) -> list[NewAlarm]:
        alarms = [NewAlarm(str(uuid4()), "panel", "1234", at, b"p" * size) for _ in range(count)]
        await self.store.store_alarms(self.groups[group], alarms)
        return alarms

    async def begin(self, epoch: int, group: int = 0, ended: int | None = None) -> None:
        begun = BeginEpoch(epoch, "r1", f"i{epoch}", "machine", Move.FIRST, None, 0.0)
        before = None if ended is None else (ended, False)
        await self.store.save_step(self.groups[group], Step(ended=before, begun=begun, role=Role.HOST))

    async def deliver(self, first: int, last: int, *, epoch: int = 1, group: int = 0) -> None:
        await self.store.note_delivery(self.groups[group], epoch, range(first, last + 1))

    async def confirm(self, first: int, last: int, at: float, *, epoch: int = 1, group: int = 0) -> None:
        await self.deliver(first, last, epoch=epoch, group=group)
        await self.store.confirm(self.groups[group], epoch, "r1", [(first, last)], at)

    async def numbers(self, table: str = "alarm", group: int = 0) -> list[int]:
        query = f"SELECT number FROM {table} WHERE group_id = {self.groups[group]} ORDER BY number"
        found: list[int] = await self.store.database.read(lambda db: [row[0] for row in db.execute(query)])
        return found


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[Trial]:
    store = SqliteStore.open(tmp_path, lambda error: None)
    await store.create_account(AccountRow("arc", b"k" * 32, NOW), ["north", "south"])
    directory = Directory(store, StallWatch())
    await directory.load()
    made = Trial(store, directory, [row.group_id for row in await store.groups()])
    for group in (0, 1):
        await made.begin(1, group)
    yield made
    await directory.stop(shutting_down())
    store.close()


async def test_a8_what_an_arc_confirmed_long_ago_is_forgotten_with_all_that_goes_with_it(trial: Trial) -> None:
    await trial.keep(250, LONG_AGO)
    await trial.keep(10, NOW - DAY)
    await trial.confirm(1, 250, LONG_AGO + 1)
    await trial.confirm(251, 260, NOW - DAY)
    expiry = trial.expiry()
    await expiry.round()
    assert await trial.numbers() == list(range(251, 261))
    assert await trial.numbers("delivery") == list(range(251, 261))
    assert (expiry.deleted[Cause.AGE], expiry.sizes[trial.groups[0]].alarms) == (250, 10)
    assert expiry.oldest[trial.groups[0]] == NOW - DAY


async def test_a4_a8_what_no_arc_has_is_never_forgotten_and_holds_nothing_else_up(trial: Trial) -> None:
    await trial.keep(5, LONG_AGO - 3000 * DAY)
    await trial.deliver(2, 3)
    await trial.confirm(4, 5, LONG_AGO)
    await trial.expiry().round()
    assert await trial.numbers() == [1, 2, 3]
    assert [alarm.number for alarm in await trial.store.waiting_alarms(trial.groups[0], 0, 100)] == [1, 2, 3]
    # F7: whoever has one of them may still confirm it, however late.
    late = await trial.store.confirm(trial.groups[0], 1, "r1", [(2, 3)], NOW)
    assert list(late.newly) == [2, 3]


async def test_a2_an_alarm_is_known_for_a_day_whatever_the_size(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_expiry, "ALARM_BYTES", 1_000_000)
    trial.limits = HistoryLimits(max_bytes=10_000_000)
    alarms = await trial.keep(100, NOW)
    await trial.confirm(1, 100, NOW)
    trial.wall = NOW + KEPT_FOR - 1
    expiry = trial.expiry()
    await expiry.round()
    again = await trial.store.store_alarms(trial.groups[0], alarms)
    assert all(kept.duplicate and kept.received_at == NOW for kept in again)
    assert [kept.number for kept in again] == list(range(1, 101))
    trial.wall = NOW + KEPT_FOR + 60
    await trial.expiry().round()
    assert len(await trial.numbers()) < 100, "and after the day it may go"


async def test_a8_s4_of_too_much_the_group_that_has_the_most_loses_its_oldest(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_expiry, "ALARM_BYTES", 20_000)
    trial.limits = HistoryLimits(max_bytes=10_000_000)
    week_ago = NOW - 7 * DAY
    await trial.keep(100, week_ago - DAY, group=1)
    await trial.confirm(1, 100, week_ago - DAY, group=1)
    await trial.keep(900, week_ago)
    await trial.confirm(1, 900, week_ago)
    expiry = trial.expiry()
    await expiry.round()
    assert len(await trial.numbers(group=1)) == 100, "the quiet one keeps even what is older"
    left = await trial.numbers()
    assert left == list(range(left[0], 901))
    assert 7_000_000 < sum(size.bytes for size in expiry.sizes.values()) <= 10_000_000
    assert expiry.deleted[Cause.SIZE] == 900 - len(left)


async def test_a5_a8_what_is_set_aside_is_kept_for_its_age_and_counted_off(trial: Trial) -> None:
    await trial.keep(2, LONG_AGO)
    await trial.deliver(1, 2)
    group = trial.directory.groups()[0]
    for number, at in ((1, LONG_AGO), (2, NOW - 50 * DAY)):
        refused = RefusedAlarm(number, "arc", "DUH", b"frame", b"answer", 5)
        await trial.store.set_aside(trial.groups[0], 1, "r1", refused, at)
        group.aside.now += 1
    await trial.expiry().round()
    assert (await trial.numbers(), await trial.numbers("set_aside"), group.aside.now) == ([2], [2], 1)


async def test_a8_one_that_is_sent_again_while_it_is_about_to_go_stays(trial: Trial) -> None:
    await trial.keep(1, LONG_AGO)
    await trial.deliver(1, 1)
    own = trial.groups[0]
    await trial.store.set_aside(own, 1, "r1", RefusedAlarm(1, "arc", "DUH", b"", b"", 5), LONG_AGO)
    expiry = trial.expiry()
    await expiry.round()
    assert await trial.numbers() == []
    await trial.keep(1, LONG_AGO)
    await trial.deliver(2, 2)
    await trial.store.set_aside(own, 1, "r1", RefusedAlarm(2, "arc", "DUH", b"", b"", 5), LONG_AGO)
    size = await trial.store.count_on(own, expiry.sizes[own], 10)
    due = await trial.store.kept_after(own, 0, 10, 10, NOW)
    await trial.store.replay(own, 2, "olga", str(uuid4()), NOW)
    forgotten = await trial.store.forget(own, due, size)
    assert (list(forgotten.numbers), await trial.numbers()) == ([], [2])


async def test_a8_counting_goes_on_over_a_restart_and_is_about_what_the_file_takes(trial: Trial) -> None:
    empty = await _used(trial.store)
    for first in range(1, 2001, 500):
        await trial.keep(500, NOW, size=160)
        await trial.confirm(first, first + 499, NOW)
    await trial.expiry().round()
    again = trial.expiry()
    await again.round()
    size = again.sizes[trial.groups[0]]
    assert size.alarms == 2000
    assert size.bytes == pytest.approx(await _used(trial.store) - empty, rel=0.25)
    trial.wall = NOW + 91 * DAY
    fresh = trial.expiry()
    await fresh.round()
    assert await trial.numbers() != [], "a cloud that did not run for months waits until its clock is believed"


async def test_a8_old_epochs_and_moves_go_but_the_newest_and_the_last_thousand(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_module, "MOVES_KEPT", 3)
    own = trial.groups[0]
    for epoch in range(2, 8):
        await trial.begin(epoch, ended=epoch - 1)
    await trial.keep(1, NOW)
    await trial.deliver(1, 1, epoch=7)
    await trial.begin(8, ended=7)
    await trial.store.save_step(own, Step(ended=(8, False)))
    await trial.store.add_lines(own, [HistoryLine(Kind.MOVE, LONG_AGO, epoch=epoch) for epoch in range(1, 9)])
    await trial.store.database.write(_end_epochs_long_ago)
    await trial.expiry().round()
    left: list[int] = await trial.store.database.read(
        lambda db: [row[0] for row in db.execute("SELECT epoch FROM epoch WHERE group_id = ? ORDER BY epoch", (own,))]
    )
    assert left == [7, 8], "one has a delivery that may still be confirmed, and from the newest epochs count on"
    lines = await trial.store.history(own, before=0, since=None, until=None, limit=100)
    assert [line.epoch for line in lines] == [8, 7, 6]
    await trial.store.add_lines(own, [HistoryLine(Kind.MOVE, NOW, epoch=9)])
    lines = await trial.store.history(own, before=0, since=None, until=None, limit=1)
    assert lines[0].number == 9


async def test_a8_the_deliveries_of_an_alarm_tell_when_and_how_each_ended(trial: Trial) -> None:
    await trial.keep(1, NOW)
    await trial.confirm(1, 1, NOW + 3)
    (delivery,) = await trial.store.deliveries(trial.groups[0], 1)
    (row,) = await trial.store.queued(trial.groups[0], [1])
    assert (delivery.receiver_id, delivery.epoch, row.confirmed_at) == ("r1", 1, NOW + 3)


async def _used(store: SqliteStore) -> int:
    def work(db: sqlite3.Connection) -> int:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
        return (pages - free) * size

    used: int = await store.database.read(work)
    return used


def _end_epochs_long_ago(db: sqlite3.Connection) -> None:
    db.execute("UPDATE epoch SET ended_at = ? WHERE ended_at IS NOT NULL", (LONG_AGO,))
