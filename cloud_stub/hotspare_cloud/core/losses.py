"""Receivers that are lost again and again are held back: they fail back no more for a while (F9)."""

from dataclasses import replace

from hotspare_cloud.core.order import HOUR
from hotspare_cloud.core.state import LOSSES, Effect, GroupState, Holder, Kind, Loss, Note, Reason


def counted(state: GroupState, holder: Holder | None, reason: Reason, now: float) -> tuple[GroupState, list[Effect]]:
    """The holder was lost for that reason: count it, where it counts against a receiver."""
    if holder is None or reason not in LOSSES or holder.receiver_id not in state.posts:
        return state, []
    if reason is Reason.UNHEALTHY and not holder.was_healthy:
        return state, []  # It could not deliver from the start, as at a cold start of the group.
    kept = (*state.losses, Loss(holder.receiver_id, now))
    state = replace(state, losses=kept)
    count = sum(1 for loss in kept if loss.receiver_id == holder.receiver_id)
    if count < state.settings.losses_per_hour or holder.receiver_id in state.held_back:
        return state, []
    detail = f"lost {count} times within an hour"
    state = replace(state, held_back=state.held_back | {holder.receiver_id})
    return state, [Note(Kind.HELD_BACK, holder.receiver_id, detail)]


def expire(state: GroupState, now: float) -> tuple[GroupState, list[Effect]]:
    """Losses of more than an hour ago count no more; who had none for an hour may fail back again."""
    kept = tuple(loss for loss in state.losses if loss.at + HOUR > now)
    if len(kept) == len(state.losses):
        return state, []
    state = replace(state, losses=kept)
    quiet = sorted(state.held_back - {loss.receiver_id for loss in kept})
    state = replace(state, held_back=state.held_back - set(quiet))
    return state, [Note(Kind.ALLOWED_AGAIN, receiver_id, "an hour of quiet has passed") for receiver_id in quiet]
