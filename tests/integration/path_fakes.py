"""What stands around a receiver's alarm path in its tests: a scripted cloud, a scripted ARC, and the path itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from hotspare.v1 import (
    alarm_pull_service_pb2,
    alarm_pull_service_pb2_grpc,
    group_pb2,
    role_service_pb2,
    role_service_pb2_grpc,
)
from hotspare_model.alarm import Alarm, AlarmMark, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_model.dc09 import Frame, decode
from hotspare_model.dc09_reply import encode_ack
from hotspare_model.dc09_stream import FrameSplitter
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings, Role
from hotspare_receiver.clock import Clock, SystemClock
from hotspare_receiver.journal import Journal
from hotspare_receiver.path import AlarmPath as ReceiverPath
from hotspare_receiver.snapshot import Attendance, Dc09Config, Expulsion, Introduction, OutputConfig, SyncReport
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.address import Address
from hotspare_rpc.errors import abort
from hotspare_rpc.wire import duration_to_proto, group_settings_to_proto, stored_alarm_to_proto
from hotspare_store.database import Database

MORNING = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
ATTENDANCE = Attendance(Role.HOST, "north", "default", 1)
LEASE = timedelta(seconds=2)
BEAT = timedelta(seconds=0.1)
SETTINGS = GroupSettings(lease=LEASE, beat=BEAT, drain_timeout=timedelta(seconds=1))


async def until(condition: Callable[[], object], timeout: float = 8.0) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


def stored_alarm(number: int, device: str = "panel", **changes: Any) -> StoredAlarm:
    """An alarm as the cloud keeps it; `changes` are of what the device said, `marks` excepted."""
    marks: tuple[AlarmMark, ...] = changes.pop("marks", ())
    what = Alarm(
        alarm_id=f"00000000-0000-7000-8000-{number:012d}",
        device_id=device,
        qualifier=Qualifier.NEW,
        code_format=CodeFormat.CONTACT_ID,
        code="130",
        partition=1,
        zone=number % 1000,
        occurred=MORNING,
        text="",
    )
    what = replace(what, **changes)
    received = MORNING + timedelta(seconds=5)
    return StoredAlarm(number, what, "1234", number, received, marks, AlarmPath.CLOUD)


@dataclass
class Confirmed:
    """A confirmation as the cloud got it."""

    epoch: int
    first: int
    last: int


class FakeCloud(role_service_pb2_grpc.RoleServiceServicer, alarm_pull_service_pb2_grpc.AlarmPullServiceServicer):
    """A cloud with one receiver, which does what its attributes say. `push()` after changing those."""

    def __init__(self) -> None:
        self.boot = "boot-1"
        self.number = 0
        self.epoch = 1
        self.working = True
        self.granting = True
        self.ended_through = 0
        self.yield_to = ""
        self.storing = True
        self.delivering = True
        self.skip_delivery = False
        self.claimed_pull: int | None = None
        self.refusal: HotspareError | None = None
        self.breaks: grpc.StatusCode | None = None
        """Attend and PullAlarms end so, as a library or a proxy ends them: without a reason of ours."""
        self.broken = 0
        self.settings = SETTINGS
        self.tells_settings = True
        self.standby_reason = 0
        self.known_start = 0
        self.queue: dict[int, StoredAlarm] = {}
        self.attempts: dict[int, int] = {}
        self.hellos: list[role_service_pb2.AttendRequest.Hello] = []
        self.beats: list[role_service_pb2.AttendRequest.Beat] = []
        self.opens: list[alarm_pull_service_pb2.PullAlarmsRequest.Open] = []
        self.confirms: list[Confirmed] = []
        self.refusals: list[alarm_pull_service_pb2.PullAlarmsRequest.Refuse] = []
        self.setting_aside = True
        self.replays: set[int] = set()
        """Alarms that go out as those that an operator put back."""
        self.server = grpc.aio.server()
        self.address = ""
        self._states: asyncio.Queue[role_service_pb2.AttendResponse] | None = None
        self._pull: _FakePull | None = None
        role_service_pb2_grpc.add_RoleServiceServicer_to_server(self, self.server)
        alarm_pull_service_pb2_grpc.add_AlarmPullServiceServicer_to_server(self, self.server)

    async def start(self) -> None:
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await self.server.start()

    def state(self, answers: int) -> role_service_pb2.AttendResponse:
        self.number += 1
        pull = self._pull
        state = role_service_pb2.AttendResponse(
            boot=self.boot,
            number=self.number,
            answers_beat=answers,
            epoch=self.epoch,
            working=self.working,
            ended_through=self.ended_through,
            yield_to=self.yield_to,
            pull_id=self.claimed_pull if self.claimed_pull is not None else pull.pull_id if pull else 0,
            last_delivery=pull.last_delivery if pull else 0,
            settings=group_settings_to_proto(self.settings) if self.tells_settings else None,
            standby_reason=group_pb2.StandbyReason.ValueType(self.standby_reason),
        )
        if self.working and self.granting and answers:
            state.lease.CopyFrom(duration_to_proto(self.settings.holder_lease))
        return state

    def push(self) -> None:
        """Send the state unasked."""
        if self._states is not None:
            self._states.put_nowait(self.state(self.beats[-1].number if self.beats else 0))

    def publish(self, *alarms: StoredAlarm) -> None:
        """Have alarms for the receiver."""
        self.queue.update((alarm.number, alarm) for alarm in alarms)
        if self._pull is not None:
            self._pull.deliver(alarms)

    def end_epoch(self, *, epoch: int, working: bool = False) -> None:
        """The group goes on under a later epoch."""
        self.ended_through = epoch - 1
        self.epoch = epoch
        self.working = working
        if self._pull is not None:
            self._pull.stale()
        self.push()

    def withdraw(self, number: int) -> None:
        assert self._pull is not None
        del self.queue[number]
        self._pull.send(withdraw=alarm_pull_service_pb2.PullAlarmsResponse.Withdraw(number=number))

    @property
    def confirmed(self) -> list[int]:
        """The numbers that were confirmed, in the order in which they came."""
        return [number for one in self.confirms for number in range(one.first, one.last + 1)]

    async def Attend(
        self,
        request_iterator: AsyncIterator[role_service_pb2.AttendRequest],
        context: Any,
    ) -> AsyncIterator[role_service_pb2.AttendResponse]:
        await self._break(context)
        if self.refusal is not None:
            await abort(context, self.refusal)
        states = self._states = asyncio.Queue()
        reader = asyncio.create_task(self._read_beats(request_iterator, states))
        try:
            while True:
                state = await states.get()
                if self.hellos[-1].start <= self.known_start:
                    known = str(self.known_start)
                    await abort(context, HotspareError(Reason.START_BEHIND, "a later start is known", start=known))
                yield state
        finally:
            reader.cancel()

    async def _break(self, context: Any) -> None:
        if self.breaks is not None:
            self.broken += 1
            await context.abort(self.breaks, "no reason of ours")

    async def _read_beats(
        self,
        requests: AsyncIterator[role_service_pb2.AttendRequest],
        states: asyncio.Queue[role_service_pb2.AttendResponse],
    ) -> None:
        async for request in requests:
            if request.WhichOneof("frame") == "hello":
                self.hellos.append(request.hello)
                states.put_nowait(self.state(0))
                continue
            beat = request.beat
            self.beats.append(beat)
            if beat.released_through >= self.epoch > self.ended_through:
                self.end_epoch(epoch=self.epoch + 1)
                continue
            states.put_nowait(self.state(beat.number))

    async def PullAlarms(
        self,
        request_iterator: AsyncIterator[alarm_pull_service_pb2.PullAlarmsRequest],
        context: Any,
    ) -> AsyncIterator[alarm_pull_service_pb2.PullAlarmsResponse]:
        await self._break(context)
        first = await anext(request_iterator, None)
        if first is None:
            return
        self.opens.append(first.open)
        pull = _FakePull(self, first.open)
        if first.open.epoch:
            self._pull = pull
        if first.open.epoch == self.epoch and self.working:
            pull.deliver(tuple(self.queue[number] for number in sorted(self.queue)))
        else:
            pull.stale()
        reader = asyncio.create_task(pull.read(request_iterator))
        try:
            while (message := await pull.messages.get()) is not None:
                yield message
        finally:
            reader.cancel()
            if self._pull is pull:
                self._pull = None


class _FakePull:
    def __init__(self, cloud: FakeCloud, opening: alarm_pull_service_pb2.PullAlarmsRequest.Open) -> None:
        self.cloud = cloud
        self.pull_id = opening.pull_id
        self.epoch = opening.epoch
        self.last_delivery = 0
        self.is_stale = False
        self.messages: asyncio.Queue[alarm_pull_service_pb2.PullAlarmsResponse | None] = asyncio.Queue()

    def send(self, **frame: object) -> None:
        self.messages.put_nowait(alarm_pull_service_pb2.PullAlarmsResponse(**frame))  # type: ignore[arg-type]

    def deliver(self, alarms: tuple[StoredAlarm, ...]) -> None:
        if self.is_stale or not alarms or not self.cloud.delivering:
            return
        delivered = []
        for alarm in alarms:
            self.cloud.attempts[alarm.number] = attempt = self.cloud.attempts.get(alarm.number, 0) + 1
            message = stored_alarm_to_proto(alarm)
            replay = alarm.number in self.cloud.replays
            delivered.append(alarm_pull_service_pb2.DeliveredAlarm(stored=message, attempt=attempt, replay=replay))
        first = self.last_delivery + 1
        if self.cloud.skip_delivery:
            self.cloud.skip_delivery = False
            first += 1
        self.last_delivery = first + len(alarms) - 1
        self.send(
            delivery=alarm_pull_service_pb2.PullAlarmsResponse.Delivery(
                epoch=self.epoch, first_delivery=first, alarms=delivered
            )
        )

    def stale(self) -> None:
        self.is_stale = True
        self.send(stale=alarm_pull_service_pb2.PullAlarmsResponse.Stale(current_epoch=self.cloud.epoch))

    def refused(self, refuse: alarm_pull_service_pb2.PullAlarmsRequest.Refuse) -> None:
        self.cloud.refusals.append(refuse)
        if self.cloud.setting_aside and refuse.epoch == self.cloud.epoch:
            self.cloud.queue.pop(refuse.number, None)
            number = alarm_pull_service_pb2.NumberRange(first=refuse.number, last=refuse.number)
            self.send(stored=alarm_pull_service_pb2.PullAlarmsResponse.Stored(ranges=[number], epoch=refuse.epoch))

    async def read(self, requests: AsyncIterator[alarm_pull_service_pb2.PullAlarmsRequest]) -> None:
        async for request in requests:
            if request.WhichOneof("frame") == "refuse":
                self.refused(request.refuse)
                continue
            assert request.WhichOneof("frame") == "confirm"
            confirm = request.confirm
            for part in confirm.ranges:
                self.cloud.confirms.append(Confirmed(confirm.epoch, part.first, part.last))
                for number in range(part.first, part.last + 1):
                    self.cloud.queue.pop(number, None)
            if self.cloud.storing:
                self.send(
                    stored=alarm_pull_service_pb2.PullAlarmsResponse.Stored(ranges=confirm.ranges, epoch=confirm.epoch)
                )
        self.messages.put_nowait(None)


Answer = Callable[[Frame], bytes | None]
CLOSE = b"close"
"""An answer that closes the connection instead."""


class FakeArc:
    """Automation software that answers each message as `answer` says: bytes, nothing, or CLOSE."""

    def __init__(self, key: bytes | None = None) -> None:
        self.key = key
        self.answer: Answer = self.ack
        self.frames: list[Frame] = []
        self.raw: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.server: asyncio.Server | None = None
        self.address = Address("127.0.0.1", 0)

    def ack(self, frame: Frame) -> bytes:
        return encode_ack(frame, key=self.key, pad=bytes, sent_at=MORNING if self.key else None)

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.address = Address("127.0.0.1", self.server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    def say(self, data: bytes) -> None:
        """Send bytes unasked."""
        self.writers[-1].write(data)

    @property
    def sequences(self) -> list[int]:
        """The sequences of the alarms that came."""
        return [frame.sequence for frame in self.frames if frame.id_token != "NULL"]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        splitter = FrameSplitter()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for raw in splitter.feed(data):
                    frame = decode(raw, lambda account: self.key)
                    self.frames.append(frame)
                    self.raw.append(raw)
                    answer = self.answer(frame)
                    if answer == CLOSE:
                        writer.transport.abort()
                    elif answer is not None:
                        writer.write(answer)
        writer.close()


@dataclass
class Receiver:
    """A receiver's alarm path with its data folder; `restart` is a new process on it."""

    folder: Path
    cloud: FakeCloud
    arc: FakeArc
    expelled: list[Expulsion] = field(default_factory=list)
    incarnations: int = 0
    starts: int = 0
    """Number of the newest start, as its data folder keeps it."""
    clock: Clock = field(default_factory=SystemClock)
    disk_free: int = 10**9
    sync: SyncReport = field(default_factory=lambda: SyncReport(1, 7))
    """How its copy of the configuration stands."""

    def open(self) -> None:
        self.incarnations += 1
        self.starts += 1
        self.database = Database.open(self.folder / "receiver.db", migrations)
        self.journal = Journal(self.database, self.clock)
        self.grpc_channel = grpc.aio.insecure_channel(self.cloud.address)
        self.path = ReceiverPath(
            cloud=self,
            journal=self.journal,
            incarnation=f"incarnation-{self.incarnations}",
            introduce=lambda: Introduction("receiver-1", "one", "machine-1", "127.0.0.1:1", "0.1.0", start=self.starts),
            sync=lambda: self.sync,
            disk_free=lambda: self.disk_free,
            on_expelled=self.expelled.append,
            on_behind=self.count_on,
            on_change=lambda: None,
            clock=self.clock,
        )

    async def count_on(self, known: int) -> None:
        self.starts = max(self.starts, known) + 1

    # CloudAccess
    @property
    def address(self) -> str:
        return self.cloud.address

    def channel(self) -> grpc.aio.Channel | None:
        return self.grpc_channel

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("hotspare-arc-id", "north"), ("hotspare-arc-key", "k"), ("hotspare-receiver-id", "receiver-1"))

    def output(self, **changes: Any) -> OutputConfig:
        dc09 = Dc09Config(
            receiver_number="1",
            line_number="2",
            key=self.arc.key,
            answer_timeout=timedelta(seconds=0.3),
            heartbeat=timedelta(0),
        )
        return replace(OutputConfig("arc", (self.arc.address,), True, dc09), **changes)

    def start(self, *outputs: OutputConfig, attendance: Attendance | None = ATTENDANCE) -> None:
        self.open()
        self.path.start(outputs or (self.output(),), attendance)

    async def crash(self) -> None:
        """End without a word, as a kill does; what was durable stays."""
        # The streams first: a process that was killed says nothing of its own end.
        self.path._end()
        self.path._health.stop()
        self.path._work.close()
        await self.journal.close()
        await self.grpc_channel.close()
        self.database.close()

    async def restart(self) -> None:
        await self.crash()
        self.start()
