"""Passes direct alarms on to the cloud (D2): one at a time for a device, so that their order stays (A3); many devices
at once. It tries again while there is time, and returns when an alarm is durable at the cloud.

An attempt whose answer did not come leaves open whether the cloud has the alarm: then it is in doubt, until the cloud
answers for it. What is in doubt is never forwarded by an isolated host (D4).
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import grpc

from hotspare.v1 import alarm_service_pb2, alarm_service_pb2_grpc
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clients.cloud import CloudClient, unreachable
from hotspare_rpc.errors import from_rpc_error
from hotspare_rpc.logs import log_event

PATIENCE = 8.0
"""Seconds after which an alarm that the cloud has not answered is given back: the device keeps it, and tries again.
Less than the contract's deadline of PublishAlarm, so that a device hears why."""

ATTEMPT = 5.0
"""Seconds for one attempt."""

PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds between attempts; the last one goes on."""

READY_LOOK = 0.3
"""Seconds for which a connection is waited for at a time."""

MOST_AT_ONCE = 2_000
"""Alarms that are under way, or wait for their turn; beyond it new ones are refused (A7)."""

MOST_OF_DEVICE = 64
"""Of these, of one device, which has one stream or calls a few times at once: it must not shut the others out (S4)."""

CALLS_AT_ONCE = 64
"""Calls to the cloud at one time."""

RETRY_WHEN_FULL = timedelta(seconds=1)

_AGAIN = frozenset({Reason.SHUTTING_DOWN, Reason.STORE_FAILED, Reason.CLOUD_UNREACHABLE})
"""Answers of a cloud that may be another one in a moment."""

_log = logging.getLogger(__name__)

Submission = alarm_service_pb2.AlarmSubmission
Receipt = alarm_service_pb2.AlarmReceipt
Key = tuple[str, str]
"""Device and alarm id."""


class Doubts(Protocol):
    """Keeps in mind which alarms the cloud may hold although it has not answered for them."""

    async def sending(self, key: Key) -> bool:
        """An attempt begins. Returns when that will be known after a crash too, and whether it is the first one that
        leaves a doubt. Raises HotspareError."""
        ...

    def settled(self, key: Key) -> None:
        """The cloud answered: it has the alarm, or surely has not."""
        ...


class NoDoubts:
    """Where nothing is ever forwarded without the cloud."""

    async def sending(self, key: Key) -> bool:
        """Nothing needs to be known."""
        return True

    def settled(self, key: Key) -> None:
        """Nothing was."""


@dataclass(slots=True)
class _Lane:
    """The alarms of one device."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    failures: int = 0
    """How often one was given back; those behind it are given back too, or they would pass it (A3)."""
    problem: HotspareError | None = None


class Gateway:
    """The way of direct alarms to the cloud."""

    def __init__(
        self,
        cloud: CloudClient,
        now: Callable[[], float],
        doubts: Doubts | None = None,
        patience: float = PATIENCE,
        hopeless: Callable[[], bool] = lambda: False,
    ) -> None:
        """`now`: monotonic seconds. `hopeless`: whether the cloud is known to be out of reach."""
        self.under_way = 0
        self.failed = 0
        """Alarms that were given back because the cloud did not answer."""
        self._cloud = cloud
        self._now = now
        self._doubts = NoDoubts() if doubts is None else doubts
        self._patience = patience
        self._hopeless = hopeless
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)
        self._lanes: dict[str, _Lane] = {}

    async def publish(self, submission: Submission) -> Receipt:
        """Have the cloud store an alarm. Calls for one device are served in the order in which they began.

        Raises:
            HotspareError: the cloud's own; INTAKE_FULL; CLOUD_UNREACHABLE, when there was no answer in time.
        """
        device_id = submission.alarm.device_id
        if self.under_way >= MOST_AT_ONCE:
            raise _full("direct alarms", MOST_AT_ONCE)
        if device_id in self._lanes and self._lanes[device_id].users >= MOST_OF_DEVICE:
            raise _full("alarms of this device", MOST_OF_DEVICE)
        with self._lane(device_id) as lane:
            before, deadline = lane.failures, self._now() + self._patience
            async with lane.turn:
                if lane.problem is not None and lane.failures != before:
                    raise lane.problem
                try:
                    return await self._publish(submission, deadline)
                except HotspareError as error:
                    if error.retry_after is not None or error.reason in _AGAIN:
                        lane.failures += 1
                        lane.problem = error
                    raise

    def is_busy(self, device_id: str) -> bool:
        """Whether alarms of a device are under way, or wait for their turn."""
        return device_id in self._lanes

    @contextmanager
    def _lane(self, device_id: str) -> Iterator[_Lane]:
        lane = self._lanes.setdefault(device_id, _Lane())
        lane.users += 1
        self.under_way += 1
        try:
            yield lane
        finally:
            self.under_way -= 1
            lane.users -= 1
            if not lane.users:
                del self._lanes[device_id]

    async def _publish(self, submission: Submission, deadline: float) -> Receipt:
        """Try until `deadline`, of the monotonic clock."""
        attempts = 0
        problem = unreachable(self._cloud.address, "there was no connection in time")
        while (left := deadline - self._now()) > 0 and not self._hopeless():
            channel = self._cloud.channel()
            # A call on a channel that has no connection would fail, or might leave late, and nobody would know.
            if channel is not None and await _ready(channel, min(left, READY_LOOK)):
                try:
                    async with self._calls:
                        return await self._call(channel, submission, min(ATTEMPT, deadline - self._now()))
                except HotspareError as error:
                    if error.reason not in _AGAIN:
                        raise
                    problem = error
            pause = PAUSES[min(attempts, len(PAUSES) - 1)]
            await asyncio.sleep(max(0.0, min(pause, deadline - self._now())))
            attempts += 1
        self.failed += 1
        log_event(
            _log, logging.WARNING, "direct_alarm_given_back", device_id=submission.alarm.device_id,
            alarm_id=submission.alarm.alarm_id, problem=problem.message,
        )  # fmt: skip
        raise problem

    async def _call(self, channel: grpc.aio.Channel, submission: Submission, timeout: float) -> Receipt:
        key = (submission.alarm.device_id, submission.alarm.alarm_id)
        first = await self._doubts.sending(key)
        stub: alarm_service_pb2_grpc.AlarmServiceAsyncStub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
        request = alarm_service_pb2.PublishAlarmRequest(submission=submission)
        try:
            answer = await stub.PublishAlarm(request, metadata=self._cloud.metadata(), timeout=max(0.05, timeout))
        except grpc.aio.AioRpcError as error:
            ours = from_rpc_error(error)
            # A store that failed, and a server that stops, may have it all the same; and what was refused now may have
            # been stored by an attempt before.
            if first and ours is not None and ours.reason not in _AGAIN:
                self._doubts.settled(key)
            raise self._cloud.mapped(error) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise unreachable(self._cloud.address, "the connection was closed under the call") from error
        self._doubts.settled(key)
        return answer.receipt


def _full(what: str, limit: int) -> HotspareError:
    return HotspareError(
        Reason.INTAKE_FULL,
        f"too many {what} wait for the cloud: keep the alarm and try again",
        retry_after=RETRY_WHEN_FULL,
        limit=limit,
    )


async def _ready(channel: grpc.aio.Channel, timeout: float) -> bool:
    """Whether there is a connection, or comes to be one in time."""
    try:
        async with asyncio.timeout(timeout):
            await channel.channel_ready()
    except TimeoutError:
        return False
    except (grpc.aio.UsageError, asyncio.InvalidStateError):
        return False  # it was closed: the settings name another way
    return True
