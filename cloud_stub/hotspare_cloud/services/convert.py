"""The group as the contract shows it."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_cloud.attendance import CloudState, Problem, Report
from hotspare_cloud.core.admission import Membership, free_roles, warnings
from hotspare_cloud.core.order import Standby, switching_to
from hotspare_cloud.core.state import Kind
from hotspare_cloud.group import Group
from hotspare_cloud.store.base import HistoryLine
from hotspare_model.group import GroupSettings, MemberStatus
from hotspare_rpc.wire import (
    duration_from_proto,
    group_settings_to_proto,
    member_status_to_proto,
    role_to_proto,
    seconds_to_proto,
    timestamp_from_proto,
    timestamp_to_proto,
)

RESTORE_SHOWN = 7 * 86_400.0
"""Seconds for which the list of members tells that the cloud was restored."""

LONGEST_AGE = 10 * 365 * 86_400.0
LATEST_TIME = 253_402_214_400.0
"""The last day of the year 9999. What a receiver tells beyond is a defect of it, and must not harm a list."""


def time_to_proto(at: float) -> Timestamp:
    """A wall-clock time, seconds since 1970."""
    return timestamp_to_proto(datetime.fromtimestamp(at, UTC))


def time_parts(at: float) -> tuple[int, int]:
    """The same as seconds and nanoseconds, to the microsecond: for a message that is filled in place."""
    seconds, micros = divmod(round(at * 1_000_000), 1_000_000)
    return seconds, micros * 1000


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
        warnings=_warnings(group, member),
        held_back=member.receiver_id in group.state.held_back,
        losses=group.losses(member.receiver_id),
    )
    if status is MemberStatus.WORKING:
        message.epoch = group.state.epoch
    message.standby_reason = standby_to_proto(group.standby_reason(member.receiver_id))
    if failback is not None:
        message.failback_time.CopyFrom(timestamp_to_proto(datetime.now(UTC) + timedelta(seconds=failback)))
    if report is not None:
        message.sync_state = group_pb2.SyncState.ValueType(report.sync_state)
        message.sync_revision = report.sync_revision
        message.sync_detail = report.sync_detail
        message.health.CopyFrom(health_to_proto(report))
        message.progress.CopyFrom(progress_to_proto(report))
    return message


def standby_to_proto(reason: Standby | None) -> group_pb2.StandbyReason.ValueType:
    """Why a member does not work; unspecified for None."""
    return group_pb2.StandbyReason.Value(f"STANDBY_REASON_{reason.value if reason else 'UNSPECIFIED'}")


def _warnings(group: Group, member: Membership) -> list[str]:
    found = list(warnings(member, group.members))
    if group.hears_nothing(member.receiver_id):
        found.append("it is connected, but its beats show that it does not hear the cloud")
    return found


def _group_warnings(group: Group) -> list[str]:
    state, found = group.state, []
    if state.pause is not None:
        found.append("automatic moves are paused: nobody takes over, not even at a loss")
    if state.restored_at is not None and time.time() - state.restored_at < RESTORE_SHOWN:
        at = datetime.fromtimestamp(state.restored_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        found.append(
            f"the cloud was restored from a backup copy at {at}: what was stored after the copy was made is gone"
        )
    if (count := group.aside.now) > 0:
        what = "1 alarm is" if count == 1 else f"{count} alarms are"
        found.append(f"{what} set aside, and not at the ARC: hotspare alarm rejected tells why")
    return found


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


def in_order(members: Iterable[Membership]) -> list[Membership]:
    """Members in the order of their roles; those without one come last."""
    return sorted(members, key=lambda member: (member.role is None, member.role, member.generation))


def group_to_proto(group: Group, oldest: float | None = None) -> group_pb2.Group:
    """The group as it is now; `oldest` is when the oldest alarm that waits was received."""
    working, holder = group.working, group.state.holder
    pin, pause = group.state.pin, group.state.pause
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
        moving_to_receiver_id=(holder.yield_to if holder else None) or switching_to(group.state) or "",
        paused=pause is not None,
        pause_time=time_to_proto(pause.at) if pause else None,
        paused_by=pause.operator if pause else "",
        pinned_receiver_id=pin.receiver_id if pin else "",
        pin_time=time_to_proto(pin.at) if pin else None,
        pinned_by=pin.operator if pin else "",
        warnings=_group_warnings(group),
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
        settings=_settings_message(state.settings),
        working_receiver_id=state.working_receiver_id,
        server_time=timestamp_to_proto(datetime.now(UTC)),
        role=role_to_proto(state.role),
        paused=state.paused,
        standby_reason=standby_to_proto(state.standby),
    )


@lru_cache(64)
def _settings_message(settings: GroupSettings) -> group_pb2.GroupSettings:
    """The settings as every state carries them: made once, not for each beat. It is only ever copied from."""
    return group_settings_to_proto(settings)


def line_to_proto(line: HistoryLine) -> group_pb2.Transition:
    """A line of the history."""
    reason = line.reason.value if line.reason else "UNSPECIFIED"
    return group_pb2.Transition(
        number=line.number,
        time=time_to_proto(line.at),
        from_receiver_id=line.from_receiver_id,
        from_role=role_to_proto(line.from_role),
        to_receiver_id=line.to_receiver_id,
        to_role=role_to_proto(line.to_role),
        reason=group_pb2.TransitionReason.Value(f"TRANSITION_REASON_{reason}"),
        detail=line.detail,
        operator_name=line.operator,
        epoch=line.epoch,
        gap=seconds_to_proto(line.gap) if line.kind in (Kind.MOVE, Kind.WORKS_AGAIN) else None,
        planned=line.planned,
        kind=group_pb2.TransitionKind.Value(f"TRANSITION_KIND_{line.kind.value}"),
    )
