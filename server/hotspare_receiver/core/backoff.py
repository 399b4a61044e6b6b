"""How long to wait before trying again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Twice as long after each failure, within bounds. Seconds."""

    first: float
    longest: float

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, from 1."""
        # The exponent is bounded, for a link may be down for a year.
        return min(self.longest, self.first * 2.0 ** min(max(failures, 1) - 1, 32))
