"""The contract as plain data: each element of the protos with its comment.

Made from a descriptor set with source info. The numbers in paths are field numbers of descriptor.proto, as in
SourceCodeInfo.Location.path.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    FileOptions,
    ServiceDescriptorProto,
)

from tools.protos import PACKAGE, PROTOS, descriptor_set

SourcePath = tuple[int, ...]
Comments = dict[SourcePath, str]


@dataclass(frozen=True)
class EnumValue:
    """A value of an enum."""

    name: str
    number: int
    comment: str


@dataclass(frozen=True)
class EnumType:
    """An enum; `name` is relative to the package (`Outer.Kind` where nested)."""

    name: str
    comment: str
    values: tuple[EnumValue, ...]


@dataclass(frozen=True)
class FieldType:
    """The type of a field: a scalar's name, or the full name of a message or enum; for a map also its key."""

    name: str
    is_scalar: bool
    map_key: str = ""


@dataclass(frozen=True)
class Field:
    """A field of a message; `label` is "", "optional" or "repeated", `oneof` the name of its oneof or ""."""

    name: str
    number: int
    type: FieldType
    label: str
    oneof: str
    comment: str


@dataclass(frozen=True)
class Oneof:
    """A oneof that was written as such (not what stands behind `optional`)."""

    name: str
    comment: str


@dataclass(frozen=True)
class Message:
    """A message; `name` is relative to the package (`Outer.Inner` where nested)."""

    name: str
    comment: str
    fields: tuple[Field, ...]
    oneofs: tuple[Oneof, ...]
    messages: tuple["Message", ...]
    enums: tuple[EnumType, ...]


@dataclass(frozen=True)
class Rpc:
    """An RPC; `request` and `response` are full names of messages."""

    service: str
    name: str
    comment: str
    request: str
    response: str
    client_streaming: bool
    server_streaming: bool

    @property
    def streaming(self) -> bool:
        """Whether either side sends a stream."""
        return self.client_streaming or self.server_streaming


@dataclass(frozen=True)
class Service:
    """A service."""

    name: str
    comment: str
    rpcs: tuple[Rpc, ...]


@dataclass(frozen=True)
class ProtoFile:
    """One file of the contract; `comment` is what stands above its `syntax` line."""

    name: str
    package: str
    comment: str
    imports: tuple[str, ...]
    options: FileOptions
    services: tuple[Service, ...]
    messages: tuple[Message, ...]
    enums: tuple[EnumType, ...]

    def all_messages(self) -> Iterator[Message]:
        """Yield the messages of the file, each before those nested in it."""
        waiting = list(reversed(self.messages))
        while waiting:
            message = waiting.pop()
            yield message
            waiting.extend(reversed(message.messages))

    def all_enums(self) -> Iterator[EnumType]:
        """Yield the enums of the file, nested ones last."""
        yield from self.enums
        for message in self.all_messages():
            yield from message.enums

    def elements(self) -> Iterator[tuple[str, str]]:
        """Yield what has to be commented, as name (with its kind) and comment."""
        for service in self.services:
            yield f"service {service.name}", service.comment
            for rpc in service.rpcs:
                yield f"rpc {service.name}.{rpc.name}", rpc.comment
        for message in self.all_messages():
            yield f"message {message.name}", message.comment
            for field in message.fields:
                yield f"field {message.name}.{field.name}", field.comment
            for oneof in message.oneofs:
                yield f"oneof {message.name}.{oneof.name}", oneof.comment
        for enum in self.all_enums():
            yield f"enum {enum.name}", enum.comment
            for value in enum.values:
                yield f"enum value {enum.name}.{value.name}", value.comment


def load(protos: Path = PROTOS, package: str = PACKAGE) -> tuple[ProtoFile, ...]:
    """Compile the protos and return the files of `package`; raise ContractError if protoc fails."""
    return from_descriptor_set(descriptor_set(protos), package)


def from_descriptor_set(descriptors: FileDescriptorSet, package: str = PACKAGE) -> tuple[ProtoFile, ...]:
    """Return the files of `package`, sorted by name."""
    chosen = (_file(file) for file in descriptors.file if file.package == package)
    return tuple(sorted(chosen, key=lambda file: file.name))


