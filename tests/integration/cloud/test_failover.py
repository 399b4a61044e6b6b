"""Who works next when the working receiver is lost (F1, F3), and whose word counts: machine, incarnation, echo."""

import asyncio
import time

import grpc
import pytest

from hotspare.v1 import group_pb2
from hotspare_model.errors import Reason
from hotspare_model.group import GroupSettings
from tests.integration.cloud.helpers import QUICK, SEDATE, Account, CloudProcess, refused, until
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.scene import Scene
from tests.integration.cloud.together import Together

together = Together()

GRACE = SEDATE.reconnect_grace.total_seconds()
SUSPECT = SEDATE.suspect_after.total_seconds()
LEASE = SEDATE.lease.total_seconds()


@together
async def test_f1_the_first_in_order_works_whoever_came_first(
    channel: grpc.aio.Channel, quick_account: Account
) -> None:
    scene = await Scene.set(channel, quick_account, spares=2)
    for receiver in reversed(scene.receivers):
        await receiver.attend()
    await scene.host.until_working()
    listed = await scene.host.members()
    assert [member.status for member in listed.members] == [
        group_pb2.MEMBER_STATUS_WORKING,
        group_pb2.MEMBER_STATUS_STANDBY,
        group_pb2.MEMBER_STATUS_STANDBY,
    ]


