"""A group's state after a start of the cloud, from what is stored of it (F11)."""

from hotspare_cloud.core.state import GroupState, Hold, Holder, Post
from hotspare_cloud.core.window import Window
from hotspare_cloud.store.base import GroupFacts


def stored_state(facts: GroupFacts) -> GroupState:
    """What the store knows of who works, without any time."""
    posts = {key: Post(member.role, member.machine_id) for key, member in facts.members.items()}
    newest = facts.epochs[-1] if facts.epochs else None
    holder = None
    if newest is not None and newest.ended_at is None:
        holder = Holder(newest.receiver_id, newest.incarnation, newest.machine_id, lease_until=0.0, heard_at=0.0)
    holds = tuple(
        Hold(row.epoch, row.receiver_id, row.incarnation, row.machine_id, until=0.0) for row in facts.epochs if row.held
    )
    return GroupState(
        settings=facts.settings, posts=posts, holder=holder, holds=holds, epoch=newest.epoch if newest else 0
    )


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
