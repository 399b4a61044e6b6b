"""The cloud's end of Attend: what it sends to one receiver, and what the receiver's echoes prove."""

import asyncio
from collections import deque
from dataclasses import dataclass

from hotspare_cloud.core.order import Standby
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings, Role

ECHOES_KEPT = 256
"""States whose time of sending is remembered; a beat that echoes an older one does not renew."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a receiver told with its newest beat, for people and metrics. Spans in seconds."""

    problems: tuple["Problem", ...] = ()
    disk_free_bytes: int = 0
    loop_lag: float = 0.0
    waiting: int = 0
    confirmed: int = 0
    oldest_age: float | None = None
    isolated_waiting: int = 0
    sync_state: int = 0
    sync_revision: int = 0
    sync_detail: str = ""
    pull_id: int = 0
    last_delivery: int = 0

    @property
    def visible(self) -> tuple[object, ...]:
        """What people are told of at once when it changes."""
        return (self.problems, self.sync_state, self.sync_revision, self.sync_detail)


SYNC_SYNCING, SYNC_BEHIND, SYNC_VERSION_DIFFERS, SYNC_FAILED, SYNC_DIVERGED = 3, 4, 5, 6, 7
"""Numbers of SyncState in group.proto."""


def may_return(sync_state: int, role: Role | None) -> bool:
    """Whether the copy of the configuration lets a receiver take the work back (F4).

    A host must not be behind the cloud, a spare has to be in sync. One that never told counts as fine.
    """
    if role is Role.HOST:
        return sync_state not in (SYNC_BEHIND, SYNC_DIVERGED)
    return sync_state not in (SYNC_SYNCING, SYNC_BEHIND, SYNC_VERSION_DIFFERS, SYNC_FAILED, SYNC_DIVERGED)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a receiver, as it says. `kind` is a number of HealthProblemKind."""

    kind: int
    subject: str
    detail: str
    since: float | None


@dataclass(frozen=True, slots=True)
class CloudState:
    """The full state towards one receiver, as every message of the cloud in Attend carries it."""

    boot: str
    number: int
    answers_beat: int
    epoch: int
    working: bool
    lease: float | None
    """T_holder in seconds. None: no grant."""
    yield_to: str
    ended_through: int
    pull_id: int
    last_delivery: int
    settings: GroupSettings
    working_receiver_id: str
    role: Role | None
    paused: bool = False
    standby: Standby | None = None
    """Why it does not work. None: it does, or was not heard yet."""


class AttendSession:
    """One Attend stream. The service takes what is to be sent from `next_state`."""

    def __init__(self, receiver_id: str, incarnation: str) -> None:
        self.receiver_id = receiver_id
        self.incarnation = incarnation
        self._outbox: asyncio.Queue[CloudState | Exception | None] = asyncio.Queue()

    def send(self, state: CloudState) -> None:
        """Queue a state. A peer that does not read costs little: its beats stop, and then so do our answers."""
        self._outbox.put_nowait(state)

    def end(self, error: Exception) -> None:
        """End the stream with an error, after what is queued. One that is no HotspareError is a defect of ours."""
        self._outbox.put_nowait(error)

    def finish(self) -> None:
        """End the stream with OK: the receiver did."""
        self._outbox.put_nowait(None)

    async def next_state(self) -> CloudState | None:
        """The next state to be sent; None at the end. Raises the error that ends the stream."""
        item = await self._outbox.get()
        if isinstance(item, Exception):
            raise item
        return item


def superseded_by(session: AttendSession, incarnation: str) -> HotspareError:
    """What ends a stream whose place was taken by one of that incarnation."""
    if session.incarnation == incarnation:
        return HotspareError(Reason.STREAM_SUPERSEDED, "a newer stream took this one's place", stream="attend")
    return HotspareError(
        Reason.INCARNATION_SUPERSEDED,
        "a newer start of this receiver has attended; this process must end",
        receiver_id=session.receiver_id,
        incarnation=session.incarnation,
    )


class Line:
    """All streams of one receiver in this run of the cloud: their states are numbered together."""

    def __init__(self) -> None:
        self.session: AttendSession | None = None
        self.beat = 0
        """The newest beat that was received of the incarnation that attends."""
        self.number = 0
        self._sent: deque[tuple[int, float]] = deque(maxlen=ECHOES_KEPT)

    def numbered(self, now: float) -> int:
        """The number of the state that is sent now."""
        self.number += 1
        self._sent.append((self.number, now))
        return self.number

    def echo_sent(self, number: int) -> float | None:
        """When the state with that number was sent. None: never, or too long ago to be remembered."""
        for sent, at in reversed(self._sent):
            if sent == number:
                return at
            if sent < number:
                return None
        return None
