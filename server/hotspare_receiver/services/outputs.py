"""Outputs as messages: what may be asked for, and how one is shown."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from hotspare.v1 import output_pb2
from hotspare_model.errors import field_invalid
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.services.requests import check_aes_key, check_hex, check_name
from hotspare_receiver.snapshot import Dc09Config, OutputConfig, OutputSnapshot
from hotspare_receiver.store.outputs import StoredOutput
from hotspare_rpc.address import Address, AddressError, parse_address
from hotspare_rpc.wire import duration_from_proto, duration_to_proto, timestamp_to_proto

MOST_ADDRESSES = 8

SETTABLE = frozenset(
    {
        "addresses",
        "required",
        "dc09",
        "dc09.receiver_number",
        "dc09.line_number",
        "dc09.key",
        "dc09.answer_timeout",
        "dc09.heartbeat",
    }
)
LATER = frozenset({"paused", "surgard", "stream", "dc09.transport", "dc09.form"})
"""Fields of the contract that this release does not serve."""


def output_from_proto(message: output_pb2.Output) -> OutputConfig:
    """The output that a creation asks for.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    name = check_name("output.name", message.name)
    if message.kind == output_pb2.OUTPUT_KIND_UNSPECIFIED:
        raise field_invalid("output.kind", "is required")
    if message.kind != output_pb2.OUTPUT_KIND_SIA_DC09:
        raise field_invalid("output.kind", "only SIA_DC09 is served by this release")
    if message.paused:
        raise field_invalid("output.paused", "can't be set in this release yet")
    if message.WhichOneof("options") not in (None, "dc09"):
        raise field_invalid("output.options", "an output of kind SIA_DC09 takes dc09 options")
    return OutputConfig(
        name=name,
        addresses=_addresses(message.addresses),
        required=message.required if message.HasField("required") else True,
        dc09=_dc09(message.dc09),
    )


def changed_output(before: OutputConfig, message: output_pb2.Output, paths: Iterable[str]) -> OutputConfig:
    """An output with the fields of `paths` as `message` has them.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    after = before
    for path in paths:
        match path:
            case "addresses":
                after = replace(after, addresses=_addresses(message.addresses))
            case "required":
                after = replace(after, required=message.required if message.HasField("required") else True)
            case "dc09":
                # What was read can be written back: it carries no key, and that must not remove the one there
                # is.
                after = replace(after, dc09=replace(_dc09(message.dc09), key=after.dc09.key))
            case _:
                name = path.removeprefix("dc09.")
                after = replace(after, dc09=replace(after.dc09, **{name: getattr(_dc09(message.dc09), name)}))
    return after


def output_to_proto(stored: StoredOutput, seen: OutputSnapshot | None) -> output_pb2.Output:
    """An output as it is shown, with its state where the alarm path knows it; never with its key."""
    config = stored.config
    message = output_pb2.Output(
        name=config.name,
        kind=output_pb2.OUTPUT_KIND_SIA_DC09,
        addresses=[str(address) for address in config.addresses],
        required=config.required,
        dc09=output_pb2.Dc09Options(
            transport=output_pb2.TRANSPORT_TCP,
            form=output_pb2.DC09_FORM_ADM_CID,
            receiver_number=config.dc09.receiver_number or "",
            line_number=config.dc09.line_number,
            encrypted=config.dc09.key is not None,
            answer_timeout=duration_to_proto(config.dc09.answer_timeout),
            heartbeat=duration_to_proto(config.dc09.heartbeat),
        ),
        create_time=timestamp_to_proto(stored.created),
        etag=stored.etag,
    )
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


def _addresses(texts: Iterable[str]) -> tuple[Address, ...]:
    found = []
    for text in texts:
        try:
            address = parse_address(text)
        except AddressError as error:
            raise field_invalid("output.addresses", str(error)) from error
        if address.port == 0:
            raise field_invalid("output.addresses", f"{address} names no port")
        found.append(address)
    if not 1 <= len(found) <= MOST_ADDRESSES:
        raise field_invalid("output.addresses", f"must be 1 to {MOST_ADDRESSES} of HOST:PORT")
    return tuple(found)


def _dc09(message: output_pb2.Dc09Options) -> Dc09Config:
    if message.transport not in (output_pb2.TRANSPORT_UNSPECIFIED, output_pb2.TRANSPORT_TCP):
        raise field_invalid("output.dc09.transport", "only TCP is served by this release")
    if message.form not in (output_pb2.DC09_FORM_UNSPECIFIED, output_pb2.DC09_FORM_ADM_CID):
        raise field_invalid("output.dc09.form", "only ADM_CID is served by this release")
    usual = Dc09Config()
    return Dc09Config(
        receiver_number=_optional_hex("output.dc09.receiver_number", message.receiver_number),
        line_number=_optional_hex("output.dc09.line_number", message.line_number) or usual.line_number,
        key=check_aes_key("output.dc09.key", message.key) or None,
        answer_timeout=_span(
            "output.dc09.answer_timeout",
            message.answer_timeout if message.HasField("answer_timeout") else None,
            usual.answer_timeout,
            timedelta(seconds=0.5),
            timedelta(seconds=60),
        ),
        heartbeat=_span(
            "output.dc09.heartbeat",
            message.heartbeat if message.HasField("heartbeat") else None,
            usual.heartbeat,
            timedelta(seconds=1),
            timedelta(hours=1),
            zero=True,
        ),
    )


def _optional_hex(field: str, text: str) -> str | None:
    return check_hex(field, text, 1, 6) if text else None


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
