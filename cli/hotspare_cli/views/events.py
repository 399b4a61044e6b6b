"""What came of an import of event definitions."""

from collections.abc import Iterator

from hotspare.v1.configuration_service_pb2 import ImportEventsResponse
from hotspare_cli.layout import Cell, Facts, Lines, Part, Tone, grid
from hotspare_cli.words import NONE, number


def import_view(result: ImportEventsResponse.Result, *, dry_run: bool) -> Iterator[Part]:
    """The whole answer of `event import`."""
    if result.wrong_line_count:
        rows = ((number(one.line), one.column or NONE, one.problem) for one in result.wrong_lines)
        yield grid(("LINE", "COLUMN", "PROBLEM"), rows, title="Wrong lines", wraps=("PROBLEM",))
        more = result.wrong_line_count - len(result.wrong_lines)
        if more > 0:
            yield Lines((f"… and {number(more)} more.",))
        return
    would = "would be " if dry_run else ""
    yield Facts(
        (
            (f"{would}created".capitalize(), number(result.created)),
            (f"{would}changed".capitalize(), number(result.updated)),
            (f"{would}deleted".capitalize(), number(result.deleted)),
            ("Equal already", number(result.unchanged)),
        )
    )
    if result.imported:
        yield Lines((Cell("The file was imported.", Tone.GOOD),))
    elif dry_run:
        yield Lines((Cell("The file is fine; nothing was changed.", Tone.GOOD),))
    else:
        yield Lines((Cell("Nothing was imported.", Tone.WATCH),))
