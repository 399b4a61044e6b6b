"""The verbs of the cloud's store, and the rows it speaks in.

PostgreSQL comes beside SQLite later: what is tested against these protocols runs on both. Every verb that writes
returns when what it wrote is durable. Times are wall-clock seconds since 1970 and are for people; they decide nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.core.sameness import Sighting
from hotspare_cloud.core.state import BeginEpoch, Kind, Reason, Standing
from hotspare_cloud.store.base_expiry import ExpiryStore
from hotspare_cloud.store.base_queue import QueueStore
from hotspare_cloud.store.base_records import DeviceRow as DeviceRow
from hotspare_cloud.store.base_records import RecordStore
from hotspare_model.group import GroupSettings, Role


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An ARC account. The key itself is not kept, only its SHA-256; while it is rotated, also that of the old one."""

    arc_id: str
    key_sha256: bytes
    created_at: float
    old_key_sha256: bytes | None = None
    old_key_expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group: one sub account of an ARC account."""

    group_id: int
    arc_id: str
    sub_account: str


@dataclass(frozen=True, slots=True)
class EpochRow:
    """An epoch and its holder. `held`: it has ended, and its holder may still be writing."""

    epoch: int
    receiver_id: str
    incarnation: str
    machine_id: str
    role: Role | None
    started_at: float
    ended_at: float | None
    held: bool


@dataclass(frozen=True, slots=True)
class OutRow:
    """An alarm that is not confirmed and was delivered under an epoch that still matters."""

    number: int
    device_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """All that is stored of who works in a group, as a start of the cloud needs it."""

    settings: GroupSettings
    generation: int
    members: Mapping[str, Membership]
    last_seen: Mapping[str, float]
    departed: Mapping[str, bool]
    """Former members: whether the host ended their hot spare."""
    epochs: Sequence[EpochRow]
    """The newest, and every one that is held."""
    out: Sequence[OutRow]
    backlog: int
    standing: Standing
    set_aside: int = 0
    """Alarms that are set aside."""


class AlarmState(IntEnum):
    """How far an alarm is, as it is stored."""

    WAITING = 0
    CONFIRMED = 1
    SET_ASIDE = 2


@dataclass(frozen=True, slots=True)
class Report:
    """What a gateway tells of an alarm; `payload` is opaque to the store (D2).

    `confirmed_at`: when its ARC confirmed the alarm while the gateway was cut off from the cloud (D4). None: it did
    not.
    """

    receiver_id: str
    payload: bytes
    confirmed_at: float | None = None


class NewAlarm(NamedTuple):
    """An alarm to be stored. `payload` is opaque to the store.

    A tuple, as all that is made for each alarm that comes in: a frozen dataclass costs four times as much.
    """

    alarm_id: str
    device_id: str
    account_number: str
    received_at: float
    payload: bytes
    sighting: Sighting | None = None
    """How a copy of it on the other path is known (D3). None: there is no such copy."""
    report: Report | None = None
    """Set when a gateway passed it on."""


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of a group's history (F8). Times are wall clock and for people; `gap` in seconds."""

    kind: Kind
    at: float
    from_receiver_id: str = ""
    """Who worked before; in a line that is no move: whom it concerns."""
    from_role: Role | None = None
    to_receiver_id: str = ""
    to_role: Role | None = None
    reason: Reason | None = None
    detail: str = ""
    operator: str = ""
    epoch: int = 0
    gap: float = 0.0
    planned: bool = False
    number: int = 0
    """Given by the store, from 1 in each group."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one event changed of who works; all of it is stored in one commit, or nothing."""

    ended: tuple[int, bool] | None = None
    """The epoch that ended, and whether it is held."""
    begun: BeginEpoch | None = None
    role: Role | None = None
    """Of the one that holds the epoch that began."""
    freed: Sequence[int] = ()
    """Ended epochs whose holders have surely stopped."""
    lines: Sequence[HistoryLine] = ()
    standing: Standing | None = None
    """None: as it was."""
    settings: GroupSettings | None = None
    """None: as they were."""
    request_id: str = ""
    """The operator's wish that this carries out, to be remembered."""
    arc_alarm: NewAlarm | None = None
    """What the ARC is told (F10)."""
    lost: bool = False
    """Whether the holder of the epoch that ended was lost: that counts against what was out with it."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store."""
        return self == Step()


@dataclass(frozen=True, slots=True)
class SavedStep:
    """What came of storing a step."""

    told_arc: bool = False
    """Whether an alarm for the ARC is new."""
    set_aside: Sequence[int] = ()
    """Alarms under which the working receiver was lost too often."""


class KeptAlarm(NamedTuple):
    """What the store gave an alarm, now or when it came first (`duplicate`)."""

    number: int
    account_sequence: int
    received_at: float
    duplicate: bool
    payload: bytes
    twin: bool = False
    """It had come on the other path, without its id (D3)."""
    confirmed: bool = False
    """The report of a gateway has confirmed it, and nobody had before (D4)."""
    was_aside: bool = False
    """It had been set aside until then."""


