"""Scripted receivers: they say what the test tells them to, and write down what the cloud answers."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import grpc

from hotspare.v1 import (
    alarm_pull_service_pb2,
    alarm_pull_service_pb2_grpc,
    group_pb2,
    role_service_pb2,
    role_service_pb2_grpc,
)
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.credentials import ReceiverCredentials
from hotspare_rpc.errors import from_rpc_error
from tests.integration.cloud.helpers import DEADLINE, Account, numbers_in, until

HOST = group_pb2.ROLE_HOST
SPARE_1 = group_pb2.ROLE_SPARE_1
SPARE_2 = group_pb2.ROLE_SPARE_2
SPARE_3 = group_pb2.ROLE_SPARE_3
ROLES = (HOST, SPARE_1, SPARE_2, SPARE_3)

BEAT = 0.1

Beat = role_service_pb2.AttendRequest.Beat
State = role_service_pb2.AttendResponse


class Receiver:
    """One start (incarnation) of a receiver."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        account: Account,
        *,
        receiver_id: str = "",
        machine_id: str = "",
        sub_account: str = "",
        start: int = 1,
        folder_id: str = "",
        **info: Any,
    ) -> None:
        self.reach(channel)
        self.account = account
        self.receiver_id = receiver_id or str(uuid4())
        self.machine_id = machine_id or str(uuid4())
        self.sub_account = sub_account
        self.incarnation = str(uuid4())
        self.start = start
        self.folder_id = folder_id or str(uuid4())
        self.info = info
        self.metadata = ReceiverCredentials(account.arc_id, account.key, self.receiver_id).metadata()
        self.beats = 0
        self.released_through = 0
        self.wants_release = False
        self.says: dict[str, Any] = {}
        """What all its beats tell beside, or instead of, what would be true."""
        self.pulls = 0
        self.line: Line | None = None
        self.pull: Pull | None = None

    def reach(self, channel: grpc.aio.Channel) -> None:
        """Speak to the cloud on this channel from now on."""
        self.channel = channel
        self.roles = role_service_pb2_grpc.RoleServiceStub(channel)

    def started_anew(self, *, machine_id: str = "", folder_id: str = "") -> "Receiver":
        """The same receiver, started once more, perhaps elsewhere, or from a copy of its data folder."""
        return Receiver(
            self.channel,
            self.account,
            receiver_id=self.receiver_id,
            machine_id=machine_id or self.machine_id,
            sub_account=self.sub_account,
            start=self.start + 1,
            folder_id=folder_id or self.folder_id,
            **self.info,
        )

    def described(self) -> group_pb2.ReceiverInfo:
        """How it describes itself."""
        told: dict[str, Any] = {"name": f"name-{self.receiver_id[:4]}", "software_version": "1.2.3", **self.info}
        return group_pb2.ReceiverInfo(receiver_id=self.receiver_id, machine_id=self.machine_id, **told)

    async def join(self, role: int) -> role_service_pb2.JoinGroupResponse:
        """Take a role."""
        request = role_service_pb2.JoinGroupRequest(
            sub_account=self.sub_account, role=group_pb2.Role.ValueType(role), receiver=self.described()
        )
        return await self.roles.JoinGroup(request, metadata=self.metadata, timeout=DEADLINE)

    async def leave(self, **fields: Any) -> role_service_pb2.LeaveGroupResponse:
        """Give the role up."""
        request = role_service_pb2.LeaveGroupRequest(**fields)
        return await self.roles.LeaveGroup(request, metadata=self.metadata, timeout=DEADLINE)

    async def members(self) -> role_service_pb2.ListMembersResponse:
        """List the group."""
        request = role_service_pb2.ListMembersRequest(sub_account=self.sub_account)
        return await self.roles.ListMembers(request, metadata=self.metadata, timeout=DEADLINE)

    async def attend(self, *, beating: bool = True, **hello: Any) -> "Line":
        """Open the life line, and wait for the first state or the refusal."""
        line = Line(self, beating=beating)
        await line.open(**hello)
        self.line = line
        return line

    @property
    def state(self) -> State:
        """The newest state that it saw."""
        assert self.line is not None
        assert self.line.states
        return self.line.states[-1]

    @property
    def works(self) -> bool:
        """Whether the cloud says so."""
        return bool(self.line is not None and self.line.states and self.state.working)

    @property
    def epoch(self) -> int:
        """The epoch that it holds. 0: none."""
        return self.state.epoch if self.works else 0

    async def until_working(self) -> int:
        """Wait until it is the working one, with a lease; return the epoch."""
        await until(lambda: self.works and self.line and self.line.granted(self.epoch), "it works and has a lease")
        return self.epoch

    async def open_pull(self, epoch: int | None = None, window: int = 256) -> "Pull":
        """Open a pull, of the epoch that it holds if none is named."""
        self.pulls += 1
        pull = Pull(self, self.pulls)
        await pull.open(self.epoch if epoch is None else epoch, window)
        self.pull = pull
        return pull

    async def work(self, window: int = 256) -> "Pull":
        """Attend where it does not yet, become the working one, and pull."""
        if self.line is None:
            await self.attend()
        await self.until_working()
        return await self.open_pull(window=window)

    async def until_told_to_yield(self, to: "Receiver") -> None:
        """Wait until the cloud says to whom the work is to go."""
        await until(lambda: self.works and self.state.yield_to == to.receiver_id, "it was told to yield")

    async def release(self) -> None:
        """Give the work back, as one that has finished."""
        self.released_through = self.epoch
        assert self.line is not None
        await self.line.beat()

    def fall_ill(self, kind: int = group_pb2.HEALTH_PROBLEM_KIND_OUTPUT_DOWN) -> None:
        """Say from now on that it could not deliver."""
        problem = group_pb2.HealthProblem(kind=group_pb2.HealthProblemKind.ValueType(kind), subject="arc")
        self.says["health"] = group_pb2.Health(problems=[problem])

    def get_well(self) -> None:
        """Say from now on that nothing is wrong."""
        self.says.pop("health", None)

    async def vanish(self) -> None:
        """End all streams, as the end of the process does."""
        for stream in (self.line, self.pull):
            if stream is not None:
                await stream.cut()


