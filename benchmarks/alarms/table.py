"""Tables of P5 to P9 for the terminal and for docs/benchmarks.md. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence

from benchmarks.alarms import drain, growth, oneway, stream, unary
from benchmarks.alarms.peers import nats, postgres, redis
from benchmarks.figures import Summary, percentile
from benchmarks.results import Part, Round, Sample
from benchmarks.tables import Goal, Table, aligned, marked

TITLES = {
    "P5": "P5: what one publish costs the server",
    "P6": "P6: the stream of batches",
    "P7": "P7: how long one alarm takes",
    "P8": "P8: how fast a backlog goes away",
    "P9": "P9: what a long backlog costs",
}
PEERS = {"redis": redis.NAME, "nats": nats.NAME, "postgresql": postgres.NAME}
"""By the fact that tells their version: what the names of their series begin with."""
WITH_PEERS = {"P5": ("redis", "nats"), "P6": ("redis", "postgresql"), "P7": ("redis", "nats"), "P8": PEERS.keys()}

ECHO_GOAL = 1.3
STREAM_GOAL = 60_000
PULL_GOAL = 150_000
LINE_GOAL = 0.8
GROWTH_GOAL = 1.3
MEMORY_GOAL = 120.0
RESTART_GOAL = 1.0
ONE_WAY_GOALS = {oneway.PULLED: Goal(median=0.0016), oneway.CONFIRMED: Goal(median=0.004)}


def console(part: Part) -> str:
    """The tables of a part for a terminal."""
    return "\n\n".join([f"{TITLES[part.name]}\n{about(part)}", *(aligned(table) for table in tables(part))])


def markdown(part: Part) -> str:
    """The tables of a part for the docs."""
    return "\n\n".join([about(part), *(marked(table) for table in tables(part))])


def about(part: Part) -> str:
    """Where and when it was measured, the disk, and who is left out."""
    facts = part.facts
    lines = [
        f"Measured {part.taken} at commit {facts.get('commit', '?')}, rounds: {len(part.rounds)}, on "
        f"{facts.get('cores', '?')} cores of {facts.get('processor', '?')}, {facts.get('system', '?')}, "
        f"Python {facts.get('python', '?')}."
    ]
    if syncs := part.syncs():
        sync = Summary.of(syncs)
        lines.append(
            f"The disk in this run (write and fsync of 4 KB, {sync.count} times): min {_ms(sync.minimum)}, "
            f"median {_ms(sync.median)}, p99 {_ms(sync.p99)}, max {_ms(sync.maximum)}."
        )
    for peer in WITH_PEERS.get(part.name, ()):
        if peer == "nats" and part.name == "P8":
            continue
        there = any(name.startswith(PEERS[peer]) for name in part.series())
        lines.append(f"{peer}: {facts.get(peer, '?')}{'' if there else ', not measured in this run'}.")
    return "\n".join(lines)


def tables(part: Part) -> Iterator[Table]:
    """All tables of a part."""
    if not part.series():
        return
    match part.name:
        case "P5":
            yield _cost(part)
            yield _rates(part, unary.PUBLISH, {}, lambda name: not name.startswith(unary.CPU))
        case "P6":
            yield _rates(part, stream.OURS, {stream.OURS: STREAM_GOAL})
        case "P7":
            yield _one_way(part)
        case "P8":
            pulls = [drain.pull_series(window) for window in drain.WINDOWS]
            yield _rates(part, pulls[0], dict.fromkeys(pulls, PULL_GOAL), lambda name: not _is_line(name))
            yield _lines(part)
        case _:
            yield _growth(part)
    yield _rounds(part)


def rate(sample: Sample) -> float:
    """How many a second. 0 where it did not come to its end."""
    return int(sample.facts.get("count", 1)) / sample.value if sample.value > 0 else math.inf


def cost(sample: Sample) -> float:
    """Seconds for one."""
    return sample.value / max(1, int(sample.facts.get("count", 1)))


def ratios(part: Part, ours: str, theirs: str, measure: Callable[[Sample], float]) -> list[float]:
    """Ours to theirs, round by round, by the medians of each: a slow minute of the machine hits both."""
    found = []
    for turn in part.rounds:
        own = [measure(sample) for sample in part.samples(ours, turn.number)]
        other = [measure(sample) for sample in part.samples(theirs, turn.number)]
        if own and other:
            found.append(percentile(own, 50) / percentile(other, 50))
    return found


def _cost(part: Part) -> Table:
    """P5: the server's processor for one call, and how many times an echo that is."""
    table = [["CPU of the server for one call", "times", "min", "median", "max", "times the echo: min, median, max"]]
    echo = unary.CPU + unary.ECHO
    for name in (unary.PUBLISH, unary.ECHO, unary.BARE):
        costs = [cost(sample) for sample in part.samples(unary.CPU + name)]
        if not costs:
            continue
        found = Summary.of(costs)
        cells = [_us(value) for value in (found.minimum, found.median, found.maximum)]
        against = ratios(part, unary.CPU + name, echo, cost)
        goal = f"; goal {ECHO_GOAL:g}: {_met(percentile(against, 50) <= ECHO_GOAL)}" if name == unary.PUBLISH else ""
        table.append([name, str(found.count), *cells, f"{_three(against)}{goal}"])
    return table


