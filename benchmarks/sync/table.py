"""Tables of P10 for the terminal and for docs/sync.md. Pure."""

from collections.abc import Iterator, Sequence

from benchmarks.figures import Summary
from benchmarks.results import Part, Round
from benchmarks.sync.run import FIRST_PUSH, FIRST_SYNC, MEMORY
from benchmarks.tables import Table

FIRST_SYNC_GOAL = 3.0
CHANGE_GOAL = 0.25
"""Seconds (P10): the first sync of 10,000 devices with 70,000 records; p99 of one change at all spares."""
GOAL_RECORDS = 70_000


def tables(part: Part) -> Iterator[Table]:
    """Time, what travels, memory; a column for each size."""
    rounds = part.rounds
    yield [_head("seconds", rounds), *_times(part)]
    yield [_head("on the wire", rounds), *_wire(rounds)]
    yield [_head("memory at most, MiB", rounds), *_memory(rounds)]


def about(part: Part) -> str:
    """Where and when it was measured, and whether the goals are met."""
    facts = part.facts
    return (
        f"Measured {part.taken} at commit {facts.get('commit', '?')} on {facts.get('cores', '?')} cores of "
        f"{facts.get('processor', '?')}, {facts.get('system', '?')}, Python {facts.get('python', '?')}. {verdict(part)}"
    )


def verdict(part: Part) -> str:
    """The goals of P10, where the size that they speak of was measured."""
    for turn in part.rounds:
        if int(turn.facts.get("records", 0)) < GOAL_RECORDS:
            continue
        first = Summary.of(part.values(FIRST_SYNC, turn.number))
        last = [name for name in part.series() if name.startswith("one change")][-1]
        change = Summary.of(part.values(last, turn.number))
        return (
            f"Goals: first sync {FIRST_SYNC_GOAL:g} s: {_met(first.maximum <= FIRST_SYNC_GOAL)}; one change at all "
            f"spares, p99 {CHANGE_GOAL * 1e3:g} ms: {_met(change.p99 <= CHANGE_GOAL)}."
        )
    return f"The goals speak of {GOAL_RECORDS:,} records, which were not measured."


def _head(title: str, rounds: Sequence[Round]) -> list[str]:
    return [title, *(f"{turn.facts['records']:,} records" for turn in rounds)]


def _times(part: Part) -> Iterator[list[str]]:
    for series in part.series():
        cells = []
        for turn in part.rounds:
            values = part.values(series, turn.number)
            if not values:
                cells.append("-")
            elif len(values) == 1:
                cells.append(f"{values[0]:.2f}")
            else:
                found = Summary.of(values)
                cells.append(f"median {found.median:.3f}, p99 {found.p99:.3f}, max {found.maximum:.3f}")
        yield [series, *cells]


def _wire(rounds: Sequence[Round]) -> Iterator[list[str]]:
    yield ["first push, MB", *(_mega(turn, FIRST_PUSH) for turn in rounds)]
    yield ["first sync of a spare, MB", *(_mega(turn, FIRST_SYNC) for turn in rounds)]
    yield ["one change to the cloud, bytes", *(str(turn.facts.get("bytes_up", "-")) for turn in rounds)]
    yield ["one change to a spare, bytes", *(str(turn.facts.get("bytes_down", "-")) for turn in rounds)]


def _memory(rounds: Sequence[Round]) -> Iterator[list[str]]:
    for name in ("host", "cloud"):
        cells = (str(turn.facts.get(f"memory_{name}_before", "-")) for turn in rounds)
        yield [f"{name}, before the first push", *cells]
    for name in MEMORY:
        yield [f"{name}, after all", *(str(turn.facts.get(f"memory_{name}", "-")) for turn in rounds)]


def _mega(turn: Round, series: str) -> str:
    passed = turn.facts.get(f"bytes_{series}")
    return "-" if passed is None else f"{float(passed) / 1e6:.2f}"


def _met(met: bool) -> str:
    return "met" if met else "NOT met"
