"""A watch streams every change of the group at once (G6)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.credentials import BearerToken
from tests.integration.cloud.helpers import SEDATE, Account, CloudProcess, refused, until
from tests.integration.cloud.receivers import SPARE_1, SPARE_2, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together()

WORKING = group_pb2.MEMBER_STATUS_WORKING
STANDBY = group_pb2.MEMBER_STATUS_STANDBY
OFFLINE = group_pb2.MEMBER_STATUS_OFFLINE


class Watch:
    """What a watch has told."""

    def __init__(self) -> None:
        self.messages: list[role_service_pb2.WatchMembersResponse] = []

    def statuses(self) -> list[int]:
        """Of all members, in their order, as told last."""
        return [member.status for member in self.messages[-1].members]

    async def until_statuses(self, *statuses: int, deadline: float = 5) -> None:
        """Wait until it tells these."""
        await until(lambda: self.statuses() == list(statuses), f"it told {statuses}", deadline)


@asynccontextmanager
async def watching(receiver: Receiver) -> AsyncIterator[Watch]:
    """A watch of a receiver's group."""
    watch = Watch()
    request = role_service_pb2.WatchMembersRequest(sub_account=receiver.sub_account)
    call = receiver.roles.WatchMembers(request, metadata=receiver.metadata)

    async def listen() -> None:
        async for message in call:
            watch.messages.append(message)

    task = asyncio.create_task(listen())
    try:
        await until(lambda: watch.messages, "the first state came")
        yield watch
    finally:
        call.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@together
async def test_g6_a_watch_tells_who_joins_attends_works_and_leaves(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    async with watching(scene.host) as watch:
        assert watch.statuses() == [OFFLINE]
        assert watch.messages[0].members[0].is_self
        await scene.host.attend()
        await watch.until_statuses(WORKING)
        spare = Receiver(channel, account)
        await spare.join(SPARE_1)
        await watch.until_statuses(WORKING, OFFLINE)
        await spare.attend()
        await watch.until_statuses(WORKING, STANDBY)
        await spare.join(SPARE_2)
        await until(lambda: watch.messages[-1].members[-1].role == SPARE_2, "the new role came")
        await spare.leave()
        await watch.until_statuses(WORKING)
        generations = [message.group.generation for message in watch.messages]
        assert generations == sorted(generations)


@together
async def test_g6_a_watch_is_told_of_a_spare_that_vanished(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    async with watching(scene.host) as watch:
        await watch.until_statuses(WORKING, STANDBY)
        gone = time.monotonic()
        await scene.spare.vanish()
        await watch.until_statuses(WORKING, OFFLINE)
        assert time.monotonic() - gone < SEDATE.reconnect_grace.total_seconds() + 0.5


@together
async def test_g6_a_watch_is_told_of_a_spare_that_fell_silent(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    async with watching(scene.host) as watch:
        await watch.until_statuses(WORKING, STANDBY)
        assert scene.spare.line is not None
        scene.spare.line.beating = False
        await watch.until_statuses(WORKING, OFFLINE)
        scene.spare.line.beating = True
        await watch.until_statuses(WORKING, STANDBY)


@together
async def test_g6_a_watch_tells_a_take_over_and_the_hold_until_it_ends(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    async with watching(scene.spare) as watch:
        await scene.host.vanish()
        await watch.until_statuses(OFFLINE, WORKING)
        group = watch.messages[-1].group
        assert (group.epoch, group.working_receiver_id) == (2, scene.spare.receiver_id)
        assert [(hold.epoch, hold.alarms) for hold in group.holds] == [(1, 1)]
        await until(lambda: not watch.messages[-1].group.holds, "the end of the hold came")


@together
async def test_g6_a_watch_tells_a_change_of_health_and_sync(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    async with watching(scene.host) as watch:
        await watch.until_statuses(WORKING, STANDBY)
        assert scene.spare.line is not None
        scene.spare.line.beating = False
        await scene.spare.line.beat(sync_state=group_pb2.SYNC_STATE_BEHIND, sync_revision=3)
        await until(lambda: watch.messages[-1].members[1].sync_state == group_pb2.SYNC_STATE_BEHIND, "the state came")


@together
async def test_g6_nothing_is_told_where_nothing_changes(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    async with watching(scene.host) as watch:
        await watch.until_statuses(WORKING, STANDBY)
        await asyncio.sleep(0.3)
        known = len(watch.messages)
        await asyncio.sleep(1.0)  # ten beats of each
        assert len(watch.messages) == known


@together
async def test_g6_an_operator_watches_and_a_stranger_does_not(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    request = role_service_pb2.WatchMembersRequest(arc_id=account.arc_id)
    first = await anext(aiter(scene.host.roles.WatchMembers(request, metadata=BearerToken(cloud.token).metadata())))
    assert [member.is_self for member in first.members] == [False, False]
    stranger = scene.host.roles.WatchMembers(request, metadata=BearerToken("wrong").metadata())
    assert (await refused(anext(aiter(stranger)))).reason is Reason.INVALID_CREDENTIALS
