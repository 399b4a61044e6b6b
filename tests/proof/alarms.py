"""Rules of the alarms: none is lost, doubled without a cause, out of order, or confirmed too early (A1 to A6, F5)."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.proof.epochs import Epochs, Violated
from tests.proof.facts import (
    HANDED_OVER,
    LOSSES,
    Answered,
    Confirmed,
    Disturbed,
    Identity,
    Journalled,
    Published,
    PutBack,
    Received,
    Released,
    Restored,
    SetAside,
    Stored,
    Wrote,
)
from tests.proof.limits import Limits

LOST_TOO_OFTEN = 3
"""Losses of the working receiver with an alarm, by which that is set aside: twice, and once with it alone."""


@dataclass(slots=True)
class Attempt:
    """A message that a receiver wrote to its ARC, as far as it is known."""

    at: float
    receiver: str
    incarnation: str
    epoch: int
    identity: Identity
    received_at: float | None = None
    answered: bool | None = None
    """Whether its writer had the ARC's ACK in hand. None: not known."""
    refused: bool = False
    """Whether the ARC refused it in so many words: then it has not got it."""


@dataclass(slots=True)
class Line:
    """The alarms of one account number, at the ARC."""

    known: set[int] = field(default_factory=set)
    received: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    excused: set[int] = field(default_factory=set)
    highest: int = 0
    highest_acknowledged: int = 0


