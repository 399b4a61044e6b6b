"""Records of a configuration as protobuf messages, by the description of their kinds (`hotspare_model.kinds`).

A record travels and is kept as the deterministically serialized `Record` (B5: the digest is over these bytes). What a
`Record` holds is its payload: the kind's own message, but for a device the `DeviceRecord` with what is needed to
verify it. All functions here but `packed` take either of the two.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.message import DecodeError, Message

from hotspare.v1 import record_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.errors import field_invalid
from hotspare_model.kinds import (
    DELETE,
    KINDS,
    LONGEST_ID,
    Field,
    Form,
    Kind,
    Reference,
    composed_id,
    kind_of,
    template_fields,
)
from hotspare_model.supervision import Watched, interval_of
from hotspare_model.values import checked
from hotspare_rpc.dc09_access import take_access
from hotspare_rpc.wire import duration_from_proto, duration_to_proto

SHA256_BYTES = 32
AES_KEY_LENGTHS = (0, 16, 24, 32)
MAX_RECORD_BYTES = 512 * 1024
"""A record at most, serialized: it has to fit into one piece of a transfer."""

_MALFORMED_SPAN = timedelta(seconds=-1)


def message_type(kind: Kind) -> type[Message]:
    """The message that people see of a kind, such as `Device`."""
    found: type[Message] = getattr(record_pb2, kind.title)
    return found


def shown(kind: Kind, message: Message) -> Any:
    """The message that people see, given it or a payload; the keys beside it are no part of it."""
    return message if message.DESCRIPTOR.name == kind.title else getattr(message, kind.name)


def unpack(kind: Kind, record: bytes) -> Any:
    """The payload of a serialized `Record`.

    Raises:
        HotspareError: FIELD_INVALID when it is none, or one of another kind.
    """
    try:
        message = record_pb2.Record.FromString(record)
    except DecodeError:
        raise field_invalid("record", "is no serialized Record") from None
    if message.WhichOneof("record") != kind.name:
        raise field_invalid("record", f"is no {kind.name}")
    return getattr(message, kind.name)


def packed(kind: Kind, payload: Message) -> bytes:
    """The serialized `Record` of a payload; equal payloads give equal bytes."""
    record = record_pb2.Record()
    getattr(record, kind.name).CopyFrom(payload)
    return record.SerializeToString(deterministic=True)


def record_id(kind: Kind, message: Message) -> str:
    """The id that a message's fields give it; empty where they give none."""
    values = shown(kind, message)
    if kind.given:
        return str(getattr(values, kind.id_field))
    names = {name for template in kind.id_templates for name in template_fields(template)}
    return composed_id(kind, {name: getattr(values, name) for name in names})


def check_record(kind: Kind, asked_id: str, record: bytes) -> Any:
    """Check what arrives as the record `asked_id`: its kind, its id, and what it is verified by. Returns its payload.

    The ranges of other fields are checked where they are edited, not here: a cloud or a spare must not refuse a host's
    configuration because another version drew them otherwise.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    check_record_id(asked_id)
    if len(record) > MAX_RECORD_BYTES:
        raise field_invalid("record", f"is at most {MAX_RECORD_BYTES // 1024} KiB long")
    payload = unpack(kind, record)
    own = shown(kind, payload)
    if getattr(own, kind.id_field) != asked_id or record_id(kind, own) != asked_id:
        raise field_invalid("record", "is not of the id that the change names")
    for field in _ID_FIELDS[kind.number]:
        checked(f"record.{kind.name}.{field.name}", field, _read(field, own))
    if kind.number is RecordKind.DEVICE:
        _check_device(kind, payload)
    return payload


def check_record_id(asked_id: str) -> None:
    """Check the length of a record's id, of one that is deleted too. Raises HotspareError FIELD_INVALID."""
    if not 1 <= len(asked_id) <= LONGEST_ID:
        raise field_invalid("id", f"must be 1 to {LONGEST_ID} characters")


