"""The cloud's own death, restart and standstill lose nothing and move nobody without need (A1, A2, F11)."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

import grpc

from hotspare_model.errors import Reason
from hotspare_model.group import GroupSettings
from hotspare_rpc.channel import open_channel
from tests.integration.cloud.helpers import QUICK, SEDATE, Account, CloudProcess, furnish, new_accounts, until
from tests.integration.cloud.receivers import Line, Pull, Receiver
from tests.integration.cloud.scene import Scene, batch, new_alarm
from tests.integration.cloud.together import Together

together = Together(at_once=3)

LEASE = SEDATE.lease.total_seconds()
GRACE = SEDATE.restart_grace.total_seconds()


async def begun(cloud: CloudProcess, settings: GroupSettings = SEDATE) -> list[Account]:
    """An account of a cloud of the test's own, which serves from now on."""
    accounts = new_accounts("own", 1)
    await furnish(cloud.data, accounts, settings)
    await asyncio.to_thread(cloud.start)
    return accounts


@contextlib.asynccontextmanager
async def killed(cloud: CloudProcess, scene: Scene) -> AsyncIterator[grpc.aio.Channel]:
    """The cloud ends with -9 and starts again; the receivers and devices speak to it on a new channel."""
    cloud.kill()
    await asyncio.to_thread(cloud.start)
    async with open_channel(cloud.address, None) as channel:
        for device in scene.devices:
            device.channel = channel
        for receiver in scene.receivers:
            receiver.reach(channel)
        yield channel


@together
async def test_f11_nobody_is_moved_and_deliveries_and_holds_are_as_they_were(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account, spares=2)
        await scene.attend()
        old = await scene.host.open_pull()
        await scene.devices[0].publish(zone=1)
        await old.until_zones(1)
        await scene.host.vanish()
        pull = await scene.spare.work()
        await scene.devices[1].publish(zone=2)
        await pull.until_zones(2)
        assert [hold.epoch for hold in (await scene.spare.members()).group.holds] == [1]
        async with killed(own_cloud, scene):
            restarted = time.monotonic()
            await scene.receivers[2].attend()
            await scene.spare.attend()
            await scene.spare.until_working()
            assert scene.spare.epoch == 2
            group = (await scene.spare.members()).group
            assert [(hold.epoch, hold.alarms) for hold in group.holds] == [(1, 1)]
            assert group.backlog == 2
            again = await scene.spare.open_pull()
            await again.until_zones(2)
            await again.confirm(again.number_of(2))
            await scene.devices[0].publish(zone=3)  # behind the one that is held
            await again.until_zones(2, 1, 3)
            assert time.monotonic() - restarted >= LEASE - 1.0  # the hold counts as just renewed
            assert [alarm.attempt for alarm in again.alarms] == [2, 2, 1]
            assert (scene.spare.epoch, scene.receivers[2].works) == (2, False)


