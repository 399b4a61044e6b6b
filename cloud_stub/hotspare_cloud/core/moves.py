"""Moves of the working role: to whom the holder is to yield, and how one epoch ends and the next begins."""

from dataclasses import replace

from hotspare_cloud.core import losses, order
from hotspare_cloud.core.state import (
    ArcEvent,
    BeginEpoch,
    Effect,
    EndEpoch,
    GroupState,
    Hold,
    Holder,
    Kind,
    Note,
    Pin,
    Reason,
    Tell,
    TellAll,
    Worked,
)

Result = tuple[GroupState, tuple[Effect, ...]]

TOGETHER = 2.0
"""Seconds: of two that fail back so close to each other only the first in order does."""


# Where the work is to go.


def target(state: GroupState, holder: Holder, now: float) -> tuple[str, Reason] | None:
    """To whom the holder, which is here and works, has to hand over, and why. None: to nobody.

    An operator's wish comes first. While moves are paused it is the only one; what the holder itself can't help (it
    stops, it can't deliver) comes before what others would like.
    """
    others = [each for each in order.candidates(state, now) if each != holder.receiver_id]
    wanted = order.switching_to(state)
    if wanted is not None:
        return (wanted, Reason.SWITCHOVER) if wanted in others else None
    if state.pause is not None or not others:
        return None
    attendance = state.attendance[holder.receiver_id]
    if attendance.wants_release:
        return others[0], Reason.RELEASED
    healthy = [each for each in others if state.attendance[each].healthy]
    if healthy and not attendance.healthy:
        return healthy[0], Reason.UNHEALTHY
    for each in healthy:
        due = order.failback_due(state, each)
        if due is not None and now + TOGETHER >= due:
            # One that comes before the others, and is due in a moment, is waited for: one move, not two.
            return (each, Reason.FAILBACK) if now >= due else None
    return None


def judge_yield(state: GroupState, holder: Holder, now: float) -> Result:
    """The holder is here and works: tell it to yield, wait for it, or let it go on."""
    found = target(state, holder, now)
    if found is None:
        if holder.yield_to is None:
            return state, ()
        return replace(state, holder=replace(holder, yield_to=None)), (TellAll(),)
    to, why = found
    if holder.yield_to is None:
        yielding = replace(holder, yield_to=to, yield_since=now, yield_why=why)
        return replace(state, holder=yielding), (TellAll(),)
    if now >= holder.yield_since + state.settings.drain_timeout.total_seconds():
        reason = why if why is Reason.UNHEALTHY else Reason.DRAIN_TIMEOUT
        detail = "the hand-over was not done within drain_timeout, and goes on as a loss"
        return begin_next(state, reason, now, prefer=to, detail=detail)
    if (to, why) != (holder.yield_to, holder.yield_why):
        return replace(state, holder=replace(holder, yield_to=to, yield_why=why)), (TellAll(),)
    return state, ()


def after_release(state: GroupState, holder: Holder, now: float) -> Result:
    """The holder gave its work back: the one that it was for begins, or whoever may."""
    found = target(state, holder, now)
    if found is not None and found[0] == holder.yield_to:
        return begin_next(state, found[1], now, prefer=found[0])
    return begin_next(state, Reason.SWITCHOVER if order.switching_to(state) else Reason.RELEASED, now)


def released(state: GroupState, holder: Holder) -> bool:
    """Whether the very process that holds the epoch gave it back."""
    attendance = state.attendance.get(holder.receiver_id)
    return (
        attendance is not None
        and attendance.incarnation == holder.incarnation
        and attendance.released_through >= state.epoch
    )


def check_pin(state: GroupState, now: float) -> tuple[GroupState, list[Effect]]:
    """End a switchover whose target is gone before it worked, and the pin of one that left the group."""
    pin = state.pin
    if pin is None or now < state.judge_after:
        return state, []
    if pin.receiver_id not in state.posts:
        return _without_pin(state, pin, "the pinned receiver left the group")
    if not order.eligible(state, pin.receiver_id):
        return _without_pin(state, pin, "the group has a host, and the pinned receiver holds no role")
    coming = order.able(state, pin.receiver_id, now) or order.arriving(state, pin.receiver_id, now)
    if pin.reached or coming:
        return state, []
    return _without_pin(state, pin, "it was lost before it could take over")


def _without_pin(state: GroupState, pin: Pin, why: str) -> tuple[GroupState, list[Effect]]:
    return replace(state, pin=None), [Note(Kind.PIN_ENDED, pin.receiver_id, why), TellAll()]


# How it moves.


