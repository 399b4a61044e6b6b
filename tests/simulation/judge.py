"""The checker: takes what every actor did, in the order of true time, and says which promise was broken.

It knows nothing of the simulation, so that histories of real processes can be given to it as well. What came to the ARC
is the truth; what the cloud and the receivers believe is measured by it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Identity = tuple[str, int]
"""Account number and sequence (A6)."""


@dataclass(slots=True)
class Attempt:
    """A message that a receiver wrote to its ARC."""

    time: float
    receiver: str
    incarnation: str
    epoch: int
    identity: Identity
    received: bool = False
    acknowledged: bool = False
    """The receiver had the ARC's ACK in hand."""


@dataclass(slots=True)
class Epoch:
    """What is known of an epoch."""

    receiver: str
    incarnation: str
    lease_until: float = 0.0
    """True time up to which the cloud ever took its lease as possibly alive."""
    over_since: float | None = None
    """Since when the cloud takes its holder as stopped: by proof, or since the hold ended."""
    delivered: set[Identity] = field(default_factory=set)
    doubled: set[Identity] = field(default_factory=set)
    """Alarms that the ARC got under it, and under a later one again."""


class Judge:
    """Takes one history."""

    def __init__(self, window: int, violated: Callable[[str, str], None]) -> None:
        self.window = window
        self.published: dict[Identity, float] = {}
        """Answered to their devices: they must not be lost (A1)."""
        self.confirmed: dict[Identity, float] = {}
        self.epochs: dict[int, Epoch] = {}
        self.duplicates = 0
        self.received = 0
        self._violated = violated
        self._numbers: dict[int, Identity] = {}
        self._attempts: dict[Identity, list[Attempt]] = defaultdict(list)
        self._arc_acks: set[tuple[str, Identity]] = set()
        self._first: dict[str, int] = defaultdict(int)
        self._first_ack: dict[str, int] = defaultdict(int)
        self._journal: set[tuple[str, Identity]] = set()
        self._highest = 0

    # The cloud.

    def stored(self, number: int, identity: Identity) -> None:
        """An alarm is durable, whether or not its device was told."""
        self._numbers[number] = identity

    def answered(self, time: float, identity: Identity) -> None:
        """A device was told that its alarm is durable."""
        self.published.setdefault(identity, time)

    def epoch_stored(self, epoch: int, receiver: str, incarnation: str) -> None:
        """An epoch is durable."""
        if epoch <= self._highest:
            self._violated("epochs only grow", f"epoch {epoch} begins after {self._highest}")
        self._highest = max(self._highest, epoch)
        self.epochs[epoch] = Epoch(receiver, incarnation)

    def lease(self, epoch: int, until: float) -> None:
        """The cloud takes the lease of an epoch as possibly alive until a true time."""
        known = self.epochs.get(epoch)
        if known is not None:
            known.lease_until = max(known.lease_until, until)

    def epoch_over(self, time: float, epoch: int) -> None:
        """The cloud takes the holder of an epoch as surely stopped."""
        known = self.epochs.get(epoch)
        if known is not None and known.over_since is None:
            known.over_since = time

    def noted(self, epoch: int, numbers: Sequence[int]) -> None:
        """A delivery is durable."""
        known = self.epochs.get(epoch)
        if known is None:
            self._violated("epochs", f"a delivery under epoch {epoch}, which was never stored")
            return
        for number in numbers:
            identity = self._numbers[number]
            known.delivered.add(identity)
            for earlier, other in self.epochs.items():
                if earlier < epoch and other.over_since is None and identity in other.delivered:
                    self._violated(
                        "one epoch at a time",
                        f"{identity} is delivered under epoch {epoch}, and epoch {earlier} is not over",
                    )

    def confirmation(self, time: float, epoch: int, receiver: str, numbers: Sequence[int]) -> None:
        """A confirmation is durable."""
        for number in numbers:
            identity = self._numbers[number]
            self.confirmed.setdefault(identity, time)
            if (receiver, identity) not in self._arc_acks:
                self._violated("A4", f"{identity} is confirmed by {receiver}, whose ARC never acknowledged it")
            known = self.epochs.get(epoch)
            if known is None or known.receiver != receiver or identity not in known.delivered:
                self._violated("F7", f"{identity} is confirmed by {receiver} under epoch {epoch}, which never had it")

    # The receivers.

    def took_over(self, epoch: int, incarnation: str) -> None:
        """A process takes itself as the holder of an epoch."""
        known = self.epochs.get(epoch)
        if known is None:
            self._violated("stored before it is granted", f"{incarnation} works under epoch {epoch}, which no disk has")
        elif known.incarnation != incarnation:
            self._violated("one holder", f"{incarnation} works under epoch {epoch} of {known.incarnation}")

    def wrote(self, time: float, receiver: str, incarnation: str, epoch: int, identity: Identity) -> Attempt:
        """A receiver wrote an alarm to its ARC."""
        known = self.epochs.get(epoch)
        if known is None or identity not in known.delivered:
            self._violated(
                "delivered before it is written",
                f"{incarnation} wrote {identity} under epoch {epoch}, which no disk has",
            )
        else:
            self._check_lease(time, incarnation, epoch, known, identity)
        for earlier in self._attempts[identity]:
            if earlier.acknowledged and earlier.incarnation == incarnation:
                self._violated("A4", f"{incarnation} wrote {identity} again, though it had its ACK")
            if earlier.epoch > epoch:
                self._violated(
                    "one epoch at a time",
                    f"{incarnation} wrote {identity} under epoch {epoch}, after epoch {earlier.epoch} had written it",
                )
        if (receiver, identity) in self._journal:
            self._violated("F7", f"{incarnation} wrote {identity}, which its journal knows as confirmed")
        attempt = Attempt(time, receiver, incarnation, epoch, identity)
        self._attempts[identity].append(attempt)
        return attempt

    def _check_lease(self, time: float, incarnation: str, epoch: int, known: Epoch, identity: Identity) -> None:
        if time > known.lease_until:
            self._violated(
                "lease",
                f"{incarnation} wrote {identity} under epoch {epoch}, {time - known.lease_until:.3f} s after the lease"
                " that the cloud counts",
            )
        if known.over_since is not None and time >= known.over_since:
            self._violated(
                "lease",
                f"{incarnation} wrote {identity} under epoch {epoch}, {time - known.over_since:.3f} s after the cloud"
                " took it as stopped",
            )

    def acknowledged(self, attempt: Attempt) -> None:
        """The ARC's ACK for an attempt is with its receiver."""
        attempt.acknowledged = True

    def journalled(self, receiver: str, identity: Identity) -> None:
        """A receiver's confirmation is durable there."""
        self._journal.add((receiver, identity))
        if (receiver, identity) not in self._arc_acks:
            self._violated("A4", f"{receiver} journals {identity} as confirmed, which its ARC never acknowledged")

    def released(self, epoch: int, incarnation: str) -> None:
        """A process tells that nothing of an epoch is left with it."""
        for identity, attempts in self._attempts.items():
            for attempt in attempts:
                told = attempt.epoch == epoch and attempt.incarnation == incarnation and attempt.acknowledged
                if told and identity not in self.confirmed:
                    self._violated(
                        "F5", f"{incarnation} released epoch {epoch}, and the cloud has not stored its {identity}"
                    )

    # The ARC.

    def arrived(self, time: float, attempt: Attempt, identity: Identity, *, alive: bool) -> None:
        """A message came to the ARC. `alive`: its writer still was."""
        attempt.received = True
        self.received += 1
        account, sequence = identity
        if sequence > self._first[account] + 1:
            self._violated("A3", f"{identity} came to the ARC before {(account, self._first[account] + 1)}")
        self._first[account] = max(self._first[account], sequence)
        for other in self._attempts[identity]:
            if other is attempt or not other.received:
                continue
            self.duplicates += other.time < attempt.time
            if other.epoch > attempt.epoch and alive:
                self._violated(
                    "one epoch at a time",
                    f"{identity} of epoch {attempt.epoch} came to the ARC after that of epoch {other.epoch}",
                )
            if other.epoch < attempt.epoch:
                self._count_double(other.epoch, identity)

    def _count_double(self, epoch: int, identity: Identity) -> None:
        doubled = self.epochs[epoch].doubled
        doubled.add(identity)
        if len(doubled) > self.window:
            self._violated("F6", f"more than a window of alarms of epoch {epoch} came twice: {len(doubled)}")

    def arc_acknowledges(self, receiver: str, identity: Identity) -> None:
        """The ARC behind a receiver acknowledges an alarm."""
        self._arc_acks.add((receiver, identity))
        account, sequence = identity
        if sequence > self._first_ack[account] + 1:
            self._violated("A3", f"the ARC acknowledges {identity} before {(account, self._first_ack[account] + 1)}")
        self._first_ack[account] = max(self._first_ack[account], sequence)

    # The end.

    def missing(self) -> list[Identity]:
        """What was answered to a device and is not confirmed."""
        return [identity for identity in self.published if identity not in self.confirmed]

    def unmatched(self) -> list[Identity]:
        """What is confirmed, and no ARC acknowledged it."""
        acknowledged = {identity for _, identity in self._arc_acks}
        return [identity for identity in self.confirmed if identity not in acknowledged]
