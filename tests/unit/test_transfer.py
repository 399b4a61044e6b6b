"""A transfer of changes: cut into pieces, checked as it comes, and the same on the wire (B3 to B5)."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare.v1 import backup_pb2, backup_service_pb2, record_pb2, sync_service_pb2
from hotspare_model.digest import RecordKind, digest_of, empty_digests
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.transfer import (
    CHANGE_OVERHEAD,
    CHUNK_LIMIT,
    MAX_REVISION,
    MAX_TRANSFER,
    Change,
    RunningDigest,
    TransferHeader,
    TransferReader,
    TransferTrailer,
    differing,
    in_pieces,
)
from hotspare_rpc.transfer import change_from_proto, frames, header_from_proto, pieces

HEADER = TransferHeader("line", 3, empty_digests(), 5, "1.2.3", (RecordKind.ZONE,))

KINDS = st.sampled_from(RecordKind)
CHANGES = st.dictionaries(st.tuples(KINDS, st.text(min_size=1, max_size=8)), st.binary(max_size=60), max_size=40).map(
    lambda found: [Change(kind, name, record, 4, "ann") for (kind, name), record in sorted(found.items())]
)


def zone(name: str, record: bytes = b"r") -> Change:
    return Change(RecordKind.ZONE, name, record, 4)


def refused(*chunks: Sequence[Change], trailer: TransferTrailer | None = None, header: TransferHeader = HEADER) -> str:
    """Why a transfer is refused, as reason and metadata."""
    try:
        reader = TransferReader(header)
        for index, chunk in enumerate(chunks):
            reader.chunk(index, chunk, 10)
        assert trailer is not None
        reader.trailer(trailer)
    except HotspareError as error:
        return error.reason
    raise AssertionError("it was taken")


def test_b5_pieces_in_order_and_a_trailer_that_counts_them_are_a_transfer() -> None:
    reader = TransferReader(HEADER)
    first, second = [zone("a"), zone("b")], [zone("c"), Change(RecordKind.USER, "a", b"", 5)]
    assert reader.chunk(0, first, 10) == first
    assert reader.chunk(1, second, 10) == second
    assert reader.ended is None
    trailer = TransferTrailer(2, 4, empty_digests())
    assert reader.trailer(trailer) is trailer is reader.ended


@pytest.mark.parametrize(("index", "expected"), [(0, "1"), (2, "1")], ids=["twice", "gap"])
def test_b5_a_piece_that_comes_twice_or_is_missing_is_refused(index: int, expected: str) -> None:
    reader = TransferReader(HEADER)
    reader.chunk(0, [zone("a")], 10)
    with pytest.raises(HotspareError) as caught:
        reader.chunk(index, [zone("b")], 10)
    assert caught.value.reason is Reason.CHUNK_INVALID
    assert caught.value.metadata == {"index": str(index), "expected": expected}


@pytest.mark.parametrize("later", [zone("a"), zone("b"), Change(RecordKind.DEVICE, "z", b"r", 4)])
def test_b5_changes_out_of_order_or_twice_are_refused(later: Change) -> None:
    assert refused([zone("b"), later]) is Reason.CHUNK_INVALID
    assert refused([zone("b")], [later]) is Reason.CHUNK_INVALID


@pytest.mark.parametrize("trailer", [TransferTrailer(2, 1, ()), TransferTrailer(1, 2, ()), TransferTrailer(0, 0, ())])
def test_b5_a_trailer_that_counts_otherwise_is_refused(trailer: TransferTrailer) -> None:
    assert refused([zone("a")], trailer=trailer) is Reason.CHUNK_INVALID


def test_b5_nothing_comes_behind_the_trailer() -> None:
    reader = TransferReader(HEADER)
    reader.trailer(TransferTrailer(0, 0, ()))
    for late in (lambda: reader.chunk(0, [], 1), lambda: reader.trailer(TransferTrailer(0, 0, ()))):
        with pytest.raises(HotspareError) as caught:
            late()
        assert caught.value.reason is Reason.STREAM_PROTOCOL


def test_s4_what_is_too_large_is_refused() -> None:
    for size, times in ((CHUNK_LIMIT + 1, 1), (CHUNK_LIMIT, MAX_TRANSFER // CHUNK_LIMIT + 1)):
        reader = TransferReader(HEADER)
        for index in range(times - 1):
            reader.chunk(index, [], size)
        with pytest.raises(HotspareError) as caught:
            reader.chunk(times - 1, [], size)
        assert caught.value.reason is Reason.CHUNK_INVALID


@pytest.mark.parametrize(
    "change", [zone(""), zone("x" * 81), replace(zone("a"), revision=MAX_REVISION + 1)], ids=["no id", "long", "huge"]
)
def test_s4_an_id_or_revision_that_can_be_none_is_refused(change: Change) -> None:
    assert refused([change]) is Reason.FIELD_INVALID


@pytest.mark.parametrize(
    "header",
    [
        replace(HEADER, lineage=""),
        replace(HEADER, lineage="x" * 65),
        replace(HEADER, revision=2),
        replace(HEADER, revision=MAX_REVISION + 1),
        replace(HEADER, software_version="x" * 65),
    ],
)
def test_s4_a_header_that_can_be_none_is_refused(header: TransferHeader) -> None:
    assert refused(header=header) is Reason.FIELD_INVALID


def test_b5_without_a_base_all_kinds_are_whole() -> None:
    assert HEADER.whole == (RecordKind.ZONE,)
    assert replace(HEADER, base_revision=0).whole == tuple(RecordKind)


@given(changes=CHANGES, limit=st.integers(1, 400))
def test_b3_pieces_hold_all_changes_in_order_and_keep_the_limit(changes: list[Change], limit: int) -> None:
    cut = list(in_pieces(changes, limit))
    assert [change for piece in cut for change in piece] == changes
    assert all(cut)
    for piece in cut:
        size = sum(
            len(each.record) + len(each.record_id.encode()) + len(each.operator) + CHANGE_OVERHEAD for each in piece
        )
        assert len(piece) == 1 or size <= limit


@given(records=st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=20), max_size=60))
def test_b5_the_running_digest_is_the_digest(records: dict[str, bytes]) -> None:
    running = RunningDigest(RecordKind.ZONE)
    for name in sorted(records):
        running.add(name, records[name])
    assert running.digest() == digest_of(RecordKind.ZONE, records.items())


def test_b5_a_kind_that_is_not_told_is_empty() -> None:
    devices = digest_of(RecordKind.DEVICE, [("a", b"1")])
    assert differing((), empty_digests()) == ()
    assert differing([devices], ()) == (RecordKind.DEVICE,)


# On the wire.


@given(changes=CHANGES, whole=st.sets(KINDS), push=st.booleans())
def test_b3_a_transfer_is_the_same_at_the_other_end(changes: list[Change], whole: set[RecordKind], push: bool) -> None:
    wrap: Any = backup_service_pb2.PushChangesRequest if push else sync_service_pb2.PullChangesResponse
    digests = (digest_of(RecordKind.DEVICE, [("a", b"1")]), *empty_digests()[1:])
    header = replace(HEADER, whole_kinds=tuple(sorted(whole)))

    async def carry() -> tuple[TransferHeader, list[Change], TransferTrailer | None]:
        sent = frames(header, changes, digests, wrap)
        first = await anext(sent)
        assert first.WhichOneof("frame") == "header"
        reader = TransferReader(header_from_proto(first.header))
        return reader.header, [change async for piece in pieces(sent, reader) for change in piece], reader.ended

    came_header, came, trailer = asyncio.run(carry())
    assert came_header == header
    assert came == changes
    assert trailer is not None
    assert trailer.digests == digests


def cut_short(messages: Iterable[backup_service_pb2.PushChangesRequest]) -> Reason:
    async def stream() -> AsyncIterator[backup_service_pb2.PushChangesRequest]:
        for message in messages:
            yield message

    async def read() -> None:
        async for _ in pieces(stream(), TransferReader(HEADER)):
            pass

    with pytest.raises(HotspareError) as caught:
        asyncio.run(read())
    return caught.value.reason


def test_b5_a_transfer_without_its_end_or_with_another_message_is_refused() -> None:
    chunk = backup_service_pb2.PushChangesRequest(chunk=backup_pb2.ChangeChunk())
    header = backup_service_pb2.PushChangesRequest(header=backup_pb2.ChangeHeader())
    for messages in ([], [chunk], [chunk, header], [backup_service_pb2.PushChangesRequest()]):
        assert cut_short(messages) is Reason.STREAM_PROTOCOL


def test_v3_a_change_of_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(HotspareError) as caught:
        change_from_proto(record_pb2.RecordChange(kind=record_pb2.RecordKind.ValueType(77), id="a"))
    assert caught.value.reason is Reason.FIELD_INVALID
