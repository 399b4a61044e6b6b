"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

import os
import sys
import time
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

PLAIN_EVERY = 2.0
"""Seconds between two plain lines on how it stands."""


class Tone(Enum):
    """How a line feels; the value is a style of rich."""

    PLAIN = ""
    COMMAND = "cyan"
    GOOD = "green"
    BAD = "bold red"
    MOVE = "bold yellow"


@dataclass(frozen=True)
class Row:
    """One receiver."""

    title: str
    receiver_id: str
    status: str
    epoch: int | None
    pid: int | None
    delivered: int
    """Messages that its ARC's software acknowledged."""


@dataclass(frozen=True)
class Picture:
    """How it stands."""

    rows: tuple[Row, ...]
    published: int
    confirmed: int
    waiting: int
    duplicates: int
    takeover: float | None
    """Seconds from the kill to the first alarm, published after it, that the ARC acknowledged."""
    now: str
    """What happens, in words."""


class Screen(Protocol):
    """Where the demo shows itself."""

    def say(self, text: str, tone: Tone = Tone.PLAIN, *, timed: bool = True) -> None:
        """Print lines that stay; `timed` puts the seconds since the start in front."""
        ...

    def show(self, picture: Picture) -> None:
        """Show how it stands."""
        ...

    def close(self) -> None:
        """Show nothing any more; `say` still works."""
        ...


def open_screen(plain: bool, out: TextIO = sys.stdout) -> Screen:
    """A live table where there is a terminal that can show one."""
    if plain or not out.isatty() or os.environ.get("TERM") in (None, "dumb"):
        return PlainScreen(out)
    return LiveScreen(out)


class PlainScreen:
    """Lines, for a log or a pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._start = time.monotonic()
        self._next = 0.0

    def say(self, text: str, tone: Tone = Tone.PLAIN, *, timed: bool = True) -> None:
        """Print the text, lines of it as they are."""
        stamp = f"[{time.monotonic() - self._start:6.1f} s] " if timed else ""
        print(stamp + text, file=self._out, flush=True)

    def show(self, picture: Picture) -> None:
        """Print one line, now and then."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PLAIN_EVERY
        members = "  ".join(f"{row.title}: {_status(row)}" for row in picture.rows)
        self.say(f"{members}  |  {_counts(picture)}")

    def close(self) -> None:
        """Nothing to be done."""


class LiveScreen:
    """A table that changes in place, below the lines that stay."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False)
        self._start = time.monotonic()
        self._live = Live(console=self._console, refresh_per_second=8, transient=False)
        self._is_open = False

    def say(self, text: str, tone: Tone = Tone.PLAIN, *, timed: bool = True) -> None:
        """Print the text above the table."""
        stamp = f"[{time.monotonic() - self._start:6.1f} s] " if timed else ""
        self._console.print(Text(stamp, style="dim").append(text, style=tone.value or "not dim"), soft_wrap=True)

    def show(self, picture: Picture) -> None:
        """Draw the table anew."""
        if not self._is_open:
            self._live.start()
            self._is_open = True
        self._live.update(self._drawn(picture))

    def _drawn(self, picture: Picture) -> Group:
        table = Table(box=box.ROUNDED, expand=False)
        for title in ("role", "receiver id", "status"):
            table.add_column(title)
        for title in ("epoch", "pid", "delivered"):
            table.add_column(title, justify="right")
        for row in picture.rows:
            style = {"WORKING": "bold green", "OFFLINE": "red"}.get(row.status, "")
            table.add_row(
                row.title,
                row.receiver_id[:8],
                Text(row.status or "-", style=style),
                "-" if row.epoch is None else str(row.epoch),
                "-" if row.pid is None else str(row.pid),
                str(row.delivered),
            )
        seconds = time.monotonic() - self._start
        return Group(table, Text(_counts(picture), style="bold"), Text(f"{seconds:5.0f} s  {picture.now}"))

    def close(self) -> None:
        """Leave the table as it is."""
        if self._is_open:
            self._live.stop()
            self._is_open = False


def _status(row: Row) -> str:
    epoch = "" if row.epoch is None else f" (epoch {row.epoch})"
    return f"{row.status or '-'}{epoch}"


def _counts(picture: Picture) -> str:
    takeover = "-" if picture.takeover is None else f"{picture.takeover:.2f} s"
    return (
        f"published {picture.published}  confirmed {picture.confirmed}  waiting {picture.waiting}  "
        f"duplicates {picture.duplicates}  take-over {takeover}"
    )
