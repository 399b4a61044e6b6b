"""The digest of all records of one kind, by which two copies of a configuration are compared (B5).

The format is that of `KindDigest` in record.proto, in two levels so that a change costs one bucket and not
the whole kind: the first byte of the SHA-256 of a record's id names its bucket; the digest of a bucket is the
SHA-256 over its records in ascending order of the UTF-8 bytes of their ids, each as the length of the id (4
bytes, big-endian), the id, the length of the serialized record (4 bytes, big-endian), the serialized record
(lengths before the parts, so that no two sets of records look the same); an empty bucket has 32 zero bytes.
The digest of the kind is the SHA-256 over the 256 digests of its buckets.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class RecordKind(IntEnum):
    """The kinds of records that make up a configuration (B1). The numbers are those of record.proto."""

    DEVICE = 1
    PARTITION = 2
    ZONE = 3
    CHANNEL = 4
    USER = 5
    EVENT = 6


@dataclass(frozen=True, slots=True)
class KindDigest:
    """How many records of a kind there are, and the digest of them all (32 bytes)."""

    kind: RecordKind
    count: int
    sha256: bytes


BUCKETS = 256

EMPTY_BUCKET = bytes(32)


def bucket_of(record_id: str) -> int:
    """The bucket of a record, from 0 to 255."""
    return hashlib.sha256(record_id.encode()).digest()[0]


def bucket_digest(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Digest the records of one bucket, given as (UTF-8 bytes of the id, serialized record) in any order.

    Raises:
        ValueError: an id comes twice.
    """
    hasher = hashlib.sha256()
    before: bytes | None = None
    for name, record in sorted(records):
        if name == before:
            raise ValueError(f"the id {name.decode()} comes twice")
        hasher.update(b"".join((len(name).to_bytes(4, "big"), name, len(record).to_bytes(4, "big"), record)))
        before = name
    return EMPTY_BUCKET if before is None else hasher.digest()


def digest_of(kind: RecordKind, records: Iterable[tuple[str, bytes]]) -> KindDigest:
    """Digest the records of one kind, given as (id, serialized record) in any order.

    Raises:
        ValueError: an id comes twice.
    """
    buckets: list[list[tuple[bytes, bytes]]] = [[] for _ in range(BUCKETS)]
    count = 0
    for record_id, record in records:
        buckets[bucket_of(record_id)].append((record_id.encode(), record))
        count += 1
    return digest_of_buckets(kind, count, map(bucket_digest, buckets))


def digest_of_buckets(kind: RecordKind, count: int, buckets: Iterable[bytes]) -> KindDigest:
    """Digest one kind of `count` records, given the digests of its 256 buckets in their order."""
    return KindDigest(kind, count, hashlib.sha256(b"".join(buckets)).digest())


def empty_digests() -> tuple[KindDigest, ...]:
    """The digests of a configuration without any record, one a kind."""
    return tuple(digest_of(kind, ()) for kind in RecordKind)
