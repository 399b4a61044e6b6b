"""Links that carry one way only, or slowly (timing 4): who hears the cloud, and when one that does not is lost."""

import asyncio
import time

import grpc

from hotspare_model.group import GroupSettings
from tests.integration.cloud.helpers import SEDATE, Account, CloudProcess, until
from tests.integration.cloud.operators import MOVE, Operator, why
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together()

SUSPECT = SEDATE.suspect_after.total_seconds()


@together
async def test_f3_one_that_beats_and_does_not_hear_is_lost_suspect_after_the_newest_state_that_it_heard(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    pull = await scene.host.open_pull()
    assert scene.host.line is not None
    await asyncio.sleep(0.5)
    deaf = time.monotonic()
    scene.host.line.go_deaf()
    await scene.spare.until_working()
    assert SUSPECT - 0.25 <= time.monotonic() - deaf < SUSPECT + 0.6
    assert why(await Operator(scene.spare).until_line(MOVE, 2)) == "SILENT"
    await until(lambda: pull.stale == 2, "its pull is stale")


@together
async def test_f3_one_that_hears_again_in_time_is_not_lost(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    line = scene.host.line
    assert line is not None
    await asyncio.sleep(0.5)
    for _ in range(3):
        line.go_deaf()
        await asyncio.sleep(SUSPECT - 0.5)
        line.deaf_since = None
        await asyncio.sleep(0.5)
    await asyncio.sleep(SUSPECT)
    assert (scene.host.works, scene.host.epoch, scene.spare.works) == (True, 1, False)


@together
async def test_f3_a_round_trip_of_a_second_and_a_half_is_no_loss_by_the_default_times(
    cloud: CloudProcess, channel: grpc.aio.Channel, default_accounts: list[Account]
) -> None:
    scene = await Scene.set(channel, default_accounts[0])
    await scene.attend()
    await asyncio.sleep(cloud.until_judging(GroupSettings()))
    line = scene.host.line
    assert line is not None
    line.beating = False
    line.slow = 1.5
    for _ in range(10):
        await line.beat()
        await asyncio.sleep(GroupSettings().beat.total_seconds())
    assert (scene.host.works, scene.host.epoch, scene.spare.works) == (True, 1, False)
    granted = [state for state in line.states if state.HasField("lease")]
    assert granted[-1].answers_beat >= scene.host.beats - 1
