"""The stream of alarms from the cloud, and of confirmations and refusals to it (PullAlarms).

A pull belongs to one epoch. It is opened while this receiver holds one with a valid lease and has somewhere
to send alarms (A4); a gap in the numbers of deliveries opens it anew. A confirmation is a fact (F7): what the
cloud has not answered with `stored` is told in every new stream, whatever epoch it is of, and a receiver that
holds none opens the stream with epoch 0 for that alone. A refusal (A5) is a wish: it is told in each stream of the
epoch of its delivery until the cloud has set the alarm aside, and means nothing under a later one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

import grpc

from hotspare.v1 import alarm_pull_service_pb2, alarm_pull_service_pb2_grpc
from hotspare_model.errors import Reason
from hotspare_receiver.clients.attend import CloudAccess, is_own_cancellation
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.forwarder import Delivered
from hotspare_receiver.journal import DETAIL_LIMIT, FRAME_LIMIT, Range, Refusal, Unstored
from hotspare_rpc.errors import describe, from_rpc_error
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import stored_alarm_from_proto

RANGES_LIMIT = 1000
"""Ranges in one confirmation (alarm_pull_service.proto)."""

BACKOFF = Backoff(first=0.1, longest=1.0)

CLOSE_TIMEOUT = 2.0
"""Seconds for the cloud to store what is left and to end a pull whose epoch is over."""

_log = logging.getLogger(__name__)
_Call: TypeAlias = grpc.aio.StreamStreamCall[
    alarm_pull_service_pb2.PullAlarmsRequest, alarm_pull_service_pb2.PullAlarmsResponse
]


class Puller(Protocol):
    """For whom alarms are pulled."""

    @property
    def pull_epoch(self) -> int:
        """The epoch to pull under. 0: pull nothing."""

    @property
    def window(self) -> int:
        """How many alarms may be here unconfirmed."""

    def unstored(self) -> Sequence[Unstored]:
        """All confirmations that the cloud has to be told."""

    def refusals(self) -> Sequence[Refusal]:
        """All that the cloud has to set aside."""

    async def delivered(self, alarms: Sequence[Delivered]) -> None:
        """Alarms came, in order."""

    def mismatched(self) -> None:
        """The pull is opened anew, since the numbers of deliveries did not agree with the cloud's."""

    def withdrawn(self, number: int) -> None:
        """An alarm is not to be sent."""

    def stored(self, epoch: int, ranges: Sequence[Range], never_delivered: Sequence[Range]) -> None:
        """The cloud has confirmations durably, or dropped them."""


class _GapError(Exception):
    """The numbers of deliveries don't follow each other, or name another epoch."""


