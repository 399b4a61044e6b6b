"""The parties of the simulation: a cloud, receivers and devices, each with a machine that outlives its processes.

They are made of the real parts, from the services down to the SQL. What is simulated is what those stand on: clock,
event loop, disk, network, and the ARC.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import grpc

from hotspare_cloud.clock import StallWatch
from hotspare_cloud.core.state import BeginEpoch, GroupState
from hotspare_cloud.directory import Directory, shutting_down
from hotspare_cloud.group import Group
from hotspare_cloud.intake import Intake
from hotspare_cloud.services import alarm, alarm_pull, role
from hotspare_cloud.services.callers import Callers
from hotspare_cloud.store.base import Confirmation, DeviceRow, KeptAlarm, NewAlarm
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_model.alarm import Alarm
from hotspare_model.errors import HotspareError
from hotspare_model.group import Role
from hotspare_receiver.core.forwarder import Delivered, Outcome
from hotspare_receiver.core.lease import LeaseGuard
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.journal import Journal
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.snapshot import Attendance, Dc09Config, Introduction, OutputConfig, SyncReport
from hotspare_receiver.work import Work
from hotspare_rpc.address import Address
from hotspare_rpc.credentials import ReceiverCredentials
from tests.simulation.arc import WALL, Arc
from tests.simulation.disk import Disk, SimDatabase
from tests.simulation.judge import Attempt, Identity, Judge
from tests.simulation.wire import Road, Service, SimChannel
from tests.simulation.world import Clock, Process, World

ARC_ID = "north"
ARC_KEY = "k" * 43
SUB_ACCOUNT = "default"
GROUP_ID = 1
OUTPUT = "arc"
PLENTY = 10**12

SET_BACK = 0.1
"""Part of the starts of a receiver before which its disk was set back to an earlier state."""


class WatchedStore(SqliteStore):
    """The cloud's store, of which every commit is told to the judge."""

    def __init__(self, database: SimDatabase, judge: Judge, world: World) -> None:
        super().__init__(database)
        self._observe = database.observe
        self._judge = judge
        self._world = world

    async def store_alarms(self, group_id: int, alarms: Sequence[NewAlarm]) -> Sequence[KeptAlarm]:
        """See AlarmStore."""

        def stored(kept: Sequence[KeptAlarm]) -> None:
            for new, row in zip(alarms, kept, strict=True):
                self._judge.stored(row.number, (new.account_number, row.account_sequence))

        self._observe(stored)
        return await super().store_alarms(group_id, alarms)

    async def note_delivery(self, group_id: int, epoch: int, numbers: Sequence[int]) -> Sequence[int]:
        """See AlarmStore."""

        def noted(waiting: Sequence[int]) -> None:
            self._world.note("cloud-disk", "delivered", epoch=epoch, numbers=waiting)
            self._judge.noted(epoch, waiting)

        self._observe(noted)
        return await super().note_delivery(group_id, epoch, numbers)

    async def confirm(
        self, group_id: int, epoch: int, receiver_id: str, ranges: Sequence[tuple[int, int]], at: float
    ) -> Confirmation:
        """See AlarmStore."""

        def confirmed(result: Confirmation) -> None:
            self._world.note(
                "cloud-disk", "confirmed", epoch=epoch, by=receiver_id[-1], ranges=ranges, newly=result.newly
            )
            self._judge.confirmation(self._world.now, epoch, name_of(receiver_id), result.newly)

        self._observe(confirmed)
        return await super().confirm(group_id, epoch, receiver_id, ranges, at)

    async def change_epoch(
        self, group_id: int, ended: tuple[int, bool] | None, begun: BeginEpoch | None, role: Role | None
    ) -> None:
        """See GroupStore."""

        def changed(_: object) -> None:
            began = begun and (begun.epoch, run_name(begun.incarnation), begun.reason.value)
            self._world.note("cloud-disk", "epoch", ended=ended, began=began)
            if begun is not None:
                self._judge.epoch_stored(begun.epoch, name_of(begun.receiver_id), run_name(begun.incarnation))

        self._observe(changed)
        await super().change_epoch(group_id, ended, begun, role)


def name_of(receiver_id: str) -> str:
    """A receiver's name in the history."""
    return f"r{receiver_id[-1]}"


