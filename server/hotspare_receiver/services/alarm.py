"""AlarmService at the receiver: devices that are connected directly publish alarms by gRPC (D1, D2).

They show the credentials that they show to the cloud. The configuration here has the SHA-256 of each device's key.
"""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import grpc

from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc, errors_pb2
from hotspare_model.alarm import AlarmPath
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.ids import UUID_FORM
from hotspare_receiver.clock import Clock
from hotspare_receiver.direct.gate import Gate
from hotspare_receiver.direct.intake import Accepted, DirectAlarm
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.settings import SettingsStore
from hotspare_rpc.alarm_batches import Refusing, check_batch
from hotspare_rpc.credentials import read_device_credentials, sha256
from hotspare_rpc.errors import DEFAULT_RETRY, canonical_code
from hotspare_rpc.records import device_of, watched_of
from hotspare_rpc.wire import alarm_from_proto, duration_to_proto, timestamp_to_proto

ALARM_BYTES = 8 * 1024
WINDOW = 4
"""Batches of one stream that may be unanswered: each alarm goes on to the cloud alone."""

KNOWN_FOR = 1.0
"""Seconds for which the credentials of a stream count as checked: a device that was deleted, or got another key, is
known no more after that."""

RETRY_WHEN_REFUSED = timedelta(seconds=30)

_OURS = frozenset(
    {
        Reason.FIELD_INVALID,
        Reason.DISK_LOW,
        Reason.INTAKE_FULL,
        Reason.DUAL_CONNECTION_OFF,
        Reason.CLOUD_UNREACHABLE,
        Reason.SHUTTING_DOWN,
        Reason.STORE_FAILED,
    }
)
"""What a device is told as it is."""

_RETRY = {Reason.STORE_FAILED: timedelta(seconds=1), **DEFAULT_RETRY}

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """A device that showed its key."""

    device_id: str
    interval: timedelta
    """Silence after which it counts as lost; zero: it is not supervised."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service works on."""

    gate: Gate
    settings: SettingsStore
    configuration: ConfigurationStore
    stopping: asyncio.Event
    clock: Clock


class AlarmServicer(alarm_service_pb2_grpc.AlarmServiceServicer):
    """See alarm_service.proto."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def PublishAlarm(
        self, request: alarm_service_pb2.PublishAlarmRequest, context: Context
    ) -> alarm_service_pb2.PublishAlarmResponse:
        """See alarm_service.proto."""
        caller = await self.admit(context)
        accepted = await self.accept(request.submission, caller)
        return alarm_service_pb2.PublishAlarmResponse(receipt=_receipt(accepted))

    async def PublishAlarms(
        self, request_iterator: AsyncIterator[alarm_service_pb2.PublishAlarmsRequest], context: Context
    ) -> AsyncIterator[alarm_service_pb2.PublishAlarmsResponse]:
        """See alarm_service.proto."""
        await self.admit(context)
        stream = _BatchStream(self, context)
        reader = asyncio.create_task(stream.read(request_iterator))
        ending = asyncio.create_task(stream.end_when(self._parts.stopping))
        try:
            while (response := await stream.next_response()) is not None:
                yield response
        finally:
            for task in (reader, ending):
                task.cancel()
            await asyncio.gather(reader, ending, return_exceptions=True)

    async def Beat(self, request: alarm_service_pb2.BeatRequest, context: Context) -> alarm_service_pb2.BeatResponse:
        """See alarm_service.proto."""
        caller = await self.admit(context)
        if request.device_id not in ("", caller.device_id):
            raise field_invalid("device_id", "must be empty or the device of the credentials")
        await self._parts.gate.alive(caller.device_id, AlarmPath.DIRECT_GRPC)
        return alarm_service_pb2.BeatResponse(
            supervision_interval=duration_to_proto(caller.interval),
            server_time=timestamp_to_proto(self._parts.clock.wall()),
        )

    async def admit(self, context: Context) -> Caller:
        """The device that calls. Raises HotspareError DUAL_CONNECTION_OFF, INVALID_CREDENTIALS, SHUTTING_DOWN."""
        parts = self._parts
        # First: where no direct device is taken, nobody can find out here which devices there are (S2).
        parts.gate.check_open()
        shown = read_device_credentials(context.invocation_metadata())
        if shown is None or shown.arc_id != parts.settings.settings.arc_id:
            raise _invalid_credentials()
        record = await parts.configuration.get(RecordKind.DEVICE, shown.device_id)
        digest = sha256(shown.device_key)
        known = device_of(record)[0] if record else b""
        if not hmac.compare_digest(digest, known) or not record:
            raise _invalid_credentials()
        return Caller(shown.device_id, timedelta(seconds=watched_of(record).interval))

    async def accept(self, submission: alarm_service_pb2.AlarmSubmission, caller: Caller) -> Accepted:
        """Take one alarm. Raises HotspareError: what is wrong with the alarm, or why it can't be taken now."""
        try:
            return await self._parts.gate.accept(self._read(submission, caller))
        except HotspareError as error:
            if error.reason in _OURS:
                raise
            # What the cloud has against this receiver is nothing that a device can mend, and not final: it may be told
            # of a new device in a moment, or get the right key. The device keeps the alarm.
            raise HotspareError(
                Reason.CLOUD_UNREACHABLE,
                f"the cloud takes no alarms from this receiver: {error.message}",
                retry_after=RETRY_WHEN_REFUSED,
                cloud_address=self._parts.settings.settings.cloud_address,
                problem=error.message,
            ) from error

    def _read(self, submission: alarm_service_pb2.AlarmSubmission, caller: Caller) -> DirectAlarm:
        if not submission.HasField("alarm"):
            raise field_invalid("alarm", "must be there")
        if submission.HasField("gateway"):
            raise field_invalid("gateway", "only a gateway may tell it, and only to the cloud")
        if submission.alarm.ByteSize() > ALARM_BYTES:
            raise field_invalid("alarm", f"must be at most {ALARM_BYTES} bytes")
        alarm = alarm_from_proto(submission.alarm)
        if not UUID_FORM.fullmatch(alarm.alarm_id):
            raise field_invalid("alarm_id", "must be a UUID: 8, 4, 4, 4 and 12 hexadecimal digits with hyphens between")
        if alarm.device_id not in ("", caller.device_id):
            raise field_invalid("device_id", "must be empty or the device of the credentials")
        alarm = replace(alarm, alarm_id=alarm.alarm_id.lower(), device_id=caller.device_id)
        return DirectAlarm(alarm, AlarmPath.DIRECT_GRPC, self._parts.clock.wall(), b"")


