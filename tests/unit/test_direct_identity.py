"""The id of an alarm whose format has none: the same for a repetition, another one for another event (D2)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hotspare_model.alarm import Alarm, CodeFormat
from hotspare_model.contact_id import Qualifier
from hotspare_receiver.direct.identity import REPEATED_WITHIN, UNANSWERED_FOR, Identities, Message

NOON = datetime(2026, 5, 4, 12, 0, 1, tzinfo=UTC)
ALARM = Alarm("", "panel", Qualifier.NEW, CodeFormat.CONTACT_ID, "130", 1, 7, NOON, "")
STAMPED = Message(ALARM, b"frame", "0042", NOON, NOON)
BARE = replace(STAMPED, stamped=None)


def later(message: Message, seconds: float, **changes: object) -> Message:
    return replace(message, received=message.received + timedelta(seconds=seconds), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("message", [STAMPED, BARE])
def test_d2_a_repetition_has_the_same_id_also_at_another_process(message: Message) -> None:
    one, other = Identities(), Identities()
    first = one.id_of(message)
    one.answered(message)
    assert one.id_of(later(message, 5)) == first
    assert other.id_of(later(message, 5)) == first
    # The pad of an encrypted frame is random, and a panel without a time of occurrence has that of the frame.
    if message.stamped is not None:
        again = later(message, 5, raw=b"other pad", alarm=replace(ALARM, occurred=None))
        assert other.id_of(again) == first


def test_d2_the_id_grows_with_the_time_and_is_a_uuid_of_version_8() -> None:
    identities = Identities()
    ids = [
        identities.id_of(replace(STAMPED, stamped=NOON + timedelta(seconds=at), sequence=str(at))) for at in range(9)
    ]
    assert ids == sorted(ids)
    assert len(set(ids)) == 9
    parsed = UUID(ids[0])
    assert (parsed.version, parsed.variant) == (8, "specified in RFC 4122")
    assert parsed.int >> 80 == NOON.timestamp() * 1000
    assert str(parsed) == ids[0]


@pytest.mark.parametrize(
    "other",
    [
        replace(STAMPED, sequence="0043"),
        replace(STAMPED, stamped=NOON + timedelta(seconds=1)),
        replace(STAMPED, alarm=replace(ALARM, zone=8)),
        replace(STAMPED, alarm=replace(ALARM, code="131")),
        replace(STAMPED, alarm=replace(ALARM, partition=2)),
        replace(STAMPED, alarm=replace(ALARM, qualifier=Qualifier.RESTORE)),
        replace(STAMPED, alarm=replace(ALARM, device_id="other")),
        replace(STAMPED, alarm=replace(ALARM, text="other")),
    ],
)
def test_d2_whatever_differs_makes_another_alarm(other: Message) -> None:
    identities = Identities()
    first = identities.id_of(STAMPED)
    identities.answered(STAMPED)
    assert identities.id_of(other) != first


def test_d2_a_fresh_stamp_on_what_was_not_answered_is_a_repetition_and_after_the_answer_another_alarm() -> None:
    identities = Identities()
    first = identities.id_of(STAMPED)
    fresh = later(STAMPED, 20, stamped=NOON + timedelta(seconds=20))
    assert identities.id_of(fresh) == first
    identities.answered(fresh)
    again = later(STAMPED, 40, stamped=NOON + timedelta(seconds=40))
    another = identities.id_of(again)
    assert another != first
    # One that nobody answered for long is another message.
    late = UNANSWERED_FOR.total_seconds() + 41
    assert identities.id_of(later(STAMPED, late, stamped=NOON + timedelta(seconds=late))) != another


def test_d2_a_frame_of_which_one_event_failed_has_no_answer_for_the_others_either() -> None:
    identities = Identities()
    first, second = STAMPED, replace(STAMPED, alarm=replace(ALARM, zone=8))
    ids = [identities.id_of(first), identities.id_of(second)]
    identities.answered(first)
    identities.failed(second)
    again = [later(each, 20, raw=b"fresh", stamped=NOON + timedelta(seconds=20)) for each in (first, second)]
    assert [identities.id_of(each) for each in again] == ids
    for each in again:
        identities.answered(each)
    identities.failed(replace(second, raw=b"another frame"))
    once_more = [later(each, 40, stamped=NOON + timedelta(seconds=40)) for each in (first, second)]
    assert not {identities.id_of(each) for each in once_more} & set(ids)


def test_d2_the_same_bytes_without_a_stamp_are_a_repetition_for_a_while_whatever_the_boundary() -> None:
    span = REPEATED_WITHIN.total_seconds()
    for offset in (0.0, span / 2, span - 1):
        identities = Identities()
        begun = later(BARE, offset)
        first = identities.id_of(begun)
        identities.answered(begun)
        assert identities.id_of(later(begun, 1, raw=b"another")) != first
        assert identities.id_of(later(begun, span - 1)) == first
        assert identities.id_of(later(begun, span)) != first


def test_s4_a_frame_that_is_repeated_without_an_end_is_remembered_once() -> None:
    identities = Identities()
    other = replace(STAMPED, alarm=replace(ALARM, zone=8))
    for seconds in range(50):
        for each in (STAMPED, other):
            identities.id_of(later(each, seconds))
            identities.answered(later(each, seconds))
    assert identities._frames["panel"] == (STAMPED.raw, [STAMPED.contents, other.contents])


def test_s4_what_is_remembered_is_bounded() -> None:
    identities = Identities(remembered=10)
    for number in range(20):
        identities.id_of(replace(STAMPED, sequence=str(number)))
    assert len(identities) == 10
