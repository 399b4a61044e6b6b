"""A run: in each round every part in turn, and the others beside it, so that a slow minute hits all alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import machine
from benchmarks.alarms import drain, growth, oneway, stream, unary
from benchmarks.alarms.bench import Bench, Options
from benchmarks.alarms.peers import nats, postgres, redis
from benchmarks.failover.run import describe_syncs
from benchmarks.results import Fact, Part, Round

NAMES = ("P5", "P6", "P7", "P8", "P9")


class Run:
    """One run of some parts."""

    def __init__(
        self, names: Sequence[str], options: Options, folder: Path, write: Callable[[list[Part]], None]
    ) -> None:
        """`write` gets all parts after each of them; `folder` is where the servers store."""
        self._options = options
        self._folder = folder
        self._write = write
        self._begun = time.monotonic()
        self._templates = growth.Templates(folder / "templates", options.sizes)
        peers = {"redis": redis.told(), "nats": nats.told(), "postgresql": postgres.told(folder)}
        told = {name: str(value) if isinstance(value, Sequence) else value for name, value in asdict(options).items()}
        facts: dict[str, Fact] = {**machine.facts(), **peers, **told}
        self.parts = {name: Part(name, machine.utc_now(), dict(facts)) for name in NAMES if name in names}

    def all(self) -> None:
        """Measure. What was measured is written also when something goes wrong."""
        for number in range(1, self._options.rounds + 1):
            for part in self.parts.values():
                turn = Round(number, load=round(machine.load_average(), 2), syncs=machine.sync_probe(self._folder))
                part.rounds.append(turn)
                self._say(f"{part.name}, round {number} of {self._options.rounds}: {describe_syncs(turn.syncs)}")
                try:
                    self._measure(part.name, Bench(self._folder / part.name, self._options, turn, self._say))
                finally:
                    self._write(list(self.parts.values()))

    def _measure(self, name: str, bench: Bench) -> None:
        match name:
            case "P5":
                unary.measure(bench)
            case "P6":
                stream.measure(bench)
            case "P7":
                oneway.measure(bench)
            case "P8":
                drain.measure(bench)
            case "P9":
                growth.measure(bench, self._templates)
            case _:
                raise ValueError(f"there is no part {name}")

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:7.1f} s  {text}", flush=True)
