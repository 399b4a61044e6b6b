"""What the repository keeps of P5 to P9: the samples, the tables in docs/benchmarks.md, and two pictures."""

import re
from collections.abc import Iterable

from benchmarks.alarms import growth, oneway, table
from benchmarks.alarms.chart import Axis, Curve, decades, distribution, draw, nines
from benchmarks.alarms.peers import nats, redis
from benchmarks.results import Part, load, merged, to_json
from tools.protos import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "alarms.json"
PAGE = ROOT / "docs" / "benchmarks.md"
LATENCY = ROOT / "docs" / "alarm-latency.svg"
GROWTH = ROOT / "docs" / "alarm-backlog.svg"
NONE = "Not measured yet: `make bench-alarms` measures, and with `BENCH=--docs` takes it here."

_COLORS = {
    oneway.ANSWERED: "#93c5fd",
    oneway.PULLED: "#2563eb",
    oneway.CONFIRMED: "#15803d",
    oneway.FLOODED_ANSWERED: "#c2410c",
    redis.NAME: "#6b7280",
    nats.NAME: "#a855f7",
}
_SHARES = ((0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"))


def take(parts: Iterable[Part]) -> None:
    """Take parts in place of those of the same name, and write samples, tables and pictures anew."""
    now = merged(known(), parts)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    if now:
        RESULTS.write_text(to_json(now), encoding="utf-8")
        now = known()  # as they are kept, which is less exact
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), now), encoding="utf-8")
    LATENCY.write_text(latency(now), encoding="utf-8")
    GROWTH.write_text(backlog(now), encoding="utf-8")


def known() -> list[Part]:
    """What the repository has; nothing before the first run."""
    return load(RESULTS)


def filled(page: str, parts: Iterable[Part]) -> str:
    """The page with the tables between its markers as the parts tell. Raises ValueError where a marker is missing."""
    by_name = {part.name: part for part in parts}
    for name in table.TITLES:
        text = table.markdown(by_name[name]) if name in by_name else NONE
        begin, end = f"<!-- {name}: made by python -m benchmarks.alarms -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        block = f"{begin}\n\n{text}\n\n{end}"
        page, count = pattern.subn(lambda _, block=block: block, page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page has {count} blocks of {name}")
    return page


def latency(parts: Iterable[Part]) -> str:
    """P7: the distribution of each series, by percentiles."""
    part = _named(parts, "P7")
    values_of = {name: part.values(name) for name in part.series()} if part else {}
    curves = [
        Curve(name, [(value * 1e3, y) for value, y in distribution(values)], _COLORS.get(name, "#000000"))
        for name, values in values_of.items()
    ]
    shown = [value for curve in curves for value, _ in curve.points]
    ticks = decades(min(shown, default=0.1), max(shown, default=1000.0))
    across = Axis("milliseconds", ticks[0][0], ticks[-1][0], ticks, logarithmic=True)
    up = Axis("of all alarms, at most", 0.0, 4.2, [(nines(share), label) for share, label in _SHARES])
    return draw(
        "How long one alarm takes at a steady rate",
        "For each way: the share of alarms that took at most that long.",
        across,
        up,
        curves,
    )


def backlog(parts: Iterable[Part]) -> str:
    """P9: the cost of publishing and pulling against the length of the backlog."""
    part = _named(parts, "P9")
    found = table.sizes(part) if part else []
    curves = []
    for what, color in ((growth.PUBLISH, "#2563eb"), (growth.PULL, "#15803d")):
        points = []
        for size in found:
            assert part is not None
            values = table.ratios(part, growth.series(what, size), growth.series(what, found[0]), table.cost)
            points += [(float(size), sorted(values)[(len(values) - 1) // 2])] if values else []
        curves.append(Curve(what, points, color))
    ticks = decades(min(found, default=1000), max(max(found, default=0), 1_000_000), "{:,.0f}")
    across = Axis("alarms in the backlog", ticks[0][0], ticks[-1][0], ticks, logarithmic=True)
    highest = max([2.0, *(y for curve in curves for _, y in curve.points)])
    up = Axis(
        "cost, times that of the shortest", 0.0, highest, [(n / 2, f"{n / 2:g}") for n in range(int(highest * 2) + 1)]
    )
    return draw(
        "What an alarm costs as the backlog grows",
        "Seconds for one alarm, published or pulled, against those with the shortest backlog.",
        across,
        up,
        curves,
        table.GROWTH_GOAL,
    )


def _named(parts: Iterable[Part], name: str) -> Part | None:
    return next((part for part in parts if part.name == name), None)
