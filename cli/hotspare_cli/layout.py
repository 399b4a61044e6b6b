"""The parts of a screen, without any terminal: what views make, and tests look at."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from hotspare_rpc.text import printable

_LONGEST_CELL = 4096


class Tone(Enum):
    """How a cell feels; on a terminal it is a colour."""

    PLAIN = "plain"
    GOOD = "good"
    WATCH = "watch"
    BAD = "bad"
    FAINT = "faint"


@dataclass(frozen=True)
class Cell:
    """A piece of text. Foreign text in it can't steer the terminal (S4)."""

    text: str
    tone: Tone = Tone.PLAIN

    def shown(self) -> str:
        """The text, fit for one line."""
        return printable(self.text, _LONGEST_CELL)


CellLike: TypeAlias = Cell | str


@dataclass(frozen=True)
class Grid:
    """A table. Without rows, `empty` is shown in its place."""

    columns: tuple[str, ...]
    rows: tuple[tuple[CellLike, ...], ...]
    title: str = ""
    empty: str = "none"
    below: tuple[str, ...] = ()
    """Columns that stand in a line below each row where the terminal is too narrow for all: as few as do, these first
    ones first."""
    wraps: tuple[str, ...] = ()
    """Columns of sentences, which may be broken into lines."""

    def of(self, names: Iterable[str]) -> "Grid":
        """The same with these columns alone."""
        places = [self.columns.index(name) for name in names]
        return replace(
            self,
            columns=tuple(self.columns[place] for place in places),
            rows=tuple(tuple(row[place] for place in places) for row in self.rows),
        )


@dataclass(frozen=True)
class Facts:
    """Names with their values, one a line."""

    pairs: tuple[tuple[str, CellLike], ...]
    title: str = ""


@dataclass(frozen=True)
class Lines:
    """Sentences, one a line."""

    lines: tuple[CellLike, ...]
    title: str = ""


Part: TypeAlias = Grid | Facts | Lines

_TONES = {
    "working": Tone.GOOD,
    "up": Tone.GOOD,
    "up-to-date": Tone.GOOD,
    "confirmed": Tone.GOOD,
    "offline": Tone.BAD,
    "down": Tone.BAD,
    "failed": Tone.BAD,
    "diverged": Tone.BAD,
    "set-aside": Tone.BAD,
    "refused": Tone.BAD,
    "connecting": Tone.WATCH,
    "behind": Tone.WATCH,
    "version-differs": Tone.WATCH,
    "held": Tone.WATCH,
    "unknown": Tone.WATCH,
}


def state(word: str) -> Cell:
    """A cell with the word of a state, in its tone."""
    return Cell(word, _TONES.get(word, Tone.PLAIN))


def cell(value: CellLike) -> Cell:
    """A cell of what may be mere text."""
    return value if isinstance(value, Cell) else Cell(value)


def grid(
    columns: Iterable[str],
    rows: Iterable[Iterable[CellLike]],
    *,
    title: str = "",
    empty: str = "none",
    below: Iterable[str] = (),
    wraps: Iterable[str] = (),
) -> Grid:
    """A Grid of any iterables; of `below` and `wraps` what is no column is passed over."""
    named = tuple(columns)
    lines = tuple(tuple(row) for row in rows)
    kept = (tuple(name for name in names if name in named) for names in (below, wraps))
    return Grid(named, lines, title, empty, *kept)
