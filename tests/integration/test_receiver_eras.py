"""A receiver with operators of the baseline and of releases to come, and with a newer cloud (V3)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from hotspare.v1 import (
    alarm_pull_service_pb2_grpc,
    backup_service_pb2_grpc,
    configuration_service_pb2,
    group_pb2,
    receiver_service_pb2,
    record_pb2,
    role_service_pb2,
    role_service_pb2_grpc,
)
from hotspare_model.errors import Reason
from hotspare_rpc.server import RpcServer
from tests.integration.eras import answer_as, as_of_the_future, as_of_the_past, future, past
from tests.integration.test_cli_support import run_cli
from tests.integration.test_receiver_desk_support import (
    LOOPBACK,
    Desk,
    FakeBackups,
    FakeCloud,
    FakePulls,
    FakeRoles,
    refused,
    running,
    serving_cloud,
)


class OddRoles(FakeRoles):
    """A cloud that speaks of more than is known here: roles, states, kinds of problems, reasons."""

    async def WatchMembers(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in super().WatchMembers(request, context):
            for member in answer.members:
                member.status, member.sync_state, member.standby_reason = 77, 66, 55
                member.health.problems.add(kind=88, subject="new")
            answer.members.add(role=44, status=33, receiver=group_pb2.ReceiverInfo(name="spare 9"))
            yield answer

    async def ListMembers(self, request: Any, context: Any) -> Any:
        async for answer in self.WatchMembers(request, context):
            return role_service_pb2.ListMembersResponse(group=answer.group, members=answer.members)

    def _state(self, receiver_id: str, number: int, request: Any) -> Any:
        state = super()._state(receiver_id, number, request)
        state.standby_reason = 55  # type: ignore[assignment]
        return state


@asynccontextmanager
async def cloud_of(translate: Callable[[bytes, str], bytes], cloud: FakeCloud) -> AsyncIterator[str]:
    """A cloud of another release; gives its address."""
    server = RpcServer(LOOPBACK, None, CollectorRegistry())
    server.add(role_service_pb2_grpc.add_RoleServiceServicer_to_server, OddRoles(cloud))
    server.add(backup_service_pb2_grpc.add_BackupServiceServicer_to_server, FakeBackups(cloud))
    server.add(alarm_pull_service_pb2_grpc.add_AlarmPullServiceServicer_to_server, FakePulls(cloud))
    answer_as(server, translate)
    address = await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


@pytest.mark.parametrize("translate", [as_of_the_past, as_of_the_future])
async def test_v3_a_receiver_works_with_a_cloud_of_another_release(
    tmp_path: Path, translate: Callable[[bytes, str], bytes]
) -> None:
    cloud = FakeCloud()
    async with cloud_of(translate, cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        cloud.working = next(iter(cloud.members))
        await desk.edit("panel-1")
        status = await desk.until(
            lambda status: (
                status.sync_state == group_pb2.SYNC_STATE_UP_TO_DATE
                and status.status == group_pb2.MEMBER_STATUS_WORKING
                and len(status.members) == 2
            )
        )
        assert status.cloud.connected
        assert (1, "panel-1") in cloud.records
        options = ["--server", desk.app.address, "--token-file", str(tmp_path / "r" / "admin.token")]
        for words in (["members"], ["status"], ["members", "-o", "json"]):
            shown = await run_cli(*options, *words)
            assert shown.code == 0, shown
            assert "spare 9" in shown.out


@pytest.mark.parametrize("era", [past, future])
async def test_v3_an_operator_with_a_client_of_another_release_does_all_that_was_there_before(
    tmp_path: Path, era: Callable[[grpc.aio.Channel], grpc.aio.Channel]
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as plain:
        desk = Desk(plain.app, plain.folder, era(plain.channel), plain.token)
        await desk.connect(address, name="first")
        await desk.enable()
        await desk.edit("panel-1")
        listed = await desk.call(desk.configuration.ListDevices, configuration_service_pb2.ListDevicesRequest())
        assert [device.device_id for device in listed.devices] == ["panel-1"]
        changed = configuration_service_pb2.UpdateDeviceRequest(
            device=record_pb2.Device(device_id="panel-1", account_number="4321")
        )
        changed.update_mask.paths.append("account_number")
        await desk.call(desk.configuration.UpdateDevice, changed)
        await desk.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_UP_TO_DATE)
        assert (await desk.status()).role == group_pb2.ROLE_HOST
        disable = receiver_service_pb2.DisableHotSpareRequest(confirmed=True)
        await desk.call(desk.receiver.DisableHotSpare, disable)
        assert not cloud.members


async def test_v3_a_mask_with_a_field_of_tomorrow_is_refused_by_its_name(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        await desk.edit("panel-1")
        changed = configuration_service_pb2.UpdateDeviceRequest(device=record_pb2.Device(device_id="panel-1"))
        changed.update_mask.paths.append("of_tomorrow")
        async with refused(Reason.FIELD_MASK_INVALID, field="of_tomorrow"):
            await desk.call(desk.configuration.UpdateDevice, changed)
