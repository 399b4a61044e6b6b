"""Words of the machine that decides who works: its state, the events it hears, the effects it asks for.

All times are seconds of one monotonic clock of the cloud, called `now`. What stands in `GroupState` beside the stored
facts (members, epoch, holder, holds) is gone after a restart of the cloud; `decide.restarted` tells what it assumes
then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from hotspare_model.group import GroupSettings, Role


class Reason(Enum):
    """Why an epoch began. The values are the names of `TransitionReason` in group.proto, without the prefix."""

    FIRST = "FIRST"
    CONNECTION_LOST = "CONNECTION_LOST"
    SILENT = "SILENT"
    RESTARTED = "RESTARTED"
    UNHEALTHY = "UNHEALTHY"
    FAILBACK = "FAILBACK"
    SWITCHOVER = "SWITCHOVER"
    RELEASED = "RELEASED"
    LEFT = "LEFT"
    DRAIN_TIMEOUT = "DRAIN_TIMEOUT"
    CLOUD_RESTORED = "CLOUD_RESTORED"


PLANNED = frozenset({Reason.FIRST, Reason.FAILBACK, Reason.SWITCHOVER, Reason.RELEASED, Reason.LEFT})
"""Moves that count as no loss."""

LOSSES = frozenset({Reason.CONNECTION_LOST, Reason.SILENT, Reason.RESTARTED, Reason.UNHEALTHY})
"""Moves that count against the one that worked (F9). A hand-over that is overdue began as a planned one."""


class Kind(Enum):
    """What a line of the history tells. The values are the names of `TransitionKind` in group.proto."""

    MOVE = "MOVE"
    NOBODY_LEFT = "NOBODY_LEFT"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    SETTINGS_CHANGED = "SETTINGS_CHANGED"
    DUPLICATE_REFUSED = "DUPLICATE_REFUSED"
    HELD_BACK = "HELD_BACK"
    MEMBER_JOINED = "MEMBER_JOINED"
    MEMBER_LEFT = "MEMBER_LEFT"
    MEMBER_REMOVED = "MEMBER_REMOVED"
    HOT_SPARE_ENDED = "HOT_SPARE_ENDED"
    REFUSED = "REFUSED"
    CLOUD_RESTORED = "CLOUD_RESTORED"
    ALLOWED_AGAIN = "ALLOWED_AGAIN"
    SWITCHOVER_ASKED = "SWITCHOVER_ASKED"
    PIN_ENDED = "PIN_ENDED"
    WORKS_AGAIN = "WORKS_AGAIN"


class ArcEvent(Enum):
    """What the ARC is told of a move (F10)."""

    TAKE_OVER = "take-over"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Post:
    """A member's place in the group: what is stored of it and decides."""

    role: Role | None
    """None: it works alone (G7)."""
    machine_id: str
    generation: int = 0
    """Number of its membership: among those without a role the earlier comes first."""

    @property
    def rank(self) -> int:
        """Its place in the order of F1; those without a role come last, and none of them before another."""
        return int(self.role) if self.role is not None else ALONE


