"""The way of the alarms out of the store to the working receiver: reads pages, notes deliveries, sends.

What goes next is decided by `core.window`; this carries it out, one page at a time, beside the group's other work.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hotspare_cloud.core.window import Window
from hotspare_cloud.store.base import AlarmStore, WaitingAlarm
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.logs import log_event

MISMATCH_LIMIT = 1.5
"""Seconds for which the receiver's idea of its pull may differ from ours."""

RETRY_PAUSE = 0.2

FRAME_BYTES = 1024 * 1024
"""Of alarms in one message, unless one alone is larger."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deliver:
    """Alarms to be sent; the first has the delivery number `first_delivery`, the others count on."""

    epoch: int
    first_delivery: int
    alarms: Sequence[WaitingAlarm]


@dataclass(frozen=True, slots=True)
class Stored:
    """Confirmations that are durable, and numbers that were never delivered to that receiver under the epoch."""

    epoch: int
    numbers: Sequence[int]
    never_delivered: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Withdraw:
    """An alarm that an earlier holder has confirmed after all."""

    number: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The epoch of the pull is not, or not any more, the current one."""

    current_epoch: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The stream may end with OK."""


PullMessage = Deliver | Stored | Withdraw | Stale | Finished


class PullSession:
    """One PullAlarms stream. The service takes what is to be sent from `next_message`."""

    def __init__(self, receiver_id: str, incarnation: str, pull_id: int, opened_at: float) -> None:
        self.receiver_id = receiver_id
        self.incarnation = incarnation
        self.pull_id = pull_id
        self.last_delivery = 0
        self._opened_at = opened_at
        self._unseen: deque[tuple[int, float]] = deque()
        self._outbox: asyncio.Queue[PullMessage | Exception] = asyncio.Queue()

    def send(self, message: PullMessage) -> None:
        """Queue a message."""
        self._outbox.put_nowait(message)

    def deliver(self, epoch: int, alarms: Sequence[WaitingAlarm], now: float) -> None:
        """Queue alarms under the next delivery numbers."""
        self.send(Deliver(epoch, self.last_delivery + 1, alarms))
        self.last_delivery += len(alarms)
        self._unseen.append((self.last_delivery, now))

    def end(self, error: Exception) -> None:
        """End the stream with an error, after what is queued. One that is no HotspareError is a defect of ours."""
        self._outbox.put_nowait(error)

    async def next_message(self) -> PullMessage:
        """The next message to be sent. Raises the error that ends the stream."""
        item = await self._outbox.get()
        if isinstance(item, Exception):
            raise item
        return item

    @property
    def seen(self) -> bool:
        """Whether something was delivered in it, and the receiver told that it has all of that."""
        return self.last_delivery > 0 and not self._unseen

    def agrees(self, pull_id: int, last_delivery: int, now: float) -> bool:
        """Whether what a beat tells of the pull agrees with ours, or has had no time to."""
        if pull_id != self.pull_id:
            return now - self._opened_at < MISMATCH_LIMIT
        while self._unseen and self._unseen[0][0] <= last_delivery:
            self._unseen.popleft()
        return not self._unseen or now - self._unseen[0][1] < MISMATCH_LIMIT


class Delivery:
    """Delivers the alarms of one group, as long as somebody pulls."""

    def __init__(
        self,
        group_id: int,
        store: AlarmStore,
        window: Window,
        clock: Callable[[], float],
        may_deliver: Callable[[], bool],
    ) -> None:
        self.window = window
        self.pull: PullSession | None = None
        self.delivered = 0
        self.redelivered = 0
        self._group_id = group_id
        self._store = store
        self._clock = clock
        self._may_deliver = may_deliver
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self, pull: PullSession, size: int) -> None:
        """Serve a new pull of the current epoch; an older one ends."""
        if self.pull is not None:
            self.pull.end(HotspareError(Reason.STREAM_SUPERSEDED, "a newer pull took this one's place", stream="pull"))
        self.pull = pull
        self.window.open(size)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"delivery-{self._group_id}")
        self.wake()

    def close(self, pull: PullSession) -> None:
        """A stream of PullAlarms ended."""
        if self.pull is pull:
            self.pull = None
            self.window.close()

    def stale(self, current_epoch: int) -> None:
        """The epoch of the pull ended: nothing is delivered any more, confirmations still pass."""
        if self.pull is not None:
            self.pull.send(Stale(current_epoch))
            self.pull = None

    def reset(self) -> None:
        """The pull does not agree with the receiver's: it has to open a new one."""
        if self.pull is not None:
            log_event(_log, logging.WARNING, "pull_mismatch", group=self._group_id, pull=self.pull.pull_id)
            self.pull.end(HotspareError(Reason.PULL_MISMATCH, "the pull got lost", pull_id=self.pull.pull_id))
            self.close(self.pull)

    def wake(self) -> None:
        """Something changed that may let alarms go."""
        self._wake.set()

    async def stop(self) -> None:
        """End the deliveries."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._deliver_page():
                    pass
            except Exception as error:
                # What was taken from the window is not with the receiver: the next pull begins with it.
                log_event(_log, logging.ERROR, "delivery_failed", group=self._group_id, error=error)
                if self.pull is not None:
                    self.pull.end(error)
                    self.close(self.pull)
                await asyncio.sleep(RETRY_PAUSE)

    async def _deliver_page(self) -> bool:
        """Deliver what the next page lets go. Returns whether there may be more."""
        pull, page = self.pull, self.window.wanted()
        if pull is None or page is None or not self._may_deliver():
            return False
        epoch = self.window.epoch
        alarms = await self._store.waiting_alarms(self._group_id, page.after, page.limit)
        if self.pull is not pull:
            return True
        taken = self.window.take(page, alarms)
        if taken:
            # Noted before it is sent: after a restart of the cloud it must be known who may have what.
            numbers = [alarm.number for alarm in taken]
            waiting = set(await self._store.note_delivery(self._group_id, epoch, numbers))
            # What an earlier holder confirmed since the page was read is not sent again.
            self.window.confirmed(number for number in numbers if number not in waiting)
            taken = [alarm for alarm in taken if alarm.number in waiting]
            if taken and self.pull is pull:
                at = self._clock()
                for part in in_frames(taken):
                    pull.deliver(epoch, part, at)
                self.delivered += len(taken)
                self.redelivered += sum(1 for alarm in taken if alarm.deliveries)
        return True


def in_frames(alarms: Sequence[WaitingAlarm]) -> Iterator[Sequence[WaitingAlarm]]:
    """The same in parts that are messages of a good size: gRPC takes 4 MiB, and a page of large alarms may be more."""
    begin = size = 0
    for index, alarm in enumerate(alarms):
        if size and size + len(alarm.payload) > FRAME_BYTES:
            yield alarms[begin:index]
            begin, size = index, 0
        size += len(alarm.payload)
    if alarms:
        yield alarms[begin:]


def missing(ranges: Sequence[tuple[int, int]], known: Sequence[int]) -> list[tuple[int, int]]:
    """The parts of the ranges that are not among the known numbers. Both are in order, the ranges don't overlap."""
    missing: list[tuple[int, int]] = []
    found = deque(known)
    for first, last in ranges:
        start = first
        while found and found[0] <= last:
            number = found.popleft()
            if number > start:
                missing.append((start, number - 1))
            start = number + 1
        if start <= last:
            missing.append((start, last))
    return missing
