"""The end of the history at a receiver (A8), on a real database: what goes, what stays, what is counted and found."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlite_utils

from hotspare_model.retention import HistoryLimits
from hotspare_receiver import history as history_module
from hotspare_receiver.core.expiry import STEP_ATTEMPTS, Cause
from hotspare_receiver.core.forwarder import Delivered, Outcome
from hotspare_receiver.expiry import HistoryExpiry
from hotspare_receiver.journal import AlarmQuery, AttemptRecord, Journal, RecordState
from hotspare_receiver.store import expiry as store
from hotspare_receiver.store.schema import migrations
from hotspare_store.database import Database
from tests.integration.path_fakes import stored_alarm, until

SCOPE = "north/default"
START = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
MICROS = 1_000_000


@dataclass
class Times:
    """A clock that the test sets; both hands move together unless it is told otherwise."""

    moved: float = 0.0
    jumped: float = 0.0

    def now(self) -> float:
        return 1000.0 + self.moved

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.moved + self.jumped)

    def pass_days(self, days: float) -> None:
        self.moved += days * 86_400


@dataclass
class Trial:
    """A journal, its clean-up, and the clock of both."""

    database: Database
    clock: Times
    journal: Journal
    limits: HistoryLimits = field(default_factory=HistoryLimits)

    def expiry(self) -> HistoryExpiry:
        return HistoryExpiry(self.database, lambda: self.limits, self.clock, rest=lambda took, running: 0.0)

    async def count(self, table: str) -> int:
        found: int = await self.database.read(lambda db: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        return found

    async def numbers(self) -> list[int]:
        found: list[int] = await self.database.read(
            lambda db: [row["number"] for row in db.execute("SELECT number FROM alarm ORDER BY id")]
        )
        return found

    async def have(self, numbers: Iterable[int], *, until_stored: bool = True, size: int = 20, epoch: int = 1) -> None:
        """Take alarms, try each once, confirm them, and hear that the cloud has stored that."""
        alarms = [self.delivered(number, epoch) for number in numbers]
        self.journal.note_delivered(SCOPE, alarms)
        for alarm in alarms:
            self.journal.note_attempt(SCOPE, alarm, self.attempt(size=size))
        self.journal.confirm(SCOPE, alarms)
        await until(lambda: all(alarm.number in self.journal.unstored(SCOPE) for alarm in alarms))
        if until_stored:
            self.journal.stored(SCOPE, epoch, [(alarm.number, alarm.number) for alarm in alarms])
            await self.journal.flush()

    def delivered(self, number: int, epoch: int = 1, attempt: int = 1, device: str = "panel") -> Delivered:
        alarm = stored_alarm(number, device)
        return Delivered(alarm, epoch, attempt, False, b"s" * 200)

    def attempt(self, number: int = 1, outcome: Outcome = Outcome.CONFIRMED, size: int = 20) -> AttemptRecord:
        wall = self.clock.wall()
        return AttemptRecord("arc", number, wall, wall, outcome, b"f" * size, b"a", "detail")


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[Trial]:
    database = Database.open(tmp_path / "receiver.db", migrations)
    clock = Times()
    journal = Journal(database, clock)
    yield Trial(database, clock, journal)
    await journal.close()
    database.close()


async def test_a8_what_is_too_old_goes_with_its_attempts_and_the_rest_stays(trial: Trial) -> None:
    await trial.have(range(1, 251))
    trial.clock.pass_days(60)
    await trial.have(range(251, 261))
    trial.clock.pass_days(31)
    expiry = trial.expiry()
    await expiry.round()
    assert await trial.numbers() == list(range(251, 261))
    assert await trial.count("attempt") == 10
    assert (expiry.deleted[Cause.AGE], expiry.deleted[Cause.SIZE]) == (250, 0)
    assert (expiry.kept.alarms, expiry.kept.attempts) == (10, 10)


async def test_a8_f7_what_is_unconfirmed_or_not_stored_at_the_cloud_outlives_everything(trial: Trial) -> None:
    trial.journal.note_epoch(SCOPE, 1)
    trial.journal.note_delivered(SCOPE, [trial.delivered(1)])
    trial.journal.note_attempt(SCOPE, trial.delivered(1), trial.attempt(outcome=Outcome.REFUSED))
    await trial.have([2], until_stored=False)
    await trial.have([3, 4])
    trial.clock.pass_days(3000)
    await trial.expiry().round()
    assert await trial.numbers() == [1, 2, 4], "and the newest stays, so that its id is never given out again"
    redelivered = trial.delivered(1, attempt=2)
    assert await trial.journal.refused_before(SCOPE, [redelivered]) == {1: {"arc": 1}}, "A5 counts on"
    reopened = Journal(trial.database, trial.clock)
    assert list(reopened.unstored(SCOPE)) == [2], "the cloud is still told"
    assert await reopened.known_confirmed(SCOPE, [trial.delivered(2, attempt=2)]) == {2}


async def test_f7_what_the_cloud_stored_just_now_is_known_whatever_the_size(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.journal.note_epoch(SCOPE, 1)
    await trial.have(range(1, 101))
    monkeypatch.setattr(store, "ALARM_BYTES", 1_000_000)
    trial.limits = HistoryLimits(max_bytes=10_000_000)
    trial.clock.moved += 300
    await trial.expiry().round()
    reopened = Journal(trial.database, trial.clock)
    again = [trial.delivered(number, attempt=2) for number in range(1, 101)]
    assert await reopened.known_confirmed(SCOPE, again) == set(range(1, 101))


@pytest.mark.full
async def test_a8_of_too_much_the_oldest_go_until_it_fits(trial: Trial) -> None:
    await trial.have(range(1, 3001), size=4096)
    trial.limits = HistoryLimits(max_bytes=10_000_000)
    trial.clock.moved += 3600
    expiry = trial.expiry()
    await expiry.round()
    left = await trial.numbers()
    assert left == list(range(left[0], 3001))
    assert 9_000_000 < expiry.kept.bytes <= 10_000_000
    assert expiry.deleted[Cause.SIZE] == 3000 - len(left) > 500
    before = len(left)
    await expiry.round()
    assert len(await trial.numbers()) == before


async def test_a8_the_bytes_are_about_those_of_the_file(trial: Trial) -> None:
    empty = await _used(trial.database)
    for first in range(1, 2001, 500):
        await trial.have(range(first, first + 500), size=120)
    expiry = trial.expiry()
    await expiry.round()
    assert expiry.kept.bytes == pytest.approx(await _used(trial.database) - empty, rel=0.25)


@pytest.mark.full
async def test_a8_the_room_is_used_again_and_the_file_grows_no_more(trial: Trial) -> None:
    expiry, sizes = trial.expiry(), []
    for first in range(1, 4001, 500):
        await trial.have(range(first, first + 500), size=500)
        trial.clock.pass_days(100)
        await expiry.round()
        sizes.append(await trial.database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0]))
    assert max(sizes[2:]) <= sizes[1] * 1.1


async def test_a8_counting_goes_on_where_it_was_over_a_restart(trial: Trial) -> None:
    await trial.have(range(1, 51))
    first = trial.expiry()
    await first.round()
    await trial.have(range(51, 61))
    again = trial.expiry()
    assert again.kept.alarms == 50
    await again.round()
    assert (again.kept.alarms, again.kept.attempts) == (60, 60)
    trial.journal.note_attempt(SCOPE, trial.delivered(1), trial.attempt(2))
    await trial.journal.flush()
    trial.clock.pass_days(100)
    await again.round()
    # The newest attempt is gone, and its id is given out again: what comes is counted all the same.
    await trial.have(range(61, 66))
    await again.round()
    assert (again.kept.alarms, again.kept.attempts) == (await trial.count("alarm"), await trial.count("attempt"))


async def test_a8_what_is_delivered_again_while_it_is_about_to_go_stays(trial: Trial) -> None:
    await trial.have([1, 2, 3])
    rows = await trial.database.read(lambda db: store.rows_after(db, 0, 100, 100))
    trial.clock.moved += 5
    trial.journal.note_delivered(SCOPE, [trial.delivered(1, epoch=2, attempt=2)])
    await trial.journal.flush()
    await trial.database.write(lambda db: store.delete(db, rows, store.Kept()))
    assert await trial.numbers() == [1, 3]


async def test_a8_an_alarm_with_thousands_of_attempts_goes_in_pieces_and_is_shown_in_part(trial: Trial) -> None:
    alarm = trial.delivered(1)
    trial.journal.note_delivered(SCOPE, [alarm])
    for number in range(1, 3 * STEP_ATTEMPTS + 1):
        trial.journal.note_attempt(SCOPE, alarm, trial.attempt(number, Outcome.UNKNOWN))
    await trial.have([1, 2])
    record = await trial.journal.get_alarm(number=1)
    assert record is not None
    told = [attempt.attempt for attempt in record.attempts]
    assert told[:50] == list(range(1, 51)), "how it began"
    assert told[-2:] == [3 * STEP_ATTEMPTS, 1], "and how it ended"
    assert (len(told), record.attempt_count) == (200, 3 * STEP_ATTEMPTS + 1)
    trial.clock.pass_days(100)
    commits = trial.database.counters.commits
    expiry = trial.expiry()
    await expiry.round()
    assert trial.database.counters.commits - commits >= 4
    assert (await trial.numbers(), await trial.count("attempt")) == ([2], 1)
    assert (expiry.kept.alarms, expiry.kept.attempts) == (1, 1)


async def test_a8_a_clock_that_jumped_years_ahead_deletes_nothing(trial: Trial) -> None:
    await trial.have(range(1, 11))
    expiry = trial.expiry()
    await expiry.round()
    trial.clock.jumped = 10 * 365 * 86_400
    trial.clock.moved += 60
    await expiry.round()
    assert len(await trial.numbers()) == 10
    await trial.expiry().round()
    assert len(await trial.numbers()) == 10, "nor after a restart"


async def test_a8_what_another_epoch_took_over_is_told_as_given_back_and_goes_by_its_age(trial: Trial) -> None:
    trial.journal.note_epoch(SCOPE, 1)
    trial.journal.note_delivered(SCOPE, [trial.delivered(1, 1), trial.delivered(2, 1)])
    await trial.journal.flush()
    assert await _states(trial.journal) == {1: RecordState.DELIVERED, 2: RecordState.DELIVERED}
    trial.journal.note_epoch(SCOPE, 3)
    trial.journal.note_delivered(SCOPE, [trial.delivered(2, 3, attempt=2)])
    await trial.journal.flush()
    assert await _states(trial.journal) == {1: RecordState.GIVEN_BACK, 2: RecordState.DELIVERED}
    page = await trial.journal.list_alarms(AlarmQuery(state=RecordState.GIVEN_BACK))
    assert [record.number for record in page.records] == [1]
    trial.clock.pass_days(91)
    await trial.expiry().round()
    assert await trial.numbers() == [2]


async def test_a8_the_list_by_device_time_and_state_is_whole_however_far_apart_its_alarms_are(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "LOOKED_AT", 7)
    await trial.have(range(1, 101))
    rare = [trial.delivered(number, device="rare") for number in (101, 140)]
    trial.journal.note_delivered(SCOPE, rare)
    trial.journal.note_set_aside(SCOPE, rare[0])
    await trial.have(range(102, 140))
    await trial.database.write(_receive_a_minute_apart)

    async def listed(query: AlarmQuery) -> list[int]:
        numbers: list[int] = []
        while True:
            page = await trial.journal.list_alarms(query)
            numbers += [record.number for record in page.records]
            if page.next is None:
                return numbers
            query = AlarmQuery(query.device_id, query.state, query.start, query.end, query.page_size, page.next)

    assert await listed(AlarmQuery(page_size=9)) == list(range(140, 0, -1))
    assert await listed(AlarmQuery(device_id="rare", page_size=1)) == [140, 101]
    assert await listed(AlarmQuery(state=RecordState.SET_ASIDE)) == [101]
    assert await listed(AlarmQuery(state=RecordState.DELIVERED, page_size=5)) == [140]
    hour = AlarmQuery(start=START + timedelta(minutes=30), end=START + timedelta(minutes=60), page_size=4)
    assert await listed(hour) == list(range(59, 29, -1))


@pytest.mark.parametrize(
    "query",
    [
        AlarmQuery(),
        AlarmQuery(device_id="panel"),
        AlarmQuery(start=START, end=START + timedelta(days=1)),
        AlarmQuery(state=RecordState.SET_ASIDE),
        AlarmQuery(device_id="panel", before=history_module.to_micros(START) << 40 | 7),
    ],
    ids=["all", "device", "time", "aside", "next-page"],
)
async def test_a8_no_list_looks_at_the_whole_history(trial: Trial, query: AlarmQuery) -> None:
    def plan(db: sqlite3.Connection) -> list[str]:
        said: list[str] = []
        db.set_trace_callback(said.append)
        history_module.select_alarms(db, query)
        history_module.select_alarm(db, "number", 1)
        history_module.select_alarm(db, "alarm_id", "x")
        db.set_trace_callback(None)
        return [row["detail"] for one in said for row in db.execute(f"EXPLAIN QUERY PLAN {one}")]

    steps = await trial.database.read(plan)
    assert [step for step in steps if step.startswith("SCAN alarm") and "INDEX" not in step] == []
    assert any("alarm_by_received" in step or "alarm_by_device" in step or "alarm_aside" in step for step in steps)


async def test_a8_the_clean_up_runs_by_itself_and_goes_on_after_a_full_disk(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trial.have(range(1, 11))
    trial.clock.pass_days(100)
    expiry = HistoryExpiry(
        trial.database, lambda: trial.limits, trial.clock, round_every=0.01, rest=lambda took, running: 0.0
    )
    monkeypatch.setattr(trial.database, "_reserve_spent", True)
    monkeypatch.setattr(trial.database, "restore_reserve", lambda: False)
    expiry.start()
    await asyncio.sleep(0)
    monkeypatch.undo()
    await until(lambda: expiry.kept.alarms == 1)
    await expiry.stop()
    assert await trial.numbers() == [10]


async def test_a8_a_history_from_before_is_counted_and_goes_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / "receiver.db"
    older = sqlite_utils.Database(file)
    migrations.apply(older, stop_before="journal_expiry")
    then = int((START - timedelta(days=100)).timestamp()) * MICROS
    columns = "scope, number, alarm_id, device_id, stored, received, epoch, deliveries, delivered"
    values = ", ".join(
        f"('{SCOPE}', {number}, 'a{number}', 'p', x'00', {then}, 1, 1, {then})" for number in range(1, 11)
    )
    older.execute(f"INSERT INTO alarm ({columns}) VALUES {values}")
    older.execute("UPDATE alarm SET confirmed = delivered, acknowledged = delivered WHERE number > 3")
    older.conn.commit()
    older.close()
    database = Database.open(file, migrations)
    trial = Trial(database, Times(), Journal(database, Times()))
    expiry = trial.expiry()
    await expiry.round()
    assert await trial.numbers() == [1, 2, 3, 10]
    assert expiry.kept.alarms == 4
    database.close()


async def _states(journal: Journal) -> dict[int, RecordState]:
    page = await journal.list_alarms(AlarmQuery())
    return {record.number: record.state for record in page.records}


async def _used(database: Database) -> int:
    def work(db: sqlite3.Connection) -> int:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
        return (pages - free) * size

    used: int = await database.read(work)
    return used


def _receive_a_minute_apart(db: sqlite3.Connection) -> None:
    start = int(START.timestamp()) * MICROS
    db.execute("UPDATE alarm SET received = ? + number * 60000000", (start,))
