"""One group at work: carries events to the deciding machine, and its effects to the store and the streams.

Everything that concerns who works passes `_step`, one event at a time. An epoch is stored before anyone is told of it.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hotspare_cloud.attendance import AttendSession, CloudState, Line, Report
from hotspare_cloud.clock import STALL, StallWatch, boottime
from hotspare_cloud.core import decide
from hotspare_cloud.core.admission import Membership, check_attend, same_folder, superseding
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
    Parted,
    Post,
    PostsChanged,
    Stalled,
    Tell,
    TellAll,
    Tick,
)
from hotspare_cloud.delivery import Delivery, PullSession, Stale, Stored, Withdraw, missing
from hotspare_cloud.finish import finished, start, until_room
from hotspare_cloud.moves import Moves
from hotspare_cloud.restore import restored_window, stored_state
from hotspare_cloud.store.base import GroupFacts, GroupRow, Store
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import SILENCE_LIMIT, MemberStatus
from hotspare_rpc.logs import log_event

_log = logging.getLogger(__name__)


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
        self.moves = Moves()
        self.confirmed = 0
        self.late_confirmations = 0
        self.working_since: float | None = None
        """Wall clock, for people."""
        self.watchers: set[Callable[[], None]] = set()
        self._store = store
        self._watch = watch
        self._stalls = watch.stalls
        self._boot = boot
        self._lines: dict[str, Line] = {}
        self._told_statuses: tuple[tuple[str, MemberStatus], ...] = ()
        self._lock = asyncio.Lock()
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
        """Admit a process of a member and open its line.

        `member` is how it describes itself, with the generation of the membership that it knows (0: none).

        Raises:
            HotspareError: NOT_A_MEMBER, HOT_SPARE_ENDED, MACHINE_MISMATCH, INCARNATION_SUPERSEDED, START_BEHIND.
        """
        receiver_id, incarnation = hello.receiver_id, hello.incarnation
        async with self._lock:
            self._check_open()
            known = self.members.get(receiver_id)
            ended = self.departed.get(receiver_id, False)
            here = decide.here(self.state, receiver_id, boottime())
            check_attend(known, member, ended=ended, here=here)
            assert known is not None
            described = replace(
                member,
                role=known.role,
                generation=known.generation,
                joined_at=known.joined_at,
                superseded=superseding(known, incarnation),
            )
            if described != known:
                await self._store.save_member(self.row.group_id, described, self.generation)
                self.members[receiver_id] = described
            line = self._lines.setdefault(receiver_id, Line())
            if line.session is not None:
                line.session.end(_superseded(line.session, incarnation))
                if line.session.incarnation != incarnation:
                    line.beat = 0
            session = line.session = AttendSession(receiver_id, incarnation)
            await self._step(replace(hello, proof=same_folder(known, member)))
            self._send(receiver_id, granted=False, beat=line.beat)
            return session

    @finished
    async def beat(self, session: AttendSession, beat: Beat, echo: tuple[str, int], report: Report) -> None:
        """Take a beat of a member: `echo` is the boot and number of the state that it saw last."""
        async with self._lock:
            line = self._lines.get(session.receiver_id)
            if line is None or line.session is not session:
                return
            now = boottime()
            self.last_seen[session.receiver_id] = time.time()
            before = self.reports.get(session.receiver_id)
            self.reports[session.receiver_id] = report
            if before is None or before.visible != report.visible:
                self.notify()
            line.beat = max(line.beat, beat.number)
            age = line.echo_age(echo[1], now) if echo[0] == self._boot else None
            await self._step(replace(beat, echo_age=age))
            self._check_pull(session, report)
            self.delivery.wake()

    @finished
    async def part(self, session: AttendSession) -> None:
        """A stream ended, for whatever reason."""
        async with self._lock:
            line = self._lines.get(session.receiver_id)
            if line is not None and line.session is session:
                line.session = None
                await self._step(Parted(session.receiver_id, session.incarnation))

    # Members.

    @finished
    async def join(self, member: Membership) -> Membership:
        """Store a member that was admitted by `check_join`, which the caller did under `membership_lock`."""
        async with self._lock:
            known = self.members.get(member.receiver_id)
            if known is not None and known.role is member.role:
                return known
            self.generation += 1
            joined = replace(
                member,
                generation=self.generation,
                incarnation=known.incarnation if known else "",
                start=known.start if known else 0,
                folder_id=known.folder_id if known else "",
                superseded=known.superseded if known else (),
            )
            await self._store.save_member(self.row.group_id, joined, self.generation)
            self.members[member.receiver_id] = joined
            self.departed.pop(member.receiver_id, None)
            log_event(
                _log,
                logging.INFO,
                "member_joined",
                **self._name(),
                receiver=member.receiver_id,
                role=member.role.name,
            )
            await self._step(PostsChanged(self._posts()))
            return joined

    @finished
    async def leave(
        self,
        receiver_ids: Sequence[str],
        released: Mapping[str, int],
        error: HotspareError,
        *,
        ended: Sequence[str] = (),
    ) -> None:
        """Remove members; their streams end with `error`. `ended` are those whose hot spare was ended by the host."""
        async with self._lock:
            gone = [receiver_id for receiver_id in receiver_ids if receiver_id in self.members]
            if not gone:
                return
            self.generation += 1
            departed = {receiver_id: receiver_id in ended for receiver_id in gone}
            await self._store.remove_members(self.row.group_id, departed, self.generation)
            self.departed |= departed
            for receiver_id in gone:
                member = self.members.pop(receiver_id)
                log_event(
                    _log,
                    logging.INFO,
                    "member_left",
                    **self._name(),
                    receiver=receiver_id,
                    role=member.role.name,
                )
                line = self._lines.pop(receiver_id, None)
                if line is not None and line.session is not None:
                    line.session.end(error)
                self.reports.pop(receiver_id, None)
                self.last_seen.pop(receiver_id, None)
            await self._step(PostsChanged(self._posts(), dict(released)))

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
            self.moves.stale += epoch != 0
            pull.send(Stale(self.state.epoch))
            return
        self.delivery.open(pull, min(size, self.state.settings.window))

    @finished
    async def confirm(self, pull: PullSession, epoch: int, ranges: Sequence[tuple[int, int]], *, last: bool) -> bool:
        """Take a confirmation, which is a fact however late it comes (F7), and answer when it is durable.

        Where nothing of it is of this group, it answers only when there is no other group to look in (`last`). Returns
        whether it answered.
        """
        result = await self._store.confirm(self.row.group_id, epoch, pull.receiver_id, ranges, time.time())
        self.backlog -= len(result.newly)
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
            self.delivery.wake()
        return True

    # For people and metrics.

    def status(self, receiver_id: str) -> MemberStatus:
        """What is so now."""
        return decide.status_of(self.state, receiver_id, boottime())

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

    def failback_in(self, receiver_id: str) -> float | None:
        """Seconds until the work goes back to a member. None: that is not to come."""
        due = decide.failback_due(self.state, receiver_id)
        return None if due is None else max(0.0, due - boottime())

    def start(self) -> None:
        """Begin to keep time."""
        self._arm()

    async def stop(self, error: HotspareError) -> None:
        """End all streams with `error`, and note who was seen when."""
        self._stopped = error
        self.notify()
        for line in self._lines.values():
            if line.session is not None:
                line.session.end(error)
        if self.delivery.pull is not None:
            self.delivery.pull.end(error)
        if self._timer is not None:
            self._timer.cancel()
        await self.delivery.stop()
        await self._store.save_last_seen(self.row.group_id, self.last_seen)

    # Carrying.

    async def _step(self, event: Event) -> None:
        now = boottime()
        stalls = self._watch.check(now)
        if stalls != self._stalls:
            self._stalls = stalls
            log_event(_log, logging.WARNING, "cloud_stalled", **self._name())
            self.state, _ = decide.decide(self.state, Stalled(), now)
        state, effects = decide.decide(self.state, event, now)
        await self._carry_out_stored(state, effects)
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
                case EndEpoch() | BeginEpoch():
                    pass  # carried out already
        self.delivery.window.paused = bool(state.holder and state.holder.yield_to)
        self._arm()
        # Presence ends by time alone, so what was told last is compared, not what was so before this event.
        statuses = self._statuses(now)
        if statuses != self._told_statuses or any(not isinstance(effect, Tell) for effect in effects):
            self._told_statuses = statuses
            self.notify()

    async def _carry_out_stored(self, state: GroupState, effects: Sequence[Effect]) -> None:
        """What has to be durable before anybody is told: first stop delivering, then store, then go on."""
        ended: tuple[int, bool] | None = None
        begun: BeginEpoch | None = None
        for effect in effects:
            match effect:
                case EndEpoch(epoch, hold):
                    ended = (epoch, hold)
                    out = self.delivery.window.end(hold=hold)
                    self.moves.ended(out)
                    self.delivery.stale(epoch + 1 if state.epoch == epoch else state.epoch)
                case BeginEpoch():
                    begun = effect
                case FreeHold(epoch):
                    await until_room(functools.partial(self._store.free_hold, self.row.group_id, epoch))
                case Tell() | TellAll():
                    pass
        if ended is None and begun is None:
            return
        role = self.members[begun.receiver_id].role if begun else None
        await until_room(functools.partial(self._store.change_epoch, self.row.group_id, ended, begun, role))
        if begun is None:
            self.working_since = None
            return
        self.working_since = time.time()
        self.delivery.window.begin(begun.epoch)
        self.moves.begun(begun, role, self.delivery.window.held(), self._name())

    def _send(self, receiver_id: str, *, granted: bool, beat: int) -> None:
        line = self._lines.get(receiver_id)
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
            )
        )

    def _send_all(self) -> None:
        for receiver_id, line in self._lines.items():
            self._send(receiver_id, granted=False, beat=line.beat)

    def _check_pull(self, session: AttendSession, report: Report) -> None:
        pull = self.delivery.pull
        if pull is None or pull.receiver_id != session.receiver_id or pull.incarnation != session.incarnation:
            return
        if not pull.agrees(report.pull_id, report.last_delivery, boottime()):
            self.delivery.reset()

    def _check_open(self) -> None:
        """A stream that begins while the cloud stops must not hold that up."""
        if self._stopped is not None:
            raise self._stopped

    def _may_deliver(self) -> bool:
        """Nothing new goes to a holder that is silent (timing rules, what counts as a loss)."""
        holder = self.state.holder
        limit = max(SILENCE_LIMIT, 1.5 * self.state.settings.beat).total_seconds()
        return holder is not None and holder.lost is None and boottime() - holder.heard_at < limit

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
            async with self._lock:
                await self._step(event)
        except HotspareError as error:
            log_event(_log, logging.ERROR, "step_failed", **self._name(), problem=error.message)

    def notify(self) -> None:
        """Tell those who watch that something changed."""
        for watcher in tuple(self.watchers):
            watcher()

    def _statuses(self, now: float) -> tuple[tuple[str, MemberStatus], ...]:
        return tuple((key, decide.status_of(self.state, key, now)) for key in self.members)

    def _posts(self) -> dict[str, Post]:
        return {key: Post(member.role, member.machine_id) for key, member in self.members.items()}

    def _name(self) -> dict[str, Any]:
        return {"arc_id": self.row.arc_id, "sub_account": self.row.sub_account}


def _superseded(session: AttendSession, incarnation: str) -> HotspareError:
    if session.incarnation == incarnation:
        return HotspareError(Reason.STREAM_SUPERSEDED, "a newer stream took this one's place", stream="attend")
    return HotspareError(
        Reason.INCARNATION_SUPERSEDED,
        "a newer start of this receiver has attended; this process must end",
        receiver_id=session.receiver_id,
        incarnation=session.incarnation,
    )
