"""Bits that flip in stores, restored disk images, and receivers of other accounts (B5, B7, G8, S2)."""

import shutil
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotspare.v1 import (
    backup_service_pb2,
    backup_service_pb2_grpc,
    configuration_service_pb2,
    group_pb2,
    record_pb2,
    role_service_pb2,
    sync_service_pb2,
    sync_service_pb2_grpc,
)
from hotspare_cloud.store.sqlite import DATABASE_NAME
from hotspare_model.digest import RecordKind, digest_of
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import ReceiverCredentials
from hotspare_rpc.errors import from_rpc_error
from hotspare_rpc.version import SOFTWARE_VERSION
from tests.integration.cloud.helpers import Account, CloudProcess, new_accounts
from tests.integration.test_receiver_desk_support import ARC_ID, ARC_KEY, Desk, refused, running
from tests.integration.test_sync_attack_support import attacked, become, cloud_at, copy_of, edit, is_up_to_date


def flip(data: Path, kind: RecordKind, place: float) -> str:
    """Flip one bit of a record in the store of a cloud that does not run; returns its id. `place`: 0 to 1."""
    with sqlite3.connect(data / DATABASE_NAME) as database:
        rows = database.execute(
            "SELECT id, payload FROM record WHERE kind = ? AND payload != x'' ORDER BY id", (int(kind),)
        ).fetchall()
        record_id, payload = rows[len(rows) // 2]
        at = int(place * (len(payload) - 1))
        broken = payload[:at] + bytes([payload[at] ^ 0x04]) + payload[at + 1 :]
        changed = database.execute(
            "UPDATE record SET payload = ? WHERE kind = ? AND id = ?", (broken, int(kind), record_id)
        )
        assert changed.rowcount == 1
    database.close()
    return str(record_id)


def restarted_with(cloud: CloudProcess, kind: RecordKind, place: float) -> None:
    """Stop the cloud, flip a bit, and start it again."""
    assert cloud.stop() == 0
    flip(cloud.data, kind, place)
    cloud.start()


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (RecordKind.PARTITION, 0.0),
        (RecordKind.PARTITION, 0.5),
        (RecordKind.ZONE, 1.0),
        (RecordKind.USER, 0.7),
        (RecordKind.DEVICE, 0.5),
        (RecordKind.DEVICE, 0.95),
    ],
)
async def test_b5_a_bit_that_flips_in_the_clouds_store_reaches_no_spare_and_is_mended_by_the_host(
    tmp_path: Path, kind: RecordKind, place: float
) -> None:
    async with attacked(tmp_path) as scene, running(tmp_path / "new", machine_id="machine-new") as new:
        await scene.edit()
        await scene.equal()
        old = await copy_of(scene.spare)
        restarted_with(scene.cloud, kind, place)
        await new.connect(scene.cloud.address, name="new")
        await new.enable(group_pb2.ROLE_SPARE_2)
        await scene.equal(scene.spare, new)
        assert (await copy_of(new))[2] == old[2]
        with sqlite3.connect(f"file:{scene.cloud.data / DATABASE_NAME}?mode=ro", uri=True) as database:
            records = database.execute(
                "SELECT id, payload FROM record WHERE kind = ? AND payload != x''", (int(kind),)
            ).fetchall()
        database.close()
        assert digest_of(kind, records).sha256 == old[2][int(kind)][1], "the cloud's store is right again"


async def test_b5_a_bit_that_flips_in_a_spares_store_is_found_and_mended(tmp_path: Path) -> None:
    """The digests of its buckets tell another thing than the records: the next whole kind puts it right."""
    async with attacked(tmp_path / "a") as scene:
        async with running(tmp_path / "new", machine_id="machine-new") as new:
            await new.connect(scene.cloud.address, name="new")
            await new.enable(group_pb2.ROLE_SPARE_2)
            await scene.equal(new)
        with sqlite3.connect(tmp_path / "new" / "receiver.db") as database:
            changed = database.execute("UPDATE bucket SET sha256 = ? WHERE kind = 2", (b"\x01" * 32,))
            assert changed.rowcount >= 1
        database.close()
        async with running(tmp_path / "new", machine_id="machine-new") as new:
            await scene.equal(new)


