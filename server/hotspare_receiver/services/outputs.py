"""Outputs as messages: what may be asked for, and how one is shown."""

from collections.abc import Collection, Iterable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Literal, TypeAlias

from google.protobuf.duration_pb2 import Duration

from hotspare.v1 import output_pb2
from hotspare_model.errors import field_invalid
from hotspare_model.surgard import MOST_RECEIVERS, Header, SurgardError, Width
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.services.requests import check_aes_key, check_hex, check_name
from hotspare_receiver.snapshot import (
    Dc09Config,
    Dc09Form,
    OutputConfig,
    OutputSnapshot,
    StreamConfig,
    SurgardConfig,
    Transport,
)
from hotspare_receiver.store.outputs import StoredOutput, kind_of
from hotspare_rpc.address import Address, AddressError, parse_address
from hotspare_rpc.wire import duration_from_proto, duration_to_proto, timestamp_to_proto

MOST_ADDRESSES = 8
MOST_ATTEMPTS = 16

SETTABLE = frozenset(
    {
        "addresses",
        "required",
        "dc09",
        "surgard",
        "stream",
        *(f"dc09.{option.name}" for option in fields(Dc09Config)),
        *(f"surgard.{option.name}" for option in fields(SurgardConfig)),
        *(f"stream.{option.name}" for option in fields(StreamConfig)),
    }
)
LATER: frozenset[str] = frozenset()
"""Fields of the contract that this release does not serve."""

Options: TypeAlias = output_pb2.Dc09Options | output_pb2.SurgardOptions

WIDTHS = {output_pb2.SURGARD_WIDTH_MLR2: Width.MLR2, output_pb2.SURGARD_WIDTH_SYSTEM: Width.SYSTEM}
WIDTH_NAMES = {width: name for name, width in WIDTHS.items()}
OPTIONS = {
    output_pb2.OUTPUT_KIND_SIA_DC09: "dc09",
    output_pb2.OUTPUT_KIND_SURGARD: "surgard",
    output_pb2.OUTPUT_KIND_STREAM: "stream",
}
"""Kinds, with the name of their options."""


def output_from_proto(message: output_pb2.Output) -> OutputConfig:
    """The output that a creation asks for.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    name = check_name("output.name", message.name)
    if message.kind == output_pb2.OUTPUT_KIND_UNSPECIFIED:
        raise field_invalid("output.kind", "is required")
    options = OPTIONS.get(message.kind)
    if options is None:
        raise field_invalid("output.kind", "must be SIA_DC09, SURGARD or STREAM")
    if message.WhichOneof("options") not in (None, options):
        kind = output_pb2.OutputKind.Name(message.kind).removeprefix("OUTPUT_KIND_")
        raise field_invalid("output.options", f"an output of kind {kind} takes {options} options")
    config = OutputConfig(
        name=name,
        addresses=_addresses(message.addresses, needed=options != "stream"),
        required=message.required if message.HasField("required") else True,
        paused=message.paused,
    )
    match options:
        case "surgard":
            return replace(config, surgard=_surgard(message.surgard))
        case "stream":
            return replace(config, stream=_stream(message.stream))
        case _:
            return replace(config, dc09=_dc09(message.dc09))


def changed_output(before: OutputConfig, message: output_pb2.Output, paths: Iterable[str]) -> OutputConfig:
    """An output with the fields of `paths` as `message` has them.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    paths = tuple(paths)
    options = OPTIONS[output_pb2.OutputKind.ValueType(kind_of(before))]
    asked = {path.partition(".")[0] for path in paths}
    for other in sorted(asked & set(OPTIONS.values()) - {options}):
        raise field_invalid(f"output.{other}", f"this output has {options} options")
    after = before
    if "addresses" in paths:
        after = replace(after, addresses=_addresses(message.addresses, needed=options != "stream"))
    if "required" in paths:
        after = replace(after, required=message.required if message.HasField("required") else True)
    if "stream" in asked:
        return replace(after, stream=_stream(message.stream))
    if "surgard" in paths:
        after = replace(after, surgard=_surgard(message.surgard))
    if "dc09" in paths:
        # What was read can be written back: it carries no key, and that must not remove the one there is.
        after = replace(after, dc09=replace(_dc09(message.dc09), key=after.dc09.key))
    named = [path.partition(".")[2] for path in paths if "." in path]
    if named and after.surgard is not None:
        after = replace(after, surgard=_surgard(_with_fields(_surgard_to_proto(after.surgard), message.surgard, named)))
    elif named:
        dc09 = _dc09(message.dc09)
        after = replace(after, dc09=replace(after.dc09, **{name: getattr(dc09, name) for name in named}))
    return after


