"""A run: in each round every part in turn, and etcd beside them, so that a slow hour of the machine hits all alike."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from benchmarks import machine
from benchmarks.failover import etcd, planned, unplanned
from benchmarks.failover.faults import CUTS, Fault
from benchmarks.failover.stage import Stage
from benchmarks.figures import Summary
from benchmarks.results import Fact, Part, Round

NAMES = ("P1", "P2", "P3", "P4")
LOSSES: Mapping[str, timedelta | int] = {"failback_delay": timedelta(hours=1), "losses_per_hour": 100}
"""For P1, P2 and P4: whoever took over goes on until it is lost itself. That saves the way back, and changes nothing of
a take-over; and no receiver is held back for being lost all the time."""
MOVES: Mapping[str, timedelta | int] = {"failback_delay": timedelta(seconds=2), "losses_per_hour": 100}
"""For P3: the way back is measured, not the wait before it, nor the start of the process, which is over by then."""


@dataclass(frozen=True)
class Options:
    """How much is measured. Counts are those of all rounds together."""

    rounds: int = 3
    kills: int = 100
    stops: int = 30
    cuts: int = 30
    """In each direction, and in both."""
    handovers: int = 100
    """Switchovers, SIGTERMs and failbacks, a third each."""
    in_flight: int = 20
    """Losses with alarms in flight, half of them kills."""
    locks: int = 30
    """For each lease and fault of etcd."""
    devices: int = 512
    seed: int = 1


class Run:
    """One run of some parts."""

    def __init__(
        self, names: Sequence[str], options: Options, folder: Path, write: Callable[[list[Part]], None]
    ) -> None:
        """`write` gets all parts after each round; `folder` is where the servers store."""
        self._options = options
        self._folder = folder
        self._write = write
        self._rng = Random(options.seed)
        facts: dict[str, Fact] = {**machine.facts(), "etcd": etcd.version(), **asdict(options)}
        self.parts = {name: Part(name, machine.utc_now(), dict(facts)) for name in NAMES if name in names}
        self._begun = time.monotonic()

    def all(self) -> None:
        """Measure. What was measured is written also when something goes wrong."""
        for number in range(1, self._options.rounds + 1):
            for part in self.parts.values():
                part.rounds.append(Round(number))
            try:
                self._round(number)
            finally:
                self._write(list(self.parts.values()))

    def _round(self, number: int) -> None:
        with self._stage(number, "direct", LOSSES) as stage:
            if turn := self._turn("P1", stage.folder):
                unplanned.lose(stage, [Fault.KILL] * self._share("kills", number), turn, self._rng, self._say)
                self._locks(stage.folder, Fault.KILL, turn)
            if turn := self._turn("P2", stage.folder):
                unplanned.lose(stage, [Fault.STOP] * self._share("stops", number), turn, self._rng, self._say)
                self._locks(stage.folder, Fault.STOP, turn)
            if turn := self._turn("P4", stage.folder):
                faults = [(Fault.KILL, Fault.STOP)[index % 2] for index in range(self._share("in_flight", number))]
                unplanned.lose_with_alarms_in_flight(stage, faults, turn, self._rng, self._say)
            if turn := self._turn("P3", stage.folder):
                stage.change_settings(MOVES)
                stage.await_calm()
                each = self._thirds(number)
                planned.hand_over(stage, each, each, turn, self._say)
        cuts = [cut for cut in CUTS for _ in range(self._share("cuts", number))]
        if "P2" in self.parts and cuts:
            # With a stage of its own: elsewhere no proxy stands between the receivers and the cloud.
            with self._stage(number, "proxied", LOSSES) as stage:
                self._rng.shuffle(cuts)
                unplanned.lose(stage, cuts, self.parts["P2"].rounds[-1], self._rng, self._say)

    def _turn(self, name: str, folder: Path) -> Round | None:
        """The round of a part that is to be measured, with the probe of the disk right before it."""
        part = self.parts.get(name)
        if part is None:
            return None
        turn = part.rounds[-1]
        turn.load = round(machine.load_average(), 2)
        turn.syncs = machine.sync_probe(folder)
        self._say(f"{name}, round {turn.number} of {self._options.rounds}: {describe_syncs(turn.syncs)}")
        return turn

    def _locks(self, folder: Path, fault: Fault, turn: Round) -> None:
        times = self._share("locks", turn.number)
        if times and etcd.installed():
            etcd.measure(folder, [fault], times, turn, self._rng)
            for lease in etcd.LEASES:
                values = [sample.value for sample in turn.samples if sample.series == etcd.series(lease, fault)]
                self._say(f"{etcd.series(lease, fault)}: {describe(values)}")

    @contextmanager
    def _stage(self, number: int, kind: str, settings: Mapping[str, timedelta | int]) -> Iterator[Stage]:
        folder = self._folder / f"round-{number}-{kind}"
        folder.mkdir(parents=True)
        with Stage(folder, with_proxies=kind == "proxied") as stage:
            stage.set_up(self._options.devices, settings)
            self._say(f"round {number}: a cloud, four receivers and {self._options.devices} devices ({kind})")
            yield stage

    def _share(self, count: str, number: int) -> int:
        """How many of all are measured in this round."""
        return share(int(getattr(self._options, count)), self._options.rounds, number)

    def _thirds(self, number: int) -> int:
        """Hand-overs of each of the three kinds in this round."""
        return share(-(-self._options.handovers // 3), self._options.rounds, number)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:7.1f} s  {text}", flush=True)


def share(count: int, rounds: int, number: int) -> int:
    """The part of `count` that falls on round `number`, from 1: they differ by one at most, and add up."""
    return count * number // rounds - count * (number - 1) // rounds


def describe(values: Sequence[float]) -> str:
    """In one line, in seconds."""
    found = Summary.of(values)
    return f"min {found.minimum:.3f}, median {found.median:.3f}, p99 {found.p99:.3f}, max {found.maximum:.3f} s"


def describe_syncs(values: Sequence[float]) -> str:
    """The probe of the disk in one line."""
    found = Summary.of(values)
    return f"fsync of 4 KB median {found.median * 1e3:.2f}, p99 {found.p99 * 1e3:.2f} ms"
