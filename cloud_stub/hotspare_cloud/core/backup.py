"""What becomes of a push (B7), what a puller gets (B4, V1), and which revisions stay (B8). Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.transfer import TransferHeader, differing


@dataclass(frozen=True, slots=True)
class Copy:
    """The cloud's copy, as far as it decides."""

    lineage: str
    revision: int
    digests: Sequence[KindDigest]


class Verdict(Enum):
    """What is to be done with a push that is right in itself."""

    STORE = "store"
    """It is the next revision."""
    ALREADY_THERE = "already there"
    REPAIR = "repair"
    """It is the revision that the cloud has, with kinds that are damaged there."""


def judge_push(
    cloud: Copy | None,
    push: TransferHeader,
    leads_to: Sequence[KindDigest],
    *,
    new_lineage: bool,
    damaged: Collection[RecordKind] = (),
) -> Verdict:
    """Compare a push with the cloud's copy: it is never overwritten unknowingly.

    Of kinds that are `damaged` at the cloud, and that the push has whole, what the cloud believes does not count.

    Raises:
        HotspareError: REVISION_BEHIND or REVISION_FORKED, FIELD_INVALID.
    """
    mended = frozenset(push.whole) & frozenset(damaged)
    known = cloud is not None and (push.lineage, push.revision) == (cloud.lineage, cloud.revision)
    if cloud is not None and known and _agree(leads_to, cloud.digests, but=mended):
        return Verdict.REPAIR if mended else Verdict.ALREADY_THERE
    if push.revision <= push.base_revision or not push.lineage:
        raise field_invalid("header.revision", "must be above the base revision, of a lineage")
    if cloud is None or new_lineage:
        if push.base_revision:
            raise _forked(cloud)
        if cloud is not None and push.revision <= cloud.revision:
            # Numbers of revisions never go back, across lineages too: spares and tokens of pages count on it.
            raise field_invalid("header.revision", f"a new lineage must go on above revision {cloud.revision}")
        return Verdict.STORE
    if push.lineage != cloud.lineage:
        raise _forked(cloud)
    if push.base_revision < cloud.revision:
        raise HotspareError(
            Reason.REVISION_BEHIND,
            f"the push builds on revision {push.base_revision}, and the cloud has {cloud.revision}",
            base_revision=push.base_revision,
            revision=cloud.revision,
        )
    if push.base_revision > cloud.revision or not _agree(push.base_digests, cloud.digests, but=mended):
        raise _forked(cloud)
    return Verdict.STORE


@dataclass(frozen=True, slots=True)
class Gift:
    """What a puller gets: the changes since `base_revision`, and of `whole_kinds` all."""

    base_revision: int
    whole_kinds: tuple[RecordKind, ...]

    def since(self, kind: RecordKind) -> int:
        """The revision since which changes of a kind are sent. 0: all of it."""
        return 0 if kind in self.whole_kinds else self.base_revision


def gift_for(
    newest: Copy, base: Copy | None, *, lineage: str, since: int, whole_kinds: Collection[RecordKind] = ()
) -> Gift:
    """Decide how a puller at revision `since` of `lineage` gets to the newest.

    `base` is what the cloud keeps of that revision. Without it, of another lineage, or above the newest, all is whole.
    """
    kept = base is not None and base.revision == since and base.lineage == lineage == newest.lineage
    if not kept or since > newest.revision:
        return Gift(0, tuple(RecordKind))
    return Gift(since, tuple(kind for kind in RecordKind if kind in whole_kinds))


def check_version(version: str, stored: str) -> None:
    """Refuse a spare whose software is not the one that the host stored the revision with (V1).

    Raises:
        HotspareError: VERSION_DIFFERS.
    """
    if version != stored:
        raise HotspareError(
            Reason.VERSION_DIFFERS,
            f"the configuration was stored by version {stored or 'unknown'}, and this receiver is {version}",
            version=version,
            required=stored,
        )


def oldest_kept(
    revisions: Sequence[tuple[int, float]],
    *,
    now: float,
    max_age: float,
    max_count: int,
    reading: Collection[int] = (),
) -> int:
    """The oldest revision that stays (B8); the newest always does, and those that are being read.

    `revisions`: numbers, ascending, each with the time when it was stored; times in seconds. `max_count` counts older
    ones beside the newest. The age of an older revision counts from when the next one took its place: what was in force
    until yesterday is a day old, however long it had been.
    """
    if not revisions:
        return 0
    last = len(revisions) - 1
    first = max(0, last - max_count)
    while first < last and now - revisions[first + 1][1] > max_age:
        first += 1
    return min([revisions[first][0], *reading])


def _agree(one: Sequence[KindDigest], other: Sequence[KindDigest], *, but: Collection[RecordKind]) -> bool:
    return not [kind for kind in differing(one, other) if kind not in but]


def _forked(cloud: Copy | None) -> HotspareError:
    return HotspareError(
        Reason.REVISION_FORKED,
        "the push builds on another copy than the cloud's",
        lineage=cloud.lineage if cloud else "",
        revision=cloud.revision if cloud else 0,
    )
