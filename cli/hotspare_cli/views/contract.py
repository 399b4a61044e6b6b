"""What a server serves, for `describe`."""

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from hotspare_cli.layout import CellLike, Facts, Grid, Lines, Part, grid
from hotspare_cli.reflect import Described

_SCALARS = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}
_DEEPEST = 3
"""Levels of the request that is shown as a pattern; deeper ones are told by their own names."""


def services_view(services: Iterable[ServiceDescriptor]) -> Iterator[Part]:
    """All services with their methods."""
    columns = ("SERVICE", "METHOD", "REQUEST", "RESPONSE")
    yield grid(columns, (row for service in services for row in _methods(service)), empty="no services")


def described_view(found: Described) -> Iterator[Part]:
    """One service, method, message or enum."""
    match found:
        case ServiceDescriptor():
            yield Facts((("Service", found.full_name),))
            yield grid(("SERVICE", "METHOD", "REQUEST", "RESPONSE"), _methods(found))
        case MethodDescriptor():
            yield Facts((("Method", f"{found.containing_service.full_name}/{found.name}"),))
            yield _fields(found.input_type, f"Request: {_stream(found.client_streaming)}{found.input_type.name}")
            yield _fields(found.output_type, f"Response: {_stream(found.server_streaming)}{found.output_type.name}")
            call = f"hotspare call {found.containing_service.name}/{found.name}"
            pattern = _pattern(found.input_type, 1)
            yield Lines((f"{call} -d '{pattern}'" if pattern != "{}" else call,), title="As a call")
        case Descriptor():
            yield Facts((("Message", found.full_name),))
            yield _fields(found, "")
        case EnumDescriptor():
            yield Facts((("Enum", found.full_name),))
            yield grid(("VALUE", "NUMBER"), ((value.name, str(value.number)) for value in found.values))


def _methods(service: ServiceDescriptor) -> Iterator[tuple[CellLike, ...]]:
    for method in service.methods:
        request = f"{_stream(method.client_streaming)}{method.input_type.name}"
        yield service.name, method.name, request, f"{_stream(method.server_streaming)}{method.output_type.name}"


def _stream(streaming: bool) -> str:
    return "stream " if streaming else ""


def _fields(message: Descriptor, title: str) -> Grid:
    rows = ((field.name, _type(field), str(field.number), _notes(field)) for field in message.fields)
    return grid(("FIELD", "TYPE", "NUMBER", "NOTES"), rows, title=title, empty="no fields", wraps=("NOTES",))


def _type(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        entry = field.message_type
        if entry.GetOptions().map_entry:
            return f"map of {_type(entry.fields_by_name['key'])} to {_type(entry.fields_by_name['value'])}"
        home = field.containing_type
        same = home is not None and entry.file.package == home.file.package
        return str(entry.name if same else entry.full_name)
    if field.enum_type is not None:
        return str(field.enum_type.name)
    return _SCALARS[field.type]


def _notes(field: FieldDescriptor) -> str:
    if field.is_repeated:
        return "repeated"
    group = field.containing_oneof
    if group is not None and not group.name.startswith("_"):
        return f"one of {group.name}"
    return "optional" if group is not None else ""


def _pattern(message: Descriptor, depth: int) -> str:
    """A request as JSON, with a value of the right form for each field."""
    pairs = (f'"{field.name}": {_value(field, depth)}' for field in message.fields if _is_first_of_its_group(field))
    return f"{{{', '.join(pairs)}}}"


def _is_first_of_its_group(field: FieldDescriptor) -> bool:
    group = field.containing_oneof
    return group is None or group.fields[0] == field


def _value(field: FieldDescriptor, depth: int) -> str:
    one = _single(field, depth)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return "{}"
    return f"[{one}]" if field.is_repeated else one


def _single(field: FieldDescriptor, depth: int) -> str:
    if field.message_type is not None:
        known = {
            "google.protobuf.Timestamp": '"2026-11-22T16:04:26Z"',
            "google.protobuf.Duration": '"6s"',
            "google.protobuf.FieldMask": '"name,other_name"',
        }
        if text := known.get(field.message_type.full_name):
            return text
        return _pattern(field.message_type, depth + 1) if depth < _DEEPEST else "{}"
    if field.enum_type is not None:
        values = field.enum_type.values
        return f'"{values[1 if len(values) > 1 else 0].name}"'
    match _SCALARS[field.type]:
        case "string" | "bytes":
            return '""'
        case "bool":
            return "false"
        case _:
            return "0"
