"""A receiver that is there and could not deliver is no receiver (F1, F3), and when it may return (F4)."""

import asyncio

import grpc
import pytest

from hotspare.v1 import group_pb2
from tests.integration.cloud.helpers import QUICK, Account, until, until_asked
from tests.integration.cloud.operators import MOVE, Operator, why
from tests.integration.cloud.receivers import Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together()

DRAIN = QUICK.drain_timeout.total_seconds()
DELAY = QUICK.failback_delay.total_seconds()


async def at_work(channel: grpc.aio.Channel, account: Account, spares: int = 1) -> tuple[Scene, Operator]:
    """A group whose host works in epoch 1, and an operator at its spare 1."""
    scene = await Scene.set(channel, account, spares=spares)
    await scene.attend()
    return scene, Operator(scene.spare)


@together
async def test_f3_a_holder_that_can_not_deliver_hands_over_to_the_next_healthy_one(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account, spares=2)
    two = scene.receivers[2]
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    scene.spare.fall_ill()
    await until_asked(lambda: operator.member(scene.spare), lambda member: member.health.problems, "it is ill")
    scene.host.fall_ill()
    await scene.host.until_told_to_yield(two)
    await scene.host.release()
    there = await two.work()
    await there.until_zones(1)
    moved = await operator.until_line(MOVE, 2)
    assert (why(moved), moved.planned, moved.gap.ToTimedelta().total_seconds()) == ("UNHEALTHY", False, 0)
    assert not (await operator.group()).holds
    assert (await operator.member(scene.host)).losses == 1
    assert (await operator.member(scene.host)).standby_reason == group_pb2.STANDBY_REASON_UNHEALTHY


