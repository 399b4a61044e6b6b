"""How long the history of alarms is kept (A8), at what pace it is cleaned, and when a wall clock may be believed."""

from dataclasses import dataclass
from datetime import timedelta

LEAST_AGE, MOST_AGE = timedelta(days=1), timedelta(days=3650)
LEAST_BYTES, MOST_BYTES = 10_000_000, 10**13
"""Bytes: 10 MB to 10 TB."""

CLOCK_STEP = timedelta(minutes=1).total_seconds()
"""Seconds that a wall clock may have moved against the monotonic one between two looks before it is doubted."""

CLOCK_REST = timedelta(days=1).total_seconds()
"""Seconds that a wall clock may have moved while the process did not run: that nothing else tells."""

CLOCK_PATIENCE = timedelta(hours=1).total_seconds()
"""Seconds of a monotonic clock for which a wall clock is doubted: who set it wrong can set it right."""


REST = 20
"""How many times as long as a step took the clean-up rests after it: a disk that is busy is left alone for longer, and
what others write meets a step once in about twenty times, for half of one."""

LONGEST_REST = 1.0
"""Seconds."""

PATIENCE = 600.0
"""Seconds of a round after which it rests half as long, then a third, and so on: in the end it keeps up."""


def rest_after(took: float, running: float) -> float:
    """How long the clean-up rests after a step that took so long, in a round that has run for so long; in seconds."""
    return min(REST * took / (1 + running / PATIENCE), LONGEST_REST)


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """The setting `history`: what is older goes, and of what is more the oldest."""

    max_age: timedelta = timedelta(days=90)
    max_bytes: int = 10_000_000_000

    def __post_init__(self) -> None:
        """Raises ValueError for limits that nobody may set."""
        if not LEAST_AGE <= self.max_age <= MOST_AGE:
            raise ValueError("the history is kept for 1 day to 10 years")
        if not LEAST_BYTES <= self.max_bytes <= MOST_BYTES:
            raise ValueError("the history may take 10 MB to 10 TB")


@dataclass(frozen=True, slots=True)
class WallClock:
    """The wall clock as the clean-up looks at it, from one look to the next.

    A clock that jumps years ahead makes everything old at once. So after a jump nothing is deleted for an hour; a
    process that did not run for days waits that hour too.
    """

    seen: float = 0.0
    """Seconds since 1970 at the last look. 0: never."""
    at: float | None = None
    """The monotonic clock then. None: in an earlier process."""
    doubted_since: float | None = None
    """Since when, by the monotonic clock. None: it is believed."""

    def looked(self, wall: float, now: float) -> "WallClock":
        """The next look: `wall` in seconds since 1970, `now` of the monotonic clock."""
        since = self.doubted_since
        if since is not None and now - since >= CLOCK_PATIENCE:
            since = None
        if self.seen:
            moved = wall - self.seen - (0.0 if self.at is None else now - self.at)
            if abs(moved) > (CLOCK_REST if self.at is None else CLOCK_STEP):
                since = now
        return WallClock(wall, now, since)

    @property
    def believed(self) -> bool:
        """Whether something may be deleted by it."""
        return self.doubted_since is None
