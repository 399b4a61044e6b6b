"""Parts of a screen become text: with rich on a terminal, plain and whole where the output is piped."""

import io
import sys
from collections.abc import Iterable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hotspare_cli.layout import Cell, CellLike, Facts, Grid, Lines, Part, Tone, cell

_STYLES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.WATCH: "yellow", Tone.BAD: "bold red", Tone.FAINT: "dim"}

# So wide that nothing is ever folded or cut where a program reads it.
_PIPE_WIDTH = 1_000_000
_WIDEST_TABLE = 500


def show(parts: Iterable[Part]) -> None:
    """Print the parts on stdout, parted by empty lines."""
    if not sys.stdout.isatty():
        sys.stdout.write(plain(parts))
        return
    console, whole = Console(highlight=False), tuple(parts)
    console.width = _width(whole, console)
    console.print(_stacked(whole, on_terminal=True))


def rendered(parts: Iterable[Part], console: Console) -> str:
    """The parts as text with the colours of that terminal, each line as long as it comes."""
    whole = tuple(parts)
    with console.capture() as capture:
        console.print(_stacked(whole, on_terminal=True), width=_width(whole, console))
    return capture.get()


def _width(whole: Iterable[Part], console: Console) -> int:
    """That of the terminal, or of the widest table.

    Columns of two letters would be of no use: where a table is too wide, the terminal may break its lines.
    """
    tables = [_table(part, on_terminal=True) for part in whole if isinstance(part, Grid) and part.rows]
    endless = console.options.update(max_width=_WIDEST_TABLE)
    return max([console.width, *(console.measure(table, options=endless).maximum for table in tables)])


def plain(parts: Iterable[Part]) -> str:
    """The parts as text without colours, boxes and trailing blanks, nothing of it cut."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=_PIPE_WIDTH, color_system=None, force_terminal=False, highlight=False)
    console.print(_stacked(parts, on_terminal=False))
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def _stacked(parts: Iterable[Part], *, on_terminal: bool) -> Group:
    stack: list[RenderableType] = []
    for part in parts:
        if stack:
            stack.append(Text(""))
        if part.title:
            stack.append(Text(part.title, style="bold"))
        stack.append(_rendered(part, on_terminal))
    return Group(*stack)


def _rendered(part: Part, on_terminal: bool) -> RenderableType:
    match part:
        case Grid(rows=()):
            return _text(Cell(part.empty, Tone.FAINT))
        case Grid():
            return _table(part, on_terminal)
        case Facts():
            facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
            facts.add_column(no_wrap=True, style="bold" if on_terminal else "")
            facts.add_column(overflow="fold")
            for name, value in part.pairs:
                facts.add_row(Text(name), _text(value))
            return facts
        case Lines():
            return Group(*(_text(line) for line in part.lines))


def _table(part: Grid, on_terminal: bool) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD if on_terminal else None,
        pad_edge=False,
        padding=(0, 1) if on_terminal else (0, 2, 0, 0),
        header_style="bold",
    )
    for column in part.columns:
        # Folded, never cut: an id that lost its end is of no use.
        table.add_column(Text(column), overflow="fold")
    for row in part.rows:
        table.add_row(*(_text(value) for value in row))
    return table


def _text(value: CellLike) -> Text:
    """A Text, not a string: rich would take brackets in a stranger's text for markup."""
    one = cell(value)
    return Text(one.shown(), style=_STYLES[one.tone])
