"""Who is there, who could work, and who comes first (F1, F4, F8, F9, G7). Questions to a state; none changes it."""

from enum import Enum

from hotspare_cloud.core.state import Attendance, GroupState
from hotspare_model.group import MemberStatus, Role

ARRIVAL_GRACE = 0.5
"""Seconds that one that comes first has for its first beat before another is taken while nobody works: so that a
restart of the working receiver itself does not move the work twice."""

HOUR = 3600.0
"""Seconds for which a loss counts (F9)."""


class Standby(Enum):
    """Why a member that is there does not work. The values are the names of `StandbyReason` in group.proto."""

    LOWER_ORDER = "LOWER_ORDER"
    HOST_EXISTS = "HOST_EXISTS"
    ANOTHER_WORKS_ALONE = "ANOTHER_WORKS_ALONE"
    UNHEALTHY = "UNHEALTHY"
    FAILBACK_DELAY = "FAILBACK_DELAY"
    NOT_IN_SYNC = "NOT_IN_SYNC"
    HELD_BACK = "HELD_BACK"
    PAUSED = "PAUSED"
    PINNED_ELSEWHERE = "PINNED_ELSEWHERE"
    STOPPING = "STOPPING"


# Who is there.


def present(state: GroupState, receiver_id: str, now: float) -> bool:
    """Whether a member is connected, hears us and is heard: within `reconnect_grace` and `suspect_after`.

    Before `judge_after` nobody that was heard is suspected.
    """
    attendance = state.attendance.get(receiver_id)
    return attendance is not None and attendance.heard_at is not None and now < presence_ends(state, attendance)


def presence_ends(state: GroupState, attendance: Attendance) -> float:
    """When one that was heard counts as lost, unless it is heard again."""
    assert attendance.heard_at is not None
    suspect_after = state.settings.suspect_after.total_seconds()
    ends = attendance.heard_at + suspect_after
    if ends > state.patient_from:
        ends = max(ends, state.patient_until)
    if attendance.deaf:
        ends = min(ends, attendance.echoed_at + suspect_after)
    if attendance.parted_at is not None:
        ends = min(ends, attendance.parted_at + state.settings.reconnect_grace.total_seconds())
    return max(ends, state.judge_after) if ends > state.judge_from else ends


def here(state: GroupState, receiver_id: str, now: float) -> bool:
    """Whether a member is present, or its stream began so lately that its first beat may still come."""
    attendance = state.attendance.get(receiver_id)
    if attendance is None:
        return False
    arriving = now < attendance.attached_at + state.settings.suspect_after.total_seconds()
    return (arriving and attendance.parted_at is None) or present(state, receiver_id, now)


def status_of(state: GroupState, receiver_id: str, now: float) -> MemberStatus:
    """What is so now, for people and metrics."""
    is_present = present(state, receiver_id, now)
    if state.holder and state.holder.receiver_id == receiver_id and state.holder.lost is None and is_present:
        return MemberStatus.WORKING
    return MemberStatus.STANDBY if is_present else MemberStatus.OFFLINE


# Who could work.


def eligible(state: GroupState, receiver_id: str) -> bool:
    """Whether a member may work at all: one without a role only while the group has no host (G7)."""
    post = state.posts.get(receiver_id)
    return post is not None and (post.role is not None or not has_host(state))


def has_host(state: GroupState) -> bool:
    """Whether a member has the host's role, connected or not."""
    return any(post.role is Role.HOST for post in state.posts.values())


def able(state: GroupState, receiver_id: str, now: float) -> bool:
    """Whether a member could begin to work now, healthy or not."""
    attendance = state.attendance.get(receiver_id)
    return (
        attendance is not None
        and attendance.parted_at is None
        and not attendance.wants_release
        and eligible(state, receiver_id)
        and present(state, receiver_id, now)
    )


def arriving(state: GroupState, receiver_id: str, now: float) -> bool:
    """Whether a member's stream has just begun, and its first beat is still to come."""
    attendance = state.attendance.get(receiver_id)
    return (
        attendance is not None
        and attendance.heard_at is None
        and attendance.parted_at is None
        and now < attendance.attached_at + ARRIVAL_GRACE
        and eligible(state, receiver_id)
    )


