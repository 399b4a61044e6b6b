"""What happened to the working role of one group since the cloud started, for metrics."""

from collections import Counter

from hotspare_cloud.core.state import PLANNED, BeginEpoch, Reason


class Moves:
    """Counts of moves, and the times that nobody worked."""

    def __init__(self) -> None:
        self.by_reason: Counter[Reason] = Counter(dict.fromkeys(Reason, 0))
        self.stale = 0
        """Pulls under an epoch that was not the caller's."""
        self.in_flight = 0
        """Alarms that were out when an epoch ended."""
        self.last_gap = 0.0
        self.gap_seconds = 0.0
        self.gaps: list[float] = []
        """Seconds that nobody worked, of each unplanned move that was not collected yet."""

    def begun(self, effect: BeginEpoch) -> None:
        """An epoch began."""
        self.by_reason[effect.reason] += 1
        self.last_gap = effect.gap
        self.gap_seconds += effect.gap
        if effect.reason not in PLANNED:
            self.gaps.append(effect.gap)

    def ended(self, out: int) -> None:
        """An epoch ended with so many alarms out."""
        self.in_flight += out
