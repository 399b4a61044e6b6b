"""`hotspare-receiver uninstall`: it leaves and clears as a disabled one does, and keeps the rest (X3, X4)."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hotspare.v1 import group_pb2
from hotspare_receiver.main import main
from hotspare_rpc.address import Address
from tests.integration.test_receiver_desk_support import FakeCloud, port_of, running, serving_cloud
from tests.integration.test_receiver_leaving import as_spare, devices, in_database


async def uninstall(folder: Path, *more: str) -> Result:
    """In a thread: it runs a loop of its own, and the cloud is served in ours."""
    return await asyncio.to_thread(CliRunner().invoke, main, ["uninstall", "--data", str(folder), *more])


async def test_x3_a_spare_that_is_uninstalled_leaves_and_clears_and_keeps_the_rest(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        count = await as_spare(tmp_path / "r", address)
        asked = await uninstall(tmp_path / "r")
        assert asked.exit_code == 2, asked.output
        assert "This clears its role SPARE_1" in asked.output
        assert f"({count} records)" in asked.output
        assert cloud.members
        done = await uninstall(tmp_path / "r", "--yes")
        assert done.exit_code == 0, done.output
        assert "rm -r" in done.output
        assert not cloud.members
        assert cloud.operators["LeaveGroup"]
        again = await uninstall(tmp_path / "r", "--yes")
        assert again.exit_code == 0, again.output
        async with running(tmp_path / "r") as desk:
            assert ((await desk.status()).role, await devices(desk)) == (group_pb2.ROLE_UNSPECIFIED, 0)
            assert (await desk.status()).receiver.receiver_id
        assert (tmp_path / "r" / "arc.key").exists()
        assert (tmp_path / "r" / "admin.token").exists()


async def test_x3_a_hosts_own_configuration_stays_in_the_folder(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        async with running(tmp_path / "r") as desk:
            await desk.connect(address)
            await desk.enable()
            await desk.edit("panel")
        done = await uninstall(tmp_path / "r", "--yes")
        assert done.exit_code == 0, done.output
        assert "the hot spare of the whole group ends" in done.output
        assert "configuration (0 records)" not in done.output
        assert not cloud.members


async def test_x3_without_the_cloud_it_clears_and_says_that_the_cloud_has_to_be_told_and_tells_it_later(
    tmp_path: Path,
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        await as_spare(tmp_path / "r", address)
    done = await uninstall(tmp_path / "r", "--yes")
    assert done.exit_code == 1, done.output
    assert "could not be told" in done.output
    assert in_database(tmp_path / "r", "SELECT role FROM identity") == [(None,)]
    assert in_database(tmp_path / "r", "SELECT count(*) FROM record") == [(0,)]
    async with serving_cloud(cloud, Address("127.0.0.1", port_of(address))):
        again = await uninstall(tmp_path / "r", "--yes")
        assert again.exit_code == 0, again.output
        assert not cloud.members
        assert not (tmp_path / "r" / "goodbye.key").exists()


async def test_x3_one_that_runs_is_to_be_stopped_first(tmp_path: Path) -> None:
    async with running(tmp_path / "r"):
        result = await uninstall(tmp_path / "r", "--yes")
        assert result.exit_code == 1
        assert "stop it first" in result.output
    assert (await uninstall(tmp_path / "missing", "--yes")).exit_code == 1
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("marked", [0, 1])
async def test_x3_a_copy_that_a_crash_left_goes_too_and_an_own_one_stays(tmp_path: Path, marked: int) -> None:
    async with running(tmp_path / "r") as desk:
        await desk.edit("panel")
    in_database(tmp_path / "r", f"UPDATE copy SET synced = {marked}")
    result = await uninstall(tmp_path / "r", "--yes")
    assert result.exit_code == 0, result.output
    assert in_database(tmp_path / "r", "SELECT count(*) FROM record WHERE kind = 1") == [(1 - marked,)]
