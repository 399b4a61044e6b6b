"""A histogram of spans that is filled on the loop and read by scrapes."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

CONFIRMATION_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Seconds, each included: from an ARC beside us, past what a failover costs (6 s), to one that was away for long."""


class Spans:
    """How many spans fell under each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds`: upper bounds in seconds, rising."""
        self.total = 0.0
        """Seconds, of all."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    def add(self, spans: Iterable[float]) -> None:
        """Take more spans. One that a wall clock which was set back makes negative counts as none."""
        for seconds in spans:
            seconds = max(0.0, seconds)
            self._counts[bisect_left(self._bounds, seconds)] += 1
            self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, by upper bound, as Prometheus wants them."""
        names = (*map(str, self._bounds), "+Inf")
        return [(name, float(count)) for name, count in zip(names, accumulate(self._counts), strict=True)]
