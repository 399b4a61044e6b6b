"""The holder's guard: whether this receiver may write alarms to its ARC, at this very moment.

1. The clock is read before a beat is sent. A grant that answers beat n is valid until sent(n) + lease, however late it
   arrives. Of several grants for one epoch the one that lasts longest counts.
2. A grant that names a beat we never sent, or sent too long ago to remember, grants nothing.
3. A state older than the newest one seen is ignored; a new boot of the cloud is newer than every earlier one.
4. An epoch that ended, was released or was fenced here is over: no grant brings it back. An epoch below the group's
   current one has ended as well.
5. Writing needs the held epoch, not over, and a lease that has not run out. A lease that ran out can be renewed.
6. While the cloud says to yield, or this receiver wants to stop, nothing new is taken (F5). Both are levels.
7. An epoch that is over is told as released once nothing of it can leave this machine any more and the cloud has stored
   all that was confirmed: that is proof for the cloud, and what it holds for that epoch need not wait longer.

Pure: `LeaseGuard` is a value; each event gives the next guard, and what changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from math import inf
from typing import TypeAlias

REMEMBERED_BEATS = 64
"""A beat is at least a twelfth of the lease: older ones could not make a valid grant."""

REMEMBERED_BOOTS = 8
"""Boots of the cloud that were left behind, so that a straggler of one of them is known as old."""


@dataclass(frozen=True, slots=True)
class CloudState:
    """What the cloud says of us, whole each time (AttendResponse)."""

    boot: str
    number: int
    answers_beat: int
    epoch: int
    working: bool
    lease: timedelta | None
    """T_holder, counted from before `answers_beat` was sent. None: no grant."""
    ended_through: int = 0
    yield_to: str = ""


@dataclass(frozen=True, slots=True)
class SentBeat:
    """A beat, and the clock before it was sent."""

    number: int
    sent: float


@dataclass(frozen=True, slots=True)
class TookOver:
    """We hold this epoch now, and may write."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Over:
    """The epoch that we held is over: ended by the cloud, released or fenced. It never comes back."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The lease has run out. Nothing is written until it is renewed."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """The lease of the epoch that had run out is valid again."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Draining:
    """Nothing new is taken under this epoch. `to` is the id of the next; empty: it is our own wish."""

    epoch: int
    to: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The wish to yield is gone before we released: the epoch goes on."""

    epoch: int


Change: TypeAlias = TookOver | Over | Lapsed | Renewed | Draining | Resumed


@dataclass(frozen=True, slots=True)
class LeaseGuard:
    """What the holder knows. Times are floats of one monotonic clock."""

    epoch: int = 0
    """The newest epoch that was granted to us. 0: none ever."""
    valid_until: float = -inf
    lapsed: bool = True
    """Whether the end of the lease was noticed (`tick`)."""

    ended_through: int = 0
    released_through: int = 0
    fenced_through: int = 0
    highest_epoch: int = 0
    """The highest epoch of the group that we ever heard of."""
    offered_epoch: int = 0
    """The highest epoch of which the cloud said that we hold it, with a lease or not yet."""

    yield_to: str = ""
    stopping: bool = False
    """Whether we want to give the work back (F5: a clean stop)."""

    beats: int = 0
    """Number of the newest beat. They are numbered per incarnation, never anew per stream."""
    sent: tuple[SentBeat, ...] = ()
    boot: str = ""
    number: int = 0
    """With `boot`, the newest state seen: the echo."""
    left_boots: tuple[str, ...] = ()

    # What may be done.

    @property
    def over_through(self) -> int:
        """No epoch up to this one may be written under, ever again."""
        return max(self.ended_through, self.released_through, self.fenced_through)

    @property
    def held(self) -> int:
        """The epoch that we hold, valid lease or not. 0: none."""
        return self.epoch if self.epoch > self.over_through else 0

    @property
    def draining(self) -> bool:
        """Whether we hold an epoch and are to give it back."""
        return self.held != 0 and (self.stopping or self.yield_to != "")

    def may_write(self, epoch: int, now: float) -> bool:
        """Whether an alarm delivered under `epoch` may be written to the ARC now (F7)."""
        return epoch == self.held != 0 and now < self.valid_until

    def may_take(self, now: float) -> bool:
        """Whether new alarms may be taken from the cloud now."""
        return self.may_write(self.epoch, now) and not self.draining

    def remaining(self, now: float) -> float:
        """Seconds for which the lease is still valid; 0 without one."""
        return max(0.0, self.valid_until - now) if self.held else 0.0

    # Events.

    def beat(self, now: float) -> "LeaseGuard":
        """A beat is about to be sent; its number is the new `beats`. `now` is the clock read just before."""
        number = self.beats + 1
        sent = (*self.sent, SentBeat(number, now))[-REMEMBERED_BEATS:]
        return replace(self, beats=number, sent=sent)

    def heard(self, state: CloudState, now: float) -> tuple["LeaseGuard", tuple[Change, ...]]:
        """The cloud's state arrived."""
        if self._is_old(state):
            return self, ()
        return self._changed_to(self._knowing(state)._granted(state, now), now)

    def tick(self, now: float) -> tuple["LeaseGuard", tuple[Change, ...]]:
        """Time has passed; due at `valid_until`."""
        return self._changed_to(self, now)

    def stop(self, now: float) -> tuple["LeaseGuard", tuple[Change, ...]]:
        """From now on we want to give back whatever we hold."""
        return self._changed_to(replace(self, stopping=True), now)

    def release(self, now: float) -> tuple["LeaseGuard", tuple[Change, ...]]:
        """Nothing is written under the held epoch any more, and the cloud stored all that was confirmed."""
        return self._changed_to(replace(self, released_through=max(self.released_through, self.epoch)), now)

    def settle(self, now: float) -> tuple["LeaseGuard", tuple[Change, ...]]:
        """Of the newest epoch that was ours and is over, nothing is in flight and nothing is left to be told (7)."""
        if self.held or self.epoch <= self.released_through:
            return self, ()
        return self._changed_to(replace(self, released_through=self.epoch), now)

    def fence(self, now: float) -> tuple["LeaseGuard", tuple[Change, ...]]:
        """Nothing may be written any more under any epoch that was ours so far, whatever the cloud says."""
        return self._changed_to(replace(self, fenced_through=self.offered_epoch), now)

    def attending_again(self, now: float) -> tuple["LeaseGuard", tuple[Change, ...]]:
        """We want to work again, in the same group. What is over stays so; a wish to yield is the cloud's to end."""
        return self._changed_to(replace(self, stopping=False), now)

    # How.

    def _is_old(self, state: CloudState) -> bool:
        if state.boot == self.boot:
            return state.number <= self.number
        return state.boot in self.left_boots

    def _knowing(self, state: CloudState) -> "LeaseGuard":
        left = self.left_boots
        if state.boot != self.boot and self.boot:
            left = (*left, self.boot)[-REMEMBERED_BOOTS:]
        return replace(
            self,
            boot=state.boot,
            number=state.number,
            left_boots=left,
            # An epoch below the group's current one has ended, whoever holds that (F7).
            ended_through=max(self.ended_through, state.ended_through, state.epoch - 1),
            highest_epoch=max(self.highest_epoch, state.epoch),
            offered_epoch=max(self.offered_epoch, state.epoch if state.working else 0),
            yield_to=state.yield_to,
        )

    def _granted(self, state: CloudState, now: float) -> "LeaseGuard":
        sent = next((beat.sent for beat in reversed(self.sent) if beat.number == state.answers_beat), None)
        if not state.working or state.lease is None or sent is None:
            return self
        until = sent + state.lease.total_seconds()
        if state.epoch < self.epoch or until <= now:
            return self
        if state.epoch == self.epoch:
            until = max(until, self.valid_until)
        return replace(self, epoch=state.epoch, valid_until=until)

    def _changed_to(self, after: "LeaseGuard", now: float) -> tuple["LeaseGuard", tuple[Change, ...]]:
        after = replace(after, lapsed=not after.may_write(after.epoch, now))
        return after, tuple(_changes(self, after))


def _changes(before: LeaseGuard, after: LeaseGuard) -> Iterator[Change]:
    if before.held and before.held != after.held:
        yield Over(before.held)
    if not after.held:
        return
    if after.held != before.held:
        yield TookOver(after.held)
    elif after.lapsed != before.lapsed:
        yield Lapsed(after.held) if after.lapsed else Renewed(after.held)
    was_draining = before.draining and before.held == after.held
    if after.draining and not was_draining:
        yield Draining(after.held, after.yield_to)
    elif was_draining and not after.draining:
        yield Resumed(after.held)
