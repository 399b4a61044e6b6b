"""A subscription alone, with a scripted path and a scripted memory: what goes out, and what is told of it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from hotspare_model.alarm import Alarm, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.core.forwarder import Delivered, Outcome, Sending
from hotspare_receiver.core.group_view import NOTHING_KNOWN
from hotspare_receiver.core.lease import LeaseGuard
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.outputs.feed_session import FeedAnswer, FeedMessage, FeedState, Session, Tell
from hotspare_receiver.outputs.subscription import Subscription
from hotspare_receiver.snapshot import OutputConfig, StreamConfig
from hotspare_receiver.store.feed import KnownCursor, Telling, Wanted

MORNING = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
CONFIG = OutputConfig("feed", (), stream=StreamConfig("automation"))


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return MORNING


def sending(number: int, attempt: int = 1) -> Sending:
    what = Alarm(f"id-{number}", "panel", Qualifier.NEW, CodeFormat.CONTACT_ID, "130", 1, 1, MORNING, "")
    stored = StoredAlarm(number, what, "1234", number, MORNING, (), AlarmPath.CLOUD)
    return Sending(Delivered(stored, 1, 1, False, b"raw"), attempt)


@dataclass
class Path:
    """Gives these alarms, and notes what came of them."""

    waiting: list[Sending]
    allowed: bool = True
    attempts: list[tuple[int, Outcome]] = field(default_factory=list)
    guard: LeaseGuard = field(default_factory=LeaseGuard)
    scope: str = "north/default"
    group = NOTHING_KNOWN

    def take(self, output: str) -> Sending | None:
        return self.waiting.pop(0) if self.waiting and self.allowed else None

    def due(self, output: str) -> float | None:
        return None

    def may_write(self, epoch: int) -> bool:
        return self.allowed

    def attempted(self, sending: Sending, attempt: AttemptRecord, forwarded_code: str) -> None:
        self.attempts.append((sending.delivered.number, attempt.outcome))

    def waiting_for(self, output: str) -> int:
        return len(self.waiting)


@dataclass
class Memory:
    """Keeps cursors: that of an alarm is its number plus 1000."""

    refusing: bool = False
    late_ones: list[int] = field(default_factory=list)

    def new_cursor(self) -> int:
        return 9000

    async def tell(self, subscription: str, scope: str, alarms: Sequence[Wanted]) -> list[Telling]:
        await asyncio.sleep(0)
        if self.refusing:
            raise HotspareError(Reason.DISK_LOW, "the disk is full")
        return [Telling(1000 + one.number, 1, False) for one in alarms]

    async def acknowledge(self, subscription: str, cursors: Iterable[int]) -> dict[int, KnownCursor]:
        await asyncio.sleep(0)
        if self.refusing:
            raise HotspareError(Reason.DISK_LOW, "the disk is full")
        numbers = {cursor: cursor - 1000 for cursor in cursors}
        return {
            cursor: KnownCursor(cursor, "north/default", number, f"id-{number}", 1, False)
            for cursor, number in numbers.items()
        }

    def ended(self, subscription: Subscription) -> HotspareError:
        return HotspareError(Reason.SHUTTING_DOWN, "the end")

    async def late(self, subscription: Subscription, known: KnownCursor) -> None:
        self.late_ones.append(known.number)


def opened(path: Path, memory: Memory, window: int = 10) -> tuple[Subscription, Session]:
    subscription = Subscription(CONFIG, path, Clock(), memory, memory)
    session = Session(window, "peer", "software")
    subscription.join(session)
    return subscription, session


async def turns(count: int = 5) -> None:
    """Let what is ready run: nothing here waits for more than that."""
    for _ in range(count):
        await asyncio.sleep(0)


def told(subscription: Subscription, session: Session) -> list[FeedMessage]:
    found = []
    while (message := subscription.next(session)) is not None:
        found.append(message)
        if isinstance(message, Tell):
            message.frame = b"frame"
    return found


def numbers(messages: Sequence[FeedMessage]) -> list[int]:
    return [message.number for message in messages if isinstance(message, Tell)]


async def test_timing_1_the_lease_is_asked_right_before_each_alarm() -> None:
    """Also when no timer has run out: the loop may have stood still since."""
    path = Path([sending(1), sending(2), sending(3)])
    subscription, session = opened(path, Memory())
    await turns()
    first = [subscription.next(session), subscription.next(session)]
    assert numbers([message for message in first if message is not None]) == [1]
    path.allowed = False
    assert numbers(told(subscription, session)) == []
    assert path.attempts == [(3, Outcome.NOT_SENT), (2, Outcome.NOT_SENT)]


async def test_o1_nothing_is_told_before_it_is_noted_and_what_cannot_be_noted_waits() -> None:
    path, memory = Path([sending(1), sending(2)]), Memory(refusing=True)
    subscription, session = opened(path, memory)
    assert numbers(told(subscription, session)) == []
    await turns()
    assert path.attempts == [(2, Outcome.NOT_SENT), (1, Outcome.NOT_SENT)]
    assert subscription._retry is not None
    path.waiting = [sending(1), sending(2)]
    memory.refusing = False
    subscription.kick()
    assert path.waiting, "it is tried again after a while, not at each turn"
    subscription._try_again()
    await turns()
    assert numbers(told(subscription, session)) == [1, 2]
    subscription.close()


async def test_o1_what_cannot_be_kept_is_not_answered_and_does_not_count() -> None:
    path, memory = Path([sending(1)]), Memory()
    subscription, session = opened(path, memory)
    await turns()
    told(subscription, session)
    memory.refusing = True
    await subscription.acknowledge(session, [1001])
    await turns()
    with pytest.raises(HotspareError):
        subscription.next(session)
    assert path.attempts == []


async def test_a3_a_batch_that_was_noted_for_a_stream_that_is_gone_goes_back_first() -> None:
    """Else the next stream would get it before what the last one had."""
    path = Path([sending(1)])
    subscription, session = opened(path, Memory(), window=2)
    await turns()
    told(subscription, session)
    path.waiting = [sending(2)]
    subscription.kick()
    following = Session(2, "peer", "software")
    subscription.join(following)
    await turns()
    assert path.attempts == [(1, Outcome.UNKNOWN), (2, Outcome.NOT_SENT)]
    assert not following.ready
    with pytest.raises(HotspareError):
        subscription.next(session)


async def test_f7_an_acknowledgement_that_is_kept_after_its_stream_has_gone_counts_at_once() -> None:
    path, memory = Path([sending(1)]), Memory()
    subscription, session = opened(path, memory)
    await turns()
    told(subscription, session)
    await subscription.acknowledge(session, [1001])
    subscription.leave(session)
    assert path.attempts == [(1, Outcome.UNKNOWN)]
    await turns()
    assert path.attempts == [(1, Outcome.UNKNOWN), (1, Outcome.CONFIRMED)]
    assert memory.late_ones == [1]


async def test_f5_after_a_reset_the_stream_stays_and_its_acknowledgements_are_facts() -> None:
    path, memory = Path([sending(1), sending(2)]), Memory()
    subscription, session = opened(path, memory)
    await turns()
    assert isinstance(subscription.next(session), FeedState)
    assert numbers([message for message in (subscription.next(session),) if message]) == [1]
    subscription._by_number[1].frame = b"frame"
    subscription.reset()
    assert path.attempts == [(2, Outcome.NOT_SENT), (1, Outcome.UNKNOWN)]
    await subscription.acknowledge(session, [1001])
    await turns()
    assert told(subscription, session) == [FeedAnswer((1001,), ())]
    assert path.attempts[-1] == (1, Outcome.CONFIRMED)


async def test_f3_who_acknowledges_nothing_is_a_problem_from_when_it_was_told() -> None:
    path = Path([sending(1), sending(2)])
    subscription, session = opened(path, Memory(), window=1)
    clock = subscription._clock
    assert isinstance(clock, Clock)
    assert subscription.facts(10.0).bad_since is None
    await turns()
    clock.seconds = 107.0
    told(subscription, session)
    assert subscription.facts(10.0).bad_since == 107.0
    clock.seconds = 109.0
    await subscription.acknowledge(session, [1001])
    await turns()
    told(subscription, session)
    assert subscription.facts(10.0).bad_since == 109.0
    subscription.leave(session)
    assert subscription.facts(10.0).bad_since == 109.0
