"""Automation software: has the alarms of the group, from whichever receiver works."""

from __future__ import annotations  # the types of asynchronous stubs are there for checkers alone

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import grpc
from hotspare.v1 import alarm_feed_service_pb2, alarm_feed_service_pb2_grpc

from connection import Receiver, channel_to, receivers, say, setting
from refusals import Pauses, Refusal, read

Request = alarm_feed_service_pb2.StreamAlarmsRequest
Cursors = asyncio.Queue[int | None]

WINDOW = 100
"""Alarms that may be on their way without an acknowledgement."""


class Follower:
    """Keeps a stream to every receiver. Only the one that works sends alarms; but one without its stream is not
    healthy, and could not take over."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._had: set[tuple[str, str]] = set()
        self._open: set[Cursors] = set()
        """Of each open stream: what it is to acknowledge next; None: nothing more."""
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Follow until `count` different alarms have come; without a count for ever."""
        try:
            await asyncio.gather(*(self._keep_open(receiver) for receiver in receivers()))
        finally:
            self._end()  # where one of them failed, the others are to end too

    async def _keep_open(self, receiver: Receiver) -> None:
        pauses = Pauses()
        async with channel_to(receiver.address) as channel:
            service = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(channel)
            while not self._done.is_set():
                refusal = Refusal(grpc.StatusCode.OK)
                cursors: Cursors = asyncio.Queue()
                self._open.add(cursors)
                try:
                    await self._read(service, receiver, cursors, pauses)
                except grpc.aio.AioRpcError as error:
                    refusal = read(error)
                    self._tell_loss(receiver, refusal)
                    if refusal.reason == "STREAM_SUPERSEDED":
                        # Somebody else uses the subscription: two that open it would take it from each other for ever.
                        raise
                finally:
                    self._open.discard(cursors)
                    cursors.put_nowait(None)  # else what sends this stream's requests would wait for ever
                # All other errors are of this receiver alone; even a wrong token may be mended while the program runs.
                await self._pause(pauses.after(refusal))

    def _tell_loss(self, receiver: Receiver, refusal: Refusal) -> None:
        say("lost", receiver=receiver.address, code=refusal.code.name, reason=refusal.reason)
        if refusal.needs_mending:
            # Here stands what wakes somebody: a receiver without its subscriber can't take over.
            print(f"{receiver.address}: {refusal.message}", file=sys.stderr)

    async def _read(
        self,
        service: alarm_feed_service_pb2_grpc.AlarmFeedServiceAsyncStub,
        receiver: Receiver,
        cursors: Cursors,
        pauses: Pauses,
    ) -> None:
        async for response in service.StreamAlarms(_requests(cursors), metadata=receiver.feed):
            pauses.reset()
            match response.WhichOneof("frame"):
                case "state":
                    say("state", receiver=receiver.address, working=response.state.working, epoch=response.state.epoch)
                case "alarm":
                    self._take(response.alarm, receiver, cursors)
                case _:
                    pass  # "acknowledged"; and what a later release may add

    def _take(self, alarm: alarm_feed_service_pb2.FeedAlarm, receiver: Receiver, cursors: Cursors) -> None:
        if self._done.is_set():
            return  # without an acknowledgement it comes again, to whom follows next
        self._keep(alarm, receiver)
        # Only now: what was acknowledged never comes again, from no receiver.
        cursors.put_nowait(alarm.cursor)
        if self._count and len(self._had) >= self._count:
            self._end()

    def _keep(self, alarm: alarm_feed_service_pb2.FeedAlarm, receiver: Receiver) -> None:
        """Keep an alarm. Here stands your database; the identity of device and alarm is its unique key, for after a
        take-over, or where an acknowledgement was lost, an alarm comes again."""
        stored = alarm.stored
        identity = (stored.alarm.device_id, stored.alarm.alarm_id)
        event = "again" if identity in self._had else "alarm"
        self._had.add(identity)
        say(
            event, alarm_id=stored.alarm.alarm_id, account=stored.account_number, sequence=stored.account_sequence,
            attempt=alarm.attempt, epoch=alarm.epoch, receiver=receiver.address,
        )  # fmt: skip

    def _end(self) -> None:
        """Half-close all streams. Each server stores the acknowledgements that are on their way, and ends with OK."""
        self._done.set()
        for cursors in self._open:
            cursors.put_nowait(None)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), seconds)


async def _requests(cursors: Cursors) -> AsyncIterator[Request]:
    yield Request(open=Request.Open(subscription=setting("HOTSPARE_SUBSCRIPTION"), window=WINDOW))
    while (cursor := await cursors.get()) is not None:
        yield Request(acknowledge=Request.Acknowledge(cursors=[cursor]))
