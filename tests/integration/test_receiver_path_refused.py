"""What the receiver's alarm path does when the cloud will not have it, and when it belongs to another group."""

from datetime import timedelta

import pytest

from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.snapshot import Attendance
from tests.integration.path_fakes import ATTENDANCE, FakeArc, FakeCloud, Receiver, stored_alarm, until


@pytest.mark.parametrize("reason", [Reason.NOT_A_MEMBER, Reason.HOT_SPARE_ENDED])
async def test_x2_a_receiver_whose_role_is_gone_stops_and_says_so(
    receiver: Receiver, cloud: FakeCloud, reason: Reason
) -> None:
    receiver.start()
    await until(lambda: receiver.path.snapshot().lease.working)
    cloud.refusal = HotspareError(reason, "the role is gone")
    receiver.path.reconnect()
    await until(lambda: receiver.expelled)
    snapshot = receiver.path.snapshot()
    assert receiver.expelled[0].reason is reason
    assert (snapshot.attendance, snapshot.lease.working, snapshot.cloud.final) == (None, False, True)
    assert (snapshot.cloud.reason, "the role is gone" in snapshot.cloud.problem) == (reason.value, True)


async def test_f7_a_receiver_whose_disk_was_set_back_counts_on_and_attends_again(
    cloud: FakeCloud, receiver: Receiver
) -> None:
    """The cloud knows a later start: only a living process can answer by counting on above it."""
    cloud.known_start = 41
    receiver.start()
    await until(lambda: cloud.beats)
    assert [hello.start for hello in cloud.hellos] == [1, 42]
    assert receiver.starts == 42


@pytest.mark.parametrize("reason", [Reason.MACHINE_MISMATCH, Reason.INCARNATION_SUPERSEDED])
async def test_timing_4_a_refused_incarnation_keeps_its_role_and_tries_no_more(
    receiver: Receiver, cloud: FakeCloud, reason: Reason
) -> None:
    cloud.refusal = HotspareError(reason, "another one is here")
    receiver.start()
    await until(lambda: receiver.path.snapshot().cloud.final)
    assert receiver.expelled == []
    assert receiver.path.snapshot().attendance == ATTENDANCE


async def test_s1_a_wrong_key_is_shown_and_tried_again(receiver: Receiver, cloud: FakeCloud) -> None:
    cloud.refusal = HotspareError(Reason.INVALID_CREDENTIALS, "unknown account or wrong key")
    receiver.start()
    await until(lambda: receiver.path.snapshot().cloud.reason == "INVALID_CREDENTIALS")
    assert not receiver.path.snapshot().cloud.final
    cloud.refusal = None
    await until(lambda: receiver.path.snapshot().lease.working)
    assert receiver.path.snapshot().cloud.problem == ""


async def test_g4_another_group_begins_with_nothing_of_the_old_one(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.storing = False
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    await receiver.path.leave(timedelta(seconds=0.2))
    cloud.confirms.clear()
    cloud.epoch, cloud.ended_through, cloud.working, cloud.storing = 1, 0, True, True
    receiver.path.attend(Attendance(ATTENDANCE.role, "north", "second", 1))
    await until(lambda: receiver.path.snapshot().lease.epoch == 1)
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    # Sent, for it is another group's number 1; and the old group's confirmation was not told to this one.
    await until(lambda: arc.sequences == [1, 1])
    assert cloud.hellos[-1].highest_epoch == 0