class Alarms:
    """All alarms of a history, and the rules on them."""

    def __init__(self, limits: Limits, epochs: Epochs, violated: Violated) -> None:
        self.published: dict[Identity, Published] = {}
        self.confirmed: dict[Identity, float] = {}
        self.received = 0
        self.duplicates = 0
        """Messages beyond the first of an alarm."""
        self.limits = limits
        self._epochs = epochs
        self._violated = violated
        self._lines: dict[str, Line] = defaultdict(Line)
        self._stored: dict[Identity, float] = {}
        self._open: dict[Identity, None] = {}
        self._attempts: dict[int, Attempt] = {}
        self._of_alarm: dict[Identity, list[Attempt]] = defaultdict(list)
        self._of_epoch: dict[int, list[Attempt]] = defaultdict(list)
        self._acknowledged_by: set[tuple[str, Identity]] = set()
        self._journal: set[tuple[str, str, Identity]] = set()
        self._contents: dict[Identity, str] = {}
        self._disturbed: dict[str, list[Disturbed]] = defaultdict(list)
        self.aside: set[Identity] = set()
        """What is set aside, and not put back or confirmed since."""
        self._refusals: Counter[tuple[str, Identity]] = Counter()
        """By receiver, since it was put back last."""
        self.was_restored = False
        """Whether the cloud was ever set back to a copy: what it has set aside is then known to itself alone."""
        self._forgotten: set[Identity] = set()
        self._forgotten_through = 0
        """What was confirmed under epochs up to it, the cloud may not know any more, or may not take any more."""

    # The devices and the cloud.

    def was_published(self, fact: Published) -> None:
        """A device was told."""
        account, sequence = fact.identity
        self.published.setdefault(fact.identity, fact)
        line = self._lines[account]
        line.known.add(sequence)
        if sequence not in line.excused and not self._is_done(fact.identity):
            self._open[fact.identity] = None

    def stored(self, fact: Stored) -> None:
        """An alarm is durable."""
        account, sequence = fact.identity
        self._stored.setdefault(fact.identity, fact.at)
        self._lines[account].known.add(sequence)

    def was_confirmed(self, fact: Confirmed) -> None:
        """The cloud took a confirmation."""
        identity, epoch = fact.identity, self._epochs.known.get(fact.epoch)
        self.confirmed.setdefault(identity, fact.at)
        self.aside.discard(identity)
        if not fact.receiver:
            if identity[1] not in self._lines[identity[0]].acknowledged:
                self._violated(fact.at, "A4", f"{identity} is confirmed, and no ARC acknowledged it")
        elif (fact.receiver, identity) not in self._acknowledged_by:
            problem = f"{identity} is confirmed by {fact.receiver}, whose ARC never acknowledged it"
            self._violated(fact.at, "A4", problem)
        if self.limits.inside and (epoch is None or epoch.receiver != fact.receiver or identity not in epoch.delivered):
            problem = f"{identity} is confirmed by {fact.receiver} under epoch {fact.epoch}, which never had it"
            self._violated(fact.at, "F7", problem)
        self._settle(identity)

    def set_aside(self, fact: SetAside) -> None:
        """An alarm is not going to come."""
        account, sequence = fact.identity
        if self.limits.inside:
            self._judge_set_aside(fact)
        self.aside.add(fact.identity)
        self._lines[account].excused.add(sequence)
        self._open.pop(fact.identity, None)

    def _judge_set_aside(self, fact: SetAside) -> None:
        identity, told = fact.identity, f"{fact.identity} is set aside as {fact.reason}"
        if identity in self.confirmed and identity not in self._forgotten:
            self._violated(fact.at, "A5", f"{told}, though it is confirmed")
        match fact.reason:
            case "refused":
                count = self._refusals[fact.receiver, identity]
                if count < self.limits.set_aside_after:
                    self._violated(fact.at, "A5", f"{told} by {fact.receiver}, whose ARC refused it {count} times")
            case "lost":
                epochs = [each for each in self._epochs.known.values() if identity in each.delivered]
                lost = sum(self._was_lost(each.number) for each in epochs)
                if lost < LOST_TOO_OFTEN:
                    self._violated(fact.at, "A5", f"{told}, with {lost} losses of who had it")
            case _:
                pass

    def _was_lost(self, number: int) -> bool:
        """Whether the holder of an epoch was lost: the next one that began tells why."""
        later = [each for each in self._epochs.known.values() if each.number > number]
        return bool(later) and min(later, key=lambda each: each.number).why in LOSSES

    def put_back(self, fact: PutBack) -> None:
        """An alarm that was set aside is to come after all; later ones of its device have passed it."""
        identity = fact.identity
        if identity not in self.aside and not self.was_restored:
            self._violated(fact.at, "A5", f"{identity} was put back, and was not set aside")
        self.aside.discard(identity)
        for receiver, refused in list(self._refusals):
            if refused == identity:
                del self._refusals[receiver, refused]
        if identity in self.published and not self._is_done(identity):
            self._open[identity] = None

    def restored(self, fact: Restored) -> None:
        """What the cloud was told since the copy was made is gone: alarms, and confirmations."""
        lost = [identity for identity, at in self._stored.items() if at > fact.copied]
        lost += [identity for identity, one in self.published.items() if one.at > fact.copied]
        for account, sequence in lost:
            self._lines[account].excused.add(sequence)
            self._open.pop((account, sequence), None)
        self._forgotten |= {identity for identity, at in self.confirmed.items() if at > fact.copied}
        self.was_restored = True
        # Of epochs that it knows nothing of, it takes no confirmations.
        self._forgotten_through = max(self._epochs.known, default=0)

    # The receivers.

    def wrote(self, fact: Wrote) -> None:
        """A receiver wrote an alarm to its ARC."""
        identity, told = fact.identity, f"{fact.incarnation} wrote {fact.identity}"
        for earlier in self._of_alarm[identity]:
            if earlier.answered and earlier.incarnation == fact.incarnation:
                self._violated(fact.at, "A4", f"{told} again, though it had its ACK")
            if earlier.epoch > fact.epoch:
                problem = f"{told} under epoch {fact.epoch}, after epoch {earlier.epoch} had written it"
                self._violated(fact.at, "one epoch at a time", problem)
        if (fact.receiver, fact.folder, identity) in self._journal:
            self._violated(fact.at, "F7", f"{told}, which its journal knows as confirmed")
        attempt = Attempt(fact.at, fact.receiver, fact.incarnation, fact.epoch, identity, answered=False)
        self._attempts[fact.attempt] = attempt
        self._of_alarm[identity].append(attempt)
        self._of_epoch[fact.epoch].append(attempt)

    def answered(self, fact: Answered) -> None:
        """The ARC's ACK is in the hand of who wrote."""
        self._attempts[fact.attempt].answered = True

    def journalled(self, fact: Journalled) -> None:
        """A receiver's confirmation is durable there."""
        self._journal.add((fact.receiver, fact.folder, fact.identity))
        if (fact.receiver, fact.identity) not in self._acknowledged_by:
            problem = f"{fact.receiver} journals {fact.identity} as confirmed, which its ARC never acknowledged"
            self._violated(fact.at, "A4", problem)

    def released(self, fact: Released) -> None:
        """A process tells that nothing of an epoch is left with it."""
        for attempt in self._of_epoch[fact.epoch] if fact.epoch > self._forgotten_through else ():
            account, sequence = attempt.identity
            told = attempt.identity in self.confirmed or sequence in self._lines[account].excused
            if attempt.incarnation == fact.incarnation and attempt.answered and not told:
                problem = f"{fact.incarnation} released epoch {fact.epoch}, and the cloud has not stored its"
                self._violated(fact.at, "F5", f"{problem} {attempt.identity}")

    def disturbed(self, fact: Disturbed) -> None:
        """What a receiver writes may stay without an answer."""
        self._disturbed[fact.receiver].append(fact)

    # The ARC.

    def arrived(self, fact: Received) -> None:
        """A message came to the ARC."""
        self.received += 1
        identity, line = fact.identity, self._lines[fact.identity[0]]
        attempt = self._attempt_of(fact)
        if attempt.identity != identity:
            self._violated(fact.at, "A6", f"{attempt.identity} came to the ARC as {identity}")
        content = self._contents.setdefault(identity, fact.content)
        if fact.content != content:
            self._violated(fact.at, "A6", f"{identity} says {fact.content!r}, and said {content!r} before")
        line.highest = self._in_order(fact, line, line.received, line.highest, "came to the ARC")
        for other in self._of_alarm[identity]:
            if other is not attempt and other.received_at is not None and not other.refused:
                self._came_again(fact, attempt, other)
        attempt.received_at, attempt.refused = fact.at, fact.refused
        self._refusals[fact.receiver, identity] += fact.refused
        if fact.acknowledged:
            self._acknowledged_by.add((fact.receiver, identity))
            line.highest_acknowledged = self._in_order(
                fact, line, line.acknowledged, line.highest_acknowledged, "was acknowledged"
            )
            self._settle(identity)

    def _attempt_of(self, fact: Received) -> Attempt:
        if fact.attempt:
            return self._attempts[fact.attempt]
        epoch = self._epochs.of(fact.receiver)
        attempt = Attempt(fact.at, fact.receiver, "", epoch.number if epoch else 0, fact.identity)
        self._of_alarm[fact.identity].append(attempt)
        return attempt

    def _in_order(self, fact: Received, line: Line, seen: set[int], highest: int, what: str) -> int:
        """A3: what is seen for the first time is the next of its account. Returns the highest now."""
        account, sequence = fact.identity
        if sequence in seen:
            return highest
        seen.add(sequence)
        if sequence < highest and sequence not in line.excused:
            self._violated(fact.at, "A3", f"{fact.identity} {what} first after {(account, highest)}")
        # After a cloud was restored from a copy the next number is far above.
        between = range(highest + 1, sequence) if sequence - highest < 1_000 else sorted(line.known)
        for passed in between:
            if highest < passed < sequence and passed in line.known and passed not in line.excused:
                self._violated(fact.at, "A3", f"{fact.identity} {what} before {(account, passed)}")
        return max(highest, sequence)

    def _came_again(self, fact: Received, attempt: Attempt, other: Attempt) -> None:
        assert other.received_at is not None
        identity = fact.identity
        self.duplicates += other.at <= attempt.at
        if other.epoch > attempt.epoch:
            if fact.writer_alive and fact.attempt:
                problem = f"{identity} of epoch {attempt.epoch} came to the ARC after that of epoch {other.epoch}"
                self._violated(fact.at, "one epoch at a time", problem)
            return
        if identity in self._forgotten or other.epoch <= self._forgotten_through:
            return
        if other.epoch < attempt.epoch:
            self._came_again_later(fact, attempt, other)
        elif other.at <= attempt.at and not self._is_unknown(other, fact.at):
            self._violated(fact.at, "F6", f"{identity} came twice through {fact.receiver}, without a cause")

    def _came_again_later(self, fact: Received, attempt: Attempt, other: Attempt) -> None:
        """It came under an earlier epoch before: after a loss, or since that was left without an answer."""
        between = [each for each in self._epochs.known.values() if other.epoch < each.number <= attempt.epoch]
        if all(each.why in HANDED_OVER for each in between) and not self._is_unknown(other, fact.at):
            problem = f"{fact.identity} came twice, though epoch {other.epoch} was handed over"
            self._violated(fact.at, "F5", problem)
        doubled = self._epochs.known[other.epoch].doubled if other.epoch in self._epochs.known else set()
        doubled.add(fact.identity)
        if len(doubled) > self.limits.window:
            problem = f"more than a window of alarms of epoch {other.epoch} came twice: {len(doubled)}"
            self._violated(fact.at, "F6", problem)

    def _is_unknown(self, attempt: Attempt, until: float) -> bool:
        """Whether the outcome of an attempt was, or may have been, unknown to its writer."""
        if attempt.answered is not None:
            return not attempt.answered
        assert attempt.received_at is not None
        begin, slack = attempt.received_at, self.limits.slack
        faults = (*self._disturbed[attempt.receiver], *self._disturbed[""])
        return any(fault.at <= until + slack and fault.until >= begin - slack for fault in faults)

    # The end.

    def missing(self) -> list[Identity]:
        """What was answered to a device, and did not come to an ARC (or, seen from inside, is not confirmed)."""
        return list(self._open)

    def end(self, at: float) -> None:
        """All has come to rest."""
        for identity in self._open:
            self._violated(at, "A1", f"{identity} was answered to its device, and is lost")
        for account, line in self._lines.items():
            # Accounts of which nothing is known are not watched: what the system tells of itself, say.
            for sequence in sorted(line.received - line.known) if line.known else ():
                self._violated(at, "A6", f"{(account, sequence)} came, and nobody published it")

    def _is_done(self, identity: Identity) -> bool:
        done = identity[1] in self._lines[identity[0]].acknowledged
        return done and (identity in self.confirmed or not self.limits.inside)

    def _settle(self, identity: Identity) -> None:
        if identity in self._open and self._is_done(identity):
            del self._open[identity]
