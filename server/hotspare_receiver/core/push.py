"""What the host sends of its configuration to the cloud next (B3, B7).

Every push names the revision and the digests that it builds on. What the cloud has is told by the cloud; what
the host sent under a revision it remembers, also a push whose answer was lost, so that it is known again. A
cloud that has anything else is never overwritten: an operator has to decide.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TypeAlias

from hotspare_model.digest import KindDigest, RecordKind, empty_digests

CHUNK_BYTES = 512 * 1024
"""Serialized changes in one piece at most: half of what the contract allows, for what is around them."""

# Of a change: its tags and lengths, kind and revision, at their longest.
CHANGE_OVERHEAD = 40

FIRST_RETRY = timedelta(milliseconds=200)
LONGEST_RETRY = timedelta(seconds=2)
RECHECK_DIVERGED = timedelta(seconds=15)
"""How often a host that may not push looks whether an operator has put the cloud's copy right."""

Digests: TypeAlias = tuple[KindDigest, ...]


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """The host's copy: `sent` holds the digests of each revision that was pushed, or tried, since the cloud's
    last."""

    lineage: str
    revision: int
    sent: Mapping[int, Digests]


@dataclass(frozen=True, slots=True)
class CloudCopy:
    """The cloud's copy, as it tells it. Revision 0: it has none."""

    lineage: str
    revision: int
    digests: Digests


@dataclass(frozen=True, slots=True)
class Change:
    """One record as it is at `revision`; without contents it was deleted."""

    kind: RecordKind
    record_id: str
    record: bytes
    revision: int


class Divergence(Enum):
    """Why the host may not push (B7)."""

    BEHIND = "behind"
    FORKED = "forked"


@dataclass(frozen=True, slots=True)
class UpToDate:
    """The cloud has all that is here."""


@dataclass(frozen=True, slots=True)
class Push:
    """Send all changes after `base_revision`; with 0 the whole configuration."""

    base_revision: int
    base_digests: Digests

    @property
    def whole(self) -> bool:
        """Whether the cloud has nothing yet."""
        return self.base_revision == 0


@dataclass(frozen=True, slots=True)
class Diverged:
    """Send nothing; `detail` says why and what to do, for people."""

    kind: Divergence
    detail: str


Decision: TypeAlias = UpToDate | Push | Diverged


def decide(local: LocalCopy, cloud: CloudCopy) -> Decision:
    """Compare both copies.

    A revision of the cloud's that the host never sent, or sent with other contents, is a fork, however high
    the host's own number: a host that was rolled back and edited looks like that.
    """
    if cloud.revision == 0:
        return UpToDate() if local.revision == 0 else Push(0, ())
    if local.revision == 0:
        return Diverged(
            Divergence.BEHIND,
            f"the cloud keeps revision {cloud.revision} of the configuration, and this host has none: "
            "restore from the cloud",
        )
    if cloud.lineage != local.lineage:
        return Diverged(
            Divergence.FORKED,
            f"the cloud's configuration (revision {cloud.revision}) is of another lineage than this host's "
            f"(revision {local.revision}): restore from the cloud, or start a new lineage",
        )
    if cloud.revision > local.revision:
        return Diverged(
            Divergence.BEHIND,
            f"the cloud has revision {cloud.revision} and this host only {local.revision}: restore from the cloud",
        )
    if not _same(local.sent.get(cloud.revision, ()), cloud.digests):
        return Diverged(
            Divergence.FORKED,
            f"the cloud's revision {cloud.revision} has other contents than what this host sent: "
            "restore from the cloud, or start a new lineage",
        )
    if cloud.revision == local.revision:
        return UpToDate()
    return Push(cloud.revision, local.sent[cloud.revision])


def in_pieces(changes: Iterable[Change], limit: int = CHUNK_BYTES) -> Iterator[tuple[Change, ...]]:
    """Cut changes into pieces of at most `limit` bytes, in their order; one that is larger stands alone."""
    piece: list[Change] = []
    size = 0
    for change in changes:
        needed = len(change.record) + len(change.record_id.encode()) + CHANGE_OVERHEAD
        if piece and size + needed > limit:
            yield tuple(piece)
            piece, size = [], 0
        piece.append(change)
        size += needed
    if piece:
        yield tuple(piece)


def retry_after(failures: int) -> timedelta:
    """How long to wait after the n-th failure in a row (from 1): doubling, bounded by what B3 allows."""
    doubled: timedelta = FIRST_RETRY * 2 ** min(failures - 1, 10)
    return min(doubled, LONGEST_RETRY)


def _same(sent: Digests, told: Digests) -> bool:
    """Whether both tell the same of every kind; a kind that is not told is empty."""
    return bool(sent) and _by_kind(sent) == _by_kind(told)


def _by_kind(digests: Digests) -> dict[RecordKind, tuple[int, bytes]]:
    found = {digest.kind: (digest.count, digest.sha256) for digest in empty_digests()}
    found.update({digest.kind: (digest.count, digest.sha256) for digest in digests})
    return found
