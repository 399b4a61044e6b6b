"""Whether the stream of alarms is dead while the beats live, by what both sides say of it (timing 4).

1. The cloud tells with each state which pull it has open and what it sent last in it. We must have that pull, and must
   have received as much, soon after. How much the cloud has sent meanwhile does not matter.
2. Where both disagree for STUCK_AFTER, the pull is opened anew, by either side. So it is where confirmations or
   refusals wait, and for UNTOLD_AFTER none was answered: what goes up in it may be lost although deliveries still come.
3. The second time within WINDOW this receiver can't take alarms (F3), until WINDOW has passed without another time.
4. Nor can it when the cloud says for APART_AFTER that it does not have our pull, however often that was opened.

Pure: `PullWatch` is a value. Times are floats of one monotonic clock.
"""

from dataclasses import dataclass, replace

STUCK_AFTER = 1.5
"""Seconds that both sides may disagree."""

UNTOLD_AFTER = 3.0
"""Seconds that no confirmation or refusal may be answered; longer, for the cloud's disk may be slow."""

WINDOW = 30.0
"""Seconds within which a second disagreement counts, and after which all is forgotten."""

APART_AFTER = 5.0
"""Seconds that no pull of ours may reach the cloud while its states reach us."""


@dataclass(frozen=True, slots=True)
class PullWatch:
    """What the cloud claimed when the disagreement began, and what came of earlier ones."""

    pull_id: int = 0
    claimed: int = 0
    since: float | None = None
    """When it began. None: both agree."""
    apart_since: float | None = None
    """Since when the cloud has none of our pulls, though we want one."""
    untold_since: float | None = None
    """Since when confirmations or refusals wait and none was answered."""
    answers: int = 0
    last_opened_anew: float | None = None
    broken_since: float | None = None
    """When the first of those disagreements was that follow each other within WINDOW; None: there was one at most."""

    def told(
        self,
        cloud: tuple[int, int],
        ours: tuple[int, int],
        now: float,
        *,
        wanted: bool = True,
        untold: bool = False,
        answers: int = 0,
    ) -> "PullWatch":
        """The cloud's (pull id, last delivery) arrived; `ours` is the same as we have it.

        `wanted`: whether we want a pull at all. `untold`: whether confirmations or refusals wait to be answered;
        `answers`: how many answers came so far.
        """
        same_pull = cloud[0] == ours[0] != 0
        apart_since = None if same_pull or not wanted else _earlier(self.apart_since, now)
        pull_id, claimed, since = self._disagreement(cloud, ours, now)
        waits = untold and ours[0] != 0
        untold_since = None if not waits else now if answers != self.answers else _earlier(self.untold_since, now)
        return replace(
            self,
            pull_id=pull_id,
            claimed=claimed,
            since=since,
            apart_since=apart_since,
            untold_since=untold_since,
            answers=answers,
        )

    def stuck(self, now: float) -> bool:
        """Whether the pull is to be opened anew."""
        if self.untold_since is not None and now - self.untold_since >= UNTOLD_AFTER:
            return True
        return self.since is not None and now - self.since >= STUCK_AFTER

    def opened_anew(self, now: float) -> "PullWatch":
        """The pull is opened anew, by either side, since both disagreed."""
        again = self.last_opened_anew is not None and now - self.last_opened_anew < WINDOW
        broken_since = _earlier(self.broken_since, self.last_opened_anew) if again else None
        return PullWatch(apart_since=self.apart_since, last_opened_anew=now, broken_since=broken_since)

    def connected(self) -> "PullWatch":
        """The cloud tells its state on a new stream: what it said on an earlier one is no word on today's pulls."""
        return PullWatch(last_opened_anew=self.last_opened_anew, broken_since=self.broken_since)

    def broken(self, now: float) -> float | None:
        """Since when this receiver can't take alarms; None: it can."""
        last = self.last_opened_anew
        if self.broken_since is not None and last is not None and now - last < WINDOW:
            return self.broken_since
        if self.apart_since is not None and now - self.apart_since >= APART_AFTER:
            return self.apart_since
        return None

    def _disagreement(self, cloud: tuple[int, int], ours: tuple[int, int], now: float) -> tuple[int, int, float | None]:
        if cloud == ours or ours[0] == 0:
            return 0, 0, None
        same_pull = cloud[0] == ours[0]
        if self.since is not None and ours[0] == self.pull_id and not (same_pull and ours[1] >= self.claimed):
            return self.pull_id, self.claimed, self.since
        if same_pull and ours[1] >= cloud[1]:
            return 0, 0, None
        return ours[0], cloud[1] if same_pull else 0, now


def _earlier(known: float | None, now: float | None) -> float | None:
    return now if known is None else known
