"""What a spare does next about its copy of the configuration (B4, B5, V1).

The cloud tells its newest revision; what is missing is pulled, and asked for every `sync_interval` in any case. A
transfer that does not lead to the digests that it names is kept out, and healed in two steps: the kinds that did not
agree are fetched whole, and if that fails as well, everything is. What fails on waits longer each time.

Only what the cloud answers to a pull moves the copy, never what it told in passing: a word that comes late makes one
pull without changes, and within a lineage the revision goes back only when the cloud itself did (it was restored).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from hotspare_model.digest import RecordKind
from hotspare_model.transfer import Digests, TransferHeader, differing
from hotspare_receiver.core.backoff import Backoff

UNREACHABLE = Backoff(first=0.2, longest=2.0)
"""After a pull that did not reach the cloud: as often as B4 lets hope for."""

REFUSED = Backoff(first=1.0, longest=60.0)
"""After a transfer that was kept out: it may be a whole configuration each time."""

UNTOLD = 2.0
"""Seconds after which the cloud is asked again for a revision that a transfer named and the cloud itself did not tell:
it proves its contents by digests, and its number by nothing."""

ON_ITS_WAY = 2.0
"""Seconds that a change may take to a spare (B3) before its copy counts as not in sync (F4)."""

EVERYTHING = frozenset(RecordKind)


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the configuration, here or at the cloud. Revision 0: there is none."""

    lineage: str = ""
    revision: int = 0
    digests: Digests = ()
    version: str = ""
    """The release of the host that stored it."""

    def same_as(self, other: "Copy") -> bool:
        """Whether both have the same contents at the same place of the same lineage."""
        place = (self.lineage, self.revision) == (other.lineage, other.revision)
        return place and not differing(self.digests, other.digests)


class Refusal(Enum):
    """Why a transfer was kept out, as the metrics name it."""

    CUT = "cut"
    """It ended before its trailer came."""
    CHUNK = "chunk"
    """A piece was missing, came twice, was too large or out of order."""
    GAP = "gap"
    """It builds on another revision than the one that is here."""
    RECORD = "record"
    """A record in it can be none."""
    DIGEST = "digest"
    """It does not lead to the digests that it names."""
    STORE = "store"
    """It could not be written here, as on a full disk."""


class Stand(Enum):
    """How a copy stands, for the backup table (B6)."""

    UP_TO_DATE = "up to date"
    SYNCING = "syncing"
    BEHIND = "behind"
    VERSION_DIFFERS = "version differs"
    FAILED = "failed"


# What happens.


@dataclass(frozen=True, slots=True)
class Told:
    """The cloud told its newest revision."""

    newest: Copy


@dataclass(frozen=True, slots=True)
class Lost:
    """The cloud is not there to tell."""

    problem: str


@dataclass(frozen=True, slots=True)
class Due:
    """`sync_interval` has passed: ask in any case."""


@dataclass(frozen=True, slots=True)
class Began:
    """A pull is under way."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A transfer was applied, or there was nothing to apply: the copy is this one now."""

    own: Copy


@dataclass(frozen=True, slots=True)
class KeptOut:
    """A transfer was kept out. `kinds`: whose digests did not agree."""

    refusal: Refusal
    problem: str
    kinds: tuple[RecordKind, ...] = ()


@dataclass(frozen=True, slots=True)
class NotReached:
    """A pull did not get an answer."""

    problem: str


@dataclass(frozen=True, slots=True)
class VersionDiffers:
    """The cloud gives its newest revision to another release only (V1)."""

    required: str


Event: TypeAlias = Told | Lost | Due | Began | Applied | KeptOut | NotReached | VersionDiffers


# What to do.


