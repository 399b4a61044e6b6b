"""Curves as SVG: a distribution by its percentiles, and a cost by the length of the backlog. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 1000, 470
LEFT, RIGHT, TOP, BOTTOM = 90, 40, 84, 120
TEXT, SOFT, GRID = "#1f2937", "#4b5563", "#e5e7eb"
LEGEND_COLUMNS = 3
MOST_POINTS = 400
"""Of one curve: a picture of thousands of points shows nothing more."""


@dataclass(frozen=True)
class Curve:
    """One series."""

    label: str
    points: Sequence[tuple[float, float]]
    color: str


@dataclass(frozen=True)
class Axis:
    """Where values lie, from 0 to 1 along the axis, and which of them are written."""

    title: str
    first: float
    last: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """0 at the first value, 1 at the last; what lies outside is put at the edge."""
        if self.logarithmic:
            share = math.log(max(value, self.first) / self.first) / math.log(self.last / self.first)
        else:
            share = (value - self.first) / (self.last - self.first)
        return min(1.0, max(0.0, share))


def nines(share: float) -> float:
    """How far a share of all is along an axis on which 90 %, 99 % and 99.9 % have the same distance."""
    return -math.log10(max(1 - share, 1e-9))


def distribution(values: Sequence[float]) -> list[tuple[float, float]]:
    """A curve: for the value, how many nines of all are at or below it. The largest has the place of its rank."""
    ordered = sorted(values)
    count = len(ordered)
    points = [(value, nines(rank / (count + 1))) for rank, value in enumerate(ordered, start=1)]
    step = max(1, count // MOST_POINTS)
    # The tail is what people look for: its points are all there.
    return [point for index, point in enumerate(points) if index % step == 0 or index >= count - MOST_POINTS // 4]


def decades(first: float, last: float, show: str = "{:g}") -> list[tuple[float, str]]:
    """Ticks at the powers of ten."""
    low, high = math.floor(math.log10(first)), math.ceil(math.log10(last))
    return [(10.0**power, show.format(10.0**power)) for power in range(low, high + 1)]


def draw(title: str, note: str, across: Axis, up: Axis, curves: Sequence[Curve], limit: float | None = None) -> str:
    """The picture. `limit`: a line across it, the goal. A white ground makes it readable on light and dark pages."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' role="img" aria-labelledby="t d" font-family="Helvetica, Arial, \'DejaVu Sans\', sans-serif">',
        f'  <title id="t">{escape(title)}</title>',
        f'  <desc id="d">{escape(note)}</desc>',
        f'  <rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#ffffff"/>',
        _text(24, 36, title, size=18, fill=TEXT, weight="bold"),
        _text(24, 58, note, size=13),
        *_grid(across, up),
    ]
    if limit is not None:
        y = _y(up, limit)
        parts.append(f'  <path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#b91c1c" stroke-dasharray="6 4"/>')
        parts.append(_text(WIDTH - RIGHT, y - 6, f"goal {limit:g}", anchor="end", fill="#b91c1c"))
    for index, curve in enumerate(curves):
        parts += _curve(index, curve, across, up)
    if not any(curve.points for curve in curves):
        parts.append(_text(LEFT + 20, TOP + 40, "not measured", size=14))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(axis: Axis, value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * axis.place(value)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * axis.place(value)


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", fill: str = SOFT, weight: str = "normal"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{fill}"'
    return f"  <text {place}>{escape(text)}</text>"


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    bottom = HEIGHT - BOTTOM
    for value, label in across.ticks:
        x = _x(across, value)
        yield f'  <path d="M{x:.1f} {TOP}V{bottom}" stroke="{GRID}"/>'
        yield _text(x, bottom + 18, label, anchor="middle")
    for value, label in up.ticks:
        y = _y(up, value)
        yield f'  <path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
        yield _text(LEFT - 8, y + 4, label, anchor="end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, across.title, anchor="middle")
    yield _text(24, TOP - 8, up.title)


def _curve(index: int, curve: Curve, across: Axis, up: Axis) -> Iterator[str]:
    places = [f"{_x(across, x):.1f} {_y(up, y):.1f}" for x, y in curve.points]
    if places:
        yield f'  <path d="M{"L".join(places)}" fill="none" stroke="{curve.color}" stroke-width="2"/>'
    if len(places) <= 10:
        yield from (
            f'  <circle cx="{place.split()[0]}" cy="{place.split()[1]}" r="4" fill="{curve.color}"/>'
            for place in places
        )
    x = LEFT + (index % LEGEND_COLUMNS) * (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS
    y = HEIGHT - BOTTOM + 62 + 20 * (index // LEGEND_COLUMNS)
    yield f'  <path d="M{x:.1f} {y - 4}h18" stroke="{curve.color}" stroke-width="3"/>'
    yield _text(x + 24, y, curve.label, size=13, fill=TEXT)
