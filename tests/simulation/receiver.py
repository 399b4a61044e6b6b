"""The receivers of the simulation: the real path of the alarms, from the SQL to the wire, on simulated machines.

What is simulated is what it stands on: clock, event loop, disk, network, and the ARC.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import grpc

from hotspare_model.group import Role
from hotspare_model.sequence import wire_sequence
from hotspare_receiver.core.forwarder import Delivered, Outcome
from hotspare_receiver.core.lease import LeaseGuard
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.journal import Journal
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.snapshot import Attendance, Dc09Config, Introduction, OutputConfig, SyncReport
from hotspare_receiver.work import Work
from hotspare_rpc.address import Address
from hotspare_rpc.credentials import ReceiverCredentials
from tests.proof.facts import Answered, Identity, Journalled, Received, Released, TookOver, Wrote
from tests.simulation.arc import Arc
from tests.simulation.disk import Disk, SimDatabase
from tests.simulation.names import ARC_ID, ARC_KEY, OUTPUT, PLENTY, SUB_ACCOUNT, incarnation, name_of, receiver_id
from tests.simulation.wire import Road, SimChannel
from tests.simulation.world import Clock, Process, World

COPIED = 0x1000
"""Added to the starts of a process that runs on a copied folder, to tell it in the history."""

SET_BACK = 0.1
"""Part of the starts of a receiver before which its disk was set back to an earlier state."""


class WatchedJournal(Journal):
    """A receiver's journal, of which every commit goes into the history."""

    node: "ReceiverNode"

    def note_attempt(self, scope: str, delivered: Delivered, attempt: AttemptRecord, forwarded_code: str = "") -> None:
        """See Journal."""
        self.node.attempted(delivered, attempt.outcome)
        super().note_attempt(scope, delivered, attempt, forwarded_code)

    def _tell(self, durable: Any) -> None:
        for _, delivered in (durable := tuple(durable)):
            world = self.node.world
            world.add(Journalled(world.now, self.node.name, identity_of(delivered), self.node.folder))
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
        return self._process.clock.wall()


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
        self, world: World, clock: Clock, image: bytes, role: Role, road: Road, arc: Arc, *, folder: str = ""
    ) -> None:
        """`folder`: set for one that runs on a copy of another one's data folder."""
        self.world = world
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
        """All receivers, with this one."""
        self.folder = folder
        self.attendance: Attendance | None = Attendance(role, ARC_ID, SUB_ACCOUNT, int(role))
        """As what it attends, also after a restart. None: not at all, as long as it has a goodbye to say."""
        self.account = ""
        """The account number of its own events (F10)."""
        self.heartbeat = timedelta(0)
        self.free = PLENTY
        """Bytes that its disk has left."""
        self.sync = SyncReport()
        self.began = 0.0
        """When the process started."""
        self.clock = clock
        self._starts = COPIED if folder else 0
        self._counted = 0
        self._guard = LeaseGuard()
        self._flights: dict[int, Wrote] = {}

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
        process = self.process = Process(self.world, f"{self.name}.{self._starts}", self.clock, self._connect)
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
            introduce=self._introduction,
            sync=lambda: self.sync,
            disk_free=lambda: 0 if self.disk.full else self.free,
            on_expelled=lambda _: self.world.after(0.01, process.post, "disk", self.attend_alone),
            on_behind=self._count_on,
            on_change=lambda: None,
            clock=clock,
        )
        output = OutputConfig(
            OUTPUT, (Address(self.arc.name, 1),), required=True, dc09=Dc09Config(heartbeat=self.heartbeat)
        )
        self.path.start((output,), self.attendance)

    def _introduction(self) -> Introduction:
        return Introduction(
            self.receiver_id,
            self.name,
            machine_id=f"machine-{self.name}",
            address="",
            software_version="1",
            start=self._counted,
            folder_id=f"folder{self.folder}",
            own_account_number=self.account,
        )

    async def _count_on(self, known: int) -> None:
        self._counted = max(self._counted, known) + 1

    @property
    def refused(self) -> bool:
        """Whether the cloud refused its process for good: an operator has to act."""
        return self.path is not None and self.path._attend.snapshot.final

    @property
    def superseded(self) -> bool:
        """Whether it was refused since the cloud takes another process for the newer one."""
        return self.refused and self.path is not None and self.path._attend.snapshot.reason == "INCARNATION_SUPERSEDED"

    def copied(self, road: Road) -> "ReceiverNode":
        """One that runs on a copy of its data folder, on the same machine."""
        image = self.disk.connection.serialize()
        copy = ReceiverNode(self.world, self.clock, image, self.role, road, self.arc, folder="-copy")
        copy.attendance = self.attendance
        copy.nodes, copy.account, copy.heartbeat, copy._counted = (
            self.nodes,
            self.account,
            self.heartbeat,
            self._counted,
        )
        return copy

    def attend_alone(self) -> None:
        """It has no role any more: from now on it attends as one that works alone (G7)."""
        self.attend_as(Attendance(None, ARC_ID, SUB_ACCOUNT, 0))

    def attend_as(self, attendance: Attendance) -> None:
        """It has another role, or none."""
        self.attendance = attendance
        if self.path is not None and self.process is not None and self.process.alive:
            self.world.note(self.process.name, "attends", role=attendance.role)
            self.path.attend(attendance)

    def leave(self, told: Callable[[int], None]) -> None:
        """It gives its role up: first the work, then the role. `told` gets what it has surely released."""
        process, path = self.process, self.path
        if process is None or path is None or not self.running or self.attendance is None or not self.attendance.role:
            return
        self.world.note(process.name, "leaves")

        async def leave() -> None:
            released = await path.leave(path.settings.drain_timeout)
            # From here on it has its goodbye, which it keeps over a restart.
            self.attendance = None
            told(released)

        process.run(lambda: process.loop.create_task(leave()))

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
        transport, protocol = await self.arc.connect(process, self, factory)
        return transport, protocol

    def wrote(self) -> Wrote | None:
        """A message is being written to the ARC: which, and under which epoch? None: a heartbeat."""
        work = self.work
        assert work is not None
        assert self.process is not None
        flying = work._forwarder._lanes[OUTPUT].flying
        if flying is None:
            return None
        identity, world = identity_of(flying), self.world
        world.attempts += 1
        wrote = Wrote(world.now, world.attempts, self.name, self.process.name, flying.epoch, identity, self.folder)
        world.add(wrote)
        self._flights[flying.number] = wrote
        for other in self.nodes:
            if other is not self and other.work is not None:
                epoch = other.work.guard.epoch
                known = world.checker.epochs.known.get(epoch)
                if epoch < flying.epoch and other.may_write(epoch) and known and identity in known.delivered:
                    world.violated(
                        "one epoch at a time",
                        f"{self.process.name} writes {identity} under epoch {flying.epoch}, and {other.name} may still"
                        f" write it under epoch {epoch}",
                    )
        return wrote

    def arrived(
        self, wrote: Wrote, identity: Identity, content: str, *, acknowledged: bool, refused: bool, alive: bool
    ) -> None:
        """A message came to the ARC."""
        now, attempt = self.world.now, wrote.attempt
        account, sequence = wrote.identity
        if identity == (account, wire_sequence(sequence)):
            identity = wrote.identity
        self.world.add(Received(now, self.name, identity, acknowledged, attempt, alive, content, refused))

    def attempted(self, delivered: Delivered, outcome: Outcome) -> None:
        """An attempt ended."""
        assert self.process is not None
        identity = identity_of(delivered)
        self.world.note(self.process.name, "attempt", epoch=delivered.epoch, identity=identity, outcome=outcome.name)
        wrote = self._flights.pop(delivered.number, None)
        if wrote is not None and outcome is Outcome.CONFIRMED:
            self.world.add(Answered(self.world.now, wrote.attempt))

    def _look(self) -> None:
        """After each turn: what it believes now."""
        work, process, world = self.work, self.process, self.world
        if work is None or process is None or work.guard is self._guard:
            return
        before, guard = self._guard, work.guard
        self._guard = guard
        if guard.held != before.held:
            world.note(process.name, "holds", epoch=guard.held, before=before.held)
            if guard.held:
                world.add(TookOver(world.now, self.name, guard.held, process.name))
        if guard.released_through != before.released_through:
            world.add(Released(world.now, guard.released_through, process.name))
