"""Protobuf <-> dataclasses: there and back, and no malformed message raises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from hotspare.v1 import alarm_pb2, group_pb2
from hotspare_model.alarm import Alarm, AlarmMark, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import SETTING_NAMES, GroupSettings, MemberStatus, Role
from hotspare_rpc import wire

TIMES = st.datetimes(timezones=st.just(UTC))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ALARMS = st.builds(
    Alarm,
    alarm_id=TEXTS,
    device_id=TEXTS,
    qualifier=st.sampled_from(Qualifier),
    code_format=st.sampled_from(CodeFormat),
    code=TEXTS,
    partition=st.integers(0, 2**32 - 1),
    zone=st.integers(0, 2**32 - 1),
    occurred=st.none() | TIMES,
    text=TEXTS,
    verification_url=TEXTS,
    latitude=st.none() | st.floats(-90, 90),
    longitude=st.none() | st.floats(-180, 180),
)
STORED = st.builds(
    StoredAlarm,
    number=st.integers(0, 2**64 - 1),
    alarm=ALARMS,
    account_number=TEXTS,
    account_sequence=st.integers(0, 2**64 - 1),
    received=TIMES,
    marks=st.lists(st.sampled_from(AlarmMark), max_size=3).map(tuple),
    path=st.sampled_from(AlarmPath),
)


@given(STORED)
def test_an_alarm_comes_back_as_it_went(stored: StoredAlarm) -> None:
    raw = wire.stored_alarm_to_proto(stored).SerializeToString()
    assert wire.stored_alarm_from_proto(alarm_pb2.StoredAlarm.FromString(raw)) == stored


@given(st.binary(max_size=80))
def test_a10_no_alarm_raises_whatever_is_in_it(raw: bytes) -> None:
    message = alarm_pb2.StoredAlarm()
    try:
        message.ParseFromString(raw)
    except Exception:  # no message at all: the interceptor's affair
        return
    wire.stored_alarm_from_proto(message)


RAW_ALARMS = st.builds(
    alarm_pb2.Alarm,
    alarm_id=TEXTS,
    qualifier=st.integers(0, 6),
    code_format=st.integers(0, 6),
    code=TEXTS,
    zone=st.integers(0, 2**32 - 1),
    occur_time=st.none()
    | st.builds(Timestamp, seconds=st.integers(-(2**40), 2**40), nanos=st.integers(-1, 1_000_000_001)),
    text=TEXTS,
    latitude=st.none() | st.floats(-90, 90),
)


@given(RAW_ALARMS, st.sampled_from([b"", b"\xf8\x06\x01"]))
def test_a10_an_alarm_that_is_kept_as_it_came_is_what_was_read_of_it(message: alarm_pb2.Alarm, later: bytes) -> None:
    """`later`: a field that this release does not know."""
    message.MergeFromString(later)
    read = wire.alarm_from_proto(message)
    occurred = wire.normalise_alarm(message)
    assert message.SerializeToString(deterministic=True) == wire.alarm_to_proto(read).SerializeToString(
        deterministic=True
    )
    assert (
        occurred == pytest.approx((read.occurred - wire.EPOCH).total_seconds(), abs=1e-4)
        if read.occurred
        else (occurred is None)
    )


def test_a10_an_empty_alarm_reads_as_its_defaults() -> None:
    alarm = wire.alarm_from_proto(alarm_pb2.Alarm())
    assert alarm == Alarm("", "", Qualifier.NEW, CodeFormat.CONTACT_ID, "", 0, 0, None, "", "")
    stored = wire.stored_alarm_from_proto(alarm_pb2.StoredAlarm())
    assert (stored.received, stored.marks, stored.path) == (wire.EPOCH, (), AlarmPath.CLOUD)


def test_v3_unknown_numbers_of_enums_are_taken_as_unspecified() -> None:
    unknown: Any = 77
    alarm = wire.alarm_from_proto(alarm_pb2.Alarm(qualifier=unknown, code_format=unknown))
    assert (alarm.qualifier, alarm.code_format) == (Qualifier.NEW, CodeFormat.CONTACT_ID)
    stored = wire.stored_alarm_from_proto(
        alarm_pb2.StoredAlarm(marks=[unknown, alarm_pb2.ALARM_MARK_SYSTEM, 0], path=unknown)  # type: ignore[list-item]
    )
    assert (stored.marks, stored.path) == ((AlarmMark.SYSTEM,), AlarmPath.CLOUD)
    assert wire.role_from_proto(77) is None
    assert wire.role_from_proto(-1) is None
    assert wire.member_status_from_proto(77) is None


def test_roles_statuses_marks_and_paths_have_the_names_of_the_contract() -> None:
    for role in Role:
        assert group_pb2.Role.Name(wire.role_to_proto(role)) == f"ROLE_{role.name}"
        assert wire.role_from_proto(wire.role_to_proto(role)) is role
    for status in MemberStatus:
        assert group_pb2.MemberStatus.Name(wire.member_status_to_proto(status)) == f"MEMBER_STATUS_{status.name}"
        assert wire.member_status_from_proto(wire.member_status_to_proto(status)) is status
    assert wire.role_to_proto(None) == group_pb2.ROLE_UNSPECIFIED
    assert wire.member_status_to_proto(None) == group_pb2.MEMBER_STATUS_UNSPECIFIED
    for enum, kind, prefix in (
        (alarm_pb2.AlarmMark, AlarmMark, "ALARM_MARK_"),
        (alarm_pb2.AlarmPath, AlarmPath, "ALARM_PATH_"),
        (alarm_pb2.CodeFormat, CodeFormat, "CODE_FORMAT_"),
    ):
        members: Any = kind
        of_contract = {name: number for name, number in enum.items() if number}
        assert {prefix + member.name: member.value for member in members} == of_contract


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (253_402_300_800, 0),
        (-62_135_596_801, 0),
        (2**63 - 1, 0),
        (-(2**63), 0),
        (0, -1),
        (0, 1_000_000_000),
        (0, 2**31 - 1),
    ],
)
def test_a10_a_time_that_is_no_time_is_absent(seconds: int, nanos: int) -> None:
    assert wire.timestamp_from_proto(Timestamp(seconds=seconds, nanos=nanos)) is None


def test_a10_a_clock_in_1970_is_a_time() -> None:
    assert wire.timestamp_from_proto(Timestamp()) == datetime(1970, 1, 1, tzinfo=UTC)
    assert wire.timestamp_from_proto(None) is None


@given(TIMES)
def test_a_time_comes_back_as_it_went(time: datetime) -> None:
    message = wire.timestamp_to_proto(time)
    assert wire.timestamp_from_proto(message) == time
    assert message.ToDatetime(UTC) == time


def test_a_time_of_another_zone_is_the_same_moment_and_a_naive_one_none() -> None:
    time = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert wire.timestamp_from_proto(wire.timestamp_to_proto(time)) == time
    with pytest.raises(ValueError, match="without a zone"):
        wire.timestamp_to_proto(datetime(2026, 1, 1))  # noqa: DTZ001


@given(st.timedeltas(timedelta(days=-3_650_000), timedelta(days=3_650_000)))
def test_a_span_comes_back_as_it_went(span: timedelta) -> None:
    message = wire.duration_to_proto(span)
    assert wire.duration_from_proto(message) == span
    assert message.ToTimedelta() == span


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(315_576_000_001, 0), (-(2**63), 0), (2**63 - 1, 0), (1, -1), (-1, 1), (0, 1_000_000_000), (0, -(2**31))],
)
def test_a_malformed_span_is_absent(seconds: int, nanos: int) -> None:
    message = Duration(seconds=seconds, nanos=nanos)
    assert wire.duration_from_proto(message) is None
    assert wire.seconds_from_proto(message) is None


def test_seconds_come_back_as_they_went() -> None:
    for seconds in (0.0, 4.98, -1.5, 1e9):
        assert wire.seconds_from_proto(wire.seconds_to_proto(seconds)) == seconds
    assert wire.seconds_from_proto(None) is None
    assert wire.duration_from_proto(None) is None
    for wrong in (float("nan"), float("inf"), 1e30):
        with pytest.raises(ValueError, match="not finite"):
            wire.seconds_to_proto(wrong)
    with pytest.raises(ValueError, match="10,000 years"):
        wire.duration_to_proto(timedelta.max)


def test_every_setting_is_in_the_contract_and_comes_back_as_it_went() -> None:
    of_contract = set(group_pb2.GroupSettings.DESCRIPTOR.fields_by_name) - {"etag"}
    assert set(SETTING_NAMES) == of_contract
    settings = replace(
        GroupSettings(),
        **{
            name: value + (timedelta(seconds=1.5) if isinstance(value, timedelta) else 1)
            for name in SETTING_NAMES
            if not isinstance(value := getattr(GroupSettings(), name), str)
        },
        takeover_event_code="3B9",
    )
    message = wire.group_settings_to_proto(settings, "e7")
    assert message.etag == "e7"
    assert wire.group_settings_from_proto(message) == settings


def test_v3_settings_that_an_older_peer_does_not_tell_have_their_defaults() -> None:
    assert wire.group_settings_from_proto(group_pb2.GroupSettings()) == GroupSettings()
    malformed = group_pb2.GroupSettings(lease=Duration(seconds=1, nanos=-1), window=7)
    assert wire.group_settings_from_proto(malformed) == GroupSettings(window=7)


def test_a_setting_of_zero_seconds_is_told() -> None:
    message = group_pb2.GroupSettings(failback_delay=Duration())
    assert wire.group_settings_from_proto(message).failback_delay == timedelta(0)


def test_an_update_takes_what_its_mask_names() -> None:
    message = group_pb2.GroupSettings(lease=Duration(seconds=8), window=5, losses_per_hour=9)
    assert wire.settings_changes_from_proto(message, ["lease", "window"]) == {
        "lease": timedelta(seconds=8),
        "window": 5,
    }
    assert wire.settings_changes_from_proto(message, []) == {}
    for path in ("etag", "nonsense", "lease.seconds", ""):
        with pytest.raises(HotspareError) as caught:
            wire.settings_changes_from_proto(message, [path])
        assert caught.value.reason is Reason.FIELD_MASK_INVALID
    with pytest.raises(HotspareError) as caught:
        wire.settings_changes_from_proto(message, ["beat"])
    assert caught.value.reason is Reason.FIELD_INVALID
