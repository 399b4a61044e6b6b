"""A configuration on its way, from the host to the cloud or from the cloud to a spare (B3 to B5).

Both directions are one protocol (backup.proto): a header that says what the changes build on and where they lead,
pieces, and a trailer with counts and digests. Nothing of it counts before the trailer agrees. Here is what both ends
share of it: how changes are cut into pieces, and the reader that checks them as they come, one piece in memory at a
time. Digests are for who stores the pieces: only with the records that are there already do they mean anything.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hotspare_model.digest import (
    BUCKETS,
    EMPTY_BUCKET,
    KindDigest,
    RecordKind,
    bucket_of,
    digest_of_buckets,
    empty_digests,
)
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.kinds import LONGEST_ID

CHUNK_BYTES = 512 * 1024
"""Serialized changes in one piece at most: half of what the contract allows, for what is around them."""

CHUNK_LIMIT = 1024 * 1024
"""Bytes of one piece that arrives, at most, as it is on the wire: what the contract allows."""

MAX_TRANSFER = 256 * 1024 * 1024
"""Bytes of all pieces of one transfer at most: twenty times what P10 asks for. It bounds what a sender could take of
the disk, and of the time of who stores it."""

MAX_REVISION = 2**62
"""Numbers of revisions end here, so that every database and language can keep them."""

LONGEST_LINEAGE = 64
LONGEST_VERSION = 64
LONGEST_OPERATOR = 128

# Of a change: its tags and lengths, kind and revision, at their longest.
CHANGE_OVERHEAD = 40

Digests: TypeAlias = tuple[KindDigest, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One record as it is at `revision`; without contents it was deleted. `operator`: who changed it (S5)."""

    kind: RecordKind
    record_id: str
    record: bytes
    revision: int
    operator: str = ""


@dataclass(frozen=True, slots=True)
class TransferHeader:
    """What comes first: what the changes build on, and where they lead. Revision 0: the sender has none at all.

    With base revision 0 the transfer is the whole configuration, whichever kinds it names; otherwise the kinds in
    `whole_kinds` are whole, and of the others come the changes since the base.
    """

    lineage: str
    base_revision: int
    base_digests: Digests
    revision: int
    software_version: str
    whole_kinds: tuple[RecordKind, ...] = ()

    @property
    def whole(self) -> tuple[RecordKind, ...]:
        """The kinds of which whatever is not in the transfer is gone."""
        if self.base_revision == 0:
            return tuple(RecordKind)
        return tuple(kind for kind in RecordKind if kind in self.whole_kinds)

    def checked(self) -> "TransferHeader":
        """This header, when it can be one at all. What it builds on is for the receiver of the transfer to judge.

        Raises:
            HotspareError: FIELD_INVALID.
        """
        if len(self.lineage) > LONGEST_LINEAGE or (self.revision and not self.lineage):
            raise field_invalid("header.lineage", f"must be 1 to {LONGEST_LINEAGE} characters")
        if not 0 <= self.base_revision <= self.revision <= MAX_REVISION:
            raise field_invalid("header.revision", "must be at or above the base revision, and at most 2^62")
        if len(self.software_version) > LONGEST_VERSION:
            raise field_invalid("header.software_version", f"must be at most {LONGEST_VERSION} characters")
        return self


@dataclass(frozen=True, slots=True)
class TransferTrailer:
    """What comes last: how much there was, and the digests of all kinds after the changes."""

    chunk_count: int
    change_count: int
    digests: Digests


