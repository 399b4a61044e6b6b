"""The arithmetic of samples. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

FAILED = math.inf
"""Value of a sample that did not come to its end: it counts as longer than all others, and is never left out."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the values do not exceed (nearest rank).

    It is always one that was measured: with fewer than 100 values the 99th percentile is the maximum. Raises
    ValueError without values.
    """
    if not values:
        raise ValueError("no values")
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


@dataclass(frozen=True)
class Summary:
    """What a table shows of samples, in their unit."""

    count: int
    failed: int
    minimum: float
    median: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Summary":
        """Raises ValueError without values."""
        kept = list(values)
        return cls(
            count=len(kept),
            failed=sum(1 for value in kept if value == FAILED),
            minimum=percentile(kept, 0),
            median=percentile(kept, 50),
            p99=percentile(kept, 99),
            maximum=percentile(kept, 100),
        )


def ratio(theirs: float, ours: float) -> float | None:
    """How many times as long theirs takes. None where one of the two did not come to its end."""
    return theirs / ours if ours > 0 and math.isfinite(ours) and math.isfinite(theirs) else None


def longest_gap(times: Iterable[float], begin: float, end: float) -> float:
    """The longest time without an event that lies in a span, wholly or in part.

    It counts from event to event, also where one of the two lies outside of the span; where there is none on a side,
    from or to the end of the span.
    """
    ordered = sorted(times)
    edges = [*([] if ordered and ordered[0] <= begin else [begin]), *([] if ordered and ordered[-1] >= end else [end])]
    points = sorted([*ordered, *edges])
    return max(
        (later - earlier for earlier, later in pairwise(points) if later >= begin and earlier <= end), default=0.0
    )
