"""A receiver's alarm path with stream outputs, served over gRPC; and subscribers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from hotspare.v1 import alarm_feed_service_pb2, alarm_feed_service_pb2_grpc
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.journal import Journal
from hotspare_receiver.outputs.subscriptions import Subscriptions
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.services.feed import FeedServicer, Parts
from hotspare_receiver.services.streams import Changes, Ends
from hotspare_receiver.snapshot import Attendance, Introduction, OutputConfig, StreamConfig, SyncReport
from hotspare_receiver.store.feed import FeedStore
from hotspare_receiver.store.schema import migrations
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole, TokenStore
from hotspare_receiver.tokens import Tokens
from hotspare_rpc.address import Address
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken
from hotspare_rpc.errors import from_rpc_error
from hotspare_rpc.server import RpcServer
from hotspare_store.database import Database
from tests.integration.path_fakes import ATTENDANCE, FakeArc, FakeCloud, Receiver, until

Request = alarm_feed_service_pb2.StreamAlarmsRequest
Response = alarm_feed_service_pb2.StreamAlarmsResponse
FeedAlarm = alarm_feed_service_pb2.FeedAlarm

SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16_384))
"""Of a client that reads nothing, so that its gRPC does not take megabytes in its place."""

FEED = OutputConfig("feed", (), stream=StreamConfig("automation"))


@dataclass
class FeedReceiver(Receiver):
    """A receiver whose outputs are `outputs`, with the service of its feed."""

    outputs: tuple[OutputConfig, ...] = (FEED,)

    def open(self) -> None:
        self.incarnations += 1
        self.starts += 1
        self.database = Database.open(self.folder / "receiver.db", migrations)
        self.journal = Journal(self.database, self.clock)
        self.tokens = Tokens(TokenStore(self.database), self.clock)
        self.store = FeedStore(self.database, self.clock)
        self.subscriptions = Subscriptions(self.store, self.journal, lambda: self.outputs)
        self.changes = Changes()
        self.grpc_channel = grpc.aio.insecure_channel(self.cloud.address)
        self.path = AlarmPath(
            cloud=self,
            journal=self.journal,
            incarnation=f"incarnation-{self.incarnations}",
            introduce=lambda: Introduction("receiver-1", "one", "machine-1", "127.0.0.1:1", "0.1.0", start=self.starts),
            sync=lambda: SyncReport(1, 7),
            disk_free=lambda: self.disk_free,
            on_expelled=self.expelled.append,
            on_behind=self.count_on,
            on_change=self.changes.notify,
            clock=self.clock,
            make_output=self.subscriptions.make_output,
        )

    async def serve(self, attendance: Attendance | None = ATTENDANCE) -> None:
        """Start the path and the service."""
        self.open()
        self.server = RpcServer(Address("127.0.0.1", 0), None, CollectorRegistry())
        settings = await SettingsStore.open(self.database, self.folder)
        ends = Ends(self.tokens, self.server.stopping)
        cloud = CloudClient(settings, None)
        servicer = FeedServicer(
            Parts(self.tokens, ends, self.changes, self.journal, self.subscriptions, cloud, settings)
        )
        self.server.add(alarm_feed_service_pb2_grpc.add_AlarmFeedServiceServicer_to_server, servicer)
        self.served_at = await self.server.start()
        self.path.start(self.outputs, attendance)

    def configure(self, *outputs: OutputConfig) -> None:
        """Have these outputs from now on."""
        self.outputs = outputs
        self.path.set_outputs(outputs)

    async def crash(self) -> None:
        await self.server.stop(0)
        await super().crash()

    async def restart(self) -> None:
        """A new process on the same folder. The cloud gives it the work anew, under a later epoch."""
        await self.crash()
        self.cloud.ended_through, self.cloud.epoch = self.cloud.epoch, self.cloud.epoch + 1
        await self.serve()

    async def token(self, role: TokenRole = TokenRole.FEED, *subscriptions: str, name: str = "software") -> str:
        """The secret of a new token."""
        names = subscriptions or (("automation",) if role is TokenRole.FEED else ())
        _, secret = await self.tokens.create(name, role, timedelta(days=1), names)
        return secret


@dataclass
class Subscriber:
    """One stream of a subscription, read by itself unless `reading` is off."""

    address: str
    secret: str
    subscription: str = "automation"
    window: int = 0
    reading: bool = True
    keeping: bool = False
    """Whether it acknowledges each alarm at once."""
    alarms: list[FeedAlarm] = field(default_factory=list)
    states: list[tuple[bool, int]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    error: HotspareError | grpc.aio.AioRpcError | None = None
    ended: bool = False

    async def open(self) -> "Subscriber":
        self.channel = (
            open_channel(self.address, None)
            if self.reading
            else grpc.aio.insecure_channel(self.address, options=SMALL_WINDOW)
        )
        self.outbox: asyncio.Queue[Request | None] = asyncio.Queue()
        stub = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(self.channel)
        self.call: Any = stub.StreamAlarms(self._requests(), metadata=BearerToken(self.secret).metadata())
        self.say(open=Request.Open(subscription=self.subscription, window=self.window))
        self.reader = asyncio.create_task(self._read()) if self.reading else None
        return self

    async def ready(self) -> "Subscriber":
        """Open it, and wait for the first state."""
        await self.open()
        await until(lambda: self.states or self.ended)
        return self

    def say(self, **frame: Any) -> None:
        self.outbox.put_nowait(Request(**frame))

    def acknowledge(self, *alarms: FeedAlarm | int) -> None:
        cursors = [one if isinstance(one, int) else one.cursor for one in alarms]
        self.say(acknowledge=Request.Acknowledge(cursors=cursors))

    def half_close(self) -> None:
        self.outbox.put_nowait(None)

    @property
    def numbers(self) -> list[int]:
        return [alarm.stored.number for alarm in self.alarms]

    @property
    def attempts(self) -> list[int]:
        return [alarm.attempt for alarm in self.alarms]

    async def close(self) -> None:
        """Go, as a process that is killed."""
        self.call.cancel()
        if self.reader is not None:
            await asyncio.gather(self.reader, return_exceptions=True)
        await self.channel.close()

    async def _requests(self) -> AsyncIterator[Request]:
        while (request := await self.outbox.get()) is not None:
            yield request

    async def _read(self) -> None:
        try:
            async for response in self.call:
                self._take(response)
        except grpc.aio.AioRpcError as error:
            self.error = from_rpc_error(error) or error
        finally:
            self.ended = True

    def _take(self, response: Response) -> None:
        match response.WhichOneof("frame"):
            case "alarm":
                self.alarms.append(response.alarm)
                if self.keeping:
                    self.acknowledge(response.alarm)
            case "state":
                self.states.append((response.state.working, response.state.epoch))
            case "acknowledged":
                self.acknowledged.extend(response.acknowledged.cursors)
                self.unknown.extend(response.acknowledged.unknown)
            case _:
                raise AssertionError(response)


async def closed(subscribers: Iterable[Subscriber]) -> None:
    """Close them all."""
    for subscriber in subscribers:
        await subscriber.close()


Subscribe = Callable[..., Any]
"""Opens a subscription; all are closed at the end of the test."""


def reason_of(subscriber: Subscriber) -> Reason:
    """Why its stream ended."""
    assert isinstance(subscriber.error, HotspareError), subscriber.error
    return subscriber.error.reason


def working(feed: FeedReceiver) -> bool:
    """Whether the receiver has a lease."""
    return feed.path.snapshot().lease.working


def trial(folder: Path, cloud: FakeCloud, arc: FakeArc) -> FeedReceiver:
    """A receiver with one stream output, not started."""
    return FeedReceiver(folder, cloud, arc)
