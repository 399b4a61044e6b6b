"""The group as the contract shows it."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_cloud.attendance import CloudState, Problem, Report
from hotspare_cloud.core.admission import Membership, free_roles, warnings
from hotspare_cloud.group import Group
from hotspare_model.group import MemberStatus
from hotspare_rpc.wire import (
    duration_from_proto,
    group_settings_to_proto,
    member_status_to_proto,
    role_to_proto,
    seconds_to_proto,
    timestamp_from_proto,
    timestamp_to_proto,
)

LONGEST_AGE = 10 * 365 * 86_400.0
LATEST_TIME = 253_402_214_400.0
"""The last day of the year 9999. What a receiver tells beyond is a defect of it, and must not harm a list."""


def time_to_proto(at: float) -> Timestamp:
    """A wall-clock time, seconds since 1970."""
    return timestamp_to_proto(datetime.fromtimestamp(at, UTC))


def optional_time(at: float | None) -> Timestamp | None:
    """The same, or unset."""
    return None if at is None else time_to_proto(at)


def member_to_proto(group: Group, member: Membership, asking: str = "") -> group_pb2.Member:
    """A member as it is now; `asking` is the receiver that asks."""
    status = group.status(member.receiver_id)
    report = group.reports.get(member.receiver_id)
    failback = group.failback_in(member.receiver_id) if status is MemberStatus.STANDBY else None
    message = group_pb2.Member(
        receiver=receiver_info_to_proto(member),
        role=role_to_proto(member.role),
        status=member_status_to_proto(status),
        last_seen_time=optional_time(group.last_seen.get(member.receiver_id)),
        join_time=time_to_proto(member.joined_at),
        is_self=member.receiver_id == asking,
        generation=member.generation,
        warnings=warnings(member, group.members),
    )
    if status is MemberStatus.WORKING:
        message.epoch = group.state.epoch
    if status is MemberStatus.STANDBY:
        message.standby_reason = (
            group_pb2.STANDBY_REASON_LOWER_ORDER if failback is None else group_pb2.STANDBY_REASON_FAILBACK_DELAY
        )
    if failback is not None:
        message.failback_time.CopyFrom(timestamp_to_proto(datetime.now(UTC) + timedelta(seconds=failback)))
    if report is not None:
        message.sync_state = group_pb2.SyncState.ValueType(report.sync_state)
        message.sync_revision = report.sync_revision
        message.sync_detail = report.sync_detail
        message.health.CopyFrom(health_to_proto(report))
        message.progress.CopyFrom(progress_to_proto(report))
    return message


def receiver_info_to_proto(member: Membership) -> group_pb2.ReceiverInfo:
    """How a member described itself."""
    return group_pb2.ReceiverInfo(
        receiver_id=member.receiver_id,
        name=member.name,
        machine_id=member.machine_id,
        address=member.address,
        software_version=member.software_version,
        dual_connection=member.dual_connection,
        own_account_number=member.own_account_number,
    )


def members_to_proto(group: Group, asking: str = "") -> list[group_pb2.Member]:
    """All members, in the order of their roles."""
    members = sorted(group.members.values(), key=lambda member: member.role)
    return [member_to_proto(group, member, asking) for member in members]


def group_to_proto(group: Group, oldest: float | None = None) -> group_pb2.Group:
    """The group as it is now; `oldest` is when the oldest alarm that waits was received."""
    working, holder = group.working, group.state.holder
    return group_pb2.Group(
        arc_id=group.row.arc_id,
        sub_account=group.row.sub_account,
        epoch=group.state.epoch,
        working_receiver_id=working.receiver_id if working else "",
        working_since_time=optional_time(group.working_since) if working else None,
        free_roles=[role_to_proto(role) for role in free_roles(group.members)],
        generation=group.generation,
        holds=[
            group_pb2.Hold(
                epoch=hold.epoch,
                receiver_id=hold.receiver_id,
                remaining=seconds_to_proto(group.hold_remaining(hold)),
                alarms=group.delivery.window.held(hold.epoch),
            )
            for hold in group.state.holds
        ],
        backlog=group.backlog,
        backlog_oldest_time=optional_time(oldest),
        moving_to_receiver_id=holder.yield_to or "" if holder else "",
    )


def health_to_proto(report: Report) -> group_pb2.Health:
    """How a receiver said that it is."""
    return group_pb2.Health(
        problems=[
            group_pb2.HealthProblem(
                kind=group_pb2.HealthProblemKind.ValueType(problem.kind),
                subject=problem.subject,
                detail=problem.detail,
                since_time=optional_time(problem.since),
            )
            for problem in report.problems
        ],
        disk_free_bytes=report.disk_free_bytes,
        loop_lag=seconds_to_proto(report.loop_lag),
    )


def progress_to_proto(report: Report) -> group_pb2.ForwardProgress:
    """How far a receiver's forwarder is."""
    return group_pb2.ForwardProgress(
        waiting=report.waiting,
        confirmed=report.confirmed,
        oldest_age=None if report.oldest_age is None else seconds_to_proto(report.oldest_age),
        isolated_waiting=report.isolated_waiting,
    )


def report_from_proto(beat: role_service_pb2.AttendRequest.Beat) -> Report:
    """What a beat tells, bounded: it is kept and shown."""
    lag = duration_from_proto(beat.health.loop_lag)
    age = duration_from_proto(beat.progress.oldest_age) if beat.progress.HasField("oldest_age") else None
    return Report(
        problems=tuple(_problem(problem) for problem in beat.health.problems[:16]),
        disk_free_bytes=beat.health.disk_free_bytes,
        loop_lag=min(max(lag.total_seconds(), 0.0), LONGEST_AGE) if lag else 0.0,
        waiting=beat.progress.waiting,
        confirmed=beat.progress.confirmed,
        oldest_age=min(max(age.total_seconds(), 0.0), LONGEST_AGE) if age is not None else None,
        isolated_waiting=beat.progress.isolated_waiting,
        sync_state=beat.sync_state if beat.sync_state in group_pb2.SyncState.values() else 0,
        sync_revision=beat.sync_revision,
        sync_detail=beat.sync_detail[:256],
        pull_id=beat.pull_id,
        last_delivery=beat.last_delivery,
    )


def _problem(message: group_pb2.HealthProblem) -> Problem:
    since = timestamp_from_proto(message.since_time) if message.HasField("since_time") else None
    return Problem(
        kind=message.kind if message.kind in group_pb2.HealthProblemKind.values() else 0,
        subject=message.subject[:64],
        detail=message.detail[:256],
        since=min(max(since.timestamp(), 0.0), LATEST_TIME) if since else None,
    )


def state_to_proto(state: CloudState) -> role_service_pb2.AttendResponse:
    """The cloud's state towards a receiver."""
    return role_service_pb2.AttendResponse(
        boot=state.boot,
        number=state.number,
        answers_beat=state.answers_beat,
        epoch=state.epoch,
        working=state.working,
        lease=None if state.lease is None else seconds_to_proto(state.lease),
        yield_to=state.yield_to,
        ended_through=state.ended_through,
        pull_id=state.pull_id,
        last_delivery=state.last_delivery,
        settings=group_settings_to_proto(state.settings),
        working_receiver_id=state.working_receiver_id,
        server_time=timestamp_to_proto(datetime.now(UTC)),
        role=role_to_proto(state.role),
    )
