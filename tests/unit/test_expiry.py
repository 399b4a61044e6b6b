"""Which alarms may leave the history of a receiver and the store of the cloud; when a clock is believed (A2, A8)."""

from datetime import timedelta

import pytest

from hotspare_cloud.core import expiry as cloud
from hotspare_model.retention import CLOCK_PATIENCE, LONGEST_REST, HistoryLimits, WallClock, rest_after
from hotspare_receiver.core import expiry as receiver

DAY = 86_400
NOW = 1_800_000_000
MICROS = 1_000_000
LONG_AGO, JUST_NOW = (NOW - 100 * DAY) * MICROS, (NOW - 5) * MICROS
AT_RECEIVER = receiver.Cutoffs((NOW - 90 * DAY) * MICROS, NOW * MICROS - receiver.SETTLED)
AT_CLOUD = cloud.cutoffs(NOW, timedelta(days=90))


def row(
    at: int,
    *,
    confirmed: bool = False,
    acknowledged: bool = False,
    set_aside: bool = False,
    over: bool = False,
    attempts: int = 1,
) -> receiver.Row:
    """An alarm of a receiver to which all happened at one time."""
    return receiver.Row(
        1, at, at, at if confirmed else None, at if acknowledged else None, at if set_aside else None, attempts, over
    )


def kept(number: int, at: float, ended_at: float | None, *, is_aside: bool = False) -> cloud.KeptRow:
    return cloud.KeptRow(number, 2 if is_aside else 0 if ended_at is None else 1, at, ended_at, is_aside)


@pytest.mark.parametrize("too_large", [False, True])
@pytest.mark.parametrize(
    "stays",
    [
        row(LONG_AGO),
        row(LONG_AGO, confirmed=True),
        row(LONG_AGO, confirmed=True, over=True),
        row(JUST_NOW, confirmed=True, acknowledged=True),
        row(JUST_NOW, set_aside=True),
        row(JUST_NOW, over=True),
    ],
    ids=["unconfirmed", "unstored", "unstored-of-old", "stored-just-now", "aside-just-now", "given-back-just-now"],
)
def test_a8_f7_what_is_still_needed_stays_at_the_receiver(stays: receiver.Row, too_large: bool) -> None:
    assert AT_RECEIVER.cause(stays, too_large=too_large) is None


@pytest.mark.parametrize(
    "goes",
    [
        row(LONG_AGO, confirmed=True, acknowledged=True),
        row(LONG_AGO, set_aside=True),
        row(LONG_AGO, over=True),
    ],
    ids=["confirmed", "aside", "given-back"],
)
def test_a8_what_ended_long_ago_goes_by_its_age(goes: receiver.Row) -> None:
    assert AT_RECEIVER.cause(goes, too_large=False) is receiver.Cause.AGE


def test_a8_by_size_goes_what_the_cloud_has_and_not_what_was_given_back() -> None:
    hour_ago = (NOW - 3600) * MICROS
    stored = row(hour_ago, confirmed=True, acknowledged=True)
    assert AT_RECEIVER.cause(stored, too_large=True) is receiver.Cause.SIZE
    assert AT_RECEIVER.cause(stored, too_large=False) is None
    assert AT_RECEIVER.cause(row(hour_ago, over=True), too_large=True) is None


def test_a8_the_age_counts_from_the_last_thing_that_happened() -> None:
    late = receiver.Row(1, LONG_AGO, LONG_AGO, LONG_AGO, JUST_NOW, None, 1, False)
    again = receiver.Row(1, LONG_AGO, JUST_NOW, LONG_AGO, LONG_AGO, None, 1, False)
    assert AT_RECEIVER.cause(late, too_large=False) is None
    assert AT_RECEIVER.cause(again, too_large=False) is None


def test_a8_a_commit_deletes_a_bounded_number_of_alarms_and_attempts() -> None:
    rows = [row(LONG_AGO, over=True, attempts=attempts) for attempts in (1,) * 250 + (300, 300, 5000, 1)]
    pieces = list(receiver.steps(rows))
    assert [each for piece in pieces for each in piece] == rows
    for piece in pieces:
        assert len(piece) <= receiver.STEP_ALARMS
        assert len(piece) == 1 or sum(each.attempts for each in piece) <= receiver.STEP_ATTEMPTS


@pytest.mark.parametrize("too_large", [False, True])
def test_a2_a8_the_cloud_forgets_nothing_that_waits_and_nothing_within_a_day(too_large: bool) -> None:
    old, fresh = NOW - 100 * DAY, NOW - DAY + 60
    assert AT_CLOUD.cause(kept(1, old, None), too_large=too_large) is None
    assert AT_CLOUD.cause(kept(1, fresh, fresh), too_large=too_large) is None
    assert AT_CLOUD.cause(kept(1, old, fresh), too_large=too_large) is None


def test_a5_a8_what_is_set_aside_goes_by_its_age_alone() -> None:
    week_ago, old = NOW - 7 * DAY, NOW - 100 * DAY
    assert AT_CLOUD.cause(kept(1, week_ago, week_ago, is_aside=True), too_large=True) is None
    assert AT_CLOUD.cause(kept(1, week_ago, week_ago), too_large=True) is cloud.Cause.SIZE
    assert AT_CLOUD.cause(kept(1, old, old, is_aside=True), too_large=False) is cloud.Cause.AGE


def test_a8_a_clock_that_jumps_is_not_believed_for_an_hour() -> None:
    clock = WallClock(NOW).looked(NOW + 3600, 50.0)
    assert clock.believed
    clock = clock.looked(NOW + 3660, 110.0)
    assert clock.believed
    clock = clock.looked(NOW + 3600 * 24 * 365, 170.0)
    assert not clock.believed
    clock = clock.looked(NOW + 3600 * 24 * 365 + 60, 230.0)
    assert not clock.believed
    clock = clock.looked(NOW + 3600 * 24 * 365 + 3660, 170.0 + CLOCK_PATIENCE + 60)
    assert clock.believed


def test_a8_a_clock_that_is_set_right_again_is_not_believed_at_once_either() -> None:
    clock = WallClock(NOW).looked(NOW + 10 * 365 * DAY, 10.0).looked(NOW + 60, 70.0)
    assert not clock.believed
    assert WallClock().looked(NOW, 1.0).believed, "at the very first start there is nothing to compare with"


@pytest.mark.parametrize(
    ("age", "size"), [(timedelta(hours=23), 10**10), (timedelta(days=90), 10**6), (timedelta(days=3651), 10**10)]
)
def test_a8_limits_out_of_their_range_are_none(age: timedelta, size: int) -> None:
    with pytest.raises(ValueError, match="history"):
        HistoryLimits(age, size)


def test_a8_the_clean_up_takes_a_twentieth_of_the_time_and_more_when_it_does_not_keep_up() -> None:
    assert rest_after(0.002, 0.0) == pytest.approx(0.04)
    assert rest_after(0.2, 0.0) == LONGEST_REST
    # At 200 alarms a second on a disk that takes 10 ms for a step of 25: within an hour it is faster than the flow.
    assert (
        receiver.STEP_ALARMS / (0.01 + rest_after(0.01, 0.0))
        < 200
        < receiver.STEP_ALARMS / (0.01 + rest_after(0.01, 3600))
    )
