"""Wait for a condition with a deadline; nothing here sleeps and hopes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STEP = 0.02


def until(condition: Callable[[], T], seconds: float, what: Callable[[], str] | str) -> T:
    """Ask again and again until the answer is true, and return it.

    Raises AssertionError, with `what` was waited for, when it takes longer than `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline
        if answer := condition():
            return answer
        if late:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(STEP)


def holds(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Make sure that something stays true for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"no longer so: {what}"
        time.sleep(STEP)