async def backup_at(cloud: CloudProcess, account: Account, receiver_id: str) -> Any:
    """The cloud's table, as a receiver sees it."""
    async with open_channel(cloud.address, None) as channel:
        metadata = ReceiverCredentials(account.arc_id, account.key, receiver_id).metadata()
        stub = backup_service_pb2_grpc.BackupServiceStub(channel)
        return (await stub.GetBackup(backup_service_pb2.GetBackupRequest(), metadata=metadata, timeout=5)).backup


async def test_b7_a_host_from_an_old_disk_image_overwrites_nothing_and_is_told(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(cloud_at(tmp_path / "cloud"))
        async with running(tmp_path / "host", machine_id="m-host") as host:
            await host.connect(cloud.address)
            await host.enable()
            await edit(host, 1)
            await become("the first is stored", lambda: is_up_to_date(host))
        shutil.copytree(tmp_path / "host", tmp_path / "image")
        async with running(tmp_path / "host", machine_id="m-host") as host:
            await edit(host, 2)
            await become("the second is stored", lambda: is_up_to_date(host))
            after = await copy_of(host)
            receiver_id = (await host.status()).receiver.receiver_id
        shutil.rmtree(tmp_path / "host")
        shutil.copytree(tmp_path / "image", tmp_path / "host")
        account = Account(ARC_ID, ARC_KEY)
        async with running(tmp_path / "host", machine_id="m-host") as host:
            told = await host.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
            assert any("restore" in row.detail for row in told.backup.rows)
            # Edited until it has gone farther than the cloud: a fork, however high its number.
            for number in range(2, 6):
                await edit(host, number)
            assert (await copy_of(host))[1] > after[1]
            await host.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
            assert (await backup_at(cloud, account, receiver_id)).revision == after[1]
        async with running(tmp_path / "host", machine_id="m-host") as host:
            await host.until(lambda status: status.sync_state == group_pb2.SYNC_STATE_DIVERGED)
            assert (await backup_at(cloud, account, receiver_id)).revision == after[1], "nor after a restart"
            backups = backup_service_pb2_grpc.BackupServiceStub(host.channel)
            restore = backup_service_pb2.RestoreBackupRequest(
                request_id="11111111-2222-4333-8444-555555555555", confirmed=True
            )
            await host.call(backups.RestoreBackup, restore)
            await become("it is restored", lambda: is_up_to_date(host))
            assert (await copy_of(host))[2] == after[2]


@pytest.mark.full
async def test_g8_b7_an_old_host_that_comes_back_from_an_image_changes_nothing_of_the_promoted_ones(
    tmp_path: Path,
) -> None:
    """Both think that they are host: the one of before the promotion is told, and what it edits reaches nobody."""
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(cloud_at(tmp_path / "cloud"))
        spare = await stack.enter_async_context(running(tmp_path / "spare", machine_id="m-spare"))
        async with running(tmp_path / "host", machine_id="m-host") as host:
            await host.connect(cloud.address, name="old")
            await host.enable()
            await edit(host, 1)
            await become("it is stored", lambda: is_up_to_date(host))
            await spare.connect(cloud.address, name="spare")
            await spare.enable(group_pb2.ROLE_SPARE_1)
            await become("the spare has it", lambda: is_up_to_date(spare))
            before = await copy_of(host)
            old_id = (await host.status()).receiver.receiver_id
        await remove(spare, old_id)
        await spare.enable(group_pb2.ROLE_HOST, promote=True)
        await become("the promoted one is up to date", lambda: is_up_to_date(spare))
        assert (await copy_of(spare))[2] == before[2], "it keeps its copy"
        await edit(spare, 2)
        await become("what it edits is stored", lambda: is_up_to_date(spare))
        after = await copy_of(spare)
        async with running(tmp_path / "host", machine_id="m-host") as host:
            # Before or after it learns: what is edited here is never the cloud's.
            try:
                await host.edit("panel-of-the-past")
            except grpc.aio.AioRpcError as error:
                ours = from_rpc_error(error)
                assert ours is not None
                assert ours.reason is Reason.NOT_EDITABLE_HERE
            await host.until(lambda status: status.role == group_pb2.ROLE_UNSPECIFIED)
            await host.until(lambda status: bool(status.advice))
            assert await copy_of(spare) == after
            backup = await backup_at(cloud, Account(ARC_ID, ARC_KEY), (await spare.status()).receiver.receiver_id)
            assert (backup.lineage, backup.revision) == after[:2]


async def remove(desk: Desk, receiver_id: str) -> None:
    """Remove a member that is gone."""
    request = role_service_pb2.RemoveMemberRequest(receiver_id=receiver_id, force=True)
    await desk.call(desk.roles.RemoveMember, request)


@pytest.mark.full
async def test_s2_a_spare_of_another_account_gets_nothing_of_this_one(tmp_path: Path) -> None:
    (other,) = new_accounts("other", 1)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(cloud_at(tmp_path / "cloud", other))
        host = await stack.enter_async_context(running(tmp_path / "host", machine_id="m-host"))
        await host.connect(cloud.address)
        await host.enable()
        await edit(host, 1)
        await become("it is stored", lambda: is_up_to_date(host))
        stranger = await stack.enter_async_context(running(tmp_path / "stranger", machine_id="m-stranger"))
        await stranger.set(cloud_address=cloud.address, arc_id=other.arc_id, arc_key=other.key)
        await stranger.enable()
        await become("its own, empty one is stored", lambda: is_up_to_date(stranger))
        assert (await copy_of(stranger))[2] == {}
        # By the wire, with its own key and with all that it could know of the other.
        channel = await stack.enter_async_context(open_channel(cloud.address, None))
        syncs = sync_service_pb2_grpc.SyncServiceStub(channel)
        lineage, revision, _ = await copy_of(host)
        ids = [(await desk.status()).receiver.receiver_id for desk in (host, stranger)]
        request = sync_service_pb2.PullChangesRequest(
            lineage=lineage, since_revision=revision, software_version=SOFTWARE_VERSION
        )
        for receiver_id, allowed in ((ids[1], True), (ids[0], False)):
            metadata = ReceiverCredentials(other.arc_id, other.key, receiver_id).metadata()
            if not allowed:
                async with refused(Reason.NOT_A_MEMBER):
                    await anext(aiter(syncs.PullChanges(request, metadata=metadata)))
                continue
            frames = [frame async for frame in syncs.PullChanges(request, metadata=metadata)]
            assert all(not frame.chunk.changes for frame in frames)
            assert lineage not in str(frames)


@pytest.mark.full
async def test_b2_on_a_spare_every_edit_is_refused_with_the_host_in_the_error(tmp_path: Path) -> None:
    async with attacked(tmp_path) as scene:
        host_id = (await scene.host.status()).receiver.receiver_id
        before = await copy_of(scene.spare)
        calls, service = configuration_service_pb2, scene.spare.configuration
        edits: list[tuple[Any, Any]] = [
            (service.CreateDevice, calls.CreateDeviceRequest(device=record_pb2.Device(device_id="x"))),
            (service.DeleteDevice, calls.DeleteDeviceRequest(device_id="panel-1")),
            (service.RotateDeviceKey, calls.RotateDeviceKeyRequest(device_id="panel-1")),
            (service.DeleteZone, calls.DeleteZoneRequest(zone_id="panel-1/1")),
            (service.CreateUser, calls.CreateUserRequest(user=record_pb2.User(user_id="x"))),
        ]
        for method, request in edits:
            async with refused(Reason.NOT_EDITABLE_HERE, host_receiver_id=host_id):
                await scene.spare.call(method, request)
        assert await copy_of(scene.spare) == before
