"""What the host sends of its configuration to the cloud next (B3), and what it never overwrites (B7).

Every push names the revision and the digests that it builds on. What the cloud has is told by the cloud; what
the host sent under a revision it remembers, also a push whose answer was lost, so that it is known again. A
cloud that has anything else is never overwritten: an operator has to decide.

One thing the host takes from the cloud by itself: the contents that an operator restored there, when nothing is here
that the cloud does not have (B8).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TypeAlias

from hotspare_model.digest import RecordKind
from hotspare_model.transfer import Digests, differing

FIRST_RETRY = timedelta(milliseconds=200)
LONGEST_RETRY = timedelta(seconds=2)
RECHECK_DIVERGED = timedelta(seconds=15)
"""How often a host that may not push looks whether an operator has put the cloud's copy right."""


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """The host's copy: `sent` holds the digests of each revision that was pushed, or tried, since the cloud's
    last."""

    lineage: str
    revision: int
    sent: Mapping[int, Digests]
    stored: int = 0
    """The newest revision that the cloud said it has. Up to there nothing is here that the cloud does not keep."""
    begins: bool = False
    """Whether an operator began the lineage here, and the cloud does not have it yet."""


@dataclass(frozen=True, slots=True)
class CloudCopy:
    """The cloud's copy, as it tells it. Revision 0: it has none."""

    lineage: str
    revision: int
    digests: Digests
    version: str = ""
    """The release of the host that stored it. Empty: not told."""
    restored_from: int = 0
    """The revision whose contents an operator brought back with this one. 0: a host made it, or it is not known."""
    base_revision: int = 0
    """The revision before it, where it was restored."""
    base_lineage: str = ""
    damaged: tuple[RecordKind, ...] = ()
    """Kinds of which the cloud found its records not to be what their digests tell (B5)."""


class Divergence(Enum):
    """Why the host may not push (B7)."""

    BEHIND = "behind"
    FORKED = "forked"


@dataclass(frozen=True, slots=True)
class UpToDate:
    """The cloud has all that is here."""


@dataclass(frozen=True, slots=True)
class Push:
    """Send all changes after `base_revision`; with 0 the whole configuration.

    Kinds that are damaged at the cloud are sent whole, be it that nothing else is new: that mends them.
    """

    base_revision: int
    base_digests: Digests
    new_lineage: bool = False
    """Whether it replaces whatever the cloud has, knowingly."""
    whole_kinds: tuple[RecordKind, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is the whole configuration."""
        return self.base_revision == 0


@dataclass(frozen=True, slots=True)
class Renew:
    """Make a revision without a change: the cloud's was stored by another release, and spares compare it (V1)."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Take the cloud's copy: an operator restored it there, and nothing newer is here (B8)."""


@dataclass(frozen=True, slots=True)
class Diverged:
    """Send nothing; `detail` says why and what to do, for people."""

    kind: Divergence
    detail: str


Decision: TypeAlias = UpToDate | Push | Renew | TakeOver | Diverged


def decide(local: LocalCopy, cloud: CloudCopy, version: str = "") -> Decision:
    """Compare both copies. `version` is the release of this host.

    A revision of the cloud's that the host never sent, or sent with other contents, is a fork, however high
    the host's own number: a host that was rolled back and edited looks like that.
    """
    if cloud.revision == 0:
        return UpToDate() if local.revision == 0 else Push(0, (), local.begins)
    if local.begins and cloud.lineage != local.lineage:
        return Push(0, (), new_lineage=True)
    if _takes_over(local, cloud):
        return TakeOver()
    if diverged := _diverged(local, cloud):
        return diverged
    if cloud.revision != local.revision or cloud.damaged:
        return Push(cloud.revision, local.sent[cloud.revision], whole_kinds=cloud.damaged)
    return Renew() if cloud.version and version and cloud.version != version else UpToDate()


def next_lineage_revision(local: LocalCopy, cloud: CloudCopy) -> int:
    """The first revision of a lineage that begins here: above all that was, for revisions never go back."""
    return max(local.revision, cloud.revision) + 1


def retry_after(failures: int) -> timedelta:
    """How long to wait after the n-th failure in a row (from 1): doubling, bounded by what B3 allows."""
    doubled: timedelta = FIRST_RETRY * 2 ** min(failures - 1, 10)
    return min(doubled, LONGEST_RETRY)


def _takes_over(local: LocalCopy, cloud: CloudCopy) -> bool:
    """Whether the cloud's copy was restored on top of all that is here."""
    follows = cloud.base_lineage == local.lineage and local.revision <= cloud.base_revision < cloud.revision
    return bool(cloud.restored_from) and 0 < local.revision <= local.stored and follows


def _diverged(local: LocalCopy, cloud: CloudCopy) -> Diverged | None:
    if local.revision == 0:
        return Diverged(
            Divergence.BEHIND,
            f"the cloud keeps revision {cloud.revision} of the configuration, and this host has none: "
            "restore from the cloud",
        )
    if cloud.restored_from and cloud.base_lineage == local.lineage and cloud.revision not in local.sent:
        return Diverged(
            Divergence.FORKED,
            f"an operator restored revision {cloud.restored_from} at the cloud (as revision {cloud.revision}), and "
            "this host has edits that the cloud does not have: restore from the cloud, or start a new lineage",
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
    if cloud.revision < local.stored and not _sent(local, cloud):
        return Diverged(
            Divergence.FORKED,
            f"the cloud has revision {cloud.revision} again, though it had {local.stored}: it was restored from a "
            "copy. Start a new lineage to keep what is here, or restore from the cloud",
        )
    if not _sent(local, cloud):
        return Diverged(
            Divergence.FORKED,
            f"the cloud's revision {cloud.revision} has other contents than what this host sent: "
            "restore from the cloud, or start a new lineage",
        )
    return None


def _sent(local: LocalCopy, cloud: CloudCopy) -> bool:
    """Whether the host sent the cloud's revision, with these contents; a kind that is not told is empty."""
    sent = local.sent.get(cloud.revision, ())
    return bool(sent) and not set(differing(sent, cloud.digests)) - set(cloud.damaged)
