"""What goes wrong, when, and for how long: drawn from the seed before the beginning, aimed while it runs.

Every fault ends by itself or with `heal`, after which nothing is wrong any more and progress is demanded.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hotspare_receiver.snapshot import SyncReport
from hotspare_sim.core.answers import Fault
from tests.simulation import arc as arc_module
from tests.simulation import wire as wire_module
from tests.simulation.disk import QUICK
from tests.simulation.names import PLENTY
from tests.simulation.receiver import ReceiverNode
from tests.simulation.troubles import Troubles

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


class Faults(Troubles):
    """The faults of one seed."""

    def __init__(self, sim: "Simulation", begin: float, end: float) -> None:
        super().__init__(sim)
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

    # Two faults that only together reach what guards against them.

    def _plot(self) -> None:
        node = next((node for node in self._sim.receivers if node.may_write()), None) or self._target()
        suspect, lease = (getattr(self._sim.settings, name).total_seconds() for name in ("suspect_after", "lease"))
        in_hold = suspect + self._random.uniform(0.1, 0.9) * (lease - suspect)
        plot = self._random.choice(PLOTS)
        if plot in ("resets", "deaf") and self._sim.seed % 2:
            plot = "poisoned"
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
            case "poisoned":
                # Who works dies again and again with the same alarms, for no ARC says a word.
                for each in self._sim.receivers:
                    each.arc.fault = Fault.MUTE
                for index in range(4):
                    self._later(1.0 + 1.5 * index * lease, self._kill_working)
                self._later(1.5 + 6.0 * lease, self._all_arcs_well)
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

    def _kill_working(self) -> None:
        for node in self._sim.receivers:
            if node.may_write():
                node.kill()
                self._later(0.3, node.start)

    def _all_arcs_well(self) -> None:
        for node in self._sim.receivers:
            node.arc.fault = None

    def _clear(self, node: ReceiverNode) -> None:
        node.road.set_cut(False, False)
        node.road.takes = [wire_module.NEAR, wire_module.NEAR]

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
            # Where nobody sends again what was set aside, the ARCs keep their dislikes to the end.
            node.arc.dislikes = node.arc.dislikes if sim.seed % 3 else 0
            node.arc.takes, node.arc.answers_in = arc_module.NEAR, arc_module.ANSWERS
            if node.process is not None:
                node.process.resume()
            if node.work is None or node.work.guard.stopping or node.refused:
                node.kill()
            node.start()
        for device in sim.devices:
            device.cut = False