@together
async def test_f3_an_ill_holder_that_does_not_release_is_left_with_a_hold(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    scene.host.fall_ill()
    there = await scene.spare.work()
    assert why(await operator.until_line(MOVE, 2)) == "UNHEALTHY"
    assert [(hold.epoch, hold.alarms) for hold in (await operator.group()).holds] == [(1, 1)]
    await there.until_zones(1)
    assert pull.stale == 2


@together
async def test_f1_where_none_is_healthier_nothing_moves(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    pull = await scene.host.open_pull()
    for receiver in reversed(scene.receivers):
        receiver.fall_ill()
        await until_asked(lambda: operator.member(receiver), lambda member: member.health.problems)  # noqa: B023
    await asyncio.sleep(DRAIN + 0.3)
    assert (scene.host.works, scene.host.state.yield_to, scene.host.epoch) == (True, "", 1)
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)


@together
async def test_f1_at_a_cold_start_an_ill_one_begins_and_moves_on_when_a_healthy_one_comes(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    operator = Operator(scene.spare)
    scene.host.fall_ill()
    await scene.host.attend()
    assert await scene.host.until_working() == 1
    await scene.spare.attend()
    await scene.host.until_told_to_yield(scene.spare)
    await scene.host.release()
    assert await scene.spare.until_working() == 2
    assert why(await operator.until_line(MOVE, 2)) == "UNHEALTHY"
    assert (await operator.member(scene.host)).losses == 0


@together
async def test_f3_a_beat_without_health_counts_as_not_healthy(channel: grpc.aio.Channel, account: Account) -> None:
    scene, _ = await at_work(channel, account)
    scene.host.says["health"] = None
    await scene.host.until_told_to_yield(scene.spare)


@pytest.mark.parametrize(
    "state", [group_pb2.SYNC_STATE_BEHIND, group_pb2.SYNC_STATE_DIVERGED, group_pb2.SYNC_STATE_UPLOADING]
)
async def test_f4_a_host_that_is_behind_the_cloud_does_not_return_and_one_that_uploads_does(
    channel: grpc.aio.Channel, quick_account: Account, state: group_pb2.SyncState.ValueType
) -> None:
    scene, operator = await at_work(channel, quick_account)
    await scene.host.vanish()
    await scene.spare.until_working()
    anew = scene.host.started_anew()
    anew.says["sync_state"] = state
    await anew.attend()
    if state != group_pb2.SYNC_STATE_UPLOADING:
        await asyncio.sleep(2 * DELAY)
        assert scene.spare.state.yield_to == ""
        assert (await operator.member(anew)).standby_reason == group_pb2.STANDBY_REASON_NOT_IN_SYNC
        anew.says["sync_state"] = group_pb2.SYNC_STATE_UP_TO_DATE
        fits = group_pb2.STANDBY_REASON_FAILBACK_DELAY
        await until_asked(lambda: operator.member(anew), lambda member: member.standby_reason == fits)
    await scene.spare.until_told_to_yield(anew)


@together
async def test_f4_a_spare_returns_only_in_sync(channel: grpc.aio.Channel, quick_account: Account) -> None:
    scene, _ = await at_work(channel, quick_account, spares=2)
    two = scene.receivers[2]
    await scene.host.vanish()
    await scene.spare.until_working()
    await scene.spare.vanish()
    await two.until_working()
    anew = scene.spare.started_anew()
    anew.says["sync_state"] = group_pb2.SYNC_STATE_VERSION_DIFFERS
    await anew.attend()
    await asyncio.sleep(2 * DELAY)
    assert two.state.yield_to == ""
    assert (await Operator(two).member(anew)).standby_reason == group_pb2.STANDBY_REASON_NOT_IN_SYNC
    anew.says["sync_state"] = group_pb2.SYNC_STATE_UP_TO_DATE
    await two.until_told_to_yield(anew)


# The pull.


async def pulls_lost(scene: Scene, receiver: Receiver) -> None:
    """Twice the pull of the one that works gets lost: it opens one, and its beats tell of none."""
    receiver.says["pull_id"] = 0
    for _ in range(2):
        pull = await receiver.open_pull()
        assert await pull.until_ended() is not None


@together
async def test_timing_4_two_pulls_in_a_row_that_got_lost_make_it_hand_over(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    await pulls_lost(scene, scene.host)
    await scene.host.until_told_to_yield(scene.spare)
    await scene.host.release()
    assert await scene.spare.until_working() == 2
    assert why(await operator.until_line(MOVE, 2)) == "UNHEALTHY"


@together
async def test_timing_4_one_pull_that_got_lost_moves_nobody(channel: grpc.aio.Channel, account: Account) -> None:
    scene, _ = await at_work(channel, account)
    for zone in (1, 2):
        scene.host.says["pull_id"] = 0
        lost = await scene.host.open_pull()
        assert await lost.until_ended() is not None
        scene.host.says.clear()
        pull = await scene.host.open_pull()
        await scene.devices[0].publish(zone=zone)
        await until(lambda: zone in pull.zones, "it came")  # noqa: B023 - it is of this turn
        await pull.confirm_all()
    await asyncio.sleep(0.5)
    assert (scene.host.works, scene.host.state.yield_to, scene.host.epoch) == (True, "", 1)


@together
async def test_timing_4_one_whose_pulls_got_lost_is_well_again_after_its_restart(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, operator = await at_work(channel, quick_account)
    await pulls_lost(scene, scene.host)
    await scene.host.until_told_to_yield(scene.spare)
    await scene.host.release()
    await scene.spare.until_working()
    await scene.host.vanish()
    anew = scene.host.started_anew()
    await anew.attend()
    member = await until_asked(lambda: operator.member(anew), lambda member: member.standby_reason)
    assert member.standby_reason == group_pb2.STANDBY_REASON_FAILBACK_DELAY
    await scene.spare.until_told_to_yield(anew)


@together
async def test_timing_4_one_whose_pulls_got_lost_fails_back_once_it_has_handed_over(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, operator = await at_work(channel, quick_account)
    await pulls_lost(scene, scene.host)
    await scene.host.until_told_to_yield(scene.spare)
    await scene.host.release()
    await scene.spare.until_working()
    scene.host.says.clear()
    assert (await operator.member(scene.host)).losses == 1
    await scene.spare.until_told_to_yield(scene.host)
