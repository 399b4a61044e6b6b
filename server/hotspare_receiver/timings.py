"""A histogram of spans, as a frozen value."""

from dataclasses import dataclass, replace

RENEWAL_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds, each included: from loopback to the length of a usual lease."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How many spans fell under each bound. `counts` has one more than `bounds`: what was longer than all."""

    bounds: tuple[float, ...] = RENEWAL_BOUNDS
    counts: tuple[int, ...] = (0,) * (len(RENEWAL_BOUNDS) + 1)
    total: float = 0.0
    """Seconds, of all."""

    def with_one(self, seconds: float) -> "Timings":
        """One more span."""
        place = sum(seconds > bound for bound in self.bounds)
        counts = (*self.counts[:place], self.counts[place] + 1, *self.counts[place + 1 :])
        return replace(self, counts=counts, total=self.total + seconds)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, by upper bound, as Prometheus wants them."""
        names = (*(str(bound) for bound in self.bounds), "+Inf")
        return [(name, float(sum(self.counts[: place + 1]))) for place, name in enumerate(names)]


NOTHING_TIMED = Timings()
