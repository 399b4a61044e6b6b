"""The clocks of a receiver: one for deciding, one for people."""

import time
from datetime import UTC, datetime
from typing import Protocol

# CLOCK_MONOTONIC stands still while the machine is suspended; a lease must not (docs: the lease's
# arithmetic).
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> float:
        """Seconds of a clock that never goes back and counts while the machine is suspended."""

    def wall(self) -> datetime:
        """The time of day, aware, UTC: shown to people, and sent to the ARC. It decides nothing."""


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> float:
        """CLOCK_BOOTTIME, or CLOCK_MONOTONIC where the system has no other."""
        return time.clock_gettime(_CLOCK)

    def wall(self) -> datetime:
        """The system's time of day."""
        return datetime.now(UTC)
