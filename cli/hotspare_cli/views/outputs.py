"""Outputs, for `output` and as a part of `status`."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from hotspare.v1.alarm_pb2 import AttemptOutcome
from hotspare.v1.output_pb2 import Dc09Form, LinkState, Output, OutputKind, SurgardWidth, Transport
from hotspare.v1.receiver_service_pb2 import (
    CreateOutputResponse,
    ListOutputsResponse,
    TestOutputResponse,
    UpdateOutputResponse,
)
from hotspare_cli.layout import CellLike, Facts, Grid, Lines, Part, grid, state
from hotspare_cli.words import NONE, ago, duration, number, word, yes_no


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
    empty = "no outputs: hotspare output add NAME …"
    return grid(columns, rows, title=title, empty=empty, below=("PROBLEM", "SINCE", "REQUIRED", "ADDRESSES"))


def created_view(response: CreateOutputResponse | UpdateOutputResponse) -> Iterator[Part]:
    """The answer of `output add` and `output update`."""
    output = response.output
    pairs: list[tuple[str, CellLike]] = [
        ("Output", output.name),
        ("Kind", word(OutputKind.DESCRIPTOR, output.kind)),
        ("Addresses", _addresses(output)),
        ("Required", yes_no(_required(output))),
    ]
    if output.HasField("dc09"):
        options = output.dc09
        pairs.append(("Transport", word(Transport.DESCRIPTOR, options.transport)))
        pairs.append(("Form", word(Dc09Form.DESCRIPTOR, options.form)))
        pairs.append(("Receiver number", options.receiver_number or NONE))
        pairs.append(("Line number", options.line_number or "0"))
        pairs.append(("Encrypted", yes_no(options.encrypted)))
    if output.HasField("stream"):
        pairs.append(("Subscription", output.stream.subscription))
    if output.HasField("surgard"):
        pairs.append(("Width", word(SurgardWidth.DESCRIPTOR, output.surgard.width)))
        pairs.append(("Receiver number", str(output.surgard.receiver_number)))
        pairs.append(("Line number", str(output.surgard.line_number)))
        pairs.append(("Attempts", str(output.surgard.attempts)))
    yield Facts(tuple(pairs))


def tested_view(response: TestOutputResponse, name: str) -> Iterator[Part]:
    """The answer of `output test`."""
    yield Facts(
        (
            ("Output", name),
            ("Outcome", state(word(AttemptOutcome.DESCRIPTOR, response.outcome))),
            ("Address", response.address or NONE),
            ("Took", duration(response.round_trip) if response.HasField("round_trip") else NONE),
            ("Frame", _wire(response.frame)),
            ("Answer", _wire(response.answer)),
            ("Detail", response.detail or NONE),
        )
    )


def paused_view(output: Output) -> Iterator[Part]:
    """The answer of `output pause` and `output resume`."""
    if output.paused:
        yield Lines((f"The output {output.name} is paused: nothing is sent through it.",))
    else:
        yield Lines((f"The output {output.name} is not paused: its link is opened.",))


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


def _wire(raw: bytes) -> str:
    """Bytes of the wire; what is no text stands as an escape, the line ends of frames are left out."""
    text = raw.decode("ascii", errors="backslashreplace").strip("\r\n")
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text) or NONE


def _addresses(output: Output) -> str:
    """Where it sends to; of a stream, by which name others open it."""
    if output.HasField("stream"):
        return f"subscription {output.stream.subscription}"
    return ", ".join(output.addresses) or NONE


def _required(output: Output) -> bool:
    return output.required if output.HasField("required") else True
