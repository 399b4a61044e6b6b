"""The stream of a subscription against a real receiver's alarm path (O1, A3, A4, F5 to F7, S1, S4)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotspare.v1 import alarm_feed_service_pb2_grpc
from hotspare.v1.alarm_feed_service_pb2 import SendTestAlarmRequest
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.core.health import ProblemKind
from hotspare_receiver.snapshot import LinkState, StreamConfig
from hotspare_receiver.store.tokens import TokenRole
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken
from hotspare_rpc.errors import from_rpc_error
from tests.integration.feed_trial import FEED, FeedReceiver, Request, Subscriber, trial
from tests.integration.path_fakes import FakeArc, FakeCloud, stored_alarm, until


@pytest.fixture
async def feed(tmp_path: Path, cloud: FakeCloud, arc: FakeArc) -> AsyncIterator[FeedReceiver]:
    receiver = trial(tmp_path, cloud, arc)
    await receiver.serve()
    yield receiver
    await receiver.crash()


Subscribe = Callable[..., Any]


@pytest.fixture
async def subscribe(feed: FeedReceiver) -> AsyncIterator[Subscribe]:
    """Opens a subscription, and closes all at the end."""
    opened: list[Subscriber] = []
    secret = await feed.token()

    async def subscribe(**options: Any) -> Subscriber:
        subscriber = Subscriber(feed.served_at, options.pop("secret", secret), **options)
        opened.append(subscriber)
        return await (subscriber.ready() if subscriber.reading else subscriber.open())

    yield subscribe
    for subscriber in opened:
        with contextlib.suppress(Exception):
            await subscriber.close()


def reason_of(subscriber: Subscriber) -> Reason:
    assert isinstance(subscriber.error, HotspareError), subscriber.error
    return subscriber.error.reason


def working(feed: FeedReceiver) -> bool:
    return feed.path.snapshot().lease.working


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


async def test_o1_a_restart_of_the_receiver_tells_again_with_the_same_cursor_and_the_next_attempt(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    first = await subscribe()
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: len(first.alarms) == 2)
    first.acknowledge(first.alarms[0])
    await until(lambda: cloud.confirmed == [1])
    await feed.restart()
    second = Subscriber(feed.served_at, await feed.token(name="again"))
    await second.ready()
    await until(lambda: second.alarms)
    assert (second.numbers, second.attempts) == ([2], [2])
    assert second.alarms[0].cursor == first.alarms[1].cursor
    second.acknowledge(*second.alarms)
    await until(lambda: cloud.confirmed == [1, 2])
    await second.close()


async def test_f7_an_acknowledgement_to_the_process_before_is_a_fact(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    first = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: first.alarms)
    # Where the work went, meanwhile: this receiver gets nothing under the later epoch.
    cloud.delivering = False
    await feed.restart()
    second = Subscriber(feed.served_at, await feed.token(name="again"))
    await second.ready()
    second.acknowledge(first.alarms[0])
    await until(lambda: second.acknowledged == [first.alarms[0].cursor])
    await until(lambda: cloud.confirms)
    assert [(one.epoch, one.first, one.last) for one in cloud.confirms] == [(1, 1, 1)]
    assert second.alarms == []
    await second.close()


async def test_a4_beside_another_required_output_a_late_acknowledgement_waits_for_that_one(
    feed: FeedReceiver, cloud: FakeCloud, arc: FakeArc, subscribe: Subscribe
) -> None:
    arc.answer = lambda frame: None
    feed.configure(FEED, feed.output())
    first = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: first.alarms)
    cloud.delivering = False
    await feed.restart()
    second = Subscriber(feed.served_at, await feed.token(name="again"))
    await second.ready()
    second.acknowledge(first.alarms[0])
    await until(lambda: second.acknowledged)
    assert (cloud.confirms, feed.journal.unwritten_confirmations) == ([], 0)
    arc.answer = arc.ack
    cloud.delivering = True
    cloud.publish(stored_alarm(1))
    await until(lambda: cloud.confirmed == [1])
    assert cloud.confirms[0].epoch == 2
    assert second.alarms == []
    await second.close()


async def test_o1_a_receiver_on_standby_tells_who_works_by_the_epoch(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    cloud.end_epoch(epoch=2)
    await until(lambda: not working(feed))
    software = await subscribe()
    await until(lambda: software.states[-1] == (False, 2))
    # Nothing of its own lease changes here.
    cloud.epoch = 5
    cloud.push()
    await until(lambda: software.states[-1] == (False, 5))


async def test_f7_what_was_acknowledged_is_not_told_again_when_it_comes_again(
    feed: FeedReceiver, cloud: FakeCloud, arc: FakeArc, subscribe: Subscribe
) -> None:
    arc.answer = lambda frame: None
    feed.configure(FEED, feed.output())
    first = await subscribe()
    cloud.publish(stored_alarm(1))
    await until(lambda: first.alarms)
    first.acknowledge(*first.alarms)
    await until(lambda: first.acknowledged)
    await feed.restart()
    arc.answer = arc.ack
    second = Subscriber(feed.served_at, await feed.token(name="again"))
    await second.ready()
    await until(lambda: cloud.confirmed == [1])
    assert second.alarms == []
    # An operator's wish to send it again is another matter.
    cloud.replays.add(1)
    cloud.publish(stored_alarm(2))
    await until(lambda: second.alarms)
    assert second.numbers == [2]
    await second.close()


async def test_f7_under_a_lapsed_lease_nothing_is_told_and_the_state_tells_so(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe(window=1)
    await until(lambda: software.states[-1] == (True, 1))
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: software.alarms)
    cloud.granting = False
    await until(lambda: not working(feed))
    await until(lambda: software.states[-1] == (False, 1))
    # The subscriber has it: a fact. The next one waits for a lease.
    software.acknowledge(*software.alarms)
    await until(lambda: cloud.confirmed == [1] and software.acknowledged)
    assert software.numbers == [1]
    cloud.granting = True
    await until(lambda: software.numbers == [1, 2])
    assert software.states[-1] == (True, 1)


async def test_f7_when_the_work_moves_the_stream_stays_and_a_late_acknowledgement_counts(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe(window=2)
    cloud.publish(*(stored_alarm(number) for number in (1, 2, 3)))
    await until(lambda: len(software.alarms) == 2)
    cloud.end_epoch(epoch=2)
    await until(lambda: software.states[-1] == (False, 2))
    software.acknowledge(software.alarms[0])
    await until(lambda: cloud.confirmed == [1])
    assert cloud.confirms[0].epoch == 1
    assert software.numbers == [1, 2]
    # It works again: what the subscriber has and did not acknowledge is not told twice on one stream.
    cloud.end_epoch(epoch=3, working=True)
    await until(lambda: software.numbers == [1, 2, 3])
    assert software.alarms[2].epoch == 3
    software.acknowledge(*software.alarms[1:])
    await until(lambda: sorted(cloud.confirmed) == [1, 2, 3])
    assert {one.epoch for one in cloud.confirms if one.first > 1} == {3}


async def test_f5_a_hand_over_waits_for_the_acknowledgements_and_gives_back_the_rest(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    software = await subscribe(window=1)
    cloud.publish(stored_alarm(1), stored_alarm(2))
    await until(lambda: software.alarms)
    cloud.yield_to = "receiver-2"
    cloud.push()
    await until(lambda: feed.path.snapshot().lease.draining)
    assert cloud.epoch == 1
    software.acknowledge(*software.alarms)
    await until(lambda: cloud.epoch == 2)
    assert cloud.confirmed == [1]
    assert software.numbers == [1]
    assert not software.ended


async def test_f3_a_required_stream_without_a_subscriber_is_a_problem_until_one_comes(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    def problems() -> set[ProblemKind]:
        return {problem.kind for problem in feed.path.snapshot().problems}

    await until(lambda: ProblemKind.OUTPUT_DOWN in problems())
    problem = next(one for one in feed.path.snapshot().problems if one.kind is ProblemKind.OUTPUT_DOWN)
    assert (problem.subject, "nobody has opened" in problem.detail) == ("feed", True)
    await subscribe()
    await until(lambda: not problems())
    assert feed.path.snapshot().outputs[0].link is LinkState.UP


async def test_s4_a_subscriber_that_reads_nothing_harms_nobody_else(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    other = replace(FEED, name="other", stream=StreamConfig("other"))
    feed.configure(replace(FEED, required=False), other)
    secret = await feed.token(TokenRole.OPERATOR, name="technician")
    await subscribe(reading=False, window=10_000)
    reader = await subscribe(subscription="other", secret=secret, keeping=True)
    count = 600
    cloud.publish(*(stored_alarm(number, text="x" * 1000) for number in range(1, count + 1)))
    await until(lambda: len(cloud.confirmed) == count, 20)
    assert reader.numbers == list(range(1, count + 1))
    session = feed.subscriptions.find("automation")._session
    assert session is not None
    assert session.writing is not None
    assert session.ready
    # One that reads takes the place of the mute one at once.
    follower = await subscribe()
    await until(lambda: follower.numbers[:3] == [1, 2, 3])


async def test_f7_of_what_a_subscriber_does_not_read_one_alarm_at_most_leaves_after_the_end_of_the_lease(
    feed: FeedReceiver, cloud: FakeCloud, subscribe: Subscribe
) -> None:
    mute = await subscribe(reading=False, window=10_000)
    cloud.publish(*(stored_alarm(number, text="x" * 1000) for number in range(1, 257)))

    def session() -> Any:
        return feed.subscriptions.find("automation")._session

    await until(lambda: session() is not None and len(feed.subscriptions.find("automation")._hand) == 256)
    await until(lambda: session().writing is not None and session().ready)
    cloud.granting = False
    await until(lambda: not working(feed) and not session().ready)
    written = max(feed.subscriptions.find("automation")._by_number)
    assert written == session().writing.number < 256
    # It reads again: what gRPC had comes, with the one that it was taking over, and the state; nothing else.
    mute.reader = asyncio.create_task(mute._read())
    await until(lambda: mute.states[-1:] == [(False, 1)])
    assert mute.numbers == list(range(1, written + 1))
    cloud.granting = True
    await until(lambda: len(mute.alarms) == 256)
    assert mute.numbers == list(range(1, 257))
    assert set(mute.attempts) == {1, 2}


async def test_s4_whoever_acknowledges_without_reading_the_answers_is_read_no_further(
    feed: FeedReceiver, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotspare_receiver.outputs.feed_session.BACKLOG_LIMIT", 2000)
    mute = await subscribe(reading=False)
    for batch in range(60):
        # Large ones, so that few answers fill what gRPC takes in place of the reader.
        mute.acknowledge(*range(2**62 + batch * 1000, 2**62 + batch * 1000 + 1000))
    subscription = feed.subscriptions.find("automation")
    await until(lambda: subscription._session is not None and subscription._session.backlog > 2000, 20)
    session = subscription._session
    assert session is not None
    await until(lambda: session.keeping is None)
    assert session.backlog <= 3000


REFUSED = [
    ({"acknowledge": Request.Acknowledge(cursors=[1])}, Reason.STREAM_PROTOCOL),
    ({"open": Request.Open()}, Reason.FIELD_INVALID),
    ({"open": Request.Open(subscription="automation", window=10_001)}, Reason.FIELD_INVALID),
    ({"open": Request.Open(subscription="nobody")}, Reason.CALLER_NOT_ALLOWED),
]


@pytest.mark.parametrize(("frame", "reason"), REFUSED)
async def test_s4_a_first_message_that_is_not_legal_ends_the_stream(
    feed: FeedReceiver, frame: dict[str, Any], reason: Reason
) -> None:
    software = Subscriber(feed.served_at, await feed.token())
    software.say = lambda **_: None  # type: ignore[method-assign]
    await software.open()
    software.outbox.put_nowait(Request(**frame))
    await until(lambda: software.ended)
    assert reason_of(software) is reason
    await software.close()


async def test_s4_what_is_not_legal_later_ends_the_stream_with_its_reason(
    feed: FeedReceiver, subscribe: Subscribe
) -> None:
    twice = await subscribe()
    twice.say(open=Request.Open(subscription="automation"))
    await until(lambda: twice.ended)
    assert reason_of(twice) is Reason.STREAM_PROTOCOL
    many = await subscribe()
    many.acknowledge(*range(1, 1002))
    await until(lambda: many.ended)
    assert reason_of(many) is Reason.FIELD_INVALID
    passed_over = await subscribe()
    passed_over.say()
    passed_over.acknowledge(7)
    await until(lambda: passed_over.unknown == [7])


async def test_s1_a_feed_token_opens_what_it_names_and_nothing_else(feed: FeedReceiver) -> None:
    feed.configure(FEED, replace(FEED, name="other", required=False, stream=StreamConfig("other")))
    cases = (
        (await feed.token(TokenRole.FEED, "automation", name="a"), "other", Reason.CALLER_NOT_ALLOWED),
        (await feed.token(TokenRole.VIEWER, name="b"), "automation", Reason.CALLER_NOT_ALLOWED),
        (await feed.token(TokenRole.OPERATOR, name="c"), "missing", Reason.RESOURCE_NOT_FOUND),
        ("k" * 40, "automation", Reason.INVALID_CREDENTIALS),
    )
    for secret, subscription, reason in cases:
        software = await Subscriber(feed.served_at, secret, subscription).ready()
        assert reason_of(software) is reason
        await software.close()


async def test_s1_a_revoked_token_ends_its_stream(feed: FeedReceiver, subscribe: Subscribe) -> None:
    software = await subscribe()
    await feed.tokens.revoke("software")
    await until(lambda: software.ended)
    assert reason_of(software) is Reason.INVALID_CREDENTIALS
    await until(lambda: feed.path.snapshot().outputs[0].link is LinkState.DOWN)


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


ALARM_ID = "018f6f2e-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("role", "request_", "reason"),
    [
        (TokenRole.FEED, SendTestAlarmRequest(alarm_id=ALARM_ID), Reason.CLOUD_NOT_CONFIGURED),
        (TokenRole.OPERATOR, SendTestAlarmRequest(alarm_id="mine"), Reason.FIELD_INVALID),
        (TokenRole.OPERATOR, SendTestAlarmRequest(alarm_id=ALARM_ID, code="6A2"), Reason.FIELD_INVALID),
        (TokenRole.OPERATOR, SendTestAlarmRequest(alarm_id=ALARM_ID, text="a\nb"), Reason.FIELD_INVALID),
        (TokenRole.VIEWER, SendTestAlarmRequest(alarm_id=ALARM_ID), Reason.CALLER_NOT_ALLOWED),
    ],
)
async def test_s4_a_test_alarm_that_cannot_go_out_is_refused_with_its_reason(
    feed: FeedReceiver, role: TokenRole, request_: SendTestAlarmRequest, reason: Reason
) -> None:
    secret = await feed.token(role)
    async with open_channel(feed.served_at, None) as channel:
        stub = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SendTestAlarm(request_, metadata=BearerToken(secret).metadata(), timeout=10)
    error = from_rpc_error(refused.value)
    assert error is not None
    assert error.reason is reason
