"""The options of `output update` as the fields of an output that change; each kind has its own."""

from collections.abc import Mapping
from typing import Any

from hotspare.v1.output_pb2 import Dc09Form, Output, SurgardWidth, Transport
from hotspare.v1.receiver_service_pb2 import UpdateOutputRequest
from hotspare_cli.errors import CliError, ExitCode, usage_error
from hotspare_cli.files import read_aes_key

_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "dc09": (
        *("receiver_number", "line_number", "transport", "form", "key_file", "no_key"),
        *("heartbeat", "answer_timeout"),
    ),
    "surgard": ("receiver_number", "line_number", "width", "attempts", "heartbeat", "answer_timeout"),
    "stream": ("subscription",),
}
"""The options that each kind has, beside those of all."""
_KINDS = {"dc09": "sia-dc09"}


def output_change(before: Output, options: Mapping[str, Any]) -> UpdateOutputRequest:
    """The request that changes what was named and leaves the rest; with the etag of what was read.

    Raises:
        CliError: nothing was named, something is of another kind, or a number or a key file is none.
    """
    kind = before.WhichOneof("options") or "dc09"
    _refuse_others(kind, options)
    request = UpdateOutputRequest(output=Output(name=before.name, etag=before.etag))
    output, paths = request.output, request.update_mask.paths
    if options["addresses"]:
        output.addresses.extend(str(address) for address in options["addresses"])
        paths.append("addresses")
    if options["required"] is not None:
        output.required = options["required"]
        paths.append("required")
    part = getattr(output, kind)
    for name in _OF_KIND[kind]:
        value = options[name]
        if value in (None, False):
            continue
        field = "key" if name in ("key_file", "no_key") else name
        _set(part, kind, name, field, value)
        paths.append(f"{kind}.{field}")
    if not paths:
        raise usage_error("Nothing was named that is to change.", "Name it; see hotspare output update --help.")
    return request


def named_output(outputs: Any, name: str) -> Output:
    """The output of that name among them. Raises CliError where there is none."""
    found: Output | None = next((one for one in outputs if one.name == name), None)
    if found is None:
        there = ", ".join(one.name for one in outputs)
        raise CliError(
            f"There is no output {name!r} at this receiver.",
            f"There are: {there}." if there else "Add it: hotspare output add NAME --kind KIND --address HOST:PORT.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return found


def _set(part: Any, kind: str, name: str, field: str, value: Any) -> None:
    match name:
        case "transport":
            part.transport = Transport.Value(f"TRANSPORT_{value.upper()}")
        case "form":
            part.form = Dc09Form.Value(f"DC09_FORM_{value.upper().replace('-', '_')}")
        case "width":
            part.width = SurgardWidth.Value(f"SURGARD_WIDTH_{value.upper()}")
        case "key_file":
            part.key = read_aes_key(value)
        case "no_key":
            part.key = b""
        case "heartbeat" | "answer_timeout":
            getattr(part, field).FromTimedelta(value)
        case "receiver_number" | "line_number" if kind == "surgard":
            setattr(part, field, _decimal(field, value))
        case _:
            setattr(part, field, value)


def _decimal(field: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 3):
        raise usage_error(f"{_option(field)} {text} is no number.", "Sur-Gard has decimal numbers, such as 1.")
    return int(text)


def _refuse_others(kind: str, options: Mapping[str, Any]) -> None:
    own = _OF_KIND[kind]
    foreign = [name for names in _OF_KIND.values() for name in names if name not in own and options[name]]
    if kind == "stream" and options["addresses"]:
        foreign.append("address")
    if foreign:
        option = _option(foreign[0])
        raise usage_error(f"An output of kind {_KINDS.get(kind, kind)} has no {option}.", f"Leave {option} out.")
    if options.get("key_file") and options.get("no_key"):
        raise usage_error("--key-file and --no-key exclude each other.", "Leave one of the two out.")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
