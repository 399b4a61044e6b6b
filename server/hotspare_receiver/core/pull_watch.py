"""Whether the stream of alarms is dead while the beats live, by what both sides say of it (timing 4).

The cloud tells with each state which pull it has open and what it sent last in it. We must have that pull,
and must have received as much, soon after. How much the cloud has sent meanwhile does not matter.
"""

from dataclasses import dataclass

STUCK_AFTER = 1.5
"""Seconds that both sides may disagree."""


@dataclass(frozen=True, slots=True)
class PullWatch:
    """What the cloud claimed when the disagreement began."""

    pull_id: int = 0
    claimed: int = 0
    since: float | None = None
    """When it began. None: both agree."""

    def told(self, cloud: tuple[int, int], ours: tuple[int, int], now: float) -> "PullWatch":
        """The cloud's (pull id, last delivery) arrived; `ours` is the same as we have it."""
        if cloud == ours or ours[0] == 0:
            return PullWatch()
        same_pull = cloud[0] == ours[0]
        if self.since is not None and ours[0] == self.pull_id and not (same_pull and ours[1] >= self.claimed):
            return self
        if same_pull and ours[1] >= cloud[1]:
            return PullWatch()
        return PullWatch(ours[0], cloud[1] if same_pull else 0, now)

    def stuck(self, now: float) -> bool:
        """Whether the pull is to be opened anew."""
        return self.since is not None and now - self.since >= STUCK_AFTER
