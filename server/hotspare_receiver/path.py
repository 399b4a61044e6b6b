"""The alarm path of a receiver, as the rest of it sees it: start, attend, leave, stop, and a snapshot."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from hotspare.v1 import group_pb2
from hotspare_model.alarm import StoredAlarm
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings, Role
from hotspare_receiver.clients.attend import EXPELLING, Attend, CloudAccess
from hotspare_receiver.clients.attend_messages import BeatReport, Told
from hotspare_receiver.clients.pull import Pull
from hotspare_receiver.clock import Clock, SystemClock
from hotspare_receiver.core.forwarder import Delivered
from hotspare_receiver.core.group_view import GroupView
from hotspare_receiver.core.health import DISK_FLOOR, Facts
from hotspare_receiver.core.lease import LeaseGuard
from hotspare_receiver.core.pull_watch import PullWatch
from hotspare_receiver.direct.line import DirectLine
from hotspare_receiver.health import HealthWatch
from hotspare_receiver.journal import Journal, Range, Refusal, Unstored
from hotspare_receiver.outputs.making import OutputMaker
from hotspare_receiver.outputs.sender import Output
from hotspare_receiver.outputs.trial import Trial
from hotspare_receiver.snapshot import (
    Attendance,
    Expulsion,
    Introduction,
    LeaseSnapshot,
    OutputConfig,
    PathSnapshot,
    PullSnapshot,
    SyncReport,
)
from hotspare_receiver.work import Work
from hotspare_rpc.logs import log_event

_COPY_COUNTS = (group_pb2.SYNC_STATE_UP_TO_DATE, group_pb2.SYNC_STATE_UPLOADING)
"""How a copy stands that is the group's: equal to the cloud's, or the host's own with edits on their way there."""

_log = logging.getLogger(__name__)


