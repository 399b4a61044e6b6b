"""How far a long work is: a line on the terminal that is written over, and gone at its end; nowhere without one.

It goes to stderr: what a command prints stays as it is, also where somebody looks at the line.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Awaitable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Self, TypeVar

Result = TypeVar("Result")

_BAR = 24
"""Characters of a bar."""
_TICK = 1.0
"""Seconds between two looks at a clock."""
_PATIENCE = 2.0
"""Seconds without an answer from which on somebody would wonder whether anything happens."""
_REST_OF_LINE = "\x1b[K"


class Progress(AbstractContextManager["Progress"]):
    """A line that tells how far it is. `show` and `wait` write it over; leaving the context takes it away."""

    def __init__(self, what: str) -> None:
        """`what` begins the line."""
        self._what = what
        self._on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the line away."""
        self.clear()

    def __enter__(self) -> Self:
        """Nothing is written before there is something to tell."""
        return self

    def show(self, done: int, total: int | None, unit: str) -> None:
        """Tell how many of how many are done; without a bar where the whole is not known (yet)."""
        if total is None or done > total:
            self._write(f"{self._what}: {done:,} {unit}")
        else:
            share = done / total if total else 1.0
            self._write(f"{self._what}: {_bar(share)} {done:,} of {total:,} {unit}")

    def wait(self, seconds: float, longest: float | None) -> None:
        """Tell for how long it lasts by now, and how long it may take."""
        if longest is None:
            self._write(f"{self._what}: {seconds:.0f} s")
        else:
            share = min(seconds / longest, 1.0)
            self._write(f"{self._what}: {_bar(share)} {seconds:.0f} s of at most {longest:.0f} s")

    def clear(self) -> None:
        """Take the line away; the next one may come."""
        if self._shown:
            with suppress(OSError):
                sys.stderr.write(f"\r{_REST_OF_LINE}")
                sys.stderr.flush()
            self._shown = ""

    def _write(self, text: str) -> None:
        # A line that is too long would be two, of which one would stay.
        text = text[: shutil.get_terminal_size().columns - 1]
        if self._on_terminal and text != self._shown:
            sys.stderr.write(f"\r{text}{_REST_OF_LINE}")
            sys.stderr.flush()
            self._shown = text


async def telling(what: str, work: Awaitable[Result], *, longest: float | None = None) -> Result:
    """Wait for the work, and tell on the terminal that it lasts once it does; `longest` is its deadline in seconds."""
    if not sys.stderr.isatty():
        return await work
    begin = time.monotonic()
    doing = asyncio.ensure_future(work)
    try:
        with Progress(what) as line:
            while not (await asyncio.wait({doing}, timeout=_TICK))[0]:
                if (lasts := time.monotonic() - begin) >= _PATIENCE:
                    line.wait(lasts, longest)
        return doing.result()
    finally:
        if not doing.done():
            doing.cancel()


def _bar(share: float) -> str:
    full = int(share * _BAR)
    return f"[{'=' * full}{' ' * (_BAR - full)}]"