def _rates(part: Part, ours: str, goals: dict[str, int], shown: Callable[[str], bool] = lambda name: True) -> Table:
    """How many a second, and how many times as many as ours."""
    table = [["a second", "times", "min", "median", "max", f"times as many as {ours}", "goal"]]
    for name in filter(shown, part.series()):
        found = Summary.of([rate(sample) for sample in part.samples(name)])
        cells = [f"{value:,.0f}" for value in (found.minimum, found.median, found.maximum)]
        against = "" if name == ours else _three(ratios(part, name, ours, rate))
        goal = goals.get(name)
        verdict = f"median {goal:,}: {_met(found.median >= goal)}" if goal else ""
        table.append([name, str(found.count), *cells, against, verdict])
    return table


def _one_way(part: Part) -> Table:
    table = [["", "alarms", "min", "median", "p99", "max", f"times as long as {oneway.PULLED}", "goal"]]
    for name in part.series():
        found = Summary.of(part.values(name))
        cells = [_ms(value) for value in (found.minimum, found.median, found.p99, found.maximum)]
        against = "" if name == oneway.PULLED else _three(ratios(part, name, oneway.PULLED, cost))
        goal = ONE_WAY_GOALS.get(name)
        table.append([name, str(found.count), *cells, against, goal.verdict(found, _ms) if goal else ""])
    return table


def _is_line(name: str) -> bool:
    return name.startswith((drain.LINE, drain.BARE))


def _lines(part: Part) -> Table:
    """P8: one connection to the ARC, against the bare loop with the same peer."""
    table = [["alarms a second", "bare loop, median", "ours: min", "median", "max", "ours of the bare loop", "goal"]]
    for peer in (drain.AT_ONCE, drain.AFTER):
        ours, bare = f"{drain.LINE}, {peer}", f"{drain.BARE}, {peer}"
        if not part.samples(ours) or not part.samples(bare):
            continue
        found = Summary.of([rate(sample) for sample in part.samples(ours)])
        cells = [f"{value:,.0f}" for value in (found.minimum, found.median, found.maximum)]
        shares = ratios(part, ours, bare, rate)
        other = f"{percentile([rate(sample) for sample in part.samples(bare)], 50):,.0f}"
        told = ", ".join(f"{share:.0%}" for share in (min(shares), percentile(shares, 50), max(shares)))
        goal = f"{LINE_GOAL:.0%}: {_met(percentile(shares, 50) >= LINE_GOAL)}"
        table.append([peer, other, *cells, told, goal])
    return table