def output_to_proto(stored: StoredOutput, seen: OutputSnapshot | None) -> output_pb2.Output:
    """An output as it is shown, with its state where the alarm path knows it; never with its key."""
    config = stored.config
    message = output_pb2.Output(
        name=config.name,
        kind=output_pb2.OutputKind.ValueType(kind_of(config)),
        addresses=[str(address) for address in config.addresses],
        required=config.required,
        paused=config.paused,
        create_time=timestamp_to_proto(stored.created),
        etag=stored.etag,
    )
    if config.stream is not None:
        message.stream.subscription = config.stream.subscription
    elif config.surgard is not None:
        message.surgard.CopyFrom(_surgard_to_proto(config.surgard))
    else:
        message.dc09.CopyFrom(_dc09_to_proto(config.dc09))
    if seen is not None:
        message.state.CopyFrom(_state(seen))
    return message


def _state(seen: OutputSnapshot) -> output_pb2.OutputState:
    state = output_pb2.OutputState(
        link=output_pb2.LinkState.ValueType(int(seen.link)),
        address=seen.address,
        since_time=timestamp_to_proto(seen.since),
        last_problem=seen.problem,
        waiting=seen.waiting,
        confirmed=seen.confirmed,
        attempts=sum(seen.attempts.values()),
        refused=seen.attempts.get(Outcome.REFUSED, 0) + seen.attempts.get(Outcome.CLOCK_REFUSED, 0),
        unanswered=seen.attempts.get(Outcome.UNKNOWN, 0),
    )
    if seen.last_confirmed is not None:
        state.last_confirm_time.CopyFrom(timestamp_to_proto(seen.last_confirmed))
    return state


def _addresses(texts: Iterable[str], *, needed: bool) -> tuple[Address, ...]:
    """The addresses of an output; of a stream, which is opened by others, there must be none."""
    found = []
    for text in texts:
        try:
            address = parse_address(text)
        except AddressError as error:
            raise field_invalid("output.addresses", str(error)) from error
        if address.port == 0:
            raise field_invalid("output.addresses", f"{address} names no port")
        found.append(address)
    if not needed:
        if found:
            raise field_invalid("output.addresses", "a stream has none: subscribers open it at this receiver")
        return ()
    if not 1 <= len(found) <= MOST_ADDRESSES:
        raise field_invalid("output.addresses", f"must be 1 to {MOST_ADDRESSES} of HOST:PORT")
    return tuple(found)


def _stream(message: output_pb2.StreamOptions) -> StreamConfig:
    return StreamConfig(check_name("output.stream.subscription", message.subscription))


def _dc09(message: output_pb2.Dc09Options) -> Dc09Config:
    usual = Dc09Config()
    try:
        transport = Transport(message.transport or usual.transport)
    except ValueError as error:
        raise field_invalid("output.dc09.transport", "must be TCP or UDP") from error
    try:
        form = Dc09Form(message.form or usual.form)
    except ValueError as error:
        raise field_invalid("output.dc09.form", "must be ADM_CID or SIA_DCS") from error
    return Dc09Config(
        receiver_number=_optional_hex("output.dc09.receiver_number", message.receiver_number),
        line_number=_optional_hex("output.dc09.line_number", message.line_number) or usual.line_number,
        key=check_aes_key("output.dc09.key", message.key) or None,
        answer_timeout=_span(
            "output.dc09.answer_timeout",
            _told(message, "answer_timeout"),
            usual.answer_timeout,
            timedelta(seconds=0.5),
            timedelta(seconds=60),
        ),
        heartbeat=_span(
            "output.dc09.heartbeat",
            _told(message, "heartbeat"),
            usual.heartbeat,
            timedelta(seconds=1),
            timedelta(hours=1),
            zero=True,
        ),
        transport=transport,
        form=form,
    )


