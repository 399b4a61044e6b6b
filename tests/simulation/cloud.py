"""The cloud of the simulation: the real one from the services down to the SQL, on a simulated machine.

What is simulated is what it stands on: clock, event loop, disk, network.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from hotspare.v1 import alarm_service_pb2
from hotspare_cloud import copies
from hotspare_cloud.clock import StallWatch
from hotspare_cloud.core.admission import Membership
from hotspare_cloud.core.state import GroupState, Kind
from hotspare_cloud.directory import Directory, shutting_down
from hotspare_cloud.group import Group
from hotspare_cloud.intake import Intake
from hotspare_cloud.services import alarm, alarm_pull, role
from hotspare_cloud.services.callers import Callers
from hotspare_cloud.services.submissions import DevicePublisher
from hotspare_cloud.store.base import Confirmation, DeviceRow, HistoryLine, KeptAlarm, NewAlarm, SavedStep, Step
from hotspare_cloud.store.base_queue import Refused, RefusedAlarm, Replayed
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_model.alarm import Alarm
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings
from hotspare_rpc.wire import alarm_to_proto
from tests.proof.facts import (
    Confirmed,
    Delivered,
    Enrolled,
    EpochBegan,
    EpochOver,
    Identity,
    LeaseCounted,
    Operated,
    Published,
    PutBack,
    Restored,
    SetAside,
    SettingsChanged,
    Stored,
    Verb,
    Why,
)
from tests.proof.limits import Limits
from tests.simulation.disk import Disk, SimDatabase
from tests.simulation.names import GROUP_ID, PLENTY, name_of, run_name
from tests.simulation.wire import CallContext, Metadata, Service
from tests.simulation.world import Clock, Process, World

VERBS = {
    Kind.SWITCHOVER_ASKED: Verb.SWITCHOVER,
    Kind.PAUSED: Verb.PAUSE,
    Kind.RESUMED: Verb.RESUME,
    Kind.PIN_ENDED: Verb.UNPINNED,
}
"""What lines of the group's history mean."""


