"""One group at work: carries events to the deciding machine, and its effects to the store and the streams.

Everything that concerns who works passes `step`, one event at a time. What it decided is stored in one commit before
anyone is told of it. Who belongs to the group is the matter of `roster`, what operators want that of `verbs`.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hotspare_cloud.attendance import AttendSession, CloudState, Line, Report, may_return, superseded_by
from hotspare_cloud.clock import STALL, StallWatch, boottime
from hotspare_cloud.core import decide, order
from hotspare_cloud.core.admission import Membership, check_attend, proved_ended, superseding
from hotspare_cloud.core.state import (
    Attended,
    Beat,
    BeginEpoch,
    Effect,
    EndEpoch,
    Event,
    FreeHold,
    GroupState,
    Hold,
    Note,
    Parted,
    SettingsChanged,
    Stalled,
    Tell,
    TellAll,
    Tick,
    WorksAgain,
)
from hotspare_cloud.delivery import Delivery, PullSession, Stale, Stored, Withdraw, missing
from hotspare_cloud.finish import finished, start, until_room
from hotspare_cloud.history import arc_alarm, lines_of
from hotspare_cloud.oddities import Oddities
from hotspare_cloud.restore import restored_window, stored_state
from hotspare_cloud.set_aside import LOST_WITH, Aside, set_aside
from hotspare_cloud.store.base import GroupFacts, GroupRow, HistoryLine, NewAlarm, Step, Store
from hotspare_cloud.store.base_queue import SetAsideCause
from hotspare_cloud.tally import Tally
from hotspare_model.errors import HotspareError
from hotspare_model.group import SILENCE_LIMIT, MemberStatus
from hotspare_rpc.logs import log_event

_log = logging.getLogger(__name__)

MISMATCHES = 2
"""So many pulls in a row that got lost make a receiver count as unable to deliver."""


class Group:
    """One group, from its stored facts on."""

    def __init__(self, row: GroupRow, facts: GroupFacts, store: Store, watch: StallWatch, boot: str) -> None:
        self.row = row
        self.generation = facts.generation
        self.members: dict[str, Membership] = dict(facts.members)
        self.departed: dict[str, bool] = dict(facts.departed)
        """Receivers that were members once: whether their hot spare was ended (X2), or they left or were removed."""
        self.last_seen: dict[str, float] = dict(facts.last_seen)
        self.reports: dict[str, Report] = {}
        self.backlog = facts.backlog
        self.aside = Aside(facts.set_aside)
        """Alarms that are set aside (A5)."""
        self.tally = Tally()
        self.confirmed = 0
        self.late_confirmations = 0
        self.working_since: float | None = None
        """Wall clock, for people."""
        self.watchers: set[Callable[[], None]] = set()
        self.lines: dict[str, Line] = {}
        """The life lines, by receiver."""
        self.store = store
        self.lock = asyncio.Lock()
        """Held by whatever changes members or who works."""
        self._watch = watch
        self._stalls = watch.stalls
        self._boot = boot
        self._mismatches: dict[str, int] = {}
        self._odd = Oddities(self)
        self._told_statuses: tuple[tuple[str, MemberStatus], ...] = ()
        self._stopped: HotspareError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.state = decide.restarted(facts.settings, stored_state(facts), boottime())
        if self.state.holder is not None:
            self.working_since = facts.epochs[-1].started_at
        window = restored_window(facts, self.state)
        self.delivery = Delivery(row.group_id, store, window, boottime, self._may_deliver)

    # Attend.

    async def attend(self, member: Membership, hello: Attended) -> AttendSession:
        """Admit a process of a member and open its line; see `_attend`. One that left meanwhile is parted again."""
        admission = start(self._attend(member, hello))
        try:
            return await asyncio.shield(admission)
        except asyncio.CancelledError:
            start(self._part_admitted(admission))
            raise

    async def _part_admitted(self, admission: asyncio.Task[AttendSession]) -> None:
        with contextlib.suppress(HotspareError):
            await self.part(await admission)

    async def _attend(self, member: Membership, hello: Attended) -> AttendSession:
        """Admit a process of a member and open its line. `member` is how it describes itself.

        Raises:
            HotspareError: NOT_A_MEMBER, HOT_SPARE_ENDED, MACHINE_MISMATCH, INCARNATION_SUPERSEDED, START_BEHIND.
        """
        receiver_id, incarnation = hello.receiver_id, hello.incarnation
        async with self.lock:
            self._check_open()
            known = self.members.get(receiver_id)
            here = order.here(self.state, receiver_id, boottime())
            try:
                check_attend(known, member, ended=self.departed.get(receiver_id, False), here=here)
            except HotspareError as refused:
                await self._odd.refused(member, refused)
                raise
            assert known is not None
            described = replace(
                member,
                role=known.role,
                generation=known.generation,
                joined_at=known.joined_at,
                superseded=superseding(known, incarnation),
            )
            if described != known:
                await self.store.save_member(self.row.group_id, described, self.generation)
                self.members[receiver_id] = described
            line = self.lines.setdefault(receiver_id, Line())
            if line.session is not None:
                line.session.end(superseded_by(line.session, incarnation))
            if known.incarnation != incarnation:
                line.beat = 0
                self._mismatches.pop(receiver_id, None)
            session = line.session = AttendSession(receiver_id, incarnation)
            await self.step(replace(hello, proof=proved_ended(known, member)))
            self._send(receiver_id, granted=False, beat=line.beat)
            return session

    @finished
    async def beat(self, session: AttendSession, beat: Beat, echo: tuple[str, int], report: Report) -> None:
        """Take a beat of a member: `echo` is the boot and number of the state that it saw last."""
        async with self.lock:
            line = self.lines.get(session.receiver_id)
            if line is None or line.session is not session:
                return
            self.last_seen[session.receiver_id] = time.time()
            before = self.reports.get(session.receiver_id)
            self.reports[session.receiver_id] = report
            if before is None or before.visible != report.visible:
                self.notify()
            line.beat = max(line.beat, beat.number)
            sent = line.echo_sent(echo[1]) if echo[0] == self._boot else None
            await self._odd.look_at_epoch(beat)
            stuck = self._mismatches.get(session.receiver_id, 0) >= MISMATCHES
            await self.step(replace(beat, echo_sent=sent, healthy=beat.healthy and not stuck))
            if self.hears_nothing(session.receiver_id):
                await self._odd.hears_nothing(beat)
            self._check_pull(session, report)
            self.delivery.wake()

    @finished
    async def part(self, session: AttendSession) -> None:
        """A stream ended, for whatever reason."""
        async with self.lock:
            line = self.lines.get(session.receiver_id)
            if line is not None and line.session is session:
                line.session = None
                await self.step(Parted(session.receiver_id, session.incarnation))

    # Alarms.

    def arrived(self, count: int) -> None:
        """Alarms were stored."""
        self.backlog += count
        self.delivery.window.arrived()
        self.delivery.wake()

    def open_pull(self, pull: PullSession, epoch: int, size: int) -> None:
        """Serve a pull, where its receiver holds the epoch that it names; else it is stale.

        Raises:
            HotspareError: what ends all streams, once the cloud stops.
        """
        self._check_open()
        holder = self.state.holder
        if (
            holder is None
            or epoch != self.state.epoch
            or holder.lost is not None
            or not self.delivery.window.live
            or (holder.receiver_id, holder.incarnation) != (pull.receiver_id, pull.incarnation)
        ):
            self.tally.stale += epoch != 0
            pull.send(Stale(self.state.epoch))
            return
        self.delivery.open(pull, min(size, self.state.settings.window))

    @finished
    async def confirm(self, pull: PullSession, epoch: int, ranges: Sequence[tuple[int, int]], *, last: bool) -> bool:
        """Take a confirmation, which is a fact however late it comes (F7), and answer when it is durable.

        Where nothing of it is of this group, it answers only when there is no other group to look in (`last`). Returns
        whether it answered.
        """
        now = time.time()
        result = await self.store.confirm(self.row.group_id, epoch, pull.receiver_id, ranges, now)
        self.tally.confirmations.add(now - received for received in result.received)
        self.backlog -= len(result.newly) - result.were_aside
        self.aside.taken_back(result.were_aside)
        self.confirmed += len(result.newly)
        if epoch != self.delivery.window.epoch:
            self.late_confirmations += len(result.newly)
        # Also what was confirmed before: it may be out again, taken from a page that was read just before that.
        for number in self.delivery.window.confirmed(result.known):
            if epoch != self.delivery.window.epoch and self.delivery.pull is not None:
                self.delivery.pull.send(Withdraw(number))
        if not result.known and not last:
            return False
        pull.send(Stored(epoch, result.known, missing(ranges, result.known)))
        if result.known:
            self._mismatches.pop(pull.receiver_id, None)
            self.delivery.wake()
        return True

    # For people and metrics.

    def status(self, receiver_id: str) -> MemberStatus:
        """What is so now."""
        return order.status_of(self.state, receiver_id, boottime())

    def standby_reason(self, receiver_id: str) -> order.Standby | None:
        """Why a member that is there does not work."""
        return order.standby_reason(self.state, receiver_id, boottime())

    def hears_nothing(self, receiver_id: str) -> bool:
        """Whether a member's stream stands, and its beats show that it does not hear us."""
        attendance = self.state.attendance.get(receiver_id)
        if attendance is None or attendance.parted_at is not None:
            return False
        return not order.here(self.state, receiver_id, boottime())

    @property
    def working(self) -> Membership | None:
        """The member that works, and is there."""
        holder = self.state.holder
        if holder is None or self.status(holder.receiver_id) is not MemberStatus.WORKING:
            return None
        return self.members.get(holder.receiver_id)

    def lease_remaining(self) -> float:
        """Seconds for which the cloud takes the holder's lease as possibly alive."""
        return max(0.0, self.state.holder.lease_until - boottime()) if self.state.holder else 0.0

    def hold_remaining(self, hold: Hold) -> float:
        """Seconds until the holder of an ended epoch has surely stopped."""
        return max(0.0, hold.until - boottime())

    def unattended(self) -> float:
        """Seconds that nobody worked since the cloud started, up to now."""
        holder = self.state.holder
        # As decided, not as it looks now: in a stall of ours one seems silent for a moment, and no counter goes back.
        lost = holder is not None and (holder.gone or holder.lost is not None)
        since = self.state.idle_since if holder is None else holder.heard_at if lost else None
        running = boottime() - since if since is not None else 0.0
        return self.tally.gap_seconds + max(0.0, running)

    def is_healthy(self, receiver_id: str) -> bool:
        """Whether a member is there and could deliver."""
        attendance = self.state.attendance.get(receiver_id)
        return bool(attendance and attendance.healthy and order.present(self.state, receiver_id, boottime()))

    def failback_in(self, receiver_id: str) -> float | None:
        """Seconds until the work goes back to a member. None: that is not to come."""
        due = order.failback_due(self.state, receiver_id)
        return None if due is None else max(0.0, due - boottime())

    def may_return(self, receiver_id: str, sync_state: int) -> bool:
        """Whether a member's copy of the configuration lets it take the work back (F4)."""
        member = self.members.get(receiver_id)
        return may_return(sync_state, member.role if member else None)

    def losses(self, receiver_id: str) -> int:
        """Losses that count against a member (F9)."""
        return sum(1 for loss in self.state.losses if loss.receiver_id == receiver_id)

    def name(self) -> dict[str, Any]:
        """The group, for the log."""
        return {"arc_id": self.row.arc_id, "sub_account": self.row.sub_account}

    def start(self) -> None:
        """Begin to keep time."""
        self._arm()

    async def stop(self, error: HotspareError) -> None:
        """End all streams with `error`, and note who was seen when."""
        self._stopped = error
        self.notify()
        for line in self.lines.values():
            if line.session is not None:
                line.session.end(error)
        if self.delivery.pull is not None:
            self.delivery.pull.end(error)
        if self._timer is not None:
            self._timer.cancel()
        await self.delivery.stop()
        await self.store.save_last_seen(self.row.group_id, self.last_seen)

    # Carrying.

    async def step(
        self,
        event: Event,
        *,
        lines: Sequence[HistoryLine] = (),
        request_id: str = "",
        former: Mapping[str, Membership] | None = None,
    ) -> None:
        """Decide on an event, store what came of it with `lines` of the history, and tell. `lock` is held.

        `former` are members that have just left: the history still names them.
        """
        now = boottime()
        stalls = self._watch.check(now)
        if stalls != self._stalls:
            self._stalls = stalls
            log_event(_log, logging.WARNING, "cloud_stalled", **self.name())
            self.state, _ = decide.decide(self.state, Stalled(self._watch.stalled_from), now)
        state, effects = decide.decide(self.state, event, now)
        settings = event.settings if isinstance(event, SettingsChanged) else None
        asked = Step(lines=tuple(lines), request_id=request_id, settings=settings)
        await self._store_step(state, effects, asked, former or {})
        self.state = state
        for effect in effects:
            match effect:
                case Tell(receiver_id, granted, beat):
                    self._send(receiver_id, granted=granted, beat=beat)
                case TellAll():
                    self._send_all()
                case FreeHold(epoch):
                    self.delivery.window.free(epoch)
                    self.delivery.wake()
                case WorksAgain():
                    self.tally.nobody_worked(effect.gap)
                case EndEpoch() | BeginEpoch() | Note():
                    pass  # carried out already
        self.delivery.window.paused = bool(state.holder and state.holder.yield_to)
        self._arm()
        # Presence ends by time alone, so what was told last is compared, not what was so before this event.
        statuses = self._statuses(now)
        if statuses != self._told_statuses or any(not isinstance(effect, Tell) for effect in effects):
            self._told_statuses = statuses
            self.notify()

    async def _store_step(
        self, state: GroupState, effects: Sequence[Effect], asked: Step, former: Mapping[str, Membership]
    ) -> None:
        """What has to be durable before anybody is told: first stop delivering, then store, then go on."""
        ended = next((effect for effect in effects if isinstance(effect, EndEpoch)), None)
        begun = next((effect for effect in effects if isinstance(effect, BeginEpoch)), None)
        if ended is not None:
            # It may have been the way between the two: its next epoch tells.
            self._mismatches.clear()
            self.tally.ended(self.delivery.window.end(hold=ended.hold))
            self.delivery.stale(ended.epoch + 1 if state.epoch == ended.epoch else state.epoch)
        known = {**former, **self.members}
        step = replace(
            asked,
            ended=(ended.epoch, ended.hold) if ended else None,
            begun=begun,
            role=self.members[begun.receiver_id].role if begun else None,
            freed=tuple(effect.epoch for effect in effects if isinstance(effect, FreeHold)),
            lines=(*asked.lines, *lines_of(effects, known, self.state.worked)),
            standing=state.standing if state.standing != self.state.standing else None,
            arc_alarm=self._arc_alarm(state, begun, known) if begun else None,
            lost=bool(ended and begun and begun.reason in LOST_WITH),
        )
        if step.is_empty:
            return
        saved = await until_room(functools.partial(self.store.save_step, self.row.group_id, step))
        set_aside(self, saved.set_aside, SetAsideCause.LOST_UNDER_IT)
        if begun is not None:
            self.working_since = time.time()
            self.delivery.window.begin(begun.epoch)
            self.tally.begun(begun, step.role, self.delivery.window.held(), self.name())
        elif ended is not None:
            self.working_since = None
        if saved.told_arc:
            self.arrived(1)

    def _arc_alarm(self, state: GroupState, begun: BeginEpoch, known: Mapping[str, Membership]) -> NewAlarm | None:
        before, member = known.get(self._worked_before()), known[begun.receiver_id]
        return arc_alarm(self.row, begun, member, before, state.settings.takeover_event_code)

    def _worked_before(self) -> str:
        return self.state.worked.receiver_id if self.state.worked else ""

    def _send(self, receiver_id: str, *, granted: bool, beat: int) -> None:
        line = self.lines.get(receiver_id)
        if line is None or line.session is None:
            return
        holder, member = self.state.holder, self.members.get(receiver_id)
        working = bool(
            holder
            and holder.lost is None
            and (holder.receiver_id, holder.incarnation) == (receiver_id, line.session.incarnation)
        )
        pull = self.delivery.pull if working else None
        line.session.send(
            CloudState(
                boot=self._boot,
                number=line.numbered(boottime()),
                answers_beat=beat,
                epoch=self.state.epoch,
                working=working,
                lease=self.state.settings.holder_lease.total_seconds() if granted and working else None,
                yield_to=holder.yield_to or "" if working and holder else "",
                ended_through=self.state.epoch - 1 if working else self.state.epoch,
                pull_id=pull.pull_id if pull else 0,
                last_delivery=pull.last_delivery if pull else 0,
                settings=self.state.settings,
                working_receiver_id=holder.receiver_id if holder else "",
                role=member.role if member else None,
                paused=self.state.pause is not None,
                standby=self.standby_reason(receiver_id),
            )
        )

    def _send_all(self) -> None:
        for receiver_id, line in self.lines.items():
            self._send(receiver_id, granted=False, beat=line.beat)

    def _check_pull(self, session: AttendSession, report: Report) -> None:
        pull = self.delivery.pull
        if pull is None or pull.receiver_id != session.receiver_id or pull.incarnation != session.incarnation:
            return
        if not pull.agrees(report.pull_id, report.last_delivery, boottime()):
            self._mismatches[session.receiver_id] = self._mismatches.get(session.receiver_id, 0) + 1
            self.delivery.reset()
        elif pull.seen:
            self._mismatches.pop(session.receiver_id, None)

    # Time.

    def _check_open(self) -> None:
        """A stream that begins while the cloud stops must not hold that up."""
        if self._stopped is not None:
            raise self._stopped

    def _may_deliver(self) -> bool:
        """Nothing new goes to a holder that is silent (timing rules, what counts as a loss)."""
        holder = self.state.holder
        limit = max(SILENCE_LIMIT, 1.5 * self.state.settings.beat).total_seconds()
        now = boottime()
        if holder is None or holder.lost is not None or now < self.state.not_before:
            return False
        return now - holder.heard_at < limit

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = boottime()
        deadline = decide.next_deadline(self.state, now)
        if deadline is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(deadline - now, self._tick, deadline)

    def _tick(self, deadline: float) -> None:
        if boottime() - deadline > STALL:
            self._watch.check(boottime())
        task = asyncio.create_task(self._step_alone(Tick()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _step_alone(self, event: Event) -> None:
        try:
            async with self.lock:
                await self.step(event)
        except HotspareError as error:
            log_event(_log, logging.ERROR, "step_failed", **self.name(), problem=error.message)

    def notify(self) -> None:
        """Tell those who watch that something changed."""
        for watcher in tuple(self.watchers):
            watcher()

    def _statuses(self, now: float) -> tuple[tuple[str, MemberStatus], ...]:
        return tuple((key, order.status_of(self.state, key, now)) for key in self.members)
