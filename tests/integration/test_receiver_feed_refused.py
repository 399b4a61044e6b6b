"""Who may not open a subscription, says what is not legal, or reads nothing: it harms nobody else (S1, S4)."""

import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest

from hotspare.v1 import alarm_feed_service_pb2_grpc
from hotspare.v1.alarm_feed_service_pb2 import SendTestAlarmRequest
from hotspare_model.errors import Reason
from hotspare_receiver.snapshot import LinkState, StreamConfig
from hotspare_receiver.store.tokens import TokenRole
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken
from hotspare_rpc.errors import from_rpc_error
from tests.integration.feed_trial import FEED, FeedReceiver, Request, Subscribe, Subscriber, reason_of, working
from tests.integration.path_fakes import FakeCloud, stored_alarm, until


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
