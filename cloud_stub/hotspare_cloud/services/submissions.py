"""Alarms as they are published: what a device or a gateway submits -> what is to be stored (A10, D2)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from hotspare_cloud.core.marks import marks_of
from hotspare_cloud.core.sameness import sighting_of
from hotspare_cloud.gateways import Gateway, Report
from hotspare_cloud.intake import Submission
from hotspare_cloud.services import convert
from hotspare_cloud.store.base import DeviceRow, NewAlarm
from hotspare_cloud.store.base import Report as StoredReport
from hotspare_model.alarm import AlarmMark, AlarmPath
from hotspare_model.errors import field_invalid
from hotspare_model.ids import UUID_FORM
from hotspare_rpc.wire import alarm_from_proto, normalise_alarm, timestamp_from_proto, timestamp_to_proto

ALARM_BYTES = 8 * 1024
REPORT_BYTES = 4 * 1024
"""Of the frame, and of the answer, in a gateway's report."""

_GATEWAY_PATHS = (AlarmPath.DIRECT_GRPC, AlarmPath.DIRECT_DC09)


class Arrival:
    """When alarms came that are read together, and by how many paths such may come."""

    __slots__ = ("at", "on_both_paths", "stamp")

    def __init__(self, at: float, on_both_paths: bool) -> None:
        """`at`: seconds since 1970. `on_both_paths`: a copy of each may come on the other path (D3)."""
        # To the microsecond, so that the alarm has the same time in all places.
        time = datetime.fromtimestamp(at, UTC)
        self.at = time.timestamp()
        self.stamp = timestamp_to_proto(time)
        self.on_both_paths = on_both_paths


class Publisher(Protocol):
    """Who publishes: a device, or a gateway for many."""

    def group_id(self) -> int:
        """The group whose alarms it may publish. Raises HotspareError where it may not, or not any more."""
        ...

    def alive(self) -> None:
        """It called, or a frame of its stream came (A9)."""
        ...

    def again(self) -> None:
        """Another batch of its stream came. Raises HotspareError where what it showed then counts no more."""
        ...

    def read(self, submission: alarm_service_pb2.AlarmSubmission, arrival: Arrival) -> Submission:
        """One alarm of it. Raises HotspareError: what is wrong with this one alarm."""
        ...


class DevicePublisher:
    """A device, which speaks for itself alone."""

    def __init__(self, known: Callable[[], DeviceRow], heard: Callable[[DeviceRow], None]) -> None:
        """`known`: the device by the credentials of its call. Raises HotspareError INVALID_CREDENTIALS, as it does."""
        self._known = known
        self._device = known()
        self._heard = heard

    def group_id(self) -> int:
        """The device's group."""
        return self._device.group_id

    def alive(self) -> None:
        """A sign of life on the cloud's path."""
        self._heard(self._device)

    def again(self) -> None:
        """A stream outlasts a key, a device, and the account number of a device (S1, A6)."""
        self._device = self._known()

    def read(self, submission: alarm_service_pb2.AlarmSubmission, arrival: Arrival) -> Submission:
        """Raises HotspareError FIELD_INVALID."""
        _check_alarm(submission)
        if submission.HasField("gateway"):
            raise field_invalid("gateway", "only a gateway may tell it")
        return _submission(self._device, submission, arrival)


