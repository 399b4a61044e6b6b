"""Alarms as they are published: what a device or a gateway submits -> what is to be stored (A10, D2)."""

from collections.abc import Callable
from typing import Protocol

from hotspare.v1 import alarm_service_pb2
from hotspare_cloud.gateways import Gateway, Report, Submission
from hotspare_cloud.intake import check_ids
from hotspare_cloud.store.base import DeviceRow
from hotspare_model.alarm import AlarmPath
from hotspare_model.errors import field_invalid
from hotspare_rpc.wire import alarm_from_proto, as_read, timestamp_from_proto

ALARM_BYTES = 8 * 1024
REPORT_BYTES = 4 * 1024
"""Of the frame, and of the answer, in a gateway's report."""

_GATEWAY_PATHS = (AlarmPath.DIRECT_GRPC, AlarmPath.DIRECT_DC09)


class Publisher(Protocol):
    """Who publishes: a device, or a gateway for many."""

    def group_id(self) -> int:
        """The group whose alarms it may publish. Raises HotspareError where it may not, or not any more."""
        ...

    def alive(self) -> None:
        """It called, or a frame of its stream came (A9)."""
        ...

    def read(self, submission: alarm_service_pb2.AlarmSubmission) -> Submission:
        """One alarm of it. Raises HotspareError: what is wrong with this one alarm."""
        ...


class DevicePublisher:
    """A device, which speaks for itself alone."""

    def __init__(self, device: DeviceRow, heard: Callable[[DeviceRow], None]) -> None:
        self._device = device
        self._heard = heard

    def group_id(self) -> int:
        """The device's group."""
        return self._device.group_id

    def alive(self) -> None:
        """A sign of life on the cloud's path."""
        self._heard(self._device)

    def read(self, submission: alarm_service_pb2.AlarmSubmission) -> Submission:
        """Raises HotspareError FIELD_INVALID."""
        _check_alarm(submission)
        if submission.HasField("gateway"):
            raise field_invalid("gateway", "only a gateway may tell it")
        return _submission(self._device, submission)


class GatewayPublisher:
    """A host that passes on alarms of its direct path, for the devices of its group."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def group_id(self) -> int:
        """The gateway's group. Raises HotspareError, as `Gateway.group`."""
        return self._gateway.group().row.group_id

    def alive(self) -> None:
        """What comes by a gateway is no sign of life on the cloud's path: of its own path the host decides."""

    def read(self, submission: alarm_service_pb2.AlarmSubmission) -> Submission:
        """Raises HotspareError FIELD_INVALID, DEVICE_UNKNOWN, and those of `Gateway.group`."""
        _check_alarm(submission)
        device = self._gateway.device(submission.alarm.device_id)
        report = self._report(submission)
        if not submission.alarm.device_id and report.path is not AlarmPath.SYSTEM:
            raise field_invalid("gateway.path", "must be SYSTEM for alarms of the receiver's own")
        return _submission(device, submission, report)

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
    device: DeviceRow, submission: alarm_service_pb2.AlarmSubmission, report: Report | None = None
) -> Submission:
    """The alarm in its one form, as a message too. Raises HotspareError FIELD_INVALID."""
    message = submission.alarm
    check_ids(message.alarm_id, message.device_id, device)
    message.alarm_id, message.device_id = message.alarm_id.lower(), device.device_id
    alarm = alarm_from_proto(message)
    as_read(message, alarm)
    return Submission(device, alarm, report, message)


def _check_alarm(submission: alarm_service_pb2.AlarmSubmission) -> None:
    if not submission.HasField("alarm"):
        raise field_invalid("alarm", "must be there")
    if submission.alarm.ByteSize() > ALARM_BYTES:
        raise field_invalid("alarm", f"must be at most {ALARM_BYTES} bytes")
