"""Alarms that are set aside (A5): what a receiver's output refused too often, or what it was lost with again and again.

They hold up nobody, are kept, listed and counted, and go out again when an operator wishes that.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from hotspare_cloud.core.state import Reason as Why
from hotspare_cloud.delivery import PullSession, Stored
from hotspare_cloud.finish import finished
from hotspare_cloud.store.base import AlarmState
from hotspare_cloud.store.base_queue import QueuedRow, Refused, RefusedAlarm, Replayed, SetAsideCause
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.logs import log_event

if TYPE_CHECKING:
    from hotspare_cloud.group import Group

LOST_WITH = frozenset({Why.CONNECTION_LOST, Why.SILENT, Why.RESTARTED})
"""Ends of an epoch that count against what was out: the receiver died or was gone. One that was not healthy hands over,
and a planned move is no loss."""

PAGE = 1000

_log = logging.getLogger(__name__)


class QueuedState(IntEnum):
    """How far an alarm is on its way. The numbers are those of alarm.proto's AlarmState."""

    STORED = 1
    DELIVERED = 2
    HELD = 3
    CONFIRMED = 4
    SET_ASIDE = 5


class Aside:
    """How many alarms of a group are set aside, and what came about since the cloud started."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.by_cause: Counter[SetAsideCause] = Counter(dict.fromkeys(SetAsideCause, 0))
        self.replayed = 0

    def taken_back(self, count: int) -> None:
        """So many were confirmed after all, late."""
        self.now -= count


def set_aside(group: "Group", numbers: Sequence[int], cause: SetAsideCause) -> None:
    """Alarms are set aside in the store: nobody waits for them any more."""
    if not numbers:
        return
    group.backlog -= len(numbers)
    group.aside.now += len(numbers)
    group.aside.by_cause[cause] += len(numbers)
    group.delivery.window.set_aside(numbers)
    group.delivery.wake()
    log_event(
        _log, logging.WARNING, "alarms_set_aside", **group.name(), cause=cause.name.lower(), numbers=list(numbers)[:20]
    )
    group.notify()


@finished
async def refuse(group: "Group", pull: PullSession, epoch: int, refused: RefusedAlarm) -> None:
    """Take a refusal by the holder of the current epoch, and answer when it is durable.

    Under an epoch that is over it changes nothing, and gets no answer (F7).
    """
    if group.delivery.pull is not pull or epoch != group.delivery.window.epoch:
        group.tally.stale += 1
        return
    result = await group.store.set_aside(group.row.group_id, epoch, pull.receiver_id, refused, time.time())
    match result:
        case Refused.SET_ASIDE:
            set_aside(group, [refused.number], SetAsideCause.REFUSED)
            pull.send(Stored(epoch, [refused.number], ()))
        case Refused.KNOWN:
            pull.send(Stored(epoch, [refused.number], ()))
        case Refused.NEVER_DELIVERED:
            pull.send(Stored(epoch, (), [(refused.number, refused.number)]))
        case Refused.EPOCH_OVER:
            group.tally.stale += 1


@finished
async def replay(group: "Group", number: int, operator: str, request_id: str) -> None:
    """Put an alarm that is set aside back at its place.

    Raises:
        HotspareError: RESOURCE_NOT_FOUND, ALARM_NOT_SET_ASIDE.
    """
    window, group_id = group.delivery.window, group.row.group_id
    # Who works must not change meanwhile: an earlier holder may still be writing it.
    async with group.lock:
        row = next(iter(await group.store.queued(group_id, [number])), None)
        is_aside = row is not None and row.state == AlarmState.SET_ASIDE
        if row is not None and is_aside:
            held = any(hold.epoch == row.epoch for hold in group.state.holds)
            window.recall(number, row.device_id, row.epoch, held=held)
        result = await group.store.replay(group_id, number, operator, request_id, time.time())
        if result is Replayed.QUEUED:
            window.replayed(number)
        elif is_aside:
            window.set_aside([number])  # Its late confirmation came first.
    match result:
        case Replayed.UNKNOWN:
            raise no_alarm(number)
        case Replayed.NOT_SET_ASIDE:
            assert row is not None
            state = state_of(group, row).name
            problem = f"alarm {number} is not set aside: it is {state.lower()}"
            raise HotspareError(Reason.ALARM_NOT_SET_ASIDE, problem, number=number, state=state)
        case Replayed.DONE_BEFORE:
            return
        case Replayed.QUEUED:
            group.backlog += 1
            group.aside.now -= 1
            group.aside.replayed += 1
            group.delivery.wake()
            log_event(_log, logging.WARNING, "alarm_replayed", **group.name(), number=number, operator=operator)
            group.notify()


def no_alarm(key: object) -> HotspareError:
    """The error for an alarm that the group does not have."""
    return HotspareError(Reason.RESOURCE_NOT_FOUND, f"the group has no alarm {key}", kind="alarm", id=str(key))


def state_of(group: "Group", row: QueuedRow) -> QueuedState:
    """How far an alarm is: what the store has of it, and whether it is out."""
    window = group.delivery.window
    match row.state:
        case AlarmState.CONFIRMED:
            return QueuedState.CONFIRMED
        case AlarmState.SET_ASIDE:
            return QueuedState.SET_ASIDE
        case _ if row.number in window.out:
            return QueuedState.DELIVERED
        case _ if row.number in window.waiting_for_a_hold:
            return QueuedState.HELD
        case _:
            return QueuedState.STORED


async def queue(
    group: "Group", state: QueuedState | None, device_id: str, after: int, limit: int
) -> Sequence[QueuedRow]:
    """Alarms that wait or are set aside, by number, with numbers above `after`; of one state, or of all."""
    store, group_id, window = group.store, group.row.group_id, group.delivery.window
    match state:
        case None:
            return await store.queue(group_id, [AlarmState.WAITING, AlarmState.SET_ASIDE], device_id, after, limit)
        case QueuedState.SET_ASIDE:
            return await store.queue(group_id, [AlarmState.SET_ASIDE], device_id, after, limit)
        case QueuedState.DELIVERED | QueuedState.HELD:
            known = window.out if state is QueuedState.DELIVERED else window.waiting_for_a_hold
            wanted = (number for number, device in known.items() if number > after and device_id in ("", device))
            rows = await store.queued(group_id, sorted(wanted)[:limit])
            return [row for row in rows if state_of(group, row) is state]
        case QueuedState.STORED:
            return await _stored(group, device_id, after, limit)
        case _:
            return ()


async def _stored(group: "Group", device_id: str, after: int, limit: int) -> Sequence[QueuedRow]:
    found: list[QueuedRow] = []
    while len(found) < limit:
        # What is out lies at the front of the queue, and is no more than a window or two.
        page = await group.store.queue(group.row.group_id, [AlarmState.WAITING], device_id, after, PAGE)
        found += [row for row in page if state_of(group, row) is QueuedState.STORED]
        if len(page) < PAGE:
            break
        after = page[-1].number
    return found[:limit]
