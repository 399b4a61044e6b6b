"""Values of records: from what was typed into messages, and from messages into what could be typed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message

from hotspare_cli.words import NONE, yes_no
from hotspare_model.kinds import Field, Form
from hotspare_rpc.spans import exact


def fill(message: Message, field: Field, value: Any) -> None:
    """Put a value as `record_options.named` has it into the field of a message."""
    match field.form:
        case Form.SPAN:
            getattr(message, field.name).FromTimedelta(value)
        case Form.CHOICE:
            setattr(message, field.name, field.choices.index(value) + 1)
        case Form.NUMBERS:
            getattr(message, field.name).extend(value)
        case Form.PARTS:
            for entry in value:
                fill_all(getattr(message, field.name).add(), field.parts, entry)
        case _:
            setattr(message, field.name, value)


def fill_all(message: Message, fields: tuple[Field, ...], values: Mapping[str, Any]) -> None:
    """Put values by the names of fields into a message."""
    for field in fields:
        if field.name in values:
            fill(message, field, values[field.name])


def shown(message: Message, field: Field) -> str:
    """The value of a field as it is typed; NONE where there is none."""
    value = getattr(message, field.name)
    match field.form:
        case Form.SPAN:
            return _span(message, field)
        case Form.CHOICE:
            return _choice(field, value)
        case Form.FLAG:
            unset = _has_presence(message, field.name) and not message.HasField(field.name)
            return yes_no(bool(field.default) if unset else value)
        case Form.NUMBERS:
            return ",".join(str(number) for number in value) or NONE
        case Form.PARTS:
            return " ".join(_entry(one, field.parts) for one in value) or NONE
        case Form.OTHER:
            return " ".join(str(value).split()) or NONE
        case _:
            return str(value) if value else NONE


def _span(message: Message, field: Field) -> str:
    if not message.HasField(field.name):
        return exact(field.default) if isinstance(field.default, timedelta) else NONE
    value = getattr(message, field.name)
    span = timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    return exact(span) if span > timedelta(0) else "off"


def _choice(field: Field, number: int) -> str:
    if not 0 < number <= len(field.choices):
        return str(field.default or NONE)
    return field.choices[number - 1].replace("_", "-")


def _entry(message: Message, parts: tuple[Field, ...]) -> str:
    """An entry of a list, without the parts at its end that are not set."""
    pieces = [shown(message, part) for part in parts]
    while pieces and pieces[-1] == NONE:
        pieces.pop()
    return ":".join("" if piece == NONE else piece for piece in pieces)


def _has_presence(message: Message, name: str) -> bool:
    return bool(message.DESCRIPTOR.fields_by_name[name].has_presence)
