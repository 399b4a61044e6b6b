"""How one device gives its alarms to the cloud: one by one, or in batches over a stream."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

import grpc

from hotspare.v1 import alarm_service_pb2, alarm_service_pb2_grpc, errors_pb2
from hotspare.v1.alarm_pb2 import Alarm
from hotspare_model.errors import Reason
from hotspare_rpc.credentials import DeviceCredentials, MetadataPairs
from hotspare_rpc.errors import describe, from_rpc_error

ANSWER_TIMEOUT = 10.0
"""Seconds: the deadline of PublishAlarm in the contract, also for the answer to a batch."""


class Way(StrEnum):
    """Which way an alarm went; the value stands in the log."""

    CLOUD = "cloud"
    DIRECT = "direct"
    """To the host, by DC-09."""


@dataclass(frozen=True)
class Receipt:
    """The alarm is durable."""

    account_sequence: int
    """0: on the direct path nobody tells it."""
    duplicate: bool
    way: Way = Way.CLOUD


@dataclass(frozen=True)
class Refusal:
    """The alarm was not stored."""

    problem: str
    """In words; the same for the same cause."""
    final: bool
    """Whether trying again is useless: the alarm itself is wrong."""
    retry_after: timedelta | None = None
    """How long the cloud asks to wait."""


class Publisher(Protocol):
    """Publishes the alarms of one device."""

    async def publish(self, alarms: Sequence[Alarm]) -> list[Receipt | Refusal]:
        """Give the alarms once, in order, and return what came of each. It never raises for a failed call."""
        ...

    async def close(self) -> None:
        """End what is open."""
        ...


class UnaryPublisher:
    """One call an alarm; the next only after its answer, for the order is that of the answers (A3)."""

    def __init__(self, channel: grpc.aio.Channel, credentials: DeviceCredentials) -> None:
        self._stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
        self._metadata: MetadataPairs = credentials.metadata()

    async def publish(self, alarms: Sequence[Alarm]) -> list[Receipt | Refusal]:
        """Publish until the first that may be tried again: what follows it has to wait for it (A3)."""
        results: list[Receipt | Refusal] = []
        for alarm in alarms:
            result = await self._publish_one(alarm)
            results.append(result)
            if isinstance(result, Refusal) and not result.final:
                waits = Refusal(result.problem, False, result.retry_after)
                return results + [waits] * (len(alarms) - len(results))
        return results

    async def _publish_one(self, alarm: Alarm) -> Receipt | Refusal:
        request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=alarm))
        try:
            response = await self._stub.PublishAlarm(request, timeout=ANSWER_TIMEOUT, metadata=self._metadata)
        except grpc.aio.AioRpcError as problem:
            return _refusal_of(problem)
        return _receipt(response.receipt)

    async def close(self) -> None:
        """Nothing stays open between calls."""


class StreamPublisher:
    """Batches over one stream, one batch unanswered at a time: the server may answer batches in any order."""

    def __init__(self, channel: grpc.aio.Channel, credentials: DeviceCredentials) -> None:
        self._stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
        self._metadata: MetadataPairs = credentials.metadata()
        self._call: (
            grpc.aio.StreamStreamCall[alarm_service_pb2.PublishAlarmsRequest, alarm_service_pb2.PublishAlarmsResponse]
            | None
        ) = None
        self._batch = 0

    async def publish(self, alarms: Sequence[Alarm]) -> list[Receipt | Refusal]:
        """Publish all as one batch. Some may be stored and others not."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                response = await self._exchange(alarms)
        except grpc.aio.AioRpcError as problem:
            refusal = _refusal_of(problem)
        except TimeoutError:
            refusal = Refusal("no answer to a batch in time", False)
        except asyncio.InvalidStateError:
            refusal = Refusal("the stream ended", False)
        else:
            if response is not None and len(response.results) == len(alarms):
                return [_result(result) for result in response.results]
            refusal = Refusal("the answer does not fit the batch", False)
        self._drop()
        return [refusal] * len(alarms)

    async def _exchange(self, alarms: Sequence[Alarm]) -> alarm_service_pb2.PublishAlarmsResponse | None:
        if self._call is None:
            self._call = self._stub.PublishAlarms(metadata=self._metadata)
            self._batch = 0
        self._batch += 1
        submissions = [alarm_service_pb2.AlarmSubmission(alarm=alarm) for alarm in alarms]
        await self._call.write(alarm_service_pb2.PublishAlarmsRequest(batch=self._batch, submissions=submissions))
        response = await self._call.read()
        if not isinstance(response, alarm_service_pb2.PublishAlarmsResponse) or response.batch != self._batch:
            return None
        return response

    def _drop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    async def close(self) -> None:
        """Half-close, and take the end of the stream."""
        if self._call is None:
            return
        with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError, asyncio.InvalidStateError):
            async with asyncio.timeout(1):
                await self._call.done_writing()
                await self._call.read()
        self._drop()


def _receipt(receipt: alarm_service_pb2.AlarmReceipt) -> Receipt:
    return Receipt(receipt.account_sequence, receipt.duplicate)


def _result(result: alarm_service_pb2.AlarmResult) -> Receipt | Refusal:
    if result.WhichOneof("result") == "receipt":
        return _receipt(result.receipt)
    rejection = result.rejection
    final = not rejection.HasField("retry_delay")
    return Refusal(
        f"{rejection.message} ({_reason(rejection.reason)})",
        final,
        None if final else rejection.retry_delay.ToTimedelta(),
    )


def _reason(value: int) -> str:
    known = errors_pb2.ErrorReason.DESCRIPTOR.values_by_number.get(value)
    return str(value) if known is None else known.name.removeprefix("ERROR_REASON_")


def _refusal_of(problem: grpc.aio.AioRpcError) -> Refusal:
    """A device gives up one kind only: an alarm that is wrong in itself.

    Wrong credentials may be ones that have not reached the cloud yet, from the host where they were made.
    """
    error = from_rpc_error(problem)
    if error is None:
        return Refusal(describe(problem), False)
    return Refusal(describe(problem), error.reason is Reason.FIELD_INVALID, error.retry_after)
