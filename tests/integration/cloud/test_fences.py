"""What the epoch fences, and that a confirmation is a fact (F7)."""

import grpc

from hotspare.v1 import role_service_pb2
from hotspare_rpc.credentials import BearerToken
from tests.integration.cloud.helpers import Account, CloudProcess, numbers_in, until, until_asked
from tests.integration.cloud.receivers import HOST, Pull, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together()


async def moved(channel: grpc.aio.Channel, account: Account) -> tuple[Scene, Pull, Pull]:
    """A group whose host is gone with an alarm of the first device, in zone 1; spare 1 works in epoch 2 and pulls."""
    scene = await Scene.set(channel, account)
    await scene.attend()
    old = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await old.until_zones(1)
    await scene.host.vanish()
    return scene, old, await scene.spare.work()


async def late(receiver: Receiver) -> Pull:
    """A stream of a receiver that only has confirmations to send."""
    pull = await receiver.open_pull(epoch=0)
    await until(lambda: pull.stale is not None, "it is stale")
    return pull


@together
async def test_f7_a_pull_under_a_stale_epoch_is_told_so_and_gets_nothing(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, _, successor = await moved(channel, account)
    await scene.host.attend()
    for epoch in (1, 0, 7):
        pull = await scene.host.open_pull(epoch=epoch)
        await until(lambda: pull.stale is not None, "it is stale")  # noqa: B023 - it is of this turn
        assert pull.stale == 2
        await scene.devices[1].publish(zone=9)
        await until(lambda: successor.zones.count(9) == 1, "the successor got it")
        await successor.confirm(successor.numbers[-1])
        successor.alarms.clear()
        assert pull.alarms == []


@together
async def test_f7_one_on_standby_that_names_the_current_epoch_gets_nothing(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    await scene.devices[0].publish(zone=1)
    pull = await scene.spare.open_pull(epoch=1)
    await until(lambda: pull.stale is not None, "it is stale")
    assert pull.stale == 1
    await (await scene.host.open_pull()).until_zones(1)
    assert pull.alarms == []


@together
async def test_f7_the_holder_itself_gets_nothing_under_an_epoch_that_is_not_its_own(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    await scene.spare.vanish()
    await scene.spare.attend(highest_epoch=6)
    await until(lambda: scene.host.epoch == 7, "the holder goes on in a later epoch")
    right = await scene.host.open_pull()
    for epoch in (0, 1, 8):
        wrong = await scene.host.open_pull(epoch=epoch)
        await until(lambda: wrong.stale is not None, "it is stale")  # noqa: B023 - it is of this turn
        assert (wrong.stale, wrong.alarms) == (7, [])
    scene.host.pull = right
    await scene.devices[0].publish(zone=1)
    await right.until_zones(1)
    assert wrong.alarms == []


@together
async def test_f7_another_incarnation_of_the_holder_gets_nothing_under_its_epoch(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    twin = scene.host.started_anew()
    pull = await twin.open_pull(epoch=1)
    await until(lambda: pull.stale is not None, "it is stale")
    await scene.devices[0].publish(zone=1)
    await (await scene.host.open_pull()).until_zones(1)
    assert pull.alarms == []


@together
async def test_f7_the_end_of_an_epoch_is_told_in_its_pull_and_confirmations_still_pass(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    old = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await old.until_zones(1)
    line = scene.host.line
    assert line is not None
    line.beating = False  # lost by silence: its pull stands
    await scene.spare.until_working()
    await until(lambda: old.stale is not None, "it is stale")
    assert old.stale == 2
    await old.confirm_all()
    assert (await scene.spare.members()).group.backlog == 0
    await old.half_close()
    assert old.code is grpc.StatusCode.OK


@together
async def test_f7_a_late_confirmation_counts_and_withdraws_the_successors_copy(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, old, successor = await moved(channel, account)
    await successor.until_zones(1)  # the hold has ended
    assert successor.alarms[0].attempt == 2
    assert successor.alarms[0].maybe_sent
    stored = await (await late(scene.host)).confirm_ranges([(old.number_of(1), old.number_of(1))], epoch=1)
    assert (numbers_in(stored.ranges), stored.epoch) == ([1], 1)
    await until(lambda: successor.withdrawn == [1], "it was withdrawn")
    assert (await scene.spare.members()).group.backlog == 0
    # Sent and confirmed there as well, it is confirmed all the same.
    stored = await successor.confirm_ranges([(1, 1)], epoch=2)
    assert numbers_in(stored.ranges) == [1]


@together
async def test_f7_a_late_confirmation_during_the_hold_spares_the_redelivery(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, old, successor = await moved(channel, account)
    await scene.devices[0].publish(zone=2)  # waits behind the one in flight
    stored = await (await late(scene.host)).confirm_ranges([(old.number_of(1), old.number_of(1))], epoch=1)
    assert numbers_in(stored.ranges) == [1]
    await successor.until_zones(2)
    assert successor.withdrawn == []
    group = (await scene.spare.members()).group
    assert (group.backlog, [hold.alarms for hold in group.holds]) == (1, [0])


@together
async def test_f7_a_late_confirmation_comes_from_a_new_incarnation_or_one_that_left(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    scene, old, _ = await moved(channel, account)
    anew = scene.host.started_anew()
    stored = await (await late(anew)).confirm_ranges([(old.number_of(1), old.number_of(1))], epoch=1)
    assert numbers_in(stored.ranges) == [1]

    scene, old, _ = await moved(channel, other_account)
    await scene.host.roles.RemoveMember(
        role_service_pb2.RemoveMemberRequest(
            receiver_id=scene.host.receiver_id, arc_id=other_account.arc_id, force=True
        ),
        metadata=BearerToken(cloud.token).metadata(),
    )
    removed = await late(scene.host)
    assert removed.stale == 0
    stored = await removed.confirm_ranges([(old.number_of(1), old.number_of(1))], epoch=1)
    assert numbers_in(stored.ranges) == [1]
    assert (await scene.spare.members()).group.backlog == 0


@together
async def test_f7_a_confirmation_of_what_was_never_delivered_changes_nothing(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene, _, successor = await moved(channel, account)
    await scene.devices[1].publish(zone=2)
    await until(lambda: 2 in successor.zones, "the new alarm came")
    number = successor.number_of(2)
    host = await late(scene.host)
    for epoch, ranges in (
        (2, [(number, number)]),  # delivered to another receiver
        (1, [(number, number)]),  # under another epoch
        (1, [(number + 1, number + 5)]),  # not there
        (9, [(1, 1)]),  # no such epoch
        (0, [(1, 1)]),
    ):
        stored = await host.confirm_ranges(ranges, epoch=epoch)
        assert not stored.ranges, (epoch, ranges)
        assert [(each.first, each.last) for each in stored.never_delivered] == ranges
    assert (await scene.spare.members()).group.backlog == 2
    # Of a range the part counts that was delivered.
    stored = await host.confirm_ranges([(1, number + 5)], epoch=1)
    assert numbers_in(stored.ranges) == [1]
    assert [(each.first, each.last) for each in stored.never_delivered] == [(2, number + 5)]
    assert (await scene.spare.members()).group.backlog == 1


@together
async def test_f7_a_beat_under_an_ended_epoch_renews_nothing(channel: grpc.aio.Channel, account: Account) -> None:
    scene, _, _ = await moved(channel, account)
    back = await scene.host.attend(beating=False)
    back.claims_epoch = 1
    answered = await back.beat()
    await until(lambda: back.answer_to(answered), "the beat was answered")
    state = back.states[-1]
    assert (state.working, state.HasField("lease"), state.epoch, state.ended_through) == (False, False, 2, 2)
    assert state.working_receiver_id == scene.spare.receiver_id
    assert scene.spare.epoch == 2


@together
async def test_f7_a_beat_with_an_epoch_of_the_future_is_answered_without_a_lease(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    line = scene.host.line
    assert line is not None
    line.claims_epoch = 99
    number = await line.beat()
    await until(lambda: line.answer_to(number), "the beat was answered")
    answer = line.answer_to(number)
    assert answer is not None
    assert not answer.HasField("lease")
    await scene.spare.until_working()
    assert scene.spare.epoch == 2


@together
async def test_f7_the_cloud_goes_on_above_the_highest_epoch_that_a_member_saw(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    assert scene.host.epoch == 1
    await scene.spare.vanish()
    await scene.spare.attend(highest_epoch=40)
    await until(lambda: scene.host.epoch == 41, "the holder goes on above it")
    pull = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert pull.epochs == [41]


@together
async def test_f7_an_absurd_highest_epoch_does_not_lock_the_group(channel: grpc.aio.Channel, account: Account) -> None:
    host = Receiver(channel, account)
    await host.join(HOST)
    line = await host.attend(highest_epoch=2**53)
    if line.ended:
        return  # refused: fine
    await host.until_working()
    seen = host.epoch
    await host.vanish()
    anew = host.started_anew()
    again = await anew.attend(highest_epoch=seen)
    assert not again.ended, again.error
    await anew.until_working()
    pull = await anew.open_pull()
    stored = await pull.confirm_ranges([(1, 1)], epoch=anew.epoch)
    assert stored is not None, pull.error


@together
async def test_f7_epochs_of_two_groups_do_not_mix(
    channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    one, other = await Scene.set(channel, account), await Scene.set(channel, other_account)
    pulls = [await scene.host.work() for scene in (one, other)]
    for scene, pull in zip((one, other), pulls, strict=True):
        await scene.devices[0].publish(zone=1)
        await pull.until_zones(1)
    await pulls[0].confirm_all()
    listed = await until_asked(other.host.members, lambda _: True)
    assert listed.group.backlog == 1
