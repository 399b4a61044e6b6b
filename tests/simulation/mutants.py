"""The guards of timing, broken on purpose: each of these has to be found by some seed, or the simulator proves nothing.

Only tests can reach them. Each replaces one step of the real code with one that is wrong in one way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from hotspare_cloud import group as cloud_group
from hotspare_cloud.core import decide
from hotspare_cloud.core.admission import Membership, check_attend
from hotspare_cloud.core.state import Beat, EndEpoch, Event, GroupState, Parted
from hotspare_cloud.core.window import Window
from hotspare_cloud.delivery import Delivery
from hotspare_cloud.restore import stored_state
from hotspare_receiver.core.forwarder import Delivered, Forwarder, Sending
from hotspare_receiver.core.lease import CloudState, LeaseGuard
from hotspare_receiver.work import Work
from tests.simulation.disk import SimDatabase

Patch = tuple[Any, str, Any]

# At the receiver.


def _count_from_the_reply() -> list[Patch]:
    """A grant is valid for T_holder from its arrival, as in well-known lease libraries."""
    real = LeaseGuard._granted

    def granted(self: LeaseGuard, state: CloudState, now: float) -> LeaseGuard:
        after = real(self, state, now)
        if after is self or state.lease is None:
            return after
        return replace(after, valid_until=now + state.lease.total_seconds())

    return [(LeaseGuard, "_granted", granted)]


def _skip_the_epoch_check() -> list[Patch]:
    """What was delivered under an earlier epoch is written under whatever lease is valid, and nothing is dropped."""

    def may_write(self: LeaseGuard, epoch: int, now: float) -> bool:
        return now < self.valid_until

    def begin(self: Forwarder, epoch: int) -> None:
        self._epoch = epoch

    return [(LeaseGuard, "may_write", may_write), (Forwarder, "begin", begin)]


def _write_without_a_lease() -> list[Patch]:
    """Who holds an epoch writes, whether or not its lease has run out."""

    def may_write(self: Work, epoch: int) -> bool:
        return epoch == self.guard.held != 0

    def take(self: Work, output: str) -> Sending | None:
        return self._forwarder.take(output, self._clock.now()) if self.guard.held else None

    return [(Work, "may_write", may_write), (Work, "take", take)]


def _confirm_before_the_arc() -> list[Patch]:
    """An alarm is confirmed once it is here."""
    real = Work.deliver

    def deliver(self: Work, alarms: Sequence[Delivered], known: set[int]) -> None:
        real(self, alarms, known)
        self._journal.confirm(self.scope, [alarm for alarm in alarms if alarm.number not in known])

    return [(Work, "deliver", deliver)]


def _release_before_stored() -> list[Patch]:
    """An epoch is released without waiting for the cloud to store the confirmations."""
    real = Work._settle

    def settle(self: Work) -> None:
        with mock.patch.object(type(self._journal), "unstored", return_value={}):
            real(self)

    return [(Work, "_settle", settle)]


# At the cloud.


def _lease_of_the_first_beat_only() -> list[Patch]:
    """The cloud does not count the lease anew for the beats that it answers with a grant."""
    real = decide._answer

    def answer(state: GroupState, event: Beat, now: float) -> decide.Result:
        after, effects = real(state, event, now)
        if after.holder is not None and state.holder is not None:
            after = replace(after, holder=replace(after.holder, lease_until=state.holder.lease_until))
        return after, effects

    return [(decide, "_answer", answer)]


def _end_of_stream_is_a_release() -> list[Patch]:
    """The end of a stream counts as proof that its process stopped."""
    real = decide.decide

    def decided(state: GroupState, event: Event, now: float) -> decide.Result:
        if isinstance(event, Parted):
            attendance = state.attendance.get(event.receiver_id)
            if attendance is not None and attendance.incarnation == event.incarnation:
                state = decide._with(state, event.receiver_id, replace(attendance, released_through=state.epoch))
        return real(state, event, now)

    return [(decide, "decide", decided)]


def _no_hold() -> list[Patch]:
    """What was in hand of the old holder goes to the next one at once."""
    real = decide._end

    def end(state: GroupState, now: float) -> tuple[GroupState, list[Any]]:
        after, effects = real(state, now)
        assert isinstance(effects[0], EndEpoch)
        return replace(after, holds=state.holds), [EndEpoch(effects[0].epoch, hold=False)]

    return [(decide, "_end", end)]


def _holds_in_memory_only() -> list[Patch]:
    """A restart of the cloud forgets the holds."""
    real = stored_state
    return [(cloud_group, "stored_state", lambda facts: replace(real(facts), holds=()))]


def _a_release_frees_all_holds() -> list[Patch]:
    """A release proves that all earlier holders stopped, too."""
    real = decide._beat

    def beat(state: GroupState, event: Beat, now: float) -> GroupState:
        before = state.attendance.get(event.receiver_id)
        after = real(state, event, now)
        known = after.attendance.get(event.receiver_id)
        if before is not None and known is not None and known.released_through > before.released_through:
            freed = tuple(replace(hold, until=float("-inf")) for hold in after.holds)
            after = replace(after, holds=freed)
        return after

    return [(decide, "_beat", beat)]


def _restart_without_renewal() -> list[Patch]:
    """After its restart the cloud takes the leases of before as over."""
    real = decide.restarted

    def restarted(settings: Any, stored: GroupState, now: float) -> GroupState:
        after = real(settings, stored, now)
        holder = after.holder and replace(after.holder, lease_until=now)
        return replace(after, holder=holder, holds=tuple(replace(hold, until=now) for hold in after.holds))

    return [(decide, "restarted", restarted)]


def _deaf_holders_renew() -> list[Patch]:
    """A beat renews, whether or not its sender hears the cloud."""
    return [(decide, "_renews", lambda state, event: True)]


def _send_before_noting() -> list[Patch]:
    """A delivery is noted after it was sent."""

    real = Delivery._deliver_page

    async def deliver_page(self: Delivery) -> bool:
        store, pull, epoch = self._store, self.pull, self.window.epoch
        noting = store.note_delivery

        async def note_delivery(group_id: int, under: int, numbers: Sequence[int]) -> Sequence[int]:
            asyncio.get_running_loop().call_later(0.05, lambda: asyncio.create_task(_late(noting, epoch, numbers)))
            return numbers

        with mock.patch.object(store, "note_delivery", note_delivery):
            return await real(self) if pull else False

    return [(Delivery, "_deliver_page", deliver_page)]


async def _late(noting: Any, epoch: int, numbers: Sequence[int]) -> None:
    await noting(1, epoch, numbers)


def _devices_of_held_alarms_go_on() -> list[Patch]:
    """Later alarms of a device do not wait for its held one."""
    real = Window.hold

    def hold(self: Window, epoch: int, number: int, device_id: str) -> None:
        real(self, epoch, number, f"nobody-{number}")

    return [(Window, "hold", hold)]


# On disks.


def _told_before_durable() -> list[Patch]:
    """A write is answered before it is durable (synchronous=NORMAL, and then a power cut)."""
    real = SimDatabase._commit_next

    def commit_next(self: SimDatabase) -> None:
        begins = not self._committing and bool(self._waiting)
        real(self)
        if begins:
            group, results = self._committing, []
            for work, _, _ in group:
                # What it will be, without its being so.
                self._disk.connection.execute("SAVEPOINT guess")
                results.append(work(self._disk.connection))
                self._disk.connection.execute("ROLLBACK TO guess")
                self._disk.connection.execute("RELEASE guess")
            for (_, done, _), result in zip(group, results, strict=True):
                if not done.done():
                    done.set_result(result)

    return [(SimDatabase, "_commit_next", commit_next)]


# What the simulator found when it was new.


def _the_holder_itself_is_taken_for_a_new_process() -> list[Patch]:
    """After a restart of the cloud the return of a holder frees its own hold."""
    real = decide._proved

    def proved(state: GroupState, receiver_id: str, through: int, unless: str = "") -> GroupState:
        return real(state, receiver_id, through)

    return [(decide, "_proved", proved)]


def _a_step_half_done_on_a_full_disk() -> list[Patch]:
    """The window is moved to the next epoch, though that could not be stored."""

    async def once(write: Callable[[], Awaitable[None]]) -> None:
        await write()

    return [(cloud_group, "until_room", once)]


def _the_word_of_a_dead_process_counts() -> list[Patch]:
    """A hello that was held up on the way puts out the process that was started later."""

    def unordered(member: Membership | None, hello: Membership, **facts: bool) -> None:
        check_attend(member, replace(hello, start=2**60), **facts)

    return [(cloud_group, "check_attend", unordered)]


MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    mutant.__name__.removeprefix("_").replace("_", "-"): mutant
    for mutant in (
        _count_from_the_reply,
        _skip_the_epoch_check,
        _write_without_a_lease,
        _confirm_before_the_arc,
        _release_before_stored,
        _lease_of_the_first_beat_only,
        _end_of_stream_is_a_release,
        _no_hold,
        _holds_in_memory_only,
        _a_release_frees_all_holds,
        _restart_without_renewal,
        _deaf_holders_renew,
        _send_before_noting,
        _devices_of_held_alarms_go_on,
        _told_before_durable,
        _the_holder_itself_is_taken_for_a_new_process,
        _a_step_half_done_on_a_full_disk,
        _the_word_of_a_dead_process_counts,
    )
}
"""By the name on the command line."""


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break a guard. Empty: none."""
    with ExitStack() as stack:
        for target, attribute, wrong in MUTANTS[name]() if name else ():
            stack.enter_context(mock.patch.object(target, attribute, wrong))
        yield
