"""Who works: one pure machine for each group (F1 to F4, F7, G7; docs/failover.md tells the same in prose).

Rules that the code below keeps, and that a change must keep:

1. One epoch has one holder: a receiver in one incarnation. An epoch ends when either changes, and never comes back.
2. The lease of the holder may be alive until `lease_until`: T_cloud after every beat that was answered with a grant.
3. A loss that is not proved ends an epoch with a hold: what was in flight waits until `lease_until`. What is proof: its
   release of that very epoch, or a new incarnation of the same receiver on the same machine (it holds the exclusive
   lock of the data folder). The end of a stream is none.
4. Each ended epoch has its own hold. A release of a later holder frees nothing of an earlier one.
5. A loss without a successor ends nothing: the same incarnation that comes back keeps its epoch.
6. A beat renews only when its echo shows that its sender hears us.

    event           what it changes                                     then
    --------------  --------------------------------------------------  -----
    Attended        a new incarnation: the old one's epochs are proved  judge
    Beat            presence, releases; renews the holder's lease       judge
    Parted          `reconnect_grace` begins                            judge
    PostsChanged    those who left hold nothing any more                judge
    SettingsChanged the settings                                        judge
    Stalled         nobody is suspected for `restart_grace`             -
    Tick            nothing                                             judge

`judge` then does the first of these that applies, and only it:

    nobody works, or the holder is lost      the first that could work begins the next epoch
    the holder gave its work back            the same, without a hold
    the holder yields                        wait for it, up to `drain_timeout`; or it is not needed any more
    one of higher order is back long enough  the holder is told to yield
"""

from collections.abc import Mapping
from dataclasses import replace

from hotspare_cloud.core.state import (
    Attendance,
    Attended,
    Beat,
    BeginEpoch,
    Effect,
    EndEpoch,
    Event,
    FreeHold,
    GroupState,
    Hold,
    Holder,
    Parted,
    PostsChanged,
    Reason,
    SettingsChanged,
    Stalled,
    Tell,
    TellAll,
    Tick,
)
from hotspare_model.group import GroupSettings, MemberStatus

ARRIVAL_GRACE = 0.5
"""Seconds that one of higher order has for its first beat before a lower one is taken while nobody works: so that a
restart of the working receiver itself does not move the work twice."""

HIGHEST_FLOOR = 2**48
"""What a member says to have seen is taken over up to here: beyond it is a defect, and must not use up the numbers."""

Result = tuple[GroupState, tuple[Effect, ...]]


def restarted(settings: GroupSettings, stored: GroupState, now: float) -> GroupState:
    """The state after a start of the cloud, from what was stored (F11).

    Its clocks are gone: the stored holder and every hold count as just renewed, and nobody is suspected for
    `restart_grace`.
    """
    until = now + settings.lease.total_seconds()
    holder = stored.holder and replace(stored.holder, lease_until=until, heard_at=now)
    return replace(
        stored,
        settings=settings,
        holder=holder,
        holds=tuple(replace(hold, until=until) for hold in stored.holds),
        judge_after=now + settings.restart_grace.total_seconds(),
        idle_since=None if holder or not stored.epoch else now,
    )


def decide(state: GroupState, event: Event, now: float) -> Result:
    """Take one event, and judge. Returns the new state, and the effects in the order in which to carry them out."""
    effects: list[Effect] = []
    match event:
        case Attended():
            state = _attended(state, event, now)
        case Beat():
            state = _beat(state, event, now)
        case Parted(receiver_id, incarnation):
            attendance = state.attendance.get(receiver_id)
            if attendance and attendance.incarnation == incarnation:
                state = _with(state, receiver_id, replace(attendance, parted_at=now))
        case PostsChanged():
            state = _posts_changed(state, event)
            effects.append(TellAll())
        case SettingsChanged(settings):
            state = replace(state, settings=settings)
            effects.append(TellAll())
        case Stalled():
            # Judged is with the event that follows: it may be a beat that was waiting to be read.
            grace = state.settings.restart_grace.total_seconds()
            return replace(state, judge_after=max(state.judge_after, now + grace)), ()
        case Tick():
            pass
    state = _forget_the_lost(state, now)
    state, freed = _free_holds(state, now)
    state, moved = _judge(state, now)
    effects = [*freed, *moved, *effects]
    if isinstance(event, Beat):
        state, answer = _answer(state, event, now)
        effects += answer
    return state, tuple(effects)


