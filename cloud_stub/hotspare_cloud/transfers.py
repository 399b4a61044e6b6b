"""One transfer at work: what arrived lies in the store, apart from what counts, until it is proved and committed (B5).

A push of the host fills it from the wire, a restore from an older revision. No more than a piece of it is in memory.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from hotspare_cloud.store.base_records import START, Bucket, Buckets, DeviceRow, Place, RecordRow, RecordStore
from hotspare_model.digest import BUCKETS, EMPTY_BUCKET, KindDigest, RecordKind, digest_of_buckets
from hotspare_model.transfer import Change, by_kind

STEP = 2000
"""Records that the store's writer, which is everybody's, is taken for at once: some 30 ms on a quiet machine."""

READ_TOGETHER = 8
"""Buckets that are digested in one look into the store."""

CHECKED_TOGETHER = 200
"""Records that are checked before the event loop gets its turn: beats of others wait meanwhile."""

RowOf = Callable[[int, Change], RecordRow]
"""Checks a record of a group that arrives, and gives it the form in which it is stored; raises FIELD_INVALID."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the copy would be with a transfer: the digests of all kinds, and of the buckets that it touches."""

    digests: tuple[KindDigest, ...]
    buckets: Buckets


class Transfer:
    """One transfer to a group's copy."""

    def __init__(self, store: RecordStore, transfer_id: int, group_id: int, row_of: RowOf) -> None:
        self.transfer_id = transfer_id
        self.newest: dict[RecordKind, int] = {}
        """The newest change of each kind, in the host's numbers."""
        self._store = store
        self._group_id = group_id
        self._row_of = row_of

    async def add(self, changes: Sequence[Change], revision: int) -> None:
        """Check and lay down a piece of what leads to `revision`. Raises HotspareError FIELD_INVALID."""
        rows: list[RecordRow] = []
        for number, change in enumerate(changes, 1):
            row = self._row_of(self._group_id, change)
            changed = min(row.changed or revision, revision)
            rows.append(RecordRow(row.kind, row.id, row.payload, changed, row.operator, row.device))
            self.newest[row.kind] = max(self.newest.get(row.kind, 0), changed)
            if number % CHECKED_TOGETHER == 0:
                await asyncio.sleep(0)
        await self._store.stage(self.transfer_id, rows)

    async def settle(self, whole: Sequence[RecordKind], revision: int, operator: str) -> None:
        """Make it a set of plain changes: what whole kinds lack is gone, and what changes nothing is left out."""
        for kind in whole:
            after = ""
            while gone := await self._store.missing(self.transfer_id, self._group_id, kind, after, STEP):
                rows = [RecordRow(kind, record_id, b"", revision, operator) for record_id in gone]
                await self._store.stage(self.transfer_id, rows)
                after = gone[-1]
        place: Place | None = START
        while place is not None:
            place = await self._store.drop_unchanged(self.transfer_id, self._group_id, place, STEP)

    async def apply(self, revision: int) -> None:
        """Put it in the place of what is there, as of a revision to come; nobody sees it before that is committed."""
        place: Place | None = START
        while place is not None:
            place = await self._store.apply(self.transfer_id, self._group_id, revision, place, STEP)

    async def prove(self, before: Sequence[KindDigest], whole: Sequence[RecordKind]) -> Proof:
        """Digest what the copy will be. Of whole kinds nothing that was known before is trusted."""
        touched = dict(await self._store.touched(self.transfer_id))
        touched |= {kind: range(BUCKETS) for kind in whole}
        digests = by_kind(before)
        buckets: dict[tuple[RecordKind, int], Bucket] = {}
        for kind, numbers in touched.items():
            known = {} if kind in whole else dict(await self._store.bucket_digests(self._group_id, kind))
            found = await self._digest(kind, numbers)
            buckets |= {(kind, number): bucket for number, bucket in found.items()}
            digests[kind] = kind_digest(kind, known | found)
        return Proof(tuple(digests[kind] for kind in RecordKind), buckets)

    async def _digest(self, kind: RecordKind, numbers: Sequence[int]) -> dict[int, Bucket]:
        found: dict[int, Bucket] = {}
        for start in range(0, len(numbers), READ_TOGETHER):
            some = numbers[start : start + READ_TOGETHER]
            found |= await self._store.digest_with(self.transfer_id, self._group_id, kind, some)
        return found

    async def size(self) -> int:
        """How many records it changes; after `settle`."""
        return await self._store.staged(self.transfer_id)

    async def devices(self) -> AsyncIterator[tuple[str, DeviceRow | None]]:
        """The devices that it changes; None: it is gone."""
        after = ""
        while page := await self._store.staged_devices(self.transfer_id, self._group_id, after, STEP):
            for device in page:
                yield device
            after = page[-1][0]

    async def drop(self) -> None:
        """Forget it."""
        while await self._store.drop(self.transfer_id, STEP):
            pass


def kind_digest(kind: RecordKind, buckets: dict[int, Bucket]) -> KindDigest:
    """The digest of a kind, given those of its buckets; one that is not there is empty."""
    shas = (buckets[number].sha256 if number in buckets else EMPTY_BUCKET for number in range(BUCKETS))
    return digest_of_buckets(kind, sum(bucket.count for bucket in buckets.values()), shas)
