"""A disk that is full, or nearly so: intake is refused, confirmations pass, no restart is needed afterwards (A7)."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from hotspare.v1 import errors_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.errors import from_rpc_error
from tests.integration.cloud.helpers import SEDATE, Account, CloudProcess, furnish, new_accounts, refused, until
from tests.integration.cloud.scene import Scene, batch, new_alarm

MOUNTED = 12 * 1024 * 1024
"""Bytes of the small disk: the database and its reserve, and a little room."""


@asynccontextmanager
async def serving(cloud: CloudProcess, account: Account) -> AsyncIterator[tuple[Scene, grpc.aio.Channel]]:
    """A group at a cloud that has been started."""
    async with open_channel(cloud.address, None) as channel:
        yield await Scene.set(channel, account, spares=0), channel


async def test_a7_below_the_floor_new_alarms_are_refused_and_confirmations_pass(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (account,) = accounts = new_accounts("own", 1)
    await furnish(data, accounts, SEDATE)
    roomy, full = CloudProcess(data, "--disk-floor", "0"), CloudProcess(data, "--disk-floor", "1000000")
    try:
        await asyncio.to_thread(roomy.start)
        async with serving(roomy, account) as (scene, _):
            for zone in (1, 2):
                await scene.devices[0].publish(zone)
        roomy.stop()
        await asyncio.to_thread(full.start)
        async with open_channel(full.address, None) as channel:
            scene.host.reach(channel)
            device = scene.devices[0]
            device.channel = channel
            error = await refused(device.publish(zone=3))
            assert error.reason is Reason.DISK_LOW
            assert error.metadata["floor_bytes"] == str(10**12)
            assert int(error.metadata["free_bytes"]) > 0
            assert error.retry_after is not None
            assert error.retry_after >= timedelta(seconds=1)
            (answer,) = [
                answer async for answer in device.stream([batch(1, [new_alarm(3), new_alarm(4, alarm_id="x")])])
            ]
            rejections = [result.rejection for result in answer.results]
            assert [each.reason for each in rejections] == [
                errors_pb2.ERROR_REASON_DISK_LOW,
                errors_pb2.ERROR_REASON_FIELD_INVALID,
            ]
            assert [each.HasField("retry_delay") for each in rejections] == [True, False]
            pull = await scene.host.work()
            await pull.until_zones(1, 2)
            await pull.confirm_all()
            assert (await scene.host.members()).group.backlog == 0
    finally:
        roomy.kill()
        full.kill()


class SmallDisk:
    """A cloud in a mount namespace of its own, whose data folder is on a file system of a few megabytes."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "small" / "data"
        self.mount = folder / "small"
        self.mount.mkdir()
        self._keeper = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", self._script()],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        self.is_there = self._keeper.stdout.readline() == "mounted\n"

    def _script(self) -> str:
        return f"mount -t tmpfs -o size={MOUNTED} tmpfs '{self.mount}' && echo mounted && exec cat"

    @property
    def seen_from_here(self) -> Path:
        """Its root, as this process reaches it."""
        return Path(f"/proc/{self._keeper.pid}/root{self.mount}")

    def enter(self) -> list[str]:
        """What goes in front of a command that is to run in there."""
        return ["nsenter", f"--target={self._keeper.pid}", "--user", "--mount", "--preserve-credentials"]

    def fill(self) -> Path:
        """Fill it to the last byte; return the file that does."""
        filler = self.seen_from_here / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue
        return filler

    def close(self) -> None:
        """Give it up."""
        self._keeper.kill()
        self._keeper.communicate()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        pytest.skip("needs unshare and nsenter of util-linux")
    disk = SmallDisk(tmp_path)
    try:
        if not disk.is_there or not os.access(disk.seen_from_here, os.W_OK):
            pytest.skip("this machine lets its users make no mount namespaces")
        yield disk
    finally:
        disk.close()


async def test_a7_on_a_full_disk_intake_is_refused_acknowledgements_pass_and_no_restart_is_needed(
    tmp_path: Path, small_disk: SmallDisk
) -> None:
    (account,) = accounts = new_accounts("own", 1)
    prepared = tmp_path / "prepared"
    await furnish(prepared, accounts, SEDATE)
    shutil.copytree(prepared, small_disk.seen_from_here / "data")
    cloud = CloudProcess(small_disk.data, "--disk-floor", "0", log=tmp_path / "log", before=small_disk.enter())
    try:
        await asyncio.to_thread(cloud.start)
        async with serving(cloud, account) as (scene, _):
            pull = await scene.host.work()
            for zone in range(1, 6):
                await scene.devices[0].publish(zone)
            await pull.until_zones(1, 2, 3, 4, 5)
            filler = small_disk.fill()
            accepted, refusals = 5, 0
            for zone in range(6, 600):
                # A few pass, into what the files have of room; then all are refused, also once the reserve is given up.
                try:
                    await scene.devices[0].publish(zone, text="x" * 4000)
                    accepted += 1
                    assert not refusals, "the reserve is for acknowledgements"
                except grpc.aio.AioRpcError as full:
                    refusals += 1
                    error = from_rpc_error(full)
                    assert error is not None
                    assert error.reason is Reason.DISK_LOW
                    assert error.retry_after is not None
                if refusals == 20:
                    break
            assert refusals == 20
            for number in range(1, 6):
                await pull.confirm(number)
            assert not pull.ended
            assert scene.host.epoch == 1
            assert (await scene.host.members()).group.backlog == accepted - 5
            filler.unlink()
            await scene.devices[0].publish(zone=700)
            await until(lambda: pull.zones[-1] == 700, "the next alarm came")
            await pull.confirm_all()
            assert (await scene.host.members()).group.backlog == 0
        assert cloud.stop() == 0
    finally:
        cloud.kill()
