"""Logs: one line an event, nothing can forge a line, no secret."""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_rpc.credentials import BearerToken, DeviceCredentials, ReceiverCredentials
from hotspare_rpc.logs import LineFormatter, log_event, setup_logging
from hotspare_rpc.text import printable
from hotspare_rpc.tls import ChannelTls

LINE = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [a-z_]+( [a-z_0-9]+=([^\s"]+|"(\\.|[^"\\])*"))*')
SECRET = "4711-very-secret"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    setup_logging(stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def formatted(level: int = logging.INFO, event: str = "event", /, **fields: object) -> str:
    record = logging.LogRecord("name", level, "file", 1, event, None, None)
    record.hotspare_fields = fields
    return LineFormatter().format(record)


def test_an_event_is_one_line_of_time_level_name_and_fields(log: io.StringIO) -> None:
    logger = logging.getLogger("test")
    log_event(logger, logging.WARNING, "working_changed", epoch=7, to="b2", why="stream ended", gap=1.25, was=None)
    line = log.getvalue()
    assert re.fullmatch(r"\S+Z WARNING working_changed epoch=7 to=b2 why=\"stream ended\" gap=1.25 was=-\n", line)
    assert LINE.fullmatch(line.rstrip("\n"))


def test_the_time_is_utc_with_milliseconds() -> None:
    record = logging.LogRecord("name", logging.INFO, "file", 1, "event", None, None)
    record.created = datetime(2026, 3, 1, 2, 3, 4, 567_000, UTC).timestamp()
    record.hotspare_fields = {}
    assert LineFormatter().format(record) == "2026-03-01T02:03:04.567Z INFO event"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain-1.2:3/x", "plain-1.2:3/x"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a"b', r'"a\"b"'),
        ("a=b", '"a=b"'),
        ("a\\b", r'"a\\b"'),
        ("a\nb", r'"a\nb"'),
        ("\x1b[2J", r'"\x1b[2J"'),
        ("\u202e", r'"\u202e"'),
        ("\udc80", r'"\udc80"'),
        ("gr\u00fcn", "gr\u00fcn"),
        (True, "true"),
        (b"\x00\xff", "00ff"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
    ],
)
def test_s4_a_value_that_is_not_plain_stands_in_quotes_with_escapes(value: object, shown: str) -> None:
    assert formatted(logging.INFO, "event", field=value).split(" ", 3)[3] == f"field={shown}"


@given(st.text(max_size=50), st.text(max_size=50))
def test_s4_no_value_forges_a_line_or_a_field(first: str, second: str) -> None:
    line = formatted(logging.INFO, "event", a=first, b=second)
    assert line.isprintable()
    assert LINE.fullmatch(line)
    without_quoted = re.sub(r'"(?:\\.|[^"\\])*"', '""', line)
    assert [field.partition("=")[0] for field in without_quoted.split(" ")[3:]] == ["a", "b"]


def test_s4_a_huge_value_is_cut() -> None:
    assert len(formatted(logging.INFO, "event", field="x" * 1_000_000)) < 1200


def test_a_line_of_a_library_keeps_its_logger_and_message(log: io.StringIO) -> None:
    logging.getLogger("some.library").error("cannot %s\n2026-01-01T00:00:00.000Z INFO forged", "open")
    (line,) = log.getvalue().splitlines()
    assert line.endswith(r'ERROR log logger=some.library message="cannot open\n2026-01-01T00:00:00.000Z INFO forged"')
    wrong_use = logging.LogRecord("some.library", logging.ERROR, "file", 1, "%d", ("x",), None)
    assert LineFormatter().format(wrong_use).endswith("ERROR log logger=some.library message=%d")


def test_an_error_adds_its_type_text_and_traceback_on_the_same_line(log: io.StringIO) -> None:
    try:
        raise KeyError("x\ny")
    except KeyError as problem:
        log_event(logging.getLogger("test"), logging.ERROR, "rpc_failed", error=problem, incident="1f")
    (line,) = log.getvalue().splitlines()
    assert " rpc_failed incident=1f error=KeyError problem=" in line
    assert "test_rpc_logs.py" in line
    assert LINE.fullmatch(line)


def test_warnings_are_lines_too(log: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old\nways", DeprecationWarning, stacklevel=1)
    (line,) = log.getvalue().splitlines()
    assert "logger=py.warnings" in line


def test_s1_what_holds_a_secret_prints_none(log: io.StringIO) -> None:
    holders = (
        ReceiverCredentials("north", SECRET, "r1"),
        DeviceCredentials("north", "d1", SECRET),
        BearerToken(SECRET),
        ChannelTls(b"ca", b"cert", SECRET.encode()),
    )
    for holder in holders:
        log_event(logging.getLogger("test"), logging.INFO, "call", who=holder, all=[holder])
        assert SECRET not in f"{holder!r} {holder}"
    assert SECRET not in log.getvalue()
    assert len(log.getvalue().splitlines()) == len(holders)


@pytest.mark.parametrize("name", ["key", "arc_key", "device_key", "token", "admin_token", "secret", "authorization"])
def test_s1_a_field_named_like_a_secret_is_hidden(name: str) -> None:
    assert formatted(logging.INFO, "event", **{name: SECRET}).endswith(f" {name}=(hidden)")


@pytest.mark.parametrize("name", ["key_file", "token_name", "keyword", "monkey"])
def test_a_field_that_only_sounds_like_one_is_shown(name: str) -> None:
    assert formatted(logging.INFO, "event", **{name: "x"}).endswith(f" {name}=x")


@given(st.text(max_size=200), st.integers(3, 120))
def test_s4_printable_is_printable_and_bounded(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown.encode()) <= limit
    if text.isprintable() and len(text.encode()) <= limit:
        assert shown == text


def test_s4_a_huge_text_costs_no_more_than_its_limit() -> None:
    assert printable("x" * 50_000_000, 10) == "xxxxxxx..."