ALONE = 9
"""The rank of receivers without a role, behind all roles."""


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
    echoed_at: float = -inf
    """When the newest state that it echoed was sent."""
    advanced_at: float = -inf
    """When the beat arrived that echoed it first."""
    deaf: bool = False
    """Beats arrive, and echo no newer state, although each was answered: it can't hear us."""
    healthy: bool = False
    in_sync: bool = True
    """Whether its copy of the configuration lets it take the work back (F4)."""
    back_since: float | None = None
    """The first beat, since it was last away, with which it could take the work back; failback counts from here."""
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
    yield_why: Reason = Reason.FAILBACK
    was_healthy: bool = False
    """Whether it ever was, under this epoch: one that could not deliver from the start is no loss (F9)."""
    gone: bool = False
    """It is lost, and nobody could take over: the history was told."""
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
class Pin:
    """A switchover: `receiver_id` works, or is on its way to, until it is lost or an operator ends that (F8)."""

    receiver_id: str
    operator: str
    at: float
    """Wall clock, seconds since 1970, for people."""
    detail: str = ""
    reached: bool = False
    """Whether it has begun to work."""


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator paused automatic moves."""

    operator: str
    at: float
    """Wall clock, seconds since 1970, for people."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """A receiver was lost while it worked, unplanned (F9)."""

    receiver_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Worked:
    """Who held the newest epoch, in which place of the order at that time."""

    receiver_id: str
    rank: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is stored of a group beside members, settings and epochs, and outlives the cloud's restart (F11)."""

    pin: Pin | None = None
    pause: Pause | None = None
    losses: tuple[tuple[str, int], ...] = ()
    """How many count against each receiver. After a restart all of them count as just happened."""
    held_back: tuple[str, ...] = ()
    old_lease: float = 0.0
    """Seconds of the longest lease that an earlier setting gave and that may be alive. 0: none."""
    floor: int = 0
    """No epoch up to it is given out: set when the database was restored from a copy."""
    restored_at: float | None = None
    """When that was, by the wall clock, for people."""


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
    """No epoch up to it is given out: the highest that any member has seen, for a database may be a restored copy."""
    judge_after: float = 0.0
    """Nobody is suspected before: after a start, and after a stall of the cloud itself, the beats come first."""
    judge_from: float = 0.0
    """Since when that is so: who was gone before stays gone."""
    judge_limit: float = 0.0
    """How far further stalls can put it off."""
    patient_until: float = 0.0
    """Until then silence is no loss, for beats may come in the rhythm of earlier settings."""
    patient_from: float = 0.0
    idle_since: float | None = None
    """Since when nobody has worked, once the last holder gave its work back."""
    not_before: float = 0.0
    """No epoch begins before: after the database was restored, leases may be alive that it does not know."""
    worked: Worked | None = None
    """Who held the newest epoch. None: there was none."""
    pin: Pin | None = None
    pause: Pause | None = None
    losses: tuple[Loss, ...] = ()
    held_back: frozenset[str] = frozenset()
    old_lease: float = 0.0
    old_lease_until: float = 0.0
    """Until when a lease of that many seconds, under earlier settings, may be alive."""
    restored_at: float | None = None

    @property
    def standing(self) -> Standing:
        """What of this has to be stored."""
        counts: dict[str, int] = {}
        for loss in self.losses:
            counts[loss.receiver_id] = counts.get(loss.receiver_id, 0) + 1
        return Standing(
            self.pin,
            self.pause,
            tuple(sorted(counts.items())),
            tuple(sorted(self.held_back)),
            self.old_lease,
            self.floor if self.floor > self.epoch else 0,
            self.restored_at,
        )


# Events.


@dataclass(frozen=True, slots=True)
class Attended:
    """A stream of a member began; it was admitted."""

    receiver_id: str
    incarnation: str
    highest_epoch: int
    released_through: int
    proof: str = ""
    """The one before it, where that has surely ended: this one holds the very lock that it held. Empty: no proof."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat of a member. `echo_sent` is when the state that it echoes was sent; None without one.

    It is no age: one that does not advance has to be the very same number, and an age taken twice is rounded twice.
    """

    receiver_id: str
    incarnation: str
    number: int
    epoch: int
    echo_sent: float | None
    released_through: int = 0
    wants_release: bool = False
    healthy: bool = True
    in_sync: bool = True


@dataclass(frozen=True, slots=True)
class Parted:
    """A stream of a member ended. That is never a release, and no proof of anything."""

    receiver_id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class PostsChanged:
    """Members joined, changed their role, or left.

    `released_through` is what those who left have given up, by the incarnation that attended last.
    """

    posts: Mapping[str, Post]
    released_through: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The group's settings changed."""

    settings: GroupSettings


@dataclass(frozen=True, slots=True)
class Switched:
    """An operator wants this receiver to work (F8); `operators.check_switch` allowed it."""

    pin: Pin


@dataclass(frozen=True, slots=True)
class Paused:
    """An operator paused automatic moves (F8)."""

    pause: Pause


@dataclass(frozen=True, slots=True)
class Resumed:
    """An operator ended a pause, a pin, and what was held back (F8, F9)."""

    operator: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Stalled:
    """The cloud itself got no time: whoever seems silent may have beaten."""

    since: float
    """When it last had some."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Attended | Beat | Parted | PostsChanged | SettingsChanged | Switched | Paused | Resumed | Stalled | Tick


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
    operator: str = ""
    detail: str = ""
    arc_event: ArcEvent | None = None
    """What the ARC is told (F10)."""


@dataclass(frozen=True, slots=True)
class WorksAgain:
    """The holder was lost, nobody could take over, and it is back under its epoch."""

    receiver_id: str
    epoch: int
    gap: float
    """Seconds that nobody worked."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the history that is no move, to be stored with what it tells of."""

    kind: Kind
    receiver_id: str = ""
    detail: str = ""
    operator: str = ""


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


Effect = EndEpoch | BeginEpoch | FreeHold | WorksAgain | Note | Tell | TellAll
