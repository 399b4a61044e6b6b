"""The options of `output add` as those of a kind, and the exit status of `output test`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from hotspare.v1.alarm_pb2 import ATTEMPT_OUTCOME_CONFIRMED, ATTEMPT_OUTCOME_REFUSED
from hotspare.v1.output_pb2 import (
    DC09_FORM_UNSPECIFIED,
    SURGARD_WIDTH_UNSPECIFIED,
    TRANSPORT_UNSPECIFIED,
    Dc09Form,
    Dc09Options,
    StreamOptions,
    SurgardOptions,
    SurgardWidth,
    Transport,
)
from hotspare.v1.receiver_service_pb2 import TestOutputResponse
from hotspare_cli.errors import ExitCode, usage_error
from hotspare_cli.files import read_aes_key

_OF_DC09 = ("transport", "form", "key_file")
_OF_SURGARD = ("width", "attempts")
_OF_STREAM = ("subscription",)
_OF_LINKS = ("addresses", "receiver_number", "line_number", "heartbeat", "answer_timeout")
"""Those that only outputs with a link of their own have."""

_OPTION_NAMES = {"addresses": "--address"}


def dc09_options(options: Mapping[str, Any]) -> Dc09Options:
    """Those of a DC-09 output. Raises CliError for one of another kind, and without an address."""
    _refuse(options, _OF_SURGARD, "surgard")
    _refuse(options, _OF_STREAM, "stream")
    _need_address(options)
    transport, form, key_file = (options[name] for name in _OF_DC09)
    return Dc09Options(
        transport=Transport.Value(f"TRANSPORT_{transport.upper()}") if transport else TRANSPORT_UNSPECIFIED,
        form=Dc09Form.Value(f"DC09_FORM_{form.upper().replace('-', '_')}") if form else DC09_FORM_UNSPECIFIED,
        receiver_number=options["receiver_number"],
        line_number=options["line_number"],
        key=read_aes_key(key_file) if key_file is not None else b"",
        answer_timeout=_span(options["answer_timeout"]),
        heartbeat=_span(options["heartbeat"]),
    )


def surgard_options(options: Mapping[str, Any]) -> SurgardOptions:
    """Those of a Sur-Gard output. Raises CliError for one of another kind, without an address, and for a number
    that is none."""
    _refuse(options, _OF_DC09, "sia-dc09")
    _refuse(options, _OF_STREAM, "stream")
    _need_address(options)
    width, attempts = (options[name] for name in _OF_SURGARD)
    return SurgardOptions(
        width=SurgardWidth.Value(f"SURGARD_WIDTH_{width.upper()}") if width else SURGARD_WIDTH_UNSPECIFIED,
        receiver_number=_number("receiver-number", options["receiver_number"]),
        line_number=_number("line-number", options["line_number"]),
        heartbeat=_span(options["heartbeat"]),
        answer_timeout=_span(options["answer_timeout"]),
        attempts=attempts or 0,
    )


def stream_options(options: Mapping[str, Any]) -> StreamOptions:
    """Those of a stream. Raises CliError for one of another kind, and without a subscription."""
    _refuse(options, _OF_DC09, "sia-dc09")
    _refuse(options, _OF_SURGARD, "surgard")
    for name in _OF_LINKS:
        if options[name]:
            option = _option(name)
            raise usage_error(
                f"A stream has no {option}.", f"Leave {option} out: subscribers open it at this receiver."
            )
    if not options["subscription"]:
        raise usage_error("A stream needs --subscription NAME.", "An example: --subscription automation.")
    return StreamOptions(subscription=options["subscription"])


def status_of(response: TestOutputResponse) -> ExitCode:
    """What a script is told of a test."""
    match response.outcome:
        case _ if response.outcome == ATTEMPT_OUTCOME_CONFIRMED:
            return ExitCode.FINE
        case _ if response.outcome == ATTEMPT_OUTCOME_REFUSED:
            return ExitCode.REFUSED
    return ExitCode.NO_ANSWER


def _refuse(options: Mapping[str, Any], names: tuple[str, ...], kind: str) -> None:
    for name in names:
        if options[name] is not None:
            option = _option(name)
            raise usage_error(f"{option} goes with --kind {kind}.", f"Leave {option} out, or choose that kind.")


def _need_address(options: Mapping[str, Any]) -> None:
    if not options["addresses"]:
        raise usage_error("--address is missing.", "Name where the automation software listens: --address HOST:PORT.")


def _option(name: str) -> str:
    return _OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")


def _number(option: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 3):
        raise usage_error(f"--{option} {text} is no number.", "Sur-Gard has decimal numbers, such as 1.")
    return int(text)


def _span(span: timedelta | None) -> Duration | None:
    if span is None:
        return None
    message = Duration()
    message.FromTimedelta(span)
    return message
