"""The journal of the alarm path: what was delivered, tried and confirmed here, durably and in order.

The path notes and goes on; the notes are written together, one commit at a time. Notes about deliveries and
attempts may wait a moment for company. A confirmation is written at once, and counts only when it is durable:
then, and not before, it may be told to the cloud (timing: a redelivered alarm that the journal knows as
confirmed is not sent again). A full disk holds the notes back until there is room; nothing of them is
dropped.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial

from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clock import Clock, SystemClock
from hotspare_receiver.core.forwarder import Delivered, Outcome
from hotspare_receiver.history import PAGE_LIMIT, select_alarm, select_alarms, to_micros
from hotspare_receiver.history import AlarmPage as AlarmPage
from hotspare_receiver.history import AlarmQuery as AlarmQuery
from hotspare_receiver.history import AlarmRecord as AlarmRecord
from hotspare_receiver.history import AttemptRecord as AttemptRecord
from hotspare_receiver.history import RecordState as RecordState
from hotspare_rpc.logs import log_event
from hotspare_store.database import Database

FRAME_LIMIT = 4096
DETAIL_LIMIT = 1024

COMPANY_DELAY = 0.05
"""Seconds that notes nobody waits for are kept back, to share a commit with a confirmation."""

PACE = 0.005
"""Seconds from one commit to the next at least. One that comes after a rest does not wait; under load those of 5 ms
share a commit, a message to the cloud and a commit there, which costs both a third less."""

RETRY_DELAY = 1.0
"""Seconds between attempts to write while the disk is full."""

REMEMBERED = 20_000
"""Confirmed alarms that are known without asking the disk."""

_log = logging.getLogger(__name__)

Range = tuple[int, int]
"""Numbers of alarms, both ends included."""


@dataclass(frozen=True, slots=True)
class Unstored:
    """A durable confirmation that the cloud has not answered with `stored`."""

    number: int
    epoch: int
    alarm_id: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An alarm that an output refused too often, with the last exchange as it was on the wire (A5)."""

    delivered: Delivered
    output: str
    reason: str
    frame: bytes
    answer: bytes
    refusals: int


@dataclass(slots=True)
class _Notes:
    """What is to be written with the next commit. Kinds are written in this order."""

    epochs: list[tuple[str, int]] = field(default_factory=list)
    delivered: list[tuple[object, ...]] = field(default_factory=list)
    attempts: list[tuple[object, ...]] = field(default_factory=list)
    summaries: list[tuple[object, ...]] = field(default_factory=list)
    confirmed: list[tuple[object, ...]] = field(default_factory=list)
    ended: list[tuple[object, ...]] = field(default_factory=list)
    """A summary and the confirmation that follows from it, in one."""
    acknowledged: list[tuple[object, ...]] = field(default_factory=list)
    set_aside: list[tuple[object, ...]] = field(default_factory=list)
    not_forwarded: list[tuple[object, ...]] = field(default_factory=list)
    durable: list[tuple[str, Delivered]] = field(default_factory=list)
    """Confirmations that are to be told once they are written."""

    def __bool__(self) -> bool:
        alarms = (self.delivered, self.attempts, self.confirmed, self.ended, self.acknowledged)
        return any((self.epochs, *alarms, self.set_aside, self.not_forwarded))

    def singles(self) -> "Iterator[_Notes]":
        """Each of them alone, in their order. Without what is to be told."""
        for kind in fields(self):
            for note in getattr(self, kind.name) if kind.name != "durable" else ():
                yield _Notes(**{kind.name: [note]})

    def write(self, connection: sqlite3.Connection) -> None:
        """Write all of it, in the transaction of the caller."""
        connection.executemany(_PUT_EPOCH, self.epochs)
        connection.executemany(_PUT_DELIVERED, self.delivered)
        connection.executemany(_PUT_ATTEMPT, self.attempts)
        connection.executemany(_PUT_SUMMARY, self.summaries)
        connection.executemany(_PUT_CONFIRMED, self.confirmed)
        connection.executemany(_PUT_ENDED, self.ended)
        connection.executemany(_PUT_ACKNOWLEDGED, self.acknowledged)
        connection.executemany(_PUT_SET_ASIDE, self.set_aside)
        connection.executemany(_PUT_NOT_FORWARDED, self.not_forwarded)