class WatchedStore(SqliteStore):
    """The cloud's store, of which every commit goes into the history."""

    def __init__(self, database: SimDatabase, node: "CloudNode") -> None:
        super().__init__(database)
        self._observe = database.observe
        self._world = node.world
        self._node = node
        self._identities = node.identities

    async def store_alarms(self, group_id: int, alarms: Sequence[NewAlarm]) -> Sequence[KeptAlarm]:
        """See AlarmStore."""

        def stored(kept: Sequence[KeptAlarm]) -> None:
            for new, row in zip(alarms, kept, strict=True):
                self._stored(row.number, (new.account_number, row.account_sequence))

        self._observe(stored)
        return await super().store_alarms(group_id, alarms)

    def _stored(self, number: int, identity: Identity) -> None:
        if self._identities.setdefault(number, identity) != identity:
            self._world.violated("A6", f"number {number} of {self._identities[number]} is {identity}'s")
        self._world.add(Stored(self._world.now, identity))

    async def note_delivery(self, group_id: int, epoch: int, numbers: Sequence[int]) -> Sequence[int]:
        """See AlarmStore."""

        def noted(waiting: Sequence[int]) -> None:
            identities = tuple(self._identities[number] for number in waiting)
            self._world.add(Delivered(self._world.now, epoch, identities))

        self._observe(noted)
        return await super().note_delivery(group_id, epoch, numbers)

    async def confirm(
        self, group_id: int, epoch: int, receiver_id: str, ranges: Sequence[tuple[int, int]], at: float
    ) -> Confirmation:
        """See AlarmStore."""

        def confirmed(result: Confirmation) -> None:
            for number in result.newly:
                self._world.add(Confirmed(self._world.now, self._identities[number], name_of(receiver_id), epoch))

        self._observe(confirmed)
        return await super().confirm(group_id, epoch, receiver_id, ranges, at)

    async def set_aside(self, group_id: int, epoch: int, receiver_id: str, refused: RefusedAlarm, at: float) -> Refused:
        """See QueueStore."""

        def aside(result: Refused) -> None:
            if result is Refused.SET_ASIDE:
                identity = self._identities[refused.number]
                self._world.add(SetAside(self._world.now, identity, "refused", name_of(receiver_id)))

        self._observe(aside)
        return await super().set_aside(group_id, epoch, receiver_id, refused, at)

    async def replay(self, group_id: int, number: int, operator: str, request_id: str, at: float) -> Replayed:
        """See QueueStore."""

        def replayed(result: Replayed) -> None:
            if result is Replayed.QUEUED:
                self._world.add(PutBack(self._world.now, self._identities[number]))

        self._observe(replayed)
        return await super().replay(group_id, number, operator, request_id, at)

    async def save_step(self, group_id: int, step: Step) -> SavedStep:
        """See GroupStore."""

        def changed(saved: SavedStep) -> None:
            world, begun = self._world, step.begun
            world.note("cloud-disk", "steps", ended=step.ended, freed=step.freed, begun=begun is not None)
            ended = [line for line in step.lines if line.kind is Kind.PIN_ENDED]
            for line in step.lines:
                if line not in ended:
                    self._told(line)
            if step.settings is not None:
                world.add(SettingsChanged(world.now, self._node.limits(step.settings)))
            if begun is not None:
                why, process = Why[begun.reason.value], run_name(begun.incarnation)
                world.add(EpochBegan(world.now, begun.epoch, name_of(begun.receiver_id), why, process, begun.gap))
            # What ends with a move was still so when it was decided.
            for line in ended:
                self._told(line)
            if step.arc_alarm is not None:
                self._told_arc(step.arc_alarm)
            for number in saved.set_aside:
                world.add(SetAside(world.now, self._identities[number], "lost"))

        self._observe(changed)
        return await super().save_step(group_id, step)

    async def save_member(
        self, group_id: int, member: Membership, generation: int, lines: Sequence[HistoryLine] = ()
    ) -> None:
        """See GroupStore."""
        role = member.role.name if member.role else ""
        self._observe(lambda _: self._enrolled(member.receiver_id, role, lines))
        await super().save_member(group_id, member, generation, lines)

    async def remove_members(
        self, group_id: int, departed: Mapping[str, bool], generation: int, lines: Sequence[HistoryLine] = ()
    ) -> None:
        """See GroupStore."""

        def removed(_: object) -> None:
            for receiver_id in departed:
                # Also of one that worked alone: it is known no more.
                self._node.roles.pop(name_of(receiver_id), None)
                self._enrolled(receiver_id, "", lines)

        self._observe(removed)
        await super().remove_members(group_id, departed, generation, lines)

    def _enrolled(self, receiver_id: str, role: str, lines: Sequence[HistoryLine]) -> None:
        world, roles, name = self._world, self._node.roles, name_of(receiver_id)
        for line in lines:
            self._told(line)
        if roles.get(name) != role:
            roles[name] = role
            world.add(Enrolled(world.now, name, role))

    def _told(self, line: HistoryLine) -> None:
        world, verb = self._world, VERBS.get(line.kind)
        world.note("cloud-disk", f"line: {line.kind.value}", of=line.from_receiver_id[-1:], detail=line.detail)
        if verb is not None:
            world.add(Operated(world.now, verb, name_of(line.from_receiver_id) if line.from_receiver_id else ""))

    def _told_arc(self, alarm: NewAlarm) -> None:
        """F10: durable in the same commit as its cause, so it has to come as any that was published."""
        query = "SELECT number, account_sequence FROM alarm WHERE device_id = ? ORDER BY number DESC LIMIT 1"
        row = self._node.disk.connection.execute(query, (alarm.device_id,)).fetchone()
        identity = (alarm.account_number, row["account_sequence"])
        self._stored(row["number"], identity)
        self._world.add(Published(self._world.now, identity))


