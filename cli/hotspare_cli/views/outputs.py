"""Outputs, for `output` and as a part of `status`."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from hotspare.v1.output_pb2 import LinkState, Output, OutputKind
from hotspare.v1.receiver_service_pb2 import CreateOutputResponse, ListOutputsResponse
from hotspare_cli.layout import CellLike, Facts, Grid, Part, grid, state
from hotspare_cli.words import NONE, ago, number, word, yes_no


def outputs_view(response: ListOutputsResponse, now: datetime) -> Iterator[Part]:
    """The whole answer of `output list`."""
    yield outputs_grid(response.outputs, now)


def outputs_grid(outputs: Iterable[Output], now: datetime, title: str = "") -> Grid:
    """A row an output, with the state of its link."""
    columns = (
        "NAME",
        "KIND",
        "ADDRESSES",
        "REQUIRED",
        "LINK",
        "SINCE",
        "WAITING",
        "CONFIRMED",
        "REFUSED",
        "PROBLEM",
    )
    rows = (_row(output, now) for output in outputs)
    return grid(columns, rows, title=title, empty="no outputs: hotspare output add NAME …")


def created_view(response: CreateOutputResponse) -> Iterator[Part]:
    """The answer of `output add`."""
    output = response.output
    pairs: list[tuple[str, CellLike]] = [
        ("Output", output.name),
        ("Kind", word(OutputKind.DESCRIPTOR, output.kind)),
        ("Addresses", _addresses(output)),
        ("Required", yes_no(_required(output))),
    ]
    if output.HasField("dc09"):
        pairs.append(("Receiver number", output.dc09.receiver_number or NONE))
        pairs.append(("Line number", output.dc09.line_number or "0"))
        pairs.append(("Encrypted", yes_no(output.dc09.encrypted)))
    yield Facts(tuple(pairs))


def _row(output: Output, now: datetime) -> tuple[CellLike, ...]:
    link = output.state
    return (
        output.name,
        word(OutputKind.DESCRIPTOR, output.kind),
        _addresses(output),
        yes_no(_required(output)),
        "paused" if output.paused else state(word(LinkState.DESCRIPTOR, link.link)),
        ago(link.since_time, now) if link.HasField("since_time") else NONE,
        number(link.waiting),
        number(link.confirmed),
        number(link.refused),
        link.last_problem or NONE,
    )


def _addresses(output: Output) -> str:
    return ", ".join(output.addresses) or NONE


def _required(output: Output) -> bool:
    return output.required if output.HasField("required") else True