@together
async def test_f3_an_ended_stream_is_a_loss_after_the_grace_and_new_alarms_flow_at_once(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    gone = time.monotonic()
    await scene.host.vanish()
    pull = await scene.spare.work()
    assert pull.receiver.epoch == 2
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert GRACE <= time.monotonic() - gone < LEASE


@together
async def test_f3_a_silent_holder_is_lost_though_its_stream_stands(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    line = scene.host.line
    assert line is not None
    line.beating = False
    silent = time.monotonic()
    await scene.spare.until_working()
    assert SUSPECT - 0.2 <= time.monotonic() - silent < LEASE
    assert not line.ended
    await until(lambda: line.states[-1].ended_through == 2, "it is told that its epoch has ended")


@together
async def test_f3_a_holder_that_hears_nothing_is_lost_though_it_beats(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    line = scene.host.line
    assert line is not None
    line.go_deaf()
    await scene.spare.until_working()
    assert scene.spare.epoch == 2
    late = await line.beat()
    await until(lambda: line.answer_to(late), "the beat was answered")
    answer = line.answer_to(late)
    assert answer is not None
    assert not answer.HasField("lease")


@pytest.mark.parametrize("echo", [{"echo_boot": ""}, {"echo_boot": "of-another-run"}, {"echo_number": 10**6}])
async def test_f3_without_a_true_echo_there_is_no_lease(
    channel: grpc.aio.Channel, account: Account, echo: dict[str, object]
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    line = await scene.host.attend(beating=False)
    for _ in range(3):
        number = await line.beat(**echo)
        await until(lambda: line.answer_to(number), "the beat was answered")  # noqa: B023 - it is of this turn
    assert not any(state.working or state.HasField("lease") for state in line.states)
    assert (await scene.host.members()).members[0].status == group_pb2.MEMBER_STATUS_OFFLINE
    line.beating = True
    await scene.host.until_working()


@together
async def test_timing_1_a_grant_names_the_beat_that_it_counts_from(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    line = await scene.host.attend(beating=False)
    hello = line.states[0]
    assert (hello.answers_beat, hello.HasField("lease"), hello.working) == (0, False, False)
    sent = [await line.beat() for _ in range(3)]
    await until(lambda: line.answer_to(sent[-1]), "the beats were answered")
    granted = [state for state in line.states if state.HasField("lease")]
    assert granted
    assert all(state.answers_beat in sent for state in granted)
    assert {state.lease.ToTimedelta() for state in granted} == {SEDATE.holder_lease}
    assert [state.number for state in line.states] == sorted({state.number for state in line.states})
    assert hello.settings.lease.ToTimedelta() == SEDATE.lease


@together
async def test_f3_on_down_to_spare_3_and_with_nobody_left_the_cloud_keeps_the_alarms(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=3)
    await scene.attend()
    for epoch, receiver in enumerate(scene.receivers, start=1):
        pull = await receiver.work()
        assert receiver.epoch == epoch
        await scene.devices[0].publish(zone=epoch)
        await pull.until_zones(epoch)
        await pull.confirm_all()
        await receiver.vanish()
    await scene.devices[0].publish(zone=5)
    back = scene.receivers[2].started_anew()
    pull = await back.work()
    assert back.epoch == 5
    await pull.until_zones(5)
    assert (await back.members()).group.backlog == 1


@together
async def test_f3_a_loss_without_a_successor_ends_no_epoch(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    await scene.host.vanish()
    await asyncio.sleep(LEASE + 0.2)  # the time in which a successor would have the lot
    listed = (await scene.host.members()).members[0]
    assert listed.status == group_pb2.MEMBER_STATUS_OFFLINE
    await scene.host.attend()
    again = await scene.host.work()
    assert scene.host.epoch == 1
    await again.until_zones(1)
    assert not (await scene.host.members()).group.holds


@together
async def test_f7_the_same_incarnation_back_within_the_grace_keeps_its_epoch(
    cloud: CloudProcess, channel: grpc.aio.Channel, default_accounts: list[Account]
) -> None:
    scene = await Scene.set(channel, default_accounts[0])
    await scene.attend()
    await asyncio.sleep(cloud.until_judging(GroupSettings()))
    await scene.host.vanish()
    await scene.host.attend()
    pull = await scene.host.work()
    assert scene.host.epoch == 1
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    await asyncio.sleep(1.2)  # the grace, had it not been ended
    assert (scene.host.epoch, scene.spare.works) == (1, False)


@together
async def test_f7_the_same_incarnation_back_too_late_stands_by(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    await scene.host.vanish()
    await scene.spare.until_working()
    line = await scene.host.attend()
    number = await line.beat()
    await until(lambda: line.answer_to(number), "the beat was answered")
    assert (scene.host.works, scene.host.state.ended_through, scene.host.state.epoch) == (False, 2, 2)


@together
async def test_f3_a_restart_on_the_same_machine_is_proof_that_the_old_one_stopped(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    old = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await old.until_zones(1)
    began = time.monotonic()
    anew = scene.host.started_anew()  # its old streams still stand
    pull = await anew.work()
    await pull.until_zones(1)
    assert time.monotonic() - began < GRACE + 1.0  # far less than the lease: nothing was held
    assert (anew.epoch, pull.alarms[0].attempt) == (2, 2)
    assert not scene.spare.works
    error = await scene.host.line.until_ended() if scene.host.line else None
    assert error is not None
    assert error.reason is Reason.INCARNATION_SUPERSEDED
    assert not (await anew.members()).group.holds


@together
async def test_f3_a_superseded_incarnation_is_refused_for_good(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    await scene.attend()
    anew = scene.host.started_anew()
    await anew.attend()
    await anew.until_working()
    for _ in range(2):
        error = await (await scene.host.attend()).until_ended()
        assert error is not None
        assert error.reason is Reason.INCARNATION_SUPERSEDED
        assert error.metadata == {"receiver_id": anew.receiver_id, "incarnation": scene.host.incarnation}
    assert anew.epoch == 2
    assert not anew.line.ended if anew.line else False


@together
async def test_f3_from_another_machine_it_is_refused_and_the_holder_works_on(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    pull = await scene.host.open_pull()
    copy = scene.host.started_anew(machine_id="another-machine")
    error = await (await copy.attend()).until_ended()
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.MACHINE_MISMATCH, {"receiver_id": copy.receiver_id})
    assert (await refused(copy.join(HOST))).reason is Reason.MACHINE_MISMATCH
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert (scene.host.epoch, scene.host.line is not None and not scene.host.line.ended) == (1, True)


@together
async def test_f7_the_late_word_of_a_dead_process_puts_nobody_out(channel: grpc.aio.Channel, account: Account) -> None:
    """The second start of three is handled last, as after a proxy that held it up."""
    scene = await Scene.set(channel, account)
    await scene.attend()
    dead = scene.host.started_anew()
    living = dead.started_anew()
    pull = await living.work()
    error = await (await dead.attend()).until_ended()
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.START_BEHIND, {"receiver_id": dead.receiver_id, "start": "3"})
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert (living.epoch, living.line is not None and not living.line.ended) == (2, True)


@together
async def test_f3_a_copy_of_the_data_folder_on_the_same_machine_is_refused_and_the_holder_works_on(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    pull = await scene.host.open_pull()
    copy = scene.host.started_anew(folder_id="another folder")
    error = await (await copy.attend()).until_ended()
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.MACHINE_MISMATCH, {"receiver_id": copy.receiver_id})
    await scene.devices[0].publish(zone=1)
    await pull.until_zones(1)
    assert (scene.host.epoch, scene.host.line is not None and not scene.host.line.ended) == (1, True)


@together
async def test_f3_from_another_folder_a_start_is_no_proof_that_the_old_one_stopped(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    old = await scene.host.open_pull()
    await scene.devices[0].publish(zone=1)
    await old.until_zones(1)
    await scene.host.vanish()
    await scene.spare.until_working()
    copy = scene.host.started_anew(folder_id="another folder")
    await copy.attend()
    holds = (await scene.spare.members()).group.holds
    assert [(hold.epoch, hold.alarms) for hold in holds] == [(1, 1)]
    error = await (await scene.host.attend()).until_ended()
    assert error is not None
    assert error.reason is Reason.INCARNATION_SUPERSEDED


@together
async def test_f3_a_newer_stream_of_the_same_incarnation_takes_the_place(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    old = scene.host.line
    assert old is not None
    await scene.host.attend()
    error = await old.until_ended()
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.STREAM_SUPERSEDED, {"stream": "attend"})
    await scene.host.until_working()
    assert scene.host.epoch == 1
    assert scene.host.state.number > old.states[-1].number


@together
async def test_f4_failback_never_delays_the_first_take_over(channel: grpc.aio.Channel, account: Account) -> None:
    """`failback_delay` is an hour in this account."""
    scene = await Scene.set(channel, account)
    await scene.attend()
    await scene.host.vanish()
    await scene.spare.until_working()
    await scene.spare.vanish()
    await scene.host.attend()
    await scene.host.until_working()
    assert scene.host.epoch == 3


@together
async def test_s4_what_is_no_hello_or_no_beat_is_refused(channel: grpc.aio.Channel, account: Account) -> None:
    host = Receiver(channel, account)
    await host.join(HOST)
    for hello, field in (
        ({"incarnation": ""}, "incarnation"),
        ({"incarnation": "x" * 65}, "incarnation"),
        ({"start": 0}, "start"),
        ({"start": 2**53 + 1}, "start"),
        ({"folder_id": "x" * 65}, "folder_id"),
        ({"receiver": group_pb2.ReceiverInfo(receiver_id=host.receiver_id)}, "receiver.machine_id"),
        ({"receiver": group_pb2.ReceiverInfo(receiver_id="no-uuid", machine_id="m")}, "receiver.receiver_id"),
        (
            {"receiver": group_pb2.ReceiverInfo(receiver_id=host.receiver_id, machine_id="m" * 129)},
            "receiver.machine_id",
        ),
        ({"released_through": 2**64 - 1}, "released_through"),
        ({"highest_epoch": 2**64 - 1}, "highest_epoch"),
    ):
        error = await (await host.attend(**hello)).until_ended()
        assert error is not None
        assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, field)
    stranger = Receiver(channel, account)
    error = await (await stranger.attend(generation=1)).until_ended()
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.NOT_A_MEMBER, {"receiver_id": stranger.receiver_id})


@together
async def test_s4_a_second_hello_ends_the_stream(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    # No beats: a write that is under way while the cloud ends the stream costs the client of grpc.aio the status.
    line = await scene.host.attend(beating=False)
    await line.hello()
    error = await line.until_ended()
    assert error is not None
    assert (error.reason, error.metadata) == (Reason.STREAM_PROTOCOL, {"expected": "beat"})


@together
async def test_f3_a_role_taken_anew_by_another_machine_goes_on_with_the_next_epoch(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    await scene.spare.leave()
    other = Receiver(channel, account)
    await other.join(SPARE_1)
    await other.attend()
    await scene.host.vanish()
    await other.until_working()
    assert other.epoch == 2


@together
async def test_f4_one_of_lower_order_that_is_back_stands_by(channel: grpc.aio.Channel, quick_account: Account) -> None:
    scene = await Scene.set(channel, quick_account)
    await scene.attend()
    await scene.spare.vanish()
    await scene.spare.attend()
    await asyncio.sleep(2 * QUICK.failback_delay.total_seconds())
    assert (scene.host.epoch, scene.spare.works) == (1, False)
    listed = (await scene.spare.members()).members[1]
    assert (listed.standby_reason, listed.HasField("failback_time")) == (
        group_pb2.STANDBY_REASON_LOWER_ORDER,
        False,
    )
