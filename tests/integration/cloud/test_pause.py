"""Automatic moves are paused and resumed (F8), and it is shown everywhere."""

import asyncio

import grpc
import pytest

from hotspare.v1 import group_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from tests.integration.cloud.helpers import QUICK, SEDATE, Account, CloudProcess, refused, until
from tests.integration.cloud.operators import MOVE, NOBODY_LEFT, PAUSED, REFUSED, RESUMED, Operator, why
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.test_restart import begun, killed
from tests.integration.cloud.together import Together

together = Together()

LOST = SEDATE.reconnect_grace.total_seconds() + 0.5
"""Seconds after which somebody else would work."""


async def at_work(channel: grpc.aio.Channel, account: Account) -> tuple[Scene, Operator]:
    """A group whose host works in epoch 1, and an operator at its spare."""
    scene = await Scene.set(channel, account)
    await scene.attend()
    return scene, Operator(scene.spare)


@together
async def test_f8_while_paused_a_loss_moves_nobody_and_the_same_receiver_goes_on_after_its_restart(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    await operator.pause("works at the mains")
    await scene.host.vanish()
    line = await operator.until_line(NOBODY_LEFT)
    assert (line.from_receiver_id, "paused" in line.detail) == (scene.host.receiver_id, True)
    await asyncio.sleep(LOST)
    group = await operator.group()
    assert (group.working_receiver_id, group.epoch) == ("", 1)
    assert (await operator.member(scene.spare)).standby_reason in (
        group_pb2.STANDBY_REASON_PAUSED,
        group_pb2.STANDBY_REASON_LOWER_ORDER,
    )
    anew = scene.host.started_anew()
    pull = await anew.work()
    assert anew.epoch == 2
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert await operator.moves() == [
        ("FIRST", "", scene.host.receiver_id),
        ("RESTARTED", scene.host.receiver_id, scene.host.receiver_id),
    ]


@together
async def test_f8_a_pause_is_shown_to_every_member_and_in_the_list(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    assert not scene.spare.state.paused
    group = await operator.pause("works at the mains")
    assert (group.paused, group.paused_by, group.HasField("pause_time")) == (True, "olga", True)
    assert any("paused" in warning for warning in group.warnings)
    for receiver in scene.receivers:
        await until(lambda: receiver.state.paused, "it is told of the pause")  # noqa: B023 - it is of this turn
    line = await operator.until_line(PAUSED)
    assert (line.operator_name, line.detail) == ("olga", "works at the mains")
    group = await operator.resume("done")
    assert (group.paused, group.paused_by, group.HasField("pause_time"), list(group.warnings)) == (False, "", False, [])
    for receiver in scene.receivers:
        await until(lambda: not receiver.state.paused, "it is told of the end")  # noqa: B023 - it is of this turn
    line = await operator.until_line(RESUMED)
    assert (line.operator_name, line.detail) == ("olga", "done")


@together
async def test_f8_pausing_again_keeps_the_first_pause(channel: grpc.aio.Channel, account: Account) -> None:
    scene, olga = await at_work(channel, account)
    first = await olga.pause("first")
    second = await Operator(scene.host, "otto").pause("second")
    assert (second.paused_by, second.pause_time) == ("olga", first.pause_time)
    assert [line.detail for line in await olga.lines(PAUSED)] == ["first"]


@together
async def test_f8_a_resume_of_nothing_is_refused_and_stands_in_the_history(
    channel: grpc.aio.Channel, account: Account
) -> None:
    _, operator = await at_work(channel, account)
    assert (await refused(operator.resume())).reason is Reason.NOT_PAUSED
    line = await operator.until_line(REFUSED)
    assert ("resume" in line.detail, line.operator_name) == (True, "olga")
    await operator.pause()
    await operator.resume()
    assert (await refused(operator.resume())).reason is Reason.NOT_PAUSED


@together
async def test_f8_a_resume_ends_a_pin_though_nothing_is_paused(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    await operator.switch(scene.spare)
    group = await operator.resume()
    assert (group.pinned_receiver_id, group.moving_to_receiver_id) == ("", "")
    await until(lambda: scene.host.state.yield_to == "", "it need not yield any more")


@together
async def test_f8_while_paused_a_switchover_works(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    await operator.pause()
    await operator.switch(scene.spare)
    await scene.host.until_told_to_yield(scene.spare)
    await scene.host.release()
    assert await scene.spare.until_working() == 2
    group = await operator.group()
    assert (group.paused, group.pinned_receiver_id) == (True, scene.spare.receiver_id)
    await scene.spare.vanish()
    await asyncio.sleep(LOST)
    assert (await operator.group()).epoch == 2


@together
async def test_f8_while_paused_a_clean_stop_moves_nobody(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    await operator.pause()
    scene.host.wants_release = True
    await scene.host.release()
    await until(lambda: not scene.host.works, "its epoch has ended")
    await scene.host.vanish()
    await asyncio.sleep(LOST)
    assert not scene.spare.works
    anew = scene.host.started_anew()
    await anew.attend()
    assert await anew.until_working() == 2


@together
async def test_f8_after_a_resume_the_work_that_lay_idle_goes_to_the_next(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    await operator.pause()
    await scene.host.vanish()
    await asyncio.sleep(LOST)
    await operator.resume()
    assert await scene.spare.until_working() == 2
    moved = await operator.until_line(MOVE, 2)
    assert why(moved) == "CONNECTION_LOST"
    assert moved.gap.ToTimedelta().total_seconds() >= LOST


@pytest.mark.parametrize("method", ["PauseFailover", "ResumeFailover"])
async def test_s4_a_long_detail_is_refused(channel: grpc.aio.Channel, account: Account, method: str) -> None:
    _, operator = await at_work(channel, account)
    error = await refused(operator.call(method, detail="x" * 257))
    assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, "detail")


@together
async def test_f11_a_pause_outlives_a_kill_of_the_cloud(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud, settings=QUICK)
    async with open_channel(own_cloud.address, None) as channel:
        scene, operator = await at_work(channel, account)
        before = await operator.pause("night")
        async with killed(own_cloud, scene):
            await scene.spare.attend()
            await until(lambda: scene.spare.state.paused, "it is told of the pause")
            await asyncio.sleep(QUICK.restart_grace.total_seconds() + LOST)
            group = await operator.group()
            assert (group.paused, group.paused_by, group.pause_time) == (True, "olga", before.pause_time)
            assert (group.epoch, group.working_receiver_id, scene.spare.works) == (1, "", False)
            anew = scene.host.started_anew()
            await anew.attend()
            assert await anew.until_working() == 2