class _BatchStream:
    """One PublishAlarms stream: each batch is answered once all its alarms are durable or refused."""

    def __init__(self, service: AlarmServicer, context: Context) -> None:
        self._service = service
        self._context = context
        self._outbox: asyncio.Queue[alarm_service_pb2.PublishAlarmsResponse | Exception | None] = asyncio.Queue()
        self._caller: Caller | None = None
        self._checked = -KNOWN_FOR
        self._unanswered = 0
        """Batches whose answers were not sent yet: who reads none is not to fill our memory (A7)."""
        self._refusing = Refusing()

    async def next_response(self) -> alarm_service_pb2.PublishAlarmsResponse | None:
        """The next answer; None at the end. Raises the error that ends the stream."""
        item = await self._outbox.get()
        if isinstance(item, Exception):
            raise item
        self._unanswered -= 1
        return item

    async def end_when(self, stopping: asyncio.Event) -> None:
        """End the stream when the server stops."""
        await stopping.wait()
        self._outbox.put_nowait(HotspareError(Reason.SHUTTING_DOWN, "the receiver is stopping"))

    async def read(self, requests: AsyncIterator[alarm_service_pb2.PublishAlarmsRequest]) -> None:
        """Take batches until the caller half-closes."""
        try:
            expected = 1
            async for request in requests:
                check_batch(request, expected, unanswered=self._unanswered, window=WINDOW)
                expected += 1
                self._unanswered += 1
                caller = await self._known()
                ids = (each.alarm.alarm_id for each in request.submissions)
                self._refusing.look(ids, alone=self._unanswered <= 1)
                # One after the other, as they go to the cloud anyway. So a device that has much to tell waits in its
                # stream, which is read no further, and takes no more room from others than one alarm (A7, S4).
                results = [await self._take(each, caller) for each in request.submissions]
                response = alarm_service_pb2.PublishAlarmsResponse(batch=request.batch, results=results, window=WINDOW)
                self._outbox.put_nowait(response)
            self._outbox.put_nowait(None)
        except Exception as error:
            self._outbox.put_nowait(error)

    async def _known(self) -> Caller:
        now = time.monotonic()
        if self._caller is None or now - self._checked >= KNOWN_FOR:
            self._caller = await self._service.admit(self._context)
            self._checked = now
        return self._caller

    async def _take(
        self, submission: alarm_service_pb2.AlarmSubmission, caller: Caller
    ) -> alarm_service_pb2.AlarmResult:
        try:
            if self._refusing.error is not None:
                raise self._refusing.error
            return alarm_service_pb2.AlarmResult(receipt=_receipt(await self._service.accept(submission, caller)))
        except HotspareError as error:
            if error.retry_after is not None or error.reason in _RETRY:
                self._refusing.begin(submission.alarm.alarm_id, error)
            return _rejection(submission.alarm.alarm_id, error)


def _invalid_credentials() -> HotspareError:
    """One answer for all that may be wrong (G3)."""
    return HotspareError(Reason.INVALID_CREDENTIALS, "the credentials are missing or wrong")


def _receipt(accepted: Accepted) -> alarm_service_pb2.AlarmReceipt:
    return alarm_service_pb2.AlarmReceipt(
        alarm_id=accepted.alarm_id,
        receive_time=timestamp_to_proto(accepted.received),
        account_sequence=accepted.account_sequence,
        duplicate=accepted.duplicate,
        marks=[alarm_pb2.AlarmMark.ValueType(mark) for mark in accepted.marks],
    )


def _rejection(alarm_id: str, error: HotspareError) -> alarm_service_pb2.AlarmResult:
    retry_after = error.retry_after or _RETRY.get(error.reason)
    return alarm_service_pb2.AlarmResult(
        rejection=alarm_service_pb2.AlarmRejection(
            alarm_id=alarm_id[:64],
            code=canonical_code(error.reason).value[0],
            reason=errors_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}"),
            message=error.message,
            metadata=error.metadata,
            retry_delay=duration_to_proto(retry_after) if retry_after else None,
        )
    )
