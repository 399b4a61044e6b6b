"""What odd callers do changes nothing, and stands where an operator looks for it (S4, F7)."""

import asyncio

import grpc

from hotspare.v1 import group_pb2
from hotspare_model.errors import Reason
from tests.integration.cloud.helpers import SEDATE, Account, refused, until, until_asked
from tests.integration.cloud.operators import DUPLICATE_REFUSED, MOVE, REFUSED, Operator
from tests.integration.cloud.receivers import HOST
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together()


async def at_work(channel: grpc.aio.Channel, account: Account) -> tuple[Scene, Operator]:
    """A group whose host works in epoch 1, and an operator at its spare."""
    scene = await Scene.set(channel, account)
    await scene.attend()
    return scene, Operator(scene.spare)


@together
async def test_f7_an_epoch_from_the_future_is_one_line_whatever_it_is_and_renews_nothing(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    line = scene.spare.line
    assert line is not None
    for epoch in (99, 10**6, 2**64 - 1):
        line.claims_epoch = epoch
        number = await line.beat()
        await until(lambda: line.answer_to(number), "it was answered")  # noqa: B023
        answer = line.answer_to(number)
        assert answer is not None
        assert (answer.HasField("lease"), answer.epoch) == (False, 1)
    await asyncio.sleep(0.5)
    (told,) = await operator.lines(REFUSED)
    assert (told.from_receiver_id, "epoch 99" in told.detail) == (scene.spare.receiver_id, True)
    assert (await operator.group()).epoch == 1
    assert scene.host.works


@together
async def test_f7_a_holder_that_names_an_epoch_from_the_future_is_lost_and_another_works(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    assert scene.host.line is not None
    scene.host.line.claims_epoch = 99
    assert await scene.spare.until_working() == 2
    (told,) = [line for line in await operator.lines(REFUSED) if "epoch 99" in line.detail]
    assert told.from_receiver_id == scene.host.receiver_id


@together
async def test_f3_one_that_sends_no_echo_is_warned_about_and_gets_nothing(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    scene.spare.says |= {"echo_boot": "", "echo_number": 0}
    member = await until_asked(lambda: operator.member(scene.spare), lambda member: member.warnings, "it is warned")
    assert member.status == group_pb2.MEMBER_STATUS_OFFLINE
    assert "does not hear the cloud" in member.warnings[0]
    told = await operator.until_line(REFUSED)
    assert (told.from_receiver_id, "does not hear" in told.detail) == (scene.spare.receiver_id, True)
    await scene.host.vanish()
    await asyncio.sleep(SEDATE.reconnect_grace.total_seconds() + 0.5)
    assert (scene.spare.works, (await operator.group()).epoch) == (False, 1)
    scene.spare.says.clear()
    assert await scene.spare.until_working() == 2
    assert list((await operator.member(scene.spare)).warnings) == []


@together
async def test_f3_a_second_process_with_the_id_of_a_member_is_one_line_however_often_it_tries(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    copies = [
        (scene.host.started_anew(machine_id="another-machine"), Reason.MACHINE_MISMATCH),
        (scene.host.started_anew(folder_id="another-folder"), Reason.MACHINE_MISMATCH),
    ]
    for count, (copy, reason) in enumerate(copies, start=1):
        for _ in range(4):
            error = await (await copy.attend()).until_ended()
            assert error is not None
            assert error.reason is reason
        told = await operator.lines(DUPLICATE_REFUSED)
        assert len(told) == count
        assert told[-1].from_receiver_id == scene.host.receiver_id
        assert told[-1].from_role == HOST
    assert "machine" in told[0].detail
    assert "folder" in told[1].detail
    assert (scene.host.works, scene.host.epoch) == (True, 1)


@together
async def test_f3_a_superseded_process_is_one_line_and_moves_nobody(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    anew = scene.host.started_anew()
    await anew.attend()
    await anew.until_working()
    for _ in range(3):
        error = await (await scene.host.attend()).until_ended()
        assert error is not None
        assert error.reason is Reason.INCARNATION_SUPERSEDED
    assert len(await operator.lines(DUPLICATE_REFUSED)) == 1
    assert len(await operator.lines(MOVE)) == 2
    assert anew.works


@together
async def test_s4_hostile_words_in_what_a_receiver_says_of_itself_are_escaped_in_the_history(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    copy = scene.host.started_anew(machine_id="other\nmachine")
    copy.info = {"name": "host\x1b[31m\n2030 all is well\u202e"}
    await (await copy.attend()).until_ended()
    (told,) = await operator.lines(DUPLICATE_REFUSED)
    assert told.detail.isprintable()


@together
async def test_s4_a_flood_of_beats_costs_no_line_and_moves_nobody(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    lines = [receiver.line for receiver in scene.receivers]
    for _ in range(300):
        for line in lines:
            assert line is not None
            await line.beat()
    number = await lines[0].beat() if lines[0] else 0
    await until(lambda: lines[0] and lines[0].answer_to(number), "the last was answered")
    await asyncio.sleep(SEDATE.suspect_after.total_seconds() + 0.3)
    assert (scene.host.works, scene.host.epoch, scene.spare.works) == (True, 1, False)
    assert len(await operator.history()) == 3


@together
async def test_f8_a_wish_of_one_that_is_no_member_is_refused_or_empty(
    channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    scene, _ = await at_work(channel, account)
    strangers = await Scene.set(channel, other_account, spares=0)
    stranger = Operator(strangers.host)
    error = await refused(stranger.switch(scene.spare, arc_id=account.arc_id))
    assert error.reason is Reason.MEMBER_NOT_FOUND
    assert scene.host.state.yield_to == ""
