"""What is said on the life line (Attend): dataclasses of ours <-> messages."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.group import GroupSettings, Role
from hotspare_receiver.core.forwarder import Progress
from hotspare_receiver.core.lease import CloudState, LeaseGuard
from hotspare_receiver.snapshot import Attendance, Introduction, Problem, SyncReport
from hotspare_rpc.wire import (
    duration_from_proto,
    group_settings_from_proto,
    role_from_proto,
    seconds_to_proto,
    timestamp_from_proto,
    timestamp_to_proto,
)


@dataclass(frozen=True, slots=True)
class Told:
    """One state of the cloud towards us, with what is for people."""

    state: CloudState
    settings: GroupSettings | None
    pull_id: int
    last_delivery: int
    working_receiver_id: str
    paused: bool
    role: Role | None
    server_time: datetime | None
    standby_reason: int = 0
    """Number of group.proto's StandbyReason. 0: not told."""


@dataclass(frozen=True, slots=True)
class BeatReport:
    """What a beat tells besides the lease."""

    pull_id: int
    last_delivery: int
    progress: Progress
    problems: tuple[Problem, ...]
    disk_free: int
    loop_lag: float
    """Seconds that the event loop ran its last timer late."""
    sync: SyncReport


def introduction_to_proto(who: Introduction) -> group_pb2.ReceiverInfo:
    """Who a receiver is, as it tells the cloud."""
    return group_pb2.ReceiverInfo(
        receiver_id=who.receiver_id,
        name=who.name,
        machine_id=who.machine_id,
        address=who.address,
        software_version=who.software_version,
        dual_connection=who.dual_connection,
        own_account_number=who.own_account_number,
    )


def hello_to_proto(
    who: Introduction, incarnation: str, attendance: Attendance, guard: LeaseGuard
) -> role_service_pb2.AttendRequest:
    """The first message of a stream."""
    hello = role_service_pb2.AttendRequest.Hello(
        receiver=introduction_to_proto(who),
        incarnation=incarnation,
        sub_account=attendance.sub_account,
        generation=attendance.generation,
        highest_epoch=guard.highest_epoch,
        released_through=guard.released_through,
        start=who.start,
        folder_id=who.folder_id,
    )
    return role_service_pb2.AttendRequest(hello=hello)


def beat_to_proto(guard: LeaseGuard, report: BeatReport) -> role_service_pb2.AttendRequest:
    """The beat that the guard has just counted."""
    progress = report.progress
    beat = role_service_pb2.AttendRequest.Beat(
        number=guard.beats,
        epoch=guard.held,
        echo_boot=guard.boot,
        echo_number=guard.number,
        released_through=guard.released_through,
        pull_id=report.pull_id,
        last_delivery=report.last_delivery,
        progress=group_pb2.ForwardProgress(
            waiting=progress.waiting,
            confirmed=progress.confirmed,
            oldest_age=seconds_to_proto(progress.oldest_age) if progress.oldest_age is not None else None,
        ),
        health=group_pb2.Health(
            problems=[_problem_to_proto(problem) for problem in report.problems],
            disk_free_bytes=report.disk_free,
            loop_lag=seconds_to_proto(report.loop_lag),
        ),
        sync_state=group_pb2.SyncState.ValueType(report.sync.state),
        sync_revision=report.sync.revision,
        sync_detail=report.sync.detail,
        wants_release=guard.stopping,
    )
    return role_service_pb2.AttendRequest(beat=beat)


def _problem_to_proto(problem: Problem) -> group_pb2.HealthProblem:
    return group_pb2.HealthProblem(
        kind=group_pb2.HealthProblemKind.ValueType(problem.kind.value),
        subject=problem.subject,
        detail=problem.detail,
        since_time=timestamp_to_proto(problem.since),
    )


@lru_cache(maxsize=16)
def _settings(serialized: bytes) -> GroupSettings:
    """They come with every state and hardly ever change, so that reading them again is most of the cost of a state."""
    return group_settings_from_proto(group_pb2.GroupSettings.FromString(serialized))


def told_from_proto(response: role_service_pb2.AttendResponse) -> Told:
    """The cloud's state towards us. A lease that is no span is none."""
    lease = duration_from_proto(response.lease) if response.HasField("lease") else None
    return Told(
        state=CloudState(
            boot=response.boot,
            number=response.number,
            answers_beat=response.answers_beat,
            epoch=response.epoch,
            working=response.working,
            lease=lease,
            ended_through=response.ended_through,
            yield_to=response.yield_to,
        ),
        settings=_settings(response.settings.SerializeToString()) if response.HasField("settings") else None,
        pull_id=response.pull_id,
        last_delivery=response.last_delivery,
        working_receiver_id=response.working_receiver_id,
        paused=response.paused,
        role=role_from_proto(response.role),
        server_time=timestamp_from_proto(response.server_time) if response.HasField("server_time") else None,
        standby_reason=int(response.standby_reason),
    )