class _Stream:
    """What both streams have in common."""

    def __init__(self) -> None:
        self.error: HotspareError | None = None
        self.code: grpc.StatusCode | None = None
        self.call: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._writing = asyncio.Lock()

    @property
    def ended(self) -> bool:
        """Whether the cloud, or the test, has ended it."""
        return self.code is not None

    async def until_ended(self) -> HotspareError | None:
        """Wait until the cloud ends it; return its error."""
        await until(lambda: self.ended, "the stream ended")
        return self.error

    async def cut(self) -> None:
        """End it without a word."""
        self.call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.code = self.code or grpc.StatusCode.CANCELLED

    async def half_close(self) -> None:
        """Say that nothing more comes, and wait for the end."""
        await self.call.done_writing()
        await self.until_ended()

    def _heard(self, message: Any) -> None:
        raise NotImplementedError

    async def _listen(self) -> None:
        try:
            async for message in self.call:
                self._heard(message)
            self.code = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            self.error = from_rpc_error(error)
            self.code = error.code()
        except asyncio.CancelledError:
            self.code = grpc.StatusCode.CANCELLED
            raise


class Line(_Stream):
    """One Attend stream."""

    def __init__(self, receiver: Receiver, *, beating: bool) -> None:
        super().__init__()
        self.receiver = receiver
        self.states: list[State] = []
        self._heard_at: list[float] = []
        self.beating = beating
        self.deaf_since: State | None = None
        """The state that it echoes for ever, once it hears no more."""
        self.slow = 0.0
        """Seconds for which each state is on its way to it; its beats echo the newest that has arrived."""
        self.claims_epoch: int | None = None
        """The epoch that its beats name, if not the true one."""

    def begin(self) -> None:
        """Begin the call, without a word."""
        self.call = self.receiver.roles.Attend(metadata=self.receiver.metadata)
        self._tasks.append(asyncio.create_task(self._listen()))

    async def open(self, **hello: Any) -> None:
        """Say hello and wait for the answer."""
        self.begin()
        await self.hello(**hello)
        await until(lambda: self.states or self.ended, "the cloud answered the hello")
        self._tasks.append(asyncio.create_task(self._beat()))

    async def hello(self, **hello: Any) -> None:
        """Send the hello; what is named replaces what would be true."""
        receiver = self.receiver
        told: dict[str, Any] = {
            "receiver": receiver.described(),
            "incarnation": receiver.incarnation,
            "start": receiver.start,
            "folder_id": receiver.folder_id,
            "sub_account": receiver.sub_account,
            "released_through": receiver.released_through,
        }
        await self.say(role_service_pb2.AttendRequest(hello=role_service_pb2.AttendRequest.Hello(**{**told, **hello})))

    async def say(self, request: role_service_pb2.AttendRequest) -> None:
        """Send anything. What a stream that has ended does not take is no matter: its end is."""
        # One write at a time: a second one beside it would be refused by gRPC.
        async with self._writing:
            with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.UsageError, grpc.aio.AioRpcError):
                await self.call.write(request)

    async def beat(self, **fields: Any) -> int:
        """Send one beat; return its number."""
        receiver = self.receiver
        receiver.beats += 1
        number = receiver.beats
        echo = self.deaf_since or self._newest()
        pull = receiver.pull if receiver.pull and not receiver.pull.ended and receiver.pull.stale is None else None
        told: dict[str, Any] = {
            "number": number,
            "epoch": receiver.epoch if self.claims_epoch is None else self.claims_epoch,
            "echo_boot": echo.boot,
            "echo_number": echo.number,
            "released_through": receiver.released_through,
            "wants_release": receiver.wants_release,
            "pull_id": pull.pull_id if pull else 0,
            "last_delivery": pull.last_delivery if pull else 0,
            "health": group_pb2.Health(),
        }
        await self.say(role_service_pb2.AttendRequest(beat=Beat(**{**told, **receiver.says, **fields})))
        return number

    def granted(self, epoch: int) -> bool:
        """Whether any state gave a lease of that epoch."""
        return any(state.working and state.epoch == epoch and state.HasField("lease") for state in self.states)

    def answer_to(self, beat: int) -> State | None:
        """The first state that answered a beat."""
        return next((state for state in self.states if state.answers_beat == beat), None)

    def go_deaf(self) -> None:
        """From now on it echoes what it saw last."""
        self.deaf_since = self.states[-1]

    def _newest(self) -> State:
        arrived = time.monotonic() - self.slow
        known = [state for state, at in zip(self.states, self._heard_at, strict=True) if at <= arrived]
        return known[-1] if known else State()

    def _heard(self, message: Any) -> None:
        self.states.append(message)
        self._heard_at.append(time.monotonic())

    async def _beat(self) -> None:
        while not self.ended:
            if self.beating:
                await self.beat()
            await asyncio.sleep(BEAT)


