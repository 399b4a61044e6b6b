"""The host's devices reach the cloud by themselves (B3), and never over what is not theirs (B7)."""

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotspare.v1 import configuration_service_pb2, group_pb2, record_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clients.push import SETTLE
from hotspare_rpc.address import Address
from hotspare_rpc.credentials import matches
from tests.integration.test_receiver_desk_support import (
    DEADLINE,
    Desk,
    FakeCloud,
    port_of,
    refused,
    running,
    serving_cloud,
    wait_until,
)


async def create(desk: Desk, device_id: str, **more: object) -> configuration_service_pb2.CreateDeviceResponse:
    device = record_pb2.Device(device_id=device_id, account_number="1234", **more)  # type: ignore[arg-type]
    answer: configuration_service_pb2.CreateDeviceResponse = await desk.call(
        desk.configuration.CreateDevice, configuration_service_pb2.CreateDeviceRequest(device=device)
    )
    return answer


async def digest(desk: Desk) -> configuration_service_pb2.GetDigestResponse:
    answer: configuration_service_pb2.GetDigestResponse = await desk.call(
        desk.configuration.GetDigest, configuration_service_pb2.GetDigestRequest()
    )
    return answer


async def in_sync(desk: Desk, cloud: FakeCloud) -> None:
    """Wait until both copies are equal by revision and digests, and the receiver says so."""
    await desk.until(
        lambda status: status.sync_state == group_pb2.SYNC_STATE_UP_TO_DATE and status.backup.revision == cloud.revision
    )
    here = await digest(desk)
    table = cloud.table()
    assert (here.lineage, here.revision) == (table.lineage, table.revision)
    assert [kind.sha256 for kind in here.digests] == [row.sha256 for row in table.rows]


def device_in(cloud: FakeCloud, device_id: str) -> record_pb2.DeviceRecord:
    return record_pb2.Record.FromString(cloud.records[record_pb2.RECORD_KIND_DEVICE, device_id]).device


def devices_in(cloud: FakeCloud) -> list[str]:
    return [name for kind, name in cloud.records if kind == record_pb2.RECORD_KIND_DEVICE]


async def test_b3_edits_reach_the_cloud_within_two_seconds(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        await desk.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_UP_TO_DATE)
        created = await create(desk, "panel-1", name="Hall")
        await wait_until(lambda: cloud.revision == 1, deadline=2)
        stored = device_in(cloud, "panel-1")
        assert stored.device.name == "Hall"
        assert matches(created.device_key, stored.device_key_sha256)
        assert cloud.pushes[0].base_revision == 0
        await create(desk, "panel-2")
        delete = configuration_service_pb2.DeleteDeviceRequest(device_id="panel-1")
        await desk.call(desk.configuration.DeleteDevice, delete)
        await in_sync(desk, cloud)
        assert devices_in(cloud) == ["panel-2"]
        assert all(push.base_revision for push in cloud.pushes[1:])


