"""Tables of what was measured, for the terminal and for the docs. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import Summary, ratio
from benchmarks.results import Part

PEER = "etcd"
"""The series of others begin so."""
NO_MOVE = "no move"
"""The series of P3 in which nothing happens: what the machine itself does."""
ALL = "all of these"
TITLES = {
    "P1": "P1: the working receiver is killed",
    "P2": "P2: the working receiver hangs, or its network is cut",
    "P3": "P3: planned hand-over under 200 alarms a second",
    "P4": "P4: alarms in flight at a loss",
}


@dataclass(frozen=True)
class Goal:
    """What is to be reached, in seconds; None: nothing is said of it."""

    median: float | None = None
    p99: float | None = None
    maximum: float | None = None

    def verdict(self, found: Summary, show: Callable[[float], str]) -> str:
        """The goal in words, and whether it is met."""
        wanted = [
            (name, limit, value)
            for name, limit, value in (
                ("median", self.median, found.median),
                ("p99", self.p99, found.p99),
                ("max", self.maximum, found.maximum),
            )
            if limit is not None
        ]
        words = ", ".join(f"{name} {show(limit)}" for name, limit, _ in wanted)
        met = all(value <= limit for _, limit, value in wanted)
        return f"{words}: {'met' if met else 'NOT met'}"


GOALS = {
    "P1": Goal(median=1.2, p99=1.5),
    "P2": Goal(median=3.3, p99=3.8),
    "P3": Goal(p99=0.2),
    "P4": Goal(maximum=6.5),
}

WITH_PEERS = ("P1", "P2")

WINDOW = 256
TWICE = {"P1": WINDOW, "P2": WINDOW, "P3": 0, "P4": WINDOW}
"""How many alarms an ARC may get again for one move: what was delivered and not confirmed (F6). Planned: none."""


def console(part: Part) -> str:
    """The tables of a part for a terminal."""
    return "\n\n".join([f"{TITLES[part.name]}\n{_about(part)}", *(aligned(table) for table in _tables(part))])


def markdown(part: Part) -> str:
    """The tables of a part for the docs."""
    return "\n\n".join([_about(part), *(marked(table) for table in _tables(part))])


def own_series(part: Part) -> list[str]:
    """The series of ours, but for the one in which nothing happens."""
    return [name for name in part.series() if not name.startswith(PEER) and name != NO_MOVE]


def peer_series(part: Part) -> list[str]:
    """The series of others."""
    return [name for name in part.series() if name.startswith(PEER)]


def unit_of(part: Part) -> Callable[[float], str]:
    """How the part's seconds are shown."""
    return _milliseconds if part.name == "P3" else _seconds


Table = list[list[str]]
"""Rows of cells; the first is the head."""


def _about(part: Part) -> str:
    facts = part.facts
    sync = Summary.of(part.syncs()) if part.syncs() else None
    lines = [
        f"Measured {part.taken} at commit {facts.get('commit', '?')}, rounds: {len(part.rounds)}, on "
        f"{facts.get('cores', '?')} cores of {facts.get('processor', '?')}, {facts.get('system', '?')}, "
        f"Python {facts.get('python', '?')}."
    ]
    if sync:
        lines.append(
            f"The disk in this run (write and fsync of 4 KB, {sync.count} times): min {_milliseconds(sync.minimum)}, "
            f"median {_milliseconds(sync.median)}, p99 {_milliseconds(sync.p99)}, max {_milliseconds(sync.maximum)}."
        )
    lines.append(_lost_and_doubled(part))
    lines.append(f"Times that the cloud got no processor for half a second or more: {part.total('stalls')}.")
    if part.name in WITH_PEERS:
        measured = "" if peer_series(part) else ", not measured in this run"
        lines.append(f"etcd: {facts.get('etcd', '?')}{measured}.")
    return "\n".join(lines)


def _lost_and_doubled(part: Part) -> str:
    own = [sample for name in own_series(part) for sample in part.samples(name)]
    again = part.total("duplicates")
    most = max((int(sample.facts.get("duplicates", 0)) for sample in own), default=0)
    limit = TWICE[part.name]
    met = not part.total("lost") and not part.total("problems") and most <= limit and (limit or not again)
    goal = f"no loss, {f'at most a window of {limit} twice for one move' if limit else 'nothing twice'}"
    return (
        f"Alarms published: {part.total('published')}; lost: {part.total('lost')}; out of order or changed: "
        f"{part.total('problems')}; received again: {again}, at most {most} for one move "
        f"(goal: {goal}: {'met' if met else 'NOT met'})."
    )


def _tables(part: Part) -> Iterator[Table]:
    if not part.series():
        return
    yield _summary(part)
    if peer_series(part):
        yield _ratios(part)
    yield _rounds(part)


def _summary(part: Part) -> Table:
    show, goal = unit_of(part), GOALS[part.name]
    table = [["", "times", "min", "median", "p99", "max", "goal"]]
    own = own_series(part)
    table += [_row(name, part.values(name), show, goal) for name in own]
    if len(own) > 1:
        table.append(_row(ALL, [value for name in own for value in part.values(name)], show, goal))
    return table + [_row(name, part.values(name), show, None) for name in part.series() if name not in own]


def _row(name: str, values: Sequence[float], show: Callable[[float], str], goal: Goal | None) -> list[str]:
    found = Summary.of(values)
    times = f"{found.count}, {found.failed} failed" if found.failed else str(found.count)
    figures = [show(value) for value in (found.minimum, found.median, found.p99, found.maximum)]
    return [name, times, *figures, goal.verdict(found, show) if goal else ""]


def _ratios(part: Part) -> Table:
    """How many times as long the others take, median to median and p99 to p99."""
    table = [["times as long as ours (p99)", *own_series(part)]]
    for peer in peer_series(part):
        theirs = Summary.of(part.values(peer))
        cells = []
        for name in own_series(part):
            ours = Summary.of(part.values(name))
            cells.append(f"{_times(theirs.median, ours.median)} ({_times(theirs.p99, ours.p99)})")
        table.append([peer, *cells])
    return table


def _rounds(part: Part) -> Table:
    """The medians of each round, beside the disk and the load of that round."""
    show = unit_of(part)
    table = [["round", "load before", "fsync median, p99", *(f"median of {name}" for name in part.series())]]
    for each in part.rounds:
        syncs = Summary.of(each.syncs) if each.syncs else None
        disk = f"{_milliseconds(syncs.median)}, {_milliseconds(syncs.p99)}" if syncs else "-"
        medians = [
            show(Summary.of(values).median) if (values := part.values(name, each.number)) else "-"
            for name in part.series()
        ]
        table.append([str(each.number), f"{each.load:.2f}", disk, *medians])
    return table


def aligned(table: Table) -> str:
    """A table for a terminal."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def marked(table: Table) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([lines[0], f"| {' | '.join('---' for _ in table[0])} |", *lines[1:]])


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if math.isfinite(value) else "never"


def _milliseconds(value: float) -> str:
    if not math.isfinite(value):
        return "never"
    return f"{value * 1e3:.0f} ms" if value >= 0.1 else f"{value * 1e3:.1f} ms"


def _times(theirs: float, ours: float) -> str:
    found = ratio(theirs, ours)
    return f"{found:.1f}" if found is not None else "-"
