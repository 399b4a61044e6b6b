"""The stream of a subscription at a real receiver's alarm path: what is told and acknowledged (O1, A3, A4)."""

import asyncio
from dataclasses import replace

import pytest

from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.snapshot import LinkState, StreamConfig
from hotspare_receiver.store.tokens import TokenRole
from tests.integration.feed_trial import FEED, FeedReceiver, Subscribe, reason_of
from tests.integration.path_fakes import FakeArc, FakeCloud, stored_alarm, until


async def test_a4_an_alarm_is_confirmed_when_its_subscription_acknowledged_it_and_not_before(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    cloud.publish(stored_alarm(1, text="a door"))
    software = await subscribe()
    await until(lambda: software.alarms)
    alarm = software.alarms[0]
    assert (alarm.stored.number, alarm.stored.alarm.text, alarm.attempt, alarm.epoch) == (1, "a door", 1, 1)
    await asyncio.sleep(0)
    assert cloud.confirmed == []
    software.acknowledge(alarm)
    await until(lambda: cloud.confirmed == [1] and software.acknowledged == [alarm.cursor])
    # Again is harmless.
    software.acknowledge(alarm)
    await until(lambda: len(software.acknowledged) == 2)
    record = await feed.journal.get_alarm(number=1)
    assert record is not None
    attempt = record.attempts[0]
    assert (attempt.output, attempt.outcome) == ("feed", Outcome.CONFIRMED)
    assert b"a door" in attempt.frame
    assert f"acknowledged by software with the cursor {alarm.cursor}" in attempt.detail
    assert cloud.confirmed == [1]


async def test_a4_beside_another_required_output_both_have_to_confirm(
    feed: FeedReceiver, cloud: FakeCloud, arc: FakeArc, subscribe: Subscribe
) -> None:
    arc.answer = lambda frame: None
    feed.configure(FEED, feed.output())
    software = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: software.alarms)
    software.acknowledge(*software.alarms)
    await until(lambda: software.acknowledged)
    assert cloud.confirmed == []
    arc.answer = arc.ack
    await until(lambda: cloud.confirmed == [1])


async def test_a4_a_best_effort_stream_holds_nothing_up(
    feed: FeedReceiver, cloud: FakeCloud, arc: FakeArc, subscribe: Subscribe
) -> None:
    feed.configure(replace(FEED, required=False), feed.output())
    cloud.publish(*(stored_alarm(number) for number in range(1, 6)))
    await until(lambda: len(cloud.confirmed) == 5)
    software = await subscribe()
    await until(lambda: software.numbers == [1, 2, 3, 4, 5])