class Pull:
    """Keeps a pull open while there is a reason for one."""

    def __init__(self, cloud: CloudAccess, puller: Puller, incarnation: str) -> None:
        self._cloud = cloud
        self._puller = puller
        self._incarnation = incarnation
        self._task: asyncio.Task[None] | None = None
        self._stream: _Stream | None = None
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._opened = 0
        self.reopened = 0

    @property
    def position(self) -> tuple[int, int]:
        """Pull id and last delivery of the open pull; (0, 0) without one."""
        stream = self._stream
        return (stream.pull_id, stream.last_delivery) if stream is not None and stream.epoch else (0, 0)

    def start(self) -> None:
        """Pull whenever there is a reason."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="pull")

    def stop(self) -> None:
        """Pull no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._stream = None

    def changed(self) -> None:
        """The epoch to pull under may have changed, or what there is to tell."""
        self._changed.set()
        self._hurry.set()
        if self._stream is not None:
            self._stream.wake()

    def confirm(self, confirmations: Iterable[Unstored]) -> None:
        """Tell the cloud of durable confirmations."""
        if self._stream is not None:
            self._stream.confirm(confirmations)
        else:
            self._changed.set()

    def refuse(self, refusal: Refusal) -> None:
        """Tell the cloud of an alarm that an output refused too often. Without a stream the next one tells it."""
        if self._stream is not None:
            self._stream.refuse(refusal)

    def reopen(self, why: str) -> None:
        """Open the pull anew: it begins with all that is not confirmed."""
        if self._stream is not None and self._stream.epoch:
            log_event(_log, logging.WARNING, "pull_reopened", pull_id=self._stream.pull_id, why=why)
            self.reopened += 1
            self._stream.cancel()

    async def _run(self) -> None:
        failures = 0
        while True:
            self._changed.clear()
            epoch = self._puller.pull_epoch
            channel = self._cloud.channel()
            if channel is None or (not epoch and not self._puller.unstored()):
                await self._changed.wait()
                failures = 0
                continue
            try:
                progressed = await self._pull(channel, epoch)
            except Exception as error:
                progressed = False
                log_event(_log, logging.ERROR, "pull_failed", error=error)
            failures = 0 if progressed else failures + 1
            if failures:
                await self._hold_back(BACKOFF.delay(failures))

    async def _hold_back(self, delay: float) -> None:
        """Wait before the next attempt, but never with a new epoch: a take-over does not wait."""
        self._hurry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._hurry.wait()

    async def _pull(self, channel: grpc.aio.Channel, epoch: int) -> bool:
        """Have one stream, to its end. Returns whether it was of use."""
        self._opened += 1
        stub = alarm_pull_service_pb2_grpc.AlarmPullServiceStub(channel)
        call = stub.PullAlarms(metadata=self._cloud.metadata())
        stream = self._stream = _Stream(call, self._puller, epoch, self._opened)
        try:
            await stream.run(self._incarnation)
        except _GapError as error:
            self._mismatched(stream, str(error))
        except asyncio.CancelledError:
            if is_own_cancellation():
                raise
        except grpc.aio.AioRpcError as error:
            # Whatever the cloud says, INTERNAL of a library included, the pull is tried again: alarms wait.
            ours = from_rpc_error(error)
            if ours is not None and ours.reason is Reason.PULL_MISMATCH:
                self._mismatched(stream, ours.message)
            elif error.code() is not grpc.StatusCode.CANCELLED:
                log_event(_log, logging.INFO, "pull_lost", pull_id=stream.pull_id, problem=describe(error))
        finally:
            # A pull that was stopped ends when the next one may have begun.
            if self._stream is stream:
                self._stream = None
            call.cancel()
        return stream.of_use

    def _mismatched(self, stream: "_Stream", why: str) -> None:
        self.reopened += 1
        log_event(_log, logging.WARNING, "pull_reopened", pull_id=stream.pull_id, why=why)
        self._puller.mismatched()


