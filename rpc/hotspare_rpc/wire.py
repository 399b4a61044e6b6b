"""Protobuf messages <-> the dataclasses of hotspare_model: a pair of functions for each.

Reading never raises for what a peer sends: an unknown number of an enum is taken as unspecified (V3), a time
outside of what a clock can show as absent (A10). Whether a value makes sense is for the parts that decide.
"""

import math
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_pb2, group_pb2
from hotspare_model.alarm import Alarm, AlarmMark, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import SETTING_NAMES, GroupSettings, MemberStatus, Role

Member = TypeVar("Member", bound=IntEnum)
Default = TypeVar("Default")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NANOS = 1_000_000_000
_LONGEST_DURATION = 315_576_000_000  # seconds; the limit that duration.proto names, 10,000 years
_FIRST_SECOND = -62_135_596_800  # 0001-01-01, as timestamp.proto has it
_LAST_SECOND = 253_402_300_799  # 9999-12-31

_QUALIFIERS = {
    alarm_pb2.QUALIFIER_NEW: Qualifier.NEW,
    alarm_pb2.QUALIFIER_RESTORE: Qualifier.RESTORE,
    alarm_pb2.QUALIFIER_STATUS: Qualifier.STATUS,
}
_QUALIFIER_NUMBERS = {qualifier: number for number, qualifier in _QUALIFIERS.items()}
_CODE_FORMATS = frozenset(map(int, CodeFormat))
_STATUSES = {
    group_pb2.MEMBER_STATUS_WORKING: MemberStatus.WORKING,
    group_pb2.MEMBER_STATUS_STANDBY: MemberStatus.STANDBY,
    group_pb2.MEMBER_STATUS_OFFLINE: MemberStatus.OFFLINE,
}
_STATUS_NUMBERS = {status: number for number, status in _STATUSES.items()}
_SPANS = frozenset(setting.name for setting in fields(GroupSettings) if isinstance(setting.default, timedelta))


