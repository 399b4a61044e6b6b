"""What the tests of the receiver's desk share: a cloud that does as it is told, and a receiver that runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from hotspare.v1 import (
    alarm_pull_service_pb2_grpc,
    backup_pb2,
    backup_service_pb2,
    backup_service_pb2_grpc,
    configuration_service_pb2,
    configuration_service_pb2_grpc,
    group_pb2,
    receiver_service_pb2,
    receiver_service_pb2_grpc,
    record_pb2,
    role_service_pb2,
    role_service_pb2_grpc,
)
from hotspare_model.digest import RecordKind, digest_of, empty_digests
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings
from hotspare_receiver.app import Options, ReceiverApp
from hotspare_rpc.address import Address, parse_address
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import read_operator, read_receiver_credentials
from hotspare_rpc.errors import from_rpc_error
from hotspare_rpc.server import RpcServer
from hotspare_rpc.wire import duration_to_proto, group_settings_to_proto

DEADLINE = 10.0
LOOPBACK = Address("127.0.0.1", 0)
ARC_ID, ARC_KEY = "north", "a-key-of-the-account-for-tests"
BOOT = "boot-1"
SETTINGS = GroupSettings(lease=timedelta(seconds=2), beat=timedelta(seconds=0.25))
LEASE = timedelta(seconds=1)


async def wait_until(condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
    """Wait for a condition of this process; fail when it doesn't come true."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@dataclass
class FakeCloud:
    """One group of one account. `working` gets the lease; refusals are raised by the call that they name."""

    members: dict[str, group_pb2.Member] = field(default_factory=dict)
    working: str = ""
    epoch: int = 1
    refusals: dict[str, HotspareError] = field(default_factory=dict)
    operators: dict[str, str | None] = field(default_factory=dict)
    left: list[role_service_pb2.LeaveGroupRequest] = field(default_factory=list)
    records: dict[tuple[int, str], bytes] = field(default_factory=dict)
    lineage: str = ""
    revision: int = 0
    pushes: list[backup_pb2.ChangeHeader] = field(default_factory=list)
    lose_answers: int = 0
    """So many pushes are stored, and their answers lost."""
    lose_by: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    generation: int = 0
    older: bool = False
    """A cloud that knows nothing of receivers without a role (G7)."""
    standby_reason: int = 0
    hellos: list[role_service_pb2.AttendRequest.Hello] = field(default_factory=list)
    beats: list[role_service_pb2.AttendRequest.Beat] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    """The last request of each call that is passed on."""
    watched: list[str] = field(default_factory=list)
    """The sub accounts of which the members were watched."""
    time_left: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    attending: set[str] = field(default_factory=set)

    def admit(self, call: str, context: Any) -> str:
        """The receiver that calls."""
        metadata = context.invocation_metadata()
        shown = read_receiver_credentials(metadata)
        self.operators[call] = read_operator(metadata)
        if shown is None or (shown.arc_id, shown.arc_key) != (ARC_ID, ARC_KEY):
            raise HotspareError(Reason.INVALID_CREDENTIALS, "wrong id or key")
        if call in self.refusals:
            raise self.refusals[call]
        return shown.receiver_id

    def group(self) -> group_pb2.Group:
        """The group as it is."""
        return group_pb2.Group(arc_id=ARC_ID, sub_account="default", working_receiver_id=self.working)

    def rows(self, receiver_id: str) -> list[group_pb2.Member]:
        """The members as `receiver_id` sees them."""
        rows = []
        for member in sorted(self.members.values(), key=lambda member: member.role):
            row = group_pb2.Member()
            row.CopyFrom(member)
            row.is_self = member.receiver.receiver_id == receiver_id
            rows.append(row)
        return rows

    def notify(self) -> None:
        """Tell those that watch."""
        self.changed.set()
        self.changed = asyncio.Event()

    def table(self) -> backup_pb2.BackupTable:
        """The backup table."""
        rows = []
        for kind in RecordKind:
            records = [(name, record) for (of, name), record in self.records.items() if of == kind]
            digest = digest_of(kind, records)
            number = record_pb2.RecordKind.ValueType(int(kind))
            rows.append(backup_pb2.BackupRow(kind=number, count=digest.count, sha256=digest.sha256))
        return backup_pb2.BackupTable(lineage=self.lineage, revision=self.revision, rows=rows)