def begin_next(state: GroupState, reason: Reason, now: float, *, prefer: str = "", detail: str = "") -> Result:
    """End the holder's epoch and begin the next one, if there is somebody to hold it. `prefer`: who, if it can."""
    heirs = order.heirs(state, now)
    chosen = prefer if prefer in heirs else heirs[0] if heirs else None
    if chosen != prefer and order.awaited(state, chosen, now):
        return state, ()
    if chosen is None:
        return _nobody(state, reason, now)
    holder, pin, gap = state.holder, state.pin, _gap(state, state.holder, now)
    effects: list[Effect] = []
    if holder:
        state, effects = _end(state, now)
    state, noted = losses.counted(state, holder, reason, now)
    effects += noted
    if pin is not None and pin.receiver_id == chosen:
        state = replace(state, pin=replace(pin, reached=True))
    elif pin is not None:
        state, noted = _without_pin(state, pin, "it was lost, and another one took over")
        effects += noted
    attendance, post = state.attendance[chosen], state.posts[chosen]
    assert attendance.heard_at is not None
    successor = Holder(
        receiver_id=chosen,
        incarnation=attendance.incarnation,
        machine_id=post.machine_id,
        lease_until=attendance.heard_at + state.settings.lease.total_seconds(),
        heard_at=now,
        was_healthy=attendance.healthy,
    )
    wanted = pin if pin is not None and not pin.reached and pin.receiver_id == chosen else None
    begun = BeginEpoch(
        epoch=max(state.epoch, state.floor) + 1,
        receiver_id=chosen,
        incarnation=successor.incarnation,
        machine_id=successor.machine_id,
        reason=reason,
        previous=holder.receiver_id if holder else None,
        gap=gap,
        operator=wanted.operator if wanted else "",
        detail=detail or (wanted.detail if wanted else ""),
        arc_event=_arc_event(state, chosen),
    )
    worked = Worked(chosen, post.rank)
    state = replace(state, holder=successor, epoch=begun.epoch, idle_since=None, worked=worked)
    # The grant is pushed: it counts from the newest beat that the new holder was heard with.
    effects += [begun, Tell(chosen, granted=True, beat=attendance.beat), TellAll()]
    return state, tuple(effects)


def _nobody(state: GroupState, reason: Reason, now: float) -> Result:
    """There is nobody to take over: a loss ends nothing, but a release, a leave or a restart does."""
    holder = state.holder
    if holder is None:
        return state, ()
    why = "automatic moves are paused" if state.pause is not None else f"nobody could take over ({reason.value})"
    note = Note(Kind.NOBODY_LEFT, holder.receiver_id, why)
    if reason in (Reason.CONNECTION_LOST, Reason.SILENT, Reason.CLOUD_RESTORED) and holder.lost is None:
        if holder.gone or reason is Reason.CLOUD_RESTORED:
            return state, ()
        return replace(state, holder=replace(holder, gone=True)), (note, TellAll())
    since = now if reason is Reason.RELEASED and not holder.gone else holder.heard_at
    state, effects = _end(state, now)
    return replace(state, idle_since=since if state.posts else None), (*effects, note, TellAll())


def _end(state: GroupState, now: float) -> tuple[GroupState, list[Effect]]:
    """End the current epoch, with a hold unless there is proof that its holder stopped."""
    holder = state.holder
    assert holder is not None
    stopped = holder.lost is Reason.RESTARTED or released(state, holder)
    hold = not stopped and holder.lease_until > now
    holds = state.holds
    if hold:
        ended = Hold(state.epoch, holder.receiver_id, holder.incarnation, holder.machine_id, holder.lease_until)
        holds = (*holds, ended)
    return replace(state, holder=None, holds=holds), [EndEpoch(state.epoch, hold)]


def _gap(state: GroupState, holder: Holder | None, now: float) -> float:
    """Seconds that nobody worked before the next epoch: none, where the one before worked to the end.

    One that was gone did not, also when it is back and tells that its lease ran out meanwhile.
    """
    if holder is None:
        return max(0.0, now - state.idle_since) if state.idle_since is not None else 0.0
    is_present = order.present(state, holder.receiver_id, now)
    to_the_end = holder.lost is None and not holder.gone and (released(state, holder) or is_present)
    return 0.0 if to_the_end else max(0.0, now - holder.heard_at)


def _arc_event(state: GroupState, receiver_id: str) -> ArcEvent | None:
    """What the ARC is told: nothing at the group's first start, and nothing where the same one goes on (F10)."""
    worked, rank = state.worked, state.posts[receiver_id].rank
    if worked is None or worked.receiver_id == receiver_id:
        return None
    # By the role that it has now, where it has one: it may have taken another since its epoch began.
    before = state.posts[worked.receiver_id].rank if worked.receiver_id in state.posts else worked.rank
    if before == rank:
        return None
    return ArcEvent.TAKE_OVER if rank > before else ArcEvent.RETURN
