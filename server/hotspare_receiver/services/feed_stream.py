"""StreamAlarms: a subscriber's stream over gRPC. What goes out, and when, the subscription decides."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from hotspare.v1 import alarm_feed_service_pb2, alarm_pb2
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_receiver.outputs.feed_session import FeedAnswer, FeedMessage, FeedState, Session, Tell
from hotspare_receiver.outputs.subscription import Subscription
from hotspare_receiver.outputs.subscriptions import Subscriptions
from hotspare_receiver.services.streams import Changes, Ends
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Operator, Tokens
from hotspare_rpc.wire import stored_alarm_to_proto

WINDOW = 100
MOST_WINDOW = 10_000
MOST_CURSORS = 1000

Request = alarm_feed_service_pb2.StreamAlarmsRequest
Response = alarm_feed_service_pb2.StreamAlarmsResponse


class Parts(Protocol):
    """What it works on."""

    @property
    def tokens(self) -> Tokens:
        """Who may call."""

    @property
    def ends(self) -> Ends:
        """What ends a stream from this side."""

    @property
    def changes(self) -> Changes:
        """Whether something of this receiver's state changed."""

    @property
    def subscriptions(self) -> Subscriptions:
        """What can be opened."""


class FeedStreams:
    """The stream of AlarmFeedService."""

    _parts: Parts

    async def StreamAlarms(self, request_iterator: AsyncIterator[Request], context: Any) -> AsyncIterator[Response]:
        """The alarms of a stream output, until either side ends it."""
        parts = self._parts
        operator = parts.tokens.admit(context, TokenRole.FEED, TokenRole.OPERATOR)
        with self._ending(operator) as ending:
            opening = await _opening(request_iterator, ending)
            parts.tokens.check_subscription(operator, opening.subscription)
            subscription = parts.subscriptions.find(opening.subscription)
            session = Session(opening.window or WINDOW, context.peer(), operator.name)
            ending.add_done_callback(lambda ended: None if ended.cancelled() else session.end(ended.result()))
            helpers = (
                asyncio.create_task(_read(request_iterator, subscription, session), name="feed-read"),
                asyncio.create_task(self._watch(session), name="feed-watch"),
            )
            subscription.join(session)
            try:
                while True:
                    session.woken.clear()
                    message = subscription.next(session)
                    if message is not None:
                        # With nothing awaited since the lease was asked (timing 1).
                        yield _encode(message)
                    elif session.half_closed and session.settled:
                        return
                    else:
                        await session.woken.wait()
            finally:
                subscription.leave(session)
                for helper in helpers:
                    helper.cancel()

    @contextmanager
    def _ending(self, operator: Operator) -> Iterator["asyncio.Task[HotspareError]"]:
        """What ends the stream from this side: a stop, or the end of the token."""
        ending = asyncio.create_task(self._parts.ends.ended(operator), name="feed-ending")
        try:
            yield ending
        finally:
            ending.cancel()

    async def _watch(self, session: Session) -> None:
        """The cloud may have given the work to another, which is no matter of a lease of ours."""
        while True:
            await self._parts.changes.next.wait()
            session.wake()


async def _opening(requests: AsyncIterator[Request], ending: "asyncio.Task[HotspareError]") -> Request.Open:
    """The first message."""
    coming = asyncio.ensure_future(anext(aiter(requests), None))
    try:
        await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            raise ending.result()
        first = coming.result()
    finally:
        coming.cancel()
    if first is None or first.WhichOneof("frame") != "open":
        raise HotspareError(Reason.STREAM_PROTOCOL, "expected `open` first", expected="open")
    if not first.open.subscription:
        raise field_invalid("open.subscription", "is required")
    if first.open.window > MOST_WINDOW:
        raise field_invalid("open.window", f"is at most {MOST_WINDOW}")
    return first.open


async def _read(requests: AsyncIterator[Request], subscription: Subscription, session: Session) -> None:
    """What the subscriber says, until it half-closes."""
    try:
        async for request in requests:
            match request.WhichOneof("frame"):
                case "acknowledge":
                    cursors = request.acknowledge.cursors
                    if len(cursors) > MOST_CURSORS:
                        raise field_invalid("acknowledge.cursors", f"are at most {MOST_CURSORS}")
                    await subscription.acknowledge(session, cursors)
                case "open":
                    detail = "expected `acknowledge`: the stream is open"
                    raise HotspareError(Reason.STREAM_PROTOCOL, detail, expected="acknowledge")
                case _:
                    # Of a later release: passed over, as the contract has it.
                    continue
        session.half_closed = True
        session.wake()
    except Exception as error:
        # Also a defect: a stream that is deaf must not stay open.
        session.end(error)


def _encode(message: FeedMessage) -> Response:
    match message:
        case FeedState(working, epoch):
            return Response(state=Response.State(working=working, epoch=epoch))
        case FeedAnswer(cursors, unknown):
            return Response(acknowledged=Response.Acknowledged(cursors=cursors, unknown=unknown))
        case Tell():
            return Response(alarm=_alarm(message))


def _alarm(tell: Tell) -> alarm_feed_service_pb2.FeedAlarm:
    if tell.trial is not None:
        stored = stored_alarm_to_proto(tell.trial.stored)
    else:
        stored = alarm_pb2.StoredAlarm.FromString(tell.raw)
    alarm = alarm_feed_service_pb2.FeedAlarm(
        cursor=tell.cursor,
        stored=stored,
        attempt=tell.attempt,
        epoch=tell.epoch,
        replay=tell.sending is not None and tell.sending.delivered.replay,
    )
    # For the history: what was written.
    tell.frame = alarm.SerializeToString()
    if tell.trial is not None:
        tell.trial.written(tell.frame, "")
    return alarm
