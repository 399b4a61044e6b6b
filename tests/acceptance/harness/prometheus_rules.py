"""The rules of deploy/prometheus: read, taken apart, and with every time in them shortened for tests that can't wait.

Prometheus' rules hold times in four places: keys such as `for:`, ranges (`[15m]`), offsets, and plain numbers of
seconds that an expression compares with. The last ones can't be told from other numbers, so in our rules a comment of
PromQL marks each: `> 60 # seconds`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from tools.protos import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
RULE_FILES = ("alerts.yml", "recording.yml")
TEST_FILES = sorted((FOLDER / "tests").glob("*.yml"))

_UNITS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
    "w": Decimal(604800),
    "y": Decimal(31536000),
}
"""Seconds of each unit of a duration, as Prometheus' documentation has them."""

_SPAN = r"(?:\d+(?:ms|[smhdwy]))+"
_KEY = re.compile(rf"^(?P<before>\s*(?:- )?(?:for|keep_firing_for|interval): )(?P<span>{_SPAN})(?=\s*$)", re.MULTILINE)
_RANGE = re.compile(rf"(?P<before>\[)(?P<span>{_SPAN})(?=[\]:])")
_STEP = re.compile(rf"(?P<before>\[{_SPAN}:)(?P<span>{_SPAN})(?=\])")
_OFFSET = re.compile(rf"(?P<before>\boffset )(?P<span>{_SPAN})\b")
_MARK = r"[ \t]+# seconds\b"
_NUMBER = re.compile(rf"(?P<number>\b\d[\d_.]*(?:e\d+)?)(?P<mark>{_MARK})")

_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()(\{[^}]*\})?")
_MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})


@dataclass(frozen=True)
class Selector:
    """A metric that an expression names, with the labels that it is chosen by."""

    metric: str
    labels: Mapping[str, tuple[str, ...]]
    """The values that each label is compared with."""


def rules(file: str) -> list[dict[str, Any]]:
    """All rules of a file, in its order."""
    content = yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))
    return [rule for group in content["groups"] for rule in group["rules"]]


def flat(expr: str) -> str:
    """An expression in one line, without its comments: as documentation has it."""
    text = " ".join(re.sub(r"[ \t]+#.*", "", expr).split())
    return text.replace("( ", "(").replace(" )", ")")


def selectors(expr: str) -> Iterator[Selector]:
    """The metrics that an expression names."""
    text = re.sub(r"\[[^\]]*\]", "", _LABEL_LIST.sub(" ", flat(expr)))
    for found in _SELECTOR.finditer(text):
        name, matchers = found[1], found[2] or ""
        if name not in _WORDS:
            yield Selector(name, {label: tuple(value.split("|")) for label, _, value in _MATCHER.findall(matchers)})


def listed_labels(expr: str) -> set[str]:
    """The labels that an expression adds up by, or matches on."""
    lists = _LABEL_LIST.findall(flat(expr))
    return {label.strip() for names in lists for label in names.split(",") if label.strip()}


def seconds(span: str) -> float:
    """A duration as Prometheus writes it (`1h30m`), in seconds. ValueError when it is none."""
    return float(_seconds(span))


def shortened(text: str, factor: float) -> str:
    """A file of rules with every time in it divided by `factor`: 60 makes a minute of an hour.

    Names, texts and the bounds of histograms' buckets stay as they are. Times are rounded to milliseconds, the
    finest that Prometheus knows, and none becomes less than one.

    Raises:
        ValueError: `factor` is not above 0.
    """
    if not factor > 0:
        raise ValueError(f"times can't be divided by {factor}")
    exact = Decimal(str(factor))

    def span(found: re.Match[str]) -> str:
        return f"{found['before']}{_written(_seconds(found['span']) / exact)}"

    def number(found: re.Match[str]) -> str:
        return f"{float(Decimal(found['number']) / exact):.9g}{found['mark']}"

    # The step of a subquery first: its pattern wants the range before it as Prometheus writes it, which stays so.
    for pattern in (_STEP, _RANGE, _OFFSET, _KEY):
        text = pattern.sub(span, text)
    return _NUMBER.sub(number, text)


def _seconds(span: str) -> Decimal:
    if re.fullmatch(_SPAN, span) is None:
        raise ValueError(f"{span!r} is no duration")
    parts = re.findall(r"(\d+)(ms|[smhdwy])", span)
    return sum((int(count) * _UNITS[unit] for count, unit in parts), Decimal(0))


def _written(span: Decimal) -> str:
    return f"{max(1, int((span * 1000).to_integral_value()))}ms"
