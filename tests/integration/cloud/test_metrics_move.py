"""The metrics of a cloud that runs move with what happens there. tests/unit/test_metrics_list.py lists all.

Counters without labels of a group are shared by all stories here, which are told at the same time: of those `up` is
asked for, of the others the exact number.
"""

import asyncio
import contextlib
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from hotspare.v1 import alarm_pb2, group_pb2
from hotspare_cloud.copies import back_up, restore
from hotspare_model.errors import Reason
from hotspare_model.group import GroupSettings
from hotspare_rpc.channel import open_channel
from tests.acceptance.harness.scraping import Page
from tests.integration.cloud.helpers import (
    LOOPBACK,
    SEDATE,
    Account,
    CloudProcess,
    furnish,
    new_accounts,
    query,
    refused,
)
from tests.integration.cloud.operators import Operator
from tests.integration.cloud.receivers import Receiver
from tests.integration.cloud.records import USER, Spare, record
from tests.integration.cloud.scene import Scene, new_alarm, send_push
from tests.integration.cloud.test_fences import late
from tests.integration.cloud.test_gateway import pass_on, site
from tests.integration.cloud.test_set_aside import Desk, refuse_and_wait
from tests.integration.cloud.test_supervision import Panel, set_scene
from tests.integration.cloud.test_sync import ALL_KINDS, cast, flip
from tests.integration.cloud.together import Together
from tests.integration.moving import moving
from tests.integration.told_metrics import missing, without_help

pytestmark = pytest.mark.full

together = Together()

METRICS = ("--metrics", LOOPBACK)
SHOWN = 20
"""Accounts of this cloud, of those that tests get next: more than there are stories."""
CROWD = 150
"""Devices: more than may be told of at once."""

Look = Callable[[], Awaitable[Page]]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, pools: dict[str, list[Account]]) -> Iterator[CloudProcess]:
    """A cloud that shows its metrics."""
    data = tmp_path_factory.mktemp("metrics") / "data"
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(furnish(data, pools["sedate"][-SHOWN:], SEDATE))).result()
    process = CloudProcess(data, "--disk-floor", "0", *METRICS).start()
    yield process
    assert process.stop() == 0, process.log()


def page_of(cloud: CloudProcess, account: Account | None = None) -> Look:
    """A look at its page; of the lines of accounts, those of one or of all."""

    def read() -> str:
        with urllib.request.urlopen(f"http://{cloud.metrics}/metrics", timeout=10) as answer:
            text = str(answer.read().decode())
        if account is None:
            return text
        # The scripted receivers have to beat meanwhile: most of a page is about accounts of others.
        ours = f'arc_id="{account.arc_id}"'
        return "\n".join(line for line in text.splitlines() if ours in line or 'arc_id="' not in line)

    async def look() -> Page:
        return Page(await asyncio.to_thread(read))

    return look


