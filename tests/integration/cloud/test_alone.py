"""Receivers without a role (G7), and the ways into a hot spare and out of it (X2)."""

import asyncio

import grpc

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken
from tests.integration.cloud.helpers import DEADLINE, SEDATE, Account, CloudProcess, refused, until, until_asked
from tests.integration.cloud.operators import Operator
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.scene import Configuration, Device, send_push
from tests.integration.cloud.test_restart import begun
from tests.integration.cloud.together import Together

together = Together()

MOST = 16
LOST = SEDATE.reconnect_grace.total_seconds() + 0.5


async def panel(receiver: Receiver) -> Device:
    """A device that the cloud knows: the receiver was the host for a moment to tell it."""
    device = Device(receiver.channel, receiver.account, "panel-1", "4001")
    await receiver.join(HOST)
    await send_push(receiver, Configuration().changed(device))
    await receiver.leave()
    return device


@together
async def test_g7_a_receiver_without_a_role_takes_the_alarms_by_the_same_lease(
    channel: grpc.aio.Channel, account: Account
) -> None:
    anna = Receiver(channel, account)
    device = await panel(anna)
    pull = await anna.work()
    assert anna.line is not None
    assert any(state.HasField("lease") for state in anna.line.states)
    await device.publish(zone=1)
    await pull.until_zones(1)
    await pull.confirm_all()
    (member,) = (await anna.members()).members
    assert (member.role, member.status) == (group_pb2.ROLE_UNSPECIFIED, group_pb2.MEMBER_STATUS_WORKING)
    assert (await anna.members()).group.backlog == 0


@together
async def test_g7_a_second_one_stands_by_and_takes_over_with_a_hold(
    channel: grpc.aio.Channel, account: Account
) -> None:
    anna, bert = Receiver(channel, account), Receiver(channel, account)
    device = await panel(anna)
    pull = await anna.work()
    await bert.attend()
    reason = group_pb2.STANDBY_REASON_ANOTHER_WORKS_ALONE
    await until(lambda: bert.state.standby_reason == reason, "it is told why it stands by")
    await device.publish(zone=1)
    await pull.until_zones(1)
    await anna.vanish()
    there = await bert.work()
    assert bert.epoch == 2
    assert [(hold.epoch, hold.alarms) for hold in (await bert.members()).group.holds] == [(1, 1)]
    await there.until_zones(1)


@together
async def test_g7_once_a_host_is_there_the_lone_one_hands_over_at_once_and_takes_none(
    channel: grpc.aio.Channel, account: Account
) -> None:
    """`failback_delay` is an hour in this account."""
    anna, host = Receiver(channel, account), Receiver(channel, account)
    device = await panel(anna)
    pull = await anna.work()
    await host.join(HOST)
    await device.publish(zone=1)
    await pull.until_zones(1)
    assert anna.epoch == 1
    await host.attend()
    await anna.until_told_to_yield(host)
    await pull.confirm_all()
    await anna.release()
    home = await host.work()
    await device.publish(zone=2)
    await home.until_zones(2)
    await until(lambda: anna.state.standby_reason == group_pb2.STANDBY_REASON_HOST_EXISTS, "it is told why")
    stale = await anna.open_pull(epoch=2)
    await until(lambda: stale.stale is not None, "it gets nothing")
    await host.vanish()
    await asyncio.sleep(LOST)
    listed = await anna.members()
    assert (listed.group.working_receiver_id, listed.group.epoch) == ("", 2)
    assert anna.state.standby_reason == group_pb2.STANDBY_REASON_HOST_EXISTS


@together
async def test_g7_with_a_host_that_is_offline_it_takes_nothing(channel: grpc.aio.Channel, account: Account) -> None:
    host, anna = Receiver(channel, account), Receiver(channel, account)
    await host.join(HOST)
    await anna.attend()
    await until(lambda: anna.state.standby_reason == group_pb2.STANDBY_REASON_HOST_EXISTS, "it is told why")
    await asyncio.sleep(LOST)
    assert (anna.works, (await anna.members()).group.epoch) == (False, 0)


@together
async def test_g7_the_lone_one_itself_takes_the_hosts_role_and_keeps_its_epoch(
    channel: grpc.aio.Channel, account: Account
) -> None:
    anna = Receiver(channel, account)
    device = await panel(anna)
    pull = await anna.work()
    generation = (await anna.join(HOST)).member.generation
    await device.publish(zone=1)
    await pull.until_zones(1)
    await until(lambda: anna.state.role == HOST, "it is told of its role")
    assert (anna.epoch, pull.stale, generation > 1) == (1, None, True)
    assert [member.role for member in (await anna.members()).members] == [HOST]


