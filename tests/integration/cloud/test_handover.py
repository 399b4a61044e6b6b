"""Planned moves: failback and a clean stop, with nothing lost and nothing sent twice (F4, F5; timing 5)."""

import asyncio
import time

import grpc

from hotspare.v1 import group_pb2
from tests.integration.cloud.helpers import QUICK, Account, until
from tests.integration.cloud.receivers import Pull, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together()

DELAY = QUICK.failback_delay.total_seconds()
DRAIN = QUICK.drain_timeout.total_seconds()


async def release(receiver: Receiver) -> None:
    """Give the work back, as one that has finished."""
    receiver.released_through = receiver.epoch
    assert receiver.line is not None
    await receiver.line.beat()


async def spare_works(channel: grpc.aio.Channel, account: Account) -> tuple[Scene, Pull]:
    """A group whose host is away and whose spare 1 works in epoch 2 and pulls."""
    scene = await Scene.set(channel, account)
    await scene.attend()
    await scene.host.vanish()
    return scene, await scene.spare.work()


async def until_told_to_yield(receiver: Receiver, to: Receiver) -> None:
    """Wait until the cloud says to whom the work is to go."""
    await until(lambda: receiver.works and receiver.state.yield_to == to.receiver_id, "it was told to yield")


@together
async def test_f4_the_host_works_again_after_the_delay_and_nothing_is_delivered_twice(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, pull = await spare_works(channel, quick_account)
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    back = time.monotonic()
    await scene.host.attend()
    listed = (await scene.host.members()).members
    assert listed[0].standby_reason == group_pb2.STANDBY_REASON_FAILBACK_DELAY
    assert listed[0].HasField("failback_time")
    await until_told_to_yield(scene.spare, scene.host)
    assert time.monotonic() - back >= DELAY
    assert (await scene.host.members()).group.moving_to_receiver_id == scene.host.receiver_id
    await scene.devices[0].publish(zone=2)  # from now on it gets nothing new
    await scene.devices[1].publish(zone=3)
    await pull.confirm_all()
    released = time.monotonic()
    await release(scene.spare)
    home = await scene.host.work()
    assert time.monotonic() - released < 0.5
    assert scene.host.epoch == 3
    await home.until_zones(2, 3)
    assert pull.zones == [1]
    assert [alarm.attempt for alarm in home.alarms] == [1, 1]
    assert 2 not in [hold.epoch for hold in (await scene.host.members()).group.holds]
    await until(lambda: pull.stale == 3, "the spare's pull is stale")
    assert (scene.spare.works, scene.spare.state.yield_to) == (False, "")


@together
async def test_f5_what_is_not_finished_at_a_release_goes_on_at_once(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, pull = await spare_works(channel, quick_account)
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    await scene.host.attend()
    await until_told_to_yield(scene.spare, scene.host)
    released = time.monotonic()
    await release(scene.spare)
    home = await scene.host.work()
    await home.until_zones(1)
    assert time.monotonic() - released < 0.5  # a release is proof


@together
async def test_f5_after_the_drain_timeout_it_goes_on_as_a_loss(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, pull = await spare_works(channel, quick_account)
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    await scene.host.attend()
    await until_told_to_yield(scene.spare, scene.host)
    told = time.monotonic()
    home = await scene.host.work()
    assert time.monotonic() - told >= DRAIN - 0.1
    holds = {hold.epoch: hold.alarms for hold in (await scene.host.members()).group.holds}
    assert holds[2] == 1
    await scene.devices[1].publish(zone=9)
    await home.until_zones(9)
    await home.until_zones(9, 1)
    line = scene.spare.line
    assert line is not None
    leases = [state for state in line.states if state.epoch == 3 and state.HasField("lease")]
    assert (leases, pull.stale) == ([], 3)


@together
async def test_timing_5_when_the_target_is_lost_the_holder_goes_on(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, pull = await spare_works(channel, quick_account)
    await scene.host.attend()
    await until_told_to_yield(scene.spare, scene.host)
    await scene.host.vanish()
    await until(lambda: scene.spare.state.yield_to == "", "it need not yield any more")
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert scene.spare.epoch == 2


@together
async def test_timing_5_a_release_whose_target_is_lost_chooses_again(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, _ = await spare_works(channel, quick_account)
    await scene.host.attend()
    await until_told_to_yield(scene.spare, scene.host)
    await scene.host.vanish()
    await release(scene.spare)
    # Whichever the cloud hears of first, the end of the host's streams or the release.
    await until(lambda: scene.spare.epoch >= 3, "it works again, in a later epoch")
    await scene.devices[0].publish(zone=1)
    await (await scene.spare.open_pull()).until_zones(1)


@together
async def test_f5_a_clean_stop_hands_over_to_the_next(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    scene.host.wants_release = True
    await until_told_to_yield(scene.host, scene.spare)
    await pull.confirm_all()
    began = time.monotonic()
    await release(scene.host)
    successor = await scene.spare.work()
    assert time.monotonic() - began < 0.5
    await scene.devices[0].publish(zone=2)
    await successor.until_zones(2)
    await asyncio.sleep(0.3)
    assert (scene.spare.epoch, scene.host.works) == (2, False)


@together
async def test_f5_a_clean_stop_of_the_last_one_ends_its_epoch_and_the_alarms_wait(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    scene.host.wants_release = True
    await release(scene.host)
    await until(lambda: pull.stale is not None, "its epoch ended")
    await scene.host.vanish()
    anew = scene.host.started_anew()
    home = await anew.work()
    assert anew.epoch == 2
    await home.until_zones(1)


@together
async def test_f4_a_host_that_comes_and_goes_counts_anew(channel: grpc.aio.Channel, quick_account: Account) -> None:
    scene, _ = await spare_works(channel, quick_account)
    await scene.host.attend()
    await asyncio.sleep(DELAY / 2)
    await scene.host.vanish()
    await asyncio.sleep(QUICK.reconnect_grace.total_seconds() + 0.1)
    back = time.monotonic()
    await scene.host.attend()
    await until_told_to_yield(scene.spare, scene.host)
    assert time.monotonic() - back >= DELAY
