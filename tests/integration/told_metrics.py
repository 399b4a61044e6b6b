"""What docs/metrics.md tells of the children of metrics: the values of labels that stand in its tables."""

import re
from collections.abc import Iterator

from tests.acceptance.harness.scraping import Page
from tools.protos import ROOT

LABELS = {"answer", "cause", "certificate", "event", "kind", "outcome", "reason", "result", "role", "state", "status"}
"""Labels whose values are few and known."""

SETTINGS = {"unhealthy_after", "disk_floor", "tcp", "udp", "none"}
"""Other words of the tables that look like values, or that are not there by themselves."""

_ROW = re.compile(r"^\| `(?P<name>\w+)` \| \w+ \| (?P<labels>[^|]*) \| [^|]* \| (?P<meaning>.*) \|$", re.MULTILINE)


def told(title: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of a section whose children are told, with the values of its labels."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    for row in _ROW.finditer(section):
        values = set(re.findall(r"`([a-z][a-z_0-9]*)`", row["meaning"])) - SETTINGS
        if LABELS & set(re.findall(r"`(\w+)`", row["labels"])) and values:
            yield row["name"], values


def missing(page: Page, title: str, *, leave_out: str = "") -> dict[str, list[str]]:
    """The values that are told and that a page does not have, by metric. `leave_out`: names that begin so."""
    found = {}
    for name, values in told(title):
        if leave_out and name.startswith(leave_out):
            continue
        there = {value for labels, _ in page.samples(name) for value in labels.values()}
        if values - there:
            found[name] = sorted(values - there)
    return found


def without_help(page: Page) -> list[str]:
    """The metrics of ours of which a page says nothing."""
    helps = dict(re.findall(r"^# HELP (\S+) ?(.*)$", page.text, re.MULTILINE))
    types = re.findall(r"^# TYPE (\S+) ", page.text, re.MULTILINE)
    return [name for name in types if name.startswith(("hotspare_", "grpc_")) and not helps.get(name, "").endswith(".")]


def answers_told() -> set[tuple[str, str]]:
    """Answer and reason of each row of docs/direct.md, "What is answered"."""
    text = (ROOT / "docs" / "direct.md").read_text(encoding="utf-8")
    section = text.partition("\n## What is answered\n")[2].partition("\n## ")[0]
    found = set()
    for answer, reasons in re.findall(r"^\| [^|]* \| ([^|]*) \| ([^|]*) \|$", section, re.MULTILINE):
        kind = re.match(r"`([A-Z]+)`|none", answer)
        if kind is not None:
            found |= {(kind[1].lower() if kind[1] else "none", reason) for reason in re.findall(r"`(\w+)`", reasons)}
    return found
