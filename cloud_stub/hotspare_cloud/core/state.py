"""Words of the machine that decides who works: its state, the events it hears, the effects it asks for.

All times are seconds of one monotonic clock of the cloud, called `now`. What stands in `GroupState` beside the stored
facts (members, epoch, holder, holds) is gone after a restart of the cloud; `decide.restarted` tells what it assumes
then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hotspare_model.group import GroupSettings, Role


class Reason(Enum):
    """Why an epoch began. The values are the names of `TransitionReason` in group.proto, without the prefix."""

    FIRST = "FIRST"
    CONNECTION_LOST = "CONNECTION_LOST"
    SILENT = "SILENT"
    RESTARTED = "RESTARTED"
    FAILBACK = "FAILBACK"
    RELEASED = "RELEASED"
    LEFT = "LEFT"
    DRAIN_TIMEOUT = "DRAIN_TIMEOUT"
    CLOUD_RESTORED = "CLOUD_RESTORED"


PLANNED = frozenset({Reason.FIRST, Reason.FAILBACK, Reason.RELEASED, Reason.LEFT})
"""Moves that count as no loss."""


@dataclass(frozen=True, slots=True)
class Post:
    """A member's place in the group: what is stored of it and decides."""

    role: Role
    machine_id: str


@dataclass(frozen=True, slots=True)
class Attendance:
    """What the cloud hears from one incarnation of a member."""

    incarnation: str
    attached_at: float
    parted_at: float | None = None
    """When its stream ended. None: it stands."""
    heard_at: float | None = None
    """When its newest beat that could renew was received: one whose echo showed that it hears us."""
    beat: int = 0
    """The number of that beat: what a grant that is pushed counts from."""
    back_since: float | None = None
    """The first such beat after it was last lost; failback counts from here (F4)."""
    wants_release: bool = False
    released_through: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works, and how long its lease may be alive."""

    receiver_id: str
    incarnation: str
    machine_id: str
    lease_until: float
    heard_at: float
    """When it was last known to work; the time that nobody worked counts from here."""
    yield_to: str | None = None
    yield_since: float = 0.0
    lost: Reason | None = None
    """Set once it is surely not the one any more (its process was started anew, or it left)."""


@dataclass(frozen=True, slots=True)
class Hold:
    """An ended epoch whose holder may still be writing, until `until` or until there is proof that it stopped."""

    epoch: int
    receiver_id: str
    incarnation: str
    machine_id: str
    until: float


@dataclass(frozen=True, slots=True)
class GroupState:
    """One group, as far as it matters for who works."""

    settings: GroupSettings
    posts: Mapping[str, Post] = field(default_factory=dict)
    attendance: Mapping[str, Attendance] = field(default_factory=dict)
    holder: Holder | None = None
    holds: tuple[Hold, ...] = ()
    epoch: int = 0
    floor: int = 0
    """The highest epoch that any member has seen: a database that was restored from a copy goes on above it."""
    judge_after: float = 0.0
    """Nobody is suspected before: after a start, and after a stall of the cloud itself, the beats come first."""
    idle_since: float | None = None
    """Since when nobody has worked, once the last holder gave its work back."""


# Events.


@dataclass(frozen=True, slots=True)
class Attended:
    """A stream of a member began; it was admitted."""

    receiver_id: str
    incarnation: str
    highest_epoch: int
    released_through: int
    proof: bool = True
    """Whether an earlier incarnation has surely ended: this one holds the very lock that it held."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat of a member. `echo_age` is how long ago the state that it echoes was sent; None without one."""

    receiver_id: str
    incarnation: str
    number: int
    epoch: int
    echo_age: float | None
    released_through: int = 0
    wants_release: bool = False


@dataclass(frozen=True, slots=True)
class Parted:
    """A stream of a member ended. That is never a release, and no proof of anything."""

    receiver_id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class PostsChanged:
    """Members joined, changed their role, or left. `released_through` is what those who left have given up."""

    posts: Mapping[str, Post]
    released_through: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The group's settings changed."""

    settings: GroupSettings


@dataclass(frozen=True, slots=True)
class Stalled:
    """The cloud itself got no time: whoever seems silent may have beaten."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Attended | Beat | Parted | PostsChanged | SettingsChanged | Stalled | Tick


# Effects, to be carried out in their order; those that store come before anything is told.


@dataclass(frozen=True, slots=True)
class EndEpoch:
    """Stop delivering under the epoch, and fix what was delivered under it and not confirmed (timing: order 1, 2).

    With `hold` that set waits; without, there is proof that its holder stopped.
    """

    epoch: int
    hold: bool


@dataclass(frozen=True, slots=True)
class BeginEpoch:
    """Store the epoch with its holder before it is granted to anyone (order 3). Never used again."""

    epoch: int
    receiver_id: str
    incarnation: str
    machine_id: str
    reason: Reason
    previous: str | None
    gap: float
    """Seconds that nobody worked."""


@dataclass(frozen=True, slots=True)
class FreeHold:
    """What was held for the epoch may be delivered to the one that works."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Send the state to a member. With `granted` it carries a lease, which counts from the member's beat `beat`."""

    receiver_id: str
    granted: bool
    beat: int


@dataclass(frozen=True, slots=True)
class TellAll:
    """Send the state to every member that attends, without a lease but for the one that a `Tell` grants."""


Effect = EndEpoch | BeginEpoch | FreeHold | Tell | TellAll
