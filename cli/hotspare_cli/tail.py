"""The alarms of a stream output as they come, acknowledged once they were shown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import grpc

from hotspare.v1.alarm_feed_service_pb2 import FeedAlarm, StreamAlarmsRequest, StreamAlarmsResponse
from hotspare_cli.session import Session

WINDOW = 100
RECONNECT = 1.0
"""Seconds until a stream that broke is opened again."""

_BREAKS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Tail:
    """Follows one subscription."""

    def __init__(
        self,
        session: Session,
        subscription: str,
        show: Callable[[FeedAlarm], None],
        tell: Callable[[str], None],
        limit: int | None = None,
    ) -> None:
        """`show` is called once for each delivery; `tell` of what is no alarm, in words."""
        self._session = session
        self._subscription = subscription
        self._show = show
        self._tell = tell
        self._left = limit
        self._stood = False

    async def follow(self) -> None:
        """Until `limit` alarms were shown and their acknowledgements are safe at the receiver; else for ever.

        A stream that stood and broke is opened again and again.

        Raises:
            CliError: it could not be opened, or the receiver ended it.
        """
        while True:
            try:
                await self._follow_one()
                return
            except grpc.aio.AioRpcError as error:
                problem = self._session.explain(error)
                if not self._stood or error.code() not in _BREAKS:
                    raise problem from None
                self._tell(f"{problem.what} It is opened again.")
            await asyncio.sleep(RECONNECT)

    async def _follow_one(self) -> None:
        """One stream. Returns when there were enough."""
        outbox: asyncio.Queue[int | None] = asyncio.Queue()
        unsafe: set[int] = set()
        stream = self._session.exchange(self._session.feed.StreamAlarms, self._requests(outbox), timeout=None)
        async with aclosing(stream) as responses:
            async for response in responses:
                self._stood = True
                match response.WhichOneof("frame"):
                    case "state":
                        self._tell(_state(response.state))
                    case "alarm" if self._left is None or self._left > 0:
                        self._show(response.alarm)
                        unsafe.add(response.alarm.cursor)
                        outbox.put_nowait(response.alarm.cursor)
                        self._left = None if self._left is None else self._left - 1
                    case "acknowledged":
                        unsafe.difference_update(response.acknowledged.cursors, response.acknowledged.unknown)
                    case _:
                        # Beyond the limit, or of a later release.
                        pass
                if self._left == 0 and not unsafe:
                    return

    async def _requests(self, outbox: "asyncio.Queue[int | None]") -> AsyncIterator[StreamAlarmsRequest]:
        window = WINDOW if self._left is None else min(WINDOW, self._left)
        yield StreamAlarmsRequest(open=StreamAlarmsRequest.Open(subscription=self._subscription, window=window))
        while (cursor := await outbox.get()) is not None:
            yield StreamAlarmsRequest(acknowledge=StreamAlarmsRequest.Acknowledge(cursors=[cursor]))


def _state(state: StreamAlarmsResponse.State) -> str:
    if state.working:
        return f"The receiver works, under epoch {state.epoch}."
    return f"The receiver does not work: nothing comes until it does. The group is in epoch {state.epoch}."