@together
async def test_all_children_that_are_told_are_there_before_anything_happened(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    page = await page_of(cloud, account)()
    assert missing(page, "The cloud") == {}
    assert without_help(page) == []


@together
async def test_members_and_an_alarm_move_what_waits_what_is_out_and_what_was_confirmed(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    page, alarm = page_of(cloud, account), new_alarm(1)
    await scene.attend()
    async with moving(
        page,
        'hotspare_cloud_member_sync_state{role="host",state="uploading"} =1',
        'hotspare_cloud_member_revision{role="host"} =5',
        arc_id=account.arc_id,
    ):
        scene.host.says |= {"sync_state": group_pb2.SYNC_STATE_UPLOADING, "sync_revision": 5}
    told = (await page()).value("hotspare_cloud_member_info", arc_id=account.arc_id, role="host", version="1.2.3")
    assert told == 1
    async with moving(page, "hotspare_cloud_pull_open =1", arc_id=account.arc_id):
        pull = await scene.host.open_pull()
    async with moving(
        page,
        'hotspare_cloud_alarms_published_total{result="stored"} up',
        "hotspare_cloud_alarms_waiting =1",
        "hotspare_cloud_alarms_oldest_age_seconds up",
        "hotspare_cloud_alarms_delivered_total +1",
        "hotspare_cloud_alarms_out =1",
        "hotspare_cloud_store_commits_total up",
        "hotspare_cloud_store_writes_total up",
        "hotspare_cloud_store_commit_seconds_total up",
        arc_id=account.arc_id,
    ):
        await scene.devices[0].send(alarm)
        await pull.until_zones(1)
    async with moving(page, 'hotspare_cloud_alarms_published_total{result="duplicate"} up'):
        await scene.devices[0].send(alarm)
    async with moving(
        page,
        "hotspare_cloud_alarms_confirmed_total +1",
        "hotspare_cloud_alarm_confirmation_seconds_count +1",
        "hotspare_cloud_alarms_waiting =0",
        "hotspare_cloud_alarms_out =0",
        "hotspare_cloud_alarms_oldest_age_seconds =0",
        arc_id=account.arc_id,
    ):
        await pull.confirm_all()


@together
async def test_f3_f7_a_take_over_moves_who_works_and_what_is_held_and_given_again(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    page = page_of(cloud, account)
    async with moving(
        page,
        'hotspare_cloud_member_status{role="host",status="working"} =1',
        'hotspare_cloud_member_healthy{role="host"} =1',
        "hotspare_cloud_working_receivers =1",
        "hotspare_cloud_lease_remaining_seconds up",
        "hotspare_cloud_epoch +1",
        'hotspare_cloud_moves_total{reason="first"} +1',
        arc_id=account.arc_id,
    ):
        await scene.attend()
    old = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await old.until_zones(1)
    async with moving(
        page,
        'hotspare_cloud_member_status{role="host",status="offline"} =1',
        'hotspare_cloud_member_status{role="spare_1",status="working"} =1',
        'hotspare_cloud_member_healthy{role="host"} =0',
        "hotspare_cloud_epoch +1",
        'hotspare_cloud_moves_total{reason="connection_lost"} +1',
        "hotspare_cloud_alarms_redelivered_total +1",
        "hotspare_cloud_takeover_seconds_count +1",
        "hotspare_cloud_takeover_seconds_sum up",
        "hotspare_cloud_unattended_seconds_total up",
        arc_id=account.arc_id,
    ):
        async with moving(page, "hotspare_cloud_alarms_held =1", arc_id=account.arc_id):
            await scene.host.vanish()
        await (await scene.spare.work()).until_zones(1)
    async with moving(page, "hotspare_cloud_late_confirmations_total +1", arc_id=account.arc_id):
        number = old.number_of(1)
        await (await late(scene.host)).confirm_ranges([(number, number)], epoch=1)
    await scene.host.attend()
    async with moving(page, "hotspare_cloud_stale_epochs_refused_total up", arc_id=account.arc_id):
        await scene.host.open_pull(epoch=1)


@together
async def test_f3_with_nobody_left_nobody_works_and_the_time_runs(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    page = page_of(cloud, account)
    await scene.attend()
    async with moving(
        page,
        "hotspare_cloud_working_receivers =0",
        "hotspare_cloud_lease_remaining_seconds =0",
        "hotspare_cloud_unattended_seconds_total up",
        arc_id=account.arc_id,
    ):
        await scene.host.vanish()


@together
async def test_f8_f9_what_operators_decide_and_what_holds_a_member_back_is_shown(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    page, operator = page_of(cloud, account), Operator(scene.spare)
    await scene.attend()
    async with moving(page, "hotspare_cloud_paused =1", arc_id=account.arc_id):
        await operator.pause()
    async with moving(page, "hotspare_cloud_paused =0", arc_id=account.arc_id):
        await operator.resume()
    async with moving(
        page, "hotspare_cloud_pinned =1", 'hotspare_cloud_moves_total{reason="switchover"} +1', arc_id=account.arc_id
    ):
        await operator.switch(scene.spare)
        await scene.host.until_told_to_yield(scene.spare)
        await scene.host.release()
        await scene.spare.until_working()
    await operator.set(losses_per_hour=1)
    async with moving(page, 'hotspare_cloud_member_held_back{role="spare_1"} =1', arc_id=account.arc_id):
        await scene.spare.vanish()
        await scene.host.until_working()


@together
async def test_g7_a_receiver_without_a_role_is_counted(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    async with moving(page_of(cloud, account), "hotspare_cloud_receivers_without_role =1", arc_id=account.arc_id):
        await Receiver(channel, account).attend()


@together
async def test_a5_what_is_set_aside_and_sent_again_is_counted(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    page = page_of(cloud, account)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    number = pull.number_of(1)
    async with moving(
        page,
        "hotspare_cloud_alarms_rejected =1",
        'hotspare_cloud_alarms_set_aside_total{cause="refused"} +1',
        arc_id=account.arc_id,
    ):
        await refuse_and_wait(pull, number)
    async with moving(
        page, "hotspare_cloud_alarms_rejected =0", "hotspare_cloud_alarms_replayed_total +1", arc_id=account.arc_id
    ):
        await Desk(scene.host).replay(number)


@together
async def test_d3_d4_what_gateways_pass_on_is_counted(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    host, device = await site(channel, account)
    page, now = page_of(cloud, account), new_alarm(1).occur_time
    async with moving(page, 'hotspare_cloud_alarms_direct_total{result="stored"} up'):
        await pass_on(host, new_alarm(1))
    async with moving(page, 'hotspare_cloud_alarms_direct_total{result="same"} up'):
        await device.send(new_alarm(2, occur_time=now))
        await pass_on(host, new_alarm(2, occur_time=now), alarm_pb2.ALARM_PATH_DIRECT_DC09)
    async with moving(page, 'hotspare_cloud_alarms_direct_total{result="confirmed"} up'):
        await pass_on(host, new_alarm(3), confirm_time=now, receive_time=now)


@together
async def test_b3_b5_a_configuration_moves_the_metrics_of_backup_and_sync(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    host, spare = await cast(channel, account)
    page = page_of(cloud, account)
    frames = host.frames_for(ALL_KINDS)
    async with moving(
        page,
        "hotspare_cloud_backup_revision =1",
        f"hotspare_cloud_backup_records ={len(ALL_KINDS)}",
        'hotspare_cloud_backup_pushes_total{result="stored"} up',
        arc_id=account.arc_id,
    ):
        await send_push(host.receiver, frames)
    async with moving(page, 'hotspare_cloud_backup_pushes_total{result="unchanged"} up'):
        await send_push(host.receiver, frames)
    async with moving(page, 'hotspare_cloud_backup_pulls_total{result="whole"} up'):
        assert (await spare.pull()).agreed
    async with moving(page, 'hotspare_cloud_backup_pulls_total{result="changes"} up'):
        await spare.pull()
    stranger = Receiver(channel, account)
    async with moving(page, 'hotspare_cloud_backup_pulls_total{result="refused"} up'):
        assert (await refused(Spare(stranger).pull())).reason is Reason.NOT_A_MEMBER
    async with moving(page, 'hotspare_cloud_backup_pushes_total{result="refused"} up'):
        wrong = host.frames_for({(USER, "ann"): record((USER, "ann"), "Ann")})
        wrong[-1].trailer.digests[0].sha256 = bytes(32)
        await refused(send_push(host.receiver, wrong))
    async with moving(
        page,
        "hotspare_cloud_backup_damaged_kinds up",
        "hotspare_cloud_backup_damages_total up",
        arc_id=account.arc_id,
    ):
        flip(cloud, f"UPDATE record SET payload = x'00' WHERE kind = 3 AND group_id = {group_id(cloud, account)}")
        fresh = Spare(spare.receiver)
        assert not (await fresh.pull()).agreed


def group_id(cloud: CloudProcess, account: Account) -> int:
    """The number of an account's group in the cloud's database."""
    found = query(cloud.data, "SELECT group_id FROM grp WHERE arc_id = ? AND sub_account = 'default'", account.arc_id)
    return int(found[0][0])


@together
async def test_a9_silence_and_return_and_a_storm_of_them_are_counted(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    panel, page = Panel(channel, account, "a"), page_of(cloud, account)
    await set_scene(channel, account, panel)
    async with moving(
        page,
        "hotspare_cloud_devices_supervised =1",
        "hotspare_cloud_devices_silent =1",
        'hotspare_cloud_supervision_events_total{event="silent"} +1',
        arc_id=account.arc_id,
    ):
        await panel.beat()
    async with moving(
        page,
        "hotspare_cloud_devices_silent =0",
        'hotspare_cloud_supervision_events_total{event="back"} +1',
        arc_id=account.arc_id,
    ):
        await panel.beat()
    crowd = [Panel(channel, other_account, f"panel-{number}") for number in range(CROWD)]
    await set_scene(channel, other_account, *crowd)
    async with moving(
        page_of(cloud, other_account),
        "hotspare_cloud_supervision_storms_total +1",
        "hotspare_cloud_supervision_events_waiting up",
        arc_id=other_account.arc_id,
    ):
        await asyncio.gather(*(each.beat() for each in crowd))


# A cloud of a story's own, which is stopped, stands still, or has no room.


@contextlib.asynccontextmanager
async def own(
    folder: Path, *options: str, settings: GroupSettings = SEDATE
) -> AsyncIterator[tuple[CloudProcess, Account]]:
    """A cloud that shows its metrics, not started yet."""
    (account,) = new_accounts("own", 1)
    await furnish(folder / "data", [account], settings)
    process = CloudProcess(folder / "data", *METRICS, *options)
    try:
        yield process, account
    finally:
        process.kill()


async def test_a_cloud_that_stood_still_counts_its_stalls_and_its_outage(tmp_path: Path) -> None:
    async with own(tmp_path, "--disk-floor", "0") as (cloud, _):
        await asyncio.to_thread(cloud.start)
        page = page_of(cloud)
        async with moving(
            page,
            "hotspare_cloud_stalls_total up",
            "hotspare_cloud_loop_lag_seconds up",
            "hotspare_cloud_supervision_outages_total +1",
            "process_cpu_seconds_total up",
        ):
            cloud.signal(signal.SIGSTOP)
            await asyncio.sleep(6.5)  # an outage is 5 s without time, of which a look is 1 s late at most
            cloud.signal(signal.SIGCONT)


async def test_a7_what_has_no_room_is_counted_and_free_space_follows_the_disk(tmp_path: Path) -> None:
    async with own(tmp_path, "--disk-floor", "0") as (roomy, account):
        await asyncio.to_thread(roomy.start)
        async with open_channel(roomy.address, None) as channel:
            device = (await Scene.set(channel, account, spares=0)).devices[0]
        assert await asyncio.to_thread(roomy.stop) == 0
    full = CloudProcess(roomy.data, *METRICS, "--disk-floor", "1000000")
    try:
        await asyncio.to_thread(full.start)
        page = page_of(full)
        async with (
            open_channel(full.address, None) as device.channel,
            moving(page, 'hotspare_cloud_alarms_published_total{result="refused"} +1'),
        ):
            assert (await refused(device.publish())).reason is Reason.DISK_LOW
        async with moving(page, "hotspare_cloud_disk_free_bytes down"):
            (tmp_path / "filler").write_bytes(b"x" * 64_000_000)
    finally:
        full.kill()


async def test_f11_a_restored_cloud_says_since_when(tmp_path: Path) -> None:
    async with own(tmp_path, "--disk-floor", "0") as (cloud, account):
        await asyncio.to_thread(cloud.start)
        page = page_of(cloud)
        before = (await page()).value("hotspare_cloud_restored_time_seconds", sub_account="default")
        assert (await page()).value("hotspare_cloud_copied_time_seconds") == 0
        copy, began = tmp_path / "copy.db", time.time()
        back_up(cloud.data, copy)
        # The file system's clock is coarse.
        assert began - 0.1 < (await page()).value("hotspare_cloud_copied_time_seconds") <= time.time()
        assert await asyncio.to_thread(cloud.stop) == 0
        restore(cloud.data, copy, replace_existing=True)
        await asyncio.to_thread(cloud.start)
        after = (await page_of(cloud)()).value(
            "hotspare_cloud_restored_time_seconds", arc_id=account.arc_id, sub_account="default"
        )
        assert (before, after > 1.7e9) == (0, True)
