"""The health that a receiver tells with its beats, as its outputs, disk, loop and pull really are (F3, O2)."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hotspare.v1 import group_pb2
from hotspare_model.dc09_reply import encode_duh, encode_nak
from hotspare_receiver import health as health_watch
from hotspare_receiver.core import health
from hotspare_receiver.snapshot import LinkState, Outcome, OutputConfig, ProblemKind
from tests.integration.path_fakes import MORNING, SETTINGS, FakeArc, FakeCloud, Receiver, stored_alarm, until

AFTER = 1.0


@pytest.fixture
async def cloud() -> AsyncIterator[FakeCloud]:
    cloud = FakeCloud()
    cloud.settings = replace(SETTINGS, unhealthy_after=timedelta(seconds=AFTER))
    await cloud.start()
    yield cloud
    await cloud.server.stop(0)


@pytest.fixture
async def receiver(
    tmp_path: Path, cloud: FakeCloud, arc: FakeArc, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Receiver]:
    monkeypatch.setattr(health_watch, "PULSE", 0.05)
    receiver = Receiver(tmp_path, cloud, arc)
    yield receiver
    await receiver.crash()


def supervised(receiver: Receiver) -> OutputConfig:
    """An output with a heartbeat."""
    dc09 = replace(receiver.output().dc09, heartbeat=timedelta(seconds=0.2))
    return receiver.output(dc09=dc09)


def told(cloud: FakeCloud) -> list[tuple[int, str]]:
    """The problems of the newest beat, as kind and subject."""
    return [(problem.kind, problem.subject) for problem in cloud.beats[-1].health.problems] if cloud.beats else []


async def well(cloud: FakeCloud) -> None:
    """Wait for a beat without a problem."""
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats and not cloud.beats[-1].health.problems)


def hold_up(seconds: float) -> None:
    """Keep the event loop from everything else."""
    time.sleep(seconds)


OUTPUT_DOWN = (group_pb2.HEALTH_PROBLEM_KIND_OUTPUT_DOWN, "arc")


# --- Outputs ---


async def test_o2_the_link_of_a_standby_is_open_and_proved(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    cloud.working = False
    receiver.start(supervised(receiver))
    await until(lambda: len(arc.frames) >= 3)
    assert {frame.id_token for frame in arc.frames} == {"NULL"}
    assert receiver.path.snapshot().outputs[0].link is LinkState.UP
    await well(cloud)


async def test_f3_a_standby_whose_arc_is_down_is_not_healthy_until_it_is_back(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.working = False
    receiver.start(supervised(receiver))
    await until(lambda: arc.frames)
    port = arc.address.port
    await arc.stop()
    lost = time.monotonic()
    await until(lambda: OUTPUT_DOWN in told(cloud))
    assert time.monotonic() - lost >= AFTER - 0.1
    problem = cloud.beats[-1].health.problems[0]
    assert "refused" in problem.detail
    assert problem.since_time.ToSeconds() == pytest.approx(time.time() - AFTER, abs=2.0)
    await arc.start(port)
    await well(cloud)


async def test_f3_an_arc_that_takes_connections_and_answers_nothing_is_down(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    arc.answer = lambda frame: None
    cloud.working = False
    receiver.start(supervised(receiver))
    await until(lambda: OUTPUT_DOWN in told(cloud))
    assert arc.connections > 1
    arc.answer = arc.ack
    await well(cloud)


async def test_f3_a_receiver_whose_arc_was_never_there_says_so(receiver: Receiver, cloud: FakeCloud) -> None:
    await receiver.arc.stop()
    receiver.start()
    await until(lambda: OUTPUT_DOWN in told(cloud))


async def test_f3_an_output_that_is_not_required_never_counts(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    gone = FakeArc()
    await gone.start()
    await gone.stop()
    beside = receiver.output(name="beside", addresses=(gone.address,), required=False)
    receiver.start(supervised(receiver), beside)
    await until(lambda: receiver.path.snapshot().outputs[1].link is LinkState.DOWN)
    down = time.monotonic()
    await until(lambda: time.monotonic() - down > 2 * AFTER)
    assert told(cloud) == []


async def test_f5_a_hand_over_does_not_wait_for_an_arc_that_is_gone(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    """What was sent there, and got no answer, is not worth `drain_timeout`: its link is no use any more."""
    cloud.settings = replace(cloud.settings, drain_timeout=timedelta(seconds=30))
    arc.answer = lambda frame: arc.ack(frame) if frame.id_token == "NULL" else None
    receiver.start(supervised(receiver))
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: 1 in arc.sequences)
    await arc.stop()
    await until(lambda: OUTPUT_DOWN in told(cloud))
    cloud.yield_to = "receiver-2"
    cloud.push()
    await until(lambda: cloud.ended_through == 1)
    assert cloud.confirms == []
    assert receiver.path.snapshot().outputs[0].attempts[Outcome.UNKNOWN] >= 1


# --- Progress ---


async def test_f3_an_arc_that_is_silent_to_alarms_alone_is_no_progress(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    arc.answer = lambda frame: arc.ack(frame) if frame.id_token == "NULL" else None
    receiver.start(replace(supervised(receiver), dc09=replace(supervised(receiver).dc09, answer_timeout=LONG)))
    cloud.publish(stored_alarm(1))
    await until(lambda: (group_pb2.HEALTH_PROBLEM_KIND_NO_PROGRESS, "") in told(cloud))
    arc.answer = arc.ack
    arc.say(arc.ack(arc.frames[-1]))
    await until(lambda: cloud.confirmed == [1])
    await well(cloud)


LONG = timedelta(seconds=30)


async def test_a5_an_alarm_that_is_refused_in_so_many_words_is_no_want_of_progress(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    """Else one bad alarm would move from receiver to receiver for ever."""
    arc.answer = lambda frame: encode_duh(frame) if frame.sequence == 1 else arc.ack(frame)
    receiver.start()
    cloud.publish(stored_alarm(1), stored_alarm(2), stored_alarm(3, device="another"))
    # The third refusal is held for longer than the ARC may be silent.
    await until(lambda: receiver.path.snapshot().outputs[0].attempts.get(Outcome.REFUSED, 0) >= 4)
    assert receiver.path.snapshot().waiting == 2
    assert cloud.confirmed == [3]
    assert not any(beat.health.problems for beat in cloud.beats)


async def test_f3_an_arc_that_refuses_our_time_is_a_want_of_progress(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    arc.answer = lambda frame: encode_nak(MORNING)
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: (group_pb2.HEALTH_PROBLEM_KIND_NO_PROGRESS, "") in told(cloud))


async def test_f3_what_waits_without_a_lease_is_no_problem_of_this_receiver(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start()
    await until(lambda: receiver.path.snapshot().lease.working)
    cloud.granting = False
    await until(lambda: not receiver.path.snapshot().lease.working)
    cloud.publish(stored_alarm(1))
    await until(lambda: receiver.path.snapshot().waiting == 1)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 2 * AFTER)
    assert told(cloud) == []


# --- Disk, loop, pull ---


async def test_f3_a_disk_below_its_floor_is_told_at_once_and_until_there_is_room(
    receiver: Receiver, cloud: FakeCloud
) -> None:
    receiver.start()
    await well(cloud)
    receiver.disk_free = health.DISK_FLOOR - 1
    await until(lambda: told(cloud) == [(group_pb2.HEALTH_PROBLEM_KIND_DISK_LOW, "")])
    assert cloud.beats[-1].health.disk_free_bytes == health.DISK_FLOOR - 1
    receiver.disk_free = 10**9
    await well(cloud)


async def test_f3_every_beat_tells_how_it_is_at_that_moment(
    receiver: Receiver, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_watch, "PULSE", 3600.0)
    receiver.start()
    await well(cloud)
    receiver.disk_free = 0
    await until(lambda: told(cloud) == [(group_pb2.HEALTH_PROBLEM_KIND_DISK_LOW, "")])


async def test_f3_a_loop_that_gets_no_time_is_told_and_a_hiccup_is_not(
    receiver: Receiver, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LATE", 0.6)
    monkeypatch.setattr(health, "CALM_FOR", 0.3)
    receiver.start()
    await well(cloud)
    hold_up(0.8)
    await well(cloud)
    assert receiver.path.snapshot().problems == ()
    for _ in range(health.LATE_IN_A_ROW + 2):
        hold_up(0.8)
        await asyncio.sleep(0.01)
    assert [problem.kind for problem in receiver.path.snapshot().problems] == [ProblemKind.LOOP_LAG]
    await until(lambda: told(cloud) == [(group_pb2.HEALTH_PROBLEM_KIND_LOOP_LAG, "")])
    await well(cloud)


async def test_timing_4_a_pull_that_the_cloud_never_has_is_not_healthy(receiver: Receiver, cloud: FakeCloud) -> None:
    receiver.start()
    await until(lambda: cloud.opens)
    cloud.claimed_pull = 0
    await until(lambda: (group_pb2.HEALTH_PROBLEM_KIND_PULL_STUCK, "") in told(cloud))
    assert len(cloud.opens) >= 2
    assert receiver.path.snapshot().pull.reopened >= 2


async def test_timing_4_gaps_that_follow_each_other_are_not_healthy(receiver: Receiver, cloud: FakeCloud) -> None:
    receiver.start()
    for number in (1, 2):
        await until(lambda: receiver.path.snapshot().pull.open)
        cloud.skip_delivery = True
        cloud.publish(stored_alarm(number))
        await until(lambda number=number: number in cloud.confirmed)  # type: ignore[misc]
    await until(lambda: told(cloud) == [(group_pb2.HEALTH_PROBLEM_KIND_PULL_STUCK, "")])
