"""What a cloud, a library or a clock may do to a receiver: it goes on, or waits, and nothing is written twice."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings
from hotspare_receiver.clients import attend
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.snapshot import Attendance, Outcome
from tests.integration.path_fakes import ATTENDANCE, SETTINGS, FakeArc, FakeCloud, Receiver, stored_alarm, until

ALONE = Attendance(None, "north", "default", 0)


class SetClock(SystemClock):
    """The machine's clocks, of which people set the wall clock."""

    def __init__(self) -> None:
        self.set_by = timedelta(0)

    def wall(self) -> datetime:
        return super().wall() + self.set_by


@pytest.fixture
async def receiver(tmp_path: Path, cloud: FakeCloud, arc: FakeArc) -> AsyncIterator[Receiver]:
    receiver = Receiver(tmp_path, cloud, arc, clock=SetClock())
    yield receiver
    await receiver.crash()


# --- Clocks ---


@pytest.mark.parametrize("hours", [-30, 30])
async def test_timing_1_a_wall_clock_that_jumps_by_hours_changes_nothing(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, hours: int
) -> None:
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    assert isinstance(receiver.clock, SetClock)
    receiver.clock.set_by = timedelta(hours=hours)
    cloud.publish(stored_alarm(2))
    await until(lambda: cloud.confirmed == [1, 2])
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats + 3)
    after = receiver.path.snapshot()
    assert (after.lease.epoch, after.lease.working, after.problems) == (1, True, ())
    assert timedelta(0) < after.lease.remaining <= SETTINGS.holder_lease
    assert (arc.connections, len(cloud.hellos), len(cloud.opens)) == (1, 1, 1)
    # The end of the lease does not move either.
    cloud.granting = False
    await until(lambda: not receiver.path.snapshot().lease.working, SETTINGS.holder_lease.total_seconds() + 1)


async def test_timing_1_a_problem_keeps_its_time_when_the_wall_clock_is_set(
    receiver: Receiver, cloud: FakeCloud
) -> None:
    receiver.disk_free = 0
    receiver.start()
    await until(lambda: receiver.path.snapshot().problems)
    since = receiver.path.snapshot().problems[0].since
    assert isinstance(receiver.clock, SetClock)
    receiver.clock.set_by = timedelta(hours=-5)
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats + 3)
    assert receiver.path.snapshot().problems[0].since == since


# --- The cloud ---


async def test_f7_a_cloud_that_was_set_back_can_grant_no_epoch_of_the_past(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.epoch = 7
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    cloud.boot, cloud.number, cloud.epoch = "boot-of-a-copy", 0, 5
    receiver.path.reconnect()
    await until(lambda: len(cloud.hellos) == 2)
    # By this it knows above what to go on.
    assert cloud.hellos[-1].highest_epoch == 7
    await until(lambda: not receiver.path.snapshot().lease.working)
    cloud.publish(stored_alarm(2))
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats + 3)
    assert (receiver.path.snapshot().lease.epoch, arc.sequences) == (7, [1])
    cloud.end_epoch(epoch=8, working=True)
    await until(lambda: 2 in cloud.confirmed)
    assert cloud.confirms[-1].epoch == 8


async def test_a_cloud_that_tells_no_settings_is_served_by_the_defaults(receiver: Receiver, cloud: FakeCloud) -> None:
    cloud.tells_settings = False
    receiver.start()
    await until(lambda: receiver.path.snapshot().lease.working)
    assert receiver.path.settings == GroupSettings()


async def test_settings_that_were_told_last_on_an_earlier_stream_stay(receiver: Receiver, cloud: FakeCloud) -> None:
    receiver.start()
    await until(lambda: receiver.path.snapshot().lease.working)
    cloud.tells_settings = False
    receiver.path.reconnect()
    await until(lambda: len(cloud.hellos) == 2)
    beats = len(cloud.beats)
    await until(lambda: len(cloud.beats) > beats + 3)
    assert receiver.path.settings == cloud.settings


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED])
async def test_f11_an_end_of_the_streams_without_a_reason_of_ours_is_tried_again(
    receiver: Receiver, cloud: FakeCloud, code: grpc.StatusCode
) -> None:
    """A client of gRPC may report INTERNAL for a server that stopped while the first frame was written."""
    cloud.breaks = code
    receiver.start()
    await until(lambda: cloud.broken >= 2)
    snapshot = receiver.path.snapshot()
    assert (snapshot.cloud.reason, snapshot.cloud.final, receiver.expelled) == (code.name, False, [])
    cloud.breaks = None
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    # And so for the stream of alarms alone.
    cloud.breaks, broken = code, cloud.broken
    receiver.path._pull.reopen("the test says so")
    await until(lambda: cloud.broken >= broken + 2)
    cloud.breaks = None
    cloud.publish(stored_alarm(2))
    # A confirmation may be told in both pulls.
    await until(lambda: set(cloud.confirmed) == {1, 2})
    assert receiver.path.snapshot().outputs[0].attempts == {Outcome.CONFIRMED: 2}


# --- G7: without a role ---


async def test_g7_without_a_role_it_pulls_and_forwards_by_the_same_lease(receiver: Receiver, cloud: FakeCloud) -> None:
    receiver.start(attendance=ALONE)
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    assert (cloud.hellos[0].generation, cloud.hellos[0].sub_account) == (0, "default")


async def test_g7_the_epoch_goes_on_when_one_that_works_alone_becomes_the_host(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    receiver.start(attendance=ALONE)
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    receiver.path.attend(ATTENDANCE)
    assert receiver.path.snapshot().lease.working
    cloud.publish(stored_alarm(2))
    await until(lambda: 2 in cloud.confirmed)
    await until(lambda: len(cloud.hellos) == 2)
    beats = cloud.beats[-1].number
    await until(lambda: cloud.beats[-1].number > beats)
    assert cloud.hellos[1].generation == 1
    assert (cloud.beats[-1].epoch, cloud.beats[-1].released_through) == (1, 0)
    assert [opening.epoch for opening in cloud.opens] == [1] * len(cloud.opens)
    assert arc.connections == 1


async def test_g7_a_cloud_that_takes_nobody_without_a_role_is_asked_again_later_and_it_shows(
    receiver: Receiver, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attend, "BACKOFF_SECONDS", (3600.0, 3600.0))
    monkeypatch.setattr(attend, "ALONE_BACKOFF_SECONDS", (0.3, 0.3))
    cloud.refusal = HotspareError(Reason.NOT_A_MEMBER, "no member")
    receiver.start(attendance=ALONE)
    await until(lambda: "takes no receiver without a role" in receiver.path.snapshot().cloud.problem)
    snapshot = receiver.path.snapshot()
    assert (snapshot.cloud.final, snapshot.attendance, receiver.expelled) == (False, ALONE, [])
    cloud.refusal = None
    await until(lambda: receiver.path.snapshot().lease.working)


@pytest.mark.parametrize("reason", [Reason.MACHINE_MISMATCH, Reason.INCARNATION_SUPERSEDED])
async def test_timing_4_a_refused_incarnation_is_final_also_without_a_role(
    receiver: Receiver, cloud: FakeCloud, reason: Reason
) -> None:
    cloud.refusal = HotspareError(reason, "another one is here")
    receiver.start(attendance=ALONE)
    await until(lambda: receiver.path.snapshot().cloud.final)
    assert receiver.expelled == []
