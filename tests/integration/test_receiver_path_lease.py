"""The receiver's alarm path against a scripted cloud: lease, epochs, hand-over, restarts."""

import asyncio
from datetime import timedelta

import grpc

from hotspare_model.dc09 import Frame
from hotspare_model.dc09_reply import encode_duh
from hotspare_model.group import GroupSettings
from hotspare_receiver.outputs.sender import Output
from hotspare_receiver.snapshot import Outcome, OutputConfig
from tests.integration.path_fakes import (
    ATTENDANCE,
    BEAT,
    LEASE,
    FakeArc,
    FakeCloud,
    Receiver,
    stored_alarm,
    until,
)


def mute(arc: FakeArc) -> list[Frame]:
    """Have the ARC answer nothing; returns what it gets."""
    got: list[Frame] = []
    arc.answer = lambda frame: got.append(frame)
    return got


def patient(receiver: Receiver) -> OutputConfig:
    """An output that waits long for its answers."""
    config = receiver.output()
    return receiver.output(dc09=type(config.dc09)(answer_timeout=timedelta(seconds=30), heartbeat=timedelta(0)))


# --- The lease ---


async def test_timing_1_a_standby_beats_and_pulls_nothing(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    cloud.working = False
    cloud.publish(stored_alarm(1))
    receiver.start()
    await until(lambda: len(cloud.beats) >= 5)
    assert [beat.number for beat in cloud.beats[:5]] == [1, 2, 3, 4, 5]
    assert cloud.beats[4].echo_number >= 1
    assert (cloud.opens, arc.frames) == ([], [])
    hello = cloud.hellos[0]
    assert (hello.receiver.receiver_id, hello.incarnation, hello.generation) == ("receiver-1", "incarnation-1", 1)


async def test_timing_1_a_channel_that_is_closed_under_the_streams_is_replaced(
    receiver: Receiver, cloud: FakeCloud
) -> None:
    receiver.start()
    await until(lambda: cloud.opens)
    before, receiver.grpc_channel = receiver.grpc_channel, grpc.aio.insecure_channel(cloud.address)
    await before.close()
    await until(lambda: len(cloud.hellos) >= 2 and len(cloud.opens) >= 2)
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])


async def test_timing_1_beats_are_numbered_on_over_a_new_stream(receiver: Receiver, cloud: FakeCloud) -> None:
    receiver.start()
    await until(lambda: len(cloud.beats) >= 3)
    receiver.path.reconnect()
    await until(lambda: len(cloud.hellos) == 2 and len(cloud.beats) >= 8)
    numbers = [beat.number for beat in cloud.beats]
    assert numbers == sorted(set(numbers))


async def test_f7_a_pull_that_is_replaced_does_not_take_its_successor_down_with_it(
    receiver: Receiver, cloud: FakeCloud
) -> None:
    receiver.start()
    for number in range(1, 21):
        await until(lambda: receiver.path.snapshot().pull.open)
        opened = len(cloud.opens)
        receiver.path.reconnect()
        await until(lambda opened=opened: len(cloud.opens) > opened)  # type: ignore[misc]
        cloud.publish(stored_alarm(number))
        # Told on the stream that is open now: no later one has to say it again.
        await until(lambda number=number: cloud.confirmed[-1:] == [number])  # type: ignore[misc]
        assert len(cloud.opens) == opened + 1
    assert sorted(set(cloud.confirmed)) == list(range(1, 21))


async def test_f7_when_the_lease_runs_out_nothing_more_is_written(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    cloud.granting = False
    await until(lambda: not receiver.path.snapshot().lease.working)
    cloud.publish(stored_alarm(2))
    await until(lambda: receiver.path.snapshot().waiting == 1)
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats + 5)
    assert arc.sequences == [1]
    assert receiver.path.snapshot().outputs[0].attempts == {Outcome.CONFIRMED: 1}
    cloud.granting = True
    await until(lambda: cloud.confirmed == [1, 2])


