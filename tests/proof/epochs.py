"""Rules of the epochs: they only grow, have one holder each, and nothing is written outside of their leases (F7)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.proof.facts import (
    Delivered,
    EpochBegan,
    EpochOver,
    Identity,
    LeaseCounted,
    Received,
    TookOver,
    Why,
    Wrote,
)
from tests.proof.limits import Limits

Violated = Callable[[float, str, str], None]


@dataclass(slots=True)
class Epoch:
    """What is known of an epoch."""

    number: int
    receiver: str
    incarnation: str
    why: Why
    began: float
    lease_until: float | None = None
    """The time up to which the cloud ever took its lease as possibly alive."""
    over_since: float | None = None
    """Since when the cloud takes its holder as stopped: by proof, or since the hold ended."""
    delivered: set[Identity] = field(default_factory=set)
    doubled: set[Identity] = field(default_factory=set)
    """Alarms that the ARC got under it, and under a later one again."""


class Epochs:
    """All epochs of a history, and the rules on them."""

    def __init__(self, limits: Limits, violated: Violated) -> None:
        self.known: dict[int, Epoch] = {}
        self.limits = limits
        self._violated = violated
        self._of_receiver: dict[str, list[Epoch]] = {}

    @property
    def current(self) -> Epoch | None:
        """The newest."""
        return next(reversed(self.known.values()), None)

    def of(self, receiver: str) -> Epoch | None:
        """The newest epoch of a receiver so far."""
        mine = self._of_receiver.get(receiver)
        return mine[-1] if mine else None

    def began(self, fact: EpochBegan) -> None:
        """An epoch is durable."""
        newest = self.current
        if newest is not None and fact.epoch <= newest.number:
            self._violated(fact.at, "epochs only grow", f"epoch {fact.epoch} begins after {newest.number}")
        epoch = Epoch(fact.epoch, fact.receiver, fact.incarnation, fact.why, fact.at)
        self.known[fact.epoch] = epoch
        self._of_receiver.setdefault(fact.receiver, []).append(epoch)

    def lease(self, fact: LeaseCounted) -> None:
        """The cloud takes a lease as possibly alive until a time."""
        known = self.known.get(fact.epoch)
        if known is not None:
            known.lease_until = max(known.lease_until or fact.until, fact.until)

    def over(self, fact: EpochOver) -> None:
        """The cloud takes the holder of an epoch as surely stopped."""
        known = self.known.get(fact.epoch)
        if known is not None and known.over_since is None:
            known.over_since = fact.at

    def delivered(self, fact: Delivered) -> None:
        """A delivery is durable."""
        known = self.known.get(fact.epoch)
        if known is None:
            self._violated(fact.at, "F7", f"a delivery under epoch {fact.epoch}, which was never stored")
            return
        known.delivered.update(fact.identities)
        for other in self.known.values():
            if other.number >= fact.epoch or other.over_since is not None:
                continue
            for identity in other.delivered.intersection(fact.identities):
                problem = f"{identity} is delivered under epoch {fact.epoch}, and epoch {other.number} is not over"
                self._violated(fact.at, "one epoch at a time", problem)

    def took_over(self, fact: TookOver) -> None:
        """A process takes itself as the holder of an epoch."""
        known = self.known.get(fact.epoch)
        who = fact.incarnation or fact.receiver
        if known is None:
            if self.limits.inside:
                self._violated(fact.at, "stored before it is granted", f"{who} works under epoch {fact.epoch}")
        elif known.receiver != fact.receiver:
            self._violated(fact.at, "one holder", f"{who} works under epoch {fact.epoch} of {known.receiver}")
        elif known.incarnation and fact.incarnation and known.incarnation != fact.incarnation:
            self._violated(fact.at, "one holder", f"{who} works under epoch {fact.epoch} of {known.incarnation}")

    def wrote(self, fact: Wrote) -> None:
        """A process wrote an alarm to its ARC: it must have been given it, and its lease must be valid."""
        known = self.known.get(fact.epoch)
        told = f"{fact.incarnation} wrote {fact.identity} under epoch {fact.epoch}"
        if known is None or fact.identity not in known.delivered:
            self._violated(fact.at, "delivered before it is written", f"{told}, which no disk has")
            return
        if known.lease_until is not None and fact.at > known.lease_until:
            late = fact.at - known.lease_until
            self._violated(fact.at, "lease", f"{told}, {late:.3f} s after the lease that the cloud counts")
        if known.over_since is not None and fact.at >= known.over_since:
            late = fact.at - known.over_since
            self._violated(fact.at, "lease", f"{told}, {late:.3f} s after the cloud took it as stopped")

    def received(self, fact: Received, begun: float | None) -> None:
        """A message came to the ARC: what can be told of its epoch from outside.

        `begun` is when its device first tried to publish it.
        """
        mine, current = self.of(fact.receiver), self.current
        if mine is None or current is None or not fact.writer_alive:
            return
        successor = next((each for each in self.known.values() if each.number > mine.number), None)
        if successor is None:
            return
        slack, told = self.limits.slack, f"{fact.identity} came through {fact.receiver}"
        if begun is not None and begun > successor.began + slack:
            problem = f"{told}, and was published {begun - successor.began:.3f} s after epoch {successor.number} began"
            self._violated(fact.at, "F7", f"{problem} elsewhere")
        # The last renewal of its lease came before its successor was stored.
        late = fact.at - successor.began - self.limits.lease - self.limits.write_delay
        if late > slack:
            problem = f"{told} {late:.3f} s after the lease of its epoch {mine.number} had surely run out"
            self._violated(fact.at, "lease", problem)
