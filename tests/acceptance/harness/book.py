"""What devices published and what ARCs received, and the checker that compares the two.

The ARC's side is the truth. An alarm's identity there is account and sequence (A6); its data must be the same
each time that it comes.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

WIRE_SEQUENCES = 9999
WINDOW = 256
"""Alarms that may be delivered and not acknowledged; so many may come twice for each unplanned move (F6)."""


def wire_sequence(number: int) -> int:
    """The sequence on the wire of the n-th alarm of an account (A6)."""
    return 1 + (number - 1) % WIRE_SEQUENCES


@dataclass(frozen=True)
class Event:
    """What an alarm says, as both sides see it."""

    qualifier: int
    code: str
    partition: int
    zone: int
    occurred: datetime
    """To the second: the wire carries no more."""


@dataclass(frozen=True)
class Published:
    """An alarm that the cloud answered."""

    account: str
    number: int
    """n: its number among those of its account, as the receipt told."""
    event: Event
    begun: float
    """Monotonic, before the first attempt."""
    answered: float

    @property
    def sequence(self) -> int:
        """On the wire to the ARC (A6)."""
        return wire_sequence(self.number)


@dataclass(frozen=True)
class Received:
    """An alarm that an ARC's software acknowledged."""

    arc: str
    at: float
    """Monotonic."""
    account: str
    sequence: int
    event: Event
    sent: datetime | None
    """The frame's own time."""
    raw: str
    encrypted: bool = False
    text: str | None = None

    @property
    def identity(self) -> tuple[str, int]:
        """What makes two of them the same alarm."""
        return self.account, self.sequence


class Book:
    """Receipts of all ARCs of a group, in the order in which they came. Filled from several threads."""

    def __init__(self, heard: Callable[[Received], None] = lambda _: None) -> None:
        """`heard` is told of each receipt."""
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._heard = heard

    def add(self, received: Received) -> None:
        """Note one."""
        with self._lock:
            self._received.append(received)
        self._heard(received)

    def all(self) -> list[Received]:
        """All of them."""
        with self._lock:
            return list(self._received)

    def of_arc(self, arc: str) -> list[Received]:
        """Those of one ARC."""
        return [each for each in self.all() if each.arc == arc]

    def of_account(self, account: str) -> list[Received]:
        """Those of one account."""
        return [each for each in self.all() if each.account == account]

    def first_after(self, arc: str, at: float) -> Received | None:
        """The first that this ARC got after a moment."""
        return next((each for each in self.of_arc(arc) if each.at > at), None)


@dataclass
class Balance:
    """Published against received."""

    published: int = 0
    lost: list[Published] = field(default_factory=list)
    duplicates: int = 0
    """Receipts beyond the first of an alarm."""
    problems: list[str] = field(default_factory=list)
    """Wrong order, changed data, alarms that nobody published."""

    def __str__(self) -> str:
        return f"published {self.published}, lost {len(self.lost)}, duplicates {self.duplicates}"


def balance(published: Iterable[Published], received: Iterable[Received]) -> Balance:
    """Compare. Only accounts that published count; at most 9999 alarms each, so that sequences are unique."""
    result = Balance()
    sent: dict[str, dict[int, Published]] = {}
    for alarm in published:
        result.published += 1
        sent.setdefault(alarm.account, {})[alarm.sequence] = alarm
    seen: dict[str, list[int]] = {account: [] for account in sent}
    for receipt in received:
        if receipt.account not in sent:
            continue
        alarm_or_none = sent[receipt.account].get(receipt.sequence)
        order = seen[receipt.account]
        if alarm_or_none is None:
            result.problems.append(f"nobody published {receipt}")
        elif alarm_or_none.event != receipt.event:
            result.problems.append(f"{alarm_or_none} came as {receipt}")
        elif receipt.sequence in order:
            result.duplicates += 1
        else:
            if order and receipt.sequence < order[-1]:
                result.problems.append(f"{receipt} came first after {order[-1]} of its device (A3)")
            order.append(receipt.sequence)
    for account, alarms in sent.items():
        result.lost += [alarm for sequence, alarm in alarms.items() if sequence not in set(seen[account])]
    return result


def waiting_ages(lost: Iterable[Published]) -> str:
    """For messages: which alarms have not come, and how old they are."""
    now = time.monotonic()
    return ", ".join(f"{alarm.account}/{alarm.number} ({now - alarm.answered:.1f} s)" for alarm in list(lost)[:8])
