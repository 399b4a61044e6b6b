"""An operator hands the work over to a named receiver, which stays pinned (F8)."""

import asyncio
from uuid import uuid4

import grpc

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken
from tests.integration.cloud.helpers import QUICK, Account, CloudProcess, refused, until, until_asked
from tests.integration.cloud.operators import MOVE, PIN_ENDED, REFUSED, SWITCHOVER_ASKED, Operator, why
from tests.integration.cloud.receivers import HOST, SPARE_2, SPARE_3, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.test_restart import begun, killed
from tests.integration.cloud.together import Together

together = Together()

DRAIN = QUICK.drain_timeout.total_seconds()


async def at_work(channel: grpc.aio.Channel, account: Account, spares: int = 2) -> tuple[Scene, Operator]:
    """A group whose host works in epoch 1, and an operator at its spare 1."""
    scene = await Scene.set(channel, account, spares=spares)
    await scene.attend()
    return scene, Operator(scene.spare)


async def switched(operator: Operator, scene: Scene, to: Receiver) -> None:
    """The one that works hands over to `to`, as an operator asked."""
    working = next(receiver for receiver in scene.receivers if receiver.works)
    await operator.switch(to)
    await working.until_told_to_yield(to)
    await working.release()
    await to.until_working()


@together
async def test_f8_a_switchover_hands_over_and_pins_and_the_history_tells_by_whom_and_why(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, operator = await at_work(channel, quick_account)
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    target = scene.receivers[2]
    group = await operator.switch(role=SPARE_2, detail="fire drill")
    assert (group.moving_to_receiver_id, group.pinned_receiver_id) == (target.receiver_id, target.receiver_id)
    assert (group.pinned_by, group.HasField("pin_time"), group.epoch) == ("olga", True, 1)
    await scene.host.until_told_to_yield(target)
    await scene.devices[0].publish(zone=2)
    await pull.confirm_all()
    await scene.host.release()
    there = await target.work()
    await there.until_zones(2)
    assert (pull.zones, target.epoch) == ([1], 2)
    asked, moved = (await operator.history())[1::-1]
    assert (asked.kind, asked.from_receiver_id, asked.operator_name, asked.detail) == (
        SWITCHOVER_ASKED,
        target.receiver_id,
        "olga",
        "fire drill",
    )
    assert (moved.kind, why(moved), moved.operator_name, moved.detail) == (MOVE, "SWITCHOVER", "olga", "fire drill")
    assert (moved.from_receiver_id, moved.to_receiver_id) == (scene.host.receiver_id, target.receiver_id)
    assert (moved.from_role, moved.to_role, moved.epoch, moved.planned) == (HOST, SPARE_2, 2, True)
    assert moved.gap.ToTimedelta().total_seconds() == 0
    # The host is well, and stays where it is: failback_delay is 0.8 s here.
    await asyncio.sleep(2 * QUICK.failback_delay.total_seconds())
    assert (target.works, target.state.yield_to) == (True, "")
    assert (await operator.member(scene.host)).standby_reason == group_pb2.STANDBY_REASON_PINNED_ELSEWHERE
    group = await operator.resume()
    assert (group.pinned_receiver_id, group.HasField("pin_time"), group.pinned_by) == ("", False, "")
    await target.until_told_to_yield(scene.host)


@together
async def test_f8_a_switchover_that_is_not_done_in_time_goes_on_with_a_hold(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    await operator.switch(scene.spare)
    there = await scene.spare.work()
    moved = await operator.until_line(MOVE, 2)
    assert (why(moved), moved.planned) == ("DRAIN_TIMEOUT", False)
    assert [(hold.epoch, hold.alarms) for hold in (await operator.group()).holds] == [(1, 1)]
    await there.until_zones(1)
    assert (await operator.group()).pinned_receiver_id == scene.spare.receiver_id
    assert (await operator.member(scene.host)).losses == 0


@together
async def test_f8_what_is_refused_is_told_and_stands_in_the_history(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    stranger = str(uuid4())
    two = scene.receivers[2]
    two.fall_ill()
    await until_asked(lambda: operator.member(two), lambda member: member.health.problems, "it is ill")
    seen: list[Reason] = []

    async def not_done(reason: Reason, **wish: object) -> None:
        error = await refused(operator.switch(**wish))  # type: ignore[arg-type]
        assert error.reason is reason
        seen.append(reason)
        line = await operator.until_line(REFUSED, len(seen))
        assert line.operator_name == "olga"
        assert "switchover" in line.detail

    await not_done(Reason.TARGET_UNHEALTHY, to=two)
    await not_done(Reason.TARGET_WORKING, to=scene.host)
    await not_done(Reason.EPOCH_STALE, to=scene.spare, expected_epoch=7)
    await not_done(Reason.MEMBER_NOT_FOUND, receiver_id=stranger)
    await two.vanish()
    await not_done(Reason.TARGET_OFFLINE, to=two)
    await operator.switch(scene.spare, expected_epoch=1)
    await not_done(Reason.MOVE_RUNNING, to=scene.spare)
    await scene.host.release()
    await scene.spare.until_working()
    await not_done(Reason.MEMBER_NOT_FOUND, role=SPARE_3)
    assert (await operator.group()).epoch == 2


@together
async def test_f8_a_wish_of_a_wrong_form_is_refused(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    for fields, field in (
        ({"request_id": "no-uuid", "receiver_id": scene.spare.receiver_id}, "request_id"),
        ({"receiver_id": scene.spare.receiver_id}, "request_id"),
        ({"request_id": str(uuid4())}, "target"),
        ({"request_id": str(uuid4()), "receiver_id": ""}, "target"),
        ({"request_id": str(uuid4()), "role": 0}, "target"),
        ({"request_id": str(uuid4()), "role": 99}, "target"),
        ({"request_id": str(uuid4()), "receiver_id": scene.spare.receiver_id, "detail": "x" * 257}, "detail"),
    ):
        error = await refused(operator.call("Switchover", **fields))
        assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, field)
    assert not scene.host.state.yield_to


@together
async def test_f8_of_two_operators_at_once_one_is_told_that_a_move_runs(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, olga = await at_work(channel, account)
    otto = Operator(scene.host, "otto")
    answers = await asyncio.gather(olga.switch(scene.spare), otto.switch(scene.receivers[2]), return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(failed) == 1
    chosen = (await olga.group()).pinned_receiver_id
    (line,) = await olga.lines(REFUSED)
    assert line.operator_name == ("otto" if chosen == scene.spare.receiver_id else "olga")
    assert (await olga.lines(SWITCHOVER_ASKED))[0].from_receiver_id == chosen


@together
async def test_f8_the_same_request_id_is_the_same_wish(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    wish = str(uuid4())
    for _ in range(3):
        await operator.switch(scene.spare, request_id=wish)
    await scene.host.release()
    await scene.spare.until_working()
    await operator.switch(scene.spare, request_id=wish.upper())
    assert len(await operator.lines(SWITCHOVER_ASKED)) == 1
    assert await operator.lines(REFUSED) == []
    # In another group the same id is another wish.
    assert (await refused(operator.switch(scene.spare))).reason is Reason.TARGET_WORKING


@together
async def test_f8_a_wish_that_was_refused_may_be_tried_again_with_its_id(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    wish = str(uuid4())
    scene.spare.fall_ill()
    await until_asked(lambda: operator.member(scene.spare), lambda member: member.health.problems, "it is ill")
    assert (await refused(operator.switch(scene.spare, request_id=wish))).reason is Reason.TARGET_UNHEALTHY
    scene.spare.get_well()
    await until_asked(lambda: operator.member(scene.spare), lambda member: not member.health.problems, "it is well")
    await operator.switch(scene.spare, request_id=wish)
    await scene.host.until_told_to_yield(scene.spare)


@together
async def test_f8_the_target_dies_during_the_hand_over_and_the_holder_goes_on(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    pull = await scene.host.open_pull()
    await operator.switch(scene.spare)
    await scene.host.until_told_to_yield(scene.spare)
    await scene.spare.vanish()
    await until(lambda: scene.host.state.yield_to == "", "it need not yield any more")
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    group = await operator.group()
    assert (group.pinned_receiver_id, group.moving_to_receiver_id, group.epoch) == ("", "", 1)
    line = await operator.until_line(PIN_ENDED)
    assert line.from_receiver_id == scene.spare.receiver_id


@together
async def test_f8_the_pin_ends_with_the_loss_of_the_pinned_one(channel: grpc.aio.Channel, account: Account) -> None:
    scene, operator = await at_work(channel, account)
    await switched(operator, scene, scene.spare)
    await scene.spare.vanish()
    await scene.host.until_working()
    group = await operator.group()
    assert (group.pinned_receiver_id, group.epoch) == ("", 3)
    line = await operator.until_line(PIN_ENDED)
    assert line.from_receiver_id == scene.spare.receiver_id
    assert [reason for reason, _, _ in await operator.moves()] == ["FIRST", "SWITCHOVER", "CONNECTION_LOST"]


@together
async def test_f8_a_pinned_one_that_is_started_anew_stays_pinned(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene, operator = await at_work(channel, quick_account)
    await switched(operator, scene, scene.spare)
    anew = scene.spare.started_anew()
    await anew.attend()
    await until_asked(operator.group, lambda group: group.epoch == 3, "the restart began an epoch")
    await until(lambda: anew.works, "it works again")
    assert (await operator.group()).pinned_receiver_id == scene.spare.receiver_id


@together
async def test_f8_while_nobody_works_the_target_begins_at_once(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    operator = Operator(scene.spare)
    await scene.host.attend()
    await scene.host.until_working()
    await operator.pause()
    await scene.host.vanish()
    await scene.spare.attend()
    await operator.until_line(group_pb2.TRANSITION_KIND_NOBODY_LEFT)
    assert not scene.spare.works
    await operator.switch(scene.spare)
    assert await scene.spare.until_working() == 2
    moved = await operator.until_line(MOVE, 2)
    assert moved.gap.ToTimedelta().total_seconds() > 0.2


@together
async def test_s5_a_token_of_the_cloud_stands_in_the_history_by_its_name(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene, operator = await at_work(channel, account)
    request = role_service_pb2.SwitchoverRequest(
        request_id=str(uuid4()), receiver_id=scene.spare.receiver_id, arc_id=account.arc_id
    )
    await scene.host.roles.Switchover(request, metadata=BearerToken(cloud.token).metadata())
    assert (await operator.until_line(SWITCHOVER_ASKED)).operator_name == "admin"
    assert (await operator.group()).pinned_by == "admin"


@together
async def test_s4_hostile_words_of_an_operator_are_escaped(channel: grpc.aio.Channel, account: Account) -> None:
    scene, _ = await at_work(channel, account)
    hostile = Operator(scene.spare, "eve\n2030-01-01 fake line \u202e")
    await hostile.switch(scene.spare, detail="\x1b[2J\u2028drop\x00 table history; --'\"")
    line = await hostile.until_line(SWITCHOVER_ASKED)
    for text in (line.operator_name, line.detail, (await hostile.group()).pinned_by):
        assert text.isprintable(), text
    assert "drop" in line.detail
    assert "table history; --'\"" in line.detail


# Over a restart of the cloud.


@together
async def test_f11_a_pin_and_a_request_id_outlive_a_kill_of_the_cloud(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud, settings=QUICK)
    async with open_channel(own_cloud.address, None) as channel:
        scene, operator = await at_work(channel, account)
        wish = str(uuid4())
        await operator.switch(scene.spare, request_id=wish)
        await scene.host.until_told_to_yield(scene.spare)
        await scene.host.release()
        await scene.spare.until_working()
        async with killed(own_cloud, scene):
            for receiver in scene.receivers:
                await receiver.attend()
            assert await scene.spare.until_working() == 2
            group = await operator.switch(scene.spare, request_id=wish)
            assert (group.pinned_receiver_id, group.pinned_by) == (scene.spare.receiver_id, "olga")
            await asyncio.sleep(QUICK.restart_grace.total_seconds() + 2 * QUICK.failback_delay.total_seconds())
            assert (scene.spare.works, scene.spare.state.yield_to) == (True, "")
            assert len(await operator.lines(SWITCHOVER_ASKED)) == 1
            assert await operator.lines(REFUSED) == []


@together
async def test_f11_a_switchover_under_way_goes_on_after_a_kill_of_the_cloud(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud, settings=QUICK)
    async with open_channel(own_cloud.address, None) as channel:
        scene, operator = await at_work(channel, account)
        await operator.switch(scene.spare)
        await scene.host.until_told_to_yield(scene.spare)
        async with killed(own_cloud, scene):
            for receiver in scene.receivers:
                await receiver.attend()
            await scene.host.until_told_to_yield(scene.spare)
            await scene.host.release()
            assert await scene.spare.until_working() == 2
            moved = await operator.until_line(MOVE, 2)
            assert (why(moved), moved.operator_name) == ("SWITCHOVER", "olga")
