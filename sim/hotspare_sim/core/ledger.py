"""The balance of a trial: what devices published against what the ARC's software acknowledged.

An alarm's identity on the wire is account number and sequence (A6). The sequence begins anew after 9999 (the numbers
of `places` after 99,999), so the number behind it is the nearest one to those seen last: thousands of alarms of one
account are never under way at once.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hotspare_model.sequence import WIRE_SEQUENCES

MEMORY = 4000
"""Confirmed alarms of an account that are remembered, to know them when they come again."""


@dataclass(frozen=True)
class Delivery:
    """An alarm that was published, and acknowledged for the first time. Clocks are monotonic, in seconds."""

    account: str
    number: int
    begun: float
    """When its device gave it to the cloud for the first time."""
    confirmed: float
    arc: str
    """Name of the software that acknowledged it."""


@dataclass(frozen=True)
class Move:
    """Another receiver began to deliver, as the ARC's side saw it."""

    old: str
    new: str
    at: float
    """When the first alarm was acknowledged through the new one."""
    gap: float
    """Seconds since the last one through the old one."""


@dataclass
class _Account:
    numbers: int
    """After so many the sequence begins anew."""
    highest: int = 0
    waiting: dict[int, float] = field(default_factory=dict)
    """Clock of the first attempt, by number."""
    early: dict[int, tuple[str, float]] = field(default_factory=dict)
    """Acknowledged, and its device does not have its answer yet: by number."""
    recent: deque[int] = field(default_factory=deque)
    known: set[int] = field(default_factory=set)
    last_confirmed: int = 0

    def number_of(self, sequence: int) -> int:
        """The number behind a sequence: the nearest to the highest one seen."""
        near = max(self.highest, 1)
        number = near + (sequence - 1 - (near - 1)) % self.numbers
        if number - near > self.numbers // 2 and number > self.numbers:
            number -= self.numbers
        return number

    def remember(self, number: int) -> None:
        self.recent.append(number)
        self.known.add(number)
        if len(self.recent) > MEMORY:
            self.known.discard(self.recent.popleft())


class Ledger:
    """Takes both sides' logs, each in the order of its clock."""

    def __init__(self, accounts: Mapping[str, str], numbers: int = WIRE_SEQUENCES) -> None:
        """`accounts`: account number by device id; no two devices share one. `numbers`: as many as there are."""
        self._account_of = {device: account.upper() for device, account in accounts.items()}
        self._accounts = {account: _Account(numbers) for account in self._account_of.values()}
        self.published = 0
        self.confirmed = 0
        """Published alarms that were acknowledged."""
        self.duplicates = 0
        """Acknowledgements of an alarm that had been acknowledged before."""
        self.out_of_order = 0
        """First acknowledgements that came after that of a later alarm of the same device (A3)."""
        self.own_events = 0
        """Acknowledged alarms of no device: take-over and return, told by the system itself (F10)."""
        self.moves: list[Move] = []
        self._last: tuple[str, float] | None = None

    @property
    def waiting(self) -> int:
        """Published alarms that were not acknowledged: at the end of a trial, the lost ones."""
        return self.published - self.confirmed

    @property
    def unanswered(self) -> int:
        """Acknowledged alarms whose device got no answer."""
        return sum(len(account.early) for account in self._accounts.values())

    def waiting_since_before(self, clock: float) -> int:
        """How many of those that wait had been published before a moment."""
        return sum(begun < clock for account in self._accounts.values() for begun in account.waiting.values())

    def take_published(self, device_id: str, number: int, begun: float) -> Delivery | None:
        """An alarm's device got its answer: `number` is A6's n, or the device's own. Returns a delivery if the ARC was
        faster."""
        name = self._account_of[device_id]
        account = self._accounts[name]
        account.highest = max(account.highest, number)
        self.published += 1
        early = account.early.pop(number, None)
        if early is None:
            account.waiting[number] = begun
            return None
        self.confirmed += 1
        return Delivery(name, number, begun, early[1], early[0])

    def take_confirmed(self, arc: str, account_number: str, sequence: int, clock: float) -> Delivery | None:
        """The software `arc` acknowledged a message. Returns a delivery if it is an alarm's first.

        `sequence` 0: what came has none, so no device of ours made it.
        """
        account = self._accounts.get(account_number.upper())
        if account is None or sequence == 0:
            self.own_events += 1
            return None
        number = account.number_of(sequence)
        account.highest = max(account.highest, number)
        if number in account.known:
            self.duplicates += 1
            return None
        account.remember(number)
        self.out_of_order += number < account.last_confirmed
        account.last_confirmed = max(account.last_confirmed, number)
        self._note_move(arc, clock)
        begun = account.waiting.pop(number, None)
        if begun is None:
            account.early[number] = (arc, clock)
            return None
        self.confirmed += 1
        return Delivery(account_number.upper(), number, begun, clock, arc)

    def _note_move(self, arc: str, clock: float) -> None:
        if self._last is not None and self._last[0] != arc:
            self.moves.append(Move(self._last[0], arc, clock, clock - self._last[1]))
        self._last = (arc, clock)


def first_published_after(clock: float, arc: str, deliveries: Iterable[Delivery]) -> Delivery | None:
    """The earliest acknowledgement through `arc` of an alarm that was published after a moment."""
    new = [delivery for delivery in deliveries if delivery.begun > clock and delivery.arc == arc]
    return min(new, key=lambda delivery: delivery.confirmed, default=None)