def check_message(kind: Kind, message: Message, paths: Iterable[str] | None = None) -> None:
    """Check the fields that `paths` name, or, without, all of them and that nothing is set that is not served.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    take(kind, message_type(kind)(), message, paths)


def take(kind: Kind, target: Message, message: Message, paths: Iterable[str] | None = None) -> None:
    """Put the fields of `message` that `paths` name into `target`, checked and in the form in which they are kept.

    Without paths: all of them, as for a new record, and nothing may be set that is not served.

    Raises:
        HotspareError: FIELD_INVALID; `target` is then half done.
    """
    asked, own = shown(kind, message), shown(kind, target)
    if paths is None:
        _refuse_later(kind, asked)
        fields: Sequence[Field] = [field for field in kind.fields if field.served]
    else:
        fields = [kind.at(path) for path in paths]
    for field in fields:
        _take(f"{kind.name}.{field.name}", field, own, asked)


def message_of(kind: Kind, values: Mapping[str, object]) -> Any:
    """The message of values that `values_of` or `hotspare_model.values.checked` gave, by field; it has no id yet."""
    message = message_type(kind)()
    for name, value in values.items():
        _put(kind.at(name), message, value)
    return message


def values_of(kind: Kind, message: Message) -> dict[str, object]:
    """The values of a message's served fields, as `message_of` takes them; what is unset has its default.

    Raises:
        HotspareError: FIELD_INVALID for a value that no message made here has.
    """
    own = shown(kind, message)
    fields = (field for field in kind.fields if field.served and field.form is not Form.OTHER)
    return {field.name: checked(field.name, field, _read(field, own)) for field in fields}


def set_id(kind: Kind, message: Message) -> str:
    """Put its id into a message whose id is composed, and return the id of any.

    Raises:
        HotspareError: FIELD_INVALID when its fields give it none.
    """
    own = shown(kind, message)
    found = record_id(kind, own)
    if not found:
        names = [name for template in kind.id_templates for name in template_fields(template)]
        raise field_invalid(f"{kind.name}.{names[0]}", f"one of {', '.join(names)} is required")
    setattr(own, kind.id_field, found)
    return found


def references(kind: Kind, message: Message) -> Iterator[tuple[RecordKind, str]]:
    """What a record refers to, as (kind, id); some of them perhaps more than once."""
    own = shown(kind, message)
    for reference in kind.references:
        for holder, name in _holders(own, reference.field):
            for value in _as_list(getattr(holder, name)):
                if value:
                    yield reference.to, _target(reference, own, holder, value)


def without(kind: Kind, message: Message, gone: tuple[RecordKind, str]) -> Message | None:
    """A copy of a record that refers to `gone` no longer; None where the record has to be deleted along with it."""
    copy = type(message)()
    copy.CopyFrom(message)
    own = shown(kind, copy)
    for reference in kind.references:
        if reference.to is gone[0] and not _drop(kind, reference, own, gone[1]):
            return None
    return copy


def filter_values(kind: Kind, message: Message) -> Iterator[str]:
    """What the filter of the kind's list is compared with."""
    own = shown(kind, message)
    for path in kind.filter_values:
        for holder, name in _holders(own, path):
            value = str(getattr(holder, name))
            if value:
                yield value
    # Beside the account number, so that a device is found by the account that its panel sends.
    if kind.number is RecordKind.DEVICE and own.dc09.account:
        yield own.dc09.account


def search_text(kind: Kind, message: Message) -> str:
    """What the text of the kind's list is looked for in: id and name, without regard to case, a line each."""
    own = shown(kind, message)
    return f"{getattr(own, kind.id_field)}\n{own.name}".casefold()


def device_of(record: bytes) -> tuple[bytes, str]:
    """What a device is verified and forwarded by: SHA-256 of its key, account number. Raises FIELD_INVALID."""
    payload = unpack(_DEVICE, record)
    return payload.device_key_sha256, payload.device.account_number


def watched_of(record: bytes) -> Watched:
    """How a device is supervised (A9). Raises FIELD_INVALID."""
    device = unpack(_DEVICE, record).device
    told = duration_from_proto(device.supervision_interval) if device.HasField("supervision_interval") else None
    return Watched(interval_of(told), device.disabled)


_DEVICE = kind_of(RecordKind.DEVICE)


def _check_device(kind: Kind, payload: Any) -> None:
    if len(payload.device_key_sha256) != SHA256_BYTES:
        raise field_invalid("record.device_key_sha256", f"must be {SHA256_BYTES} bytes")
    if len(payload.dc09_key) not in AES_KEY_LENGTHS:
        raise field_invalid("record.dc09_key", "must be 16, 24 or 32 bytes")
    checked("record.device.account_number", kind.at("account_number"), payload.device.account_number)


def _id_fields(kind: Kind) -> tuple[Field, ...]:
    names = [name for template in kind.id_templates for name in template_fields(template)]
    return tuple(kind.at(name) for name in dict.fromkeys(names) or (kind.id_field,))


