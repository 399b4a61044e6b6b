"""AlarmService: devices publish alarms."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc, errors_pb2
from hotspare_cloud.intake import Intake, Receipt, checked
from hotspare_cloud.services.callers import Callers, Context
from hotspare_cloud.store.base import DeviceRow
from hotspare_model.alarm import Alarm, AlarmMark, StoredAlarm
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_rpc.errors import canonical_code
from hotspare_rpc.wire import (
    alarm_from_proto,
    duration_to_proto,
    stored_alarm_from_proto,
    stored_alarm_to_proto,
    timestamp_to_proto,
)

ALARM_BYTES = 8 * 1024
BATCH_ALARMS = 1000
WINDOW = 16
"""Batches of one stream that may be unanswered."""


def serialize(stored: StoredAlarm) -> bytes:
    """The bytes that the store keeps of an alarm."""
    return stored_alarm_to_proto(stored).SerializeToString()


def marks_in(payload: bytes) -> tuple[AlarmMark, ...]:
    """The marks of an alarm that is kept."""
    return stored_alarm_from_proto(alarm_pb2.StoredAlarm.FromString(payload)).marks


class AlarmService(alarm_service_pb2_grpc.AlarmServiceServicer):
    """See alarm_service.proto."""

    def __init__(self, callers: Callers, intake: Intake) -> None:
        self._callers = callers
        self._intake = intake
        self._streams: set[_BatchStream] = set()

    def end_streams(self, error: HotspareError) -> None:
        """End all streams of batches with `error`: what was not answered is published again elsewhere or later."""
        for stream in self._streams:
            stream.end(error)

    async def PublishAlarm(
        self, request: alarm_service_pb2.PublishAlarmRequest, context: Context
    ) -> alarm_service_pb2.PublishAlarmResponse:
        """See alarm_service.proto."""
        device = self._callers.device(context)
        alarm = _decode(request.submission, device)
        (receipt,) = await self._intake.publish(device, [alarm])
        return alarm_service_pb2.PublishAlarmResponse(receipt=_receipt(receipt))

    async def PublishAlarms(
        self, request_iterator: AsyncIterator[alarm_service_pb2.PublishAlarmsRequest], context: Context
    ) -> AsyncIterator[alarm_service_pb2.PublishAlarmsResponse]:
        """See alarm_service.proto."""
        stream = _BatchStream(self._callers.device(context), self._intake)
        self._streams.add(stream)
        reader = asyncio.create_task(stream.read(request_iterator))
        try:
            while (response := await stream.next_response()) is not None:
                yield response
        finally:
            self._streams.discard(stream)
            reader.cancel()


class _BatchStream:
    """One PublishAlarms stream: batches are stored in their order, and answered as they become durable."""

    def __init__(self, device: DeviceRow, intake: Intake) -> None:
        self._device = device
        self._intake = intake
        self._outbox: asyncio.Queue[alarm_service_pb2.PublishAlarmsResponse | Exception | None] = asyncio.Queue()
        self._under_way: set[asyncio.Task[None]] = set()
        self._refusing: HotspareError | None = None

    def end(self, error: Exception) -> None:
        """End the stream with an error, after the answers that are queued."""
        self._outbox.put_nowait(error)

    async def next_response(self) -> alarm_service_pb2.PublishAlarmsResponse | None:
        """The next answer; None at the end. Raises the error that ends the stream."""
        item = await self._outbox.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def read(self, requests: AsyncIterator[alarm_service_pb2.PublishAlarmsRequest]) -> None:
        """Take batches until the caller half-closes."""
        try:
            expected = 1
            async for request in requests:
                if request.batch != expected or len(self._under_way) >= WINDOW:
                    raise HotspareError(
                        Reason.STREAM_PROTOCOL,
                        f"expected batch {expected}, and at most {WINDOW} unanswered",
                        expected=f"batch {expected}",
                    )
                if not 1 <= len(request.submissions) <= BATCH_ALARMS:
                    raise field_invalid("submissions", f"must be 1 to {BATCH_ALARMS} alarms")
                expected += 1
                # Each task reaches the store's queue before it first waits, so the order is that of the batches.
                task = asyncio.create_task(self._store(request))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                await asyncio.sleep(0)
            await asyncio.gather(*self._under_way)
            self._outbox.put_nowait(None)
        except Exception as error:
            self.end(error)

    async def _store(self, request: alarm_service_pb2.PublishAlarmsRequest) -> None:
        try:
            self._outbox.put_nowait(await self._answer(request))
        except Exception as error:
            self.end(error)

    async def _answer(self, request: alarm_service_pb2.PublishAlarmsRequest) -> alarm_service_pb2.PublishAlarmsResponse:
        results: list[alarm_service_pb2.AlarmResult] = [alarm_service_pb2.AlarmResult()] * len(request.submissions)
        good: list[tuple[int, Alarm]] = []
        for index, submission in enumerate(request.submissions):
            try:
                good.append((index, _decode(submission, self._device)))
            except HotspareError as error:
                results[index] = _rejection(submission.alarm.alarm_id, error)
        for (index, _), result in zip(good, await self._publish([alarm for _, alarm in good]), strict=True):
            results[index] = result
        return alarm_service_pb2.PublishAlarmsResponse(batch=request.batch, results=results, window=WINDOW)

    async def _publish(self, alarms: Sequence[Alarm]) -> list[alarm_service_pb2.AlarmResult]:
        """Store the good alarms of a batch. After a refusal for want of room, what is under way is refused too: else
        later alarms of the device would pass the refused one (A3)."""
        if len(self._under_way) <= 1:
            self._refusing = None
        try:
            if self._refusing is not None:
                raise self._refusing
            receipts = await self._intake.publish(self._device, alarms) if alarms else []
        except HotspareError as error:
            if error.reason not in (Reason.DISK_LOW, Reason.INTAKE_FULL):
                raise
            self._refusing = error
            return [_rejection(alarm.alarm_id, error) for alarm in alarms]
        return [alarm_service_pb2.AlarmResult(receipt=_receipt(receipt)) for receipt in receipts]


def _decode(submission: alarm_service_pb2.AlarmSubmission, device: DeviceRow) -> Alarm:
    if not submission.HasField("alarm"):
        raise field_invalid("alarm", "must be there")
    if submission.HasField("gateway"):
        raise field_invalid("gateway", "only a gateway may tell it")
    if submission.alarm.ByteSize() > ALARM_BYTES:
        raise field_invalid("alarm", f"must be at most {ALARM_BYTES} bytes")
    return checked(alarm_from_proto(submission.alarm), device)


def _receipt(receipt: Receipt) -> alarm_service_pb2.AlarmReceipt:
    return alarm_service_pb2.AlarmReceipt(
        alarm_id=receipt.alarm_id,
        receive_time=timestamp_to_proto(receipt.received),
        account_sequence=receipt.account_sequence,
        duplicate=receipt.duplicate,
        marks=[alarm_pb2.AlarmMark.ValueType(mark) for mark in receipt.marks],
    )


def _rejection(alarm_id: str, error: HotspareError) -> alarm_service_pb2.AlarmResult:
    return alarm_service_pb2.AlarmResult(
        rejection=alarm_service_pb2.AlarmRejection(
            alarm_id=alarm_id[:64],
            code=canonical_code(error.reason).value[0],
            reason=errors_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}"),
            message=error.message,
            metadata=error.metadata,
            retry_delay=duration_to_proto(error.retry_after) if error.retry_after else None,
        )
    )