def candidates(state: GroupState, now: float) -> list[str]:
    """Those that could begin to work now, best first: the healthy ones in the order of F1, then the others."""
    return sorted((each for each in state.posts if able(state, each, now)), key=lambda each: _preference(state, each))


def heirs(state: GroupState, now: float) -> list[str]:
    """Those that may begin the next epoch by themselves, or by an operator's wish, best first."""
    found = candidates(state, now)
    if switching_to(state) is not None:
        return [each for each in found if each == switching_to(state)]
    if state.pause is not None:
        return [each for each in found if each in _kept_by_pause(state)]
    pinned = state.pin.receiver_id if state.pin else None
    if pinned in found and state.attendance[pinned].healthy:
        # Started anew it is not lost: it goes on, and stays pinned.
        return [pinned, *(each for each in found if each != pinned)]
    return found


def awaited(state: GroupState, best: str | None, now: float) -> bool:
    """Whether one that comes before `best` has just arrived: its first beat is waited for."""
    kept = _kept_by_pause(state) if state.pause is not None else state.posts
    coming = [each for each in kept if arriving(state, each, now)]
    if best is None or (state.pin is not None and state.pin.receiver_id in coming):
        return bool(coming)
    return any(state.posts[each].rank < state.posts[best].rank for each in coming)


def _preference(state: GroupState, receiver_id: str) -> tuple[bool, int, int]:
    post = state.posts[receiver_id]
    return not state.attendance[receiver_id].healthy, post.rank, post.generation


def _kept_by_pause(state: GroupState) -> set[str]:
    """Who may go on while moves are paused: the one that worked, also after its restart; anybody where it is gone."""
    worked = state.worked
    return {worked.receiver_id} if worked is not None and worked.receiver_id in state.posts else set(state.posts)


# Where the work is to go.


def switching_to(state: GroupState) -> str | None:
    """To whom a switchover is under way. None: to nobody."""
    return state.pin.receiver_id if state.pin is not None and not state.pin.reached else None


def failback_due(state: GroupState, receiver_id: str) -> float | None:
    """When the work goes back to a member, if it stays as it is; None where that is not to come (F4, F8, F9)."""
    attendance, post, holder = state.attendance.get(receiver_id), state.posts.get(receiver_id), state.holder
    if not attendance or attendance.back_since is None or attendance.wants_release or not post or not holder:
        return None
    if state.pause or state.pin or receiver_id in state.held_back or not eligible(state, receiver_id):
        return None
    holder_post = state.posts.get(holder.receiver_id)
    if holder_post and holder_post.rank <= post.rank:
        return None
    if not eligible(state, holder.receiver_id):
        return attendance.back_since  # One without a role gives way to a host at once (G7).
    return attendance.back_since + state.settings.failback_delay.total_seconds()


def standby_reason(state: GroupState, receiver_id: str, now: float) -> Standby | None:
    """Why a member that is there does not work; None where it works or is not there."""
    attendance, post, holder = state.attendance.get(receiver_id), state.posts.get(receiver_id), state.holder
    if attendance is None or post is None or status_of(state, receiver_id, now) is not MemberStatus.STANDBY:
        return None
    holder_post = state.posts.get(holder.receiver_id) if holder else None
    behind = holder_post is not None and holder_post.rank <= post.rank
    reasons = (
        (attendance.wants_release, Standby.STOPPING),
        (not eligible(state, receiver_id), Standby.HOST_EXISTS),
        (behind and post.role is None and holder_post and holder_post.role is None, Standby.ANOTHER_WORKS_ALONE),
        (not attendance.healthy, Standby.UNHEALTHY),
        (behind, Standby.LOWER_ORDER),
        (state.pin is not None and state.pin.receiver_id != receiver_id, Standby.PINNED_ELSEWHERE),
        (state.pause is not None, Standby.PAUSED),
        (receiver_id in state.held_back, Standby.HELD_BACK),
        (not attendance.in_sync, Standby.NOT_IN_SYNC),
        (failback_due(state, receiver_id) is not None, Standby.FAILBACK_DELAY),
    )
    return next((reason for applies, reason in reasons if applies), Standby.LOWER_ORDER)
