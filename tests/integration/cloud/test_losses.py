"""One that keeps getting lost is held back, and that is shown (F9)."""

import asyncio

import grpc

from hotspare.v1 import group_pb2
from hotspare_rpc.channel import open_channel
from tests.integration.cloud.helpers import QUICK, Account, CloudProcess, until_asked
from tests.integration.cloud.operators import HELD_BACK, MOVE, Operator, why
from tests.integration.cloud.receivers import Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.test_restart import begun, killed
from tests.integration.cloud.together import Together

together = Together()

DELAY = QUICK.failback_delay.total_seconds()


async def lost_twice(channel: grpc.aio.Channel, account: Account) -> tuple[Scene, Operator, Receiver]:
    """A group in which two losses in an hour are too many, and whose host was lost twice; its spare works."""
    scene = await Scene.set(channel, account)
    operator = Operator(scene.spare)
    await operator.set(losses_per_hour=2)
    await scene.attend()
    await scene.host.vanish()
    await scene.spare.until_working()
    anew = scene.host.started_anew()
    await anew.attend()
    await scene.spare.until_told_to_yield(anew)
    await scene.spare.release()
    await anew.until_working()
    assert (await operator.member(anew)).losses == 1
    await anew.vanish()
    await scene.spare.until_working()
    third = anew.started_anew()
    await third.attend()
    return scene, operator, third


async def stays_held_back(operator: Operator, host: Receiver, spare: Receiver) -> None:
    """It is there, well, and not told to take over although the delay has passed."""
    fits = group_pb2.STANDBY_REASON_HELD_BACK
    await until_asked(lambda: operator.member(host), lambda member: member.standby_reason == fits, "it is held back")
    await asyncio.sleep(2 * DELAY)
    member = await operator.member(host)
    assert (member.held_back, member.losses, member.HasField("failback_time")) == (True, 2, False)
    assert (spare.works, spare.state.yield_to) == (True, "")


@together
async def test_f9_one_that_was_lost_too_often_is_held_back_until_a_resume(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, operator, host = await lost_twice(channel, quick_account)
    await stays_held_back(operator, host, scene.spare)
    line = await operator.until_line(HELD_BACK)
    assert (line.from_receiver_id, line.detail) == (host.receiver_id, "lost 2 times within an hour")
    await operator.resume()
    member = await operator.member(host)
    assert (member.held_back, member.losses) == (False, 0)
    await scene.spare.until_told_to_yield(host)


@together
async def test_f9_one_that_is_held_back_takes_over_all_the_same(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, operator, host = await lost_twice(channel, quick_account)
    await stays_held_back(operator, host, scene.spare)
    await scene.spare.vanish()
    await host.until_working()
    assert why(await operator.until_line(MOVE, 5)) == "CONNECTION_LOST"
    assert (await operator.member(host)).held_back


@together
async def test_f9_losses_and_who_is_held_back_outlive_a_kill_of_the_cloud(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud, settings=QUICK)
    async with open_channel(own_cloud.address, None) as channel:
        scene, operator, host = await lost_twice(channel, account)
        await stays_held_back(operator, host, scene.spare)
        async with killed(own_cloud, scene) as after:
            host.reach(after)
            for receiver in (host, scene.spare):
                await receiver.attend()
            await scene.spare.until_working()
            await asyncio.sleep(QUICK.restart_grace.total_seconds())
            await stays_held_back(operator, host, scene.spare)
            assert len(await operator.lines(HELD_BACK)) == 1