class TransferReader:
    """Checks a transfer as it comes: pieces without a gap, changes in ascending order of kind, then id, no id twice.

    Feed it `chunk` for each piece and `trailer` at the end; what they return has been checked. After an error nothing
    of the transfer counts, and the reader must not be used on.
    """

    def __init__(self, header: TransferHeader) -> None:
        """Begin with the header. Raises HotspareError FIELD_INVALID when it can be none at all."""
        self.header = header.checked()
        self.chunks = 0
        self.changes = 0
        self.bytes = 0
        self.ended: TransferTrailer | None = None
        """The trailer, once it came and agreed."""
        self._last: tuple[int, str] = (0, "")

    def chunk(self, index: int, changes: Sequence[Change], size: int) -> Sequence[Change]:
        """Check the next piece, of `size` bytes on the wire.

        Raises:
            HotspareError: CHUNK_INVALID for one that is missing, comes twice, is too large or out of order;
                STREAM_PROTOCOL for one behind the trailer; FIELD_INVALID for an id or revision that can be none.
        """
        self._check_open()
        if index != self.chunks:
            raise _chunk_invalid(f"piece {index} came where {self.chunks} was expected", index, self.chunks)
        self.bytes += size
        if size > CHUNK_LIMIT:
            raise _chunk_invalid(f"piece {index} has {size} bytes, more than {CHUNK_LIMIT}", index, self.chunks)
        if self.bytes > MAX_TRANSFER:
            raise _chunk_invalid(f"the transfer has more than {MAX_TRANSFER} bytes", index, "end")
        for change in changes:
            self._check_change(change, index)
        self.chunks += 1
        self.changes += len(changes)
        return changes

    def trailer(self, trailer: TransferTrailer) -> TransferTrailer:
        """Check the end: all that was sent arrived.

        Raises:
            HotspareError: CHUNK_INVALID where it counts otherwise, STREAM_PROTOCOL when it came before.
        """
        self._check_open()
        if trailer.chunk_count != self.chunks:
            raise _chunk_invalid(
                f"the trailer tells of {trailer.chunk_count} pieces, and {self.chunks} came",
                self.chunks,
                trailer.chunk_count,
            )
        if trailer.change_count != self.changes:
            raise _chunk_invalid(
                f"the trailer tells of {trailer.change_count} changes, and {self.changes} came",
                self.chunks,
                trailer.chunk_count,
            )
        self.ended = trailer
        return trailer

    def cut_off(self) -> HotspareError:
        """The error for a transfer that ended without its trailer."""
        return HotspareError(
            Reason.STREAM_PROTOCOL,
            f"the transfer ended after {self.chunks} pieces without its trailer",
            expected="trailer",
        )

    def _check_open(self) -> None:
        if self.ended is not None:
            raise HotspareError(Reason.STREAM_PROTOCOL, "something came behind the trailer", expected="end")

    def _check_change(self, change: Change, index: int) -> None:
        place = (int(change.kind), change.record_id)
        if not 1 <= len(change.record_id) <= LONGEST_ID:
            raise field_invalid("id", f"must be 1 to {LONGEST_ID} characters")
        if change.revision > MAX_REVISION:
            raise field_invalid("revision", "must be at most 2^62")
        if place <= self._last:
            raise _chunk_invalid(
                f"piece {index}: {change.kind.name.lower()} {change.record_id} is out of order or came twice",
                index,
                "ascending kind and id",
            )
        self._last = place


class Cutter:
    """Cuts changes into pieces of at most `limit` bytes, in their order; one that is larger stands alone."""

    def __init__(self, limit: int = CHUNK_BYTES) -> None:
        self._limit = limit
        self._piece: list[Change] = []
        self._size = 0

    def add(self, change: Change) -> tuple[Change, ...]:
        """Take one more; returns the piece that it filled up, without it. Empty: none yet."""
        needed = _size_of(change)
        full: tuple[Change, ...] = ()
        if self._piece and self._size + needed > self._limit:
            full = self.rest()
        self._piece.append(change)
        self._size += needed
        return full

    def rest(self) -> tuple[Change, ...]:
        """What is left, as the last piece. Empty: nothing."""
        piece, self._piece, self._size = tuple(self._piece), [], 0
        return piece


def in_pieces(changes: Iterable[Change], limit: int = CHUNK_BYTES) -> Iterator[tuple[Change, ...]]:
    """Cut changes into pieces of at most `limit` bytes, in their order; one that is larger stands alone."""
    cutter = Cutter(limit)
    for change in changes:
        if piece := cutter.add(change):
            yield piece
    if piece := cutter.rest():
        yield piece


class RunningDigest:
    """The digest of all records of one kind, fed with them one by one in ascending order of their ids.

    The format is that of `hotspare_model.digest`. It keeps 256 hashes, and no record.
    """

    def __init__(self, kind: RecordKind) -> None:
        self._kind = kind
        self._count = 0
        self._buckets = [hashlib.sha256() for _ in range(BUCKETS)]
        self._counts = [0] * BUCKETS

    def add(self, record_id: str, record: bytes) -> None:
        """One more record. Its id must come behind that of the one before."""
        bucket = bucket_of(record_id)
        hasher, name = self._buckets[bucket], record_id.encode()
        hasher.update(len(name).to_bytes(4, "big"))
        hasher.update(name)
        hasher.update(len(record).to_bytes(4, "big"))
        hasher.update(record)
        self._counts[bucket] += 1
        self._count += 1

    def digest(self) -> KindDigest:
        """The digest of what was added so far."""
        buckets = (
            hasher.digest() if count else EMPTY_BUCKET
            for hasher, count in zip(self._buckets, self._counts, strict=True)
        )
        return digest_of_buckets(self._kind, self._count, buckets)


def differing(one: Iterable[KindDigest], other: Iterable[KindDigest]) -> tuple[RecordKind, ...]:
    """The kinds in which two copies differ, in their order; a kind that is not told is empty."""
    left, right = by_kind(one), by_kind(other)
    return tuple(kind for kind in RecordKind if left[kind] != right[kind])


def by_kind(digests: Iterable[KindDigest]) -> dict[RecordKind, KindDigest]:
    """The digests of all kinds; a kind that is not told is empty."""
    return {digest.kind: digest for digest in (*_EMPTY, *digests)}


def _size_of(change: Change) -> int:
    return len(change.record) + len(change.record_id.encode()) + len(change.operator.encode()) + CHANGE_OVERHEAD


def _chunk_invalid(problem: str, index: int, expected: int | str) -> HotspareError:
    return HotspareError(Reason.CHUNK_INVALID, problem, index=index, expected=expected)


_EMPTY = empty_digests()
