"""What the attacks on backup and sync share: a real cloud, a host and spares in this process, a meddler between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hotspare.v1 import backup_pb2, configuration_service_pb2, group_pb2, record_pb2
from hotspare_model.group import GroupSettings
from tests.integration.cloud.helpers import QUICK, Account, CloudProcess, furnish
from tests.integration.meddler import Meddler
from tests.integration.test_receiver_desk_support import ARC_ID, ARC_KEY, Desk, running

SETTINGS: GroupSettings = replace(QUICK, sync_interval=timedelta(seconds=5)).checked()
HEALED = 30.0
"""Seconds until all is well again after the last thing that went wrong."""

Copy = tuple[str, int, dict[int, tuple[int, bytes]]]
"""Lineage, revision, and count and digest by kind."""


async def copy_of(desk: Desk) -> Copy:
    """The copy of a receiver."""
    told = await desk.call(desk.configuration.GetDigest, configuration_service_pb2.GetDigestRequest())
    return told.lineage, told.revision, {each.kind: (each.count, each.sha256) for each in told.digests if each.count}


async def is_up_to_date(desk: Desk) -> bool:
    """Whether a receiver says so of its copy."""
    return (await desk.status()).sync_state == group_pb2.SYNC_STATE_UP_TO_DATE


async def become(what: str, condition: Callable[[], Awaitable[object]], seconds: float = HEALED) -> None:
    """Wait until a condition comes true."""
    ends = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < ends, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)


@dataclass
class Attacked:
    """A cloud, a host and spare 1; each receiver reaches the cloud through a meddler of its own."""

    cloud: CloudProcess
    host: Desk
    spare: Desk
    at_host: Meddler
    at_spare: Meddler
    edits: int = 0

    async def edit(self) -> None:
        """One round of edits of several kinds on the host: new ones, changed ones, deleted ones."""
        self.edits += 1
        await edit(self.host, self.edits)

    async def equal(self, *spares: Desk) -> None:
        """Wait until host, spares and cloud have the same, and all say so."""
        followers = spares or (self.spare,)

        async def same() -> bool:
            copies = [await copy_of(desk) for desk in (self.host, *followers)]
            fine = [await is_up_to_date(desk) for desk in (self.host, *followers)]
            return all(fine) and all(copy == copies[0] for copy in copies)

        await become(f"all copies are equal: {await self.told(*followers)}", same)

    async def told(self, *spares: Desk) -> str:
        """How the copies stand, for a failure."""
        lines = []
        for desk in (self.host, *spares):
            status = await desk.status()
            detail = next((row.detail for row in status.backup.rows if row.detail), "")
            lines.append(f"{status.backup.revision} {group_pb2.SyncState.Name(status.sync_state)} {detail}")
        return "; ".join(lines)


async def edit(desk: Desk, number: int) -> None:
    """Edits of several kinds."""
    service, calls = desk.configuration, configuration_service_pb2
    device_id = f"panel-{number}"
    await desk.edit(device_id)
    for index in range(1, 4):
        partition = record_pb2.Partition(device_id=device_id, number=index, name=f"part {index} 🚨")
        await desk.call(service.CreatePartition, calls.CreatePartitionRequest(partition=partition))
        zone = record_pb2.Zone(device_id=device_id, number=index, partition_number=index)
        await desk.call(service.CreateZone, calls.CreateZoneRequest(zone=zone))
    user = record_pb2.User(user_id=f"user-{number}", name="Ä b", devices=[record_pb2.UserDevice(device_id=device_id)])
    await desk.call(service.CreateUser, calls.CreateUserRequest(user=user))
    if number > 1:
        gone = calls.DeleteZoneRequest(zone_id=f"panel-{number - 1}/3")
        await desk.call(service.DeleteZone, gone)
        changed = calls.UpdateDeviceRequest(
            device=record_pb2.Device(device_id=f"panel-{number - 1}", name=f"n{number}")
        )
        changed.update_mask.paths.append("name")
        await desk.call(service.UpdateDevice, changed)


@asynccontextmanager
async def cloud_at(data: Path, *more: Account) -> AsyncIterator[CloudProcess]:
    """A cloud with the account of the tests, and others."""
    await furnish(data, [Account(ARC_ID, ARC_KEY), *more], SETTINGS)
    process = CloudProcess(data, "--disk-floor", "0")
    try:
        process.start()
        yield process
    finally:
        process.kill()


@asynccontextmanager
async def attacked(folder: Path) -> AsyncIterator[Attacked]:
    """All of it, with a first configuration that is everywhere."""
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(cloud_at(folder / "cloud"))
        meddlers = [await stack.enter_async_context(Meddler(cloud.address)) for _ in range(2)]
        desks = []
        for name, role, meddler in zip(
            ("host", "spare"), (group_pb2.ROLE_HOST, group_pb2.ROLE_SPARE_1), meddlers, strict=True
        ):
            desk = await stack.enter_async_context(running(folder / name, machine_id=f"machine-{name}"))
            await desk.connect(meddler.address, name=name)
            await desk.enable(role)
            desks.append(desk)
        scene = Attacked(cloud, desks[0], desks[1], meddlers[0], meddlers[1])
        await scene.edit()
        await scene.equal()
        yield scene


def chunks_of(frames: Iterable[Any]) -> list[backup_pb2.ChangeChunk]:
    """The pieces among frames."""
    return [frame.chunk for frame in frames if frame.WhichOneof("frame") == "chunk"]
