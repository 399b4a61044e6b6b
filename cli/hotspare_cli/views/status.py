"""One screen that tells how a receiver is, for `status`."""

from collections.abc import Iterator
from datetime import datetime

from hotspare.v1.group_pb2 import Role, SyncState
from hotspare.v1.receiver_service_pb2 import CloudConnection, GetStatusResponse, ReceiverStatus
from hotspare_cli.layout import Cell, CellLike, Facts, Lines, Part, Tone, state
from hotspare_cli.views.backup import rows_grid
from hotspare_cli.views.members import group_facts, members_grid, status_cell, warnings
from hotspare_cli.views.outputs import outputs_grid
from hotspare_cli.words import NONE, ago, clock, duration, number, role_word, size, word


def status_view(response: GetStatusResponse, now: datetime) -> Iterator[Part]:
    """The whole screen: this receiver, its outputs, its group, and in words what to do."""
    status = response.status
    yield Facts(tuple(_about_receiver(status, now)))
    yield outputs_grid(status.outputs, now, title="Outputs")
    if status.backup.rows:
        yield rows_grid(status.backup.rows, title="Configuration")
    if status.HasField("group"):
        told = f"Group, as told {ago(status.group_time, now)}" if status.HasField("group_time") else "Group"
        facts = group_facts(status.group, status.members, now)
        yield Facts(facts.pairs, title=told)
        yield members_grid(status.members, now, group=status.group, title="Members (* this receiver)")
        yield from warnings(status.group, status.members)
    yield _advice(status)


def _about_receiver(status: ReceiverStatus, now: datetime) -> Iterator[tuple[str, CellLike]]:
    receiver = status.receiver
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
    since = f" since {clock(cloud.since_time)} ({ago(cloud.since_time, now)})" if cloud.HasField("since_time") else ""
    if cloud.connected:
        trip = f", round trip {duration(cloud.round_trip)}" if cloud.HasField("round_trip") else ""
        offset = f", its clock differs by {duration(cloud.clock_offset)}" if cloud.HasField("clock_offset") else ""
        return Cell(f"{cloud.address}, connected{since}{trip}{offset}", Tone.GOOD)
    problem = f": {cloud.last_problem}" if cloud.last_problem else ""
    reason = f" ({cloud.last_reason})" if cloud.last_reason else ""
    return Cell(f"{cloud.address}, not connected{since}{problem}{reason}", Tone.BAD)


def _alarms(status: ReceiverStatus) -> str:
    progress = status.progress
    oldest = f" (the oldest for {duration(progress.oldest_age)})" if progress.HasField("oldest_age") else ""
    return f"{number(progress.waiting)} waiting{oldest}, {number(progress.confirmed)} confirmed since the start"


def _advice(status: ReceiverStatus) -> Lines:
    if not status.advice:
        return Lines((Cell("Nothing is wrong.", Tone.GOOD),), title="Advice")
    return Lines(tuple(Cell(text, Tone.WATCH) for text in status.advice), title="Advice")