def present(state: GroupState, receiver_id: str, now: float) -> bool:
    """Whether a member is connected, hears us and is heard: within `reconnect_grace` and `suspect_after`.

    Before `judge_after` nobody that was heard is suspected.
    """
    attendance = state.attendance.get(receiver_id)
    if attendance is None or attendance.heard_at is None:
        return False
    return now < _presence_ends(state, attendance)


def here(state: GroupState, receiver_id: str, now: float) -> bool:
    """Whether a member is present, or its stream began so lately that its first beat may still come."""
    attendance = state.attendance.get(receiver_id)
    if attendance is None:
        return False
    arriving = now < attendance.attached_at + state.settings.suspect_after.total_seconds()
    return (arriving and attendance.parted_at is None) or present(state, receiver_id, now)


def status_of(state: GroupState, receiver_id: str, now: float) -> MemberStatus:
    """What is so now, for people and metrics."""
    here = present(state, receiver_id, now)
    if state.holder and state.holder.receiver_id == receiver_id and state.holder.lost is None and here:
        return MemberStatus.WORKING
    return MemberStatus.STANDBY if here else MemberStatus.OFFLINE


def failback_due(state: GroupState, receiver_id: str) -> float | None:
    """When the work goes back to a member, if it stays here; None where that is not to come."""
    attendance, post, holder = state.attendance.get(receiver_id), state.posts.get(receiver_id), state.holder
    if not attendance or attendance.back_since is None or attendance.wants_release or not post or not holder:
        return None
    holder_post = state.posts.get(holder.receiver_id)
    if holder_post and holder_post.role <= post.role:
        return None
    return attendance.back_since + state.settings.failback_delay.total_seconds()


def next_deadline(state: GroupState, now: float) -> float | None:
    """When a `Tick` is due at the latest. None: nothing changes without an event."""
    times = [hold.until for hold in state.holds]
    for receiver_id, attendance in state.attendance.items():
        if attendance.heard_at is None:
            times.append(attendance.attached_at + ARRIVAL_GRACE)
        else:
            times.append(_presence_ends(state, attendance))
        due = failback_due(state, receiver_id)
        if due is not None:
            times.append(due)
    if state.holder:
        times.append(state.judge_after)
        if state.holder.yield_to:
            times.append(state.holder.yield_since + state.settings.drain_timeout.total_seconds())
    return min((time for time in times if time > now), default=None)


# What each event changes.


def _attended(state: GroupState, event: Attended, now: float) -> GroupState:
    known = state.attendance.get(event.receiver_id)
    if event.highest_epoch <= HIGHEST_FLOOR:
        state = replace(state, floor=max(state.floor, event.highest_epoch))
    released = min(event.released_through, state.epoch)
    if known and known.incarnation == event.incarnation:
        released = max(released, known.released_through)
        again = replace(known, attached_at=now, parted_at=None, released_through=released)
        return _proved(_with(state, event.receiver_id, again), event.receiver_id, through=released)
    fresh = Attendance(event.incarnation, attached_at=now, released_through=released)
    state = _with(state, event.receiver_id, fresh)
    holder = state.holder
    if holder and holder.receiver_id == event.receiver_id and holder.incarnation != event.incarnation:
        lost = Reason.RESTARTED if event.proof else Reason.SILENT
        state = replace(state, holder=replace(holder, lost=lost))
    if event.proof:
        # Admission has checked machine and lock: no other process of this receiver is left. This one itself may still
        # be writing, though we may not know it any more (a restart of the cloud): of that, its release alone is proof.
        state = _proved(state, event.receiver_id, through=state.epoch, unless=event.incarnation)
    return _proved(state, event.receiver_id, through=released)


def _beat(state: GroupState, event: Beat, now: float) -> GroupState:
    attendance = state.attendance.get(event.receiver_id)
    if not attendance or attendance.incarnation != event.incarnation:
        return state
    attendance = replace(
        attendance,
        parted_at=None,
        wants_release=event.wants_release,
        released_through=max(attendance.released_through, min(event.released_through, state.epoch)),
    )
    if _renews(state, event):
        attendance = replace(
            attendance,
            heard_at=now,
            beat=max(attendance.beat, event.number),
            back_since=now if attendance.back_since is None else attendance.back_since,
        )
    state = _with(state, event.receiver_id, attendance)
    return _proved(state, event.receiver_id, through=attendance.released_through)


def _renews(state: GroupState, event: Beat) -> bool:
    """Whether the sender hears us, and is in no epoch that we never gave out."""
    limit = state.settings.suspect_after.total_seconds()
    known = max(state.epoch, state.floor)
    return event.echo_age is not None and event.echo_age <= limit and event.epoch <= known


