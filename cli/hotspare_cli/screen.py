"""Parts of a screen become text: with rich on a terminal, plain and whole where the output is piped."""

import io
import sys
from collections.abc import Iterable, Iterator
from typing import Literal, cast

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hotspare_cli.layout import Cell, CellLike, Facts, Grid, Lines, Part, Tone, cell

_STYLES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.WATCH: "yellow", Tone.BAD: "bold red", Tone.FAINT: "dim"}

# So wide that nothing is ever folded or cut where a program reads it.
_PIPE_WIDTH = 1_000_000
_GAP = 2
"""Blanks between two columns."""
_INDENT = 3
"""Blanks before what stands below a row."""
_SENTENCE = 24
"""Of a column of sentences so much at least."""


def show(parts: Iterable[Part]) -> None:
    """Print the parts on stdout, parted by empty lines."""
    if not sys.stdout.isatty():
        sys.stdout.write(plain(parts))
        return
    console, whole = Console(highlight=False), tuple(parts)
    console.width = _width(whole, console.width)
    console.print(_stacked(whole, console.width))


def rendered(parts: Iterable[Part], console: Console) -> str:
    """The parts as text with the colours of that terminal, each line as long as it comes."""
    whole = tuple(parts)
    # A console of its own: one is never told to print wider than its terminal.
    wide = Console(
        file=io.StringIO(),
        width=_width(whole, console.width),
        color_system=cast(Literal["auto"] | None, console.color_system),
        force_terminal=console.is_terminal,
        no_color=console.no_color,
        highlight=False,
    )
    with wide.capture() as capture:
        wide.print(_stacked(whole, wide.width))
    return capture.get()


def _width(whole: Iterable[Part], terminal: int) -> int:
    """That of the terminal, or of the widest table.

    Columns of two letters would be of no use: where a table is too wide for all that, the terminal may break its lines.
    """
    tables = (_fitting(part, terminal)[0] for part in whole if isinstance(part, Grid) and part.rows)
    return max([terminal, *(_least(table) for table in tables)])


def _fitting(part: Grid, width: int) -> tuple[Grid, tuple[str, ...]]:
    """The table as far as it fits, and the columns that are to stand below its rows."""
    kept, moved = part, 0
    while _least(kept) > width and moved < len(part.below):
        moved += 1
        kept = part.of(name for name in part.columns if name not in part.below[:moved])
    return kept, tuple(name for name in part.columns if name in part.below[:moved])


def _least(part: Grid) -> int:
    """How wide a table must be on a terminal; its sentences are broken into lines."""
    return sum(_widths(part)) + _GAP * len(part.columns) + 1


def _widths(part: Grid) -> Iterator[int]:
    for place, name in enumerate(part.columns):
        longest = max((cell_len(cell(row[place]).shown()) for row in part.rows), default=0)
        yield max(cell_len(name), min(longest, _SENTENCE) if name in part.wraps else longest)


def plain(parts: Iterable[Part]) -> str:
    """The parts as text without colours, boxes and trailing blanks, nothing of it cut."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=_PIPE_WIDTH, color_system=None, force_terminal=False, highlight=False)
    console.print(_stacked(parts, None))
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def _stacked(parts: Iterable[Part], terminal: int | None) -> Group:
    """`terminal`: how wide it is; None where the text goes elsewhere."""
    stack: list[RenderableType] = []
    for part in parts:
        if stack:
            stack.append(Text(""))
        if part.title:
            stack.append(Text(part.title, style="bold"))
        stack.append(_rendered(part, terminal))
    return Group(*stack)


def _rendered(part: Part, terminal: int | None) -> RenderableType:
    match part:
        case Grid(rows=()):
            return _text(Cell(part.empty, Tone.FAINT))
        case Grid():
            kept, moved = _fitting(part, terminal) if terminal is not None else (part, ())
            if terminal is None or not moved:
                return _table(kept, terminal is not None)
            return _with_lines_below(kept, part.of(moved), terminal)
        case Facts():
            facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
            facts.add_column(no_wrap=True, style="bold" if terminal is not None else "")
            facts.add_column(overflow="fold")
            for name, value in part.pairs:
                facts.add_row(Text(name), _text(value))
            return facts
        case Lines():
            return Group(*(_text(line) for line in part.lines))


def _table(part: Grid, on_terminal: bool) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD if on_terminal else None,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0) if on_terminal else (0, _GAP, 0, 0),
        header_style="bold",
    )
    for column in part.columns:
        # Folded, never cut: an id that lost its end is of no use.
        table.add_column(Text(column), overflow="fold", no_wrap=on_terminal and column not in part.wraps)
    for row in part.rows:
        table.add_row(*(_text(value) for value in row))
    return table


def _with_lines_below(part: Grid, more: Grid, terminal: int) -> Group:
    """The table, and below each row what it had no room for, without what is not set."""
    widths = tuple(_widths(part))
    lines = [_row([Text(name, style="bold") for name in part.columns], widths)]
    for row, rest in zip(part.rows, more.rows, strict=True):
        lines.append(_row([_text(value) for value in row], widths))
        told = [(name, _text(value)) for name, value in zip(more.columns, rest, strict=True)]
        facts = [Text.assemble((f"{name.lower()} ", "dim"), text) for name, text in told if text.plain not in ("", "-")]
        lines += _packed(facts, terminal)
    return Group(*lines)


def _packed(facts: Iterable[Text], terminal: int) -> Iterator[Text]:
    """Lines with as many of them as each has room for."""
    line = Text()
    for fact in facts:
        if line and line.cell_len + _GAP + fact.cell_len > terminal:
            yield line
            line = Text()
        line = line.append(" " * (_GAP if line else _INDENT)).append_text(fact)
    if line:
        yield line


def _row(cells: Iterable[Text], widths: Iterable[int]) -> Text:
    line = Text("  ").join(_padded(text, width) for text, width in zip(cells, widths, strict=True))
    line.rstrip()
    return line


def _padded(text: Text, width: int) -> Text:
    text.pad_right(max(width - text.cell_len, 0))
    return text


def _text(value: CellLike) -> Text:
    """A Text, not a string: rich would take brackets in a stranger's text for markup."""
    one = cell(value)
    return Text(one.shown(), style=_STYLES[one.tone])