class CloudNode:
    """The cloud's machine."""

    def __init__(self, world: World, clock: Clock, image: bytes, devices: Sequence[DeviceRow]) -> None:
        self.world = world
        self.disk = Disk(world, image)
        self.process: Process | None = None
        self.service: Service | None = None
        self.group: Group | None = None
        self.intake: Intake | None = None
        self.processes: list[Process] = []
        self.on_over: Callable[[int, str], None] = lambda epoch, incarnation: None
        self.identities: dict[int, Identity] = {}
        """What each number of the group stands for."""
        self.roles: dict[str, str] = {}
        """By receiver, as stored; empty: it works alone."""
        self.clock = clock
        self._devices = devices
        self._boots = 0
        self.limits: Callable[[GroupSettings], Limits] = Limits.of
        self._directory: Directory | None = None
        self._roles: role.RoleService | None = None
        self._pulls: alarm_pull.AlarmPullService | None = None
        self._state: GroupState | None = None
        self._copy: tuple[float, bytes] | None = None

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
        process = self.process = Process(self.world, "cloud", self.clock)
        self.processes.append(process)
        process.run(lambda: process.loop.create_task(self._serve(process)))

    async def _serve(self, process: Process) -> None:
        store = WatchedStore(SimDatabase(self.disk, process), self)
        watch = StallWatch()
        directory = Directory(store, watch)
        # A name that the seed decides; the real one is a random UUID.
        directory.boot = f"boot-{self._boots}"
        intake = Intake(store, directory, alarm.marks_in, lambda: PLENTY, 0)
        callers = Callers(directory)
        watch.start()
        await directory.load()
        service = Service(process)
        roles, pulls = role.RoleService(callers, directory, store), alarm_pull.AlarmPullService(callers, directory)
        service.handlers["/hotspare.v1.RoleService/Attend"] = cast(Any, roles.Attend)
        service.handlers["/hotspare.v1.AlarmPullService/PullAlarms"] = cast(Any, pulls.PullAlarms)
        self._directory, self.intake, self.service, self._roles = directory, intake, service, roles
        self._pulls = pulls
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

    def copy(self) -> None:
        """An operator makes a backup copy."""
        self.world.note("cloud", "is copied")
        self._copy = (self.world.now, self.disk.connection.serialize())

    @property
    def set_aside(self) -> set[Identity]:
        """What its disk has as set aside."""
        rows = self.disk.connection.execute("SELECT number FROM alarm WHERE state = 2").fetchall()
        return {self.identities[row["number"]] for row in rows}

    def restore(self) -> None:
        """It is killed, and the copy is put in the place of its database (`hotspare-cloud restore`)."""
        if self._copy is None:
            return
        self.kill()
        copied, image = self._copy
        self.roles.clear()
        self.world.add(Restored(self.world.now, copied))
        with TemporaryDirectory() as folder:
            before, prepared = Path(folder) / "before.db", Path(folder) / "copy.db"
            before.write_bytes(self.disk.connection.serialize())
            prepared.write_bytes(image)
            copies._marked(prepared, self.clock.wall().timestamp(), copies._longest_leases(before))
            # The roles are those of the copy: what the store told since is gone.
            self.roles.clear()
            self.disk.replace(prepared.read_bytes())

    def call(self, method: str, request: object, metadata: Metadata, answered: Callable[[object], None]) -> None:
        """An operator's call has reached the machine. `answered` gets the answer, or the error."""
        process, roles, pulls = self.process, self._roles, self._pulls
        if process is None or roles is None or pulls is None or not self.running:
            return
        service = roles if hasattr(roles, method) else pulls

        async def serve() -> None:
            try:
                answer: object = await getattr(service, method)(request, CallContext(metadata))
            except HotspareError as refused:
                answer = refused
            answered(answer)

        process.post("operators", lambda: process.loop.create_task(serve()))

    def publish(self, device: DeviceRow, one: Alarm, answer: Callable[[Identity], None]) -> None:
        """A device's publish has reached the machine."""
        process, intake = self.process, self.intake
        if process is None or intake is None:
            return

        message = alarm_service_pb2.AlarmSubmission(alarm=alarm_to_proto(one))

        async def store() -> None:
            try:
                submission = DevicePublisher(lambda: device, lambda _: None).read(
                    message, alarm.arrival_at(intake, device.group_id)
                )
                (receipt,) = await intake.publish(device.group_id, [submission])
            except HotspareError:
                return
            answer((device.account_number, receipt.account_sequence))

        process.post(f"publish-{device.device_id}", lambda: process.loop.create_task(store()))

    def _look(self) -> None:
        """After each turn: what it believes now."""
        group = self.group
        if group is None or group.state is self._state:
            return
        before, state, world = self._state, group.state, self.world
        self._state = state
        if state.holder is not None and (before is None or before.holder is not state.holder):
            until = self.clock.true(state.holder.lease_until)
            world.add(LeaseCounted(world.now, state.epoch, until))
        if before is not None and before.epoch == state.epoch and before.holder and before.holds == state.holds:
            return
        for hold in state.holds:
            world.add(LeaseCounted(world.now, hold.epoch, self.clock.true(hold.until)))
        held = {hold.epoch for hold in state.holds}
        for epoch in world.checker.epochs.known.values():
            current = epoch.number == state.epoch and state.holder is not None
            if epoch.over_since is None and not current and epoch.number not in held and epoch.number <= state.epoch:
                world.add(EpochOver(world.now, epoch.number))
                self.on_over(epoch.number, epoch.incarnation)