def _posts_changed(state: GroupState, event: PostsChanged) -> GroupState:
    holder = state.holder
    state = replace(
        state,
        posts=event.posts,
        attendance={key: value for key, value in state.attendance.items() if key in event.posts},
    )
    for receiver_id, through in event.released_through.items():
        state = _proved(state, receiver_id, through)
    if holder and holder.receiver_id not in event.posts:
        released = event.released_through.get(holder.receiver_id, 0) >= state.epoch
        lease_until = 0.0 if released else holder.lease_until
        state = replace(state, holder=replace(holder, lost=Reason.LEFT, lease_until=lease_until))
    return state


def _proved(state: GroupState, receiver_id: str, through: int, unless: str = "") -> GroupState:
    """The receiver has surely stopped under its epochs up to `through`: their holds, and only theirs, end now.

    But for those of the incarnation `unless`.
    """
    holds = tuple(
        replace(hold, until=float("-inf"))
        if hold.receiver_id == receiver_id and hold.epoch <= through and hold.incarnation != unless
        else hold
        for hold in state.holds
    )
    return replace(state, holds=holds)


# Judging.


def _presence_ends(state: GroupState, attendance: Attendance) -> float:
    assert attendance.heard_at is not None
    ends = attendance.heard_at + state.settings.suspect_after.total_seconds()
    if attendance.parted_at is not None:
        ends = min(ends, attendance.parted_at + state.settings.reconnect_grace.total_seconds())
    return max(ends, state.judge_after)


def _forget_the_lost(state: GroupState, now: float) -> GroupState:
    """Failback counts anew for those that are away."""
    away = {
        receiver_id: replace(attendance, back_since=None)
        for receiver_id, attendance in state.attendance.items()
        if attendance.back_since is not None and not present(state, receiver_id, now)
    }
    return replace(state, attendance={**state.attendance, **away}) if away else state


def _free_holds(state: GroupState, now: float) -> tuple[GroupState, list[Effect]]:
    over = [hold for hold in state.holds if hold.until <= now]
    if not over:
        return state, []
    kept = tuple(hold for hold in state.holds if hold.until > now)
    return replace(state, holds=kept), [FreeHold(hold.epoch) for hold in over]


def _judge(state: GroupState, now: float) -> Result:
    holder = state.holder
    if holder is None:
        return _next(state, Reason.FIRST, now)
    if holder.lost is not None:
        return _next(state, holder.lost, now)
    attendance = state.attendance.get(holder.receiver_id)
    if attendance is not None and attendance.released_through >= state.epoch:
        reason = Reason.FAILBACK if holder.yield_to and not attendance.wants_release else Reason.RELEASED
        target = holder.yield_to if holder.yield_to in _candidates(state, now) else None
        return _next(state, reason, now, only=target)
    if state.floor > state.epoch and present(state, holder.receiver_id, now):
        return _next(state, Reason.CLOUD_RESTORED, now)
    if not present(state, holder.receiver_id, now):
        if now < state.judge_after:
            return state, ()
        parted = attendance is not None and attendance.parted_at is not None
        return _next(state, Reason.CONNECTION_LOST if parted else Reason.SILENT, now)
    return _judge_yield(state, holder, now)


def _judge_yield(state: GroupState, holder: Holder, now: float) -> Result:
    target = _yield_target(state, holder, now)
    if holder.yield_to is None:
        if target is None:
            return state, ()
        yielding = replace(holder, yield_to=target, yield_since=now)
        return replace(state, holder=yielding), (TellAll(),)
    if target is None:
        return replace(state, holder=replace(holder, yield_to=None)), (TellAll(),)
    if now >= holder.yield_since + state.settings.drain_timeout.total_seconds():
        return _next(state, Reason.DRAIN_TIMEOUT, now, only=target)
    if target != holder.yield_to:
        return replace(state, holder=replace(holder, yield_to=target)), (TellAll(),)
    return state, ()


def _yield_target(state: GroupState, holder: Holder, now: float) -> str | None:
    """To whom the holder, which is here and works, has to hand over. None: to nobody."""
    attendance = state.attendance[holder.receiver_id]
    for receiver_id in _candidates(state, now):
        if receiver_id == holder.receiver_id:
            continue
        if attendance.wants_release:
            return receiver_id
        due = failback_due(state, receiver_id)
        if due is not None and now >= due:
            return receiver_id
    return None


def _candidates(state: GroupState, now: float) -> list[str]:
    """Those that could work, in the order of F1."""
    return [
        receiver_id
        for receiver_id, post in sorted(state.posts.items(), key=lambda item: item[1].role)
        if present(state, receiver_id, now)
        and state.attendance[receiver_id].parted_at is None
        and not state.attendance[receiver_id].wants_release
    ]


