"""Progress: a line on a terminal that is written over and taken away, and nothing anywhere else."""

import asyncio
import io
from types import SimpleNamespace

import pytest

from hotspare_cli import progress
from hotspare_cli.progress import Progress, telling


class Terminal(io.StringIO):
    """Looks like one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    written = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=written))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    return written


def lines(terminal: Terminal) -> list[str]:
    return [line.removesuffix("\x1b[K") for line in terminal.getvalue().split("\r")[1:]]


def test_how_far_it_is_is_told_by_a_bar_once_the_whole_is_known(terminal: Terminal) -> None:
    with Progress("Importing") as line:
        line.show(1000, None, "lines checked")
        line.show(12_000, 24_000, "lines checked")
        line.show(12_000, 24_000, "lines checked")
        line.show(24_000, 24_000, "lines checked")
    assert lines(terminal) == [
        "Importing: 1,000 lines checked",
        "Importing: [============            ] 12,000 of 24,000 lines checked",
        "Importing: [========================] 24,000 of 24,000 lines checked",
        "",
    ]


def test_more_than_the_whole_is_told_without_a_bar(terminal: Terminal) -> None:
    with Progress("Importing") as line:
        line.show(9, 2, "lines checked")
    assert lines(terminal)[0] == "Importing: 9 lines checked"


def test_a_line_is_never_longer_than_the_terminal(terminal: Terminal) -> None:
    with Progress("Waiting for " + "x" * 200) as line:
        line.wait(3, 60)
    assert [len(one) for one in lines(terminal)] == [79, 0]


def test_a_wait_tells_how_long_it_lasts_and_may_last(terminal: Terminal) -> None:
    with Progress("Waiting") as line:
        line.wait(15, 60)
        line.wait(15, None)
    assert lines(terminal)[:2] == ["Waiting: [======                  ] 15 s of at most 60 s", "Waiting: 15 s"]


@pytest.mark.parametrize("term", ["dumb", None])
def test_without_a_terminal_that_can_do_it_nothing_is_written(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str | None
) -> None:
    elsewhere: io.StringIO = terminal
    if term is None:
        elsewhere = io.StringIO()
        monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=elsewhere))
    else:
        monkeypatch.setenv("TERM", term)
    with Progress("Waiting") as line:
        line.wait(15, 60)
        line.show(1, 2, "alarms")
    assert elsewhere.getvalue() == ""


async def test_a_work_that_lasts_is_told_of_and_its_result_or_error_is_what_it_was(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_TICK", 0.001)

    async def work(end: object) -> object:
        await asyncio.sleep(0.01)
        if isinstance(end, Exception):
            raise end
        return end

    assert await telling("Waiting", work(7), longest=10) == 7
    assert "Waiting: [" in terminal.getvalue()
    assert lines(terminal)[-1] == "", "the line is gone"
    with pytest.raises(KeyError):
        await telling("Waiting", work(KeyError()))
    assert lines(terminal)[-1] == ""


async def test_a_work_that_is_given_up_is_given_up(terminal: Terminal) -> None:
    given_up = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            given_up.set()

    waiting = asyncio.create_task(telling("Waiting", work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(given_up.wait(), 5)
