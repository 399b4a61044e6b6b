"""What every part is given: how much to measure, where, and whom to tell."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import Round, Sample

ARC = "bench"
"""The ARC account whose alarms are pulled by the contract alone."""
REAL = "real"
"""The one whose alarms go to a real receiver."""


@dataclass(frozen=True)
class Options:
    """How much is measured in each round."""

    rounds: int = 3
    seconds: float = 2.5
    """P5: of each load; each comes twice."""
    callers: int = 64
    """P5: calls under way at once."""
    alarms: int = 40_000
    """P6: alarms of each stream."""
    rate: float = 200.0
    """P7: alarms a second."""
    one_way: float = 8.0
    """P7: seconds of each load."""
    backlog: int = 100_000
    """P8: alarms that are drained by a pull."""
    line: int = 20_000
    """P8: alarms that are drained through one DC-09 connection to a peer that answers at once."""
    slow_line: int = 3000
    """P8: the same to a peer that takes its time."""
    sizes: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000)
    """P9: backlogs."""
    turns: int = 5
    """P9: times that alarms are published and pulled at each size."""
    restarts: int = 2
    """P9: restarts at each size."""


class Bench:
    """One part in one round."""

    def __init__(self, folder: Path, options: Options, turn: Round, say: Callable[[str], None]) -> None:
        self.options = options
        self.turn = turn
        self.say = say
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._made = 0

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """A new folder, that is gone afterwards; where something goes wrong it stays, with its logs."""
        self._made += 1
        path = self.folder / f"{self.turn.number}-{self._made}-{name}"
        yield path
        shutil.rmtree(path, ignore_errors=True)

    def took(self, series: str, seconds: float, count: int = 1, **facts: int | float | str) -> None:
        """Note a sample: so many things took so long."""
        self.turn.samples.append(Sample(series, seconds, {"count": count, **facts}))
        each = seconds / count if count else 0.0
        self.say(f"{series}: {count} in {seconds:.3f} s, {each * 1e6:.1f} µs each")