class Pull(_Stream):
    """One PullAlarms stream."""

    def __init__(self, receiver: Receiver, pull_id: int) -> None:
        super().__init__()
        self.receiver = receiver
        self.pull_id = pull_id
        self.alarms: list[alarm_pull_service_pb2.DeliveredAlarm] = []
        self.epochs: list[int] = []
        self.delivery_numbers: list[int] = []
        self.stored: list[alarm_pull_service_pb2.PullAlarmsResponse.Stored] = []
        self.withdrawn: list[int] = []
        self.stale: int | None = None

    def begin(self) -> None:
        """Begin the call, without a word."""
        stub = alarm_pull_service_pb2_grpc.AlarmPullServiceStub(self.receiver.channel)
        self.call = stub.PullAlarms(metadata=self.receiver.metadata)
        self._tasks.append(asyncio.create_task(self._listen()))

    async def open(self, epoch: int, window: int) -> None:
        """Open it."""
        self.begin()
        await self.say(
            open=alarm_pull_service_pb2.PullAlarmsRequest.Open(
                incarnation=self.receiver.incarnation, epoch=epoch, pull_id=self.pull_id, window=window
            )
        )

    async def say(self, **frame: Any) -> None:
        """Send anything. What a stream that has ended does not take is no matter: its end is."""
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.UsageError, grpc.aio.AioRpcError):
            await self.call.write(alarm_pull_service_pb2.PullAlarmsRequest(**frame))

    @property
    def last_delivery(self) -> int:
        """The number of the last delivery that came."""
        return self.delivery_numbers[-1] if self.delivery_numbers else 0

    @property
    def numbers(self) -> list[int]:
        """Numbers of the alarms, in the order in which they came."""
        return [alarm.stored.number for alarm in self.alarms]

    @property
    def zones(self) -> list[int]:
        """Zones of the alarms, in the order in which they came: the tests count with them."""
        return [alarm.stored.alarm.zone for alarm in self.alarms]

    def zones_of(self, device_id: str) -> list[int]:
        """The same, of one device."""
        return [alarm.stored.alarm.zone for alarm in self.alarms if alarm.stored.alarm.device_id == device_id]

    async def until_zones(self, *zones: int) -> None:
        """Wait until exactly these have come, in this order."""
        await until(lambda: len(self.zones) >= len(zones), f"the zones {zones} came, not {self.zones}")
        assert self.zones == list(zones)

    def number_of(self, zone: int) -> int:
        """The number of the alarm of a zone."""
        return next(alarm.stored.number for alarm in self.alarms if alarm.stored.alarm.zone == zone)

    async def confirm(self, *numbers: int, epoch: int | None = None) -> None:
        """Confirm alarms, and wait for the answer."""
        await self.confirm_ranges([(number, number) for number in numbers], epoch)

    async def confirm_ranges(self, ranges: Sequence[tuple[int, int]], epoch: int | None = None) -> Any:
        """Confirm ranges, and wait for the answer, which is returned."""
        answered = len(self.stored)
        await self.say(
            confirm=alarm_pull_service_pb2.PullAlarmsRequest.Confirm(
                epoch=self.epochs[-1] if epoch is None else epoch,
                ranges=[alarm_pull_service_pb2.NumberRange(first=first, last=last) for first, last in ranges],
            )
        )
        await until(lambda: len(self.stored) > answered or self.ended, "the confirmation was answered")
        return self.stored[-1] if len(self.stored) > answered else None

    async def confirm_all(self) -> None:
        """Confirm all that came."""
        numbers = self.numbers
        await self.confirm(*numbers)
        assert set(numbers) <= set(numbers_in(self.stored[-1].ranges))

    def _heard(self, message: Any) -> None:
        match message.WhichOneof("frame"):
            case "delivery":
                first = message.delivery.first_delivery
                for offset, alarm in enumerate(message.delivery.alarms):
                    self.alarms.append(alarm)
                    self.epochs.append(message.delivery.epoch)
                    self.delivery_numbers.append(first + offset)
            case "stored":
                self.stored.append(message.stored)
            case "withdraw":
                self.withdrawn.append(message.withdraw.number)
            case "stale":
                self.stale = message.stale.current_epoch
            case frame:
                raise AssertionError(f"an unknown frame: {frame}")


def is_final(error: HotspareError | None, reason: Reason) -> bool:
    """Whether a stream ended with that reason."""
    return error is not None and error.reason is reason
