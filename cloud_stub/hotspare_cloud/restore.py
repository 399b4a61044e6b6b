"""A group's state after a start of the cloud, from what is stored of it (F11)."""

from collections.abc import Mapping

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.core.state import ALONE, GroupState, Hold, Holder, Loss, Post, Worked
from hotspare_cloud.core.window import Window
from hotspare_cloud.store.base import GroupFacts


def stored_state(facts: GroupFacts) -> GroupState:
    """What the store knows of who works, without any time."""
    newest = facts.epochs[-1] if facts.epochs else None
    holder = None
    if newest is not None and newest.ended_at is None:
        holder = Holder(newest.receiver_id, newest.incarnation, newest.machine_id, lease_until=0.0, heard_at=0.0)
    holds = tuple(
        Hold(row.epoch, row.receiver_id, row.incarnation, row.machine_id, until=0.0) for row in facts.epochs if row.held
    )
    standing = facts.standing
    return GroupState(
        settings=facts.settings,
        posts=posts_of(facts.members),
        holder=holder,
        holds=holds,
        epoch=newest.epoch if newest else 0,
        floor=standing.floor,
        worked=Worked(newest.receiver_id, int(newest.role) if newest.role else ALONE) if newest else None,
        pin=standing.pin,
        pause=standing.pause,
        losses=tuple(Loss(receiver_id, 0.0) for receiver_id, count in standing.losses for _ in range(count)),
        held_back=frozenset(standing.held_back),
        old_lease=standing.old_lease,
        restored_at=standing.restored_at,
    )


def posts_of(members: Mapping[str, Membership]) -> dict[str, Post]:
    """The places of the members, as they decide."""
    return {key: Post(member.role, member.machine_id, member.generation) for key, member in members.items()}


def restored_window(facts: GroupFacts, state: GroupState) -> Window:
    """What is out, under the current epoch and under ended ones that are held."""
    window = Window()
    window.begin(state.epoch)
    held = {hold.epoch for hold in state.holds}
    for out in facts.out:
        if out.epoch in held:
            window.hold(out.epoch, out.number, out.device_id)
        elif out.epoch == state.epoch:
            window.restore_delivered(out.number, out.device_id)
    return window