def incarnation(role: Role, start: int) -> str:
    """The incarnation of a start, which can be read."""
    return f"00000000-{start:04x}-4000-8000-00000000000{int(role)}"


def run_name(incarnation: str) -> str:
    """What a process is called in the history."""
    return f"r{incarnation[-1]}.{int(incarnation[9:13], 16)}"


class CloudNode:
    """The cloud's machine."""

    def __init__(self, world: World, judge: Judge, clock: Clock, image: bytes, devices: Sequence[DeviceRow]) -> None:
        self.world = world
        self.disk = Disk(world, image)
        self.process: Process | None = None
        self.service: Service | None = None
        self.group: Group | None = None
        self.intake: Intake | None = None
        self.processes: list[Process] = []
        self.on_over: Callable[[int, str], None] = lambda epoch, incarnation: None
        self._judge = judge
        self._clock = clock
        self._devices = devices
        self._boots = 0
        self._directory: Directory | None = None
        self._state: GroupState | None = None

    @property
    def running(self) -> bool:
        """Whether it serves, as far as the machine goes."""
        return self.process is not None and self.process.alive and not self.process.stopped and self.service is not None

    def start(self) -> None:
        """Start the process."""
        if self.process is not None and self.process.alive:
            return
        self._boots += 1
        self.world.note("cloud", "starts", boot=self._boots)
        process = self.process = Process(self.world, "cloud", self._clock)
        self.processes.append(process)
        process.run(lambda: process.loop.create_task(self._serve(process)))

    async def _serve(self, process: Process) -> None:
        store = WatchedStore(SimDatabase(self.disk, process), self._judge, self.world)
        watch = StallWatch()
        directory = Directory(store, watch)
        # A name that the seed decides; the real one is a random UUID.
        directory.boot = f"boot-{self._boots}"
        intake = Intake(store, directory, alarm.serialize, alarm.marks_in, lambda: PLENTY, 0)
        callers = Callers(directory)
        watch.start()
        await directory.load()
        service = Service(process)
        roles, pulls = role.RoleService(callers, directory, store), alarm_pull.AlarmPullService(callers, directory)
        service.handlers["/hotspare.v1.RoleService/Attend"] = cast(Any, roles.Attend)
        service.handlers["/hotspare.v1.AlarmPullService/PullAlarms"] = cast(Any, pulls.PullAlarms)
        self._directory, self.intake, self.service = directory, intake, service
        self.group = directory.by_id(GROUP_ID)
        self._state = None
        process.after_turn = self._look
        self._look()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.alive:
            self.world.note("cloud", "killed")
            self.service = self.group = self.intake = None
            self.process.kill()

    def stop_cleanly(self) -> None:
        """SIGTERM: it ends its streams and exits."""
        process, directory = self.process, self._directory
        if process is None or not process.alive or process.stopped or self.service is None or directory is None:
            return
        self.world.note("cloud", "stops cleanly")
        self.service = None

        async def stop() -> None:
            await directory.stop(shutting_down())
            self.world.after(0.05, self._exit, process)

        process.run(lambda: process.loop.create_task(stop()))

    def _exit(self, process: Process) -> None:
        if self.process is process:
            self.kill()

    def publish(self, device: DeviceRow, one: Alarm, answer: Callable[[Identity], None]) -> None:
        """A device's publish has reached the machine."""
        process, intake = self.process, self.intake
        if process is None or intake is None:
            return

        async def store() -> None:
            try:
                (receipt,) = await intake.publish(device, [one])
            except HotspareError:
                return
            answer((device.account_number, receipt.account_sequence))

        process.post(f"publish-{device.device_id}", lambda: process.loop.create_task(store()))

    def _look(self) -> None:
        """After each turn: what it believes now."""
        group = self.group
        if group is None or group.state is self._state:
            return
        before, state = self._state, group.state
        self._state = state
        if state.holder is not None:
            self._judge.lease(state.epoch, self._clock.true(state.holder.lease_until))
        held = {hold.epoch for hold in state.holds}
        for hold in state.holds:
            self._judge.lease(hold.epoch, self._clock.true(hold.until))
        if before is None or before.epoch != state.epoch or before.holder is None or before.holds != state.holds:
            for epoch, known in self._judge.epochs.items():
                current = epoch == state.epoch and state.holder is not None
                if known.over_since is None and not current and epoch not in held and epoch <= state.epoch:
                    self.world.note("cloud", "takes as stopped", epoch=epoch, holder=known.incarnation)
                    self._judge.epoch_over(self.world.now, epoch)
                    self.on_over(epoch, known.incarnation)


