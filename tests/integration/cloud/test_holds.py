"""What was in flight when an epoch ended waits until its holder has surely stopped (F3, F6, A3; timing 2)."""

import asyncio
import time

import grpc

from hotspare.v1 import group_pb2
from hotspare_model.group import GroupSettings
from tests.integration.cloud.helpers import SEDATE, Account, CloudProcess, until
from tests.integration.cloud.receivers import Pull, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together()

LEASE = SEDATE.lease.total_seconds()


async def in_flight(channel: grpc.aio.Channel, account: Account, spares: int = 1) -> tuple[Scene, Pull]:
    """A group whose host works and has alarm 1 of the first device in flight."""
    scene = await Scene.set(channel, account, spares=spares)
    await scene.attend()
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    return scene, pull


async def stop_beating(receiver: Receiver) -> float:
    """Send one more beat, see it granted, and fall silent; return when that beat was sent."""
    line = receiver.line
    assert line is not None
    line.beating = False
    sent = time.monotonic()
    number = await line.beat()
    await until(lambda: line.answer_to(number), "the last beat was answered")
    return sent


async def hold_epochs(receiver: Receiver) -> list[int]:
    """The epochs whose holds last."""
    return [hold.epoch for hold in (await receiver.members()).group.holds]


@together
async def test_f6_what_was_in_flight_and_what_follows_of_its_device_wait_for_the_lease(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, _ = await in_flight(channel, account)
    sent = await stop_beating(scene.host)
    await scene.host.vanish()
    pull = await scene.spare.work()
    await scene.devices[0].publish(zone=2)  # behind the one in flight
    await scene.devices[1].publish(zone=9)  # of a device that is free
    await pull.until_zones(9)
    assert time.monotonic() - sent < LEASE
    (hold,) = (await scene.spare.members()).group.holds
    assert (hold.epoch, hold.receiver_id, hold.alarms) == (1, scene.host.receiver_id, 1)
    assert 0 < hold.remaining.ToTimedelta().total_seconds() <= LEASE
    await pull.until_zones(9, 1, 2)
    assert time.monotonic() - sent >= LEASE
    assert [alarm.attempt for alarm in pull.alarms] == [1, 2, 1]
    assert [alarm.maybe_sent for alarm in pull.alarms] == [False, True, False]
    assert await hold_epochs(scene.spare) == []


@together
async def test_f6_nothing_is_held_where_nothing_was_in_flight(channel: grpc.aio.Channel, account: Account) -> None:
    scene, old = await in_flight(channel, account)
    await old.confirm_all()
    sent = await stop_beating(scene.host)
    await scene.host.vanish()
    pull = await scene.spare.work()
    await scene.devices[0].publish(zone=2)
    await pull.until_zones(2)
    assert time.monotonic() - sent < LEASE


@together
async def test_f7_a_late_release_of_the_old_holder_ends_its_hold(channel: grpc.aio.Channel, account: Account) -> None:
    scene, _ = await in_flight(channel, account)
    sent = await stop_beating(scene.host)
    await scene.host.vanish()
    pull = await scene.spare.work()
    assert await hold_epochs(scene.spare) == [1]
    scene.host.released_through = 1
    await (await scene.host.attend(beating=False)).beat()
    await pull.until_zones(1)
    assert time.monotonic() - sent < LEASE


@together
async def test_timing_2_a_release_of_a_later_holder_frees_nothing_of_an_earlier_one(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, _ = await in_flight(channel, account, spares=2)
    host, first, second = scene.receivers
    sent = await stop_beating(host)
    await host.vanish()
    pull = await first.work()
    await scene.devices[1].publish(zone=9)
    await pull.until_zones(9)
    await first.vanish()
    last = await second.work()
    assert await hold_epochs(second) == [1, 2]
    first.released_through = 2
    await (await first.attend(beating=False)).beat()
    await last.until_zones(9)
    assert await hold_epochs(second) == [1]
    assert time.monotonic() - sent < LEASE
    await last.until_zones(9, 1)
    assert time.monotonic() - sent >= LEASE


@together
async def test_timing_2_a_restart_proves_all_epochs_of_that_receiver(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, _ = await in_flight(channel, account)
    sent = await stop_beating(scene.host)
    await scene.host.vanish()
    pull = await scene.spare.work()
    assert await hold_epochs(scene.spare) == [1]
    await scene.host.started_anew().attend(beating=False)
    await pull.until_zones(1)
    assert time.monotonic() - sent < LEASE
    assert scene.spare.epoch == 2


@together
async def test_a3_a_device_keeps_its_order_across_two_losses(channel: grpc.aio.Channel, account: Account) -> None:
    scene, old = await in_flight(channel, account, spares=2)
    for zone in (2, 3):
        await scene.devices[0].publish(zone)
    await old.until_zones(1, 2, 3)
    await old.confirm(old.number_of(1))
    await scene.host.vanish()
    await scene.devices[0].publish(zone=4)
    await scene.spare.work()
    await scene.spare.vanish()
    await scene.devices[0].publish(zone=5)
    last = await scene.receivers[2].work()
    await last.until_zones(2, 3, 4, 5)


@together
async def test_f6_the_window_of_the_successor_is_not_taken_up_by_what_is_held(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, old = await in_flight(channel, account)
    for zone in (2, 3, 4):
        await scene.devices[0].publish(zone)
    await old.until_zones(1, 2, 3, 4)
    await scene.host.vanish()
    pull = await scene.spare.work(window=2)
    for zone in (8, 9):
        await scene.devices[1].publish(zone)
    await pull.until_zones(8, 9)
    await pull.confirm_all()
    await pull.until_zones(8, 9, 1, 2)


@together
async def test_f4_a_spare_that_leaves_while_it_works_hands_its_alarms_on(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=2)
    host, first, second = scene.receivers
    await scene.attend()
    await host.vanish()
    pull = await first.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    began = time.monotonic()
    line = first.line
    await first.leave(released_through=2)
    last = await second.work()
    await last.until_zones(1)
    assert time.monotonic() - began < SEDATE.reconnect_grace.total_seconds() + 0.5  # released: nothing waits
    assert second.epoch == 3
    assert line is not None
    await line.until_ended()
    listed = await second.members()
    assert [member.role for member in listed.members] == [group_pb2.ROLE_HOST, group_pb2.ROLE_SPARE_2]


@together
async def test_f6_one_that_leaves_without_a_release_is_waited_for(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=2)
    host, first, second = scene.receivers
    await scene.attend()
    await host.vanish()
    pull = await first.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    sent = await stop_beating(first)
    await first.leave()
    last = await second.work()
    assert 2 in await hold_epochs(second)
    await last.until_zones(1)
    assert time.monotonic() - sent >= LEASE


@together
async def test_timing_8_the_default_times_are_kept(
    cloud: CloudProcess, channel: grpc.aio.Channel, default_accounts: list[Account]
) -> None:
    """Three groups at once: a death, a hang, and a restart."""
    await asyncio.sleep(cloud.until_judging(GroupSettings()))

    async def death() -> None:
        scene, _ = await in_flight(channel, default_accounts[0])
        sent = await stop_beating(scene.host)
        gone = time.monotonic()
        await scene.host.vanish()
        pull = await scene.spare.work()
        await scene.devices[1].publish(zone=9)
        await pull.until_zones(9)
        assert 1.0 <= time.monotonic() - gone < 2.5
        await pull.until_zones(9, 1)
        assert 6.0 <= time.monotonic() - sent < 7.5

    async def hang() -> None:
        scene, _ = await in_flight(channel, default_accounts[1])
        sent = await stop_beating(scene.host)
        pull = await scene.spare.work()
        await scene.devices[1].publish(zone=9)
        await pull.until_zones(9)
        assert 3.0 <= time.monotonic() - sent < 4.5
        await pull.until_zones(9, 1)
        assert 6.0 <= time.monotonic() - sent < 7.5

    async def restart() -> None:
        scene, _ = await in_flight(channel, default_accounts[2])
        await scene.host.vanish()
        began = time.monotonic()
        pull = await scene.host.started_anew().work()
        await pull.until_zones(1)
        assert time.monotonic() - began < 1.0

    await asyncio.gather(death(), hang(), restart())
