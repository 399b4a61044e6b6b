"""The members of a group: for `members`, and as a part of `status`."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from hotspare.v1.group_pb2 import Group, Hold, Member, MemberStatus, Role, StandbyReason, SyncState
from hotspare.v1.receiver_service_pb2 import DisableHotSpareResponse, EnableHotSpareResponse
from hotspare.v1.role_service_pb2 import ListMembersResponse, RemoveMemberResponse
from hotspare_cli.layout import Cell, CellLike, Facts, Grid, Lines, Part, Tone, grid, state
from hotspare_cli.naming import Names, called
from hotspare_cli.words import NONE, ago, duration, number, phrase, plural, role_word, since, time, word

SELF_MARK = "*"

# One of higher order works: that is what standing by is for.
_NO_WORD_NEEDED = (StandbyReason.STANDBY_REASON_UNSPECIFIED, StandbyReason.STANDBY_REASON_LOWER_ORDER)
# With any other reason the time that was told does not count.
_FAILBACK_DUE = (*_NO_WORD_NEEDED, StandbyReason.STANDBY_REASON_FAILBACK_DELAY)

STANDBY_WORDS: Mapping[int, str] = {
    StandbyReason.STANDBY_REASON_LOWER_ORDER: "one of higher order works",
    StandbyReason.STANDBY_REASON_HOST_EXISTS: "the group has a host",
    StandbyReason.STANDBY_REASON_ANOTHER_WORKS_ALONE: "another one works alone",
    StandbyReason.STANDBY_REASON_UNHEALTHY: "unhealthy",
    StandbyReason.STANDBY_REASON_FAILBACK_DELAY: "back, waits to work again",
    StandbyReason.STANDBY_REASON_NOT_IN_SYNC: "not in sync",
    StandbyReason.STANDBY_REASON_HELD_BACK: "held back",
    StandbyReason.STANDBY_REASON_PAUSED: "automatic moves are paused",
    StandbyReason.STANDBY_REASON_PINNED_ELSEWHERE: "another one is pinned",
    StandbyReason.STANDBY_REASON_STOPPING: "stopping",
}
"""Why one that is connected does not work."""


def members_view(response: ListMembersResponse, now: datetime) -> Iterator[Part]:
    """The whole answer of `members`."""
    yield group_facts(response.group, response.members, now)
    yield members_grid(response.members, now, group=response.group, machines=True)
    free = ", ".join(role_word(role) for role in response.group.free_roles)
    yield Facts((("Free roles", free or "none"), ("Mark", f"{SELF_MARK} is the receiver that was asked")))
    yield from warnings(response.group, response.members)


def enabled_view(response: EnableHotSpareResponse, *, promoted: bool = False) -> Iterator[Part]:
    """The answer of `enable`."""
    member = response.member
    name = member.receiver.name or member.receiver.receiver_id
    yield Lines((f"{name} has the role {role_word(member.role)} now.",))
    if promoted:
        revision = f", revision {number(member.sync_revision)}" if member.sync_revision else ""
        yield Lines((f"It goes on from its own copy of the configuration{revision}.",))


def disabled_view(response: DisableHotSpareResponse) -> Iterator[Part]:
    """The answer of `disable`: what was cleared, and for whom it ended."""
    yield Lines((f"This receiver has no role now; records cleared here: {number(response.cleared_records)}.",))
    if response.ended_members:
        ended = ", ".join(called(member) for member in response.ended_members)
        yield Lines(
            (
                f"The hot spare ended for {ended} too; "
                "their copies of the configuration are cleared when they next reach the cloud.",
            )
        )


def removal(member: Member) -> str:
    """What the removal of that member will do, in words, before it is asked for (G8)."""
    status = word(MemberStatus.DESCRIPTOR, member.status)
    what = f"This removes {called(member)} ({status}) from the group, for good; its role is free then."
    if member.role != Role.ROLE_HOST:
        return f"{what} Should it come back, it is refused, and its copy of the configuration is cleared."
    return (
        f"{what} The spares keep their roles, their copies and the work; the configuration can be edited again "
        "when a spare was promoted or another receiver took the host's role."
    )


def removed_view(response: RemoveMemberResponse, member: Member | None, receiver_id: str) -> Iterator[Part]:
    """The answer of `member remove`."""
    yield Lines((f"{called(member) if member is not None else receiver_id} is no member any more.",))
    free = ", ".join(role_word(role) for role in response.group.free_roles)
    yield Facts((("Free roles", free or "none"),))


def group_facts(group: Group, members: Iterable[Member], now: datetime) -> Facts:
    """What is so for the group as a whole."""
    return Facts(tuple(_about_group(group, Names(members), now)))


def _about_group(group: Group, names: Names, now: datetime) -> Iterator[tuple[str, CellLike]]:
    yield "Group", f"{group.arc_id} / {group.sub_account}"
    if group.working_receiver_id:
        began = f", {since(group.working_since_time, now)}" if group.HasField("working_since_time") else ""
        yield "Working", f"{names.of(group.working_receiver_id)}{began}"
    else:
        yield "Working", Cell("nobody: the cloud keeps the alarms", Tone.BAD)
    yield "Epoch", number(group.epoch)
    yield "Waiting at the cloud", _backlog(group, now)
    if group.moving_to_receiver_id:
        yield "Moving", Cell(f"a hand-over to {names.of(group.moving_to_receiver_id)} is under way", Tone.WATCH)
    if group.paused:
        yield "Automatic moves", Cell(f"{paused(group, now)}: nobody takes over, not even at a loss", Tone.WATCH)
    if group.pinned_receiver_id:
        yield "Pinned", Cell(f"{names.of(group.pinned_receiver_id)}{_pinned(group, now)}", Tone.WATCH)
    for hold in group.holds:
        yield "Held", _held(hold, names)


def paused(group: Group, now: datetime) -> str:
    """That automatic moves are paused, since when and by whom as far as that was told."""
    began = f" {since(group.pause_time, now)}" if group.HasField("pause_time") else ""
    return f"paused{began}{_by(group.paused_by)}"


def _pinned(group: Group, now: datetime) -> str:
    began = f", {since(group.pin_time, now)}" if group.HasField("pin_time") else ""
    return f"{began}{_by(group.pinned_by)}"


def _by(operator: str) -> str:
    return f" by {operator}" if operator else ""


def _held(hold: Hold, names: Names) -> Cell:
    alarms = f"{number(hold.alarms)} {plural(hold.alarms, 'alarm')}"
    until = f", until {names.of(hold.receiver_id)} has surely stopped" if hold.receiver_id else ""
    return Cell(f"{alarms} of epoch {number(hold.epoch)}, up to {duration(hold.remaining)}{until}", Tone.WATCH)


def members_grid(
    members: Iterable[Member], now: datetime, *, group: Group, title: str = "", machines: bool = False
) -> Grid:
    """A row a member, with a mark on the one that was asked; `machines` adds where each of them runs."""
    whole = tuple(members)
    columns = ["", "ROLE", "ID", "NAME", "STATUS", "EPOCH", "VERSION", "SYNC", "REVISION"]
    columns += ["LAST SEEN", "LOSSES", "ADDRESS"]
    columns += ["MACHINE"] if machines else []
    # While the key of the account is being replaced, and not before: else the table would be wide for nothing.
    rotating = any(member.uses_old_key for member in whole)
    columns += ["ARC KEY"] if rotating else []
    rows = (
        _row(member, group, now) + ((_machine(member),) if machines else ()) + ((_key(member),) if rotating else ())
        for member in whole
    )
    below = ("ID", "MACHINE", "ADDRESS", "LOSSES", "REVISION", "VERSION", "LAST SEEN", "SYNC")
    return grid(columns, rows, title=title, empty="no members", below=below)


def status_cell(status: int, reason: int, note: str = "") -> Cell:
    """A status, with the reason why a receiver that stands by does not work where that is worth a word.

    `note` stands in for the reason.
    """
    plain = state(word(MemberStatus.DESCRIPTOR, status))
    if not note and reason in _NO_WORD_NEEDED:
        return plain
    told = note or STANDBY_WORDS.get(reason) or phrase(StandbyReason.DESCRIPTOR, reason)
    return Cell(f"{plain.text} ({told})", Tone.WATCH)


def warnings(group: Group, members: Iterable[Member]) -> Iterator[Lines]:
    """What an operator should know of the group and each member; nothing where there is nothing."""
    lines = [Cell(text, Tone.WATCH) for text in group.warnings]
    for member in members:
        lines += [Cell(f"{called(member)}: {text}", Tone.WATCH) for text in _about(member)]
    if lines:
        yield Lines(tuple(lines), title="Warnings")


def _about(member: Member) -> Iterator[str]:
    yield from member.warnings
    if member.sync_detail:
        yield f"its copy of the configuration: {member.sync_detail}"
    if member.held_back:
        yield "was lost too often; it fails back after an hour without a loss of it, or hotspare resume"
    if member.uses_old_key:
        yield "still uses the ARC key that is being replaced: hotspare settings set --arc-key-file FILE, there"
    for problem in member.health.problems:
        yield problem.detail or problem.subject or "is not healthy"


def _row(member: Member, group: Group, now: datetime) -> tuple[CellLike, ...]:
    receiver = member.receiver
    return (
        SELF_MARK if member.is_self else "",
        "none" if member.role == Role.ROLE_UNSPECIFIED else role_word(member.role),
        receiver.receiver_id,
        receiver.name or NONE,
        _status(member, group, now),
        number(member.epoch) if member.HasField("epoch") else NONE,
        receiver.software_version or NONE,
        state(word(SyncState.DESCRIPTOR, member.sync_state)),
        number(member.sync_revision) if member.sync_revision else NONE,
        ago(member.last_seen_time, now) if member.HasField("last_seen_time") else "never",
        Cell(f"{number(member.losses)}, held back", Tone.WATCH) if member.held_back else number(member.losses),
        receiver.address or NONE,
    )


def _status(member: Member, group: Group, now: datetime) -> Cell:
    pinned = "pinned" if group.pinned_receiver_id and group.pinned_receiver_id == member.receiver.receiver_id else ""
    if member.status != MemberStatus.MEMBER_STATUS_STANDBY:
        return status_cell(member.status, StandbyReason.STANDBY_REASON_UNSPECIFIED, pinned)
    why = STANDBY_WORDS.get(member.standby_reason, "") if pinned else ""
    if member.standby_reason in _FAILBACK_DUE and member.HasField("failback_time"):
        due = time(member.failback_time)
        # A time to come may have passed by our own clock: then it is a matter of moments.
        left = ago(member.failback_time, now) if due is not None and due > now else "now"
        why = f"back, works again {left}"
    return status_cell(member.status, member.standby_reason, ", ".join(filter(None, (pinned, why))))


def _key(member: Member) -> CellLike:
    return Cell("uses old key", Tone.WATCH) if member.uses_old_key else "new"


def _machine(member: Member) -> str:
    return member.receiver.machine_id or NONE


def _backlog(group: Group, now: datetime) -> CellLike:
    if not group.backlog:
        return "no alarms"
    oldest = group.backlog_oldest_time
    age = f", the oldest received {ago(oldest, now)}" if group.HasField("backlog_oldest_time") else ""
    return f"{number(group.backlog)} {plural(group.backlog, 'alarm')}{age}"
