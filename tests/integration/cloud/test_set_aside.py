"""A5 at the cloud: what a receiver refuses, or is lost with again and again, is set aside, listed, and sent again."""

from typing import Any
from uuid import uuid4

import grpc
import pytest

from hotspare.v1 import alarm_pb2, alarm_pull_service_pb2, alarm_pull_service_pb2_grpc
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import operator_metadata
from hotspare_rpc.errors import from_rpc_error
from tests.integration.cloud.helpers import DEADLINE, Account, CloudProcess, numbers_in, until, until_asked
from tests.integration.cloud.operators import Operator
from tests.integration.cloud.receivers import Pull, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.test_restart import begun, killed
from tests.integration.cloud.together import Together

together = Together()

REFUSED = alarm_pull_service_pb2.SET_ASIDE_CAUSE_REFUSED
LOST = alarm_pull_service_pb2.SET_ASIDE_CAUSE_LOST_UNDER_IT
FRAME, ANSWER = b'\n1B2C"ADM-CID"0001\r', b'\n3C4D"DUH"0001\r'


class Desk:
    """An operator who looks at the queue, through a receiver."""

    def __init__(self, receiver: Receiver, name: str = "olga") -> None:
        self.stub = alarm_pull_service_pb2_grpc.AlarmPullServiceStub(receiver.channel)
        self.metadata = (*receiver.metadata, *operator_metadata(name))

    async def call(self, method: str, **fields: Any) -> Any:
        request = getattr(alarm_pull_service_pb2, f"{method}Request")(**fields)
        return await getattr(self.stub, method)(request, metadata=self.metadata, timeout=DEADLINE)

    async def listed(self, state: int = 0, **fields: Any) -> list[Any]:
        return list((await self.call("ListQueue", state=alarm_pb2.AlarmState.ValueType(state), **fields)).alarms)

    async def numbers(self, state: int = 0, **fields: Any) -> list[int]:
        return [each.stored.number for each in await self.listed(state, **fields)]

    async def rejected(self) -> list[int]:
        return await self.numbers(alarm_pb2.ALARM_STATE_SET_ASIDE)

    async def get(self, number: int) -> Any:
        return await self.call("GetQueuedAlarm", number=number)

    async def replay(self, number: int, request_id: str = "") -> Any:
        return (await self.call("ReplayAlarm", number=number, request_id=request_id or str(uuid4()))).alarm

    async def refused(self, method: str, **fields: Any) -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, **fields)
        error = from_rpc_error(caught.value)
        assert error is not None
        return error


async def refuse(pull: Pull, number: int, *, epoch: int | None = None, **fields: Any) -> None:
    told: dict[str, Any] = {"output": "arc", "reason": "DUH", "frame": FRAME, "answer": ANSWER, "refusals": 5}
    epoch = pull.epochs[-1] if epoch is None else epoch
    await pull.say(
        refuse=alarm_pull_service_pb2.PullAlarmsRequest.Refuse(epoch=epoch, number=number, **{**told, **fields})
    )


async def refuse_and_wait(pull: Pull, number: int, **fields: Any) -> None:
    answered = len(pull.stored)
    await refuse(pull, number, **fields)
    await until(lambda: len(pull.stored) > answered, "the refusal was answered")
    assert numbers_in(pull.stored[-1].ranges) == [number]