class Journal:
    """The journal of one data folder."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        """Read what is pending. For the start, before anything is served."""
        self._database = database
        self._clock = clock or SystemClock()
        self._notes = _Notes()
        self._writer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._listener: Callable[[str, Sequence[Unstored]], None] = lambda scope, unstored: None
        self._began = -PACE
        """When the last commit began, on the loop's clock."""
        self._unwritten = 0
        self._confirmed: dict[tuple[str, int], str] = {}
        self._unstored: dict[str, dict[int, Unstored]] = {}
        self._highest_epoch: dict[str, int] = {}
        self._highest_number: dict[str, int] = {}
        database.read_now(self._load)

    def listen(self, listener: Callable[[str, Sequence[Unstored]], None]) -> None:
        """Have `listener(scope, confirmations)` called when confirmations became durable."""
        self._listener = listener

    # What the path notes.

    def highest_epoch(self, scope: str) -> int:
        """The highest epoch of that group that was ever noted. 0: none."""
        return self._highest_epoch.get(scope, 0)

    def note_epoch(self, scope: str, epoch: int) -> None:
        """An epoch was seen."""
        if epoch > self.highest_epoch(scope):
            self._highest_epoch[scope] = epoch
            self._notes.epochs.append((scope, epoch))
            self._write_soon()

    def note_delivered(self, scope: str, alarms: Iterable[Delivered]) -> None:
        """Alarms came. An earlier delivery of the same alarm is replaced by this one."""
        now = to_micros(self._clock.wall())
        highest = self._highest_number.get(scope, 0)
        for delivered in alarms:
            stored = delivered.stored
            highest = max(highest, stored.number)
            self._notes.delivered.append(
                (
                    scope,
                    stored.number,
                    stored.alarm.alarm_id,
                    stored.alarm.device_id,
                    delivered.raw,
                    to_micros(stored.received),
                    delivered.epoch,
                    delivered.attempt,
                    now,
                )
            )
        self._highest_number[scope] = highest
        self._write_soon()

    def note_attempt(self, scope: str, delivered: Delivered, attempt: AttemptRecord, forwarded_code: str = "") -> None:
        """An attempt ended. `forwarded_code` is set where it is not the alarm's own."""
        key = (scope, delivered.number, delivered.stored.alarm.alarm_id)
        detail = attempt.detail[:DETAIL_LIMIT]
        self._notes.attempts.append(
            (
                attempt.output,
                attempt.attempt,
                to_micros(attempt.started),
                to_micros(attempt.ended),
                attempt.outcome.value,
                attempt.frame[:FRAME_LIMIT],
                attempt.answer[:FRAME_LIMIT],
                detail,
                *key,
            )
        )
        problem = "" if attempt.outcome is Outcome.CONFIRMED else detail
        self._notes.summaries.append((problem, forwarded_code, *key))
        self._write_soon()

    def note_set_aside(self, scope: str, delivered: Delivered) -> None:
        """The cloud has set an alarm aside that an output here refused too often (A5)."""
        key = (scope, delivered.number, delivered.stored.alarm.alarm_id)
        self._notes.set_aside.append((to_micros(self._clock.wall()), *key))
        self._write_soon()

    def note_not_forwarded(self, scope: str, alarms: Iterable[tuple[Delivered, str]]) -> None:
        """The configuration says that these go to no output, each with why. They are confirmed like others."""
        for delivered, why in alarms:
            key = (scope, delivered.number, delivered.stored.alarm.alarm_id)
            self._notes.not_forwarded.append((why[:DETAIL_LIMIT], *key))
        self._write_soon()

    def confirm(self, scope: str, alarms: Iterable[Delivered]) -> None:
        """The ARC has confirmed alarms. The listener hears of them when that is durable."""
        now = to_micros(self._clock.wall())
        for delivered in alarms:
            alarm_id = delivered.stored.alarm.alarm_id
            self._remember(scope, delivered.number, alarm_id)
            self._note_confirmed((scope, delivered.number, alarm_id), now, delivered.epoch)
            self._notes.durable.append((scope, delivered))
            self._unwritten += 1
        self._write_now()

    def stored(self, scope: str, epoch: int, ranges: Iterable[Range], problem: str = "") -> int:
        """The cloud has stored confirmations that named `epoch`, or dropped them because of `problem`.

        Returns how many of ours these were; they need not be told again.
        """
        unstored = self._unstored.get(scope, {})
        now = to_micros(self._clock.wall())
        found = [unstored.pop(number) for number in _numbers_in(ranges, unstored) if unstored[number].epoch == epoch]
        for one in found:
            self._notes.acknowledged.append((now, problem, problem, scope, one.number, one.alarm_id, epoch))
        if found:
            self._write_soon()
        return len(found)

    # What the path asks.

    def unstored(self, scope: str) -> Mapping[int, Unstored]:
        """The durable confirmations of that group that the cloud has not stored, by number."""
        return self._unstored.get(scope, {})

    @property
    def unwritten_confirmations(self) -> int:
        """How many confirmations are not durable yet."""
        return self._unwritten

    async def known_confirmed(self, scope: str, alarms: Sequence[Delivered]) -> set[int]:
        """The numbers of those that were confirmed here before, also before a restart."""
        highest = self._highest_number.get(scope, 0)
        seen = [delivered for delivered in alarms if delivered.number <= highest]
        if not seen:
            return set()
        ids = {delivered.number: delivered.stored.alarm.alarm_id for delivered in seen}
        statement = _SELECT_CONFIRMED.format(",".join("?" * len(ids)))
        rows = await self._database.read(lambda connection: connection.execute(statement, (scope, *ids)).fetchall())
        known = {number for number, alarm_id in rows if ids[number] == alarm_id}
        # Looked at last: what was confirmed while the disk was asked is here.
        return known | {number for number in ids if self._confirmed.get((scope, number)) == ids[number]}

    async def refused_before(self, scope: str, alarms: Sequence[Delivered]) -> Mapping[int, Mapping[str, int]]:
        """How often outputs here refused alarms that come again, by number and output: counting goes on (A5).

        Not what came before an alarm was set aside: one that is sent again begins anew.
        """
        highest = self._highest_number.get(scope, 0)
        seen = {one.number: one for one in alarms if one.number <= highest and one.attempt > 1}
        if not seen:
            return {}
        statement = _SELECT_REFUSED.format(",".join("?" * len(seen)))
        arguments = (Outcome.REFUSED.value, scope, *seen)
        rows = await self._database.read(lambda connection: connection.execute(statement, arguments).fetchall())
        found: dict[int, dict[str, int]] = {}
        for number, alarm_id, aside_at, output, count in rows:
            one = seen[number]
            if one.stored.alarm.alarm_id == alarm_id and not (one.replay and aside_at is None):
                found.setdefault(number, {})[output] = count
        return found

    async def list_alarms(self, query: AlarmQuery) -> AlarmPage:
        """The alarms that this receiver had, newest first."""
        records: tuple[AlarmRecord, ...] = ()
        query = replace(query, page_size=min(max(query.page_size, 1), PAGE_LIMIT))
        while True:
            # Several short reads: the alarm path asks the disk in between.
            part: AlarmPage = await self._database.read(partial(select_alarms, query=query))
            records += part.records
            left = query.page_size - len(part.records)
            if part.next is None or left <= 0:
                return AlarmPage(records, part.next)
            query = replace(query, before=part.next, page_size=left)

    async def get_alarm(self, *, number: int | None = None, alarm_id: str | None = None) -> AlarmRecord | None:
        """One alarm with its attempts, by its number or its id; the newest where several have it."""
        column, key = ("number", number) if number is not None else ("alarm_id", alarm_id)
        if key is None:
            return None
        record: AlarmRecord | None = await self._database.read(lambda connection: select_alarm(connection, column, key))
        return record

    async def flush(self) -> None:
        """Write what waits, once. What the disk refuses goes on waiting."""
        if self._writer is None and self._notes:
            self._write_now()
        if self._writer is not None:
            await asyncio.wait((self._writer,), timeout=2 * RETRY_DELAY)

    async def close(self) -> None:
        """Write what waits, and stop. Before the database is closed."""
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    # How.

    def _load(self, connection: sqlite3.Connection) -> None:
        for scope, epoch in connection.execute("SELECT scope, epoch FROM highest_epoch").fetchall():
            self._highest_epoch[scope] = epoch
            highest = connection.execute("SELECT MAX(number) FROM alarm WHERE scope = ?", (scope,)).fetchone()
            self._highest_number[scope] = highest[0] or 0
        for scope, number, epoch, alarm_id in connection.execute(_UNSTORED):
            self._unstored.setdefault(scope, {})[number] = Unstored(number, epoch, alarm_id)

    def _note_confirmed(self, key: tuple[str, int, str], now: int, epoch: int) -> None:
        """Nearly always this follows from the attempt that was noted last: then its row is written once for both."""
        if self._notes.summaries and self._notes.summaries[-1][2:] == key:
            problem, forwarded_code, *_ = self._notes.summaries.pop()
            self._notes.ended.append((problem, forwarded_code, now, epoch, *key))
        else:
            self._notes.confirmed.append((now, epoch, *key))

    def _remember(self, scope: str, number: int, alarm_id: str) -> None:
        self._confirmed[scope, number] = alarm_id
        if len(self._confirmed) > REMEMBERED:
            del self._confirmed[next(iter(self._confirmed))]

    def _write_soon(self) -> None:
        if self._writer is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COMPANY_DELAY, self._write_now)

    def _write_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is None and self._notes:
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="journal")

    async def _write(self) -> None:
        """Write until nothing waits: what is noted meanwhile shares the next commit."""
        try:
            loop = asyncio.get_running_loop()
            while self._notes:
                early = self._began + PACE - loop.time()
                if early > 0:
                    await asyncio.sleep(early)
                self._began = loop.time()
                notes, self._notes = self._notes, _Notes()
                await self._make_durable(notes)
                self._tell(notes.durable)
        except HotspareError as error:
            # The outcome of a commit is unknown: the process stops, and recovers from what is on the disk.
            log_event(_log, logging.ERROR, "journal_failed", error=error)
        finally:
            self._writer = None

    async def _make_durable(self, notes: _Notes) -> None:
        while True:
            try:
                await self._database.write(notes.write, vital=True)
                return
            except HotspareError as error:
                if error.reason is not Reason.DISK_LOW:
                    raise
            except Exception as error:
                # A defect, a cloud's perhaps: what can't be written must not take the rest with it.
                await self._make_rest_durable(notes, error)
                return
            log_event(_log, logging.WARNING, "journal_disk_full", confirmations=len(notes.durable))
            await asyncio.sleep(RETRY_DELAY)

    async def _make_rest_durable(self, notes: _Notes, problem: Exception) -> None:
        singles = list(notes.singles())
        if len(singles) <= 1:
            log_event(_log, logging.ERROR, "journal_note_dropped", error=problem)
            return
        for single in singles:
            await self._make_durable(single)

    def _tell(self, durable: Iterable[tuple[str, Delivered]]) -> None:
        by_scope: dict[str, list[Unstored]] = {}
        for scope, delivered in durable:
            self._unwritten -= 1
            one = Unstored(delivered.number, delivered.epoch, delivered.stored.alarm.alarm_id)
            self._unstored.setdefault(scope, {})[one.number] = one
            by_scope.setdefault(scope, []).append(one)
        for scope, unstored in by_scope.items():
            self._listener(scope, unstored)