@together
async def test_g7_it_moves_to_another_sub_account_and_is_in_one_at_a_time(
    channel: grpc.aio.Channel, account: Account
) -> None:
    anna = Receiver(channel, account)
    await anna.attend()
    await anna.until_working()
    await anna.vanish()
    moved = Receiver(
        channel, account, receiver_id=anna.receiver_id, machine_id=anna.machine_id, sub_account="second", start=2
    )
    await moved.attend()
    assert await moved.until_working() == 1
    assert (await moved.members()).group.sub_account == "second"
    stranger = Receiver(channel, account)
    assert list((await stranger.members()).members) == []
    back = Receiver(channel, account, receiver_id=anna.receiver_id, machine_id=anna.machine_id, start=3)
    await back.attend()
    assert await back.until_working() == 2


@together
async def test_g7_taking_a_role_elsewhere_ends_working_alone(channel: grpc.aio.Channel, account: Account) -> None:
    anna = Receiver(channel, account)
    await anna.attend()
    await anna.until_working()
    anna.sub_account = "second"
    await anna.join(HOST)
    assert anna.line is not None
    error = await anna.line.until_ended()
    # Now and then grpc.aio loses the reason of an end that comes while it writes a beat. A receiver asks again then.
    lost = error is None and anna.line.code is grpc.StatusCode.INTERNAL
    assert lost or (error is not None and error.reason is Reason.NOT_A_MEMBER)
    assert list((await Receiver(channel, account).members()).members) == []


@together
async def test_g7_no_more_than_so_many_are_known(channel: grpc.aio.Channel, account: Account) -> None:
    for _ in range(MOST):
        line = await Receiver(channel, account).attend()
        assert not line.ended
    one_more = Receiver(channel, account)
    error = await (await one_more.attend()).until_ended()
    assert error is not None
    assert (error.reason, "remove those that are gone" in error.message) == (Reason.NOT_A_MEMBER, True)
    # A role is free all the same.
    await one_more.join(HOST)
    assert not (await one_more.attend()).ended


@together
async def test_x2_the_host_leaves_and_goes_on_alone(channel: grpc.aio.Channel, account: Account) -> None:
    host, spare = Receiver(channel, account), Receiver(channel, account)
    device = Device(channel, account, "panel-1", "4001")
    await host.join(HOST)
    await spare.join(SPARE_1)
    await send_push(host, Configuration().changed(device))
    await host.work()
    await spare.attend()
    await host.leave(released_through=1)
    assert host.line is not None
    error = await host.line.until_ended()
    assert error is not None
    assert error.reason is Reason.HOT_SPARE_ENDED
    host.released_through = 1
    await host.attend()
    await host.until_working()
    pull = await host.open_pull()
    await device.publish(zone=1)
    await pull.until_zones(1)
    group = (await host.members()).group
    assert (host.epoch, list(group.holds)) == (2, [])
    assert [member.role for member in (await host.members()).members] == [group_pb2.ROLE_UNSPECIFIED]
    moves = await Operator(host).moves()
    assert [reason for reason, _, _ in moves] == ["FIRST", "FIRST"]


@together
async def test_g8_a_lone_one_that_is_gone_is_removed(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    anna, bert = Receiver(channel, account), Receiver(channel, account)
    await anna.attend()
    await anna.until_working()
    await bert.attend()
    await bert.vanish()
    metadata = BearerToken(cloud.token).metadata()
    request = role_service_pb2.RemoveMemberRequest(receiver_id=bert.receiver_id, arc_id=account.arc_id)

    async def remove() -> object:
        try:
            return await anna.roles.RemoveMember(request, metadata=metadata, timeout=DEADLINE)
        except grpc.aio.AioRpcError:
            return None

    await until_asked(remove, lambda answer: answer, "it is gone and could be removed")
    members = (await anna.members()).members
    assert [member.receiver.receiver_id for member in members] == [anna.receiver_id]
    request.receiver_id = anna.receiver_id
    error = await refused(anna.roles.RemoveMember(request, metadata=metadata, timeout=DEADLINE))
    assert error.reason is Reason.MEMBER_CONNECTED


@together
async def test_f11_a_lone_one_is_known_after_a_kill_of_the_cloud(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with open_channel(own_cloud.address, None) as channel:
        anna, bert = Receiver(channel, account), Receiver(channel, account)
        for receiver in (anna, bert):
            await receiver.attend()
            await anna.until_working()
    own_cloud.kill()
    await asyncio.to_thread(own_cloud.start)
    async with open_channel(own_cloud.address, None) as channel:
        for receiver in (bert, anna):
            receiver.reach(channel)
            await receiver.attend()
        assert await anna.until_working() == 1
        assert not bert.works
