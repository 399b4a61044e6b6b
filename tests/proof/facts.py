"""What the actors of a run did: the one form in which simulated and real runs are written down and judged.

Every fact has a time, in seconds of one clock for the whole run: true time in the simulator, CLOCK_MONOTONIC of the
machine (`time.monotonic()`, the same for all of its processes) in a run of real processes. What the ARC received is
the truth; everything else is what somebody believes or was told.

What only a simulation can see is marked "seen from inside". A run of real processes leaves such facts out, and what
would be judged by them is judged by what is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from tests.proof.limits import Limits

Identity: TypeAlias = tuple[str, int]
"""Account number and sequence: what makes two messages at the ARC the same alarm (A6)."""


class Why(Enum):
    """Why an epoch began. The names are those of `TransitionReason` in group.proto."""

    UNSPECIFIED = 0
    FIRST = 1
    CONNECTION_LOST = 2
    SILENT = 3
    RESTARTED = 4
    UNHEALTHY = 5
    FAILBACK = 6
    SWITCHOVER = 7
    RELEASED = 8
    LEFT = 9
    DRAIN_TIMEOUT = 10
    CLOUD_RESTORED = 11


HANDED_OVER = frozenset({Why.FAILBACK, Why.SWITCHOVER, Why.RELEASED})
"""After these nothing comes twice but what was left without an answer (F5). The one before a FIRST may be lost."""

LOSSES = frozenset({Why.CONNECTION_LOST, Why.SILENT, Why.RESTARTED, Why.UNHEALTHY})
"""Unplanned losses of the one that worked: what F9 counts."""


# The devices.


@dataclass(frozen=True, slots=True)
class Published:
    """A device was told that its alarm is durable: it must not be lost (A1)."""

    at: float
    identity: Identity
    begun: float | None = None
    """When its first attempt began: before that nobody can have had the alarm."""


# The cloud.


@dataclass(frozen=True, slots=True)
class Stored:
    """An alarm is durable at the cloud, whether or not its device was told. Seen from inside."""

    at: float
    identity: Identity


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The cloud took a confirmation of an alarm. Without `receiver` and `epoch`: that it is not waiting any more."""

    at: float
    identity: Identity
    receiver: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class SetAside:
    """The alarm is not going to come to the ARC: it was set aside (A5), or its event is not forwarded.

    `reason`: "refused", by the ARC of `receiver`, or "lost", the working receiver with it; judged where all is seen.
    """

    at: float
    identity: Identity
    reason: str = ""
    receiver: str = ""


@dataclass(frozen=True, slots=True)
class PutBack:
    """An operator had an alarm that was set aside sent again: from here on it must not be lost."""

    at: float
    identity: Identity


@dataclass(frozen=True, slots=True)
class EpochBegan:
    """An epoch is durable, with its holder. In a run of real processes: a line of the group's history."""

    at: float
    epoch: int
    receiver: str
    why: Why = Why.UNSPECIFIED
    incarnation: str = ""
    gap: float | None = None
    """Seconds that nobody worked, as the cloud tells."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A receiver has a role in the group from now on, or none: then it works alone at most (G7)."""

    at: float
    receiver: str
    role: str
    """Empty: none."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The cloud noted that it gives alarms to the holder of an epoch. Seen from inside."""

    at: float
    epoch: int
    identities: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class LeaseCounted:
    """The cloud takes the lease of an epoch as possibly alive until a time. Seen from inside."""

    at: float
    epoch: int
    until: float


@dataclass(frozen=True, slots=True)
class EpochOver:
    """The cloud takes the holder of an epoch as surely stopped: by proof, or as its lease ran out. From inside."""

    at: float
    epoch: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The cloud's data was replaced by a copy of what it had been at `copied`."""

    at: float
    copied: float


# The receivers.


@dataclass(frozen=True, slots=True)
class TookOver:
    """A process takes itself as the holder of an epoch."""

    at: float
    receiver: str
    epoch: int
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Wrote:
    """A process wrote an alarm to its ARC. Seen from inside."""

    at: float
    attempt: int
    """Its number in this history: what came of it refers to that."""
    receiver: str
    incarnation: str
    epoch: int
    identity: Identity
    folder: str = ""
    """Of the data folder; what a copy of it does not know, the first one may."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The writer of an attempt has the ARC's ACK in hand. Seen from inside."""

    at: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Journalled:
    """A receiver's own confirmation of an alarm is durable in its journal. Seen from inside."""

    at: float
    receiver: str
    identity: Identity
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """A process tells that nothing of an epoch is left with it. Seen from inside."""

    at: float
    epoch: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A spare applied a revision of the configuration."""

    at: float
    receiver: str
    revision: int


# The ARC.


@dataclass(frozen=True, slots=True)
class Received:
    """A message came to the ARC behind a receiver."""

    at: float
    receiver: str
    identity: Identity
    acknowledged: bool = True
    """Whether the ARC answered that it has it."""
    attempt: int = 0
    """Which attempt it was, where that is known."""
    writer_alive: bool = True
    """False: its writer had been killed, and the kernel had it still (timing.md: where arithmetic ends)."""
    content: str = ""
    """What it says. The same each time that it comes (A6)."""
    refused: bool = False
    """Whether the ARC answered in so many words that it does not take it (A5)."""


# Operators, and those who make faults.


class Verb(Enum):
    """What an operator did."""

    SWITCHOVER = "switchover"
    PAUSE = "pause"
    RESUME = "resume"
    UNPINNED = "unpinned"
    """No operator: the cloud says that it ended a switchover or a pin, since its receiver was lost or left."""


@dataclass(frozen=True, slots=True)
class Operated:
    """An operator's wish was accepted."""

    at: float
    verb: Verb
    to: str = ""
    """For a switchover: the receiver."""


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The group's settings are others from now on; what began under those of before is judged mildly."""

    at: float
    limits: Limits


@dataclass(frozen=True, slots=True)
class Disturbed:
    """Something was done to a receiver, its ARC, or the way between: what it writes may stay without an answer."""

    at: float
    receiver: str
    until: float
    what: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """A fault of any kind began or ended: what must be so within a time is counted anew from here."""

    at: float
    what: str = ""


@dataclass(frozen=True, slots=True)
class Able:
    """From now on a receiver could work (it runs, reaches a cloud that serves, is healthy), or could not."""

    at: float
    receiver: str
    able: bool


@dataclass(frozen=True, slots=True)
class Works:
    """From now on a receiver works, by a lease that is valid, or does not any more."""

    at: float
    receiver: str
    works: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Anything else, for people who read the history: a line of a log, what a fault was."""

    at: float
    actor: str
    what: str
    details: Mapping[str, object]


Fact: TypeAlias = (
    Published
    | Stored
    | Confirmed
    | SetAside
    | PutBack
    | EpochBegan
    | Enrolled
    | Delivered
    | LeaseCounted
    | EpochOver
    | Restored
    | TookOver
    | Wrote
    | Answered
    | Journalled
    | Released
    | Applied
    | Received
    | Operated
    | SettingsChanged
    | Disturbed
    | Changed
    | Able
    | Works
    | Note
)