def timestamp_from_proto(message: Timestamp | None) -> datetime | None:
    """An aware time in UTC, to the microsecond; None when it is absent or no time at all."""
    if message is None or not _is_time(message):
        return None
    return EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def timestamp_to_proto(time: datetime) -> Timestamp:
    """The message of an aware time. Raises ValueError for a naive one."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    since = time - EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def duration_from_proto(message: Duration | None) -> timedelta | None:
    """A span, to the microsecond; None when it is absent or malformed."""
    if message is None or not _is_duration(message):
        return None
    return timedelta(seconds=message.seconds, microseconds=int(message.nanos / 1000))


def duration_to_proto(span: timedelta) -> Duration:
    """The message of a span. Raises ValueError beyond 10,000 years."""
    total = (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    seconds, micros = divmod(abs(total), 1_000_000)
    if seconds > _LONGEST_DURATION:
        raise ValueError("a span of more than 10,000 years")
    sign = -1 if total < 0 else 1
    return Duration(seconds=sign * seconds, nanos=sign * micros * 1000)


def seconds_from_proto(message: Duration | None) -> float | None:
    """A span in seconds; None when it is absent or malformed."""
    if message is None or not _is_duration(message):
        return None
    return message.seconds + message.nanos / _NANOS


def seconds_to_proto(seconds: float) -> Duration:
    """The message of a span in seconds. Raises ValueError for what is not finite, or beyond 10,000 years."""
    if not math.isfinite(seconds) or abs(seconds) > _LONGEST_DURATION:
        raise ValueError("a span that is not finite, or of more than 10,000 years")
    return duration_to_proto(timedelta(seconds=seconds))


def role_from_proto(number: int) -> Role | None:
    """A role; None when it is unspecified or unknown."""
    return _member(Role, number, None)


def role_to_proto(role: Role | None) -> group_pb2.Role.ValueType:
    """The number of a role; ROLE_UNSPECIFIED for None."""
    return group_pb2.Role.ValueType(role.value if role is not None else 0)


def member_status_from_proto(number: int) -> MemberStatus | None:
    """A status; None when it is unspecified or unknown."""
    return _STATUSES.get(group_pb2.MemberStatus.ValueType(number))


def member_status_to_proto(status: MemberStatus | None) -> group_pb2.MemberStatus.ValueType:
    """The number of a status; MEMBER_STATUS_UNSPECIFIED for None."""
    return _STATUS_NUMBERS[status] if status is not None else group_pb2.MEMBER_STATUS_UNSPECIFIED


def alarm_from_proto(message: alarm_pb2.Alarm) -> Alarm:
    """What the device says, as it stands: nothing is checked but the forms of enums and of the time."""
    return Alarm(
        alarm_id=message.alarm_id,
        device_id=message.device_id,
        qualifier=_QUALIFIERS.get(message.qualifier, Qualifier.NEW),
        code_format=_member(CodeFormat, message.code_format, CodeFormat.CONTACT_ID),
        code=message.code,
        partition=message.partition,
        zone=message.zone,
        occurred=timestamp_from_proto(message.occur_time if message.HasField("occur_time") else None),
        text=message.text,
        verification_url=message.verification_url,
        latitude=message.latitude if message.HasField("latitude") else None,
        longitude=message.longitude if message.HasField("longitude") else None,
    )


def normalise_alarm(message: alarm_pb2.Alarm) -> float | None:
    """Make the message what `alarm_to_proto(alarm_from_proto(message))` would be, without making an `Alarm` of it.

    That touches enums that are unknown, a time that is none or finer than a microsecond, and fields of a later release.
    Returns the time of occurrence in seconds since 1970; None without one.
    """
    if message.qualifier not in _QUALIFIERS:
        message.qualifier = alarm_pb2.QUALIFIER_NEW
    if message.code_format not in _CODE_FORMATS:
        message.code_format = alarm_pb2.CODE_FORMAT_CONTACT_ID
    message.DiscardUnknownFields()
    if not message.HasField("occur_time"):
        return None
    occurred = message.occur_time
    if not _is_time(occurred):
        message.ClearField("occur_time")
        return None
    if finer := occurred.nanos % 1000:
        occurred.nanos -= finer
    return occurred.seconds + occurred.nanos / _NANOS


def alarm_to_proto(alarm: Alarm) -> alarm_pb2.Alarm:
    """The message of an alarm."""
    return alarm_pb2.Alarm(
        alarm_id=alarm.alarm_id,
        device_id=alarm.device_id,
        qualifier=_QUALIFIER_NUMBERS[alarm.qualifier],
        code_format=alarm_pb2.CodeFormat.ValueType(alarm.code_format.value),
        code=alarm.code,
        partition=alarm.partition,
        zone=alarm.zone,
        occur_time=timestamp_to_proto(alarm.occurred) if alarm.occurred is not None else None,
        text=alarm.text,
        verification_url=alarm.verification_url,
        latitude=alarm.latitude,
        longitude=alarm.longitude,
    )


def stored_alarm_from_proto(message: alarm_pb2.StoredAlarm) -> StoredAlarm:
    """An alarm as the cloud keeps it. A malformed time of receipt becomes 1970: the alarm counts more."""
    received = timestamp_from_proto(message.receive_time if message.HasField("receive_time") else None)
    return StoredAlarm(
        number=message.number,
        alarm=alarm_from_proto(message.alarm),
        account_number=message.account_number,
        account_sequence=message.account_sequence,
        received=received if received is not None else EPOCH,
        marks=tuple(known for mark in message.marks if (known := _member(AlarmMark, mark, None)) is not None),
        path=_member(AlarmPath, message.path, AlarmPath.CLOUD),
        raw_frame=message.raw_frame,
    )


def stored_alarm_to_proto(stored: StoredAlarm) -> alarm_pb2.StoredAlarm:
    """The message of a stored alarm."""
    return alarm_pb2.StoredAlarm(
        number=stored.number,
        alarm=alarm_to_proto(stored.alarm),
        account_number=stored.account_number,
        account_sequence=stored.account_sequence,
        receive_time=timestamp_to_proto(stored.received),
        marks=[alarm_pb2.AlarmMark.ValueType(mark.value) for mark in stored.marks],
        path=alarm_pb2.AlarmPath.ValueType(stored.path.value),
        raw_frame=stored.raw_frame,
    )


def group_settings_from_proto(message: group_pb2.GroupSettings) -> GroupSettings:
    """The settings of a group; what an older peer does not tell, or tells malformed, has its default."""
    told: dict[str, Any] = {}
    for name in SETTING_NAMES:
        value = _setting(message, name)
        # 0 and "" are outside of the range of every setting that is no span: not told.
        if value is not None and (value or name in _SPANS):
            told[name] = value
    return GroupSettings(**told)


def settings_changes_from_proto(message: group_pb2.GroupSettings, paths: Iterable[str]) -> dict[str, Any]:
    """The values of the settings that an update mask names, for `hotspare_model.group.updated`.

    Raises:
        HotspareError: FIELD_MASK_INVALID for a name that is no setting, FIELD_INVALID for a malformed span.
    """
    changes: dict[str, Any] = {}
    for path in paths:
        if path not in SETTING_NAMES:
            raise HotspareError(Reason.FIELD_MASK_INVALID, f"update_mask: there is no setting {path}", field=path)
        changes[path] = _setting(message, path)
        if changes[path] is None:
            raise field_invalid(path, "must be given, as a duration")
    return changes


def group_settings_to_proto(settings: GroupSettings, etag: str = "") -> group_pb2.GroupSettings:
    """The message of the settings of a group."""
    values: dict[str, Any] = {}
    for setting in fields(GroupSettings):
        value = getattr(settings, setting.name)
        values[setting.name] = duration_to_proto(value) if isinstance(value, timedelta) else value
    return group_pb2.GroupSettings(**values, etag=etag)


def _setting(message: group_pb2.GroupSettings, name: str) -> Any:
    if name not in _SPANS:
        return getattr(message, name)
    present = any(field.name == name for field, _ in message.ListFields())
    return duration_from_proto(getattr(message, name)) if present else None


def _is_time(message: Timestamp) -> bool:
    """Whether a clock can show it, by timestamp.proto."""
    return _FIRST_SECOND <= message.seconds <= _LAST_SECOND and 0 <= message.nanos < _NANOS


def _is_duration(message: Duration) -> bool:
    """Whether it is well-formed by duration.proto: in range, and both parts of one sign."""
    if abs(message.seconds) > _LONGEST_DURATION or abs(message.nanos) >= _NANOS:
        return False
    return message.seconds * message.nanos >= 0


def _member(kind: type[Member], number: int, unknown: Default) -> Member | Default:
    """The member of an enum with the contract's numbers; `unknown` for a number that it does not have."""
    try:
        return kind(number)
    except ValueError:
        return unknown
