"""What the repository keeps of the figures: the samples, the tables in docs/benchmarks.md, and the picture."""

import re
from collections.abc import Iterable, Mapping

from benchmarks import tables
from benchmarks.picture import Strip, draw
from benchmarks.results import Part, load, merged, to_json
from tools.protos import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "failover.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "failover-times.svg"
NONE = "Not measured yet: `make bench` measures, `python -m benchmarks docs FILE` takes it here."

_OURS, _FLIGHT, _PLANNED, _PEER = "#2563eb", "#c2410c", "#15803d", "#6b7280"
_LABELS = {
    "P1": "new alarms after {}",
    "P2": "new alarms after {}",
    "P3": "longest gap at a {}",
    "P4": "alarms in flight, {}",
}
_COLORS = {"P1": _OURS, "P2": _OURS, "P3": _PLANNED, "P4": _FLIGHT}


def take(parts: Iterable[Part]) -> None:
    """Take parts in place of those of the same name, and write samples, tables and picture anew."""
    known = merged(load(RESULTS), parts)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(to_json(known), encoding="utf-8")
    known = load(RESULTS)  # as they are kept, which is less exact
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), known), encoding="utf-8")
    PICTURE.write_text(picture(known), encoding="utf-8")


def filled(page: str, parts: Iterable[Part]) -> str:
    """The page with the tables between its markers as the parts tell. Raises ValueError where a marker is missing."""
    by_name: Mapping[str, Part] = {part.name: part for part in parts}
    for name in tables.TITLES:
        text = tables.markdown(by_name[name]) if name in by_name else NONE
        begin, end = f"<!-- {name}: made by python -m benchmarks -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        block = f"{begin}\n\n{text}\n\n{end}"
        page, count = pattern.subn(block.replace("\\", r"\\"), page)
        if count != 1:
            raise ValueError(f"the page has {count} blocks of {name}")
    return page


def picture(parts: Iterable[Part]) -> str:
    """The distributions of all parts on one axis."""
    known = sorted(parts, key=lambda part: ("P3", "P1", "P2", "P4").index(part.name))
    strips = [
        Strip(_LABELS[part.name].format(series), part.values(series), _COLORS[part.name])
        for part in known
        for series in tables.own_series(part)
    ]
    strips += [Strip(series, part.values(series), _PEER) for part in known for series in tables.peer_series(part)]
    return draw(
        "How long until the next one works",
        "For each way to lose or move the working receiver: the seconds until a new alarm, or one in flight, is "
        "confirmed through the next one. Below: the seconds until the next process holds a lock of etcd.",
        strips,
    )
