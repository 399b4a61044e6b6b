"""The guards of the failover, broken on purpose: some seed has to find each, or the simulator proves nothing.

Only tests can reach them. Each replaces one step of the real code with one that is wrong in one way. The table at the
end names for each the rule that it breaks, and a seed that finds it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from hotspare_cloud import copies
from hotspare_cloud import group as cloud_group
from hotspare_cloud.core import decide, losses, moves, order
from hotspare_cloud.core.admission import Membership, check_attend
from hotspare_cloud.core.state import Attendance, Attended, Beat, EndEpoch, Event, GroupState, Parted
from hotspare_cloud.core.window import Window
from hotspare_cloud.delivery import Delivery, PullSession
from hotspare_cloud.group import Group
from hotspare_cloud.restore import stored_state
from hotspare_cloud.store.base import SavedStep, Step
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_receiver.core.forwarder import Delivered, Forwarder, Sending
from hotspare_receiver.core.lease import CloudState, LeaseGuard
from hotspare_receiver.core.pull_watch import PullWatch
from hotspare_receiver.work import Work
from tests.simulation import mutants_set_aside as set_aside
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
    real = moves._end

    def end(state: GroupState, now: float) -> tuple[GroupState, list[Any]]:
        after, effects = real(state, now)
        assert isinstance(effects[0], EndEpoch)
        return replace(after, holds=state.holds), [EndEpoch(effects[0].epoch, hold=False)]

    return [(moves, "_end", end)]


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

    def echoed(state: GroupState, attendance: Attendance, event: Beat, now: float) -> Attendance:
        return replace(attendance, echoed_at=now, advanced_at=now, deaf=False)

    return [(decide, "_renews", lambda *_: True), (decide, "_echoed", echoed)]


def _every_pull_is_trusted() -> list[Patch]:
    """Nobody looks whether the pull is dead while the beats live."""
    return [(PullSession, "agrees", lambda *_: True), (PullWatch, "stuck", lambda *_: False)]


def _late_confirmations_are_refused() -> list[Patch]:
    """A confirmation under an epoch that has ended is taken for stale, and not for a fact."""
    real = Group.confirm

    async def confirm(self: Group, pull: Any, epoch: int, ranges: Any, *, last: bool) -> bool:
        return await real(self, pull, epoch, ranges, last=last) if epoch == self.state.epoch else True

    return [(Group, "confirm", confirm)]


def _granted_before_it_is_stored() -> list[Patch]:
    """An epoch is told to its holder a moment before it is durable."""
    real = SqliteStore.save_step

    async def save_step(self: SqliteStore, group_id: int, step: Step) -> SavedStep:
        if step.begun is None:
            return await real(self, group_id, step)
        asyncio.get_running_loop().call_later(0.05, lambda: asyncio.create_task(real(self, group_id, step)))
        return SavedStep()

    return [(SqliteStore, "save_step", save_step)]


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
    real = decide._attended

    def attended(state: GroupState, event: Attended, now: float) -> GroupState:
        return _freed(real(state, event, now), event.receiver_id)

    return [(decide, "_attended", attended)]


def _freed(state: GroupState, receiver_id: str) -> GroupState:
    """All that is held for a receiver is free."""
    holds = (replace(hold, until=float("-inf")) if hold.receiver_id == receiver_id else hold for hold in state.holds)
    return replace(state, holds=tuple(holds))


def _a_step_half_done_on_a_full_disk() -> list[Patch]:
    """The window is moved to the next epoch, though that could not be stored."""

    async def once(write: Callable[[], Awaitable[SavedStep]]) -> SavedStep:
        return await write()

    return [(cloud_group, "until_room", once)]


def _the_word_of_a_dead_process_counts() -> list[Patch]:
    """A hello that was held up on the way puts out the process that was started later."""

    def unordered(member: Membership | None, hello: Membership, **facts: bool) -> None:
        check_attend(member, replace(hello, start=2**60), **facts)

    return [(cloud_group, "check_attend", unordered)]


# The word of a process, and copied folders.


def _a_copied_folder_is_a_proof() -> list[Patch]:
    """A process in any folder proves that the one before it has ended."""

    def proved(member: Membership, hello: Membership) -> str:
        return member.incarnation if member.incarnation != hello.incarnation else ""

    return [(cloud_group, "proved_ended", proved)]


def _a_proof_reaches_all_processes() -> list[Patch]:
    """A new process proves the end of all that its receiver ever started, and not of the one before it alone."""
    real = decide._attended

    def attended(state: GroupState, event: Attended, now: float) -> GroupState:
        after = real(state, event, now)
        return _freed(after, event.receiver_id) if event.proof else after

    return [(decide, "_attended", attended)]


def _grants_count_from_the_newest_beat() -> list[Patch]:
    """A grant counts from the beat that was sent last, and not from the one that it names."""
    real = LeaseGuard._granted

    def granted(self: LeaseGuard, state: CloudState, now: float) -> LeaseGuard:
        return real(self, replace(state, answers_beat=self.beats), now)

    return [(LeaseGuard, "_granted", granted)]


def _what_was_released_is_granted_again() -> list[Patch]:
    """A grant for an epoch that was released is taken."""
    over = property(lambda self: max(self.ended_through, self.fenced_through))
    return [(LeaseGuard, "over_through", over)]


# Operators, and moves.


def _forget(**standing: Any) -> list[Patch]:
    real = stored_state
    return [(cloud_group, "stored_state", lambda facts: replace(real(facts), **standing))]


def _a_pin_in_memory_only() -> list[Patch]:
    """A restart of the cloud forgets who is pinned."""
    return _forget(pin=None)


def _a_pause_in_memory_only() -> list[Patch]:
    """A restart of the cloud forgets that moves are paused."""
    return _forget(pause=None)


def _held_back_in_memory_only() -> list[Patch]:
    """A restart of the cloud forgets who is held back."""
    return _forget(losses=(), held_back=frozenset())


def _a_loss_moves_while_paused() -> list[Patch]:
    """While moves are paused, a loss moves the work all the same."""
    return [(order, "_kept_by_pause", lambda state: set(state.posts))]


def _failback_unless(**state_of: Any) -> list[Patch]:
    real = order.failback_due
    return [(order, "failback_due", lambda state, receiver_id: real(replace(state, **state_of), receiver_id))]


def _failback_from_a_pinned_one() -> list[Patch]:
    """One of higher order takes the work back from one that is pinned."""
    real, target = _failback_unless(pin=None), moves.target

    def targeted(state: GroupState, holder: Any, now: float) -> Any:
        return target(replace(state, pin=None) if state.pin and state.pin.reached else state, holder, now)

    return [*real, (moves, "target", targeted)]


def _failback_to_one_that_is_held_back() -> list[Patch]:
    """One that was lost again and again gets the work back."""
    return _failback_unless(held_back=frozenset())


def _losses_do_not_count() -> list[Patch]:
    """Nobody counts who was lost how often."""
    return [(losses, "counted", lambda state, *_: (state, []))]


def _failback_without_delay() -> list[Patch]:
    """One of higher order takes the work back as soon as it is there."""
    real = order.failback_due

    def due(state: GroupState, receiver_id: str) -> float | None:
        return None if real(state, receiver_id) is None else state.attendance[receiver_id].back_since

    return [(order, "failback_due", due)]


# A database that was restored from a copy.


def _restored_without_a_jump() -> list[Patch]:
    """A restored database goes on with the next epoch, number and sequence."""

    def marked(prepared: Path, at: float, leases: object) -> None:
        """Nothing is marked."""

    return [(copies, "_marked", marked), (decide, "HIGHEST_FLOOR", -1)]


def _restored_without_waiting() -> list[Patch]:
    """A restored cloud gives out epochs at once, while leases may live that it knows nothing of."""
    real = decide.restarted
    return [(decide, "restarted", lambda *known: replace(real(*known), not_before=0.0))]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard that is broken."""

    broken: Callable[[], list[Patch]]
    rule: str
    """What it breaks: a section of docs/failover.md's timing rules, or a rule."""
    seed: int
    """One that finds it."""


