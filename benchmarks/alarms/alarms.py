"""The alarms that are published, as bytes: a client that makes messages one by one would be measured too."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from hotspare_rpc.alarm_ids import uuid7

DEVICES = 64
PUBLISH = "/hotspare.v1.AlarmService/PublishAlarm"
PUBLISH_STREAM = "/hotspare.v1.AlarmService/PublishAlarms"

_PLACE = "00000000-0000-7000-8000-000000000000"
"""Stands for the id in bytes that were made beforehand; every id has its length."""


def account_number(index: int) -> str:
    """Of the device with that number."""
    return f"{0xA000 + index:04X}"


def new_id() -> str:
    """An id as `hotspare alarm send` makes it: it sorts by time."""
    return str(uuid7())


def random_id() -> str:
    """An id without any order, as many devices make it."""
    return str(uuid4())


def request(alarm_id: str) -> bytes:
    """PublishAlarmRequest with one alarm."""
    return _request().replace(_PLACE.encode(), alarm_id.encode())


def batch(number: int, ids: Sequence[str]) -> bytes:
    """PublishAlarmsRequest. Messages of protobuf that follow each other are one message."""
    one, place = _submission(), _PLACE.encode()
    head = alarm_service_pb2.PublishAlarmsRequest(batch=number).SerializeToString()
    return head + b"".join(one.replace(place, alarm_id.encode()) for alarm_id in ids)


def stored(alarm_id: str, device_id: str, account: str) -> bytes:
    """StoredAlarm, as the cloud keeps it."""
    alarm = alarm_pb2.Alarm()
    alarm.CopyFrom(_alarm())
    alarm.alarm_id, alarm.device_id = alarm_id, device_id
    kept = alarm_pb2.StoredAlarm(
        alarm=alarm, account_number=account, receive_time=alarm.occur_time, path=alarm_pb2.ALARM_PATH_CLOUD
    )
    return kept.SerializeToString()


def id_of(stored_alarm: bytes) -> str:
    """The id of an alarm as the cloud keeps it."""
    return alarm_pb2.StoredAlarm.FromString(stored_alarm).alarm.alarm_id


@cache
def _alarm() -> alarm_pb2.Alarm:
    occurred = Timestamp()
    occurred.FromDatetime(datetime.now(UTC))
    return alarm_pb2.Alarm(
        alarm_id=_PLACE,
        qualifier=alarm_pb2.QUALIFIER_NEW,
        code_format=alarm_pb2.CODE_FORMAT_CONTACT_ID,
        code="130",
        partition=1,
        zone=7,
        occur_time=occurred,
    )


@cache
def _request() -> bytes:
    submission = alarm_service_pb2.AlarmSubmission(alarm=_alarm())
    return alarm_service_pb2.PublishAlarmRequest(submission=submission).SerializeToString()


@cache
def _submission() -> bytes:
    submission = alarm_service_pb2.AlarmSubmission(alarm=_alarm())
    return alarm_service_pb2.PublishAlarmsRequest(submissions=[submission]).SerializeToString()
