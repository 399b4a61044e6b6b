"""The members of a group: for `members`, and as a part of `status`."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from hotspare.v1.group_pb2 import Group, Member, MemberStatus, StandbyReason, SyncState
from hotspare.v1.receiver_service_pb2 import EnableHotSpareResponse
from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare_cli.layout import Cell, CellLike, Facts, Grid, Lines, Part, Tone, grid, state
from hotspare_cli.words import NONE, ago, clock, duration, number, plural, role_word, word

SELF_MARK = "*"

# One of higher order works: that is what standing by is for.
_NO_WORD_NEEDED = (StandbyReason.STANDBY_REASON_UNSPECIFIED, StandbyReason.STANDBY_REASON_LOWER_ORDER)


def members_view(response: ListMembersResponse, now: datetime) -> Iterator[Part]:
    """The whole answer of `members`."""
    yield group_facts(response.group, response.members, now)
    yield members_grid(response.members, now)
    free = ", ".join(role_word(role) for role in response.group.free_roles)
    yield Facts((("Free roles", free or "none"), ("Mark", f"{SELF_MARK} is the receiver that was asked")))
    yield from warnings(response.group, response.members)


def enabled_view(response: EnableHotSpareResponse) -> Iterator[Part]:
    """The answer of `enable`."""
    receiver = response.member.receiver
    yield Lines((f"{receiver.name or receiver.receiver_id} has the role {role_word(response.member.role)} now.",))


def group_facts(group: Group, members: Iterable[Member], now: datetime) -> Facts:
    """What is so for the group as a whole."""
    names = {member.receiver.receiver_id: _called(member) for member in members}
    pairs: list[tuple[str, CellLike]] = [("Group", f"{group.arc_id} / {group.sub_account}")]
    if group.working_receiver_id:
        since = f", since {clock(group.working_since_time)} ({ago(group.working_since_time, now)})"
        who = names.get(group.working_receiver_id, group.working_receiver_id)
        pairs.append(("Working", f"{who}{since if group.HasField('working_since_time') else ''}"))
    else:
        pairs.append(("Working", Cell("nobody: the cloud keeps the alarms", Tone.BAD)))
    pairs.append(("Epoch", number(group.epoch)))
    pairs.append(("Waiting at the cloud", _backlog(group, now)))
    if group.moving_to_receiver_id:
        to = names.get(group.moving_to_receiver_id, group.moving_to_receiver_id)
        pairs.append(("Moving", Cell(f"a hand-over to {to} is under way", Tone.WATCH)))
    if group.paused:
        by = f" by {group.paused_by}" if group.paused_by else ""
        when = f", {ago(group.pause_time, now)}" if group.HasField("pause_time") else ""
        pairs.append(("Automatic moves", Cell(f"paused{by}{when}", Tone.WATCH)))
    if group.pinned_receiver_id:
        pairs.append(("Pinned", names.get(group.pinned_receiver_id, group.pinned_receiver_id)))
    for hold in group.holds:
        alarms = f"{number(hold.alarms)} {plural(hold.alarms, 'alarm')}"
        text = f"{alarms} of epoch {number(hold.epoch)}, up to {duration(hold.remaining)}"
        pairs.append(("Held", Cell(text, Tone.WATCH)))
    return Facts(tuple(pairs))


def members_grid(members: Iterable[Member], now: datetime, title: str = "") -> Grid:
    """A row a member, with a mark on the one that was asked."""
    columns = ("", "ROLE", "ID", "NAME", "STATUS", "EPOCH", "VERSION", "SYNC", "LAST SEEN", "ADDRESS")
    return grid(columns, (_row(member, now) for member in members), title=title, empty="no members")


def status_cell(status: int, reason: int) -> Cell:
    """A status, with the reason why a receiver that stands by does not work where that is worth a word."""
    plain = state(word(MemberStatus.DESCRIPTOR, status))
    if reason in _NO_WORD_NEEDED:
        return plain
    return Cell(f"{plain.text} ({word(StandbyReason.DESCRIPTOR, reason)})", Tone.WATCH)


def warnings(group: Group, members: Iterable[Member]) -> Iterator[Lines]:
    """What an operator should know of the group and each member; nothing where there is nothing."""
    lines = [Cell(text, Tone.WATCH) for text in group.warnings]
    for member in members:
        lines += [Cell(f"{_called(member)}: {text}", Tone.WATCH) for text in _about(member)]
    if lines:
        yield Lines(tuple(lines), title="Warnings")


def _about(member: Member) -> Iterator[str]:
    yield from member.warnings
    if member.sync_detail:
        yield f"its copy of the configuration: {member.sync_detail}"
    if member.held_back:
        yield "was lost too often; it does not fail back by itself for now"
    if member.uses_old_key:
        yield "still uses the ARC key that is being replaced"
    for problem in member.health.problems:
        yield problem.detail or problem.subject or "is not healthy"


def _row(member: Member, now: datetime) -> tuple[CellLike, ...]:
    receiver = member.receiver
    return (
        SELF_MARK if member.is_self else "",
        role_word(member.role),
        receiver.receiver_id,
        receiver.name or NONE,
        status_cell(member.status, member.standby_reason),
        number(member.epoch) if member.HasField("epoch") else NONE,
        receiver.software_version or NONE,
        state(word(SyncState.DESCRIPTOR, member.sync_state)),
        ago(member.last_seen_time, now) if member.HasField("last_seen_time") else "never",
        receiver.address or NONE,
    )


def _called(member: Member) -> str:
    receiver = member.receiver
    return f"{role_word(member.role)} {receiver.name or receiver.receiver_id}"


def _backlog(group: Group, now: datetime) -> CellLike:
    if not group.backlog:
        return "no alarms"
    oldest = group.backlog_oldest_time
    age = f", the oldest received {ago(oldest, now)}" if group.HasField("backlog_oldest_time") else ""
    return f"{number(group.backlog)} {plural(group.backlog, 'alarm')}{age}"