@together
async def test_f11_a_holder_that_does_not_come_back_is_lost_after_the_grace(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await scene.attend()
        old = await scene.host.open_pull()
        await scene.devices[0].publish(zone=1)
        await old.until_zones(1)
        async with killed(own_cloud, scene):
            restarted = time.monotonic()
            await scene.spare.attend()
            pull = await scene.spare.work()
            assert scene.spare.epoch == 2
            assert time.monotonic() - restarted >= GRACE - 0.5
            await scene.devices[1].publish(zone=9)
            await pull.until_zones(9)
            await pull.until_zones(9, 1)
            assert time.monotonic() - restarted >= LEASE - 0.5
            # The old holder's confirmation is a fact still.
            stored = await (await scene.host.open_pull(epoch=0)).confirm_ranges([(1, 1)], epoch=1)
            assert not stored.never_delivered
            await until(lambda: pull.withdrawn == [1], "the successor's copy was withdrawn")


@together
async def test_f11_a_superseded_incarnation_stays_refused_and_epochs_only_grow(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account, spares=0)
        await scene.attend()
        anew = scene.host.started_anew()
        await anew.attend()
        await anew.until_working()
        async with killed(own_cloud, scene) as after:
            error = await (await scene.host.attend()).until_ended()
            assert error is not None
            assert error.reason is Reason.INCARNATION_SUPERSEDED
            third = anew.started_anew()
            third.reach(after)
            await third.attend()
            await third.until_working()
            assert third.epoch == 3


@together
async def test_a1_an_answered_alarm_survives_a_kill_right_after_the_answer(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account, spares=0)
        alarms = [new_alarm(zone) for zone in range(1, 101)]
        receipts = []
        async for answer in scene.devices[0].stream([batch(1, alarms)]):
            receipts += [result.receipt for result in answer.results]
        last = new_alarm(101)
        receipts.append(await scene.devices[1].send(last))
        async with killed(own_cloud, scene):
            for alarm, receipt in zip([*alarms, last], receipts, strict=True):
                device = scene.devices[1] if alarm is last else scene.devices[0]
                again = await device.send(alarm)
                assert again.duplicate
                again.duplicate = False
                assert again == receipt
            await scene.host.attend()
            pull = await scene.host.work()
            await pull.until_zones(*range(1, 102))
            assert (await scene.host.members()).group.backlog == 101


@together
async def test_a1_what_was_stored_of_confirmations_survives_a_kill(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account, spares=0)
        pull = await scene.host.work()
        for zone in (1, 2):
            await scene.devices[0].publish(zone)
        await pull.until_zones(1, 2)
        await pull.confirm(1)
        async with killed(own_cloud, scene):
            await scene.host.attend()
            again = await scene.host.work()
            await again.until_zones(2)
            stored = await again.confirm_ranges([(1, 1)], epoch=1)
            assert not stored.never_delivered
            assert (await scene.host.members()).group.backlog == 1


@together
async def test_f11_an_orderly_stop_ends_all_streams_and_tells_so(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await scene.attend()
        pull = await scene.host.open_pull()
        await until(lambda: scene.host.state.pull_id == pull.pull_id, "the cloud has the pull")
        began = time.monotonic()
        assert await asyncio.to_thread(own_cloud.stop) == 0
        assert time.monotonic() - began < 3
        for stream in (scene.host.line, scene.spare.line, pull):
            assert stream is not None
            error = await stream.until_ended()
            assert error is not None
            assert error.reason is Reason.SHUTTING_DOWN
            assert error.retry_after is not None
    seen = await _last_seen(own_cloud, account)
    assert seen == {scene.host.receiver_id, scene.spare.receiver_id}


@together
async def test_f11_a_stale_pull_that_begins_as_the_cloud_stops_does_not_hold_the_stop_up(
    own_cloud: CloudProcess,
) -> None:
    """Of an epoch that is over, so that no group ends it."""
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        host = (await Scene.set(channel, account, spares=0)).host
        began = time.monotonic()
        stop = asyncio.to_thread(lambda: (own_cloud.stop(), time.monotonic() - began))
        stopped = asyncio.create_task(stop)
        while not stopped.done():
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await host.open_pull(epoch=1)
            await asyncio.sleep(0.001)
        code, took = await stopped
        assert code == 0
        assert took < 3


@together
async def test_f11_a_stream_that_begins_as_the_cloud_stops_does_not_hold_the_stop_up(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        host = (await Scene.set(channel, account, spares=0)).host
        await host.work()
        began = time.monotonic()
        # The cloud's own time counts, not that of the last call here, which may find it gone.
        stop = asyncio.to_thread(lambda: (own_cloud.stop(), time.monotonic() - began))
        stopped = asyncio.create_task(stop)
        while not stopped.done():
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await host.open_pull()
            await asyncio.sleep(0.001)
        code, took = await stopped
        assert code == 0
        assert took < 3


@together
async def test_f11_streams_that_wait_for_their_caller_do_not_hold_the_stop_up(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await scene.attend()
        stranger = Receiver(channel, account)
        stale = [await receiver.open_pull(epoch=0) for receiver in (scene.host, scene.spare, stranger)]
        for pull in stale:
            await until(lambda: pull.stale is not None, "it is stale")  # noqa: B023 - it is of this turn
        mute_pull, mute_line = Pull(scene.host, 9), Line(scene.spare, beating=False)
        mute_pull.begin()
        mute_line.begin()
        silent = scene.devices[0].stream_of_nothing()
        await asyncio.sleep(0.2)  # until the calls have reached the cloud
        began = time.monotonic()
        assert await asyncio.to_thread(own_cloud.stop) == 0
        assert time.monotonic() - began < 3
        for stream in (*stale, mute_pull, mute_line):
            error = await stream.until_ended()
            assert error is not None
            assert error.reason is Reason.SHUTTING_DOWN
        silent.cancel()


async def _last_seen(cloud: CloudProcess, account: Account) -> set[str]:
    """Who has been seen, as a cloud tells that was started again."""
    await asyncio.to_thread(cloud.start)
    async with open_channel(cloud.address, None) as channel:
        listed = await Receiver(channel, account).members()
    return {member.receiver.receiver_id for member in listed.members if member.HasField("last_seen_time")}


async def _stands_still(cloud: CloudProcess, seconds: float) -> None:
    cloud.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        cloud.signal(signal.SIGCONT)


@together
async def test_timing_2_a_cloud_that_stood_still_suspects_nobody_who_beat(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await scene.attend()
        await asyncio.sleep(own_cloud.until_judging(SEDATE))
        await _stands_still(own_cloud, SEDATE.suspect_after.total_seconds() + 0.5)
        pull = await scene.host.work()
        await scene.devices[0].publish(zone=1)
        await pull.until_zones(1)
        await asyncio.sleep(GRACE + 0.3)
        assert (scene.host.epoch, scene.spare.works) == (1, False)


@together
async def test_f6_a_hold_that_ends_while_the_cloud_stands_still_is_freed(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await scene.attend()
        old = await scene.host.open_pull()
        await scene.devices[0].publish(zone=1)
        await old.until_zones(1)
        await asyncio.sleep(own_cloud.until_judging(SEDATE))
        await scene.host.vanish()
        pull = await scene.spare.work()
        (hold,) = (await scene.spare.members()).group.holds
        # Not for so long that a keepalive of the channel gives the connection up.
        await asyncio.sleep(hold.remaining.ToTimedelta().total_seconds() - 0.5)
        await _stands_still(own_cloud, 1.2)
        await pull.until_zones(1)
        assert scene.spare.epoch == 2


@together
async def test_timing_2_an_epoch_that_begins_as_the_cloud_wakes_is_stored_and_delivers(own_cloud: CloudProcess) -> None:
    """The drain timeout passes while the cloud stands still: the move that is due then is carried out whole."""
    (account,) = await begun(own_cloud, settings=QUICK)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await scene.attend()
        await asyncio.sleep(own_cloud.until_judging(QUICK))
        await scene.host.vanish()
        await scene.spare.work()
        await scene.host.attend()
        await until(lambda: scene.spare.state.yield_to == scene.host.receiver_id, "it was told to yield")
        await _stands_still(own_cloud, QUICK.drain_timeout.total_seconds() + 0.3)
        pull = await scene.host.work()
        await scene.devices[0].publish(zone=1)
        await pull.until_zones(1)
        assert pull.epochs == [scene.host.epoch]
        await pull.confirm_all()
        epoch = scene.host.epoch
        async with killed(own_cloud, scene):
            listed = await scene.host.members()
            assert (listed.group.epoch, listed.group.backlog) == (epoch, 0)
