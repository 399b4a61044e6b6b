"""A take-over and a return are told to the ARC as events of the receiver's own, once each (F10)."""

import asyncio
import contextlib
import time
from itertools import pairwise

import grpc

from hotspare.v1 import alarm_pb2
from hotspare_rpc.channel import open_channel
from tests.integration.cloud.helpers import SEDATE, Account, CloudProcess, query, until
from tests.integration.cloud.operators import Operator
from tests.integration.cloud.receivers import ROLES, Pull, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.test_restart import begun, killed
from tests.integration.cloud.together import Together

together = Together()

NEW, RESTORE = alarm_pb2.QUALIFIER_NEW, alarm_pb2.QUALIFIER_RESTORE
MOMENTS = (0.0, 0.002, 0.004, 0.007, 0.012, 0.02, 0.04, 0.08, 0.5)
"""Seconds after the end of `reconnect_grace`: from before the commit of the move to after it."""
NUMBERS = ("7001", "7002", "7003", "7004")


async def set_scene(channel: grpc.aio.Channel, account: Account, spares: int = 1) -> Scene:
    """A group whose receivers have account numbers of their own."""
    scene = await Scene.set(channel, account, spares=0)
    scene.host.info["own_account_number"] = NUMBERS[0]
    for number, role in zip(NUMBERS[1 : spares + 1], ROLES[1:], strict=False):
        spare = Receiver(channel, account, own_account_number=number)
        await spare.join(role)
        scene.receivers = [*scene.receivers, spare]
    return scene


def events(pull: Pull) -> list[tuple[str, int, str]]:
    """The events of receivers that came: account number, qualifier, code."""
    stored = [alarm.stored for alarm in pull.alarms if alarm.stored.alarm.device_id.startswith("receiver:")]
    return [(each.account_number, each.alarm.qualifier, each.alarm.code) for each in stored]


async def until_events(pull: Pull, *wanted: tuple[str, int, str]) -> None:
    """Wait until exactly these have come, in this order."""
    await until(lambda: len(events(pull)) >= len(wanted), f"{wanted} came, not {events(pull)}")
    assert events(pull) == list(wanted)


@together
async def test_f10_a_take_over_and_a_return_are_told_once_each_under_the_number_of_the_one_that_works(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene = await set_scene(channel, quick_account)
    await scene.attend()
    first = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await first.until_zones(1)
    await first.confirm_all()
    assert events(first) == []
    await scene.host.vanish()
    there = await scene.spare.work()
    await until_events(there, ("7002", NEW, "399"))
    event = there.alarms[0].stored
    assert (event.alarm.device_id, event.account_sequence) == (f"receiver:{scene.spare.receiver_id}", 1)
    assert "epoch 2" in event.alarm.text
    assert "CONNECTION_LOST" in event.alarm.text
    assert event.path == alarm_pb2.ALARM_PATH_SYSTEM
    await there.confirm_all()
    anew = scene.host.started_anew()
    await anew.attend()
    await scene.spare.until_told_to_yield(anew)
    await scene.spare.release()
    home = await anew.work()
    await until_events(home, ("7001", RESTORE, "399"))
    await home.confirm_all()
    await scene.devices[0].publish(zone=2)
    await until(lambda: 2 in home.zones, "the next came")
    assert events(home) == [("7001", RESTORE, "399")]
    assert events(there) == [("7002", NEW, "399")]


@together
async def test_f10_down_to_spare_2_and_up_to_spare_1(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await set_scene(channel, account, spares=2)
    _, one, two = scene.receivers
    await scene.attend()
    await scene.host.vanish()
    await one.until_working()
    await one.vanish()
    pull = await two.work()
    await until_events(pull, ("7002", NEW, "399"), ("7003", NEW, "399"))
    await pull.confirm_all()
    anew = one.started_anew()
    await anew.attend()
    await two.vanish()
    there = await anew.work()
    await until_events(there, ("7002", RESTORE, "399"))


@together
async def test_f10_none_for_a_restart_of_the_same_receiver(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await set_scene(channel, account)
    await scene.attend()
    anew = scene.host.started_anew()
    pull = await anew.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert (anew.epoch, events(pull)) == (2, [])


@together
async def test_f10_none_without_an_account_number_of_its_own(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    await scene.host.vanish()
    pull = await scene.spare.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert (await scene.spare.members()).group.backlog == 1


@together
async def test_f10_the_code_is_a_setting(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await set_scene(channel, account)
    await scene.attend()
    await Operator(scene.host).set(takeover_event_code="355")
    await asyncio.sleep(2.0)  # after a change nobody is judged for a moment
    await scene.host.vanish()
    await until_events(await scene.spare.work(), ("7002", NEW, "355"))


@together
async def test_f10_the_event_waits_for_the_next_one_when_its_own_receiver_is_lost(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await set_scene(channel, account, spares=2)
    await scene.attend()
    await scene.host.vanish()
    pull = await scene.spare.work()
    await until_events(pull, ("7002", NEW, "399"))
    await scene.spare.vanish()
    there = await scene.receivers[2].work()
    # What was out is held; the event of the second move is of another device.
    await until_events(there, ("7003", NEW, "399"), ("7002", NEW, "399"))
    await there.confirm_all()
    assert (await scene.receivers[2].members()).group.backlog == 0


@together
async def test_f10_with_the_cloud_killed_at_any_moment_of_the_move_none_is_lost_and_none_told_twice(
    own_cloud: CloudProcess,
) -> None:
    (account,) = await begun(own_cloud, settings=SEDATE)
    async with contextlib.AsyncExitStack() as channels:
        scene = await set_scene(await channels.enter_async_context(open_channel(own_cloud.address, None)), account)
        await scene.attend()
        working, other = scene.host, scene.spare
        before = 0
        for moment, late in enumerate(MOMENTS):
            lost = time.monotonic()
            await working.vanish()
            at = lost + SEDATE.reconnect_grace.total_seconds() + late
            await asyncio.sleep(at - time.monotonic())
            after = await channels.enter_async_context(killed(own_cloud, scene))
            before += len(told(own_cloud)) > moment
            check_events(own_cloud)
            other.reach(after)
            await other.attend()
            await other.until_working()
            check_events(own_cloud)
            assert len(told(own_cloud)) == moment + 1
            working.reach(after)
            working, other = other, working.started_anew()
            await other.attend()
        assert 0 < before < len(MOMENTS), "the kills came on one side of the commits only"


def told(cloud: CloudProcess) -> list[str]:
    """The events in the store: by which receivers."""
    rows = query(cloud.data, "SELECT device_id FROM alarm WHERE device_id LIKE 'receiver:%' ORDER BY number")
    return [device_id.removeprefix("receiver:") for (device_id,) in rows]


def check_events(cloud: CloudProcess) -> None:
    """Each move from one place in the order to another has its event, and each move its line."""
    epochs = query(cloud.data, "SELECT receiver_id, role FROM epoch ORDER BY epoch")
    moved = [after for before, after in pairwise(epochs) if before[1] != after[1]]
    assert told(cloud) == [receiver_id for receiver_id, _ in moved]
    lines = query(cloud.data, "SELECT to_receiver_id FROM history WHERE kind = 'MOVE' ORDER BY number")
    assert [line for (line,) in lines] == [receiver_id for receiver_id, _ in epochs]