@dataclass(frozen=True, slots=True)
class Pull:
    """Ask for what changed since a revision, with these kinds whole. Since revision 0: everything."""

    lineage: str
    since: int
    whole_kinds: tuple[RecordKind, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before that time; None: until something happens."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class Spare:
    """What a spare knows. Make one with the copy that it has, and go on with `after`."""

    own: Copy
    version: str
    """Its own release."""
    newest: Copy | None = None
    """The cloud's, as far as is known. None: not told since the cloud was lost."""
    told: Copy | None = None
    """What the cloud told by itself, not in a transfer."""
    untold: bool = False
    """Whether the copy came by a transfer that went beyond what the cloud told."""
    required: str = ""
    """The release that a pull was refused for not being. Empty: none."""
    asks: bool = True
    """Whether to ask although nothing newer is known."""
    heal: frozenset[RecordKind] = frozenset()
    """Kinds to be fetched whole."""
    failures: int = 0
    problem: str = ""
    unreachable: bool = False
    """Whether the problem is that the cloud is not there."""
    not_before: float = 0.0
    pulling: bool = False
    told_meanwhile: bool = False
    """Whether the cloud told its newest while a pull was under way: that may be newer than what the pull brings."""
    in_sync_at: float | None = None
    """When the copy was last known to be the cloud's newest."""

    @property
    def other_version(self) -> str:
        """The release that stored the cloud's newest revision, where it is not this one (V1); else empty."""
        told = self.newest.version if self.newest is not None else ""
        required = self.required or told
        return required if required != self.version else ""

    @property
    def is_newest(self) -> bool:
        """Whether the copy is the cloud's newest, as far as is known."""
        if self.newest is None:
            return False
        if self.newest.revision == 0:
            return self.own.revision == 0
        return self.own.same_as(self.newest)


def after(spare: Spare, event: Event, now: float) -> Spare:
    """What the spare knows after an event."""
    match event:
        case Told(newest):
            spare = _told(spare, newest)
        case Lost(problem):
            spare = replace(spare, newest=None, told=None, problem=problem, unreachable=True)
        case Due():
            spare = replace(spare, asks=True)
        case Began():
            spare = replace(spare, pulling=True, told_meanwhile=False)
        case Applied(own):
            spare = _applied(spare, own, now)
        case KeptOut():
            spare = _kept_out(spare, event, now)
        case NotReached(problem):
            failures = spare.failures + 1
            later = now + UNREACHABLE.delay(failures)
            spare = replace(
                spare, pulling=False, failures=failures, problem=problem, unreachable=True, not_before=later
            )
        case VersionDiffers(required):
            spare = replace(spare, pulling=False, asks=False, required=required, problem="", unreachable=False)
    return replace(spare, in_sync_at=now) if stands(spare)[0] is Stand.UP_TO_DATE else spare


def next_step(spare: Spare, now: float) -> Pull | Wait:
    """What to do now."""
    if spare.pulling or not _wanted(spare):
        return Wait()
    if now < spare.not_before:
        return Wait(spare.not_before)
    if spare.heal == EVERYTHING or spare.own.revision == 0:
        return Pull("", 0)
    heal = spare.heal or _broken(spare)
    return Pull(spare.own.lineage, spare.own.revision, tuple(sorted(heal)))


def gap(asked: Pull, header: TransferHeader, told: Copy | None = None) -> str:
    """Why a transfer is no answer to a pull, in words; empty where it is one. `told`: as the cloud told by itself.

    A whole one may go back within its lineage: the cloud decides to send it, and tells by it that it was restored. But
    not behind what the cloud itself told.
    """
    if told is not None and header.lineage == told.lineage and header.revision < told.revision:
        return f"it leads to revision {header.revision}, and the cloud told of {told.revision}"
    if header.base_revision == 0:
        return ""
    if (header.base_revision, header.lineage) != (asked.since, asked.lineage):
        return f"it builds on revision {header.base_revision}, and revision {asked.since} is here"
    missing = set(asked.whole_kinds) - set(header.whole)
    return f"{_names(missing)} did not come whole as asked" if missing else ""


def stands(spare: Spare) -> tuple[Stand, str]:
    """How the copy stands, and why, for people."""
    own = spare.own.revision
    if spare.other_version:
        return Stand.VERSION_DIFFERS, (
            f"the host stored the configuration with version {spare.other_version}, and this receiver has"
            f" {spare.version}: its copy (revision {own}) stays as it is until both are the same"
        )
    if spare.problem:
        return Stand.FAILED, spare.problem
    if spare.newest is not None and spare.newest.revision == 0 and own:
        return Stand.BEHIND, f"the cloud has no configuration; the copy here (revision {own}) is kept"
    if spare.is_newest and not spare.heal:
        return Stand.UP_TO_DATE, ""
    if spare.newest is None or spare.pulling:
        return Stand.SYNCING, ""
    return Stand.BEHIND, f"revision {own} is here, and the cloud has {spare.newest.revision}"


def counts_as_in_sync(spare: Spare, now: float) -> bool:
    """Whether to tell with a beat that the copy is in sync (F4): a change that is just on its way is no reason to let
    a return wait, or edits on the host would put it off for as long as they last."""
    stand, _ = stands(spare)
    on_its_way = stand in (Stand.SYNCING, Stand.BEHIND) and spare.in_sync_at is not None
    recent = spare.in_sync_at is not None and now - spare.in_sync_at <= ON_ITS_WAY
    return stand is Stand.UP_TO_DATE or (on_its_way and recent and spare.newest is not None)


def _told(spare: Spare, newest: Copy) -> Spare:
    asks = spare.asks and not spare.untold
    spare = replace(
        spare, newest=newest, told=newest, untold=False, asks=asks, required="", told_meanwhile=spare.pulling
    )
    if spare.unreachable:
        # It is there again: what waited for it need not wait on.
        spare = replace(spare, problem="", unreachable=False, failures=0)
    # Something is another than when the last attempt failed; if that fails too, the wait is the longer one.
    return replace(spare, not_before=0.0)


def _applied(spare: Spare, own: Copy, now: float) -> Spare:
    newest, told = spare.newest if spare.told_meanwhile else own, spare.told
    # The cloud is about to tell that one too; if it does not, this was no number of its.
    untold = told is not None and own.lineage == told.lineage and own.revision > told.revision
    return replace(
        spare,
        own=own,
        newest=newest,
        required="",
        untold=untold,
        asks=untold,
        heal=frozenset(),
        failures=0,
        problem="",
        unreachable=False,
        not_before=now + UNTOLD if untold else 0.0,
        pulling=False,
        told_meanwhile=False,
    )


def _kept_out(spare: Spare, event: KeptOut, now: float) -> Spare:
    healing, broken = spare.heal, _broken(spare)
    spare = replace(spare, pulling=False, asks=True, problem=event.problem, unreachable=False)
    if event.refusal in (Refusal.DIGEST, Refusal.GAP) and healing != EVERYTHING and spare.own.revision:
        first = event.refusal is Refusal.DIGEST and event.kinds and not healing and not broken
        return replace(spare, heal=frozenset(event.kinds) if first else EVERYTHING)
    failures = spare.failures + 1
    return replace(spare, failures=failures, not_before=now + REFUSED.delay(failures))


def _wanted(spare: Spare) -> bool:
    if spare.newest is not None and spare.newest.revision == 0:
        # An empty answer would clear the copy: a cloud that lost it gets it from the host again.
        return False
    if spare.asks:
        return not spare.other_version or spare.newest is None
    return spare.newest is not None and not spare.is_newest and not spare.other_version


def _broken(spare: Spare) -> frozenset[RecordKind]:
    """Kinds that differ although the copy should be the cloud's newest."""
    own, newest = spare.own, spare.newest
    if newest is None or (own.lineage, own.revision) != (newest.lineage, newest.revision):
        return frozenset()
    return frozenset(differing(own.digests, newest.digests))


def _names(kinds: Iterable[RecordKind]) -> str:
    return ", ".join(kind.name.lower() for kind in sorted(kinds))
