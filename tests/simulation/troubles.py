"""What can go wrong, each thing by itself, and how it ends by itself."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hotspare.v1 import role_service_pb2
from hotspare_receiver.snapshot import SyncReport
from hotspare_sim.core.answers import Fault
from tests.proof.facts import Changed
from tests.simulation import arc as arc_module
from tests.simulation import wire as wire_module
from tests.simulation.cloud import CloudNode
from tests.simulation.disk import QUICK
from tests.simulation.names import PLENTY
from tests.simulation.receiver import ReceiverNode
from tests.simulation.wire import Road

if TYPE_CHECKING:
    from tests.simulation.simulate import Simulation

LONGEST_STOP = 20.0


class Troubles:
    """The single faults, aimed while the seed runs."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._random = sim.world.random

    # Aiming.

    def _target(self) -> ReceiverNode:
        """Mostly the one that works: there it hurts."""
        working = [node for node in self._sim.receivers if node.may_write()]
        if working and self._random.random() < 0.6:
            return self._random.choice(working)
        return self._random.choice(self._sim.receivers)

    def _changed(self) -> None:
        """Something began or ceased to be wrong."""
        self._sim.world.add(Changed(self._sim.world.now))

    def _note(self, what: str, **details: object) -> None:
        self._sim.world.note("FAULT", what, **details)

    def _for(self, least: float, most: float, end: Callable[[], None]) -> float:
        """Let a fault last, longer ones more rarely. Returns how long."""
        lasts: float = least * (most / least) ** self._random.random()
        self._sim.world.after(lasts, self._end, end)
        return lasts

    def _end(self, end: Callable[[], None]) -> None:
        if not self._sim.healed:
            self._changed()
            end()

    def _later(self, delay: float, call: Callable[..., None], *args: object) -> None:
        def then() -> None:
            if not self._sim.healed:
                self._changed()
                call(*args)

        self._sim.world.after(delay, then)

    # Receivers.

    def _kill(self) -> None:
        node = self._target()
        self._note("kill", of=node.name)
        node.kill()
        self._for(0.05, 10.0, node.start)

    def _clean_stop(self, node: ReceiverNode | None = None) -> None:
        node = node or self._target()
        self._note("SIGTERM", of=node.name)
        node.stop_cleanly()

        def again() -> None:
            node.kill()
            node.start()

        self._for(0.5, 12.0, again)

    def _stop(self) -> None:
        node = self._target()
        process = node.process
        if process is None or not process.alive or process.stopped:
            return
        process.stop()
        node.road.silent(process)
        lasts = self._for(0.2, LONGEST_STOP, process.resume)
        self._note("SIGSTOP", of=process.name, seconds=lasts)

    # The way to the cloud.

    def _cut(self) -> None:
        node = self._target()
        up, down = self._random.choice(((True, True), (True, True), (True, False), (False, True)))
        node.road.set_cut(up, down)
        lasts = self._for(0.2, 15.0, lambda: node.road.set_cut(False, False))
        self._note("cut", of=node.name, up=up, down=down, seconds=lasts)

    def _reset(self) -> None:
        node = self._target()
        self._note("reset", of=node.name)
        node.road.reset()

    def _slow(self) -> None:
        self._make_slow(self._target(), self._random.randint(0, 1), self._random.choice((0.3, 1.5, 4.0)))

    def _make_slow(self, node: ReceiverNode, direction: int, most: float) -> None:
        node.road.takes[direction] = (0.5 * most, most)

        def quick() -> None:
            node.road.takes[direction] = wire_module.NEAR

        lasts = self._for(1.0, 12.0, quick)
        self._note("slow", of=node.name, direction=direction, takes=most, seconds=lasts)

    def _stuck_pull(self) -> None:
        node = self._target()
        up, down = self._random.choice(((True, True), (True, False), (False, True)))
        self._note("stuck pull", of=node.name, up=up, down=down)
        for stream in node.road.streams:
            if stream.path.endswith("PullAlarms"):
                stream.stick(up, down)

    def _cut_off(self, node: ReceiverNode) -> None:
        node.road.set_cut(True, True, unnoticed=self._random.random() < 0.7)
        lasts = self._for(2.0, 12.0, lambda: node.road.set_cut(False, False))
        self._note("cut", of=node.name, up=True, down=True, seconds=lasts)

    def _clean_stop_of_working(self) -> None:
        for node in self._sim.receivers:
            group = self._sim.cloud.group
            if group and group.state.holder and group.state.holder.receiver_id == node.receiver_id:
                self._clean_stop(node)

    # What receivers tell.

    def _no_room(self) -> None:
        node = self._target()
        node.free = 1_000_000

        def room() -> None:
            node.free = PLENTY

        lasts = self._for(0.5, 12.0, room)
        self._note("no room", of=node.name, seconds=lasts)

    def _out_of_sync(self) -> None:
        node = self._target()
        node.sync = SyncReport(state=self._random.choice((4, 5, 7)))

        def in_sync() -> None:
            node.sync = SyncReport()

        lasts = self._for(0.5, 12.0, in_sync)
        self._note("out of sync", of=node.name, seconds=lasts)

    def _no_echo(self) -> None:
        node = self._target()
        self._tamper(node, "no echo", lambda beat: (beat.ClearField("echo_boot"), beat.ClearField("echo_number")))

    def _future_epoch(self) -> None:
        ahead = self._random.choice((1, 1_000, 2**50))
        self._tamper(self._target(), "future epoch", lambda beat: setattr(beat, "epoch", beat.epoch + ahead))

    def _tamper(self, node: ReceiverNode, what: str, change: Callable[[Any], object]) -> None:
        """Its client is not ours: what its beats say is not so."""

        def passes(message: Any) -> Any:
            if not isinstance(message, role_service_pb2.AttendRequest) or message.WhichOneof("frame") != "beat":
                return message
            changed = role_service_pb2.AttendRequest()
            changed.CopyFrom(message)
            change(changed.beat)
            return changed

        before, node.road.passes = node.road.passes, passes

        def honest() -> None:
            node.road.passes = before

        lasts = self._for(0.5, 8.0, honest)
        self._note(what, of=node.name, seconds=lasts)

    def _wall_clock(self) -> None:
        """Somebody sets the wall clock of a machine by hours: it decides nothing."""
        machine: ReceiverNode | CloudNode = self._random.choice((self._target(), self._sim.cloud))
        machine.clock.ahead += self._random.choice((-1, 1)) * self._random.uniform(60.0, 40_000.0)
        name = machine.name if isinstance(machine, ReceiverNode) else "cloud"
        self._note("wall clock", of=name, ahead=machine.clock.ahead)

    def _copied_folder(self) -> None:
        """A second process with the same receiver id, on a copy of the data folder."""
        node = self._target()
        copy = self._copy_of(node)
        copy.start()
        if self._random.random() < 0.4:
            self._for(0.5, 3.0, node.kill)
        lasts = self._for(1.0, 12.0, copy.kill)
        self._note("copied folder", of=node.name, seconds=lasts)

    def _copy_of(self, node: ReceiverNode) -> ReceiverNode:
        sim = self._sim
        copy = next((each for each in sim.nodes if each.folder and each.receiver_id == node.receiver_id), None)
        if copy is None:
            copy = node.copied(Road(sim.world, f"{node.name}-copy", lambda: sim.cloud.service))
            sim.nodes.append(copy)
        return copy

    def _restored(self, age: float) -> None:
        """The cloud goes on from a copy that is as old as this."""
        sim = self._sim
        sim.cloud.copy()

        def restore() -> None:
            sim.cloud.restore()
            self._note("restored", age=age)
            self._for(0.1, 3.0, sim.cloud.start)

        self._later(age, restore)

    # The ARC.

    def _arc(self) -> None:
        node = self._target()
        arc = node.arc
        kind = self._random.choice(("mute", "nak", "duh", "close", "refuse", "slow", "slow answer"))
        match kind:
            case "refuse":
                arc.refuses = True
                arc.close_all()
            case "slow":
                arc.takes = (0.2, 0.9)
            case "slow answer":
                arc.answers_in = (0.3, 3.5)
            case _:
                arc.fault = Fault(kind)

        def mend() -> None:
            arc.refuses, arc.fault = False, None
            arc.takes, arc.answers_in = arc_module.NEAR, arc_module.ANSWERS

        lasts = self._for(0.5, 12.0, mend)
        self._note(f"arc: {kind}", of=node.name, seconds=lasts)

    def _arc_cut(self) -> None:
        arc = self._target().arc
        arc.cut = True

        def mend() -> None:
            arc.cut = False

        lasts = self._for(0.1, 8.0, mend)
        self._note("arc cut", of=arc.name, seconds=lasts)

    # Disks.

    def _slow_disk(self, node: ReceiverNode | None) -> None:
        disk = node.disk if node else self._sim.cloud.disk
        most = self._random.choice((0.1, 0.6, 2.5))
        disk.commit_takes = (0.3 * most, most)

        def quick() -> None:
            disk.commit_takes = QUICK

        lasts = self._for(0.5, 6.0, quick)
        self._note("slow disk", of=node.name if node else "cloud", takes=most, seconds=lasts)

    def _full_disk(self, node: ReceiverNode | None) -> None:
        disk = node.disk if node else self._sim.cloud.disk
        disk.full = True

        def room() -> None:
            disk.full = False

        lasts = self._for(0.3, 6.0, room)
        self._note("full disk", of=node.name if node else "cloud", seconds=lasts)

    # The cloud and the devices.

    def _kill_cloud(self, longest: float = 8.0) -> None:
        self._sim.cloud.kill()
        lasts = self._for(0.03, longest, self._sim.cloud.start)
        self._note("kill cloud", seconds=lasts)

    def _clean_stop_cloud(self) -> None:
        self._note("SIGTERM cloud")
        self._sim.cloud.stop_cleanly()

        def again() -> None:
            self._sim.cloud.kill()
            self._sim.cloud.start()

        self._for(0.5, 5.0, again)

    def _stop_cloud(self, longest: float = 12.0) -> None:
        process = self._sim.cloud.process
        if process is None or not process.alive or process.stopped:
            return
        process.stop()
        for node in self._sim.receivers:
            node.road.silent(process)
        lasts = self._for(0.2, longest, process.resume)
        self._note("SIGSTOP cloud", seconds=lasts)

    def _cut_device(self) -> None:
        device = self._random.choice(self._sim.devices)
        device.cut = True

        def mend() -> None:
            device.cut = False

        self._for(0.5, 8.0, mend)
