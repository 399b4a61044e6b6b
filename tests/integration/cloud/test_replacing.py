"""A machine that is gone for good: removed, and its role taken by a spare that is promoted, or by another one (G8)."""

from typing import Any

import grpc

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.credentials import operator_metadata
from tests.integration.cloud.helpers import DEADLINE, Account, CloudProcess, refused, until, until_asked
from tests.integration.cloud.receivers import HOST, SPARE_1, SPARE_2, Receiver
from tests.integration.cloud.scene import Scene


async def promote(receiver: Receiver, *, role: int = HOST, operator: str = "night shift") -> Any:
    """Take the host's role with the copy that is here."""
    request = role_service_pb2.JoinGroupRequest(
        sub_account=receiver.sub_account,
        role=group_pb2.Role.ValueType(role),
        receiver=receiver.described(),
        promote=True,
    )
    metadata = receiver.metadata + operator_metadata(operator)
    return await receiver.roles.JoinGroup(request, metadata=metadata, timeout=DEADLINE)


async def remove(receiver: Receiver, gone: Receiver, **fields: Any) -> group_pb2.Group:
    """Remove a member, by another one."""
    request = role_service_pb2.RemoveMemberRequest(receiver_id=gone.receiver_id, **fields)
    metadata = receiver.metadata + operator_metadata("night shift")
    return (await receiver.roles.RemoveMember(request, metadata=metadata, timeout=DEADLINE)).group


async def history(receiver: Receiver) -> list[group_pb2.Transition]:
    """The history, newest first."""
    request = role_service_pb2.ListTransitionsRequest()
    answer = await receiver.roles.ListTransitions(request, metadata=receiver.metadata, timeout=DEADLINE)
    return list(answer.transitions)


async def gone(scene: Scene) -> None:
    """The host dies while it works, and spare 1 takes over."""
    await scene.attend()
    await scene.host.vanish()
    await scene.spare.until_working()


async def test_g8_a_dead_host_is_removed_and_the_spare_keeps_role_and_work(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await gone(scene)
    epoch = scene.spare.epoch
    group = await remove(scene.spare, scene.host)
    assert list(group.free_roles) == [HOST]
    listed = await scene.spare.members()
    assert [(row.role, row.status) for row in listed.members] == [(SPARE_1, group_pb2.MEMBER_STATUS_WORKING)]
    assert listed.group.epoch == epoch
    line = (await history(scene.spare))[0]
    assert (line.kind, line.from_receiver_id, line.operator_name) == (
        group_pb2.TRANSITION_KIND_MEMBER_REMOVED,
        scene.host.receiver_id,
        "night shift",
    )
    # Once more is no error, and writes no second line.
    await remove(scene.spare, scene.host)
    assert len([each for each in await history(scene.spare) if each.kind == line.kind]) == 1


async def test_g8_the_removed_one_that_comes_back_is_told_so(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    generation = (await scene.host.members()).members[0].generation
    await gone(scene)
    await remove(scene.spare, scene.host)
    back = scene.host.started_anew()
    line = await back.attend(generation=generation)
    assert (await line.until_ended()).reason is Reason.NOT_A_MEMBER  # type: ignore[union-attr]


async def test_g8_a_member_that_is_connected_is_not_removed_as_a_dead_one(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    for member in scene.receivers:
        error = await refused(remove(scene.spare, member))
        assert (error.reason, error.metadata["receiver_id"]) == (Reason.MEMBER_CONNECTED, member.receiver_id)
    assert len((await scene.spare.members()).members) == 2
    assert all(line.kind != group_pb2.TRANSITION_KIND_MEMBER_REMOVED for line in await history(scene.spare))
    await remove(scene.spare, scene.host, force=True)
    assert scene.host.line is not None
    assert (await scene.host.line.until_ended()).reason is Reason.NOT_A_MEMBER  # type: ignore[union-attr]
    await scene.spare.until_working()


async def test_g8_a_spare_is_promoted_in_place_of_a_dead_host_and_its_work_goes_on(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=2)
    await gone(scene)
    epoch = scene.spare.epoch
    pull = await scene.spare.open_pull()
    answer = await promote(scene.spare)
    assert (answer.member.role, answer.member.status) == (HOST, group_pb2.MEMBER_STATUS_WORKING)
    listed = await scene.spare.members()
    assert [(row.role, row.receiver.receiver_id) for row in listed.members] == [
        (HOST, scene.spare.receiver_id),
        (SPARE_2, scene.receivers[2].receiver_id),
    ]
    assert listed.group.epoch == epoch, "no move"
    await scene.devices[0].publish()
    await until(lambda: len(pull.alarms) == 1, "alarms go on under the same epoch and stream")
    lines = await history(scene.spare)
    assert [(line.kind, line.operator_name) for line in lines[:2]] == [
        (group_pb2.TRANSITION_KIND_MEMBER_JOINED, "night shift"),
        (group_pb2.TRANSITION_KIND_MEMBER_REMOVED, "night shift"),
    ]
    again = await promote(scene.spare)
    assert again.member.generation == answer.member.generation
    assert len(await history(scene.spare)) == len(lines)


async def test_g8_nobody_is_promoted_past_a_host_that_is_connected(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    error = await refused(promote(scene.spare))
    assert (error.reason, error.metadata["receiver_id"]) == (Reason.MEMBER_CONNECTED, scene.host.receiver_id)
    assert [row.role for row in (await scene.spare.members()).members] == [HOST, SPARE_1]
    assert scene.host.line is not None
    assert not scene.host.line.ended


async def test_g8_only_a_spare_is_promoted_and_only_to_host(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    assert (await refused(promote(Receiver(channel, account)))).reason is Reason.NOT_A_MEMBER
    assert (await refused(promote(scene.spare, role=SPARE_2))).metadata["field"] == "promote"
    assert [row.role for row in (await scene.host.members()).members] == [HOST, SPARE_1]


async def test_g8_a_refused_promotion_removes_nobody(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    elsewhere = scene.spare.started_anew(machine_id="another machine")
    assert (await refused(promote(elsewhere))).reason is Reason.MACHINE_MISMATCH
    assert [row.role for row in (await scene.host.members()).members] == [HOST, SPARE_1]


async def test_g8_another_machine_takes_the_role_that_was_freed(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await gone(scene)
    new = Receiver(channel, account)
    assert (await refused(new.join(HOST))).reason is Reason.ROLE_TAKEN
    await remove(scene.spare, scene.host)
    assert (await new.join(HOST)).member.role == HOST
    await new.attend()
    listed = await until_asked(new.members, lambda answer: len(answer.members) == 2)
    assert [row.role for row in listed.members] == [HOST, SPARE_1]


async def test_g8_a_promotion_outlives_a_kill_of_the_cloud(own_cloud: CloudProcess) -> None:
    from hotspare_rpc.channel import open_channel
    from tests.integration.cloud.helpers import SEDATE, furnish, new_accounts

    (account,) = new_accounts("own", 1)
    await furnish(own_cloud.data, [account], SEDATE)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        scene = await Scene.set(channel, account)
        await promote(scene.spare)
    own_cloud.kill()
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        scene.spare.reach(channel)
        listed = await scene.spare.members()
        assert [(row.role, row.receiver.receiver_id) for row in listed.members] == [(HOST, scene.spare.receiver_id)]
