"""Spans and times as they are typed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_cli.errors import CliError, ExitCode
from hotspare_cli.moments import moment
from hotspare_rpc.spans import exact, parse_span

NOW = datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6s", 6),
        ("500ms", 0.5),
        ("0.2s", 0.2),
        ("2m", 120),
        ("2min", 120),
        ("2 min 4 s", 124),
        ("1h30m", 5400),
        ("90d", 90 * 86400),
        (" 1 s ", 1),
        ("0s", 0),
        ("1234.567ms", 1.234567),
    ],
)
def test_spans_are_numbers_with_their_unit(text: str, seconds: float) -> None:
    assert parse_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "6",
        "s",
        "-6s",
        "6 seconds",
        "6sec",
        "2mins",
        "6S",
        "1e3s",
        "6s,",
        "6s 5",
        "\u0661s",
        "99999999999d",
        "inf",
    ],
)
def test_s4_anything_else_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match=r"span|longer"):
        parse_span(text)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(milliseconds=200), "200ms"),
        (timedelta(seconds=1.5), "1500ms"),
        (timedelta(seconds=6), "6s"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=1), "1m"),
        (timedelta(hours=1), "1h"),
        (timedelta(days=90), "90d"),
        (timedelta(microseconds=250), "0.25ms"),
    ],
)
def test_spans_are_shown_exactly_in_their_largest_unit(span: timedelta, text: str) -> None:
    assert exact(span) == text


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=36525)))
def test_what_is_shown_can_be_typed_and_is_the_same(span: timedelta) -> None:
    assert parse_span(exact(span)) == span


def test_a_moment_is_of_the_calendar_or_so_long_ago() -> None:
    assert moment("2h", "--since", NOW) == NOW - timedelta(hours=2)
    assert moment("2026-11-22T17:04:26+01:00", "--since", NOW) == NOW
    assert moment("2026-11-22T16:04:26Z", "--since", NOW) == NOW
    local = datetime(2026, 11, 22).astimezone()
    assert moment("2026-11-22", "--since", NOW) == local


@pytest.mark.parametrize("text", ["yesterday", "7", "2h!", "99999d", "2026-02-30"])
def test_what_is_neither_is_wrong_usage(text: str) -> None:
    with pytest.raises(CliError) as caught:
        moment(text, "--until", NOW)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.what.startswith("--until: ")