class _Stream:
    """One call of PullAlarms."""

    def __init__(self, call: _Call, puller: Puller, epoch: int, pull_id: int) -> None:
        self.epoch = epoch
        self.pull_id = pull_id
        self.last_delivery = 0
        self.of_use = False
        self._call = call
        self._puller = puller
        self._unsent: list[Unstored] = []
        self._refused: list[Refusal] = []
        self._wake = asyncio.Event()
        self._over = epoch == 0
        self._deadline: asyncio.TimerHandle | None = None

    def confirm(self, confirmations: Iterable[Unstored]) -> None:
        """Have these told with the next message."""
        self._unsent.extend(confirmations)
        self._wake.set()

    def refuse(self, refusal: Refusal) -> None:
        """Have this told with the next message."""
        self._refused.append(refusal)
        self._wake.set()

    def wake(self) -> None:
        """Look again whether the pull is still wanted."""
        self._wake.set()

    def cancel(self) -> None:
        """End it now."""
        self._call.cancel()

    async def run(self, incarnation: str) -> None:
        """Open it, and go on until it ends."""
        opening = alarm_pull_service_pb2.PullAlarmsRequest.Open(
            incarnation=incarnation, epoch=self.epoch, pull_id=self.pull_id, window=self._puller.window
        )
        await self._call.write(alarm_pull_service_pb2.PullAlarmsRequest(open=opening))
        self._unsent.extend(self._puller.unstored())
        self._refused.extend(self._puller.refusals())
        writer = asyncio.get_running_loop().create_task(self._write(), name="pull-confirm")
        try:
            async for response in self._call:
                await self._take(response)
        finally:
            writer.cancel()
            if self._deadline is not None:
                self._deadline.cancel()

    async def _take(self, response: alarm_pull_service_pb2.PullAlarmsResponse) -> None:
        match response.WhichOneof("frame"):
            case "delivery":
                self.of_use = True
                await self._puller.delivered(self._checked(response.delivery))
            case "stored":
                stored = response.stored
                self.of_use = True
                self._puller.stored(stored.epoch, _ranges(stored.ranges), _ranges(stored.never_delivered))
                self._wake.set()
            case "withdraw":
                self._puller.withdrawn(response.withdraw.number)
            case "stale":
                self._over = True
                self._wake.set()
            case _:
                pass

    def _checked(self, delivery: alarm_pull_service_pb2.PullAlarmsResponse.Delivery) -> Sequence[Delivered]:
        if delivery.epoch != self.epoch:
            raise _GapError(f"a delivery under epoch {delivery.epoch} in a pull under {self.epoch}")
        if delivery.first_delivery != self.last_delivery + 1:
            raise _GapError(f"delivery {delivery.first_delivery} after {self.last_delivery}")
        self.last_delivery += len(delivery.alarms)
        return [
            Delivered(
                stored=stored_alarm_from_proto(one.stored),
                epoch=delivery.epoch,
                attempt=one.attempt,
                replay=one.replay,
                raw=one.stored.SerializeToString(),
            )
            for one in delivery.alarms
        ]

    async def _write(self) -> None:
        """Tell confirmations, all that wait in one message, until nothing is left to do."""
        try:
            while True:
                self._wake.clear()
                unsent, self._unsent = self._unsent, []
                for message in _confirm_messages(unsent):
                    await self._call.write(message)
                refused, self._refused = self._refused, []
                for refusal in refused:
                    if refusal.delivered.epoch == self.epoch and not self._over:
                        await self._call.write(_refuse_message(refusal))
                if not self._unsent and not self._refused and await self._is_done():
                    return
                await self._wake.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # The end of the stream is seen where it is read.
        except Exception as error:
            log_event(_log, logging.ERROR, "confirming_failed", error=error)
            self._call.cancel()

    async def _is_done(self) -> bool:
        wanted = self._puller.pull_epoch
        if wanted == self.epoch != 0 and not self._over:
            return False
        if wanted and wanted != self.epoch:
            # A new epoch of ours: its pull tells what is left.
            self._call.cancel()
            return True
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._call.cancel)
        if self._puller.unstored():
            return False
        await self._call.done_writing()
        return True


def _ranges(messages: Iterable[alarm_pull_service_pb2.NumberRange]) -> list[Range]:
    return [(message.first, message.last) for message in messages]


def _confirm_messages(
    confirmations: Iterable[Unstored],
) -> Iterable[alarm_pull_service_pb2.PullAlarmsRequest]:
    """The messages that tell these confirmations: by epoch, in ranges that contain nothing else."""
    by_epoch: dict[int, set[int]] = {}
    for one in confirmations:
        by_epoch.setdefault(one.epoch, set()).add(one.number)
    for epoch, numbers in by_epoch.items():
        ranges = to_ranges(numbers)
        for start in range(0, len(ranges), RANGES_LIMIT):
            confirm = alarm_pull_service_pb2.PullAlarmsRequest.Confirm(
                epoch=epoch,
                ranges=[
                    alarm_pull_service_pb2.NumberRange(first=first, last=last)
                    for first, last in ranges[start : start + RANGES_LIMIT]
                ],
            )
            yield alarm_pull_service_pb2.PullAlarmsRequest(confirm=confirm)


def _refuse_message(refusal: Refusal) -> alarm_pull_service_pb2.PullAlarmsRequest:
    refuse = alarm_pull_service_pb2.PullAlarmsRequest.Refuse(
        epoch=refusal.delivered.epoch,
        number=refusal.delivered.number,
        output=refusal.output,
        reason=refusal.reason[:DETAIL_LIMIT],
        frame=refusal.frame[:FRAME_LIMIT],
        answer=refusal.answer[:FRAME_LIMIT],
        refusals=refusal.refusals,
        attempt=refusal.delivered.attempt,
    )
    return alarm_pull_service_pb2.PullAlarmsRequest(refuse=refuse)


def to_ranges(numbers: Iterable[int]) -> list[Range]:
    """The fewest ranges that hold exactly these numbers."""
    ranges: list[Range] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges
