"""AlarmService: devices, and gateways for them, publish alarms."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc, errors_pb2
from hotspare_cloud.finish import start
from hotspare_cloud.intake import Intake, Receipt, Submission
from hotspare_cloud.services import convert
from hotspare_cloud.services.callers import Callers, Context
from hotspare_cloud.services.submissions import Arrival, DevicePublisher, GatewayPublisher, Publisher
from hotspare_cloud.supervision import Supervision
from hotspare_model.alarm import AlarmMark
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_rpc.alarm_batches import Refusing, check_batch
from hotspare_rpc.errors import canonical_code
from hotspare_rpc.wire import duration_to_proto, stored_alarm_from_proto

READ_AT_ONCE = 25
"""Alarms of a batch after which others have their turn."""
STORED_AT_ONCE = 500
"""Alarms of one stream that are with the store at once, beyond one batch: others share their commit."""
WINDOW = 16
"""Batches of one stream that may be unanswered."""


def marks_in(payload: bytes) -> tuple[AlarmMark, ...]:
    """The marks of an alarm that is kept."""
    return stored_alarm_from_proto(alarm_pb2.StoredAlarm.FromString(payload)).marks


def arrival_at(intake: Intake, group_id: int) -> Arrival:
    """What came just now."""
    return Arrival(time.time(), intake.on_both_paths(group_id))


class AlarmService(alarm_service_pb2_grpc.AlarmServiceServicer):
    """See alarm_service.proto."""

    def __init__(self, callers: Callers, intake: Intake, supervision: Supervision) -> None:
        self._callers = callers
        self._intake = intake
        self._supervision = supervision
        self._streams: set[_BatchStream] = set()
        self._ended: HotspareError | None = None

    def end_streams(self, error: HotspareError) -> None:
        """End all streams of batches with `error`, and take no new one: what was not answered is published again
        elsewhere or later."""
        self._ended = error
        for stream in self._streams:
            stream.end(error)

    async def PublishAlarm(
        self, request: alarm_service_pb2.PublishAlarmRequest, context: Context
    ) -> alarm_service_pb2.PublishAlarmResponse:
        """See alarm_service.proto."""
        publisher = self._publisher(context)
        publisher.alive()
        group_id = publisher.group_id()
        submission = publisher.read(request.submission, arrival_at(self._intake, group_id))
        (receipt,) = await self._intake.publish(group_id, [submission])
        response = alarm_service_pb2.PublishAlarmResponse()
        _tell(publisher, receipt, response.receipt)
        return response

    async def PublishAlarms(
        self, request_iterator: AsyncIterator[alarm_service_pb2.PublishAlarmsRequest], context: Context
    ) -> AsyncIterator[alarm_service_pb2.PublishAlarmsResponse]:
        """See alarm_service.proto."""
        if self._ended is not None:
            raise self._ended
        stream = _BatchStream(self._publisher(context), self._intake)
        self._streams.add(stream)
        reader = asyncio.create_task(stream.read(request_iterator))
        try:
            # A gateway's stream ends with the ARC key that opened it (X3).
            with self._callers.lasting(context, stream.end):
                while (response := await stream.next_response()) is not None:
                    yield response
        finally:
            self._streams.discard(stream)
            reader.cancel()

    async def Beat(self, request: alarm_service_pb2.BeatRequest, context: Context) -> alarm_service_pb2.BeatResponse:
        """See alarm_service.proto."""
        gateway = self._callers.gateway(context)
        if gateway is not None:
            if not request.device_id:
                raise field_invalid("device_id", "must name the device")
            # What a gateway says is of its own path, on which the host decides; it learns how the device is supervised.
            device = gateway.device(request.device_id)
        else:
            device = self._callers.device(context)
            if request.device_id not in ("", device.device_id):
                raise field_invalid("device_id", "must be empty or the device of the credentials")
            self._supervision.heard(device)
        now = Timestamp()
        now.GetCurrentTime()
        interval = timedelta(seconds=self._supervision.interval(device))
        return alarm_service_pb2.BeatResponse(supervision_interval=duration_to_proto(interval), server_time=now)

    def _publisher(self, context: Context) -> Publisher:
        gateway = self._callers.gateway(context)
        if gateway is not None:
            return GatewayPublisher(gateway)
        return DevicePublisher(lambda: self._callers.device(context), self._supervision.heard)


class _BatchStream:
    """One PublishAlarms stream: batches are stored in their order, and answered as they become durable."""

    def __init__(self, publisher: Publisher, intake: Intake) -> None:
        self._publisher = publisher
        self._intake = intake
        self._outbox: asyncio.Queue[alarm_service_pb2.PublishAlarmsResponse | Exception | None] = asyncio.Queue()
        self._under_way: set[asyncio.Task[None]] = set()
        self._unanswered = 0
        """Batches whose answers were not sent yet: who reads none is not to fill our memory (A7)."""
        self._turn = asyncio.Lock()
        self._storing = 0
        self._room = asyncio.Event()
        self._refusing = Refusing()

    def end(self, error: Exception) -> None:
        """End the stream with an error, after the answers that are queued."""
        self._outbox.put_nowait(error)

    async def next_response(self) -> alarm_service_pb2.PublishAlarmsResponse | None:
        """The next answer; None at the end. Raises the error that ends the stream."""
        item = await self._outbox.get()
        if isinstance(item, Exception):
            raise item
        self._unanswered -= 1
        return item

    async def read(self, requests: AsyncIterator[alarm_service_pb2.PublishAlarmsRequest]) -> None:
        """Take batches until the caller half-closes."""
        try:
            expected = 1
            self._publisher.alive()
            async for request in requests:
                self._publisher.again()
                self._publisher.alive()
                check_batch(request, expected, unanswered=self._unanswered, window=WINDOW)
                expected += 1
                self._unanswered += 1
                # The tasks take their turns in this order, and so reach the store's queue in that of the batches.
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
        good: list[Submission] = []
        bad: dict[int, HotspareError] = {}
        group_id = self._publisher.group_id()
        async with self._turn:
            arrival = arrival_at(self._intake, group_id)
            for index, submission in enumerate(request.submissions):
                if index % READ_AT_ONCE == READ_AT_ONCE - 1:
                    # A device that floods must not keep the loop from the others (S4).
                    await asyncio.sleep(0)
                try:
                    good.append(self._publisher.read(submission, arrival))
                except HotspareError as error:
                    bad[index] = error
            while self._storing and self._storing + len(good) > STORED_AT_ONCE:
                self._room.clear()
                await self._room.wait()
            self._storing += len(good)
            storing = start(self._publish(group_id, good))
            await asyncio.sleep(0)
        try:
            stored = await storing
        finally:
            self._storing -= len(good)
            self._room.set()
        response = alarm_service_pb2.PublishAlarmsResponse(batch=request.batch, window=WINDOW)
        outcomes = iter(stored)
        for index, submission in enumerate(request.submissions):
            if index % READ_AT_ONCE == READ_AT_ONCE - 1:
                await asyncio.sleep(0)
            outcome = bad[index] if index in bad else next(outcomes)
            result = response.results.add()
            if isinstance(outcome, HotspareError):
                _reject(submission.alarm.alarm_id, outcome, result.rejection)
            else:
                _tell(self._publisher, outcome, result.receipt)
        return response

    async def _publish(self, group_id: int, submissions: Sequence[Submission]) -> Sequence[Receipt | HotspareError]:
        """Store the good alarms of a batch, unless one before it was refused for now and must not be passed (A3)."""
        self._refusing.look((one.alarm.alarm_id for one in submissions), alone=self._unanswered <= 1)
        try:
            if self._refusing.error is not None:
                raise self._refusing.error
            return await self._intake.publish(group_id, submissions) if submissions else []
        except HotspareError as error:
            if error.reason not in (Reason.DISK_LOW, Reason.INTAKE_FULL):
                raise
            if submissions:
                self._refusing.begin(submissions[0].alarm.alarm_id, error)
            return [error] * len(submissions)


def _tell(publisher: Publisher, receipt: Receipt, message: alarm_service_pb2.AlarmReceipt) -> None:
    """Fill in the answer for an alarm that is durable."""
    message.alarm_id = receipt.alarm_id
    message.account_sequence = receipt.account_sequence
    seconds, nanos = convert.time_parts(receipt.received_at)
    message.receive_time.seconds, message.receive_time.nanos = seconds, nanos
    if receipt.duplicate:
        message.duplicate = True
    if receipt.marks:
        message.marks.extend(alarm_pb2.AlarmMark.ValueType(mark) for mark in receipt.marks)
    if isinstance(publisher, GatewayPublisher):
        message.number = receipt.number


def _reject(alarm_id: str, error: HotspareError, message: alarm_service_pb2.AlarmRejection) -> None:
    """Fill in the answer for an alarm that was not taken."""
    message.alarm_id = alarm_id[:64]
    message.code = canonical_code(error.reason).value[0]
    message.reason = errors_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}")
    message.message = error.message
    message.metadata.update(error.metadata)
    if error.retry_after:
        message.retry_delay.CopyFrom(duration_to_proto(error.retry_after))
