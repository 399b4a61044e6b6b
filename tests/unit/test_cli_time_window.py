"""What is typed for the listener of DC-09 panels: its address, and its time window (D1)."""

from datetime import timedelta

import click
import pytest

from hotspare_cli.time_window import ADDRESS_OR_NONE, TIME_WINDOW, TimeWindow, listen_text
from hotspare_rpc.address import Address


@pytest.mark.parametrize(
    ("typed", "past", "future"),
    [("40s,20s", 40, 20), (" 1m , 500ms", 60, 0.5), ("0s,1d", 0, 86400)],
)
def test_d1_a_window_is_two_spans(typed: str, past: float, future: float) -> None:
    window = TIME_WINDOW.convert(typed, None, None)
    assert window == TimeWindow(timedelta(seconds=past), timedelta(seconds=future))
    message = window.message()
    assert (message.off, message.past.ToTimedelta().total_seconds()) == (False, past)
    assert message.future.ToTimedelta().total_seconds() == future


def test_d1_a_window_that_is_off_takes_any_time() -> None:
    message = TIME_WINDOW.convert("off", None, None).message()
    assert message.off
    assert not message.HasField("past")


@pytest.mark.parametrize("typed", ["", "40s", "40,20", "40s,", "40s,20s,1s", "on"])
def test_d1_what_is_no_window_is_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter):
        TIME_WINDOW.convert(typed, None, None)


def test_d1_none_is_nowhere_and_nothing_typed_changes_nothing() -> None:
    assert listen_text(None) is None
    assert listen_text(ADDRESS_OR_NONE.convert("none", None, None)) == ""
    assert listen_text(ADDRESS_OR_NONE.convert("192.0.2.1:7460", None, None)) == "192.0.2.1:7460"
    assert ADDRESS_OR_NONE.convert(Address("h", 1), None, None) == Address("h", 1)
    with pytest.raises(click.BadParameter):
        ADDRESS_OR_NONE.convert("nowhere", None, None)
