"""What goes into the alarm path, and what can be seen of it: frozen values, without gRPC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from hotspare_model.errors import Reason
from hotspare_model.group import GroupSettings, Role
from hotspare_model.surgard import Width
from hotspare_receiver.core.forwarder import Outcome as Outcome
from hotspare_receiver.core.health import ProblemKind as ProblemKind
from hotspare_receiver.timings import NOTHING_TIMED, Timings
from hotspare_rpc.address import Address

ANSWER_TIMEOUT = timedelta(seconds=4)
HEARTBEAT = timedelta(seconds=30)


class LinkState(IntEnum):
    """How the link of an output stands. The numbers are those of output.proto."""

    IDLE = 1
    CONNECTING = 2
    UP = 3
    DOWN = 4


class Transport(IntEnum):
    """What carries a DC-09 output. The numbers are those of output.proto."""

    TCP = 1
    UDP = 2


class Dc09Form(IntEnum):
    """How a DC-09 output writes an event. The numbers are those of output.proto."""

    ADM_CID = 1
    SIA_DCS = 2


# What goes in.


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who this receiver is, as it tells the cloud."""

    receiver_id: str
    name: str
    machine_id: str
    address: str
    software_version: str
    dual_connection: bool = False
    start: int = 1
    """Number of this start of the process in its data folder."""
    folder_id: str = ""
    """Identity of the data folder that it has locked, opaque."""
    own_account_number: str = ""
    """Account number of its own events (F10), upper case hex. Empty: there are none."""


@dataclass(frozen=True, slots=True)
class Attendance:
    """The role that this receiver holds, in which group, in which generation of the hot spare."""

    role: Role | None
    """None: it works alone while the group has no host (G7)."""
    arc_id: str
    sub_account: str
    generation: int
    """0 without a role."""

    @property
    def scope(self) -> str:
        """Names the group in the journal: numbers of alarms and epochs mean nothing outside of it."""
        return f"{self.arc_id}/{self.sub_account}"


@dataclass(frozen=True, slots=True)
class SyncReport:
    """How the copy of the configuration stands; `state` is the number of group.proto's SyncState."""

    state: int = 0
    revision: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Dc09Config:
    """What only a DC-09 output has."""

    receiver_number: str | None = None
    """R on the wire, 1 to 6 hex digits. None: left out."""
    line_number: str = "0"
    """L on the wire."""
    key: bytes | None = field(default=None, repr=False)
    """AES key. None: in clear."""
    answer_timeout: timedelta = ANSWER_TIMEOUT
    heartbeat: timedelta = HEARTBEAT
    """How often an idle link is supervised with NULL. Zero: never."""
    transport: Transport = Transport.TCP
    form: Dc09Form = Dc09Form.ADM_CID


@dataclass(frozen=True, slots=True)
class SurgardConfig:
    """What only a Sur-Gard output has."""

    width: Width = Width.MLR2
    receiver_number: int = 1
    line_number: int = 1
    heartbeat: timedelta = HEARTBEAT
    """How often an idle link is supervised."""
    answer_timeout: timedelta = ANSWER_TIMEOUT
    attempts: int = 4
    """Attempts in a row without an answer after which the link counts as lost."""


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """What only a stream output has."""

    subscription: str
    """The name that subscribers open."""


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """A connection to the ARC's automation software."""

    name: str
    addresses: tuple[Address, ...]
    """Tried in order (O3). None for a stream."""
    required: bool = True
    """Whether an alarm is confirmed only when this output confirmed it."""
    dc09: Dc09Config = Dc09Config()
    """Means nothing where one of the other two is set."""
    surgard: SurgardConfig | None = None
    """None: it speaks DC-09, or our own stream."""
    stream: StreamConfig | None = None
    """Set: our own stream; there is no link of its own."""
    paused: bool = False
    """Whether an operator closed its link until further notice."""


# What comes out.


@dataclass(frozen=True, slots=True)
class Expulsion:
    """The cloud says that this receiver has no role any more: NOT_A_MEMBER or HOT_SPARE_ENDED."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with this receiver."""

    kind: ProblemKind
    subject: str
    detail: str
    since: datetime


@dataclass(frozen=True, slots=True)
class CloudSnapshot:
    """How Attend stands."""

    connected: bool
    since: datetime
    problem: str = ""
    """What went wrong last, for people. Empty: nothing since it is connected."""
    reason: str = ""
    final: bool = False
    """Whether attending has ended until an operator acts."""
    round_trip: timedelta | None = None
    clock_offset: timedelta | None = None
    """The cloud's wall clock minus ours."""


@dataclass(frozen=True, slots=True)
class LeaseSnapshot:
    """The guard's state."""

    epoch: int
    """The epoch that is held. 0: none."""
    remaining: timedelta
    working: bool
    """Whether it may write now."""
    draining: bool
    released_through: int
    highest_epoch: int
    beats_sent: int
    beats_missed: int
    renewals: Timings = NOTHING_TIMED
    """Seconds from a beat to the grant that answers it."""


@dataclass(frozen=True, slots=True)
class PullSnapshot:
    """The stream of alarms."""

    open: bool
    pull_id: int
    last_delivery: int
    reopened: int
    unstored: int
    """Confirmations that the cloud has not answered with `stored`."""


@dataclass(frozen=True, slots=True)
class PathCounters:
    """Since the process started."""

    delivered: int = 0
    redelivered: int = 0
    """Deliveries that were not the alarm's first."""
    confirmed: int = 0
    confirmed_again: int = 0
    withdrawn: int = 0
    never_delivered: int = 0
    """Confirmations that the cloud dropped."""
    set_aside: int = 0
    """Alarms that an output here refused too often, set aside by the cloud (A5)."""
    not_forwarded: int = 0
    """Alarms that the configuration keeps from the ARC: confirmed to the cloud without being sent."""


@dataclass(frozen=True, slots=True)
class OutputSnapshot:
    """How an output is. `since` is that of the link's state."""

    name: str
    required: bool
    link: LinkState
    address: str
    since: datetime
    problem: str
    waiting: int
    confirmed: int
    last_confirmed: datetime | None
    attempts: Mapping[Outcome, int]
    generic: int = 0
    """Alarms that it confirmed as a generic event in place of their own code, which it has no word for (A10)."""
    last_generic: str = ""
    """The code of the last of them."""


@dataclass(frozen=True, slots=True)
class PathSnapshot:
    """The whole alarm path at one moment."""

    attendance: Attendance | None
    cloud: CloudSnapshot
    lease: LeaseSnapshot
    pull: PullSnapshot
    counters: PathCounters
    waiting: int
    oldest_age: timedelta | None
    problems: tuple[Problem, ...]
    disk_free: int
    loop_lag: timedelta
    outputs: tuple[OutputSnapshot, ...]
    settings: GroupSettings
    role: Role | None
    """As the cloud said last."""
    working_receiver_id: str
    paused: bool
    clock_problems: Mapping[str, str] = field(default_factory=dict)
    """Outputs whose ARC refused the time of what was sent last, and in which words."""
    standby_reason: int = 0
    """Why it does not work, as the cloud said last: the number of group.proto's StandbyReason. 0: not told."""