async def test_f7_a_lost_cloud_costs_the_lease_and_not_sooner(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    await until(lambda: receiver.path.snapshot().lease.working)
    loop = asyncio.get_running_loop()
    lost = loop.time()
    await cloud.server.stop(0)
    await until(lambda: not receiver.path.snapshot().cloud.connected)
    assert receiver.path.snapshot().lease.working
    await until(lambda: not receiver.path.snapshot().lease.working)
    longest = GroupSettings(lease=LEASE, beat=BEAT).holder_lease.total_seconds()
    assert longest - 0.5 < loop.time() - lost < longest + 0.3


async def test_f7_the_end_of_the_epoch_stops_all_writing_at_once(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    got = mute(arc)
    receiver.start(patient(receiver))
    cloud.publish(*(stored_alarm(number) for number in (1, 2, 3)))
    await until(lambda: got)
    cloud.end_epoch(epoch=2)
    await until(lambda: receiver.path.snapshot().lease.epoch == 0)
    # What is in flight is a fact when its answer comes, under the epoch of its delivery.
    arc.say(arc.ack(got[0]))
    await until(lambda: cloud.confirmed == [1])
    assert cloud.confirms[0].epoch == 1
    assert arc.sequences == [1]
    assert receiver.path.snapshot().waiting == 0


async def test_timing_2_an_epoch_that_is_over_is_released_after_its_last_confirmation_is_stored(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    got = mute(arc)
    cloud.storing = False
    receiver.start(patient(receiver))
    cloud.publish(stored_alarm(1))
    await until(lambda: got)
    cloud.end_epoch(epoch=2)
    await until(lambda: receiver.path.snapshot().lease.epoch == 0)
    arc.say(arc.ack(got[0]))
    await until(lambda: cloud.confirmed == [1])
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats + 2)
    assert cloud.beats[-1].released_through == 0
    cloud.storing = True
    receiver.path._pull.reopen("the test wants the confirmation stored")
    receiver.path._pull.changed()
    await until(lambda: cloud.beats[-1].released_through == 1)


async def test_timing_1_a_lease_that_ends_with_the_message_unsent_cuts_the_connection(
    receiver: Receiver, cloud: FakeCloud
) -> None:
    # A peer that takes nothing: its window is full, so that bytes stay on this side.
    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    server = await asyncio.start_server(never_read, "127.0.0.1", 0)
    receiver.arc.address = type(receiver.arc.address)("127.0.0.1", server.sockets[0].getsockname()[1])
    receiver.start(patient(receiver))
    await until(lambda: receiver.path.snapshot().outputs[0].link == 3)
    output = receiver.path._work._outputs["arc"]
    assert isinstance(output, Output)
    output._link.write(b"\0" * 20_000_000)
    cloud.publish(stored_alarm(1))
    await until(lambda: receiver.path.snapshot().waiting == 1)
    cloud.end_epoch(epoch=2)
    await until(lambda: not output._link.up)
    await receiver.journal.flush()
    record = await receiver.journal.get_alarm(number=1)
    assert record is not None
    assert "unsent" in record.attempts[0].detail
    server.close()


# --- Redeliveries, gaps, facts ---


async def test_f6_a_redelivered_alarm_that_is_confirmed_is_confirmed_again_and_not_sent(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.storing = False
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    cloud.queue[1] = stored_alarm(1)
    cloud.storing = True
    receiver.path._pull.reopen("the test says so")
    await until(lambda: receiver.path.snapshot().counters.confirmed_again == 1)
    await until(lambda: receiver.path.snapshot().pull.unstored == 0)
    assert arc.sequences == [1]


async def test_timing_3_a_confirmation_outlives_the_process_and_is_told_by_the_next(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.storing = False
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    await receiver.crash()
    cloud.confirms.clear()
    cloud.epoch, cloud.ended_through, cloud.working, cloud.storing = 2, 1, False, True
    receiver.start()
    await until(lambda: cloud.confirmed == [1])
    assert (cloud.confirms[0].epoch, cloud.opens[-1].epoch) == (1, 0)
    await until(lambda: receiver.path.snapshot().pull.unstored == 0)
    assert cloud.hellos[-1].highest_epoch == 1
    assert arc.sequences == [1]


async def test_f6_after_a_restart_a_redelivered_confirmed_alarm_is_not_sent(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: cloud.confirmed == [1, 2] and receiver.path.snapshot().pull.unstored == 0)
    await receiver.crash()
    cloud.confirms.clear()
    cloud.epoch = 2
    cloud.publish(stored_alarm(2), stored_alarm(3))
    receiver.start()
    await until(lambda: sorted(cloud.confirmed) == [2, 3])
    assert {one.epoch for one in cloud.confirms} == {2}
    assert arc.sequences == [1, 2, 3]


async def test_f6_the_same_number_with_another_id_is_another_alarm(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1] and receiver.path.snapshot().pull.unstored == 0)
    await receiver.crash()
    cloud.epoch = 2
    cloud.publish(stored_alarm(1, alarm_id="00000000-0000-7000-8000-ffffffffffff"))
    receiver.start()
    await until(lambda: cloud.confirmed == [1, 1])
    assert arc.sequences == [1, 1]


async def test_timing_2_a_gap_in_the_deliveries_opens_the_pull_anew(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    await until(lambda: cloud.opens)
    cloud.skip_delivery = True
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    assert [opening.pull_id for opening in cloud.opens] == [1, 2]
    assert receiver.path.snapshot().pull.reopened == 1


async def test_timing_4_a_pull_that_the_cloud_does_not_have_is_opened_anew(
    receiver: Receiver, cloud: FakeCloud
) -> None:
    receiver.start()
    await until(lambda: cloud.opens)
    cloud.claimed_pull = 0
    await until(lambda: len(cloud.opens) >= 2)
    assert [opening.pull_id for opening in cloud.opens[:2]] == [1, 2]


async def test_f7_a_withdrawn_alarm_is_not_sent(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    got = mute(arc)
    receiver.start(patient(receiver))
    cloud.publish(*(stored_alarm(number) for number in (1, 2, 3)))
    await until(lambda: got)
    cloud.withdraw(2)
    await until(lambda: receiver.path.snapshot().counters.withdrawn == 1)
    arc.answer = arc.ack
    arc.say(arc.ack(got[0]))
    await until(lambda: cloud.confirmed == [1, 3])
    assert arc.sequences == [1, 3]


async def test_f7_a_new_epoch_of_the_same_receiver_pulls_under_it(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    cloud.end_epoch(epoch=2, working=True)
    await until(lambda: cloud.opens[-1].epoch == 2)
    cloud.publish(stored_alarm(2))
    await until(lambda: cloud.confirmed == [1, 2])
    assert cloud.confirms[-1].epoch == 2


# --- F5: hand-over ---


async def test_f5_a_yield_finishes_what_is_in_flight_and_releases_after_it_is_stored(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    got = mute(arc)
    cloud.storing = False
    receiver.start(patient(receiver))
    cloud.publish(*(stored_alarm(number) for number in (1, 2, 3)))
    await until(lambda: got)
    cloud.yield_to = "receiver-2"
    cloud.push()
    await until(lambda: receiver.path.snapshot().lease.draining)
    arc.say(arc.ack(got[0]))
    await until(lambda: cloud.confirmed == [1])
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats + 2)
    assert cloud.beats[-1].released_through == 0
    cloud.storing = True
    receiver.path._pull.reopen("the test wants the confirmation stored")
    await until(lambda: cloud.ended_through == 1)
    assert cloud.beats[-1].released_through == 1
    assert arc.sequences == [1]


async def test_f5_a_yield_that_is_taken_back_goes_on_with_what_was_given_back(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    got = mute(arc)
    receiver.start(patient(receiver))
    cloud.publish(*(stored_alarm(number) for number in (1, 2, 3)))
    await until(lambda: got)
    cloud.yield_to = "receiver-2"
    cloud.push()
    await until(lambda: receiver.path.snapshot().waiting == 1)
    cloud.yield_to = ""
    cloud.push()
    await until(lambda: not receiver.path.snapshot().lease.draining)
    arc.answer = arc.ack
    arc.say(arc.ack(got[0]))
    # A confirmation may be told in both pulls.
    await until(lambda: set(cloud.confirmed) == {1, 2, 3})
    assert arc.sequences == [1, 2, 3]


async def test_f5_what_is_refused_during_a_hand_over_goes_back_at_once(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    got = mute(arc)
    receiver.start(patient(receiver))
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: got)
    cloud.yield_to = "receiver-2"
    cloud.push()
    await until(lambda: receiver.path.snapshot().lease.draining)
    arc.say(encode_duh(got[0]))
    await until(lambda: cloud.ended_through == 1)
    assert (arc.sequences, cloud.confirms) == ([1], [])


async def test_f5_a_hand_over_does_not_wait_longer_than_the_drain_timeout(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    got = mute(arc)
    receiver.start(patient(receiver))
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: got)
    cloud.yield_to = "receiver-2"
    cloud.push()
    await until(lambda: cloud.ended_through == 1)
    assert cloud.confirms == []
    assert arc.sequences == [1]


async def test_f5_a_clean_stop_hands_over(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    await receiver.path.stop(timedelta(seconds=5))
    assert cloud.ended_through == 1
    assert any(beat.wants_release for beat in cloud.beats)
    beats = len(cloud.beats)
    await asyncio.sleep(3 * BEAT.total_seconds())
    assert len(cloud.beats) == beats


async def test_f5_a_clean_stop_without_a_cloud_is_bounded(receiver: Receiver, cloud: FakeCloud) -> None:
    receiver.start()
    await until(lambda: receiver.path.snapshot().lease.working)
    await cloud.server.stop(0)
    async with asyncio.timeout(2.0):
        await receiver.path.stop(timedelta(seconds=0.5))
    assert not receiver.path.snapshot().lease.working


async def test_x1_leaving_hands_over_and_tells_what_is_released(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    assert await receiver.path.leave(timedelta(seconds=5)) == 1
    assert cloud.ended_through == 1
    snapshot = receiver.path.snapshot()
    assert (snapshot.attendance, snapshot.cloud.connected, snapshot.lease.working) == (None, False, False)
    # The same process may join again.
    cloud.working = True
    receiver.path.attend(ATTENDANCE)
    cloud.publish(stored_alarm(2))
    await until(lambda: cloud.confirmed == [1, 2])


async def test_f7_a_fence_stops_all_writing(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    receiver.path.fence()
    cloud.publish(stored_alarm(2))
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats + 5)
    assert arc.sequences == [1]
    assert cloud.beats[-1].epoch == 0
