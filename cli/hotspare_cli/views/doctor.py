"""The checks of `doctor`."""

from collections import Counter
from collections.abc import Iterator, Sequence

from hotspare_cli.checks import Check, Verdict
from hotspare_cli.layout import Cell, CellLike, Lines, Part, Tone, grid

_TONES = {
    Verdict.FINE: Tone.GOOD,
    Verdict.WATCH: Tone.WATCH,
    Verdict.WRONG: Tone.BAD,
    Verdict.SKIPPED: Tone.FAINT,
}


def doctor_view(checks: Sequence[Check]) -> Iterator[Part]:
    """A row a check, below it what to do; and what came of it all."""
    yield grid(("CHECK", "RESULT", "TOLD"), (row for check in checks for row in _rows(check)), wraps=("TOLD",))
    yield Lines((_all(checks),))


def _rows(check: Check) -> Iterator[tuple[CellLike, ...]]:
    yield check.name, Cell(check.verdict, _TONES[check.verdict]), check.told
    if check.advice:
        yield "", "", Cell(f"-> {check.advice}", _TONES[check.verdict])


def _all(checks: Sequence[Check]) -> Cell:
    counts = Counter(check.verdict for check in checks)
    told = [f"{counts[verdict]} {verdict}" for verdict in (Verdict.WRONG, Verdict.WATCH, Verdict.SKIPPED)]
    rest = ", ".join(text for text in told if not text.startswith("0 "))
    if not rest:
        return Cell(f"All {len(checks)} checks are fine.", Tone.GOOD)
    return Cell(f"Of {len(checks)} checks: {rest}.", Tone.BAD if counts[Verdict.WRONG] else Tone.WATCH)
