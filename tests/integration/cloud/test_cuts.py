"""Streams and calls that are cut at any moment: what the store has the group knows, and the other way round (S4)."""

import asyncio
import contextlib
from collections.abc import Iterator

import grpc

from hotspare.v1 import group_pb2, role_service_pb2
from tests.integration.cloud.helpers import Account, CloudProcess, query, until, until_asked
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.scene import Scene, batch, new_alarm

ROUNDS = 40


def moments() -> Iterator[float]:
    """Pauses that reach from before a commit to after it, seconds."""
    for number in range(ROUNDS):
        yield number * 0.00015


async def test_f7_a_life_line_cut_while_an_epoch_is_stored_harms_nothing(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    start = scene.host
    for moment in moments():
        start = start.started_anew()
        line = await start.attend(beating=False)
        assert not line.ended, line.error
        await line.beat()  # begins an epoch
        await asyncio.sleep(moment)
        await line.cut()
    last = start.started_anew()
    pull = await last.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert pull.epochs == [(await last.members()).group.epoch]
    await pull.confirm_all()
    assert (await last.members()).group.backlog == 0


async def test_f7_a_hello_cut_while_its_incarnation_is_stored_harms_nothing(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    start = scene.host
    for moment in moments():
        start = start.started_anew()
        call = start.roles.Attend(metadata=start.metadata)
        hello = role_service_pb2.AttendRequest.Hello(
            receiver=start.described(),
            incarnation=start.incarnation,
            start=start.start,
            folder_id=start.folder_id,
        )
        await call.write(role_service_pb2.AttendRequest(hello=hello))
        await asyncio.sleep(moment)
        call.cancel()
    last = start.started_anew()
    await last.attend()
    await last.until_working()


async def test_f7_a_pull_cut_while_a_confirmation_is_stored_leaves_the_right_backlog(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    async for _ in scene.devices[0].stream([batch(1, [new_alarm(zone) for zone in range(1, ROUNDS + 1)])]):
        pass
    await scene.host.attend()
    await scene.host.until_working()
    for number, moment in enumerate(moments(), start=1):
        pull = await scene.host.open_pull()
        await until(lambda: number in pull.numbers or pull.ended, "it came")  # noqa: B023 - it is of this turn
        confirming = asyncio.create_task(pull.confirm(number))
        await asyncio.sleep(moment)
        await pull.cut()
        await confirming
    pull = await scene.host.open_pull()
    await pull.confirm_ranges([(1, ROUNDS)], epoch=1)
    assert (await scene.host.members()).group.backlog == 0
    await scene.devices[0].publish(zone=ROUNDS + 1)
    await until(lambda: pull.zones[-1:] == [ROUNDS + 1], "the next came")


async def test_a1_streams_of_batches_cut_while_they_are_stored_lose_nothing(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    alarms = [new_alarm(zone) for zone in range(1, ROUNDS + 1)]
    for alarm, moment in zip(alarms, moments(), strict=True):
        call = scene.devices[0].stream([batch(1, [alarm])])
        reading = asyncio.ensure_future(anext(aiter(call)))
        await asyncio.sleep(moment)
        call.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    # What is stored is delivered, without another alarm that would wake the delivery.
    await until(lambda: len(pull.alarms) == _stored(cloud, account), "all that was stored came")
    duplicates = [(await scene.devices[0].send(alarm)).duplicate for alarm in alarms]
    assert True in duplicates
    await until(lambda: len(pull.alarms) == ROUNDS, "all came")
    assert (await scene.host.members()).group.backlog == ROUNDS


async def test_g1_calls_to_join_and_leave_that_are_cut_leave_store_and_group_as_one(
    channel: grpc.aio.Channel, account: Account
) -> None:
    await Scene.set(channel, account, spares=0)
    for moment in moments():
        receiver = Receiver(channel, account)
        request = role_service_pb2.JoinGroupRequest(
            role=group_pb2.Role.ValueType(SPARE_1), receiver=receiver.described()
        )
        for call in (
            receiver.roles.JoinGroup(request, metadata=receiver.metadata),
            receiver.roles.LeaveGroup(role_service_pb2.LeaveGroupRequest(), metadata=receiver.metadata),
        ):
            waiting = asyncio.ensure_future(_result(call))
            await asyncio.sleep(moment)
            call.cancel()
            await waiting
        await receiver.leave()
    last = Receiver(channel, account)
    await until_asked(last.members, lambda listed: len(listed.members) == 1)
    assert (await last.join(SPARE_1)).member.role == SPARE_1
    assert [member.role for member in (await last.members()).members] == [HOST, SPARE_1]


def _stored(cloud: CloudProcess, account: Account) -> int:
    count = "SELECT count(*) FROM alarm JOIN grp USING (group_id) WHERE arc_id = ?"
    return int(query(cloud.data, count, account.arc_id)[0][0])


async def _result(call: object) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await call  # type: ignore[misc]
