"""Who belongs to a group: taking a role, giving it up, being removed, and working alone (G1 to G8, X1, X2)."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hotspare_cloud.core.admission import Membership, check_alone
from hotspare_cloud.core.state import Kind, Note, PostsChanged
from hotspare_cloud.finish import finished
from hotspare_cloud.group import Group
from hotspare_cloud.history import note_line
from hotspare_cloud.restore import posts_of
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import MemberStatus
from hotspare_rpc.logs import log_event

_log = logging.getLogger(__name__)


@finished
async def join(group: Group, member: Membership, operator: str = "") -> Membership:
    """Store a member that was admitted by `check_join`, which the caller did under `membership_lock`."""
    async with group.lock:
        known = group.members.get(member.receiver_id)
        if known is not None and known.role is member.role:
            return known
        joined = _renumbered(group, member, known)
        was = f", {_role(known).lower()} before" if known else ""
        note = Note(Kind.MEMBER_JOINED, member.receiver_id, f"{member.name} as {_role(member).lower()}{was}", operator)
        line = note_line(note, {member.receiver_id: joined})
        await group.store.save_member(group.row.group_id, joined, joined.generation, [line])
        _took_place(group, joined)
        log_event(
            _log, logging.INFO, "member_joined", **group.name(), receiver=member.receiver_id, role=_role(member),
            operator=operator or None,
        )  # fmt: skip
        await group.step(PostsChanged(posts_of(group.members)))
        return joined


@finished
async def admit_alone(group: Group, member: Membership) -> None:
    """Make a receiver without a role known to the group (G7). One that is known already stays as it is.

    Raises:
        HotspareError: NOT_A_MEMBER, when there are too many.
    """
    async with group.lock:
        if member.receiver_id in group.members:
            return
        check_alone(group.members)
        alone = _renumbered(group, replace(member, role=None, joined_at=time.time(), incarnation="", start=0), None)
        await group.store.save_member(group.row.group_id, alone, alone.generation)
        _took_place(group, alone)
        log_event(_log, logging.INFO, "alone_admitted", **group.name(), receiver=member.receiver_id)
        await group.step(PostsChanged(posts_of(group.members)))


@finished
async def leave(
    group: Group,
    receiver_ids: Sequence[str],
    released: Mapping[str, int],
    error: HotspareError,
    note: Note,
    *,
    ended: Sequence[str] = (),
    connected_too: bool = True,
) -> None:
    """Remove members; their streams end with `error`.

    `released` are the epochs that they surely write under no more, `note` is the line of the history, and `ended` are
    those whose hot spare was ended by the host.

    Raises:
        HotspareError: MEMBER_CONNECTED, when one of them is, unless `connected_too`.
    """
    async with group.lock:
        gone = [receiver_id for receiver_id in receiver_ids if receiver_id in group.members]
        if not gone:
            return
        for receiver_id in gone:
            # Under the lock: it may come back while this waits for its turn.
            if not connected_too and group.status(receiver_id) is not MemberStatus.OFFLINE:
                raise member_connected(group.members[receiver_id])
        group.generation += 1
        departed = {receiver_id: receiver_id in ended for receiver_id in gone}
        lines = [note_line(note, group.members)]
        await group.store.remove_members(group.row.group_id, departed, group.generation, lines)
        group.departed |= departed
        former = {receiver_id: group.members.pop(receiver_id) for receiver_id in gone}
        for receiver_id, member in former.items():
            log_event(
                _log, logging.INFO, "member_left", **group.name(), receiver=receiver_id, role=_role(member),
                operator=note.operator or None,
            )  # fmt: skip
            # The line stays: the same process may attend again, and its states are numbered on.
            line = group.lines.get(receiver_id)
            if line is not None and line.session is not None:
                line.session.end(error)
                line.session, line.beat = None, 0
            group.reports.pop(receiver_id, None)
            group.last_seen.pop(receiver_id, None)
        given_up = {former[each].incarnation: through for each, through in released.items() if each in former}
        await group.step(PostsChanged(posts_of(group.members), given_up), former=former)


def member_connected(member: Membership) -> HotspareError:
    """The error for a member that is taken for dead and lives (G8)."""
    return HotspareError(
        Reason.MEMBER_CONNECTED,
        f"{member.name} is connected: disable it there, or force",
        receiver_id=member.receiver_id,
    )


def _renumbered(group: Group, member: Membership, known: Membership | None) -> Membership:
    """The member with the next number of a membership; what is known of its process stays."""
    return replace(
        member,
        generation=group.generation + 1,
        incarnation=known.incarnation if known else "",
        start=known.start if known else 0,
        folder_id=known.folder_id if known else "",
        superseded=known.superseded if known else (),
    )


def _took_place(group: Group, member: Membership) -> None:
    group.generation = member.generation
    group.members[member.receiver_id] = member
    group.departed.pop(member.receiver_id, None)


def _role(member: Membership) -> str:
    return member.role.name if member.role else "ALONE"