@dataclass(frozen=True, slots=True)
class WaitingAlarm:
    """An alarm that is not confirmed, as it goes to a receiver. `deliveries` counts those before."""

    number: int
    device_id: str
    account_number: str
    account_sequence: int
    received_at: float
    payload: bytes
    deliveries: int
    maybe_sent: bool
    """It was out under an epoch whose holder was lost: that one may have sent it."""
    losses: int = 0
    """How many times the working receiver was lost with it."""
    replay: bool = False
    """An operator put it back after it had been set aside."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What came of a confirmation: ranges as they were named, cut to what was delivered."""

    newly: Sequence[int]
    """Confirmed by this."""
    known: Sequence[int]
    """Delivered to that receiver under that epoch: newly confirmed, or before."""
    were_aside: int = 0
    """How many of the newly confirmed ones had been set aside meanwhile."""
    received: Sequence[float] = ()
    """When each of the newly confirmed ones was received, in any order. Wall clock."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token of an operator of the cloud. Only its SHA-256 is kept."""

    name: str
    role: int
    sha256: bytes
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class AccountStore(Protocol):
    """ARC accounts, groups, and the tokens of the cloud's operators."""

    async def create_account(self, account: AccountRow, sub_accounts: Sequence[str]) -> None:
        """Create an account with its groups. Raises HotspareError RESOURCE_EXISTS."""
        ...

    async def create_sub_account(self, arc_id: str, sub_account: str) -> None:
        """Add a group. One that is there already is no error."""
        ...

    async def accounts(self) -> Sequence[AccountRow]:
        """All accounts, by id."""
        ...

    async def save_keys(self, account: AccountRow) -> None:
        """Store the keys of an account as they now are; nobody has shown the new one yet."""
        ...

    async def note_key(self, arc_id: str, receiver_id: str, *, changed_over: bool) -> None:
        """Note whether a receiver showed the new key of a running rotation last."""
        ...

    async def changed_over(self) -> Sequence[tuple[str, str]]:
        """Accounts, and their receivers that showed the new key of a running rotation last."""
        ...

    async def groups(self) -> Sequence[GroupRow]:
        """All groups, by account and name."""
        ...

    async def create_token(self, token: TokenRow) -> None:
        """Keep a token. Raises HotspareError RESOURCE_EXISTS when one of the name is valid."""
        ...

    async def revoke_token(self, name: str, at: float) -> None:
        """Revoke the tokens of that name."""
        ...

    async def tokens(self) -> Sequence[TokenRow]:
        """All tokens, by name, revoked ones too."""
        ...


class GroupStore(Protocol):
    """Members and epochs."""

    async def load_group(self, group_id: int) -> GroupFacts:
        """All that is stored of who works."""
        ...

    async def save_member(
        self, group_id: int, member: Membership, generation: int, lines: Sequence[HistoryLine] = ()
    ) -> None:
        """Store a member, new or changed, the group's generation, and lines of the history."""
        ...

    async def remove_members(
        self, group_id: int, departed: Mapping[str, bool], generation: int, lines: Sequence[HistoryLine] = ()
    ) -> None:
        """Remove members, remembering whether their hot spare was ended; the rest as `save_member`."""
        ...

    async def save_step(self, group_id: int, step: Step) -> SavedStep:
        """Store what an event changed of who works, in one commit."""
        ...

    async def add_lines(self, group_id: int, lines: Sequence[HistoryLine]) -> None:
        """Add lines to the history that go with no other change."""
        ...

    async def history(
        self, group_id: int, *, before: int, since: float | None, until: float | None, limit: int
    ) -> Sequence[HistoryLine]:
        """Lines with numbers below `before` (0: any) and times in [since, until), newest first."""
        ...

    async def is_done(self, group_id: int, request_id: str, since: float) -> bool:
        """Whether an operator's wish with that id was carried out since that time."""
        ...

    async def save_last_seen(self, group_id: int, last_seen: Mapping[str, float]) -> None:
        """Note when members were heard last, for people."""
        ...


class AlarmStore(Protocol):
    """Alarms and their deliveries."""

    async def store_alarms(self, group_id: int, alarms: Sequence[NewAlarm]) -> Sequence[KeptAlarm]:
        """Store alarms in their order; those that are kept already stay as they are (A2).

        One with a sighting is the copy of an alarm of the other path where one fits (D3). One whose report says that
        the ARC has it is confirmed (D4)."""
        ...

    async def direct_groups(self) -> Sequence[int]:
        """The groups some alarms of which came, or may yet come, on both paths (D3)."""
        ...

    async def waiting_alarms(self, group_id: int, after: int, limit: int) -> Sequence[WaitingAlarm]:
        """Alarms that are not confirmed with numbers above `after`, by number."""
        ...

    async def note_delivery(self, group_id: int, epoch: int, numbers: Sequence[int]) -> Sequence[int]:
        """Store that alarms go out under an epoch, before they do. Returns those that still wait: only they may go."""
        ...

    async def confirm(
        self, group_id: int, epoch: int, receiver_id: str, ranges: Sequence[tuple[int, int]], at: float
    ) -> Confirmation:
        """Store that a receiver's ARC confirmed alarms that it got under an epoch; other numbers change nothing."""
        ...

    async def oldest_waiting(self, group_id: int) -> float | None:
        """Since when the oldest alarm waits: its receipt, or when it was put back (A5). None: none waits."""
        ...


class Store(AccountStore, GroupStore, AlarmStore, QueueStore, ExpiryStore, RecordStore, Protocol):
    """All that the cloud keeps."""
