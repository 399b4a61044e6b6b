"""How this receiver is, put together from its parts: the one source of GetStatus, WatchStatus and the metrics."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from hotspare.v1 import backup_pb2, group_pb2, output_pb2, receiver_service_pb2, record_pb2
from hotspare_model.digest import KindDigest
from hotspare_model.group import MemberStatus, Role
from hotspare_model.kinds import kind_of
from hotspare_model.transfer import by_kind
from hotspare_receiver.backup import Backup
from hotspare_receiver.clients.attend_messages import introduction_to_proto
from hotspare_receiver.clients.members import MembersWatch
from hotspare_receiver.direct.isolated import IsolationSnapshot
from hotspare_receiver.hot_spare import HotSpare
from hotspare_receiver.services.outputs import output_to_proto
from hotspare_receiver.snapshot import (
    CloudSnapshot,
    Introduction,
    LeaseSnapshot,
    LinkState,
    PathSnapshot,
    Problem,
    ProblemKind,
    SyncReport,
)
from hotspare_receiver.status_direct import direct_advice, isolation_to_proto
from hotspare_receiver.store.configuration import ConfigurationStore, KindState
from hotspare_receiver.store.outputs import OutputStore
from hotspare_receiver.store.settings import SettingsStore
from hotspare_rpc.wire import (
    duration_to_proto,
    member_status_to_proto,
    role_to_proto,
    timestamp_to_proto,
)

_BY_KIND = frozenset(
    int(state)
    for state in (
        group_pb2.SYNC_STATE_UPLOADING,
        group_pb2.SYNC_STATE_SYNCING,
        group_pb2.SYNC_STATE_BEHIND,
        group_pb2.SYNC_STATE_FAILED,
    )
)
"""States in which some kinds may be up to date all the same."""

_ALONE_ADVICE = {
    int(group_pb2.STANDBY_REASON_HOST_EXISTS): (
        "The group has a host, so this receiver, which has no role, takes no alarms: enable it as a spare."
    ),
    int(group_pb2.STANDBY_REASON_ANOTHER_WORKS_ALONE): (
        "Another receiver without a role takes the alarms of this group: enable the hot spare on one of them as the"
        " host, and on the others as spares."
    ),
}


@dataclass(frozen=True, slots=True)
class StatusView:
    """One moment of this receiver, for the metrics: without gRPC, and with nothing that names a device."""

    role: Role | None
    status: MemberStatus | None
    path: PathSnapshot
    sync: SyncReport
    pushes: int
    push_failures: int
    syncs: int
    sync_refusals: tuple[tuple[str, int], ...]
    records: tuple[tuple[str, int], ...]


class StatusBoard:
    """Puts the status together. Call it in the loop."""

    def __init__(
        self,
        *,
        introduce: Callable[[], Introduction],
        started: datetime,
        settings: SettingsStore,
        hot_spare: HotSpare,
        outputs: OutputStore,
        configuration: ConfigurationStore,
        members: MembersWatch,
        backup: Backup,
        path: Callable[[], PathSnapshot],
        isolation: Callable[[], IsolationSnapshot | None] = lambda: None,
        listener_problem: Callable[[], str] = lambda: "",
    ) -> None:
        self._introduce = introduce
        self._started = started
        self._settings = settings
        self._hot_spare = hot_spare
        self._outputs = outputs
        self._configuration = configuration
        self._members = members
        self._backup = backup
        self._path = path
        self._isolation = isolation
        self._listener_problem = listener_problem

    def view(self) -> StatusView:
        """What the metrics show."""
        snapshot = self._path()
        return StatusView(
            role=self._role,
            status=member_status(snapshot),
            path=snapshot,
            sync=self._backup.report(),
            pushes=self._backup.pusher.pushes,
            push_failures=self._backup.pusher.failures,
            syncs=self._backup.syncer.applied,
            sync_refusals=tuple(self._backup.syncer.refusals.items()),
            records=tuple((kind_of(kind).plural, count) for kind, count in self._configuration.counts.items()),
        )

    async def status(self) -> receiver_service_pb2.ReceiverStatus:
        """The whole status, as the contract has it."""
        kinds = await self._configuration.kinds()
        snapshot, sync = self._path(), self._backup.report()
        settings = self._settings.settings
        message = receiver_service_pb2.ReceiverStatus(
            receiver=introduction_to_proto(self._introduce()),
            start_time=timestamp_to_proto(self._started),
            arc_id=settings.arc_id,
            sub_account=settings.sub_account,
            role=role_to_proto(self._role),
            status=member_status_to_proto(member_status(snapshot)),
            cloud=_cloud_to_proto(settings.cloud_address, snapshot.cloud),
            lease=_lease_to_proto(snapshot.lease),
            health=_health_to_proto(snapshot),
            progress=_progress_to_proto(snapshot),
            outputs=self._outputs_to_proto(snapshot),
            backup=self._backup_to_proto(kinds, sync),
            sync_state=group_pb2.SyncState.ValueType(sync.state),
            advice=list(self._advice(snapshot, sync)),
        )
        view = self._members.view
        if view is not None:
            message.group.CopyFrom(view.group)
            message.members.extend(view.members)
            message.group_time.CopyFrom(timestamp_to_proto(view.told))
        if (isolation := self._isolation()) is not None:
            message.isolation.CopyFrom(isolation_to_proto(isolation))
        if message.status == group_pb2.MEMBER_STATUS_STANDBY:
            message.standby_reason = self._standby_reason(snapshot)
        return message

    async def backup(self) -> backup_pb2.BackupTable:
        """The backup table (B6)."""
        return self._backup_to_proto(await self._configuration.kinds(), self._backup.report())

    def _standby_reason(self, snapshot: PathSnapshot) -> group_pb2.StandbyReason.ValueType:
        """Why it does not work: as the cloud told it itself, else as the list of the members has it."""
        if snapshot.standby_reason:
            return group_pb2.StandbyReason.ValueType(snapshot.standby_reason)
        members = () if self._members.view is None else self._members.view.members
        return next(
            (member.standby_reason for member in members if member.is_self), group_pb2.STANDBY_REASON_UNSPECIFIED
        )

    @property
    def _role(self) -> Role | None:
        return None if self._settings.role is None else self._settings.role.role

    @property
    def _is_spare(self) -> bool:
        return self._role is not None and self._role is not Role.HOST

    def _outputs_to_proto(self, snapshot: PathSnapshot) -> list[output_pb2.Output]:
        seen = {output.name: output for output in snapshot.outputs}
        return [output_to_proto(stored, seen.get(name)) for name, stored in sorted(self._outputs.outputs.items())]

    def _backup_to_proto(self, kinds: tuple[KindState, ...], sync: SyncReport) -> backup_pb2.BackupTable:
        head = self._configuration.head
        return backup_pb2.BackupTable(
            lineage=head.lineage,
            revision=head.revision,
            software_version=self._backup.version,
            rows=[_row_to_proto(kind, self._sync_of(kind.digest, sync)) for kind in kinds],
        )

    def _sync_of(self, digest: KindDigest, sync: SyncReport) -> SyncReport:
        """How one kind stands: where all are not, those that are the cloud's already are up to date."""
        cloud = self._backup.cloud_digests
        if cloud is None or sync.state not in _BY_KIND or digest not in by_kind(cloud).values():
            return sync
        return SyncReport(int(group_pb2.SYNC_STATE_UP_TO_DATE), sync.revision)

    def _advice(self, snapshot: PathSnapshot, sync: SyncReport) -> Iterator[str]:
        """What is wrong and what to do, gravest first."""
        cloud, expulsion = snapshot.cloud, self._hot_spare.expulsion
        if expulsion is not None:
            yield (f"The cloud ended this receiver's role: {expulsion.message}. Enable it again if that was not meant.")
        if cloud.final and expulsion is None:
            yield f"The cloud refuses this receiver until somebody acts: {cloud.problem} ({cloud.reason})."
        missing = self._settings.missing
        if missing:
            yield f"Not connected to a cloud: set {', '.join(missing)}."
        elif not cloud.connected and not cloud.final:
            detail = cloud.problem or "no answer yet"
            yield f"The cloud at {self._settings.settings.cloud_address} is not connected: {detail}."
        yield from direct_advice(self._isolation(), self._listener_problem())
        for problem in snapshot.problems:
            yield _problem_advice(problem)
        told = {problem.subject for problem in snapshot.problems if problem.kind is ProblemKind.OUTPUT_DOWN}
        for output in snapshot.outputs:
            if output.link is LinkState.DOWN and output.name not in told:
                yield f"Output {output.name} has no link: {output.problem or 'it is tried again'}."
        for name, detail in sorted(snapshot.clock_problems.items()):
            yield f"Output {name}: {detail}. Set the clock of this machine and that of the ARC's software right."
        if (alone := _ALONE_ADVICE.get(snapshot.standby_reason)) and self._role is None and cloud.connected:
            yield alone
        if sync.state == group_pb2.SYNC_STATE_DIVERGED:
            yield f"The configuration is not backed up: {sync.detail}."
        elif sync.state == group_pb2.SYNC_STATE_FAILED and self._is_spare:
            yield f"The configuration could not be taken from the cloud, it is tried again: {sync.detail}."
        elif sync.state == group_pb2.SYNC_STATE_FAILED:
            yield f"The configuration could not be sent to the cloud, it is tried again: {sync.detail}."
        elif sync.state in (group_pb2.SYNC_STATE_VERSION_DIFFERS, group_pb2.SYNC_STATE_BEHIND) and sync.detail:
            yield f"The configuration does not follow the host: {sync.detail}."
        if self._settings.goodbye is not None:
            yield "The cloud has not heard yet that the hot spare was switched off here; it will be told."
        yield from generic_advice(snapshot)
        view = self._members.view
        if view is not None:
            yield from view.group.warnings
            yield from (warning for member in view.members if member.is_self for warning in member.warnings)