class GatewayPublisher:
    """A host that passes on alarms of its direct path, for the devices of its group."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def group_id(self) -> int:
        """The gateway's group. Raises HotspareError, as `Gateway.group`."""
        return self._gateway.group().row.group_id

    def alive(self) -> None:
        """What comes by a gateway is no sign of life on the cloud's path: of its own path the host decides."""

    def again(self) -> None:
        """Asked with each alarm anyway."""

    def read(self, submission: alarm_service_pb2.AlarmSubmission, arrival: Arrival) -> Submission:
        """Raises HotspareError FIELD_INVALID, DEVICE_UNKNOWN, and those of `Gateway.group`."""
        _check_alarm(submission)
        device = self._gateway.device(submission.alarm.device_id)
        report = self._report(submission)
        if not submission.alarm.device_id and report.path is not AlarmPath.SYSTEM:
            raise field_invalid("gateway.path", "must be SYSTEM for alarms of the receiver's own")
        return _submission(device, submission, arrival, report)

    def _report(self, submission: alarm_service_pb2.AlarmSubmission) -> Report:
        told = submission.gateway
        if not submission.HasField("gateway"):
            raise field_invalid("gateway", "a gateway has to tell how the alarm came")
        if told.path not in (*map(int, _GATEWAY_PATHS), int(AlarmPath.SYSTEM)):
            raise field_invalid("gateway.path", "must be a direct path, or SYSTEM for the receiver's own alarms")
        for field in ("raw_frame", "answer"):
            if len(getattr(told, field)) > REPORT_BYTES:
                raise field_invalid(f"gateway.{field}", f"must be at most {REPORT_BYTES} bytes")
        if len(told.wire_sequence) > 16:
            raise field_invalid("gateway.wire_sequence", "must be at most 16 characters")
        return Report(
            receiver_id=self._gateway.receiver_id,
            path=AlarmPath(told.path),
            received=timestamp_from_proto(told.receive_time if told.HasField("receive_time") else None),
            raw_frame=told.raw_frame,
            confirmed=timestamp_from_proto(told.confirm_time if told.HasField("confirm_time") else None),
            payload=told.SerializeToString(deterministic=True),
        )


def _submission(
    device: DeviceRow,
    submission: alarm_service_pb2.AlarmSubmission,
    arrival: Arrival,
    report: Report | None = None,
) -> Submission:
    """The alarm in its one form, as the bytes that are stored. Raises HotspareError FIELD_INVALID."""
    message = submission.alarm
    alarm_id = _checked_id(message, device)
    path = report.path if report is not None else AlarmPath.CLOUD
    received, stamp = arrival.at, arrival.stamp
    if report is not None and report.confirmed is not None and report.received is not None:
        # The isolated host had it durably, and answered its device then (D4).
        received = min(received, report.received.timestamp())
        stamp = convert.time_to_proto(received)
    occurred = normalise_alarm(message)
    marks = marks_of(
        message.code_format, message.code, message.text, message.partition, message.zone, occurred, received
    )
    if report is not None and report.confirmed is not None:
        marks = (*marks, AlarmMark.ISOLATED)
    if path is AlarmPath.SYSTEM:
        marks = (*marks, AlarmMark.SYSTEM)
    # Filled in place: as arguments the messages would be copied one by one, in Python.
    stored = alarm_pb2.StoredAlarm(account_number=device.account_number, path=alarm_pb2.AlarmPath.ValueType(path))
    stored.alarm.CopyFrom(message)
    stored.receive_time.CopyFrom(stamp)
    if marks:
        stored.marks.extend(alarm_pb2.AlarmMark.ValueType(mark) for mark in marks)
    if report is not None:
        stored.raw_frame = report.raw_frame
    sighting = None
    if arrival.on_both_paths:
        sighting = sighting_of(alarm_from_proto(message), path, datetime.fromtimestamp(received, UTC), marks)
    new = NewAlarm(
        alarm_id,
        device.device_id,
        device.account_number,
        received,
        stored.SerializeToString(),
        sighting,
        _as_stored(report) if report is not None else None,
    )
    return Submission(new, marks)


def _checked_id(message: alarm_pb2.Alarm, device: DeviceRow) -> str:
    """The id of an alarm in its one form, which the message gets too, with the device's.

    Raises:
        HotspareError: FIELD_INVALID: no UUID, so that it can't be told from others; or another device's alarm.
    """
    alarm_id = message.alarm_id
    if not UUID_FORM.fullmatch(alarm_id):
        raise field_invalid("alarm_id", "must be a UUID: 8, 4, 4, 4 and 12 hexadecimal digits with hyphens between")
    if message.device_id not in ("", device.device_id):
        raise field_invalid("device_id", "must be empty or the device of the credentials")
    message.device_id = device.device_id
    if alarm_id != (lower := alarm_id.lower()):
        message.alarm_id = lower
    return lower


def _as_stored(report: Report) -> StoredReport:
    confirmed = report.confirmed.timestamp() if report.confirmed is not None else None
    return StoredReport(report.receiver_id, report.payload, confirmed)


def _check_alarm(submission: alarm_service_pb2.AlarmSubmission) -> None:
    if not submission.HasField("alarm"):
        raise field_invalid("alarm", "must be there")
    if submission.alarm.ByteSize() > ALARM_BYTES:
        raise field_invalid("alarm", f"must be at most {ALARM_BYTES} bytes")
