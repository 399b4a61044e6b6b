"""Measures one size of the configuration after the other; each in processes and folders of its own."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.failover.run import describe, describe_syncs
from benchmarks.results import Part, Round, Sample
from benchmarks.sync.scene import Scene, peak_memory
from tests.acceptance.harness.system import ROLES

NAME = "P10"
FIRST_PUSH = "first push"
FIRST_SYNC = "first sync of a spare"
MEMORY = ("host", "cloud", "spare1")
SETTLED = 1.0
"""Seconds between two single changes: each finds everything at rest."""
QUIET = 5.0
"""Seconds over which the bytes of beats alone are counted, to be taken off."""


def one_change(spares: int) -> str:
    """The series of single changes with so many spares."""
    return f"one change, at {spares} spare{'s' if spares > 1 else ''}"


def burst(changes: int) -> str:
    """The series of changes that come together."""
    return f"{changes} changes at once, at all spares"


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    devices: Sequence[int] = (143, 1430, 10000)
    """Sizes; each device has seven records."""
    changes: int = 100
    """Single changes, for each number of spares."""
    bursts: Sequence[int] = (10, 100, 1000)


class Run:
    """One run: a round for each size."""

    def __init__(self, options: Options, folder: Path, write: Callable[[list[Part]], None]) -> None:
        self._options = options
        self._folder = folder
        self._write = write
        self._begun = time.monotonic()
        self.part = Part(NAME, machine.utc_now(), {**machine.facts(), "changes": options.changes})

    def all(self) -> None:
        """Measure. What was measured is written also when something goes wrong."""
        for number, devices in enumerate(self._options.devices, start=1):
            turn = Round(number, load=round(machine.load_average(), 2))
            self.part.rounds.append(turn)
            try:
                self._measure(turn, devices)
            finally:
                self._write([self.part])

    def _measure(self, turn: Round, devices: int) -> None:
        folder = self._folder / f"devices-{devices}"
        folder.mkdir(parents=True)
        turn.syncs = machine.sync_probe(folder)
        self._say(describe_syncs(turn.syncs))
        with Scene(folder) as scene:
            scene.begin(devices)
            revision, records = scene.head()
            turn.facts |= {"devices": devices, "records": records}
            self._say(f"{devices} devices, {records} records are made")
            self._first(scene, "host", FIRST_PUSH, revision, turn)
            for count, role in enumerate(ROLES[1:], start=1):
                self._first(scene, role, FIRST_SYNC, revision, turn)
                scene.await_equal()
                revision = self._changes(scene, count, turn)
            self._bytes(scene, turn)
            for changes in self._options.bursts:
                self._burst(scene, changes, turn)
            scene.await_equal()
            for name in MEMORY:
                server = scene.cloud if name == "cloud" else scene.receivers[name]
                turn.facts[f"memory_{name}"] = round(peak_memory(server), 1)
            self._say("memory at most: " + ", ".join(f"{name} {turn.facts[f'memory_{name}']} MiB" for name in MEMORY))

    def _first(self, scene: Scene, role: str, series: str, revision: int, turn: Round) -> None:
        """How long it takes from the wish for a role until all of the configuration is there."""
        before = self._memory_at_rest(scene, role, turn)
        begun = scene.join(role)
        sample = Sample(series, scene.followers[role].reached(revision) - begun, {"role": role})
        way = scene.ways[role]
        turn.samples.append(sample)
        passed = way.up.passed if role == "host" else way.down.passed
        turn.facts[f"bytes_{series}"] = passed
        self._say(f"{series} ({role}): {sample.value:.2f} s, {passed / 1e6:.2f} MB{before}")

    def _memory_at_rest(self, scene: Scene, role: str, turn: Round) -> str:
        if role != "host":
            return ""
        for name in ("host", "cloud"):
            server = scene.cloud if name == "cloud" else scene.receivers[name]
            turn.facts[f"memory_{name}_before"] = round(peak_memory(server), 1)
        return f"; memory before: {turn.facts['memory_host_before']} MiB"

    def _changes(self, scene: Scene, spares: int, turn: Round) -> int:
        """Single changes, each from its call at the host until the last spare has it. Returns the last revision."""
        series = one_change(spares)
        revision, _ = scene.head()
        with scene.host() as stub:
            for index in range(self._options.changes):
                time.sleep(SETTLED / 4)
                revision += 1
                begun = time.monotonic()
                scene.rename_by(stub, index % int(turn.facts["devices"]), f"Renamed {spares}.{index}")
                there = [scene.followers[role].reached(revision) for role in ROLES[1 : spares + 1]]
                turn.samples.append(Sample(series, max(there) - begun))
        self._say(f"{series}: {describe([each.value for each in turn.samples if each.series == series])}")
        return revision

    def _bytes(self, scene: Scene, turn: Round) -> None:
        """Bytes on the wire of one change: to the cloud, and to each spare, without what flows anyway."""
        revision, _ = scene.head()
        up, down = scene.ways["host"].up, scene.ways["spare1"].down
        quiet_up, quiet_down, begun = up.passed, down.passed, time.monotonic()
        time.sleep(QUIET)
        span = time.monotonic() - begun
        rate_up, rate_down = (up.passed - quiet_up) / span, (down.passed - quiet_down) / span
        before_up, before_down, begun = up.passed, down.passed, time.monotonic()
        count = 20
        with scene.host() as stub:
            for index in range(count):
                scene.rename_by(stub, index, f"Counted {index}")
                revision += 1
                for role in ROLES[1:]:
                    scene.followers[role].reached(revision)
        span = time.monotonic() - begun
        turn.facts["bytes_up"] = round((up.passed - before_up - rate_up * span) / count)
        turn.facts["bytes_down"] = round((down.passed - before_down - rate_down * span) / count)
        self._say(f"one change: {turn.facts['bytes_up']} bytes to the cloud, {turn.facts['bytes_down']} to a spare")

    def _burst(self, scene: Scene, changes: int, turn: Round) -> None:
        """Changes as quickly as one caller makes them; from the last one's answer until the last spare has them."""
        revision, _ = scene.head()
        down = scene.ways["spare1"].down.passed
        devices = int(turn.facts["devices"])
        with scene.host() as stub:
            for index in range(changes):
                scene.rename_by(stub, index % devices, f"Burst {changes}.{index}")
        begun = time.monotonic()
        there = [scene.followers[role].reached(revision + changes) for role in ROLES[1:]]
        passed = scene.ways["spare1"].down.passed - down
        turn.samples.append(Sample(burst(changes), max(max(there) - begun, 0.0), {"bytes": passed}))
        self._say(f"{burst(changes)}: {max(there) - begun:.3f} s after the last, {passed / changes:.0f} bytes each")

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:7.1f} s  {text}", flush=True)
