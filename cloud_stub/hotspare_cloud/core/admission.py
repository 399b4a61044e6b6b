"""Who may take a role, and who may attend (G1 to G5, F7). Pure: facts in, permission or error out."""

from collections.abc import Mapping
from dataclasses import dataclass

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import SPARE_ROLES, Role


@dataclass(frozen=True, slots=True)
class Membership:
    """A member as it is stored. `generation` is the number of this membership in the group."""

    receiver_id: str
    role: Role | None
    """None: it works alone (G7)."""
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
    start: int = 0
    """Number of the start of that incarnation in its data folder."""
    folder_id: str = ""
    """The data folder whose lock that incarnation holds."""
    superseded: tuple[str, ...] = ()
    """Incarnations that a newer one has replaced; they are refused for good."""


Members = Mapping[str, Membership]

SUPERSEDED_KEPT = 32
"""So many old incarnations are remembered for each member."""


MOST_ALONE = 16
"""So many receivers without a role are known in a group at most."""


def free_roles(members: Members) -> tuple[Role, ...]:
    """Roles that could be taken now: without a host, the host's alone (G2)."""
    taken = {member.role for member in members.values()}
    if Role.HOST not in taken:
        return (Role.HOST,)
    return tuple(role for role in SPARE_ROLES if role not in taken)


def check_alone(members: Members) -> None:
    """Refuse one more receiver without a role where there are too many already.

    Raises:
        HotspareError: NOT_A_MEMBER.
    """
    if sum(1 for member in members.values() if member.role is None) >= MOST_ALONE:
        raise HotspareError(
            Reason.NOT_A_MEMBER,
            f"{MOST_ALONE} receivers without a role are known: remove those that are gone",
            receiver_id="",
        )


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


def check_attend(member: Membership | None, hello: Membership, *, ended: bool, here: bool) -> None:
    """Refuse a process that may not attend.

    `member` is what is stored of the receiver, `hello` how the process describes itself. `ended`: the hot spare that it
    knew was switched off (X2). `here`: the process that attended last is connected, or was a moment ago.

    Raises:
        HotspareError: NOT_A_MEMBER, HOT_SPARE_ENDED, MACHINE_MISMATCH, INCARNATION_SUPERSEDED, START_BEHIND.
    """
    receiver_id = hello.receiver_id
    # One that still believes in a role is told, also where another process of it has attended without one since.
    if member is None or (member.role is None and hello.generation):
        if ended:
            raise HotspareError(Reason.HOT_SPARE_ENDED, "the hot spare was switched off", generation="")
        raise HotspareError(Reason.NOT_A_MEMBER, "this receiver holds no role", receiver_id=receiver_id)
    if member.machine_id != hello.machine_id:
        raise machine_mismatch(receiver_id)
    if hello.incarnation == member.incarnation:
        return
    if hello.incarnation in member.superseded:
        raise HotspareError(
            Reason.INCARNATION_SUPERSEDED,
            "a newer start of this receiver has attended; this process must end",
            receiver_id=receiver_id,
            incarnation=hello.incarnation,
        )
    if here and not same_folder(member, hello):
        raise folder_mismatch(receiver_id)
    if hello.start <= member.start:
        # The late word of a dead process: taken for the newer one, it would put the living one out. Only a living one
        # can answer by counting on, as it does where its disk was set back.
        raise HotspareError(
            Reason.START_BEHIND,
            f"start {member.start} of this receiver is known, and this is start {hello.start}",
            receiver_id=receiver_id,
            start=member.start,
        )


def same_folder(member: Membership, hello: Membership) -> bool:
    """Whether a process holds the lock that the one before it held: then that one has surely ended."""
    return member.folder_id in ("", hello.folder_id)


def proved_ended(member: Membership, hello: Membership) -> str:
    """The incarnation that has surely ended, now that another one attends. Empty: none, also where it is the same."""
    return member.incarnation if member.incarnation != hello.incarnation and same_folder(member, hello) else ""


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


def folder_mismatch(receiver_id: str) -> HotspareError:
    """The error for a receiver id that attends from another data folder of the same machine."""
    return HotspareError(
        Reason.MACHINE_MISMATCH,
        "this receiver attends from another data folder of this machine: this one is a copy",
        receiver_id=receiver_id,
    )


def _text(role: Role | None) -> str:
    return role.name if role is not None else "ALONE"
