"""A picture of distributions as SVG: a line for each series, a dot for each sample. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.figures import FAILED, Summary

WIDTH = 1000
LEFT, RIGHT = 270, 130
TOP, LINE, BOTTOM = 84, 40, 56
SPREAD = 11
"""How far dots lie off the middle of their line: so that those of the same value are seen."""
TEXT, SOFT, GRID = "#1f2937", "#4b5563", "#e5e7eb"


@dataclass(frozen=True)
class Strip:
    """One line of the picture."""

    label: str
    values: Sequence[float]
    """In seconds; those that failed are drawn as crosses at the end."""
    color: str


def draw(title: str, description: str, strips: Sequence[Strip]) -> str:
    """The picture. A white ground of its own makes it readable on light and dark pages."""
    height = TOP + LINE * len(strips) + BOTTOM
    end = _axis_end([value for strip in strips for value in strip.values])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="t d" font-family="Helvetica, Arial, \'DejaVu Sans\', sans-serif">',
        f'  <title id="t">{escape(title)}</title>',
        f'  <desc id="d">{escape(description)}</desc>',
        f'  <rect width="{WIDTH}" height="{height}" rx="12" fill="#ffffff"/>',
        _text(24, 36, title, size=18, fill=TEXT, weight="bold"),
        _text(24, 58, "Each dot is one measurement; the bar is the median.", size=13),
        _text(WIDTH - 24, TOP - 10, "median, max", anchor="end"),
        *_grid(end, height),
    ]
    for index, strip in enumerate(strips):
        parts += _strip(strip, TOP + LINE * index + LINE / 2, end)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis_end(values: Sequence[float]) -> int:
    finite = [value for value in values if math.isfinite(value)]
    return max(1, math.ceil(max(finite, default=1.0)))


def _x(value: float, end: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(value, end) / end


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", fill: str = SOFT, weight: str = "normal"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{fill}"'
    return f"  <text {place}>{escape(text)}</text>"


def _grid(end: int, height: int) -> Iterator[str]:
    bottom = height - BOTTOM
    for second in range(0, end + 1, math.ceil(end / 16)):
        x = _x(second, end)
        yield f'  <path d="M{x:.1f} {TOP}V{bottom}" stroke="{GRID}"/>'
        yield _text(x, bottom + 18, str(second), anchor="middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, "seconds", anchor="middle")


def _strip(strip: Strip, y: float, end: int) -> Iterator[str]:
    yield _text(LEFT - 16, y + 4, strip.label, size=13, anchor="end", fill=TEXT)
    if not strip.values:
        yield _text(LEFT + 8, y + 4, "not measured")
        return
    yield f'  <g fill="{strip.color}" fill-opacity="0.4">'
    for index, value in enumerate(strip.values):
        yield f"    {_mark(index, value, y, end, strip.color)}"
    yield "  </g>"
    found = Summary.of(strip.values)
    if math.isfinite(found.median):
        x = _x(found.median, end)
        yield f'  <path d="M{x:.1f} {y - 15:.1f}V{y + 15:.1f}" stroke="{strip.color}" stroke-width="3"/>'
    yield _text(WIDTH - 24, y + 4, f"{_short(found.median)}, {_short(found.maximum)}", anchor="end", fill=TEXT)


def _mark(index: int, value: float, y: float, end: int, color: str) -> str:
    # Steps by the golden ratio lie evenly and look like none, and the same samples always give the same picture.
    off = ((index * 0.618034) % 1 - 0.5) * 2 * SPREAD
    if value == FAILED:
        right = WIDTH - RIGHT + 6
        return f'<path d="M{right - 4} {y + off - 4:.1f}l8 8m0 -8l-8 8" stroke="{color}" stroke-width="2"/>'
    return f'<circle cx="{_x(value, end):.1f}" cy="{y + off:.1f}" r="3"/>'


def _short(value: float) -> str:
    return f"{value:.2f} s" if math.isfinite(value) else "never"