def _named(*mutants: Mutant) -> dict[str, Mutant]:
    return {mutant.broken.__name__.removeprefix("_").replace("_", "-"): mutant for mutant in mutants}


MUTANTS = _named(
    Mutant(_count_from_the_reply, "two clocks", 115),
    Mutant(_grants_count_from_the_newest_beat, "two clocks", 151),
    Mutant(_what_was_released_is_granted_again, "two clocks", 2),
    Mutant(_lease_of_the_first_beat_only, "two clocks", 1),
    Mutant(_write_without_a_lease, "two clocks", 126),
    Mutant(_skip_the_epoch_check, "F7", 2),
    Mutant(_granted_before_it_is_stored, "order of a change", 1),
    Mutant(_send_before_noting, "order of a change", 1),
    Mutant(_no_hold, "holds", 3),
    Mutant(_holds_in_memory_only, "holds", 50),
    Mutant(_a_release_frees_all_holds, "holds", 7),
    Mutant(_devices_of_held_alarms_go_on, "A3", 21),
    Mutant(_restart_without_renewal, "F11", 13),
    Mutant(_confirm_before_the_arc, "A4", 1),
    Mutant(_late_confirmations_are_refused, "F7", 32),
    Mutant(_told_before_durable, "A1", 3),
    Mutant(_release_before_stored, "F5", 13),
    Mutant(_end_of_stream_is_a_release, "losses", 2),
    Mutant(_deaf_holders_renew, "losses", 62),
    Mutant(_every_pull_is_trusted, "losses", 134),
    Mutant(_a_copied_folder_is_a_proof, "losses", 43),
    Mutant(_a_proof_reaches_all_processes, "losses", 43),
    Mutant(_the_holder_itself_is_taken_for_a_new_process, "losses", 13),
    Mutant(_the_word_of_a_dead_process_counts, "losses", 56),
    Mutant(_a_step_half_done_on_a_full_disk, "order of a change", 462),
    Mutant(_failback_without_delay, "F4", 1),
    Mutant(_a_loss_moves_while_paused, "F8", 27),
    Mutant(_failback_from_a_pinned_one, "F8", 34),
    Mutant(_a_pin_in_memory_only, "F8", 2),
    Mutant(_a_pause_in_memory_only, "F8", 27),
    Mutant(_losses_do_not_count, "F9", 13),
    Mutant(_failback_to_one_that_is_held_back, "F9", 48),
    Mutant(_held_back_in_memory_only, "F9", 93),
    Mutant(set_aside.set_aside_at_the_first_refusal, "A5", 4),
    Mutant(set_aside.a_clock_problem_is_a_refusal, "A5", 25),
    Mutant(set_aside.a_rejected_alarm_is_passed_at_once, "A3", 4),
    Mutant(set_aside.put_back_without_regard_to_holds, "holds", 72),
    Mutant(set_aside.what_is_put_back_is_not_looked_for, "A5", 12),
    Mutant(_restored_without_a_jump, "F11", 1),
    Mutant(_restored_without_waiting, "F11", 1),
)
"""By the name on the command line."""


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break a guard. Empty: none."""
    with ExitStack() as stack:
        for target, attribute, wrong in MUTANTS[name].broken() if name else ():
            stack.enter_context(mock.patch.object(target, attribute, wrong))
        yield
