"""What goes wrong, when, and for how long: drawn from the seed before the beginning, aimed while it runs.

Every fault ends by itself or with `heal`, after which nothing is wrong any more and progress is demanded.
"""

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

WEIGHTS = {
    "kill": 14,
    "stop": 14,
    "cut": 18,
    "reset": 4,
    "slow": 6,
    "stuck pull": 4,
    "clean stop": 6,
    "arc": 12,
    "arc cut": 6,
    "slow disk": 5,
    "full disk": 3,
    "kill cloud": 10,
    "stop cloud": 6,
    "clean stop of cloud": 2,
    "slow disk of cloud": 4,
    "full disk of cloud": 3,
    "cut device": 2,
    "no room": 4,
    "out of sync": 4,
    "no echo": 4,
    "future epoch": 3,
    "wall clock": 4,
    "copied folder": 4,
    "squall": 10,
    "plot": 8,
}
"""How often each kind of fault is drawn, against the others."""

LONGEST_STOP = 20.0

HEAL_UP = False
"""Whether a pull whose way up is stuck gets well with all else. A stream that is stuck does not."""

PLOTS = (
    "late answers",
    "cloud dies in a hold",
    "release in a hold",
    "deaf",
    "cloud dies too",
    "no room for a move",
    "an old word",
    "resets",
    "copies",
    "restored",
    "dead and paused",
    "wishes",
)

PLOTTED = 0.3
"""Part of the seeds that have a plot and little else."""