async def test_b3_a_burst_of_edits_becomes_few_pushes(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        began = time.monotonic()
        for number in range(100):
            await create(desk, f"panel-{number:03}")
        took = time.monotonic() - began
        await in_sync(desk, cloud)
        assert len(devices_in(cloud)) == 100
        assert len(cloud.pushes) <= took / SETTLE + 2


async def test_b3_g7_what_was_made_before_there_was_a_cloud_is_pushed_once_there_is_one(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await create(desk, "panel-1")
        await desk.connect(address)
        await in_sync(desk, cloud)
        await desk.enable()
        await in_sync(desk, cloud)
        assert len(cloud.pushes) == 1


async def test_g7_one_that_works_alone_pushes_until_the_group_has_a_host(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await create(desk, "panel-1")
        await in_sync(desk, cloud)
        host = group_pb2.ReceiverInfo(receiver_id="the-host", address="192.0.2.1:7000")
        cloud.members["the-host"] = group_pb2.Member(receiver=host, role=group_pb2.ROLE_HOST)
        cloud.notify()
        await desk.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_UNSPECIFIED)
        async with refused(Reason.NOT_EDITABLE_HERE):
            await create(desk, "panel-2")
        del cloud.members["the-host"]
        cloud.notify()
        await desk.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_UP_TO_DATE)
        await create(desk, "panel-2")
        await in_sync(desk, cloud)


async def test_g7_one_that_stands_by_for_another_without_a_role_pushes_nothing(tmp_path: Path) -> None:
    cloud = FakeCloud(working="another")
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await create(desk, "panel-1")
        await desk.connect(address)
        await desk.until(lambda status: status.group.working_receiver_id == "another")
        assert not cloud.pushes
        cloud.working = ""
        cloud.notify()
        await in_sync(desk, cloud)


async def test_b3_what_was_edited_while_the_cloud_was_away_is_pushed_when_it_is_back(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with running(tmp_path / "r") as desk:
        async with serving_cloud(cloud) as address:
            await desk.connect(address)
            await desk.enable()
            await create(desk, "panel-1")
            await in_sync(desk, cloud)
        await create(desk, "panel-2")
        await desk.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_FAILED)
        async with serving_cloud(cloud, Address("127.0.0.1", port_of(address))):
            await in_sync(desk, cloud)
            assert [push.base_revision for push in cloud.pushes] == [0, 1]


@pytest.mark.parametrize("lost_by", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
async def test_b3_a_push_whose_answer_was_lost_is_neither_repeated_nor_a_fork(
    tmp_path: Path, lost_by: grpc.StatusCode
) -> None:
    cloud = FakeCloud(lose_answers=1, lose_by=lost_by)
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        await create(desk, "panel-1")
        await in_sync(desk, cloud)
        await create(desk, "panel-2")
        await in_sync(desk, cloud)
        assert [push.base_revision for push in cloud.pushes] == [0, 1]


async def test_b3_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        async with running(tmp_path / "r") as desk:
            await desk.connect(address)
            await desk.enable()
            await create(desk, "panel-1")
            await in_sync(desk, cloud)
        async with running(tmp_path / "r") as desk:
            await in_sync(desk, cloud)
            await create(desk, "panel-2")
            await in_sync(desk, cloud)
        assert [push.base_revision for push in cloud.pushes] == [0, 1]


async def test_b3_a_large_configuration_goes_in_pieces(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        for start in range(0, 4000, 500):
            await asyncio.gather(
                *(create(desk, f"panel-{number:05}", name="x" * 120) for number in range(start, start + 500))
            )
        await desk.connect(address)
        await desk.enable()
        async with asyncio.timeout(DEADLINE):
            await in_sync(desk, cloud)
        assert len(devices_in(cloud)) == 4000
        assert len(cloud.pushes) == 1


async def test_b7_a_cloud_with_another_lineage_is_not_overwritten(tmp_path: Path) -> None:
    cloud = FakeCloud(lineage="other", revision=5)
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await create(desk, "panel-1")
        await desk.connect(address)
        await desk.enable()
        status = await desk.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
        assert any("another lineage" in advice for advice in status.advice)
        assert not cloud.pushes
        # Enabling again asks anew at once, without waiting for the next look.
        cloud.lineage, cloud.revision = "", 0
        await desk.enable()
        await in_sync(desk, cloud)


async def test_b7_a_cloud_that_refuses_a_push_as_behind_shows_as_diverged(tmp_path: Path) -> None:
    cloud = FakeCloud()
    cloud.refusals["PushChanges"] = HotspareError(Reason.REVISION_BEHIND, "older than ours", revision=9)
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        await create(desk, "panel-1")
        status = await desk.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
        assert any("older than ours" in advice for advice in status.advice)


async def test_b2_a_spare_edits_nothing_and_names_the_host(tmp_path: Path) -> None:
    cloud = FakeCloud()
    host = group_pb2.ReceiverInfo(receiver_id="the-host", address="192.0.2.1:7000")
    cloud.members["the-host"] = group_pb2.Member(receiver=host, role=group_pb2.ROLE_HOST)
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable(group_pb2.ROLE_SPARE_1)
        await desk.until(lambda status: len(status.members) == 2)
        named = {"role": "SPARE_1", "host_receiver_id": "the-host", "host_address": "192.0.2.1:7000"}
        async with refused(Reason.NOT_EDITABLE_HERE, **named):
            await create(desk, "panel-1")
        edits: tuple[tuple[Any, Any], ...] = (
            (desk.configuration.UpdateDevice, configuration_service_pb2.UpdateDeviceRequest()),
            (desk.configuration.DeleteDevice, configuration_service_pb2.DeleteDeviceRequest()),
            (desk.configuration.RotateDeviceKey, configuration_service_pb2.RotateDeviceKeyRequest()),
        )
        for method, request in edits:
            async with refused(Reason.NOT_EDITABLE_HERE, **named):
                await desk.call(method, request)
        request = configuration_service_pb2.ListDevicesRequest()
        assert not (await desk.call(desk.configuration.ListDevices, request)).devices
        assert not cloud.pushes


async def test_x4_a_receiver_with_a_configuration_becomes_a_spare_only_when_that_is_confirmed(
    tmp_path: Path,
) -> None:
    async with serving_cloud(FakeCloud()) as address, running(tmp_path / "r") as desk:
        await create(desk, "panel-1")
        await desk.connect(address)
        async with refused(Reason.CONFIRMATION_REQUIRED):
            await desk.enable(group_pb2.ROLE_SPARE_1)
        await desk.enable(group_pb2.ROLE_SPARE_1, confirmed=True)
