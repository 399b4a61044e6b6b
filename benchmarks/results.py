"""What a run measured: all of it, as JSON. Nothing is averaged or left out before it is written."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.figures import FAILED

FORMAT = 1
MANY = 100
"""From so many samples in a row of which nothing but their time is known, they are written in one line."""
Fact = str | int | float


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    series: str
    """Which of the part's series it belongs to."""
    value: float
    """Seconds; `FAILED` when it did not come to its end."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """What else is known of it: who was lost, who took over, how many were in flight."""


@dataclass
class Round:
    """One of the turns of a run: in each, all series are measured one after the other."""

    number: int
    samples: list[Sample] = field(default_factory=list)
    syncs: list[float] = field(default_factory=list)
    """Seconds of each write and fsync of 4 KB, in the folder that the servers store in."""
    load: float = 0.0
    """The machine's load average of the last minute, before it began."""
    facts: dict[str, Fact] = field(default_factory=dict)
    """What concerns the round as a whole: alarms published, lost, received twice."""

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the numbers of the round."""
        for name, count in counts.items():
            self.facts[name] = int(self.facts.get(name, 0)) + count


@dataclass
class Part:
    """All rounds of one benchmark (P1, …) in one run."""

    name: str
    taken: str
    """When it began, UTC."""
    facts: dict[str, Fact] = field(default_factory=dict)
    """Machine, versions, settings, options."""
    rounds: list[Round] = field(default_factory=list)

    def series(self) -> list[str]:
        """Names of the series, in the order in which they came first."""
        return list(dict.fromkeys(sample.series for each in self.rounds for sample in each.samples))

    def values(self, series: str, round_number: int | None = None) -> list[float]:
        """Values of a series, of all rounds or of one."""
        return [sample.value for sample in self.samples(series, round_number)]

    def samples(self, series: str, round_number: int | None = None) -> list[Sample]:
        """Samples of a series, of all rounds or of one."""
        return [
            sample
            for each in self.rounds
            if round_number in (None, each.number)
            for sample in each.samples
            if sample.series == series
        ]

    def syncs(self) -> list[float]:
        """Seconds of each fsync of the probe, of all rounds."""
        return [seconds for each in self.rounds for seconds in each.syncs]

    def total(self, fact: str) -> int:
        """Sum of a number that each round has."""
        return sum(int(each.facts.get(fact, 0)) for each in self.rounds)


def to_json(parts: Iterable[Part]) -> str:
    """The parts as text, one sample a line, but for long series."""
    listed = ",\n".join(_part(part) for part in parts)
    return f'{{"format": {FORMAT}, "parts": [\n{listed}\n]}}\n'


def from_json(text: str) -> list[Part]:
    """Read what `to_json` wrote. Raises ValueError for another format."""
    read = json.loads(text)
    if read.get("format") != FORMAT:
        raise ValueError(f"format {read.get('format')!r} is not {FORMAT}: measure again")
    return [_read_part(part) for part in read["parts"]]


def load(path: Path) -> list[Part]:
    """The parts in a file; none where there is no such file."""
    return from_json(path.read_text(encoding="utf-8")) if path.exists() else []


def merged(known: Iterable[Part], newer: Iterable[Part]) -> list[Part]:
    """Parts by name, those of `newer` whole in place of the older ones: runs are never mixed within a part."""
    parts = {part.name: part for part in known} | {part.name: part for part in newer}
    return [parts[name] for name in sorted(parts)]


def _part(part: Part) -> str:
    head = json.dumps({"name": part.name, "taken": part.taken, "facts": part.facts})
    rounds = ",\n".join(_round(each) for each in part.rounds)
    return f'{head[:-1]}, "rounds": [\n{rounds}]}}'


def _round(each: Round) -> str:
    syncs = [round(seconds * 1e3, 3) for seconds in each.syncs]
    head = json.dumps({"number": each.number, "load": each.load, "facts": each.facts, "syncs_ms": syncs})
    samples = ",\n  ".join(json.dumps(line) for line in _lines(each.samples))
    return f' {head[:-1]}, "samples": [\n  {samples}]}}'


def _lines(samples: Iterable[Sample]) -> Iterator[dict[str, Any]]:
    """A line for each sample; for many of one series in a row, of which nothing else is known, one for all of them."""
    for (series, bare), grouped in groupby(samples, key=lambda sample: (sample.series, not sample.facts)):
        run = list(grouped)
        if bare and len(run) >= MANY:
            yield {"series": series, "seconds": [_shown(sample.value) for sample in run]}
        else:
            yield from ({"series": series, "seconds": _shown(one.value), "facts": dict(one.facts)} for one in run)


def _shown(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _read_part(part: Mapping[str, Any]) -> Part:
    rounds = [
        Round(
            number=each["number"],
            load=each["load"],
            facts=dict(each["facts"]),
            syncs=[value / 1e3 for value in each["syncs_ms"]],
            samples=[sample for line in each["samples"] for sample in _read_samples(line)],
        )
        for each in part["rounds"]
    ]
    return Part(part["name"], part["taken"], dict(part["facts"]), rounds)


def _read_samples(line: Mapping[str, Any]) -> Iterator[Sample]:
    listed = line["seconds"] if isinstance(line["seconds"], list) else [line["seconds"]]
    for seconds in listed:
        yield Sample(line["series"], FAILED if seconds is None else float(seconds), dict(line.get("facts", {})))
