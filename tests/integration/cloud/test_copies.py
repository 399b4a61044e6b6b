"""`hotspare-cloud backup` and `restore`: nothing is given out twice, and everybody is told (F11)."""

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_cloud.copies import EPOCH_JUMP, NUMBER_JUMP, back_up, restore
from hotspare_model.errors import Reason
from hotspare_model.group import GroupSettings
from hotspare_rpc.channel import open_channel
from hotspare_store.folder import DataFolderError
from tests.integration.cloud.helpers import (
    QUICK,
    SEDATE,
    Account,
    CloudProcess,
    furnish,
    new_accounts,
    query,
    run_cloud,
)
from tests.integration.cloud.receivers import HOST, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together(at_once=3)


async def begun(cloud: CloudProcess, settings: GroupSettings = SEDATE) -> Account:
    (account,) = new_accounts("own", 1)
    await furnish(cloud.data, [account], settings)
    await asyncio.to_thread(cloud.start)
    return account


@together
async def test_f11_a_restored_cloud_jumps_past_all_that_was_given_out_and_says_so(own_cloud: CloudProcess) -> None:
    account = await begun(own_cloud, QUICK)
    copy = own_cloud.data.with_name("copy.db")
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await scene.attend()
        pull = await scene.host.open_pull()
        await scene.devices[0].publish(zone=1)
        await pull.until_zones(1)
        made = await asyncio.to_thread(run_cloud, "backup", "--data", str(own_cloud.data), "--to", str(copy))
        assert made.returncode == 0, made.stderr
        # What the copy does not know: a confirmation, an alarm, two epochs.
        await pull.confirm_all()
        late = await scene.devices[0].publish(zone=2)
        await pull.until_zones(1, 2)
        given_out = pull.number_of(2)
        await scene.host.vanish()
        await scene.spare.until_working()
        await scene.spare.vanish()
        anew = scene.spare.started_anew()
        await anew.attend()
        await anew.until_working()
        assert anew.epoch == 3

    own_cloud.kill()
    data = str(own_cloud.data)
    refused = await asyncio.to_thread(run_cloud, "restore", "--data", data, "--from", str(copy))
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    done = await asyncio.to_thread(run_cloud, "restore", "--data", data, "--from", str(copy), "--replace")
    assert done.returncode == 0, done.stderr
    assert "1 alarms wait" in done.stdout
    await asyncio.to_thread(own_cloud.start)
    began = time.monotonic()

    async with open_channel(own_cloud.address, None) as channel:
        for device in scene.devices:
            device.channel = channel
        anew.reach(channel)
        # It held epoch 3 of the lost database, and says so.
        await anew.attend(highest_epoch=3)
        await anew.until_working()
        # A lease that the restored database knows nothing of may have been alive until then.
        assert time.monotonic() - began >= QUICK.lease.total_seconds() - 0.5
        assert anew.epoch > 3 + EPOCH_JUMP // 2
        again = await anew.open_pull()
        await again.until_zones(1)
        # Also of an account number that the copy does not know.
        assert (await scene.devices[1].publish(zone=4)).account_sequence > 9_999
        await again.until_zones(1, 4)
        await again.confirm(again.number_of(4))
        receipt = await scene.devices[0].publish(zone=3)
        await again.until_zones(1, 4, 3)
        assert again.number_of(3) > given_out + NUMBER_JUMP // 2
        assert receipt.account_sequence > late.account_sequence + 9_999
        listed = await anew.members()
        assert any("restored from a backup copy" in warning for warning in listed.group.warnings)
        lines = await anew.roles.ListTransitions(role_service_pb2.ListTransitionsRequest(), metadata=anew.metadata)
        kinds = [line.kind for line in lines.transitions]
        assert group_pb2.TRANSITION_KIND_CLOUD_RESTORED in kinds
        assert lines.transitions[0].reason in (
            group_pb2.TRANSITION_REASON_CLOUD_RESTORED,
            group_pb2.TRANSITION_REASON_SILENT,
        )


@together
async def test_f11_one_that_joined_after_the_copy_was_made_is_told_that_it_has_no_role(own_cloud: CloudProcess) -> None:
    account = await begun(own_cloud)
    copy = own_cloud.data.with_name("copy.db")
    back_up(own_cloud.data, copy)
    async with open_channel(own_cloud.address, None) as channel:
        host = Receiver(channel, account)
        generation = (await host.join(HOST)).member.generation
    assert await asyncio.to_thread(own_cloud.stop) == 0
    restore(own_cloud.data, copy, replace_existing=True)
    await asyncio.to_thread(own_cloud.start)
    async with open_channel(own_cloud.address, None) as channel:
        host.reach(channel)
        error = await (await host.attend(generation=generation)).until_ended()
        assert error is not None
        assert error.reason is Reason.NOT_A_MEMBER
        # Numbers of memberships of the lost database are never given out again.
        assert (await host.join(HOST)).member.generation > generation


async def test_a_backup_is_whole_while_the_cloud_writes(tmp_path: Path, own_cloud: CloudProcess) -> None:
    account = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account, spares=0)
        busy = asyncio.create_task(_publish_on(scene))
        for number in range(5):
            await asyncio.to_thread(back_up, own_cloud.data, tmp_path / f"{number}.db")
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
    for number in range(5):
        copy = sqlite3.connect(tmp_path / f"{number}.db")
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        numbers = [row[0] for row in copy.execute("SELECT number FROM alarm ORDER BY number")]
        assert numbers == list(range(1, len(numbers) + 1))
        copy.close()
    assert (tmp_path / "0.db").stat().st_mode & 0o777 == 0o600


async def _publish_on(scene: Scene) -> None:
    while True:
        await scene.devices[0].publish()


def test_a_backup_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DataFolderError, match="no database"):
        back_up(tmp_path / "data", tmp_path / "copy")
    sqlite3.connect(tmp_path / "data" / "cloud.db").close()
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(DataFolderError, match="never overwritten"):
        back_up(tmp_path / "data", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "mine"


@together
async def test_restore_refuses_what_is_no_whole_copy_and_keeps_what_is_there(own_cloud: CloudProcess) -> None:
    await begun(own_cloud)
    copy = own_cloud.data.with_name("copy.db")
    back_up(own_cloud.data, copy)
    with pytest.raises(DataFolderError, match="in use by a running process"):
        restore(own_cloud.data, copy, replace_existing=True)
    assert await asyncio.to_thread(own_cloud.stop) == 0
    before = query(own_cloud.data, "SELECT arc_id FROM account")
    whole = copy.read_bytes()
    for damaged in (b"", b"no database at all" * 100, whole[: len(whole) // 2], whole[:4096] + b"\xff" * 4096):
        copy.write_bytes(damaged)
        with pytest.raises(DataFolderError, match=r"damaged|can't be restored"):
            restore(own_cloud.data, copy, replace_existing=True)
        assert query(own_cloud.data, "SELECT arc_id FROM account") == before
    other = own_cloud.data.with_name("other.db")
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE something (x)")
    db.close()
    with pytest.raises(DataFolderError, match="it has no table"):
        restore(own_cloud.data, other, replace_existing=True)
    assert sorted(path.name for path in own_cloud.data.glob("*restor*")) == []
    copy.write_bytes(whole)
    done = restore(own_cloud.data, copy, replace_existing=True)
    assert done.kept is not None
    assert sqlite3.connect(done.kept).execute("SELECT arc_id FROM account").fetchall() == before
    assert await asyncio.to_thread(own_cloud.start) is own_cloud
