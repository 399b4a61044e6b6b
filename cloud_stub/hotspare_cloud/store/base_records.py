"""The verbs of the cloud's store for configurations, and the rows they speak in (B5 to B8).

A copy is its newest revision. Of each record the store keeps what it is and, for as long as revisions are kept, what it
was in them: so that any kept revision can be read whole, in pages, while newer ones are stored.

What arrives is laid down under the number of its transfer, piece by piece, where nobody sees it. Once it is proved it
is applied, again in steps and unseen, and `commit` makes all of it count at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.supervision import AS_USUAL, Watched
from hotspare_model.transfer import Change


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """What is needed to know a device that calls, and to store its alarms."""

    group_id: int
    device_id: str
    key_sha256: bytes
    account_number: str
    watched: Watched = AS_USUAL
    """How it is supervised (A9)."""


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind at a revision: its digest, and in which revision and when it changed last. 0 and None: never."""

    digest: KindDigest
    revision: int
    changed_at: float | None


@dataclass(frozen=True, slots=True)
class Backup:
    """One revision of a group's configuration, without its records. The newest one is the cloud's copy."""

    lineage: str
    revision: int
    software_version: str
    kinds: tuple[KindRow, ...]
    stored_at: float
    receiver_id: str = ""
    """Who sent it."""
    operator: str = ""
    """Who was behind it (S5)."""
    change_count: int = 0
    restored_from: int = 0
    """The revision whose contents it brought back (B8). 0: none."""
    base_revision: int = 0
    """The revision before it, and its lineage."""
    base_lineage: str = ""

    @property
    def digests(self) -> tuple[KindDigest, ...]:
        """The digests of all kinds."""
        return tuple(row.digest for row in self.kinds)


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One record as it arrives. `payload` is the serialized `Record`; empty in a change that deletes."""

    kind: RecordKind
    id: str
    payload: bytes
    changed: int = 0
    """The host's number of the revision in which it changed."""
    operator: str = ""
    device: DeviceRow | None = None
    """For a device: what is looked up at each of its calls."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One record that differs between two revisions; empty where it is not there."""

    kind: RecordKind
    id: str
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Bucket:
    """The records of one bucket of a kind: how many, and their digest."""

    count: int
    sha256: bytes


Place = tuple[int, int, str]
"""Where one is in a transfer: kind, bucket and id of the last record."""

START: Place = (0, -1, "")

Buckets = Mapping[tuple[RecordKind, int], Bucket]
"""By kind and number of the bucket."""


class RecordStore(Protocol):
    """The cloud's copies of configurations."""

    # Revisions.

    async def backup(self, group_id: int) -> Backup | None:
        """The newest revision: the copy. None: there is none."""
        ...

    async def revision(self, group_id: int, number: int) -> Backup | None:
        """One revision, if it is kept."""
        ...

    async def revisions(self, group_id: int, *, before: int, limit: int) -> Sequence[Backup]:
        """Revisions with numbers below `before` (0: any), newest first."""
        ...

    async def revision_times(self, group_id: int) -> Sequence[tuple[int, float]]:
        """Number of each kept revision, ascending, and when it was stored."""
        ...

    async def changes(
        self, group_id: int, kind: RecordKind, *, since: int, at: int, after: str, limit: int
    ) -> Sequence[Change]:
        """Records of a kind as they were at revision `at`, if they changed after `since`, with ids above `after`.

        By id; at most `limit`, and about half a MiB. With `since` 0 those that are there, otherwise also those that are
        gone since.
        """
        ...

    async def differences(
        self, group_id: int, kind: RecordKind, *, from_revision: int, to_revision: int, after: str, limit: int
    ) -> tuple[Sequence[Difference], str]:
        """Records of a kind with ids above `after` that differ between two revisions, by id.

        And where to go on, empty at the end: a page may be short of `limit`, or empty, although there are more.
        """
        ...

    async def bucket_digests(self, group_id: int, kind: RecordKind) -> Mapping[int, Bucket]:
        """The stored digests of a kind, by bucket. Those that are empty are left out."""
        ...

    async def devices(self) -> Sequence[DeviceRow]:
        """All devices of all groups, to be known at their calls."""
        ...

    # Transfers.

    async def transfers(self) -> Sequence[int]:
        """The numbers of all transfers of which something is laid down."""
        ...

    async def stage(self, transfer_id: int, records: Sequence[RecordRow]) -> None:
        """Lay down what arrived of a transfer."""
        ...

    async def missing(self, transfer_id: int, group_id: int, kind: RecordKind, after: str, limit: int) -> Sequence[str]:
        """Ids above `after` of records that are there, and not in the transfer."""
        ...

    async def drop_unchanged(self, transfer_id: int, group_id: int, after: Place, limit: int) -> Place | None:
        """Take out of a transfer what changes nothing, of the next `limit` records; returns where to go on, or None."""
        ...

    async def touched(self, transfer_id: int) -> Mapping[RecordKind, Sequence[int]]:
        """The buckets of which there is something in a transfer."""
        ...

    async def digest_with(
        self, transfer_id: int, group_id: int, kind: RecordKind, buckets: Sequence[int]
    ) -> Mapping[int, Bucket]:
        """Digest buckets anew, as they are with the transfer. With transfer 0: as they are."""
        ...

    async def staged(self, transfer_id: int) -> int:
        """How many records of a transfer are laid down."""
        ...

    async def apply(self, transfer_id: int, group_id: int, revision: int, after: Place, limit: int) -> Place | None:
        """Put the next `limit` records of a transfer in the place of what is there, as of a revision to come.

        Nobody sees it: what is asked for as of a revision below is what it was. Returns where to go on, or None.
        """
        ...

    async def undo(self, group_id: int, above: int, limit: int) -> bool:
        """Take back what was applied for revisions above, up to so many records. Returns whether there may be more."""
        ...

    async def commit(
        self, transfer_id: int, group_id: int, backup: Backup, buckets: Buckets, request_id: str = ""
    ) -> None:
        """Store the next revision, after all of the transfer was applied for it: from here on it counts.

        The transfer stays laid down.

        `request_id`: the operator's wish that this carries out, to be remembered.
        """
        ...

    async def repair(self, transfer_id: int, group_id: int, backup: Backup, buckets: Buckets) -> None:
        """Put what the transfer has in the place of what is damaged, within the same revision."""
        ...

    async def staged_devices(
        self, transfer_id: int, group_id: int, after: str, limit: int
    ) -> Sequence[tuple[str, DeviceRow | None]]:
        """The devices of a transfer with ids above `after`; None: it is gone."""
        ...

    async def drop(self, transfer_id: int, limit: int) -> bool:
        """Forget up to `limit` records of a transfer. Returns whether there are more."""
        ...

    # Retention.

    async def prune(self, group_id: int, oldest: int, limit: int) -> bool:
        """Forget what only revisions below `oldest` need, so many rows of it. Returns whether there may be more."""
        ...
