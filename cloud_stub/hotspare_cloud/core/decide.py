"""Who works: one pure machine for each group (F1 to F9, G7; docs/failover.md tells the same in prose).

Rules that the code below keeps, and that a change must keep:

1. One epoch has one holder: a receiver in one incarnation. An epoch ends when either changes, and never comes back.
2. The lease of the holder may be alive until `lease_until`: T_cloud after every beat that was answered with a grant.
3. A loss that is not proved ends an epoch with a hold: what was in flight waits until `lease_until`. What is proof: its
   release of that very epoch, or a new incarnation of the same receiver that holds the same lock. The end of a stream
   is none.
4. Each ended epoch has its own hold. A release of a later holder frees nothing of an earlier one.
5. A loss without a successor ends nothing: the same incarnation that comes back keeps its epoch.
6. A beat renews only when its echo shows that its sender hears us.

    event           what it changes                                     then
    --------------  --------------------------------------------------  -----
    Attended        a new incarnation: the old one's epochs are proved  judge
    Beat            presence, health, releases; renews the lease        judge
    Parted          `reconnect_grace` begins                            judge
    PostsChanged    those who left hold nothing any more                judge
    SettingsChanged the settings                                        judge
    Switched        the pin: who is to work                             judge
    Paused          nobody moves by itself                              judge
    Resumed         the pause, the pin and what was held back end       judge
    Stalled         nobody is suspected for `restart_grace`             -
    Tick            nothing                                             judge

`judge` then does the first of these that applies, and only it:

    a database was restored, and old leases may live   wait
    nobody works, or the holder is surely lost         the first that may begins the next epoch
    the holder gave its work back                      the same, without a hold
    the holder is not there                            the same, with a hold
    the holder yields                                  wait for it, up to `drain_timeout`; or it is not needed any more
    another one is to work (`moves.target`)            the holder is told to yield
"""

from collections.abc import Mapping
from dataclasses import replace
from math import inf

from hotspare_cloud.core import losses, moves, order
from hotspare_cloud.core.state import (
    Attendance,
    Attended,
    Beat,
    Effect,
    Event,
    FreeHold,
    GroupState,
    Kind,
    Note,
    Parted,
    Paused,
    PostsChanged,
    Reason,
    Resumed,
    SettingsChanged,
    Stalled,
    Switched,
    Tell,
    TellAll,
    Tick,
    WorksAgain,
)
from hotspare_model.group import GroupSettings

HIGHEST_FLOOR = 2**48
"""What a member says to have seen is taken over up to here: beyond it is a defect, and must not use up the numbers."""

FRESH = 0.75
"""Beats after which an echo that does not advance renews no lease: each beat is answered before the next one."""

DEAF = 1.75
"""Beats after which one whose beats arrive, and whose echo does not advance, counts as unable to hear us."""

Result = tuple[GroupState, tuple[Effect, ...]]


def restarted(settings: GroupSettings, stored: GroupState, now: float) -> GroupState:
    """The state after a start of the cloud, from what was stored (F11).

    Its clocks are gone: the stored holder, every hold and every loss count as just renewed, and nobody is suspected
    for `restart_grace`. Where the database was restored from a copy, leases may be alive that it knows nothing of.
    """
    lease = max(settings.lease.total_seconds(), stored.old_lease)
    until = now + lease
    holder = stored.holder and replace(stored.holder, lease_until=until, heard_at=now)
    return replace(
        stored,
        settings=settings,
        holder=holder,
        holds=tuple(replace(hold, until=until) for hold in stored.holds),
        losses=tuple(replace(loss, at=now) for loss in stored.losses),
        old_lease_until=until if stored.old_lease else 0.0,
        judge_after=now + settings.restart_grace.total_seconds(),
        judge_from=now,
        judge_limit=until + settings.restart_grace.total_seconds(),
        idle_since=None if holder or not stored.epoch or not stored.posts else now,
        not_before=until if stored.floor > stored.epoch else 0.0,
    )


