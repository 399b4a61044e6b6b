"""The checker: takes the facts of a run, in the order of time, and says which promise was broken.

It knows neither the simulation nor the processes: what came to the ARC is the truth, and what the cloud and the
receivers believe is measured by it (docs/failover.md; the rules are those of docs/rules.md).

    rule                        promise
    --------------------------  ------------------------------------------------------------------------------------
    A1                          what was answered to a device comes to the ARC
    A3                          first arrivals, and first acknowledgements, of a device are in order
    A4                          nothing is confirmed that the ARC did not acknowledge; what it did is not sent again
    A5                          what is set aside was refused often enough, or its receiver was lost often enough
    A6                          an alarm that comes again has the same identity and says the same
    F3                          while one could work, nobody works for a bounded time only
    F4                          a failback goes to one of higher order, after its delay
    F5                          a hand-over doubles nothing, but what was left without an answer
    F6                          what comes twice has a loss or an unknown outcome as its cause: a window for each loss
    F7, lease, one holder, ...  epochs only grow, have one holder, are stored before they are granted; nothing is
                                written without one, or after its lease, or under two at a time
    F8                          nobody moves while moves are paused, or away from one that is pinned
    F9                          who was lost too often gets no failback
    B5                          a spare's revision never goes back
"""

from collections.abc import Iterable

from tests.proof.alarms import Alarms
from tests.proof.epochs import Epochs
from tests.proof.facts import (
    Able,
    Answered,
    Applied,
    Changed,
    Confirmed,
    Delivered,
    Disturbed,
    Enrolled,
    EpochBegan,
    EpochOver,
    Fact,
    Identity,
    Journalled,
    LeaseCounted,
    Note,
    Operated,
    Published,
    PutBack,
    Received,
    Released,
    Restored,
    SetAside,
    SettingsChanged,
    Stored,
    TookOver,
    Works,
    Wrote,
)
from tests.proof.history import Violation
from tests.proof.limits import Limits
from tests.proof.moves import Moves


class Checker:
    """Takes one history, fact by fact."""

    def __init__(self, limits: Limits) -> None:
        self.violations: list[Violation] = []
        self.epochs = Epochs(limits, self._violated)
        self.alarms = Alarms(limits, self.epochs, self._violated)
        self.moves = Moves(limits, self.epochs, self._violated)
        self.begun: dict[Identity, float] = {}
        """When alarms were first tried to publish, also of those whose answer stands later in the history."""

    def take(self, fact: Fact) -> None:
        """Take the next fact."""
        match fact:
            case Note():
                pass
            case Wrote():
                self.epochs.wrote(fact)
                self.alarms.wrote(fact)
            case Received():
                self.epochs.received(fact, self.begun.get(fact.identity))
                self.alarms.arrived(fact)
            case LeaseCounted():
                self.epochs.lease(fact)
            case Answered():
                self.alarms.answered(fact)
            case Journalled():
                self.alarms.journalled(fact)
            case Stored():
                self.alarms.stored(fact)
            case Published():
                self.alarms.was_published(fact)
            case Confirmed():
                self.alarms.was_confirmed(fact)
            case Delivered():
                self.epochs.delivered(fact)
            case EpochBegan():
                self.moves.began(fact)
                self.epochs.began(fact)
            case Enrolled():
                self.moves.enrolled(fact)
            case EpochOver():
                self.epochs.over(fact)
            case TookOver():
                self.epochs.took_over(fact)
            case Released():
                self.alarms.released(fact)
            case Works():
                self.moves.works(fact)
            case Able():
                self.moves.able(fact)
            case Changed():
                self.moves.changed(fact.at)
            case Disturbed():
                self.alarms.disturbed(fact)
                self.moves.changed(fact.at)
            case Operated():
                self.moves.operated(fact)
            case SettingsChanged():
                self._allow(fact.limits)
            case SetAside():
                self.alarms.set_aside(fact)
            case PutBack():
                self.alarms.put_back(fact)
            case Restored():
                self.alarms.restored(fact)
                self.moves.restored()
            case Applied():
                self.moves.applied(fact)

    def end(self, at: float) -> None:
        """All faults are healed and all has come to rest: nothing may be left."""
        self.moves.look(at)
        self.alarms.end(at)

    def _allow(self, limits: Limits) -> None:
        limits = self.moves.limits.or_else(limits)
        self.epochs.limits = self.alarms.limits = self.moves.limits = limits

    def _violated(self, at: float, rule: str, problem: str) -> None:
        self.violations.append(Violation(at, rule, problem))


def check(facts: Iterable[Fact], limits: Limits, *, at_rest: bool = True) -> list[Violation]:
    """Judge a whole history, of actors whose times may be off by `limits.slack` against each other.

    With `at_rest` all that was published must have come. Returns what was broken, in the order of time.
    """
    checker, known = Checker(limits), list(facts)
    for fact in known:
        if isinstance(fact, Published) and fact.begun is not None:
            checker.begun.setdefault(fact.identity, fact.begun)
    # Where a cause and what follows from it may be off, the cause comes first.
    known.sort(key=lambda fact: fact.at + (limits.slack if isinstance(fact, Confirmed | TookOver) else 0.0))
    for fact in known:
        checker.take(fact)
    if at_rest:
        checker.end(max((fact.at for fact in known), default=0.0))
    return checker.violations
