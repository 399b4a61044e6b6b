"""Spans as they are typed on a command line: `6s`, `500ms`, `1h30m`."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "min": timedelta(minutes=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_PIECE = re.compile(r"\s*([0-9]{1,13}(?:\.[0-9]{1,9})?)\s*(ms|min|[dhms])(?![a-z])")
_LONGEST = timedelta(days=36525)


def is_span(text: str) -> bool:
    """Whether a text begins as a span does."""
    return _PIECE.match(text) is not None


def parse_span(text: str) -> timedelta:
    """A number with its unit, or several one after the other: ms, s, m (or min), h, d.

    Raises:
        ValueError: it is something else, or of more than a hundred years.
    """
    total, position, text = timedelta(0), 0, text.strip()
    while position < len(text) or position == 0:
        piece = _PIECE.match(text, position)
        if piece is None:
            raise ValueError(f"{text!r} is no span: give a number with its unit (ms, s, m, h, d), such as 6s or 500ms")
        try:
            total += float(piece[1]) * _UNITS[piece[2]]
        except OverflowError:
            total = timedelta.max
        if total > _LONGEST:
            raise ValueError(f"{text!r} is longer than a hundred years")
        position = piece.end()
    return total


def exact(span: timedelta) -> str:
    """A span that is not negative, to the microsecond, in the largest unit of which it is a whole number.

    `parse_span` reads it back as the same span.
    """
    for unit in ("d", "h", "m", "s"):
        whole, rest = divmod(span, _UNITS[unit])
        if whole and not rest:
            return f"{whole}{unit}"
    whole, rest = divmod(span, _UNITS["ms"])
    if not rest:
        return f"{whole}ms" if whole else "0s"
    return f"{whole}.{rest.microseconds:03d}".rstrip("0") + "ms"


if TYPE_CHECKING:  # generic for the checker; not yet so in every release of click that we allow
    _SpanParam = click.ParamType[timedelta]
else:
    _SpanParam = click.ParamType


class SpanType(_SpanParam):
    """A span on the command line."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the text; click shows the message of the error."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_span(str(value))
        except ValueError as problem:
            self.fail(f"{problem}.", param, ctx)


SPAN = SpanType()