def decide(state: GroupState, event: Event, now: float) -> Result:
    """Take one event, and judge. Returns the new state, and the effects in the order in which to carry them out."""
    asked: list[Effect] = []
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
            state = _settings_changed(state, settings, now)
            effects.append(TellAll())
        case Switched(pin):
            state = replace(state, pin=replace(pin, reached=False))
            asked.append(Note(Kind.SWITCHOVER_ASKED, pin.receiver_id, pin.detail, pin.operator))
            effects.append(TellAll())
        case Paused(pause):
            state = replace(state, pause=pause)
            asked.append(Note(Kind.PAUSED, detail=pause.detail, operator=pause.operator))
            effects.append(TellAll())
        case Resumed(operator, detail):
            state = replace(state, pause=None, pin=None, held_back=frozenset(), losses=())
            asked.append(Note(Kind.RESUMED, detail=detail, operator=operator))
            effects.append(TellAll())
        case Stalled(since):
            # Judged is with the event that follows: it may be a beat that was waiting to be read.
            grace = state.settings.restart_grace.total_seconds()
            limit = now + state.settings.lease.total_seconds() + grace
            if now < state.judge_after:
                # Stalls in a row must not put the judgement off for ever.
                since, limit = min(since, state.judge_from), state.judge_limit
            until = max(state.judge_after, min(now + grace, limit))
            return replace(state, judge_after=until, judge_from=since, judge_limit=limit), ()
        case Tick():
            pass
    state = _forget_the_lost(state, now)
    state, freed = _free_holds(state, now)
    state, allowed = losses.expire(state, now)
    state, ended = moves.check_pin(state, now)
    state, moved = _judge(state, now)
    effects = [*asked, *freed, *allowed, *ended, *moved, *effects]
    if isinstance(event, Beat):
        state, answer = _answer(state, event, now)
        effects += answer
    return state, tuple(effects)


def next_deadline(state: GroupState, now: float) -> float | None:
    """When a `Tick` is due at the latest. None: nothing changes without an event."""
    times = [hold.until for hold in state.holds]
    times += [state.judge_after, state.patient_until, state.not_before, state.old_lease_until]
    times += [loss.at + order.HOUR for loss in state.losses]
    for receiver_id, attendance in state.attendance.items():
        if attendance.heard_at is None:
            times.append(attendance.attached_at + order.ARRIVAL_GRACE)
        else:
            times.append(order.presence_ends(state, attendance))
        due = order.failback_due(state, receiver_id)
        if due is not None:
            times.append(due)
    if state.holder and state.holder.yield_to:
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
        return _proved(_with(state, event.receiver_id, again), event.incarnation, through=released)
    fresh = Attendance(event.incarnation, attached_at=now, released_through=released)
    state = _with(state, event.receiver_id, fresh)
    holder = state.holder
    if holder and holder.receiver_id == event.receiver_id and holder.incarnation != event.incarnation:
        # One that was lost without proof stays so: a later start proves the end of the one just before it alone.
        lost = Reason.RESTARTED if holder.incarnation == event.proof else holder.lost or Reason.SILENT
        state = replace(state, holder=replace(holder, lost=lost))
    # Never of itself: back after a restart of the cloud it may still be writing, and its release alone is proof.
    ended = event.proof if event.proof != event.incarnation else ""
    holds = (replace(hold, until=-inf) if ended and hold.incarnation == ended else hold for hold in state.holds)
    state = replace(state, holds=tuple(holds))
    return _proved(state, event.incarnation, through=released)


def _beat(state: GroupState, event: Beat, now: float) -> GroupState:
    attendance = state.attendance.get(event.receiver_id)
    if not attendance or attendance.incarnation != event.incarnation:
        return state
    attendance = replace(
        attendance,
        parted_at=None,
        healthy=event.healthy,
        in_sync=event.in_sync,
        wants_release=event.wants_release,
        released_through=max(attendance.released_through, min(event.released_through, state.epoch)),
    )
    attendance = _echoed(state, attendance, event, now)
    if _renews(state, attendance, event, now):
        attendance = replace(attendance, heard_at=now, beat=max(attendance.beat, event.number))
    if not (attendance.healthy and attendance.in_sync):
        attendance = replace(attendance, back_since=None)
    elif attendance.back_since is None and attendance.heard_at == now:
        attendance = replace(attendance, back_since=now)
    state = _with(state, event.receiver_id, attendance)
    return _proved(state, event.incarnation, through=attendance.released_through)


def _echoed(state: GroupState, attendance: Attendance, event: Beat, now: float) -> Attendance:
    """What the echo of a beat tells: whether its sender still hears us. Where it has none, there is none to advance."""
    echoed_at = -inf if event.echo_sent is None else event.echo_sent
    if echoed_at > attendance.echoed_at:
        return replace(attendance, echoed_at=echoed_at, advanced_at=now, deaf=False)
    deaf = now - attendance.advanced_at >= DEAF * state.settings.beat.total_seconds()
    return replace(attendance, deaf=attendance.deaf or deaf)


def _renews(state: GroupState, attendance: Attendance, event: Beat, now: float) -> bool:
    """Whether the sender hears us, and is in no epoch that we never gave out."""
    limit = state.settings.suspect_after.total_seconds()
    fresh = now - attendance.advanced_at < FRESH * state.settings.beat.total_seconds()
    known = max(state.epoch, state.floor)
    heard = event.echo_sent is not None and now - event.echo_sent <= limit
    return heard and fresh and event.epoch <= known