class FakeRoles(role_service_pb2_grpc.RoleServiceServicer):
    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    async def JoinGroup(self, request: Any, context: Any) -> Any:
        cloud = self._cloud
        receiver_id = cloud.admit("JoinGroup", context)
        assert request.receiver.receiver_id == receiver_id
        holder = next((row for row in cloud.members.values() if row.role == request.role), None)
        if holder is not None and holder.receiver.receiver_id != receiver_id:
            raise HotspareError(Reason.ROLE_TAKEN, "the role is taken", role="HOST")
        if holder is None:
            cloud.generation += 1
            cloud.members[receiver_id] = group_pb2.Member(
                receiver=request.receiver, role=request.role, generation=cloud.generation
            )
            cloud.notify()
        return role_service_pb2.JoinGroupResponse(
            member=cloud.members[receiver_id],
            group=cloud.group(),
            settings=group_settings_to_proto(SETTINGS),
        )

    async def LeaveGroup(self, request: Any, context: Any) -> Any:
        receiver_id = self._cloud.admit("LeaveGroup", context)
        self._cloud.left.append(request)
        member = self._cloud.members.get(receiver_id)
        if member is not None and member.generation <= (request.generation or member.generation):
            del self._cloud.members[receiver_id]
            self._cloud.notify()
        return role_service_pb2.LeaveGroupResponse()

    async def ListMembers(self, request: Any, context: Any) -> Any:
        receiver_id = self._cloud.admit("ListMembers", context)
        return role_service_pb2.ListMembersResponse(group=self._cloud.group(), members=self._cloud.rows(receiver_id))

    async def WatchMembers(self, request: Any, context: Any) -> AsyncIterator[Any]:
        receiver_id = self._cloud.admit("WatchMembers", context)
        self._cloud.watched.append(request.sub_account)
        while True:
            changed = self._cloud.changed
            yield role_service_pb2.WatchMembersResponse(
                group=self._cloud.group(), members=self._cloud.rows(receiver_id)
            )
            await changed.wait()

    async def Attend(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        cloud = self._cloud
        receiver_id = cloud.admit("Attend", context)
        hello = (await anext(aiter(requests))).hello
        if receiver_id not in cloud.members and (cloud.older or hello.generation):
            raise HotspareError(Reason.NOT_A_MEMBER, "no member any more", receiver_id=receiver_id)
        cloud.hellos.append(hello)
        yield self._state(receiver_id, 1, role_service_pb2.AttendRequest(hello=hello))
        number = 1
        cloud.attending.add(receiver_id)
        try:
            async for request in requests:
                number += 1
                cloud.beats.append(request.beat)
                yield self._state(receiver_id, number, request)
        finally:
            cloud.attending.discard(receiver_id)

    def _state(self, receiver_id: str, number: int, request: Any) -> role_service_pb2.AttendResponse:
        cloud, frame = self._cloud, request.WhichOneof("frame")
        released = getattr(request, frame).released_through
        working = receiver_id == cloud.working and released < cloud.epoch
        state = role_service_pb2.AttendResponse(
            boot=BOOT,
            number=number,
            answers_beat=request.beat.number,
            epoch=cloud.epoch if cloud.working else 0,
            working=working,
            ended_through=released,
            settings=group_settings_to_proto(SETTINGS),
            role=cloud.members[receiver_id].role if receiver_id in cloud.members else group_pb2.ROLE_UNSPECIFIED,
            standby_reason=group_pb2.StandbyReason.ValueType(0 if working else cloud.standby_reason),
        )
        if working and request.HasField("beat"):
            state.lease.CopyFrom(duration_to_proto(LEASE))
        return state

    async def _passed_on(self, call: str, request: Any, context: Any) -> None:
        self._cloud.admit(call, context)
        self._cloud.asked[call] = request
        self._cloud.time_left[call] = context.time_remaining()

    async def Switchover(self, request: Any, context: Any) -> Any:
        await self._passed_on("Switchover", request, context)
        return role_service_pb2.SwitchoverResponse(group=self._cloud.group())

    async def PauseFailover(self, request: Any, context: Any) -> Any:
        await self._passed_on("PauseFailover", request, context)
        return role_service_pb2.PauseFailoverResponse(group=self._cloud.group())

    async def ResumeFailover(self, request: Any, context: Any) -> Any:
        await self._passed_on("ResumeFailover", request, context)
        return role_service_pb2.ResumeFailoverResponse(group=self._cloud.group())

    async def ListTransitions(self, request: Any, context: Any) -> Any:
        await self._passed_on("ListTransitions", request, context)
        line = group_pb2.Transition(number=3, operator_name="anna")
        return role_service_pb2.ListTransitionsResponse(transitions=[line], next_page_token="more")

    async def GetGroupSettings(self, request: Any, context: Any) -> Any:
        await self._passed_on("GetGroupSettings", request, context)
        return role_service_pb2.GetGroupSettingsResponse(settings=group_settings_to_proto(SETTINGS))

    async def UpdateGroupSettings(self, request: Any, context: Any) -> Any:
        await self._passed_on("UpdateGroupSettings", request, context)
        return role_service_pb2.UpdateGroupSettingsResponse(settings=request.settings)


class FakeBackups(backup_service_pb2_grpc.BackupServiceServicer):
    """Checks a transfer as B5 asks for, so that what the receiver sends is proved to be whole."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    async def GetBackup(self, request: Any, context: Any) -> Any:
        self._cloud.admit("GetBackup", context)
        return backup_service_pb2.GetBackupResponse(backup=self._cloud.table())

    async def PushChanges(self, requests: AsyncIterator[Any], context: Any) -> Any:
        cloud = self._cloud
        cloud.admit("PushChanges", context)
        header, changes, trailer = backup_pb2.ChangeHeader(), [], backup_pb2.ChangeTrailer()
        pieces = 0
        async for request in requests:
            match request.WhichOneof("frame"):
                case "header":
                    header.CopyFrom(request.header)
                case "chunk":
                    assert request.chunk.index == pieces
                    assert request.chunk.ByteSize() <= 1 << 20
                    pieces += 1
                    changes.extend(request.chunk.changes)
                case "trailer":
                    trailer.CopyFrom(request.trailer)
                case other:
                    raise AssertionError(f"{other} is no part of a transfer")
        cloud.pushes.append(header)
        assert header.base_revision == cloud.revision
        assert (trailer.chunk_count, trailer.change_count) == (pieces, len(changes))
        if header.base_revision:
            rows = {row.kind: row.sha256 for row in cloud.table().rows}
            assert {digest.kind: digest.sha256 for digest in header.base_digests} == rows
        else:
            cloud.records.clear()
        assert changes == sorted(changes, key=lambda change: (change.kind, change.id))
        for change in changes:
            assert header.base_revision < change.revision <= header.revision
            if change.record:
                cloud.records[change.kind, change.id] = change.record
            else:
                cloud.records.pop((change.kind, change.id), None)
        cloud.lineage, cloud.revision = header.lineage, header.revision
        rows = {row.kind: row.sha256 for row in cloud.table().rows}
        assert {digest.kind: digest.sha256 for digest in trailer.digests} == rows
        assert len(rows) == len(empty_digests())
        if cloud.lose_answers:
            cloud.lose_answers -= 1
            await context.abort(cloud.lose_by, "the answer was lost")
        return backup_service_pb2.PushChangesResponse(backup=cloud.table())


class FakePulls(alarm_pull_service_pb2_grpc.AlarmPullServiceServicer):
    """Has no alarms."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    async def PullAlarms(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        self._cloud.admit("PullAlarms", context)
        async for _ in requests:
            pass
        return
        yield


@asynccontextmanager
async def serving_cloud(cloud: FakeCloud, listen: Address = LOOPBACK) -> AsyncIterator[str]:
    """Serve a cloud; gives its address."""
    server = RpcServer(listen, None, CollectorRegistry())
    server.add(role_service_pb2_grpc.add_RoleServiceServicer_to_server, FakeRoles(cloud))
    server.add(backup_service_pb2_grpc.add_BackupServiceServicer_to_server, FakeBackups(cloud))
    server.add(alarm_pull_service_pb2_grpc.add_AlarmPullServiceServicer_to_server, FakePulls(cloud))
    address = await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


class Desk:
    """An operator's way to a receiver that runs, and the receiver itself."""

    def __init__(self, app: ReceiverApp, folder: Path, channel: grpc.aio.Channel, token: str) -> None:
        self.app = app
        self.folder = folder
        self.channel = channel
        self.token = token
        self.receiver = receiver_service_pb2_grpc.ReceiverServiceStub(channel)
        self.configuration = configuration_service_pb2_grpc.ConfigurationServiceStub(channel)
        self.roles = role_service_pb2_grpc.RoleServiceStub(channel)

    async def call(self, method: Any, request: Any, token: str | None = None) -> Any:
        """Make a call with a token; the admin's unless told otherwise."""
        metadata = (("authorization", f"Bearer {token if token is not None else self.token}"),)
        return await method(request, metadata=metadata, timeout=DEADLINE)

    async def set(self, **values: Any) -> Any:
        """Change settings."""
        request = receiver_service_pb2.UpdateSettingsRequest(settings=receiver_service_pb2.ReceiverSettings(**values))
        request.update_mask.paths.extend(values)
        return await self.call(self.receiver.UpdateSettings, request)

    async def connect(self, cloud_address: str, **more: Any) -> None:
        """Set what is needed to reach a cloud."""
        await self.set(cloud_address=cloud_address, arc_id=ARC_ID, arc_key=ARC_KEY, **more)

    async def enable(self, role: group_pb2.Role.ValueType = group_pb2.ROLE_HOST, **more: Any) -> Any:
        """Take a role."""
        request = receiver_service_pb2.EnableHotSpareRequest(role=role, **more)
        return await self.call(self.receiver.EnableHotSpare, request)

    async def edit(self, device_id: str) -> Any:
        """Make a device."""
        device = record_pb2.Device(device_id=device_id, account_number="1234")
        request = configuration_service_pb2.CreateDeviceRequest(device=device)
        return await self.call(self.configuration.CreateDevice, request)

    async def status(self) -> receiver_service_pb2.ReceiverStatus:
        """The status."""
        answer = await self.call(self.receiver.GetStatus, receiver_service_pb2.GetStatusRequest())
        status: receiver_service_pb2.ReceiverStatus = answer.status
        return status

    async def until(
        self, condition: Callable[[receiver_service_pb2.ReceiverStatus], bool]
    ) -> receiver_service_pb2.ReceiverStatus:
        """Wait until the status is as it should be."""
        async with asyncio.timeout(DEADLINE):
            while not condition(status := await self.status()):  # noqa: ASYNC110 - as a user would
                await asyncio.sleep(0.02)
        return status


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Desk]:
    """Run a receiver in this process."""
    app = ReceiverApp(Options(folder, LOOPBACK, **options))
    try:
        await app.start()
        async with open_channel(app.address, None) as channel:
            yield Desk(app, folder, channel, (folder / "admin.token").read_text().strip())
    finally:
        await app.stop()


@asynccontextmanager
async def refused(reason: Reason, **metadata: str) -> AsyncIterator[None]:
    """Expect a call to be refused with this reason, and with at least this metadata."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield
    error = from_rpc_error(raised.value)
    assert error is not None, raised.value
    assert error.reason is reason, error.message
    assert metadata.items() <= error.metadata.items()


def port_of(address: str) -> int:
    return parse_address(address).port