def _numbers_in(ranges: Iterable[Range], numbers: Mapping[int, object]) -> list[int]:
    """Those of `numbers` that lie in a range, at the cost of the smaller of both."""
    found: dict[int, None] = {}
    for first, last in ranges:
        if last - first < len(numbers):
            found.update((number, None) for number in range(first, last + 1) if number in numbers)
        else:
            found.update((number, None) for number in numbers if first <= number <= last)
    return list(found)


_UNSTORED = """
    SELECT scope, number, epoch, alarm_id FROM alarm
    WHERE confirmed IS NOT NULL AND acknowledged IS NULL ORDER BY id
"""
_SELECT_CONFIRMED = """
    SELECT number, alarm_id FROM alarm WHERE scope = ? AND number IN ({}) AND confirmed IS NOT NULL
"""
# `aside_at`: the last attempt before it was set aside here.
_SELECT_REFUSED = """
    SELECT a.number, a.alarm_id, a.aside_at, t.output, count(*) FROM attempt t JOIN alarm a ON a.id = t.alarm
    WHERE t.outcome = ? AND a.scope = ? AND a.number IN ({}) AND t.id > coalesce(a.aside_at, 0)
    GROUP BY a.id, t.output
"""
_PUT_EPOCH = """
    INSERT INTO highest_epoch (scope, epoch) VALUES (?, ?)
    ON CONFLICT (scope) DO UPDATE SET epoch = max(epoch, excluded.epoch)
"""
_PUT_DELIVERED = """
    INSERT INTO alarm (scope, number, alarm_id, device_id, stored, received, epoch, deliveries, delivered)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (scope, number, alarm_id) DO UPDATE SET
        epoch = excluded.epoch, deliveries = excluded.deliveries, delivered = excluded.delivered, set_aside = NULL
"""
_ALARM = "scope = ? AND number = ? AND alarm_id = ?"
_PUT_ATTEMPT = f"""
    INSERT INTO attempt (alarm, output, attempt, started, ended, outcome, frame, answer, detail)
    SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM alarm WHERE {_ALARM}
"""
_PUT_SUMMARY = f"""
    UPDATE alarm SET attempt_count = attempt_count + 1, last_problem = ?, forwarded_code = ? WHERE {_ALARM}
"""
# Confirmed again under a later epoch: the cloud is to be told again.
_PUT_CONFIRMED = f"""
    UPDATE alarm SET confirmed = coalesce(confirmed, ?), acknowledged = NULL, epoch = ? WHERE {_ALARM}
"""
_PUT_ENDED = f"""
    UPDATE alarm SET attempt_count = attempt_count + 1, last_problem = ?, forwarded_code = ?,
        confirmed = coalesce(confirmed, ?), acknowledged = NULL, epoch = ? WHERE {_ALARM}
"""
_PUT_SET_ASIDE = f"""
    UPDATE alarm SET set_aside = ?, aside_at = (SELECT max(id) FROM attempt WHERE attempt.alarm = alarm.id)
    WHERE {_ALARM}
"""
_PUT_NOT_FORWARDED = f"UPDATE alarm SET not_forwarded = ? WHERE {_ALARM}"
_PUT_ACKNOWLEDGED = f"""
    UPDATE alarm SET acknowledged = ?, last_problem = CASE ? WHEN '' THEN last_problem ELSE ? END
    WHERE {_ALARM} AND epoch = ?
"""
