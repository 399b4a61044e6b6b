"""Backup and sync between receivers and a real cloud: how fast, how they are shown, and how copies are replaced
(B3, B4, B6, B7, B8, G7, G8, X1)."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from hotspare.v1 import backup_pb2, backup_service_pb2, backup_service_pb2_grpc, group_pb2, receiver_service_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import ReceiverCredentials
from tests.integration.cloud.helpers import CloudProcess
from tests.integration.meddler import Meddler
from tests.integration.test_receiver_desk_support import ARC_ID, ARC_KEY, Desk, refused, running
from tests.integration.test_sync_attack_support import become, cloud_at, copy_of, is_up_to_date

UP_TO_DATE = group_pb2.SYNC_STATE_UP_TO_DATE
Service = backup_service_pb2_grpc.BackupServiceStub
SPARES = (group_pb2.ROLE_SPARE_1, group_pb2.ROLE_SPARE_2)


@asynccontextmanager
async def group(folder: Path, spares: int = 1) -> AsyncIterator[tuple[CloudProcess, list[Desk]]]:
    """A cloud, a host with one device, and spares that follow it."""
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(cloud_at(folder / "cloud"))
        desks = []
        for number, role in enumerate((group_pb2.ROLE_HOST, *SPARES[:spares])):
            desks.append(await receiver(stack, folder, f"r{number}", cloud.address))
            await desks[-1].enable(role)
        await desks[0].edit("panel-1")
        await equal(*desks)
        yield cloud, desks


async def receiver(stack: AsyncExitStack, folder: Path, name: str, address: str) -> Desk:
    desk = await stack.enter_async_context(running(folder / name, machine_id=f"machine-{name}"))
    await desk.connect(address, name=name)
    return desk


async def equal(*desks: Desk) -> None:
    """Wait until all have the same copy, and say that it is up to date."""

    async def same() -> bool:
        copies = [await copy_of(desk) for desk in desks]
        return all([await is_up_to_date(desk) for desk in desks]) and all(copy == copies[0] for copy in copies)

    await become("the copies are equal", same)


async def table(desk: Desk, *, cloud: bool = False) -> backup_pb2.BackupTable:
    answer = await desk.call(Service(desk.channel).GetBackup, backup_service_pb2.GetBackupRequest(cloud=cloud))
    found: backup_pb2.BackupTable = answer.backup
    return found


async def restore(desk: Desk, revision: int = 0, *, request_id: str = "", confirmed: bool = True) -> Any:
    request = backup_service_pb2.RestoreBackupRequest(
        request_id=request_id or str(uuid4()), revision=revision, confirmed=confirmed
    )
    return (await desk.call(Service(desk.channel).RestoreBackup, request)).backup


async def start_lineage(desk: Desk, *, request_id: str = "", confirmed: bool = True) -> Any:
    request = backup_service_pb2.StartLineageRequest(request_id=request_id or str(uuid4()), confirmed=confirmed)
    return (await desk.call(Service(desk.channel).StartLineage, request)).backup


async def devices(desk: Desk) -> int:
    return (await copy_of(desk))[2][1][0]


async def test_b3_b4_an_edit_is_at_the_cloud_within_two_seconds_and_at_the_spares_within_two_more(
    tmp_path: Path,
) -> None:
    async with group(tmp_path, spares=2) as (_, desks):
        host, *spares = desks
        for number in range(2, 8):
            began = time.monotonic()
            await host.edit(f"panel-{number}")
            after = await copy_of(host)

            async def is_there(revision: int = after[1]) -> bool:
                return (await table(host, cloud=True)).revision == revision

            await become("the cloud has it", is_there, 2)
            assert time.monotonic() - began <= 2
            await equal(*desks)
            assert time.monotonic() - began <= 4
            assert all([await copy_of(spare) == after for spare in spares])


class Silent(Meddler):
    """Passes everything on, but of each watch the first word only."""

    async def _carry(self, method: str, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for answer in super()._carry(method, requests, context):
            yield answer
            if method.endswith("/WatchBackup"):
                await asyncio.Event().wait()


async def test_b4_a_spare_that_is_told_nothing_asks_every_sync_interval(tmp_path: Path) -> None:
    async with (
        group(tmp_path, spares=0) as (cloud, (host,)),
        Silent(cloud.address) as silent,
        AsyncExitStack() as stack,
    ):
        spare = await receiver(stack, tmp_path, "r1", silent.address)
        await spare.enable(group_pb2.ROLE_SPARE_1)
        await equal(host, spare)
        await host.edit("panel-2")
        # The group's interval is 5 s.
        await become("it asked by itself", lambda: _is_equal(host, spare), 10)


async def _is_equal(one: Desk, other: Desk) -> bool:
    return await copy_of(one) == await copy_of(other)


async def test_b6_host_spare_and_cloud_show_the_same_table(tmp_path: Path) -> None:
    async with group(tmp_path) as (_, (host, spare)):
        tables = [await table(host), await table(spare), await table(host, cloud=True)]
        assert len({(each.lineage, each.revision, each.software_version) for each in tables}) == 1
        names = ["devices", "partitions", "zones", "channels", "users", "events"]
        for each in tables:
            assert [row.name for row in each.rows] == names
            assert all(row.status == UP_TO_DATE for row in each.rows)
        for row in range(6):
            assert len({(each.rows[row].count, each.rows[row].sha256) for each in tables}) == 1
        told = tables[1].rows[0]
        assert (told.count, told.revision) == (1, 1)
        assert told.update_time.seconds


async def test_b8_a_revision_that_is_restored_at_the_host_replaces_it_everywhere(tmp_path: Path) -> None:
    async with group(tmp_path) as (_, (host, spare)):
        before = await copy_of(host)
        await host.edit("panel-2")
        await equal(host, spare)
        async with refused(Reason.CONFIRMATION_REQUIRED):
            await restore(host, before[1], confirmed=False)
        async with refused(Reason.REVISION_NOT_FOUND):
            await restore(host, 77)
        async with refused(Reason.NOT_EDITABLE_HERE):
            await restore(spare, before[1])
        request_id = str(uuid4())
        shown = await restore(host, before[1], request_id=request_id)
        assert shown.revision == 3
        assert (await copy_of(host))[2] == before[2]
        await equal(host, spare)
        await host.edit("panel-3")
        await equal(host, spare)
        again = await restore(host, before[1], request_id=request_id)
        assert again.revision == 4, "B8: asked for again it changes nothing"
        listed = await host.call(
            Service(host.channel).ListBackupRevisions, backup_service_pb2.ListBackupRevisionsRequest()
        )
        assert [(each.revision, each.restored_from) for each in listed.revisions] == [(4, 0), (3, 1), (2, 0), (1, 0)]
        assert listed.revisions[1].operator_name == "admin", "S5"


async def test_b8_what_an_operator_restores_at_the_cloud_is_taken_over_by_the_host_and_the_spares(
    tmp_path: Path,
) -> None:
    async with group(tmp_path) as (cloud, (host, spare)):
        before = await copy_of(host)
        await host.edit("panel-2")
        await equal(host, spare)
        receiver_id = (await host.status()).receiver.receiver_id
        # As an operator of the cloud; the host itself knows nothing of it.
        async with open_channel(cloud.address, None) as channel:
            metadata = ReceiverCredentials(ARC_ID, ARC_KEY, receiver_id).metadata()
            request = backup_service_pb2.RestoreBackupRequest(request_id=str(uuid4()), revision=1, confirmed=True)
            await Service(channel).RestoreBackup(request, metadata=metadata, timeout=5)

        async def taken_over() -> bool:
            return (await copy_of(host))[1:] == (3, before[2])

        await become("the host took it over", taken_over)
        await equal(host, spare)
        await host.edit("panel-3")
        await equal(host, spare)
        assert await devices(spare) == 2


async def test_b7_g8_a_new_machine_in_the_hosts_role_is_told_and_restores_from_the_cloud(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, group(tmp_path) as (cloud, (host, spare)):
        await host.edit("panel-2")
        await equal(host, spare)
        after = await copy_of(host)
        await leave_as_host(host)
        new = await receiver(stack, tmp_path, "new", cloud.address)
        await new.enable(group_pb2.ROLE_HOST)
        status = await new.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
        assert any("restore" in advice for advice in status.advice)
        async with refused(Reason.CONFIRMATION_REQUIRED):
            await restore(new, confirmed=False)
        await restore(new)
        assert await copy_of(new) == after
        await new.until(lambda status: status.sync_state == UP_TO_DATE)
        await spare.enable(group_pb2.ROLE_SPARE_1)
        await new.edit("panel-3")
        await equal(new, spare)
        assert await devices(spare) == 3


async def leave_as_host(host: Desk) -> None:
    await host.call(host.receiver.DisableHotSpare, receiver_service_pb2.DisableHotSpareRequest(confirmed=True))


async def test_b7_a_new_lineage_replaces_the_clouds_copy_knowingly(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, group(tmp_path) as (cloud, (host, spare)):
        old = await copy_of(host)
        await leave_as_host(host)
        new = await receiver(stack, tmp_path, "new", cloud.address)
        await new.edit("other-1")
        await new.edit("other-2")
        await new.enable(group_pb2.ROLE_HOST)
        await new.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
        async with refused(Reason.CONFIRMATION_REQUIRED):
            await start_lineage(new, confirmed=False)
        request_id = str(uuid4())
        shown = await start_lineage(new, request_id=request_id)
        assert shown.lineage != old[0]
        assert shown.revision > old[1]
        assert (await start_lineage(new, request_id=request_id)).lineage == shown.lineage
        await spare.enable(group_pb2.ROLE_SPARE_1)
        await equal(new, spare)
        assert await devices(spare) == 2


async def test_b7_a_host_is_told_that_the_cloud_was_restored_to_an_older_revision(tmp_path: Path) -> None:
    """At once, and not with its next edit: until then it would seem to be backed up."""
    async with group(tmp_path, spares=0) as (cloud, (host,)):
        cloud.stop()
        copy = tmp_path / "copy"
        shutil.copytree(cloud.data, copy)
        cloud.start()

        async def stored() -> bool:
            return (await table(host, cloud=True)).revision == (await copy_of(host))[1]

        # Several, so that the watch has told of newer ones too.
        for number in range(2, 6):
            await host.edit(f"panel-{number}")
            await become("the cloud has it", stored)
        cloud.stop()
        shutil.rmtree(cloud.data)
        shutil.copytree(copy, cloud.data)
        cloud.start()
        status = await host.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
        assert any("restored from a copy" in advice for advice in status.advice), status.advice
        before = await copy_of(host)
        await start_lineage(host)
        await host.until(lambda status: status.sync_state == UP_TO_DATE)
        assert (await table(host, cloud=True)).revision == (await copy_of(host))[1] > before[1]


async def test_g8_a_promoted_spare_goes_on_from_its_copy(tmp_path: Path) -> None:
    async with group(tmp_path, spares=2) as (_, (host, first, second)):
        before = await copy_of(first)
        await host.app.stop()

        async def promoted() -> bool:
            try:
                await first.enable(group_pb2.ROLE_HOST, promote=True)
            except grpc.aio.AioRpcError as error:
                # The cloud waits whether the host comes back.
                return "is connected" not in str(error.details())
            return True

        await become("it is promoted", promoted)
        assert (await first.status()).role == group_pb2.ROLE_HOST
        assert await copy_of(first) == before
        await first.until(lambda status: status.sync_state == UP_TO_DATE)
        await first.edit("panel-2")
        await equal(first, second)
        after = await copy_of(second)
        assert (after[0], after[1] > before[1]) == (before[0], True), "the same lineage goes on"
        left = await first.call(
            first.receiver.DisableHotSpare, receiver_service_pb2.DisableHotSpareRequest(confirmed=True)
        )
        assert left.cleared_records == 0, "X2: what a host has is its own"
        assert await devices(first) == 2


async def test_x1_a_spare_that_leaves_clears_its_copy(tmp_path: Path) -> None:
    async with group(tmp_path) as (_, (host, spare)):
        count = sum(number for number, _ in (await copy_of(host))[2].values())
        left = await spare.call(
            spare.receiver.DisableHotSpare, receiver_service_pb2.DisableHotSpareRequest(confirmed=True)
        )
        assert left.cleared_records == count
        assert (await copy_of(spare))[1:] == (0, {})
        await spare.enable(group_pb2.ROLE_SPARE_1)
        await equal(host, spare)


async def test_g7_b7_one_that_works_alone_takes_the_clouds_copy_over_when_it_is_asked_to(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, group(tmp_path, spares=0) as (cloud, (host,)):
        after = await copy_of(host)
        await leave_as_host(host)
        await host.app.stop()
        new = await receiver(stack, tmp_path, "new", cloud.address)
        await new.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
        await new.until(lambda status: status.status == group_pb2.MEMBER_STATUS_WORKING)
        await restore(new)
        assert await copy_of(new) == after
        await new.edit("panel-2")
        await equal(new)
        assert (await table(new, cloud=True)).revision == after[1] + 1


async def test_b3_nobody_but_the_cloud_takes_a_push(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await Service(desk.channel).PushChanges(iter(()), metadata=(("authorization", f"Bearer {desk.token}"),))
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