def _posts_changed(state: GroupState, event: PostsChanged) -> GroupState:
    holder = state.holder
    state = replace(
        state,
        posts=event.posts,
        attendance={key: value for key, value in state.attendance.items() if key in event.posts},
        losses=tuple(loss for loss in state.losses if loss.receiver_id in event.posts),
        held_back=state.held_back & set(event.posts),
        # Where nobody is left, nobody is missed: a group that ended is at rest.
        idle_since=state.idle_since if event.posts else None,
    )
    for incarnation, through in event.released_through.items():
        state = _proved(state, incarnation, through)
    if holder and holder.receiver_id not in event.posts:
        released = event.released_through.get(holder.incarnation, 0) >= state.epoch
        lease_until = 0.0 if released else holder.lease_until
        state = replace(state, holder=replace(holder, lost=Reason.LEFT, lease_until=lease_until))
    return state


def _settings_changed(state: GroupState, settings: GroupSettings, now: float) -> GroupState:
    """Leases that were given live on under the settings of before, and beats come in their old rhythm for a while."""
    before = state.settings
    old = max(before.lease.total_seconds(), state.old_lease)
    if settings.lease.total_seconds() < old:
        state = replace(state, old_lease=old, old_lease_until=now + old)
    state = replace(state, settings=settings)
    if (before.beat, before.suspect_after) == (settings.beat, settings.suspect_after):
        return state
    grace = 2 * before.beat.total_seconds() + settings.suspect_after.total_seconds()
    # Who was there by the settings of before is meant, also where suspicion comes sooner from now on.
    sooner = max(0.0, before.suspect_after.total_seconds() - settings.suspect_after.total_seconds())
    since = min(state.patient_from, now - sooner) if now < state.patient_until else now - sooner
    return replace(state, patient_until=max(state.patient_until, now + grace), patient_from=since)


def _proved(state: GroupState, incarnation: str, through: int) -> GroupState:
    """A process has surely stopped under its epochs up to `through`: their holds, and only theirs, end now.

    What another process of the same receiver held is none of its business: that may run on a copy of the folder.
    """
    holds = tuple(
        replace(hold, until=-inf) if hold.incarnation == incarnation and hold.epoch <= through else hold
        for hold in state.holds
    )
    return replace(state, holds=holds)


# Judging.


def _forget_the_lost(state: GroupState, now: float) -> GroupState:
    """Failback counts anew for those that are away; an old lease that has run out is no more."""
    if state.old_lease and state.old_lease_until <= now:
        state = replace(state, old_lease=0.0, old_lease_until=0.0)
    away = {
        receiver_id: replace(attendance, back_since=None)
        for receiver_id, attendance in state.attendance.items()
        if attendance.back_since is not None and not order.present(state, receiver_id, now)
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
    if now < state.not_before:
        return state, ()
    if holder is None:
        return moves.begin_next(state, Reason.SWITCHOVER if order.switching_to(state) else Reason.FIRST, now)
    if holder.lost is not None:
        return moves.begin_next(state, holder.lost, now)
    attendance = state.attendance.get(holder.receiver_id)
    if moves.released(state, holder):
        return moves.after_release(state, holder, now)
    is_present = order.present(state, holder.receiver_id, now)
    if state.floor > state.epoch and is_present:
        return moves.begin_next(state, Reason.CLOUD_RESTORED, now, prefer=holder.receiver_id)
    if not is_present:
        if now < state.judge_after:
            return state, ()
        parted = attendance is not None and attendance.parted_at is not None
        return moves.begin_next(state, Reason.CONNECTION_LOST if parted else Reason.SILENT, now)
    effects: tuple[Effect, ...] = ()
    if holder.gone:
        effects = (WorksAgain(holder.receiver_id, state.epoch, now - holder.heard_at),)
        holder = replace(holder, gone=False)
        state = replace(state, holder=holder)
    state, yielding = moves.judge_yield(state, holder, now)
    return state, effects + yielding


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
        and now >= state.not_before
        and _renews(state, attendance, event, now)
    )
    if granted and holder:
        until = max(holder.lease_until, now + state.settings.lease.total_seconds())
        was_healthy = holder.was_healthy or attendance.healthy
        state = replace(state, holder=replace(holder, lease_until=until, heard_at=now, was_healthy=was_healthy))
    return state, (Tell(event.receiver_id, granted=granted, beat=event.number),)


def _with(state: GroupState, receiver_id: str, attendance: Attendance) -> GroupState:
    attendances: Mapping[str, Attendance] = {**state.attendance, receiver_id: attendance}
    return replace(state, attendance=attendances)
