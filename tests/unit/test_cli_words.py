"""Values of the contract in words for people."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1.alarm_pb2 import AlarmMark, AlarmState
from hotspare.v1.group_pb2 import MemberStatus, Role, SyncState
from hotspare.v1.output_pb2 import OutputKind
from hotspare_cli.commands import alarms, membership, outputs, tokens
from hotspare_cli.words import ago, clock, number, role_word, size, span, word, words

NOW = datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC)


def stamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def test_enums_are_written_as_options_spell_them() -> None:
    assert word(SyncState.DESCRIPTOR, SyncState.SYNC_STATE_UP_TO_DATE) == "up-to-date"
    assert word(MemberStatus.DESCRIPTOR, MemberStatus.MEMBER_STATUS_WORKING) == "working"
    assert words(AlarmMark.DESCRIPTOR, [1, 2]) == "clock-implausible, unknown-code"
    assert words(AlarmMark.DESCRIPTOR, []) == "-"


def test_v3_unknown_and_unspecified_values_are_shown_alike() -> None:
    assert word(MemberStatus.DESCRIPTOR, 0) == "-"
    assert word(MemberStatus.DESCRIPTOR, 999) == "-"
    assert role_word(999) == "-"


def test_the_choices_of_options_are_the_words_of_the_contract() -> None:
    assert tuple(role_word(value) for value in Role.values() if value) == membership.ROLES
    assert tuple(word(AlarmState.DESCRIPTOR, value) for value in AlarmState.values() if value) == alarms.STATES
    assert set(outputs.KINDS) <= {word(OutputKind.DESCRIPTOR, value) for value in OutputKind.values()}


def test_the_roles_of_tokens_are_the_words_of_the_contract() -> None:
    from hotspare.v1.token_pb2 import TokenRole

    assert tuple(word(TokenRole.DESCRIPTOR, value) for value in TokenRole.values() if value) == tokens.ROLES


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.0031, "3.1 ms"),
        (0.02, "20 ms"),
        (0.35, "350 ms"),
        (1, "1.0 s"),
        (5.23, "5.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (184, "3 min 4 s"),
        (3599.9, "1 h"),
        (7500, "2 h 5 min"),
        (86400 * 5 + 3 * 3600, "5 d 3 h"),
        (-1.5, "-1.5 s"),
    ],
)
def test_spans_have_the_digits_that_matter(seconds: float, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [(0.2, "now"), (-1.5, "now"), (4, "4.0 s ago"), (300, "5 min ago"), (-300, "in 5 min")],
)
def test_times_are_told_by_their_distance(before: float, text: str) -> None:
    assert ago(stamp(NOW - timedelta(seconds=before)), NOW) == text


def test_times_that_no_calendar_has_are_no_defect() -> None:
    for seconds in (1 << 60, -(1 << 60)):
        assert ago(Timestamp(seconds=seconds), NOW) == "implausible"
        assert clock(Timestamp(seconds=seconds)) == "implausible"


def test_the_clock_is_told_with_its_offset() -> None:
    told = clock(stamp(NOW))
    assert datetime.fromisoformat(told) == NOW


def test_counts_and_sizes() -> None:
    assert number(5121) == "5,121"
    assert [size(999), size(1500), size(512_000_000), size(2 * 10**13)] == [
        "999 bytes",
        "1.5 kB",
        "512.0 MB",
        "20.0 TB",
    ]