_ID_FIELDS = {kind.number: _id_fields(kind) for kind in KINDS}
"""What the id of a record of a kind is made of; asked for each record that arrives."""


def _refuse_later(kind: Kind, asked: Any) -> None:
    for descriptor, _ in asked.ListFields():
        if descriptor.name in kind.later:
            raise field_invalid(f"{kind.name}.{descriptor.name}", "is not served by this release")


def _take(path: str, field: Field, own: Any, asked: Any) -> None:
    if field.form is Form.PARTS:
        _take_parts(path, field, own, asked)
        return
    if field.form is Form.OTHER:
        take_access(path, own, asked)
        return
    _put(field, own, checked(path, field, _read(field, asked)))


def _put(field: Field, own: Any, value: Any) -> None:
    match field.form:
        case Form.SPAN:
            getattr(own, field.name).CopyFrom(duration_to_proto(value))
        case Form.CHOICE:
            setattr(own, field.name, field.choices.index(value) + 1)
        case Form.NUMBERS:
            own.ClearField(field.name)
            getattr(own, field.name).extend(value)
        case _:
            setattr(own, field.name, value)


def _take_parts(path: str, field: Field, own: Any, asked: Any) -> None:
    entries = getattr(asked, field.name)
    if not field.least <= len(entries) <= field.most:
        raise field_invalid(path, f"has at most {field.most:,} entries")
    key = field.parts[0].name
    seen: dict[object, Any] = {}
    for index, entry in enumerate(entries):
        part = type(entry)()
        for inner in field.parts:
            _take(f"{path}[{index}].{inner.name}", inner, part, entry)
        if getattr(part, key) in seen:
            raise field_invalid(f"{path}[{index}].{key}", "is there twice")
        seen[getattr(part, key)] = part
    own.ClearField(field.name)
    getattr(own, field.name).extend(seen.values())


def _read(field: Field, message: Any) -> object:
    """The value of a field as `checked` takes it; None where nobody told one."""
    match field.form:
        case Form.SPAN:
            if not message.HasField(field.name):
                return None
            span = duration_from_proto(getattr(message, field.name))
            return _MALFORMED_SPAN if span is None else span
        case Form.CHOICE:
            number = getattr(message, field.name)
            if not number:
                return None
            return field.choices[number - 1] if 0 < number <= len(field.choices) else str(number)
        case Form.NUMBERS:
            return tuple(getattr(message, field.name))
        case Form.FLAG:
            present = message.DESCRIPTOR.fields_by_name[field.name].has_presence
            return None if present and not message.HasField(field.name) else getattr(message, field.name)
        case _:
            return getattr(message, field.name)


def _holders(own: Any, path: str) -> list[tuple[Any, str]]:
    """The messages that hold the field of a path, each with the field's name."""
    *outer, last = path.split(".")
    holders = [own]
    for name in outer:
        holders = [entry for holder in holders for entry in getattr(holder, name)]
    return [(holder, last) for holder in holders]


def _as_list(value: Any) -> Sequence[Any]:
    return (value,) if isinstance(value, str | int) else value


def _target(reference: Reference, own: Any, holder: Any, value: object) -> str:
    """The id of what a field names."""
    to = kind_of(reference.to)
    if to.given:
        return str(value)
    *beside, last = template_fields(to.id_templates[0])
    values = {name: getattr(holder if name in holder.DESCRIPTOR.fields_by_name else own, name) for name in beside}
    return composed_id(to, {**values, last: value})


def _drop(kind: Kind, reference: Reference, own: Any, gone_id: str) -> bool:
    """Take a reference out. False where the record has to go along."""
    field = kind.at(reference.field)
    emptied = []
    for index, (holder, name) in enumerate(_holders(own, reference.field)):
        values = _as_list(getattr(holder, name))
        kept = [value for value in values if not value or _target(reference, own, holder, value) != gone_id]
        if len(kept) == len(values):
            continue
        if reference.on_delete is DELETE:
            return False
        holder.ClearField(name)
        if field.form is Form.NUMBERS:
            getattr(holder, name).extend(kept)
        # Where an empty list stands for all, dropping the last number alone would give more than was there.
        if field.required or (field.empty_is_all and not kept):
            emptied.append(index)
    for index in reversed(emptied):
        del getattr(own, reference.field.partition(".")[0])[index]
    return True