@together
async def test_a5_a_refused_alarm_is_set_aside_with_the_exchange_and_holds_up_nobody(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work(window=2)
    for zone in (1, 2, 3):
        await scene.devices[0].publish(zone=zone)
    await pull.until_zones(1, 2)
    first = pull.number_of(1)
    await refuse_and_wait(pull, first)
    await pull.until_zones(1, 2, 3)  # Its place in the window is free.
    desk = Desk(scene.host)
    (row,) = await desk.listed(alarm_pb2.ALARM_STATE_SET_ASIDE)
    assert (row.stored.number, row.stored.alarm.zone, row.cause, row.frame, row.answer) == (
        first,
        1,
        REFUSED,
        FRAME,
        ANSWER,
    )
    assert row.reason == "output arc refused it 5 times: DUH"
    assert (row.epoch, row.deliveries, row.HasField("set_aside_time")) == (1, 1, True)
    group = await Operator(scene.host).group()
    assert (group.backlog, [each for each in group.warnings if "1 alarm is set aside" in each]) == (
        2,
        ["1 alarm is set aside, and not at the ARC: hotspare alarm rejected tells why"],
    )
    again = await scene.host.open_pull()
    await again.until_zones(2, 3)  # A new pull does not bring it.


@together
async def test_a5_s5_an_operator_sends_it_again_as_the_same_alarm_and_is_recorded(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    for zone in (1, 2):
        await scene.devices[0].publish(zone=zone)
    await pull.until_zones(1, 2)
    before = pull.alarms[0]
    await refuse_and_wait(pull, before.stored.number)
    await pull.confirm(pull.number_of(2))
    desk = Desk(scene.host, "olga")
    wish = str(uuid4())
    shown = await desk.replay(before.stored.number, wish)
    assert (shown.replayed_by, shown.cause, await desk.rejected()) == ("olga", 0, [])
    await pull.until_zones(1, 2, 1)
    again = pull.alarms[-1]
    assert (again.stored, again.replay, again.attempt) == (before.stored, True, 2)
    assert not before.replay
    # The same wish again is no other one, also once it was refused anew; a new one is.
    await refuse_and_wait(pull, before.stored.number, reason="still DUH")
    await desk.replay(before.stored.number, wish)
    assert await desk.rejected() == [before.stored.number]
    await desk.replay(before.stored.number)
    await pull.until_zones(1, 2, 1, 1)
    await pull.confirm(before.stored.number)
    found = await desk.get(before.stored.number)
    assert (found.alarm.state, found.alarm.replayed_by) == (alarm_pb2.ALARM_STATE_CONFIRMED, "olga")
    assert [each.end for each in found.deliveries] == [alarm_pb2.DELIVERY_END_CONFIRMED]
    error = await desk.refused("ReplayAlarm", number=before.stored.number, request_id=str(uuid4()))
    assert (error.reason, error.metadata) == (
        Reason.ALARM_NOT_SET_ASIDE,
        {"number": str(before.stored.number), "state": "CONFIRMED"},
    )


@together
async def test_f7_a_refusal_under_another_epoch_or_of_what_was_never_delivered_changes_nothing(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    old = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await old.until_zones(1)
    number = old.number_of(1)
    await refuse(old, number, epoch=7)
    await refuse_never_delivered(old, number + 1)
    await scene.host.vanish()
    new = await scene.spare.work()
    await new.until_zones(1)
    late = await scene.host.started_anew().open_pull(epoch=1)
    await refuse(late, number, epoch=1)
    # What the receiver that works refuses in time counts, so this one did not.
    await until(lambda: late.stale is not None, "it is stale")
    assert await Desk(scene.spare).rejected() == []
    await refuse_and_wait(new, number)
    assert await Desk(scene.spare).rejected() == [number]


@together
async def test_a5_a_refusal_of_before_the_replay_sets_nothing_aside_again(
    channel: grpc.aio.Channel, account: Account
) -> None:
    """Its answer was lost, so the receiver tells it again in its next pull; an operator has put the alarm back."""
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    number, desk = pull.number_of(1), Desk(scene.host)
    await refuse_and_wait(pull, number, attempt=1)
    await desk.replay(number)
    await pull.until_zones(1, 1)
    await refuse_and_wait(pull, number, attempt=1)
    assert await desk.rejected() == []
    assert pull.alarms[-1].attempt == 2
    await refuse_and_wait(pull, number, attempt=2)
    assert await desk.rejected() == [number]


async def refuse_never_delivered(pull: Pull, number: int) -> None:
    await refuse(pull, number)
    await until(lambda: pull.stored, "it was answered")
    assert numbers_in(pull.stored[-1].never_delivered) == [number]


@together
async def test_f7_a_confirmation_is_a_fact_also_of_what_was_set_aside_meanwhile(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    number = pull.number_of(1)
    await refuse_and_wait(pull, number)
    await pull.confirm(number)
    desk = Desk(scene.host)
    assert (await desk.rejected(), (await Operator(scene.host).group()).backlog) == ([], 0)
    await refuse_and_wait(pull, number)  # It is answered, and the confirmation stands.
    assert (await desk.get(number)).alarm.state == alarm_pb2.ALARM_STATE_CONFIRMED


@together
async def test_a5_the_queue_is_listed_by_state_and_device_in_pages(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work(window=2)
    for zone in (1, 2, 3, 4):
        await scene.devices[0].publish(zone=zone)
    await scene.devices[1].publish(zone=5)
    await pull.until_zones(1, 2)
    await refuse_and_wait(pull, pull.number_of(1))
    await pull.until_zones(1, 2, 3)
    desk = Desk(scene.host)
    states = {name: alarm_pb2.AlarmState.Value(f"ALARM_STATE_{name}") for name in ("STORED", "DELIVERED", "SET_ASIDE")}
    assert await desk.numbers() == [1, 2, 3, 4, 5]
    assert {name: await desk.numbers(state) for name, state in states.items()} == {
        "STORED": [4, 5],
        "DELIVERED": [2, 3],
        "SET_ASIDE": [1],
    }
    assert await desk.numbers(device_id="panel-2") == [5]
    assert await desk.numbers(states["DELIVERED"], device_id="panel-2") == []
    page = await desk.call("ListQueue", page_size=2)
    rest = await desk.call("ListQueue", page_size=3, page_token=page.next_page_token)
    assert [each.stored.number for each in (*page.alarms, *rest.alarms)] == [1, 2, 3, 4, 5]
    assert (bool(page.next_page_token), rest.next_page_token) == (True, "")
    other_list = await desk.refused("ListQueue", device_id="panel-1", page_token=page.next_page_token)
    assert other_list.reason is Reason.PAGE_TOKEN_INVALID
    confirmed = await desk.refused("ListQueue", state=alarm_pb2.ALARM_STATE_CONFIRMED)
    assert (confirmed.reason, confirmed.metadata["field"]) == (Reason.FIELD_INVALID, "state")


@together
async def test_a5_s2_what_is_not_there_is_told_so(
    channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    receipt = await scene.devices[0].publish(zone=1)
    desk, stranger = Desk(scene.host), Desk(Receiver(channel, other_account))
    found = await desk.call("GetQueuedAlarm", alarm_id=receipt.alarm_id)
    assert (found.alarm.stored.number, found.alarm.state) == (1, alarm_pb2.ALARM_STATE_STORED)
    for asking, fields in ((desk, {"number": 2}), (desk, {"alarm_id": str(uuid4())}), (stranger, {"number": 1})):
        assert (await asking.refused("GetQueuedAlarm", **fields)).reason is Reason.RESOURCE_NOT_FOUND
    gone = await desk.refused("ReplayAlarm", number=2**64 - 1, request_id=str(uuid4()))
    assert gone.reason is Reason.RESOURCE_NOT_FOUND
    waits = await desk.refused("ReplayAlarm", number=1, request_id=str(uuid4()))
    assert (waits.reason, waits.metadata["state"]) == (Reason.ALARM_NOT_SET_ASIDE, "STORED")
    assert (await desk.refused("ReplayAlarm", number=1, request_id="x")).metadata["field"] == "request_id"
    assert (await desk.refused("GetQueuedAlarm")).metadata["field"] == "key"


@together
async def test_timing_4_an_alarm_with_which_the_receiver_was_lost_again_and_again_is_set_aside(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    receiver, pull = scene.host, await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    for _ in range(2):
        # It dies, and is started anew at once: a loss, and the proof that it stopped.
        await receiver.vanish()
        receiver = receiver.started_anew()
        pull = await receiver.work()
        await pull.until_zones(1)
    assert (await Desk(receiver).get(1)).alarm.losses == 2
    await scene.devices[0].publish(zone=2)
    await scene.devices[1].publish(zone=3)
    group = await Operator(receiver).group()
    assert (group.backlog, pull.zones) == (3, [1]), "it is alone with the receiver"
    await receiver.vanish()
    receiver = receiver.started_anew()
    pull = await receiver.work()
    await pull.until_zones(2, 3)
    (row,) = await Desk(receiver).listed(alarm_pb2.ALARM_STATE_SET_ASIDE)
    assert (row.stored.alarm.zone, row.cause, row.losses, row.frame) == (1, LOST, 3, b"")
    assert "lost under it 3 times" in row.reason
    ends = [each.end for each in (await Desk(receiver).get(1)).deliveries]
    assert ends == [alarm_pb2.DELIVERY_END_LOST] * 3
    # Sent again, it begins anew: with others beside it.
    await Desk(receiver).replay(1)
    await pull.until_zones(2, 3, 1)


@together
async def test_timing_4_planned_moves_are_no_losses(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    await Operator(scene.host).switch(scene.spare)
    await scene.host.until_told_to_yield(scene.spare)
    await scene.host.release()
    await (await scene.spare.work()).until_zones(1)
    assert (await Desk(scene.spare).get(1)).alarm.losses == 0


async def test_f11_a5_what_is_set_aside_stays_so_over_a_restart_of_the_cloud(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account, spares=0)
        pull = await scene.host.work()
        for zone in (1, 2):
            await scene.devices[0].publish(zone=zone)
        await pull.until_zones(1, 2)
        await refuse_and_wait(pull, pull.number_of(1))
    async with killed(own_cloud, scene):
        scene.host.line = None
        desk = Desk(scene.host)
        await until_asked(desk.rejected, lambda numbers: numbers == [1], "it is listed as before")
        group = await Operator(scene.host).group()
        assert (group.backlog, any("set aside" in each for each in group.warnings)) == (1, True)
        pull = await scene.host.work()
        await pull.until_zones(2)
        await desk.replay(1)
        await pull.until_zones(2, 1)