def _arriving(state: GroupState, now: float) -> list[str]:
    """Those whose stream has just begun and whose first beat is still to come, in the order of F1."""
    return [
        receiver_id
        for receiver_id, post in sorted(state.posts.items(), key=lambda item: item[1].role)
        if (attendance := state.attendance.get(receiver_id)) is not None
        and attendance.heard_at is None
        and attendance.parted_at is None
        and now < attendance.attached_at + ARRIVAL_GRACE
    ]


def _next(state: GroupState, reason: Reason, now: float, only: str | None = None) -> Result:
    """End the holder's epoch and begin the next one, if there is somebody to hold it."""
    holder = state.holder
    candidates, arriving = _candidates(state, now), _arriving(state, now)
    if only is None:
        if arriving and (not candidates or state.posts[arriving[0]].role < state.posts[candidates[0]].role):
            return state, ()
        if not candidates:
            return _nobody(state, reason, now)
    chosen = only if only is not None else candidates[0]
    ended, effects = _end(state, now) if holder else (state, [])
    attendance = ended.attendance[chosen]
    assert attendance.heard_at is not None
    epoch = max(ended.epoch, ended.floor) + 1
    worked_until = holder.heard_at if holder else ended.idle_since
    if holder and reason in (Reason.FAILBACK, Reason.RELEASED, Reason.DRAIN_TIMEOUT, Reason.CLOUD_RESTORED):
        worked_until = now
    successor = Holder(
        receiver_id=chosen,
        incarnation=attendance.incarnation,
        machine_id=ended.posts[chosen].machine_id,
        lease_until=attendance.heard_at + ended.settings.lease.total_seconds(),
        heard_at=now,
    )
    effects.append(
        BeginEpoch(
            epoch=epoch,
            receiver_id=chosen,
            incarnation=successor.incarnation,
            machine_id=successor.machine_id,
            reason=reason,
            previous=holder.receiver_id if holder else None,
            gap=max(0.0, now - worked_until) if worked_until is not None else 0.0,
        )
    )
    # The grant is pushed: it counts from the newest beat that the new holder was heard with.
    effects += [Tell(chosen, granted=True, beat=attendance.beat), TellAll()]
    return replace(ended, holder=successor, epoch=epoch, idle_since=None), tuple(effects)


def _nobody(state: GroupState, reason: Reason, now: float) -> Result:
    """There is nobody to take over: a loss ends nothing, but a release, a leave or a restart does."""
    if state.holder is None or reason in (Reason.CONNECTION_LOST, Reason.SILENT, Reason.CLOUD_RESTORED):
        return state, ()
    since = now if reason is Reason.RELEASED else state.holder.heard_at
    state, effects = _end(state, now)
    return replace(state, idle_since=since), (*effects, TellAll())


def _end(state: GroupState, now: float) -> tuple[GroupState, list[Effect]]:
    """End the current epoch, with a hold unless there is proof that its holder stopped."""
    holder = state.holder
    assert holder is not None
    attendance = state.attendance.get(holder.receiver_id)
    stopped = holder.lost is Reason.RESTARTED or (attendance is not None and attendance.released_through >= state.epoch)
    hold = not stopped and holder.lease_until > now
    holds = state.holds
    if hold:
        ended = Hold(state.epoch, holder.receiver_id, holder.incarnation, holder.machine_id, holder.lease_until)
        holds = (*holds, ended)
    return replace(state, holder=None, holds=holds), [EndEpoch(state.epoch, hold)]


def _answer(state: GroupState, event: Beat, now: float) -> Result:
    """Answer a beat; the holder's, when it may renew, with a grant."""
    holder = state.holder
    attendance = state.attendance.get(event.receiver_id)
    if not attendance or attendance.incarnation != event.incarnation:
        return state, ()
    granted = (
        holder is not None
        and (holder.receiver_id, holder.incarnation) == (event.receiver_id, event.incarnation)
        and holder.lost is None
        and _renews(state, event)
    )
    if granted and holder:
        until = max(holder.lease_until, now + state.settings.lease.total_seconds())
        state = replace(state, holder=replace(holder, lease_until=until, heard_at=now))
    return state, (Tell(event.receiver_id, granted=granted, beat=event.number),)


def _with(state: GroupState, receiver_id: str, attendance: Attendance) -> GroupState:
    attendances: Mapping[str, Attendance] = {**state.attendance, receiver_id: attendance}
    return replace(state, attendance=attendances)