def member_status(snapshot: PathSnapshot) -> MemberStatus | None:
    """What is so now as far as this receiver can tell; None where it attends nowhere."""
    if snapshot.attendance is None:
        return None
    if snapshot.lease.working:
        return MemberStatus.WORKING
    return MemberStatus.STANDBY if snapshot.cloud.connected else MemberStatus.OFFLINE


def _problem_advice(problem: Problem) -> str:
    match problem.kind:
        case ProblemKind.NO_OUTPUT:
            return "No required output: alarms could not be delivered, so none are taken. Add an output."
        case ProblemKind.OUTPUT_DOWN:
            return f"Output {problem.subject} is down: {problem.detail}."
        case _:
            subject = f" ({problem.subject})" if problem.subject else ""
            return f"{problem.detail or problem.kind.name}{subject}."


def generic_advice(snapshot: PathSnapshot) -> Iterator[str]:
    """Which outputs had no word for the codes of alarms (A10), and what to do."""
    for output in snapshot.outputs:
        if output.generic:
            yield (
                f"Output {output.name} sent {output.generic} alarms as generic events since the start, the last of them"
                f" for the code {output.last_generic}: define such codes (`hotspare event create`)."
            )


def _cloud_to_proto(address: str, cloud: CloudSnapshot) -> receiver_service_pb2.CloudConnection:
    message = receiver_service_pb2.CloudConnection(
        address=address,
        connected=cloud.connected,
        since_time=timestamp_to_proto(cloud.since),
        last_problem=cloud.problem,
        last_reason=cloud.reason,
    )
    if cloud.round_trip is not None:
        message.round_trip.CopyFrom(duration_to_proto(cloud.round_trip))
    if cloud.clock_offset is not None:
        message.clock_offset.CopyFrom(duration_to_proto(cloud.clock_offset))
    return message


