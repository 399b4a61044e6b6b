"""A5 at a receiver: what its ARC refuses in so many words is given to the cloud, which sets it aside."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hotspare_model.dc09 import Frame
from hotspare_model.dc09_reply import encode_duh, encode_nak
from hotspare_receiver.core import forwarder as forwarder_module
from hotspare_receiver.core import pull_watch
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.history import AlarmQuery, RecordState
from hotspare_receiver.snapshot import Outcome
from tests.integration.path_fakes import CLOSE, MORNING, SETTINGS, FakeArc, FakeCloud, Receiver, stored_alarm, until

TWICE = replace(SETTINGS, set_aside_after=2)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module.Forwarder.__init__, "__defaults__", (Backoff(first=0.02, longest=0.05),))


def refusing(arc: FakeArc, *sequences: int) -> None:
    """Have the ARC answer DUH to these alarms."""
    arc.answer = lambda frame: encode_duh(frame) if frame.sequence in sequences else arc.ack(frame)


async def record(receiver: Receiver, number: int) -> Any:
    await receiver.journal.flush()
    found = await receiver.journal.get_alarm(number=number)
    assert found is not None
    return found


async def test_a5_an_alarm_that_is_refused_again_and_again_is_given_to_the_cloud_with_the_raw_exchange(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.settings = TWICE
    refusing(arc, 1)
    receiver.start()
    cloud.publish(stored_alarm(1), stored_alarm(2), stored_alarm(3, "other"))
    await until(lambda: sorted(cloud.confirmed) == [2, 3])
    (refusal,) = cloud.refusals
    assert (refusal.epoch, refusal.number, refusal.output, refusal.refusals) == (1, 1, "arc", 2)
    assert "DUH" in refusal.reason
    assert b'"ADM-CID"0001' in refusal.frame
    assert b'"DUH"0001' in refusal.answer
    assert arc.sequences.count(1) == 2
    found = await record(receiver, 1)
    assert (found.state, found.confirmed) == (RecordState.SET_ASIDE, None)
    assert [attempt.outcome for attempt in found.attempts] == [Outcome.REFUSED] * 2
    listed = await receiver.journal.list_alarms(AlarmQuery(state=RecordState.SET_ASIDE))
    assert [each.number for each in listed.records] == [1]
    snapshot = receiver.path.snapshot()
    assert (snapshot.counters.set_aside, snapshot.waiting) == (1, 0)


async def test_a3_a5_the_device_waits_until_the_cloud_has_set_it_aside_also_over_a_new_pull(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.settings, cloud.setting_aside = TWICE, False
    refusing(arc, 1)
    receiver.start()
    cloud.publish(stored_alarm(1), stored_alarm(2), stored_alarm(3, "other"))
    await until(lambda: cloud.refusals and cloud.confirmed == [3])
    pulls = len(cloud.opens)
    receiver.path.reconnect()
    await until(lambda: len(cloud.opens) > pulls and len(cloud.refusals) > 1)
    assert cloud.confirmed == [3], "the next of its device does not pass before that is durable"
    assert arc.sequences.count(1) == 2, "it is refused, not tried again"
    cloud.setting_aside = True
    receiver.path.reconnect()
    await until(lambda: cloud.confirmed == [3, 2])


async def test_a5_a_refusal_that_gets_no_answer_is_told_again_in_a_new_pull(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes up in the stream may be lost although deliveries still come; else its device would wait for ever."""
    monkeypatch.setattr(pull_watch, "UNTOLD_AFTER", 0.3)
    cloud.settings, cloud.setting_aside = TWICE, False
    refusing(arc, 1)
    receiver.start()
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: cloud.refusals)
    cloud.setting_aside = True
    await until(lambda: cloud.confirmed == [2])
    assert [(told.number, told.attempt) for told in cloud.refusals] == [(1, 1)] * 2
    assert receiver.path.snapshot().pull.reopened == 1


async def test_a5_a_nak_is_a_clock_problem_sent_again_with_a_fresh_time_and_no_refusal(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.settings = replace(SETTINGS, set_aside_after=1)
    arc.answer = lambda _: encode_nak(MORNING)
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: len(arc.sequences) >= 4)
    assert cloud.refusals == []
    snapshot = receiver.path.snapshot()
    assert "NAK" in snapshot.clock_problems["arc"]
    assert "2026-05-04" in snapshot.clock_problems["arc"], "the ARC's own clock is told"
    arc.answer = arc.ack
    await until(lambda: cloud.confirmed == [1])
    assert receiver.path.snapshot().clock_problems == {}
    assert receiver.path.snapshot().counters.set_aside == 0


async def test_a5_silence_and_lost_links_set_nothing_aside(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    cloud.settings = replace(SETTINGS, set_aside_after=1)
    arc.answer = lambda _: CLOSE
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: len(arc.sequences) >= 3)
    arc.answer = arc.ack
    await until(lambda: cloud.confirmed == [1])
    assert cloud.refusals == []


async def test_a5_refusals_are_counted_on_over_a_restart(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    cloud.settings = replace(SETTINGS, set_aside_after=3)
    answers: list[Frame] = []

    def twice_then_silent(frame: Frame) -> bytes | None:
        answers.append(frame)
        return encode_duh(frame) if len(answers) <= 2 else None

    arc.answer = twice_then_silent
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: len(answers) >= 3)
    await receiver.journal.flush()
    refusing(arc, 1)
    before = len(arc.sequences)
    await receiver.restart()
    await until(lambda: cloud.refusals)
    assert cloud.refusals[0].refusals == 3
    assert len(arc.sequences) == before + 1, "the third refusal was the last"


async def test_a5_an_alarm_that_is_sent_again_begins_anew(receiver: Receiver, cloud: FakeCloud, arc: FakeArc) -> None:
    cloud.settings = TWICE
    refusing(arc, 1)
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: receiver.path.snapshot().counters.set_aside == 1)
    await receiver.journal.flush()
    cloud.replays.add(1)
    cloud.publish(stored_alarm(1))
    await until(lambda: receiver.path.snapshot().counters.set_aside == 2)
    assert arc.sequences == [1] * 4
    arc.answer = arc.ack
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    assert (await record(receiver, 1)).state is RecordState.CONFIRMED


async def test_f5_a5_a_refused_alarm_goes_back_at_a_hand_over_and_holds_nothing_up(
    receiver: Receiver, cloud: FakeCloud, arc: FakeArc
) -> None:
    cloud.settings, cloud.setting_aside = TWICE, False
    refusing(arc, 1)
    receiver.start()
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.refusals)
    await receiver.path.leave(timedelta(seconds=5))
    assert cloud.epoch == 2, "it released what it had"
    assert receiver.path.snapshot().waiting == 0
