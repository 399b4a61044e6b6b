"""Pictures from the Mermaid blocks of the pages, for the site: SVG made when it is built, no script in the browser.

It knows what the pages use: `sequenceDiagram` (participants, messages, notes) and `flowchart TD` (boxes and arrows).
A block with anything else stays as it is, and a test names it.
"""

import re
from dataclasses import dataclass, field
from html import escape
from typing import Any

GLYPH = 7.0
"""Pixels that a character of 13 px takes, about."""
ROW = 34
"""Pixels from a message to the next."""
BOX = 34
"""Height of a box."""
_HEAD = (
    '<svg class="picture" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
    'style="max-width:{width:.0f}px;width:100%" font-size="13" font-family="inherit" fill="currentColor" '
    'stroke="none"><defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
)


def picture(source: str) -> str | None:
    """The SVG of a Mermaid block; None: it holds something that this does not know."""
    lines = [line.strip() for line in source.strip().splitlines() if line.strip()]
    match lines[:1]:
        case ["sequenceDiagram"]:
            return _sequence(lines[1:])
        case ["flowchart TD"]:
            return _flowchart(lines[1:])
        case _:
            return None


def fence(source: str, language: str, css_class: str, options: Any, md: Any, **more: Any) -> str:
    """A custom fence of pymdownx.superfences: the picture, or the block as text."""
    return picture(source) or f"<pre><code>{escape(source)}</code></pre>"


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{escape(text)}</text>'


def _box(x: float, y: float, width: float, text: str) -> str:
    """A box whose middle is at x, and whose upper edge is at y."""
    frame = f'<rect x="{x - width / 2:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}" rx="4" '
    return f'{frame}fill="currentColor" fill-opacity=".07" stroke="currentColor"/>' + _text(x, y + BOX / 2 + 5, text)


def _arrow(path: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="currentColor"{dash} marker-end="url(#arrow)"/>'


# Sequences.


@dataclass
class _Sequence:
    """Who takes part, and what happens, as it is read."""

    names: dict[str, str] = field(default_factory=dict)
    steps: list[tuple[str, str, bool, str]] = field(default_factory=list)
    """From, to (the same: at itself or a note), dashed, text. A note has "" as the second."""

    def read(self, line: str) -> bool:
        """Take a line; False: not known."""
        if found := re.fullmatch(r"participant (\w+) as (.+)", line):
            self.names[found[1]] = found[2]
        elif found := re.fullmatch(r"Note over (\w+): (.+)", line):
            self.steps.append((found[1], "", False, found[2]))
        elif found := re.fullmatch(r"(\w+)(--?>>)(\w+): (.+)", line):
            self.steps.append((found[1], found[3], found[2] == "-->>", found[4]))
        else:
            return False
        return all(name in self.names for step in self.steps[-1:] for name in step[:2] if name)

    def columns(self) -> dict[str, float]:
        """Where each stands: so far apart that every text has room."""
        order = list(self.names)
        gaps = [110.0] * max(len(order) - 1, 0)
        edge = 60.0
        for begin, end, _, text in self.steps:
            here = order.index(begin)
            there = order.index(end) if end else here
            need = len(text) * GLYPH + 30
            if here != there:
                low, high = sorted((here, there))
                for gap in range(low, high):
                    gaps[gap] = max(gaps[gap], need / (high - low))
                continue
            edge = max(edge, need / 2) if here == 0 else edge
            for gap in (here - 1, here):
                if 0 <= gap < len(gaps):
                    gaps[gap] = max(gaps[gap], need / 2 + 10)
        places = [edge]
        for width in gaps:
            places.append(places[-1] + width)
        return dict(zip(order, places, strict=True))


def _sequence(lines: list[str]) -> str | None:
    told = _Sequence()
    if not all(told.read(line) for line in lines):
        return None
    columns = told.columns()
    height = BOX + 20 + ROW * len(told.steps) + 10
    last = list(columns)[-1]
    notes = [len(text) * GLYPH / 2 + 20 for begin, end, _, text in told.steps if begin == last and end in ("", last)]
    width = columns[last] + max([70.0, *notes])
    parts = [_HEAD.format(width=width, height=height)]
    for name, x in columns.items():
        parts.append(f'<path d="M{x:.0f} {BOX}V{height}" stroke="currentColor" stroke-opacity=".4"/>')
        parts.append(_box(x, 0, max(60.0, len(told.names[name]) * GLYPH + 16), told.names[name]))
    for row, (begin, end, dashed, text) in enumerate(told.steps):
        y = BOX + 20 + ROW * row
        x = columns[begin]
        if not end or begin == end:
            back = f'<rect x="{x - len(text) * GLYPH / 2 - 8:.0f}" y="{y - 8}" width="{len(text) * GLYPH + 16:.0f}" '
            parts.append(f'{back}height="24" rx="3" fill="var(--md-default-bg-color, #fff)" stroke="currentColor" '
                         'stroke-opacity=".5"/>')  # fmt: skip
            parts.append(_text(x, y + 9, text))
        else:
            parts.append(_text((x + columns[end]) / 2, y + 4, text))
            parts.append(_arrow(f"M{x:.0f} {y + 11}H{columns[end]:.0f}", dashed=dashed))
    return "".join([*parts, "</svg>"])


# Flowcharts.


def _flowchart(lines: list[str]) -> str | None:
    labels: dict[str, str] = {}
    arrows: list[tuple[str, str]] = []
    for line in lines:
        found = re.fullmatch(r"(\w+)(?:\[([^]]+)\])? --> (\w+)(?:\[([^]]+)\])?", line)
        if found is None:
            return None
        for name, label in ((found[1], found[2]), (found[3], found[4])):
            labels[name] = label or labels.get(name, name)
        arrows.append((found[1], found[3]))
    rank = dict.fromkeys(labels, 0)
    for _ in labels:  # the longest way to each, and an end also where they go round
        for begin, end in arrows:
            rank[end] = min(max(rank[end], rank[begin] + 1), len(labels))
    rows = [[name for name in labels if rank[name] == each] for each in sorted(set(rank.values()))]
    sizes = {name: len(label) * GLYPH + 20 for name, label in labels.items()}
    width = max(sum(sizes[name] + 24 for name in row) for row in rows)
    places: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        x = (width - sum(sizes[name] + 24 for name in row)) / 2
        for name in row:
            places[name] = (x + 12 + sizes[name] / 2, number * (BOX + 46) + 1)
            x += sizes[name] + 24
    parts = [_HEAD.format(width=width, height=len(rows) * (BOX + 46) - 44)]
    for begin, end in arrows:
        (x, y), (to_x, to_y) = places[begin], places[end]
        parts.append(_arrow(f"M{x:.0f} {y + BOX:.0f}L{to_x:.0f} {to_y:.0f}"))
    parts += [_box(*places[name], sizes[name], label) for name, label in labels.items()]
    return "".join([*parts, "</svg>"])
