"""A transfer of changes on the wire: `hotspare_model.transfer` <-> the messages of backup.proto.

`PushChangesRequest` and `PullChangesResponse` have the same three frames, so both ends of both calls use this: `frames`
to send, `pieces` to take. Neither ever holds more than one piece.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from hotspare.v1 import backup_pb2, record_pb2
from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.transfer import (
    LONGEST_OPERATOR,
    LONGEST_VERSION,
    Change,
    Cutter,
    TransferHeader,
    TransferReader,
    TransferTrailer,
)
from hotspare_rpc.text import printable

Frame = TypeVar("Frame")


class TransferFrame(Protocol):
    """What both messages have: one of header, chunk and trailer."""

    @property
    def header(self) -> backup_pb2.ChangeHeader:
        """The first."""
        ...

    @property
    def chunk(self) -> backup_pb2.ChangeChunk:
        """A piece."""
        ...

    @property
    def trailer(self) -> backup_pb2.ChangeTrailer:
        """The last."""
        ...


async def frames(
    header: TransferHeader,
    changes: AsyncIterable[Change] | Iterable[Change],
    digests: Sequence[KindDigest],
    wrap: Callable[..., Frame],
) -> AsyncIterator[Frame]:
    """The messages of a transfer in their order.

    `changes` come in ascending order of kind, then id. `digests` are those after the changes. `wrap` makes a message of
    one keyword argument, `header`, `chunk` or `trailer`: the class of the message itself does.
    """
    yield wrap(header=header_to_proto(header))
    cutter = Cutter()
    chunks, count = 0, 0
    async for change in _each(changes):
        count += 1
        if piece := cutter.add(change):
            yield wrap(chunk=chunk_to_proto(chunks, piece))
            chunks += 1
    if piece := cutter.rest():
        yield wrap(chunk=chunk_to_proto(chunks, piece))
        chunks += 1
    yield wrap(trailer=trailer_to_proto(TransferTrailer(chunks, count, tuple(digests))))


async def pieces(messages: AsyncIterator[TransferFrame], reader: TransferReader) -> AsyncIterator[Sequence[Change]]:
    """The pieces of a transfer behind its header, each checked, as they come; ends with the trailer.

    Then `reader.ended` is the trailer, and what is left to do is to compare the digests and to apply it all at once.

    Raises:
        HotspareError: CHUNK_INVALID, FIELD_INVALID; STREAM_PROTOCOL for another message, or an end without the trailer.
    """
    async for message in messages:
        # The protobuf stubs give each message its own type of names, so that a protocol can't have it.
        match message.WhichOneof("frame"):  # type: ignore[attr-defined]
            case "chunk":
                changes = [change_from_proto(change) for change in message.chunk.changes]
                yield reader.chunk(message.chunk.index, changes, message.chunk.ByteSize())
            case "trailer":
                reader.trailer(trailer_from_proto(message.trailer))
                return
            case _:
                raise HotspareError(
                    Reason.STREAM_PROTOCOL, "expected `chunk` or `trailer`", expected="chunk or trailer"
                )
    raise reader.cut_off()


def header_to_proto(header: TransferHeader) -> backup_pb2.ChangeHeader:
    """The message of a header. A whole transfer names all kinds."""
    return backup_pb2.ChangeHeader(
        lineage=header.lineage,
        base_revision=header.base_revision,
        base_digests=digests_to_proto(header.base_digests),
        revision=header.revision,
        software_version=header.software_version,
        whole_kinds=[kind_to_proto(kind) for kind in header.whole],
    )


def header_from_proto(message: backup_pb2.ChangeHeader) -> TransferHeader:
    """A header as it came; `TransferReader` checks it."""
    return TransferHeader(
        lineage=message.lineage,
        base_revision=message.base_revision,
        base_digests=digests_from_proto(message.base_digests),
        revision=message.revision,
        software_version=printable(message.software_version, LONGEST_VERSION),
        whole_kinds=kinds_from_proto(message.whole_kinds),
    )


def chunk_to_proto(index: int, changes: Iterable[Change]) -> backup_pb2.ChangeChunk:
    """The message of a piece."""
    return backup_pb2.ChangeChunk(index=index, changes=[change_to_proto(change) for change in changes])


def trailer_to_proto(trailer: TransferTrailer) -> backup_pb2.ChangeTrailer:
    """The message of a trailer."""
    return backup_pb2.ChangeTrailer(
        chunk_count=trailer.chunk_count,
        change_count=trailer.change_count,
        digests=digests_to_proto(trailer.digests),
    )


def trailer_from_proto(message: backup_pb2.ChangeTrailer) -> TransferTrailer:
    """A trailer as it came."""
    return TransferTrailer(message.chunk_count, message.change_count, digests_from_proto(message.digests))


def change_to_proto(change: Change) -> record_pb2.RecordChange:
    """The message of a change."""
    return record_pb2.RecordChange(
        kind=kind_to_proto(change.kind),
        id=change.record_id,
        record=change.record,
        revision=change.revision,
        operator_name=change.operator,
    )


def change_from_proto(message: record_pb2.RecordChange) -> Change:
    """A change as it came; its record is not looked at (see `hotspare_rpc.records.check_record`).

    Raises:
        HotspareError: FIELD_INVALID for a kind that this version does not know: a copy without it would be no copy.
    """
    try:
        kind = RecordKind(message.kind)
    except ValueError:
        raise field_invalid("kind", f"this version knows no kind {message.kind}") from None
    operator = printable(message.operator_name, LONGEST_OPERATOR)
    return Change(kind, message.id, message.record, message.revision, operator)


def digests_to_proto(digests: Iterable[KindDigest]) -> list[record_pb2.KindDigest]:
    """The messages of digests."""
    return [
        record_pb2.KindDigest(kind=kind_to_proto(digest.kind), count=digest.count, sha256=digest.sha256)
        for digest in digests
    ]


def digests_from_proto(messages: Iterable[record_pb2.KindDigest]) -> tuple[KindDigest, ...]:
    """Digests as they came. Kinds that this version does not know are left out (V3)."""
    known = {int(kind) for kind in RecordKind}
    return tuple(
        KindDigest(RecordKind(message.kind), message.count, message.sha256)
        for message in messages
        if message.kind in known
    )


def kinds_from_proto(numbers: Iterable[int]) -> tuple[RecordKind, ...]:
    """Kinds as they came, in their order. Those that this version does not know are left out (V3)."""
    told = {int(number) for number in numbers}
    return tuple(kind for kind in RecordKind if int(kind) in told)


def kind_to_proto(kind: RecordKind) -> record_pb2.RecordKind.ValueType:
    """The number of a kind."""
    return record_pb2.RecordKind.ValueType(int(kind))


async def _each(changes: AsyncIterable[Change] | Iterable[Change]) -> AsyncIterator[Change]:
    if isinstance(changes, AsyncIterable):
        async for change in changes:
            yield change
    else:
        for change in changes:
            yield change