class WatchedJournal(Journal):
    """A receiver's journal, of which the judge is told."""

    node: "ReceiverNode"

    def note_attempt(self, scope: str, delivered: Delivered, attempt: AttemptRecord, forwarded_code: str = "") -> None:
        """See Journal."""
        self.node.attempted(delivered, attempt.outcome)
        super().note_attempt(scope, delivered, attempt, forwarded_code)

    def _tell(self, durable: Any) -> None:
        for _, delivered in (durable := tuple(durable)):
            self.node.judge.journalled(self.node.name, identity_of(delivered))
        super()._tell(durable)


def identity_of(delivered: Delivered) -> Identity:
    """The identity at the ARC."""
    return (delivered.stored.account_number, delivered.stored.account_sequence)


class _Wall:
    """A receiver's clocks."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def now(self) -> float:
        return self._process.now()

    def wall(self) -> datetime:
        return WALL + timedelta(seconds=self._process.now())


class _Access:
    """How a receiver's process reaches the cloud."""

    address = "cloud:1"

    def __init__(self, channel: SimChannel, receiver_id: str) -> None:
        self._channel = channel
        self._metadata = ReceiverCredentials(ARC_ID, ARC_KEY, receiver_id).metadata()

    def channel(self) -> grpc.aio.Channel:
        return cast(grpc.aio.Channel, self._channel)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