def sizes(part: Part) -> list[int]:
    """P9: the backlogs that were measured."""
    known = (name.rpartition(" of ")[2].replace(",", "") for name in part.series() if name.startswith(growth.PUBLISH))
    return sorted(int(size) for size in known)


def _growth(part: Part) -> Table:
    table = [["backlog", "publish: median, max", "cost", "pull: median, max", "cost", "memory", "restart"]]
    found = sizes(part)
    for size in found:
        row = [f"{size:,}"]
        for what in (growth.PUBLISH, growth.PULL):
            name, first = growth.series(what, size), growth.series(what, found[0])
            costs = [cost(sample) for sample in part.samples(name)]
            row += [f"{_us(percentile(costs, 50))}, {_us(max(costs))}"] if costs else ["-"]
            row.append(_three(ratios(part, name, first, cost)))
        memory = [float(turn.facts[f"memory {size}"]) for turn in part.rounds if f"memory {size}" in turn.facts]
        restarts = part.values(growth.series(growth.RESTART, size))
        row.append(f"{max(memory):.0f} MB" if memory else "-")
        row.append(f"median {percentile(restarts, 50):.2f} s, max {max(restarts):.2f} s" if restarts else "-")
        table.append(row)
    table.append(_growth_goals(part, found[-1], found[0]))
    return table


def _growth_goals(part: Part, largest: int, smallest: int) -> list[str]:
    row = ["goal"]
    for what in (growth.PUBLISH, growth.PULL):
        against = ratios(part, growth.series(what, largest), growth.series(what, smallest), cost)
        row += ["", f"{GROWTH_GOAL:g}: {_met(bool(against) and percentile(against, 50) <= GROWTH_GOAL)}"]
    memory = [float(value) for turn in part.rounds for name, value in turn.facts.items() if name.startswith("memory ")]
    restarts = part.values(growth.series(growth.RESTART, largest))
    row.append(f"{MEMORY_GOAL:.0f} MB: {_met(bool(memory) and max(memory) <= MEMORY_GOAL)}")
    row.append(f"{RESTART_GOAL:g} s: {_met(bool(restarts) and percentile(restarts, 50) <= RESTART_GOAL)}")
    return row


def _rounds(part: Part) -> Table:
    """Each round, beside its disk and the load before it."""
    table = [["round", "load before", "fsync median, p99", "what came"]]
    for turn in part.rounds:
        syncs = Summary.of(turn.syncs) if turn.syncs else None
        disk = f"{_ms(syncs.median)}, {_ms(syncs.p99)}" if syncs else "-"
        table.append([str(turn.number), f"{turn.load:.2f}", disk, _came(part, turn)])
    return table


def _came(part: Part, turn: Round) -> str:
    """The main figures of a round in one line."""
    told = []
    for name in _main(part):
        samples = part.samples(name, turn.number)
        if not samples:
            continue
        if part.name == "P7":
            told.append(f"{name} {_ms(percentile([sample.value for sample in samples], 50))}")
        elif part.name in ("P5", "P9"):
            told.append(f"{name} {_us(percentile([cost(sample) for sample in samples], 50))}")
        else:
            told.append(f"{name} {percentile([rate(sample) for sample in samples], 50):,.0f}/s")
    return "; ".join(told)


def _main(part: Part) -> Sequence[str]:
    match part.name:
        case "P5":
            return [unary.CPU + name for name in (unary.PUBLISH, unary.ECHO, unary.BARE)]
        case "P9":
            return [growth.series(what, size) for size in sizes(part) for what in (growth.PUBLISH, growth.PULL)]
        case _:
            return part.series()


def _three(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return ", ".join(f"{value:.2f}" for value in (min(values), percentile(values, 50), max(values)))


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} µs"


def _ms(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "never"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:.2f} ms"


def _met(met: bool) -> str:
    return "met" if met else "NOT met"
