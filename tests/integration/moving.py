"""Says what a cause does to metrics, and waits for it.

    async with moving(page, 'hotspare_receiver_alarms_waiting up', 'hotspare_receiver_output_link{state="up"} =0'):
        ...the cause...

Each series has to be there before its cause, at whatever value: children of labels exist from the start, so that the
first event is a step and not a beginning.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tests.acceptance.harness.scraping import Page

_SERIES = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})?")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_MOVE = re.compile(rf"(?P<series>{_SERIES.pattern}) (?P<how>up|down|\+\d+|=-?\d+(?:\.\d+)?)")


DEADLINE = 15.0
"""Seconds within which a metric has to move."""
STEP = 0.03
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Move:
    """A series, and how it is to move: `up`, `down`, `+N` by exactly so much, `=N` to that from another value."""

    series: str
    how: str
    before: float

    def fits(self, now: float) -> bool:
        """Whether it moved so."""
        match self.how[0]:
            case "u":
                return now > self.before
            case "d":
                return now < self.before
            case "+":
                return now - self.before == float(self.how[1:])
            case _:
                return now == float(self.how[1:])


def value(page: Page, series: str, among: dict[str, str]) -> float:
    """The value of `name{label="value"}`: the sum of what fits. AssertionError when nothing does.

    `among`: labels that a sample has to have so, if it has them at all.
    """
    found = _SERIES.fullmatch(series)
    assert found is not None, f"{series!r} is no series"
    wanted = dict(_LABEL.findall(found["labels"] or ""))
    values = [
        value
        for labels, value in page.samples(found["name"], **wanted)
        if all(labels.get(name, text) == text for name, text in among.items())
    ]
    assert values, f"there is no {series} of {among}"
    return sum(values)


def moves(page: Page, wanted: Iterable[str], among: dict[str, str]) -> list[Move]:
    """What is wanted, with the values before it. AssertionError for what is not there, or is at its end already."""
    found = []
    for text in wanted:
        words = _MOVE.fullmatch(text)
        assert words is not None, f"{text!r} is no move"
        move = Move(words["series"], words["how"], value(page, words["series"], among))
        assert not move.fits(move.before), f"{text}: it is {move.before:g} already"
        found.append(move)
    return found


@asynccontextmanager
async def moving(look: Callable[[], Awaitable[Page]], *wanted: str, **among: str) -> AsyncIterator[None]:
    """What stands inside moves these series, from what `look` finds before to what it finds a moment after.

    `among`: labels as `arc_id` of the test's own group; of metrics that have them.
    """
    expected = moves(await look(), wanted, among)
    yield

    ends = time.monotonic() + DEADLINE
    while True:
        late, page = time.monotonic() > ends, await look()
        now = {move: value(page, move.series, among) for move in expected}
        missed = [
            f"{move.series} {move.how}: {move.before:g}, then {at:g}" for move, at in now.items() if not move.fits(at)
        ]
        if not missed:
            return
        assert not late, f"not within {DEADLINE:g} s: {missed}"
        await asyncio.sleep(STEP)


class _Source(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def page_of(collect: Callable[[], Iterable[Metric]]) -> Callable[[], Awaitable[Page]]:
    """A look at what a collector of this process tells, as Prometheus would read it."""
    registry = CollectorRegistry()
    registry.register(_Source(collect))

    async def look() -> Page:
        return Page(generate_latest(registry).decode())

    return look