async def test_o1_no_more_than_the_window_is_sent_and_not_acknowledged(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe(window=3)
    cloud.publish(*(stored_alarm(number, f"panel-{number % 2}") for number in range(1, 11)))
    await until(lambda: len(software.alarms) == 3)
    software.acknowledge(software.alarms[1])
    await until(lambda: len(software.alarms) == 4)
    # One that counts: nothing more comes though there would be.
    assert feed.path.snapshot().outputs[0].waiting == 9
    for done in (2, 0, 3, 4, 5, 6, 7, 8, 9):
        # Told and not acknowledged are three all the time.
        came = len(software.alarms)
        software.acknowledge(software.alarms[done])
        await until(lambda: len(software.alarms) == min(10, came + 1))  # noqa: B023
    assert software.numbers == list(range(1, 11))
    await until(lambda: len(software.acknowledged) == 10)


async def test_a3_what_was_not_acknowledged_comes_first_in_the_next_stream_with_its_attempt(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    first = await subscribe(window=4)
    cloud.publish(*(stored_alarm(number) for number in range(1, 8)))
    await until(lambda: len(first.alarms) == 4)
    first.acknowledge(first.alarms[1])
    await until(lambda: len(first.alarms) == 5)
    await first.close()
    second = await subscribe()
    await until(lambda: len(second.alarms) == 6)
    assert second.numbers == [1, 3, 4, 5, 6, 7]
    assert second.attempts == [2, 2, 2, 2, 1, 1]
    cursors = {alarm.stored.number: alarm.cursor for alarm in first.alarms}
    assert [alarm.cursor for alarm in second.alarms[:4]] == [cursors[number] for number in (1, 3, 4, 5)]


async def test_o1_a_newer_stream_takes_the_older_ones_place(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    first = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: first.alarms)
    second = await subscribe()
    await until(lambda: first.ended)
    assert reason_of(first) is Reason.STREAM_SUPERSEDED
    assert isinstance(first.error, HotspareError)
    assert first.error.metadata == {"stream": "automation"}
    await until(lambda: second.alarms)
    assert (second.numbers, second.attempts) == ([1], [2])
    second.acknowledge(*second.alarms)
    await until(lambda: cloud.confirmed == [1])


async def test_o1_a_cursor_that_was_never_sent_is_answered_as_unknown(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    feed.configure(FEED, replace(FEED, name="other", required=False, stream=StreamConfig("other")))
    software = await subscribe()
    other = await subscribe(subscription="other", secret=await feed.token(TokenRole.OPERATOR, name="technician"))
    cloud.publish(stored_alarm(1))
    await until(lambda: software.alarms and other.alarms)
    software.acknowledge(0, 5, 2**64 - 1, other.alarms[0])
    await until(lambda: len(software.unknown) == 4)
    assert sorted(software.unknown) == sorted([0, 5, 2**64 - 1, other.alarms[0].cursor])
    assert cloud.confirmed == []


async def test_o1_the_caller_half_closes_and_all_it_said_is_answered(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe()
    cloud.publish(*(stored_alarm(number) for number in range(1, 51)))
    await until(lambda: len(software.alarms) == 50)
    software.acknowledge(*software.alarms)
    software.half_close()
    await until(lambda: software.ended)
    assert software.error is None
    assert sorted(software.acknowledged) == sorted(alarm.cursor for alarm in software.alarms)
    await until(lambda: sorted(cloud.confirmed) == list(range(1, 51)))


async def test_o1_an_output_that_is_deleted_ends_its_stream(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: software.alarms)
    feed.configure(feed.output())
    await until(lambda: software.ended)
    assert reason_of(software) is Reason.RESOURCE_NOT_FOUND
    await until(lambda: cloud.confirmed == [1])


async def test_o1_a_paused_output_tells_nothing_and_its_stream_stays(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe()
    feed.configure(replace(FEED, paused=True))
    cloud.publish(stored_alarm(1))
    await until(lambda: feed.path.snapshot().outputs[0].waiting == 1)
    assert feed.path.snapshot().outputs[0].link is LinkState.IDLE
    with pytest.raises(ConnectionError, match="paused"):
        feed.path.try_output("feed", stored_alarm(0))
    assert software.alarms == []
    feed.configure(FEED)
    await until(lambda: software.numbers == [1])


async def test_o1_a_test_alarm_is_told_without_a_lease_and_its_acknowledgement_is_the_answer(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    with pytest.raises(ConnectionError, match="nobody has opened"):
        feed.path.try_output("feed", stored_alarm(0))
    cloud.working = False
    cloud.end_epoch(epoch=2)
    software = await subscribe()
    trial = feed.path.try_output("feed", stored_alarm(0, text="only a test"))
    await until(lambda: software.alarms)
    assert software.alarms[0].stored.alarm.text == "only a test"
    software.acknowledge(*software.alarms)
    await until(lambda: software.acknowledged)
    result = await trial.result
    assert (result.outcome, b"only a test" in result.frame) == (Outcome.CONFIRMED, True)
    lost = feed.path.try_output("feed", stored_alarm(0))
    await until(lambda: len(software.alarms) == 2)
    await software.close()
    assert (await lost.result).outcome is Outcome.UNKNOWN
    assert cloud.confirmed == []
