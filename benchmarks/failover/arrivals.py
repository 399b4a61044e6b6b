"""What the ARCs received, with the questions that the benchmarks ask of it."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.acceptance.harness.book import Book, Received

T = TypeVar("T")
Identity = tuple[str, int]

STEP = 0.005
"""Seconds between two looks. Times come from the ARCs' own threads, so it adds nothing to them."""


class NotInTime(Exception):
    """What was waited for did not come."""


class Arrivals(Book):
    """A book that knows each alarm's first receipt."""

    def __init__(self) -> None:
        super().__init__()
        self._firsts: dict[Identity, Received] = {}

    def add(self, received: Received) -> None:
        """Note one."""
        with self._lock:
            self._received.append(received)
            self._firsts.setdefault(received.identity, received)

    def first(self, identity: Identity) -> Received | None:
        """The first receipt of an alarm."""
        return self._firsts.get(identity)

    def count(self) -> int:
        """How many receipts there are, for `since`."""
        return len(self._received)

    def since(self, count: int) -> list[Received]:
        """Receipts from the `count`th on."""
        with self._lock:
            return self._received[count:]

    def last(self) -> Received | None:
        """The newest receipt."""
        return self._received[-1] if self._received else None


def wait_for(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    """Ask until the answer is there. Raises NotInTime; the limit is for runs that went wrong, and measures nothing."""
    deadline = time.monotonic() + seconds
    while (answer := condition()) is None or answer is False:
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: not within {seconds:g} s")
        time.sleep(STEP)
    return answer
