"""One screen that tells how a receiver is, for `status`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from hotspare.v1.group_pb2 import MemberStatus, Role, SyncState, Transition
from hotspare.v1.receiver_service_pb2 import CloudConnection, GetStatusResponse, ReceiverStatus
from hotspare_cli.findings import Finding, Severity, findings
from hotspare_cli.layout import Cell, CellLike, Facts, Lines, Part, Tone, state
from hotspare_cli.naming import Names
from hotspare_cli.views.backup import rows_grid
from hotspare_cli.views.members import group_facts, members_grid, status_cell
from hotspare_cli.views.moves import last_moves
from hotspare_cli.views.outputs import outputs_grid
from hotspare_cli.words import NONE, ago, clock, duration, number, plural, role_word, since, size, word

_MOVES_SHOWN = 5


def status_view(
    response: GetStatusResponse,
    now: datetime,
    moves: Iterable[Transition] | None = None,
    *,
    advice_first: bool = False,
) -> Iterator[Part]:
    """The whole screen: this receiver, its outputs, its group, the last moves, and in words what to do.

    `moves` are the newest lines of the history; None where they are not known. With `advice_first` what is wrong
    stands where a screen that is too low still shows it.
    """
    status = response.status
    found = findings(status, now)
    yield Facts(tuple(_about_receiver(status, found, now)))
    if advice_first:
        yield advice(found)
    yield outputs_grid(status.outputs, now, title="Outputs")
    if status.backup.rows:
        yield rows_grid(status.backup.rows, title="Configuration")
    if status.HasField("group"):
        told = f"Group, as told {ago(status.group_time, now)}" if status.HasField("group_time") else "Group"
        facts = group_facts(status.group, status.members, now)
        yield Facts(facts.pairs, title=told)
        yield members_grid(status.members, now, group=status.group, title="Members (* this receiver)", machines=True)
    if moves is not None:
        yield last_moves(moves, status.members, _MOVES_SHOWN)
    elif status.HasField("group"):
        yield Lines((Cell("not known: they are at the cloud", Tone.FAINT),), title="Last moves")
    if not advice_first:
        yield advice(found)


def advice(found: Iterable[Finding]) -> Lines:
    """What is wrong, each with what to do in the line below."""
    lines: list[Cell] = []
    for one in found:
        mark, tone = ("!", Tone.BAD) if one.severity is Severity.WRONG else ("-", Tone.WATCH)
        lines.append(Cell(f"{mark} {one.what}", tone))
        if one.advice:
            lines.append(Cell(f"  {one.advice}"))
    return Lines(tuple(lines) or (Cell("Nothing is wrong.", Tone.GOOD),), title="Advice")


def in_short(status: ReceiverStatus, found: Iterable[Finding], now: datetime) -> Cell:
    """One line: who works and since when, and whether somebody has to act."""
    counts = Counter(one.severity for one in found)
    wrong, watch = counts[Severity.WRONG], counts[Severity.WATCH]
    told = [f"{wrong} {plural(wrong, 'thing')} wrong"] if wrong else []
    told += [f"{watch} to watch"] if watch else []
    verdict = f"{', '.join(told)}: see the advice" if told else "nothing is wrong"
    tone = Tone.BAD if wrong else Tone.WATCH if watch else Tone.GOOD
    return Cell(f"{_who_works(status, now)}; {verdict}", tone)


def _who_works(status: ReceiverStatus, now: datetime) -> str:
    group = status.group
    if not status.HasField("group"):
        works = status.status == MemberStatus.MEMBER_STATUS_WORKING
        return "this receiver works" if works else "who works is not known here"
    if not group.working_receiver_id:
        return "nobody works"
    who = Names(status.members).of(group.working_receiver_id)
    if not status.cloud.connected:
        return f"{who} worked, as the cloud told it last"
    began = f" {since(group.working_since_time, now)}" if group.HasField("working_since_time") else ""
    return f"{who} works{began}"


def _about_receiver(
    status: ReceiverStatus, found: tuple[Finding, ...], now: datetime
) -> Iterator[tuple[str, CellLike]]:
    receiver = status.receiver
    yield "In short", in_short(status, found, now)
    yield "Receiver", f"{receiver.name or NONE}, {receiver.receiver_id}"
    yield "Version", f"{receiver.software_version or NONE}, running since {_since(status, now)}"
    yield "Account", f"{status.arc_id} / {status.sub_account}" if status.arc_id else "not configured"
    yield "Role", role_word(status.role) if status.role != Role.ROLE_UNSPECIFIED else "none"
    yield "Status", status_cell(status.status, status.standby_reason)
    yield "Lease", _lease(status)
    yield "Cloud", _cloud(status.cloud, now)
    yield "Alarms", _alarms(status)
    if status.HasField("isolation"):
        left = status.isolation
        text = f"{number(left.taken)} direct alarms taken, {number(left.unpublished)} not at the cloud yet"
        yield "Isolated", Cell(text, Tone.WATCH)
    yield "Configuration", _configuration(status)
    yield "Free disk", size(status.health.disk_free_bytes) if status.HasField("health") else NONE


def _configuration(status: ReceiverStatus) -> CellLike:
    """How the copy that is here stands; why it does so stands in the rows of its table."""
    plain = state(word(SyncState.DESCRIPTOR, status.sync_state))
    if not status.backup.revision:
        return plain
    return Cell(f"{plain.text}, revision {number(status.backup.revision)}", plain.tone)


def _since(status: ReceiverStatus, now: datetime) -> str:
    if not status.HasField("start_time"):
        return NONE
    return f"{clock(status.start_time)} ({ago(status.start_time, now)})"


def _lease(status: ReceiverStatus) -> CellLike:
    lease = status.lease
    if not lease.epoch:
        return "none, which is right for a receiver that does not work"
    if not lease.remaining.ToTimedelta():
        return Cell(f"epoch {number(lease.epoch)}, run out: nothing is written", Tone.BAD)
    return Cell(f"epoch {number(lease.epoch)}, {duration(lease.remaining)} remaining", Tone.GOOD)


def _cloud(cloud: CloudConnection, now: datetime) -> CellLike:
    if not cloud.address:
        return Cell("not configured", Tone.WATCH)
    began = f" {since(cloud.since_time, now)}" if cloud.HasField("since_time") else ""
    if cloud.connected:
        trip = f", round trip {duration(cloud.round_trip)}" if cloud.HasField("round_trip") else ""
        offset = f", its clock differs by {duration(cloud.clock_offset)}" if cloud.HasField("clock_offset") else ""
        return Cell(f"{cloud.address}, connected{began}{trip}{offset}", Tone.GOOD)
    problem = f": {cloud.last_problem}" if cloud.last_problem else ""
    reason = f" ({cloud.last_reason})" if cloud.last_reason else ""
    return Cell(f"{cloud.address}, not connected{began}{problem}{reason}", Tone.BAD)


def _alarms(status: ReceiverStatus) -> str:
    progress = status.progress
    oldest = f" (the oldest for {duration(progress.oldest_age)})" if progress.HasField("oldest_age") else ""
    return f"{number(progress.waiting)} waiting{oldest}, {number(progress.confirmed)} confirmed since the start"
