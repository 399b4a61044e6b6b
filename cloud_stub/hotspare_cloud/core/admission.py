"""Who may take a role, and who may attend (G1 to G5, F7). Pure: facts in, permission or error out."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import SPARE_ROLES, Role


@dataclass(frozen=True, slots=True)
class Membership:
    """A member as it is stored. `generation` is the number of this membership in the group."""

    receiver_id: str
    role: Role
    generation: int
    name: str
    machine_id: str
    address: str
    software_version: str
    dual_connection: bool
    own_account_number: str
    joined_at: float
    """Wall clock, seconds since 1970."""
    incarnation: str = ""
    superseded: tuple[str, ...] = ()
    """Incarnations that a newer one has replaced; they are refused for good."""


Members = Mapping[str, Membership]

SUPERSEDED_KEPT = 32
"""So many old incarnations are remembered for each member."""


def free_roles(members: Members) -> tuple[Role, ...]:
    """Roles that could be taken now: without a host, the host's alone (G2)."""
    taken = {member.role for member in members.values()}
    if Role.HOST not in taken:
        return (Role.HOST,)
    return tuple(role for role in SPARE_ROLES if role not in taken)


def check_join(
    wish: Membership,
    sub_account: str,
    members: Members,
    host_sub_accounts: tuple[str, ...],
) -> None:
    """Refuse a receiver that may not take the role.

    `members` are those of its sub account, `host_sub_accounts` the other sub accounts of the ARC account that have a
    host.

    Raises:
        HotspareError: ROLE_TAKEN, HOST_MISSING, SUB_ACCOUNT_MISMATCH, DUAL_CONNECTION_NOT_ALLOWED, MACHINE_MISMATCH.
    """
    known = members.get(wish.receiver_id)
    if known is not None and known.machine_id != wish.machine_id:
        raise machine_mismatch(wish.receiver_id)
    holder = next((member for member in members.values() if member.role is wish.role), None)
    if holder is not None and holder.receiver_id != wish.receiver_id:
        free = ", ".join(_text(role) for role in free_roles(members)) or "none"
        raise HotspareError(
            Reason.ROLE_TAKEN,
            f"the role {_text(wish.role)} is held by {holder.name} ({holder.receiver_id}); free: {free}",
            role=_text(wish.role),
            holder=holder.receiver_id,
            holder_name=holder.name,
            free_roles=",".join(_text(role) for role in free_roles(members)),
        )
    if wish.role is Role.HOST:
        return
    host = next((member for member in members.values() if member.role is Role.HOST), None)
    if host is None or host.receiver_id == wish.receiver_id:
        if host is None and host_sub_accounts:
            raise HotspareError(
                Reason.SUB_ACCOUNT_MISMATCH,
                f"this receiver's sub account is {sub_account}, and the host's is {' or '.join(host_sub_accounts)}",
                sub_account=sub_account,
                host_sub_account=",".join(host_sub_accounts),
            )
        raise HotspareError(
            Reason.HOST_MISSING,
            f"the group has no host yet, so the role {_text(wish.role)} can't be taken",
            role=_text(wish.role),
        )
    if wish.dual_connection:
        raise HotspareError(
            Reason.DUAL_CONNECTION_NOT_ALLOWED,
            "a receiver with dual connection switched on can't be a spare",
            role=_text(wish.role),
        )


def check_attend(
    member: Membership | None, receiver_id: str, incarnation: str, machine_id: str, *, ended: bool
) -> None:
    """Refuse a process that may not attend. `ended`: the hot spare that it knew was switched off (X2).

    Raises:
        HotspareError: NOT_A_MEMBER, HOT_SPARE_ENDED, MACHINE_MISMATCH, INCARNATION_SUPERSEDED.
    """
    if member is None:
        if ended:
            raise HotspareError(Reason.HOT_SPARE_ENDED, "the hot spare was switched off", generation="")
        raise HotspareError(Reason.NOT_A_MEMBER, "this receiver holds no role", receiver_id=receiver_id)
    if member.machine_id != machine_id:
        raise machine_mismatch(receiver_id)
    if incarnation in member.superseded:
        raise HotspareError(
            Reason.INCARNATION_SUPERSEDED,
            "a newer start of this receiver has attended; this process must end",
            receiver_id=receiver_id,
            incarnation=incarnation,
        )


def check_straggler(member: Membership, incarnation: str, *, here: bool) -> None:
    """Refuse for now an unknown incarnation that began before the one that attends, while that one is `here`.

    It is the word of a dead process that was held up on the way: taken for the newer one, it would put the living one
    out. Where a clock was set back and it is the newer one after all, it tries again, and is taken once the other is
    lost.
    Incarnations are UUIDv7: their order is that of their starts.

    Raises:
        HotspareError: STREAM_SUPERSEDED.
    """
    ordered = _is_ordered(incarnation) and _is_ordered(member.incarnation)
    if here and ordered and incarnation < member.incarnation:
        raise HotspareError(
            Reason.STREAM_SUPERSEDED, "a process of this receiver that was started later attends", stream="attend"
        )


def _is_ordered(incarnation: str) -> bool:
    try:
        return UUID(incarnation).version == 7 and str(UUID(incarnation)) == incarnation
    except ValueError:
        return False


def superseding(member: Membership, incarnation: str) -> tuple[str, ...]:
    """The superseded incarnations of a member once `incarnation` attends."""
    older = (*member.superseded, member.incarnation) if member.incarnation else member.superseded
    return tuple(known for known in older if known != incarnation)[-SUPERSEDED_KEPT:]


def warnings(member: Membership, members: Members) -> tuple[str, ...]:
    """What an operator should know about a member, in words (G6)."""
    same = [
        other.name or other.receiver_id
        for other in members.values()
        if other.receiver_id != member.receiver_id and other.machine_id == member.machine_id
    ]
    return (f"runs on the same machine as {', '.join(sorted(same))}",) if same else ()


def machine_mismatch(receiver_id: str) -> HotspareError:
    """The error for a receiver id that is known from another machine."""
    return HotspareError(
        Reason.MACHINE_MISMATCH,
        "this receiver id is known from another machine: a copied data folder or a cloned machine",
        receiver_id=receiver_id,
    )


def _text(role: Role) -> str:
    return role.name