def _lease_to_proto(lease: LeaseSnapshot) -> receiver_service_pb2.Lease:
    return receiver_service_pb2.Lease(
        epoch=lease.epoch,
        remaining=duration_to_proto(lease.remaining),
        beats_sent=lease.beats_sent,
        beats_missed=lease.beats_missed,
    )


def _health_to_proto(snapshot: PathSnapshot) -> group_pb2.Health:
    return group_pb2.Health(
        problems=[
            group_pb2.HealthProblem(
                kind=group_pb2.HealthProblemKind.ValueType(int(problem.kind)),
                subject=problem.subject,
                detail=problem.detail,
                since_time=timestamp_to_proto(problem.since),
            )
            for problem in snapshot.problems
        ],
        disk_free_bytes=snapshot.disk_free,
        loop_lag=duration_to_proto(snapshot.loop_lag),
    )


def _progress_to_proto(snapshot: PathSnapshot) -> group_pb2.ForwardProgress:
    message = group_pb2.ForwardProgress(waiting=snapshot.waiting, confirmed=snapshot.counters.confirmed)
    if snapshot.oldest_age is not None:
        message.oldest_age.CopyFrom(duration_to_proto(snapshot.oldest_age))
    return message


def _row_to_proto(kind: KindState, sync: SyncReport) -> backup_pb2.BackupRow:
    message = backup_pb2.BackupRow(
        kind=record_pb2.RecordKind.ValueType(int(kind.digest.kind)),
        name=kind_of(kind.digest.kind).plural,
        count=kind.digest.count,
        revision=kind.revision,
        sha256=kind.digest.sha256,
        status=group_pb2.SyncState.ValueType(sync.state),
        detail=sync.detail,
    )
    if kind.updated is not None:
        message.update_time.CopyFrom(timestamp_to_proto(kind.updated))
    return message