def _surgard(message: output_pb2.SurgardOptions) -> SurgardConfig:
    usual = SurgardConfig()
    width = WIDTHS.get(message.width or output_pb2.SURGARD_WIDTH_MLR2)
    if width is None:
        raise field_invalid("output.surgard.width", "must be MLR2 or SYSTEM")
    receiver = message.receiver_number if message.HasField("receiver_number") else usual.receiver_number
    line = message.line_number if message.HasField("line_number") else usual.line_number
    try:
        Header(width, receiver, line)
    except SurgardError as error:
        number = "receiver_number" if receiver > MOST_RECEIVERS else "line_number"
        raise field_invalid(f"output.surgard.{number}", str(error)) from error
    attempts = message.attempts or usual.attempts
    if attempts > MOST_ATTEMPTS:
        raise field_invalid("output.surgard.attempts", f"must be 1 to {MOST_ATTEMPTS}")
    return SurgardConfig(
        width=width,
        receiver_number=receiver,
        line_number=line,
        heartbeat=_span(
            "output.surgard.heartbeat",
            _told(message, "heartbeat"),
            usual.heartbeat,
            timedelta(seconds=1),
            timedelta(seconds=99),
        ),
        answer_timeout=_span(
            "output.surgard.answer_timeout",
            _told(message, "answer_timeout"),
            usual.answer_timeout,
            timedelta(seconds=1),
            timedelta(seconds=30),
        ),
        attempts=attempts,
    )


def _with_fields(
    options: output_pb2.SurgardOptions, asked: output_pb2.SurgardOptions, names: Collection[str]
) -> output_pb2.SurgardOptions:
    """The options with these fields as they are asked for; one that is not told has its usual value."""
    part = output_pb2.SurgardOptions()
    part.CopyFrom(asked)
    for option in fields(SurgardConfig):
        (options if option.name in names else part).ClearField(option.name)  # type: ignore[arg-type]
    options.MergeFrom(part)
    return options


def _dc09_to_proto(config: Dc09Config) -> output_pb2.Dc09Options:
    return output_pb2.Dc09Options(
        transport=output_pb2.Transport.ValueType(int(config.transport)),
        form=output_pb2.Dc09Form.ValueType(int(config.form)),
        receiver_number=config.receiver_number or "",
        line_number=config.line_number,
        encrypted=config.key is not None,
        answer_timeout=duration_to_proto(config.answer_timeout),
        heartbeat=duration_to_proto(config.heartbeat),
    )


def _surgard_to_proto(config: SurgardConfig) -> output_pb2.SurgardOptions:
    return output_pb2.SurgardOptions(
        width=WIDTH_NAMES[config.width],
        receiver_number=config.receiver_number,
        line_number=config.line_number,
        heartbeat=duration_to_proto(config.heartbeat),
        answer_timeout=duration_to_proto(config.answer_timeout),
        attempts=config.attempts,
    )


def _optional_hex(field: str, text: str) -> str | None:
    return check_hex(field, text, 1, 6) if text else None


def _told(message: Options, name: Literal["answer_timeout", "heartbeat"]) -> Duration | None:
    """A span where it was told, for unset differs from zero."""
    if not message.HasField(name):
        return None
    return message.heartbeat if name == "heartbeat" else message.answer_timeout


def _span(
    field: str,
    message: Duration | None,
    usual: timedelta,
    least: timedelta,
    most: timedelta,
    zero: bool = False,
) -> timedelta:
    if message is None:
        return usual
    span = duration_from_proto(message)
    if span is not None and (least <= span <= most or (zero and not span)):
        return span
    raise field_invalid(
        field,
        f"must be {least.total_seconds():g} s to {most.total_seconds():g} s" + (", or zero" if zero else ""),
    )
