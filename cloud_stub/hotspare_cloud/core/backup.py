"""Whether a host may push its configuration (B7), and the transfer's bookkeeping (B5). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from hotspare_model.digest import KindDigest, RecordKind, digest_of, empty_digests
from hotspare_model.errors import HotspareError, Reason, field_invalid

MAX_TRANSFER = 256 * 1024 * 1024
"""Bytes of one transfer at most."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The cloud's copy, as far as it decides."""

    lineage: str
    revision: int
    digests: Sequence[KindDigest]


@dataclass(frozen=True, slots=True)
class PushHeader:
    """What a push says of itself."""

    lineage: str
    base_revision: int
    base_digests: Sequence[KindDigest]
    revision: int
    new_lineage: bool


class Verdict(Enum):
    """What is to be done with a push that is right in itself."""

    STORE = "store"
    ALREADY_THERE = "already there"


def judge_push(cloud: Copy | None, push: PushHeader, leads_to: Sequence[KindDigest]) -> Verdict:
    """Compare a push with the cloud's copy: it is never overwritten unknowingly.

    Raises:
        HotspareError: REVISION_BEHIND or REVISION_FORKED, FIELD_INVALID.
    """
    if not push.lineage:
        raise field_invalid("header.lineage", "must be there")
    if push.revision <= push.base_revision:
        raise field_invalid("header.revision", "must be above the base revision")
    if cloud is None or push.new_lineage:
        if push.base_revision:
            raise _forked(cloud)
        return Verdict.STORE
    if push.lineage != cloud.lineage:
        raise _forked(cloud)
    if push.revision == cloud.revision and same(leads_to, cloud.digests):
        return Verdict.ALREADY_THERE
    if push.base_revision < cloud.revision:
        raise HotspareError(
            Reason.REVISION_BEHIND,
            f"the push builds on revision {push.base_revision}, and the cloud has {cloud.revision}",
            base_revision=push.base_revision,
            revision=cloud.revision,
        )
    if push.base_revision > cloud.revision or not same(push.base_digests, cloud.digests):
        raise _forked(cloud)
    return Verdict.STORE


def same(one: Sequence[KindDigest], other: Sequence[KindDigest]) -> bool:
    """Whether two copies have equal digests; a kind that is not named is empty."""
    empty = {digest.kind: digest for digest in empty_digests()}
    return empty | {each.kind: each for each in one} == empty | {each.kind: each for each in other}


def digests_after(
    before: Mapping[RecordKind, Mapping[str, bytes]],
    changes: Sequence[tuple[RecordKind, str, bytes]],
    unchanged: Sequence[KindDigest],
) -> list[KindDigest]:
    """The digests of all kinds after changes, an empty record being one that is gone.

    `before` has the records of each kind that changes, `unchanged` the digests of all kinds before.
    """
    after = {kind: dict(records) for kind, records in before.items()}
    for kind, record_id, record in changes:
        if record:
            after[kind][record_id] = record
        else:
            after[kind].pop(record_id, None)
    digests = {digest.kind: digest for digest in (*empty_digests(), *unchanged)}
    digests |= {kind: digest_of(kind, records.items()) for kind, records in after.items()}
    return [digests[kind] for kind in RecordKind]


def _forked(cloud: Copy | None) -> HotspareError:
    return HotspareError(
        Reason.REVISION_FORKED,
        "the push builds on another copy than the cloud's",
        lineage=cloud.lineage if cloud else "",
        revision=cloud.revision if cloud else 0,
    )