class Faults:
    """The faults of one seed."""

    def __init__(self, sim: "Simulation", begin: float, end: float) -> None:
        self._sim = sim
        self._random = sim.world.random
        self.kinds: list[str] = []
        if self._random.random() < PLOTTED:
            # Alone, or nearly so: what else goes wrong mostly spares the code what is aimed at it here.
            self._plan("plot", begin + self._random.uniform(0.0, 2.0))
            self._draw(self._random.choice((0, 0, 1, 2)), begin, end)
        else:
            self._draw(self._random.randint(2, 11), begin, end)

    def _draw(self, count: int, begin: float, end: float) -> None:
        kinds = list(WEIGHTS)
        for _ in range(count):
            kind = self._random.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
            self._plan(kind, self._random.uniform(begin, end))

    def _plan(self, kind: str, at: float) -> None:
        self.kinds.append(kind)
        if kind != "squall":
            self._sim.world.at(at, self._begin, kind)
            return
        single = [each for each in WEIGHTS if each not in ("squall", "plot")]
        for one in self._random.sample(single, 3):
            self._sim.world.at(at + self._random.uniform(0, 0.3), self._begin, one)

    # Aiming.

    def _begin(self, kind: str) -> None:
        if self._sim.healed:
            return
        self._changed()
        do: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "stop": self._stop,
            "cut": self._cut,
            "reset": self._reset,
            "slow": self._slow,
            "stuck pull": self._stuck_pull,
            "clean stop": self._clean_stop,
            "arc": self._arc,
            "arc cut": self._arc_cut,
            "slow disk": lambda: self._slow_disk(self._target()),
            "full disk": lambda: self._full_disk(self._target()),
            "kill cloud": self._kill_cloud,
            "stop cloud": self._stop_cloud,
            "clean stop of cloud": self._clean_stop_cloud,
            "slow disk of cloud": lambda: self._slow_disk(None),
            "full disk of cloud": lambda: self._full_disk(None),
            "cut device": self._cut_device,
            "no room": self._no_room,
            "out of sync": self._out_of_sync,
            "no echo": self._no_echo,
            "future epoch": self._future_epoch,
            "wall clock": self._wall_clock,
            "copied folder": self._copied_folder,
            "plot": self._plot,
        }
        do[kind]()

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

    # Two faults that only together reach what guards against them.

    def _plot(self) -> None:
        node = next((node for node in self._sim.receivers if node.may_write()), None) or self._target()
        suspect, lease = (getattr(self._sim.settings, name).total_seconds() for name in ("suspect_after", "lease"))
        in_hold = suspect + self._random.uniform(0.1, 0.9) * (lease - suspect)
        plot = self._random.choice(PLOTS)
        self._note(f"plot: {plot}", of=node.name)
        match plot:
            case "late answers":
                # Answers are on their way for longer than X, and come for a while when no beat gets through any more.
                late = self._random.uniform(0.4, 0.65) * suspect
                node.road.takes[wire_module.DOWN] = (late, 1.1 * late)
                self._later(lease, lambda: node.road.set_cut(True, False, unnoticed=True))
                self._later(lease + 1.3 * late, lambda: node.road.set_cut(True, True, unnoticed=True))
                self._for(2.2 * lease, 3.0 * lease, lambda: self._clear(node))
            case "cloud dies in a hold":
                self._cut_off(node)
                self._later(in_hold, self._kill_cloud, 0.5)
            case "release in a hold":
                self._cut_off(node)
                self._later(in_hold, self._clean_stop_of_working)
            case "deaf":
                node.road.set_cut(False, True, unnoticed=True)
                self._for(2.5 * lease, 4.0 * lease, lambda: node.road.set_cut(False, False))
            case "cloud dies too":
                self._cut_off(node)
                self._kill_cloud(0.5)
            case "no room for a move":
                node.road.set_cut(True, True, unnoticed=True)
                self._later(self._random.uniform(0.7, 1.0) * suspect, self._full_disk, None)
                self._for(1.1 * suspect, 2.5 * suspect, lambda: node.road.set_cut(False, False))
            case "an old word":
                self._stop_cloud(longest=1.5 * suspect)
                for delay, call in ((0.05, node.kill), (0.1, node.start), (0.15, node.kill), (0.2, node.start)):
                    self._later(delay * suspect, call)
            case "resets":
                for _ in range(12):
                    self._later(self._random.uniform(0.0, 1.0) * lease, node.road.reset)
            case "copies":
                # One of a folder that was copied attends while the first is away, and is itself started anew.
                self._cut_off(node)
                copy = self._copy_of(node)
                for delay, call in ((1.05, copy.start), (1.13, copy.kill), (1.16, copy.start), (4.0, copy.kill)):
                    self._later(delay * suspect, call)
            case "restored":
                self._restored(self._random.uniform(0.2, 2.0) * lease)
            case "dead and paused":
                self._later(0.2, self._sim.operators.pause)
                if self._random.random() < 0.6:
                    self._later(0.6, self._kill_cloud, 0.3)
                self._later(1.0, node.kill)
                self._for(0.5 * lease, 2.0 * lease, node.start)
                if self._random.random() < 0.5:
                    self._later(1.5 + suspect, self._sim.operators.switchover)
            case "wishes":
                for _ in range(4):
                    self._later(self._random.uniform(0.0, 2.0) * suspect, self._sim.operators.switchover)
                self._later(self._random.uniform(0.2, 1.5) * suspect, node.kill)
                self._for(lease, 2.0 * lease, node.start)
            case _:
                raise AssertionError(plot)

    def _clear(self, node: ReceiverNode) -> None:
        node.road.set_cut(False, False)
        node.road.takes = [wire_module.NEAR, wire_module.NEAR]

    def _later(self, delay: float, call: Callable[..., None], *args: object) -> None:
        def then() -> None:
            if not self._sim.healed:
                self._changed()
                call(*args)

        self._sim.world.after(delay, then)

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

    # The end of all faults.

    def heal(self) -> None:
        """Nothing is wrong any more."""
        sim = self._sim
        self._note("ALL HEALED")
        self._changed()
        for disk in (sim.cloud.disk, *(node.disk for node in sim.receivers)):
            disk.full, disk.commit_takes = False, QUICK
        if sim.cloud.process is not None:
            sim.cloud.process.resume()
        if sim.cloud.service is None:
            sim.cloud.kill()
        sim.cloud.start()
        for node in sim.nodes[len(sim.receivers) :]:
            node.kill()
        for node in sim.receivers:
            node.road.takes = [wire_module.NEAR, wire_module.NEAR]
            node.road.set_cut(False, False)
            node.road.passes = wire_module.unchanged
            node.free, node.sync = PLENTY, SyncReport()
            node.arc.refuses, node.arc.fault, node.arc.cut = False, None, False
            node.arc.takes, node.arc.answers_in = arc_module.NEAR, arc_module.ANSWERS
            for stream in tuple(node.road.streams) if HEAL_UP else ():
                stream.stick(False, stream.stuck_down)
            if node.process is not None:
                node.process.resume()
            if node.work is None or node.work.guard.stopping or node.refused:
                node.kill()
            node.start()
        for device in sim.devices:
            device.cut = False