class AlarmPath:
    """From the cloud to the ARC and back. All calls are made in one event loop."""

    def __init__(
        self,
        *,
        cloud: CloudAccess,
        journal: Journal,
        incarnation: str,
        introduce: Callable[[], Introduction],
        sync: Callable[[], SyncReport],
        disk_free: Callable[[], int],
        on_expelled: Callable[[Expulsion], None],
        on_behind: Callable[[int], Awaitable[None]],
        on_change: Callable[[], None],
        clock: Clock | None = None,
        disk_floor: Callable[[], int] = lambda: DISK_FLOOR,
        make_output: OutputMaker = Output,
        direct: DirectLine | None = None,
        tell_sync: Callable[[SyncReport], SyncReport] = lambda report: report,
    ) -> None:
        """Build it; nothing runs before `start`.

        `on_expelled`: the cloud says that the role is gone; the path has stopped by then. `on_behind`: the cloud
        knows a start of this receiver with that number, and this one has to count on above it. `on_change`: the
        snapshot has changed in a way that people want to see at once. `disk_free`, `disk_floor`: bytes; below the
        floor this receiver is not healthy. `sync`: how the copy of the configuration stands; `tell_sync`: what the
        cloud is told of that.
        """
        self._clock = clock or SystemClock()
        self._journal = journal
        self._sync = sync
        self._tell_sync = tell_sync
        self._disk_free = disk_free
        self._disk_floor = disk_floor
        self._on_expelled = on_expelled
        self._on_change = on_change
        self._work = Work(
            journal,
            self._clock,
            on_levels=self._levels_changed,
            on_confirmed=self._confirmed,
            on_resumed=lambda: self._pull.reopen("the wish to yield is gone"),
            on_refused=lambda refusal: self._pull.refuse(refusal),
            make_output=make_output,
            direct=direct,
            copy_counts=self._copy_counts,
        )
        self._attend = Attend(cloud, self, introduce, incarnation, self._clock, on_behind, on_change)
        self._pull = Pull(cloud, self, incarnation)
        self._health = HealthWatch(self._clock, self._facts, self._health_changed)
        self._pull_watch = PullWatch()
        self._streams = 0
        self._answers = 0
        self._attendance: Attendance | None = None
        self._told: Told | None = None
        self._heard_at = self._clock.now()
        self._acknowledged = asyncio.Event()

    @property
    def settings(self) -> GroupSettings:
        """The settings of the group as the cloud told them last, else the defaults."""
        return self._work.settings

    # What the rest of the receiver does.

    def start(self, outputs: Sequence[OutputConfig], attendance: Attendance | None) -> None:
        """Begin, inside the running loop."""
        self.set_outputs(outputs)
        self._health.start()
        if attendance is not None:
            self.attend(attendance)

    def set_outputs(self, outputs: Sequence[OutputConfig]) -> None:
        """Have exactly these outputs. One that did not change keeps its link."""
        self._work.set_outputs(outputs)
        self._health.look()
        self._on_change()

    def follow_group(self, group: GroupView) -> None:
        """Go by what the group's configuration says now (definitions.py)."""
        self._work.follow_group(group)

    def try_output(self, name: str, stored: StoredAlarm) -> Trial:
        """Send a test alarm through one output (outputs/sender.py).

        Raises KeyError when there is none of that name, ValueError when the alarm fits no message of it, and
        ConnectionError, with the problem in words, when it has no link.
        """
        return self._work.output(name).try_out(stored)

    @property
    def attendance(self) -> Attendance | None:
        """As what it attends; None: it does not."""
        return self._attendance

    @property
    def silent_for(self) -> float | None:
        """Seconds since the cloud was heard, or since the start. None: it refuses this receiver, or is not attended."""
        if self._attendance is None or self._attend.snapshot.final:
            return None
        return self._clock.now() - self._heard_at

    def attend(self, attendance: Attendance) -> None:
        """Attend so from now on. In the same group a held epoch goes on, whatever the role is now (G7)."""
        if attendance.scope != self._work.scope:
            self._pull_watch = PullWatch()
        if self.silent_for is None:
            # While nothing was attended nobody was to be heard: that is no silence of the cloud (D4).
            self._heard_at = self._clock.now()
        self._attendance = attendance
        self._told = None
        self._work.belong_to(attendance.scope)
        self._attend.start(attendance)
        self._pull.start()
        self._pull.changed()

    def reconnect(self) -> None:
        """The channel to the cloud is another one."""
        self._attend.restart()
        self._pull.stop()
        if self._attendance is not None:
            self._pull.start()

    def introduce(self) -> None:
        """What this receiver says of itself is another: say it again. A lease that is held goes on."""
        self._attend.restart()

    async def leave(self, timeout: timedelta) -> int:
        """Give the work back, attend no more, and return the highest epoch that is surely not written under.

        Takes at most `timeout`; after that the work is lost to the group as by a failure, but never written
        twice.
        """
        await self._hand_over(timeout)
        self.fence()
        self._end()
        return self._work.guard.epoch

    async def stop(self, timeout: timedelta) -> None:
        """Give the work back (F5), then stop everything. Takes at most `timeout`."""
        await self._hand_over(timeout)
        self._health.stop()
        self._work.close()
        self._end()
        await self._journal.flush()

    def fence(self) -> None:
        """Write no alarm any more from this call on, under any epoch known so far."""
        self._work.fence()

    def snapshot(self) -> PathSnapshot:
        """The path as it is now."""
        guard, now = self._work.guard, self._clock.now()
        progress = self._work.progress()
        pull_id, last_delivery = self._pull.position
        told = self._told
        return PathSnapshot(
            attendance=self._attendance,
            cloud=self._attend.snapshot,
            lease=LeaseSnapshot(
                epoch=guard.held,
                remaining=timedelta(seconds=guard.remaining(now)),
                working=guard.may_write(guard.epoch, now),
                draining=guard.draining,
                released_through=guard.released_through,
                highest_epoch=guard.highest_epoch,
                beats_sent=guard.beats,
                beats_missed=self._attend.beats_missed,
                renewals=self._attend.renewals,
            ),
            pull=PullSnapshot(
                open=pull_id != 0,
                pull_id=pull_id,
                last_delivery=last_delivery,
                reopened=self._pull.reopened,
                unstored=len(self._work.unstored()),
            ),
            counters=self._work.counters,
            waiting=progress.waiting,
            oldest_age=timedelta(seconds=progress.oldest_age) if progress.oldest_age is not None else None,
            problems=self._health.problems,
            disk_free=self._free(),
            loop_lag=timedelta(seconds=self._health.lag),
            outputs=self._work.outputs(),
            settings=self._work.settings,
            role=told.role if told is not None else None,
            working_receiver_id=told.working_receiver_id if told is not None else "",
            paused=told.paused if told is not None else False,
            clock_problems=dict(self._work.clock_problems),
            standby_reason=told.standby_reason if told is not None else 0,
        )

    # What the life line asks (Holder).

    @property
    def guard(self) -> LeaseGuard:
        """The lease guard as it is."""
        return self._work.guard

    def next_beat(self) -> LeaseGuard:
        """Count one more beat, which is sent at once."""
        return self._work.next_beat()

    def report(self) -> BeatReport:
        """What a beat tells."""
        self._health.look()
        pull_id, last_delivery = self._pull.position
        return BeatReport(
            pull_id=pull_id,
            last_delivery=last_delivery,
            progress=self._work.progress(),
            problems=self._health.problems,
            disk_free=self._free(),
            loop_lag=self._health.lag,
            sync=self._tell_sync(self._sync()),
        )

    def heard(self, told: Told) -> None:
        """The cloud's state arrived."""
        self._heard_at = self._clock.now()
        before, self._told = self._told, told
        if told.settings is not None:
            self._work.settings = told.settings
        self._work.heard(told.state)
        self._watch_pull(told)
        self._acknowledged.set()
        if before is None or _seen(before) != _seen(told):
            self._on_change()

    def refused(self, error: HotspareError) -> None:
        """The cloud will not have us, until an operator acted."""
        log_event(_log, logging.WARNING, "attend_refused", reason=error.reason.value, problem=error.message)
        self.fence()
        self._pull.stop()
        if error.reason in EXPELLING:  # The other final ones leave the role, for an operator to look.
            self._attendance = None
            self._on_expelled(Expulsion(error.reason, error.message))
        self._on_change()

    # What the pull asks (Puller).

    @property
    def pull_epoch(self) -> int:
        """The epoch to pull under: the one held, while there is somewhere to send alarms (A4)."""
        guard = self._work.guard
        if not self._work.has_required_output:
            return 0
        is_open = self._pull.position[0] != 0
        return guard.held if is_open or guard.may_write(guard.epoch, self._clock.now()) else 0

    @property
    def window(self) -> int:
        """How many alarms may be here unconfirmed."""
        return self._work.settings.window

    def unstored(self) -> Sequence[Unstored]:
        """The confirmations that the cloud has to be told."""
        return self._work.unstored()

    def refusals(self) -> Sequence[Refusal]:
        """What outputs refused too often, and the cloud has to set aside."""
        return self._work.refusals()

    async def delivered(self, alarms: Sequence[Delivered]) -> None:
        """Alarms came."""
        refused = await self._journal.refused_before(self._work.scope, alarms)
        # Asked last: what was confirmed meanwhile must not be missed.
        known = await self._journal.known_confirmed(self._work.scope, alarms)
        self._work.recall(refused)
        self._work.deliver(alarms, known)

    def mismatched(self) -> None:
        """The pull is opened anew, since the numbers of deliveries did not agree with the cloud's."""
        self._pull_watch = self._pull_watch.opened_anew(self._clock.now())

    def withdrawn(self, number: int) -> None:
        """An alarm is not to be sent."""
        self._work.withdraw(number)

    def stored(self, epoch: int, ranges: Sequence[Range], never_delivered: Sequence[Range]) -> None:
        """The cloud has confirmations durably, or dropped them."""
        self._answers += 1
        self._work.stored(epoch, ranges, never_delivered)

    # How.

    def _levels_changed(self) -> None:
        self._attend.beat_now()
        self._pull.changed()
        self._on_change()

    def _confirmed(self, confirmations: Sequence[Unstored]) -> None:
        self._pull.confirm(confirmations)

    def _watch_pull(self, told: Told) -> None:
        now, watch = self._clock.now(), self._pull_watch
        if self._attend.streams != self._streams:
            self._streams = self._attend.streams
            watch = watch.connected()
        wanted = self.pull_epoch != 0 and not self._work.guard.draining
        cloud = (told.pull_id, told.last_delivery)
        self._pull_watch = watch = watch.told(
            cloud,
            self._pull.position,
            now,
            wanted=wanted,
            untold=bool(self._work.unstored() or self._work.refusals()),
            answers=self._answers,
        )
        if watch.stuck(now):
            self._pull_watch = watch.opened_anew(now)
            self._pull.reopen("it does not agree with the cloud's, or what we say in it gets no answer")

    async def _hand_over(self, timeout: timedelta) -> None:
        """Give back what is held, and wait until the cloud has seen that."""
        epoch = self._work.guard.held
        self._work.stop_working()
        if not epoch:
            return
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                while self._work.guard.ended_through < epoch:
                    self._acknowledged.clear()
                    await self._acknowledged.wait()
        except TimeoutError:
            log_event(_log, logging.WARNING, "hand_over_overdue", epoch=epoch)

    def _end(self) -> None:
        self._attendance = None
        self._told = None
        self._attend.stop()
        self._pull.stop()

    def _copy_counts(self) -> bool:
        """Whether the copy of the configuration here is known to be the group's, and the cloud not lost for long."""
        silent = self.silent_for
        recent = silent is not None and silent <= self.settings.sync_interval.total_seconds()
        return recent and self._sync().state in _COPY_COUNTS

    def _health_changed(self) -> None:
        self._attend.beat_now()
        self._on_change()

    def _facts(self) -> Facts:
        guard, now = self._work.guard, self._clock.now()
        connected = self._attend.snapshot.connected
        return Facts(
            outputs=self._work.required_outputs(),
            disk_free=self._free(),
            disk_floor=self._disk_floor(),
            working=guard.may_take(now),
            pressing=self._work.pressing,
            answered=self._work.answered,
            pull_broken_since=self._pull_watch.broken(now) if connected else None,
            unhealthy_after=self._work.settings.unhealthy_after.total_seconds(),
        )

    def _free(self) -> int:
        try:
            return self._disk_free()
        except OSError as error:
            # A disk that can't even be asked takes nothing.
            log_event(_log, logging.ERROR, "disk_not_asked", error=error)
            return 0


def _seen(told: Told) -> tuple[int, bool, str, str, bool, Role | None, int]:
    """What people see of a state."""
    state, working = told.state, told.working_receiver_id
    return (state.epoch, state.working, state.yield_to, working, told.paused, told.role, told.standby_reason)
