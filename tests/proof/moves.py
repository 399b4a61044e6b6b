"""Rules of the moves: why and how often somebody else works, and for how long nobody (F1, F3, F4, F8, F9)."""

from collections import defaultdict, deque

from tests.proof.epochs import Epoch, Epochs, Violated
from tests.proof.facts import LOSSES, Able, Applied, Enrolled, EpochBegan, Operated, Verb, Why, Works
from tests.proof.limits import Limits

HOUR = 3600.0


class Moves:
    """All moves of a history, and the rules on them."""

    def __init__(self, limits: Limits, epochs: Epochs, violated: Violated) -> None:
        self.losses = 0
        self.failbacks = 0
        self.limits = limits
        self._epochs = epochs
        self._violated = violated
        self._losses_of: dict[str, deque[float]] = defaultdict(deque)
        self._lost_at: dict[str, float] = {}
        self._paused_since: float | None = None
        self._pinned: str = ""
        self._roleless: set[str] = set()
        self._left: set[str] = set()
        """Receivers that gave their role up since the newest epoch began."""
        self._forgotten = False
        """Whether the cloud may take another one than the holder of the newest epoch for the one that worked."""
        self._able: dict[str, float] = {}
        self._working: set[str] = set()
        self._worked_at = float("-inf")
        self._changed_at = float("-inf")
        self._revisions: dict[str, int] = {}

    # The working receiver.

    def began(self, fact: EpochBegan) -> None:
        """An epoch is durable; called before it stands among the epochs."""
        previous, self._forgotten = None if self._forgotten else self._epochs.current, False
        if previous is not None and fact.why in LOSSES:
            self.losses += 1
            # One that could not deliver from the start of its epoch is no loss, and here that is not known.
            if fact.why is not Why.UNHEALTHY:
                self._losses_of[previous.receiver].append(fact.at)
            self._lost_at[previous.receiver] = fact.at
        if previous is not None and previous.receiver != fact.receiver:
            self._check_pause(fact, previous)
        if fact.why is Why.FAILBACK:
            self._check_failback(fact, previous)
        self._left.clear()
        if self._pinned and fact.receiver != self._pinned and previous and previous.receiver == self._pinned:
            self._pinned = ""

    def _check_pause(self, fact: EpochBegan, previous: Epoch) -> None:
        paused = self._paused_since is not None and fact.at > self._paused_since + self.limits.slack
        wanted = fact.why is Why.SWITCHOVER or fact.receiver == self._pinned or previous.receiver in self._left
        if paused and not wanted:
            problem = f"{fact.receiver} works after {previous.receiver}, though moves are paused"
            self._violated(fact.at, "F8", problem)

    def _check_failback(self, fact: EpochBegan, previous: Epoch | None) -> None:
        self.failbacks += 1
        order, limits = self.limits.order, self.limits
        if previous is None:
            return
        if (
            order
            and previous.receiver not in self._roleless
            and order.index(fact.receiver) >= order.index(previous.receiver)
        ):
            problem = f"a failback to {fact.receiver}, which stands behind {previous.receiver}"
            self._violated(fact.at, "F4", problem)
        if self._pinned == previous.receiver:
            self._violated(fact.at, "F8", f"a failback to {fact.receiver}, though {previous.receiver} is pinned")
        since = fact.at - self._lost_at.get(fact.receiver, float("-inf"))
        # One without a role gives way to a host at once (G7).
        if previous.receiver not in self._roleless and since < limits.failback_delay - limits.slack:
            problem = f"a failback to {fact.receiver} {since:.3f} s after it was lost"
            self._violated(fact.at, "F4", problem)
        losses = self._losses_of[fact.receiver]
        # An hour of quiet, as the cloud's clock may have measured it.
        while losses and losses[0] < fact.at - HOUR * 0.99:
            losses.popleft()
        if len(losses) >= limits.losses_per_hour:
            problem = f"a failback to {fact.receiver}, which was lost {len(losses)} times within an hour"
            self._violated(fact.at, "F9", problem)

    def enrolled(self, fact: Enrolled) -> None:
        """A receiver took a role, or gave it up."""
        if fact.role:
            self._roleless.discard(fact.receiver)
        else:
            self._roleless.add(fact.receiver)
            self._left.add(fact.receiver)
            self._losses_of.pop(fact.receiver, None)

    def operated(self, fact: Operated) -> None:
        """An operator's wish was accepted."""
        self._look(fact.at)
        match fact.verb:
            case Verb.PAUSE:
                self._paused_since = fact.at
            case Verb.RESUME:
                self._paused_since, self._pinned = None, ""
                self._changed_at = fact.at
                self._losses_of.clear()
            case Verb.SWITCHOVER:
                self._pinned = fact.to
            case Verb.UNPINNED:
                self._pinned = ""

    def restored(self) -> None:
        """The cloud may have forgotten what operators wanted, and who was lost."""
        self._paused_since, self._pinned, self._forgotten = None, "", True
        self._losses_of.clear()

    # Time without a working one.

    def able(self, fact: Able) -> None:
        """A receiver could work from now on, or could not."""
        self._look(fact.at)
        if fact.able:
            self._able.setdefault(fact.receiver, fact.at)
        else:
            self._able.pop(fact.receiver, None)

    def works(self, fact: Works) -> None:
        """A receiver works from now on, or does not."""
        self._look(fact.at)
        if fact.works:
            self._working.add(fact.receiver)
        else:
            self._working.discard(fact.receiver)

    def changed(self, at: float) -> None:
        """A fault began or ended."""
        self._look(at)
        self._changed_at = max(self._changed_at, at)

    def look(self, at: float) -> None:
        """Time has passed."""
        self._look(at)

    def _look(self, at: float) -> None:
        if self._working or self._paused_since is not None:
            self._worked_at = at
        if self.limits.idle is None or not self._able:
            return
        since = min(self._able.values())
        idle = at - max(since, self._changed_at, self._worked_at)
        if idle > self.limits.idle + self.limits.slack:
            problem = f"nobody works for {idle:.1f} s, though {sorted(self._able)} could since {since:.1f} s"
            self._violated(at, "F3", problem)
            self._worked_at = at

    # Spares.

    def applied(self, fact: Applied) -> None:
        """A spare applied a revision."""
        before = self._revisions.get(fact.receiver, 0)
        if fact.revision < before:
            problem = f"{fact.receiver} applied revision {fact.revision} after {before}"
            self._violated(fact.at, "B5", problem)
        self._revisions[fact.receiver] = fact.revision
