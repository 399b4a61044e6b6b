"""What operators may ask of the working role, and why not (F8). Pure: state and wish in, permission or error out."""

from hotspare_cloud.core import order
from hotspare_cloud.core.state import GroupState
from hotspare_model.errors import HotspareError, Reason


def check_switch(state: GroupState, receiver_id: str, now: float, *, expected_epoch: int | None = None) -> None:
    """Refuse a switchover that can't be done.

    Raises:
        HotspareError: EPOCH_STALE, MEMBER_NOT_FOUND, TARGET_WORKING, MOVE_RUNNING, TARGET_OFFLINE, TARGET_UNHEALTHY.
    """
    if expected_epoch is not None and expected_epoch != state.epoch:
        raise HotspareError(
            Reason.EPOCH_STALE,
            f"the epoch is {state.epoch}, not {expected_epoch}: the working receiver changed meanwhile",
            epoch=expected_epoch,
            current_epoch=state.epoch,
        )
    if receiver_id not in state.posts:
        raise HotspareError(Reason.MEMBER_NOT_FOUND, f"the group has no member {receiver_id}", receiver_id=receiver_id)
    holder, running = state.holder, order.switching_to(state)
    if holder is not None and holder.yield_to is not None:
        running = holder.yield_to
    if running is not None:
        raise HotspareError(Reason.MOVE_RUNNING, f"the work is being handed over to {running}", to=running)
    is_present = order.present(state, receiver_id, now)
    if holder is not None and holder.receiver_id == receiver_id and holder.lost is None and is_present:
        raise HotspareError(Reason.TARGET_WORKING, "that receiver works already", receiver_id=receiver_id)
    if not order.able(state, receiver_id, now):
        stopping = is_present and state.attendance[receiver_id].wants_release
        problem = "that receiver is stopping" if stopping else "that receiver is not connected"
        if is_present and not order.eligible(state, receiver_id):
            problem = "that receiver holds no role, and the group has a host"
        raise HotspareError(Reason.TARGET_OFFLINE, problem, receiver_id=receiver_id)
    if not state.attendance[receiver_id].healthy:
        raise HotspareError(
            Reason.TARGET_UNHEALTHY,
            "that receiver could not deliver: its status tells why",
            receiver_id=receiver_id,
            problem="unhealthy",
        )


def check_resume(state: GroupState) -> None:
    """Refuse a resume of nothing. Raises HotspareError NOT_PAUSED."""
    if state.pause is None and state.pin is None and not state.held_back:
        raise HotspareError(Reason.NOT_PAUSED, "automatic moves are not paused, and no receiver is pinned or held back")