class ReceiverNode:
    """A receiver's machine."""

    def __init__(
        self, world: World, judge: Judge, clock: Clock, image: bytes, role: Role, road: Road, arc: Arc
    ) -> None:
        self.world = world
        self.judge = judge
        self.role = role
        self.receiver_id = receiver_id(role)
        self.name = name_of(self.receiver_id)
        self.road = road
        self.arc = arc
        self.disk = Disk(world, image)
        self.process: Process | None = None
        self.path: AlarmPath | None = None
        self.processes: list[Process] = []
        self.nodes: Sequence[ReceiverNode] = ()
        self.began = 0.0
        """When the process started."""
        self._clock = clock
        self._starts = 0
        self._counted = 0
        self._guard = LeaseGuard()
        arc.watch = self
        self._flights: dict[int, Attempt] = {}

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.alive and not self.process.stopped

    @property
    def work(self) -> Work | None:
        """The part that holds the lease."""
        return self.path._work if self.path is not None and self.process is not None and self.process.alive else None

    def may_write(self, epoch: int | None = None) -> bool:
        """Whether its process may write under an epoch, or under any, at this moment."""
        work = self.work
        if work is None or self.process is None:
            return False
        return work.guard.may_write(work.guard.epoch if epoch is None else epoch, self.process.now())

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be told."""
        return self.work is not None and not self.work.unstored() and not self.work._forwarder._waiting

    def start(self) -> None:
        """Start the process."""
        if self.process is not None and self.process.alive:
            return
        self._starts += 1
        process = self.process = Process(self.world, f"{self.name}.{self._starts}", self._clock, self._connect)
        self.processes.append(process)
        self.world.note(process.name, "starts")
        self._guard, self._flights, self.began = LeaseGuard(), {}, self.world.now
        process.after_turn = self._look
        process.run(self._begin, process)

    def _begin(self, process: Process) -> None:
        clock = _Wall(process)
        # Now and then the disk was set back in between.
        self._counted = max(0, self._counted - 2 * (self.world.random.random() < SET_BACK)) + 1
        journal = WatchedJournal(SimDatabase(self.disk, process), clock)
        journal.node = self
        self.path = AlarmPath(
            cloud=_Access(SimChannel(self.road, process), self.receiver_id),
            journal=journal,
            incarnation=incarnation(self.role, self._starts),
            introduce=lambda: Introduction(
                self.receiver_id, self.name, f"machine-{self.name}", "", "1", start=self._counted, folder_id="f"
            ),
            sync=lambda: SyncReport(),
            disk_free=lambda: PLENTY,
            on_expelled=lambda expulsion: self.world.defect(process.name, f"expelled: {expulsion}"),
            on_behind=self._count_on,
            on_change=lambda: None,
            clock=clock,
        )
        output = OutputConfig(
            OUTPUT, (Address(self.arc.name, 1),), required=True, dc09=Dc09Config(heartbeat=timedelta(0))
        )
        self.path.start((output,), Attendance(self.role, ARC_ID, SUB_ACCOUNT, 1))

    async def _count_on(self, known: int) -> None:
        self._counted = max(self._counted, known) + 1

    def kill(self) -> None:
        """SIGKILL, or the end of the machine."""
        if self.process is not None and self.process.alive:
            self.world.note(self.process.name, "killed")
            self.process.kill()

    def stop_cleanly(self) -> None:
        """SIGTERM: it hands over, and exits (F5)."""
        process, path = self.process, self.path
        if process is None or path is None or not process.alive or process.stopped:
            return
        self.world.note(process.name, "stops cleanly")

        async def stop() -> None:
            await path.stop(path.settings.drain_timeout)
            self.world.after(0.01, self._exit, process)

        process.run(lambda: process.loop.create_task(stop()))

    def _exit(self, process: Process) -> None:
        if self.process is process:
            self.kill()

    # What is watched.

    async def _connect(
        self, process: Process, factory: Callable[[], asyncio.Protocol], host: str
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        transport, protocol = await self.arc.connect(process, factory)
        return transport, protocol

    def wrote(self) -> Attempt:
        """A message is being written to the ARC: which, and under which epoch?"""
        work = self.work
        assert work is not None
        assert self.process is not None
        flying = work._forwarder._lanes[OUTPUT].flying
        assert flying is not None
        identity = identity_of(flying)
        self.world.note(self.process.name, "writes", epoch=flying.epoch, identity=identity, number=flying.number)
        attempt = self.judge.wrote(self.world.now, self.name, self.process.name, flying.epoch, identity)
        self._flights[flying.number] = attempt
        for other in self.nodes:
            if other is not self and other.work is not None:
                epoch = other.work.guard.epoch
                known = self.judge.epochs.get(epoch)
                if epoch < flying.epoch and other.may_write(epoch) and known and identity in known.delivered:
                    self.world.violated(
                        "one epoch at a time",
                        f"{self.process.name} writes {identity} under epoch {flying.epoch}, and {other.name} may still"
                        f" write it under epoch {epoch}",
                    )
        return attempt

    def arrived(self, attempt: Attempt, identity: Identity, *, alive: bool) -> None:
        """A message came to the ARC."""
        self.world.note(self.arc.name, "receives", identity=identity, of=attempt.incarnation, epoch=attempt.epoch)
        if attempt.identity != identity:
            self.world.violated("A6", f"{attempt.identity} came to the ARC as {identity}")
        self.judge.arrived(self.world.now, attempt, identity, alive=alive)

    def acknowledged(self, identity: Identity) -> None:
        """The ARC acknowledges a message."""
        self.judge.arc_acknowledges(self.name, identity)

    def attempted(self, delivered: Delivered, outcome: Outcome) -> None:
        """An attempt ended."""
        assert self.process is not None
        self.world.note(
            self.process.name, "attempt", epoch=delivered.epoch, identity=identity_of(delivered), outcome=outcome.name
        )
        attempt = self._flights.pop(delivered.number, None)
        if attempt is not None and outcome is Outcome.CONFIRMED:
            self.judge.acknowledged(attempt)

    def _look(self) -> None:
        """After each turn: what it believes now."""
        work, process = self.work, self.process
        if work is None or process is None or work.guard is self._guard:
            return
        before, guard = self._guard, work.guard
        self._guard = guard
        if guard.held != before.held:
            self.world.note(process.name, "holds", epoch=guard.held, before=before.held)
            if guard.held:
                self.judge.took_over(guard.held, process.name)
        if guard.released_through != before.released_through:
            self.world.note(process.name, "released", through=guard.released_through)
            self.judge.released(guard.released_through, process.name)


def receiver_id(role: Role) -> str:
    """The id of the receiver in a role."""
    return f"00000000-0000-4000-8000-00000000000{int(role)}"