def relative(full_name: str) -> str:
    """Return the name of a type without our package; other packages keep theirs."""
    return full_name.removeprefix(f"{PACKAGE}.")


def _file(file: FileDescriptorProto) -> ProtoFile:
    comments = {
        tuple(place.path): _clean(place.leading_comments, place.trailing_comments)
        for place in file.source_code_info.location
    }
    return ProtoFile(
        name=file.name,
        package=file.package,
        comment=comments.get((12,), ""),
        imports=tuple(file.dependency),
        options=file.options,
        services=tuple(_service(item, comments, (6, i)) for i, item in enumerate(file.service)),
        messages=tuple(_message(item, comments, (4, i), "") for i, item in enumerate(file.message_type)),
        enums=tuple(_enum(item, comments, (5, i), "") for i, item in enumerate(file.enum_type)),
    )


def _clean(leading: str, trailing: str) -> str:
    """Join both comments of an element without the space after `//` and without words to linters."""
    lines = [line.removeprefix(" ").rstrip() for part in (leading, trailing) for line in part.splitlines()]
    return "\n".join(line for line in lines if not line.startswith("buf:lint:ignore")).strip("\n")


def _service(service: ServiceDescriptorProto, comments: Comments, path: SourcePath) -> Service:
    return Service(
        name=service.name,
        comment=comments.get(path, ""),
        rpcs=tuple(
            Rpc(
                service=service.name,
                name=rpc.name,
                comment=comments.get((*path, 2, i), ""),
                request=rpc.input_type.removeprefix("."),
                response=rpc.output_type.removeprefix("."),
                client_streaming=rpc.client_streaming,
                server_streaming=rpc.server_streaming,
            )
            for i, rpc in enumerate(service.method)
        ),
    )


def _message(message: DescriptorProto, comments: Comments, path: SourcePath, outer: str) -> Message:
    name = f"{outer}{message.name}"
    maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    synthetic = {field.oneof_index for field in message.field if field.proto3_optional}
    return Message(
        name=name,
        comment=comments.get(path, ""),
        fields=tuple(
            _field(field, message, maps, comments.get((*path, 2, i), "")) for i, field in enumerate(message.field)
        ),
        oneofs=tuple(
            Oneof(oneof.name, comments.get((*path, 8, i), ""))
            for i, oneof in enumerate(message.oneof_decl)
            if i not in synthetic
        ),
        messages=tuple(
            _message(nested, comments, (*path, 3, i), f"{name}.")
            for i, nested in enumerate(message.nested_type)
            if not nested.options.map_entry
        ),
        enums=tuple(_enum(nested, comments, (*path, 4, i), f"{name}.") for i, nested in enumerate(message.enum_type)),
    )


def _field(
    field: FieldDescriptorProto, message: DescriptorProto, maps: dict[str, DescriptorProto], comment: str
) -> Field:
    entry = maps.get(field.type_name.rpartition(".")[2]) if field.type_name else None
    if entry is not None:
        key, value = entry.field
        kind = FieldType(_type_name(value), not value.type_name, map_key=_type_name(key))
    else:
        kind = FieldType(_type_name(field), not field.type_name)
    repeated = entry is None and field.label == FieldDescriptorProto.LABEL_REPEATED
    in_oneof = field.HasField("oneof_index") and not field.proto3_optional
    return Field(
        name=field.name,
        number=field.number,
        type=kind,
        label="optional" if field.proto3_optional else "repeated" if repeated else "",
        oneof=message.oneof_decl[field.oneof_index].name if in_oneof else "",
        comment=comment,
    )


def _type_name(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return field.type_name.removeprefix(".")
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _enum(enum: EnumDescriptorProto, comments: Comments, path: SourcePath, outer: str) -> EnumType:
    return EnumType(
        name=f"{outer}{enum.name}",
        comment=comments.get(path, ""),
        values=tuple(
            EnumValue(value.name, value.number, comments.get((*path, 2, i), "")) for i, value in enumerate(enum.value)
        ),
    )
