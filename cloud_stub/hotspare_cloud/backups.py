"""The cloud's copies of configurations at work: pushes and restores make revisions, those who watch are told, and older
revisions go when their time has come (B3, B7, B8). What is to be decided stands in core/backup.py.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hotspare_cloud.core.backup import Copy, Verdict, judge_push
from hotspare_cloud.directory import Directory
from hotspare_cloud.finish import finished, start
from hotspare_cloud.group import Group
from hotspare_cloud.retention import Retention
from hotspare_cloud.store.base import Store
from hotspare_cloud.store.base_records import Backup, KindRow
from hotspare_cloud.transfers import STEP, Proof, RowOf, Transfer
from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.transfer import Change, TransferHeader, TransferReader, by_kind, differing
from hotspare_rpc.logs import log_event

TRANSFERS_AT_ONCE = 4
"""Pushes of one group under way at once: one is the rule; more are what remains of broken connections."""

PRUNE_EVERY = 60.0
REQUESTS_KEPT = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Push:
    """What a push says of itself, beside its changes."""

    header: TransferHeader
    receiver_id: str
    operator: str
    new_lineage: bool = False


class Backups:
    """All groups' copies. One a process."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        row_of: RowOf,
        free_bytes: Callable[[], int],
        floor_bytes: int,
    ) -> None:
        self.pushes: Counter[str] = Counter(stored=0, unchanged=0, repaired=0, refused=0)
        self.pulls: Counter[str] = Counter(whole=0, changes=0, refused=0)
        self.damages = 0
        """Kinds that were found damaged in the store."""
        self.retention = Retention(store)
        self._store = store
        self._directory = directory
        self._row_of = row_of
        self._free_bytes = free_bytes
        self._floor_bytes = floor_bytes
        self._locks: dict[int, asyncio.Lock] = {}
        self._newest: dict[int, Backup | None] = {}
        self._watchers: dict[int, set[Callable[[], None]]] = {}
        self._damaged: dict[int, frozenset[RecordKind]] = {}
        self._under_way: Counter[int] = Counter()
        self._unclean: set[int] = set()
        """Groups in which something may be applied that was never committed."""
        self._last_transfer = 0
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read where the copies stand, and clear away, in the background, what was under way when the cloud stopped."""
        left = await self._store.transfers()
        self._last_transfer = max(left, default=0)
        for group in self._directory.groups():
            self._unclean.add(group.row.group_id)
            await self._clean(group)
        self._keeping = asyncio.create_task(self._keep_house(left), name="backups")

    async def stop(self) -> None:
        """Prune no more. Transfers end with their calls."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    # Looking.

    async def newest(self, group: Group) -> Backup | None:
        """The copy of a group. None: it has none."""
        own = group.row.group_id
        if own not in self._newest:
            found = await self._store.backup(own)
            self._newest.setdefault(own, found)
        return self._newest[own]

    def known(self, group: Group) -> Backup | None:
        """The copy of a group as far as anybody asked for it, for metrics."""
        return self._newest.get(group.row.group_id)

    async def revision(self, group: Group, number: int) -> Backup:
        """A kept revision; 0: the newest. Raises HotspareError REVISION_NOT_FOUND."""
        newest = await self.newest(group)
        if newest is not None and number in (0, newest.revision):
            return newest
        found = await self._store.revision(group.row.group_id, number) if newest is not None else None
        if found is None:
            times = await self._store.revision_times(group.row.group_id)
            raise HotspareError(
                Reason.REVISION_NOT_FOUND,
                f"the cloud does not keep revision {number}",
                revision=number,
                oldest=times[0][0] if times else 0,
                newest=newest.revision if newest else 0,
            )
        return found

    def damaged(self, group: Group) -> frozenset[RecordKind]:
        """Kinds whose records in the store do not have the digest that they should have."""
        return self._damaged.get(group.row.group_id, frozenset())

    def found_damaged(self, group: Group, kind: RecordKind) -> None:
        """The records of a kind do not agree with their digest: the disk, or the memory, has flipped something.

        No spare takes it over (B5). The table shows it, those who watch are told once more, and the host then sends the
        kind whole, which mends it.
        """
        if kind in self.damaged(group):
            return
        self._damaged[group.row.group_id] = self.damaged(group) | {kind}
        self.damages += 1
        log_event(_log, logging.ERROR, "backup_damaged", **_named(group), kind=kind.name)
        self._tell(group)

    @contextlib.contextmanager
    def watching(self, group: Group, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell` at each new revision, and when a kind is found damaged, as long as this stands."""
        watchers = self._watchers.setdefault(group.row.group_id, set())
        watchers.add(tell)
        try:
            yield
        finally:
            watchers.discard(tell)

    # Changing.

    async def push(
        self, group: Group, push: Push, reader: TransferReader, pieces: AsyncIterator[Sequence[Change]]
    ) -> Backup:
        """Take a push, whose pieces `reader` checks as they come; returns the copy afterwards.

        Raises:
            HotspareError: REVISION_BEHIND, REVISION_FORKED, DIGEST_MISMATCH, FIELD_INVALID, INTAKE_FULL, DISK_LOW, and
                what the pieces raise. Nothing has changed then.
        """
        try:
            transfer = self._begin(group)
            try:
                async for piece in pieces:
                    self._check_disk()
                    await transfer.add(piece, push.header.revision)
            except BaseException:
                start(self._end(group, transfer))
                raise
            assert reader.ended is not None
            return await self._finish_push(group, push, transfer, reader.ended.digests)
        except HotspareError:
            self.pushes["refused"] += 1
            raise

    @finished
    async def _finish_push(
        self, group: Group, push: Push, transfer: Transfer, leads_to: Sequence[KindDigest]
    ) -> Backup:
        try:
            async with self._lock(group):
                return await self._store_push(group, push, transfer, leads_to)
        finally:
            start(self._end(group, transfer))

    async def _store_push(self, group: Group, push: Push, transfer: Transfer, leads_to: Sequence[KindDigest]) -> Backup:
        header, cloud = push.header, await self.newest(group)
        damaged = self.damaged(group)
        verdict = judge_push(_copy(cloud), header, leads_to, new_lineage=push.new_lineage, damaged=damaged)
        if verdict is Verdict.ALREADY_THERE and cloud is not None:
            self.pushes["unchanged"] += 1
            return cloud
        await self._clean(group)
        await transfer.settle(header.whole, header.revision, push.operator)
        proof = await transfer.prove(cloud.digests if cloud else (), header.whole)
        await self._check_proof(group, proof, leads_to)
        if verdict is Verdict.REPAIR and cloud is not None:
            backup = replace(cloud, kinds=_rows(cloud, proof, transfer, cloud.revision, cloud.stored_at))
            await self._store.repair(transfer.transfer_id, group.row.group_id, backup, proof.buckets)
            log_event(_log, logging.WARNING, "backup_repaired", **_named(group), revision=backup.revision)
        else:
            now = time.time()
            backup = Backup(
                lineage=header.lineage,
                revision=header.revision,
                software_version=header.software_version,
                kinds=_rows(cloud, proof, transfer, header.revision, now),
                stored_at=now,
                receiver_id=push.receiver_id,
                operator=push.operator,
                change_count=await transfer.size(),
                base_revision=cloud.revision if cloud else 0,
                base_lineage=cloud.lineage if cloud else "",
            )
            await self._commit(group, transfer, backup, proof)
        self.pushes["repaired" if verdict is Verdict.REPAIR else "stored"] += 1
        await self._stored(group, transfer, backup, mended=header.whole)
        return backup

    @finished
    async def restore(self, group: Group, number: int, *, receiver_id: str, operator: str, request_id: str) -> Backup:
        """Bring the contents of a revision back as the next one (B8); returns the copy afterwards.

        It is exactly what it was, so that its digests prove it: devices that were deleted since are known again, those
        that were added since are not, and a device whose key was made anew since answers to the key of then. Who wants
        the newer keys makes them anew again. Revision 0, the newest, and one with the same contents change nothing.

        Raises:
            HotspareError: REVISION_NOT_FOUND, DIGEST_MISMATCH (the revision is damaged in the store), DISK_LOW.
        """
        self._check_disk()
        async with self._lock(group):
            wanted = await self.revision(group, number)
            newest = await self.newest(group)
            assert newest is not None
            since = time.time() - REQUESTS_KEPT
            if wanted is newest or await self._store.is_done(group.row.group_id, request_id, since):
                return newest
            await self._clean(group)
            transfer = self._begin(group)
            try:
                with self.retention.reading(group, wanted.revision):
                    await self._fill(group, transfer, wanted, newest, operator)
                proof = await transfer.prove(newest.digests, ())
                await self._check_proof(group, proof, wanted.digests)
                if not differing(newest.digests, wanted.digests):
                    return newest
                now, revision = time.time(), newest.revision + 1
                backup = replace(
                    newest,
                    revision=revision,
                    kinds=_rows(newest, proof, transfer, revision, now),
                    stored_at=now,
                    receiver_id=receiver_id,
                    operator=operator,
                    change_count=await transfer.size(),
                    restored_from=wanted.revision,
                    base_revision=newest.revision,
                    base_lineage=newest.lineage,
                )
                await self._commit(group, transfer, backup, proof, request_id)
                log_event(
                    _log,
                    logging.WARNING,
                    "backup_restored",
                    **_named(group),
                    revision=revision,
                    restored_from=wanted.revision,
                    operator=operator,
                )
                await self._stored(group, transfer, backup, mended=())
                return backup
            finally:
                start(self._end(group, transfer))

    async def _fill(self, group: Group, transfer: Transfer, wanted: Backup, newest: Backup, operator: str) -> None:
        """Lay down what leads from the newest revision back to the wanted one."""
        for kind in RecordKind:
            after, more = "", True
            while more:
                found, after = await self._store.differences(
                    group.row.group_id,
                    kind,
                    from_revision=wanted.revision,
                    to_revision=newest.revision,
                    after=after,
                    limit=STEP,
                )
                revision = newest.revision + 1
                changes = [Change(kind, each.id, each.before, revision, operator) for each in found]
                await transfer.add(changes, revision)
                more = bool(after)

    async def _check_proof(self, group: Group, proof: Proof, leads_to: Sequence[KindDigest]) -> None:
        wrong = differing(proof.digests, leads_to)
        if not wrong:
            return
        # Perhaps it is not what arrived that is wrong.
        for kind in wrong:
            await self._inspect(group, kind)
        raise HotspareError(
            Reason.DIGEST_MISMATCH,
            "what arrived does not lead to the digests that it should lead to; nothing was stored",
            kind=wrong[0].name,
        )

    async def _inspect(self, group: Group, kind: RecordKind) -> None:
        """Compare the records of a kind with their digest. Digests of buckets that are wrong are put right."""
        newest = await self.newest(group)
        if newest is None:
            return
        own = group.row.group_id
        as_it_is = await Transfer(self._store, 0, own, self._row_of).prove((), (kind,))
        if differing([by_kind(as_it_is.digests)[kind]], [by_kind(newest.digests)[kind]]):
            self.found_damaged(group, kind)
            return
        fresh = {number: bucket for (_, number), bucket in as_it_is.buckets.items() if bucket.count}
        if fresh != await self._store.bucket_digests(own, kind):
            log_event(_log, logging.ERROR, "backup_buckets_repaired", **_named(group), kind=kind.name)
            await self._store.repair(0, own, newest, as_it_is.buckets)

    async def _stored(self, group: Group, transfer: Transfer, backup: Backup, mended: Sequence[RecordKind]) -> None:
        """The store has a new revision: now all that is in memory follows."""
        self._newest[group.row.group_id] = backup
        self._damaged[group.row.group_id] = self.damaged(group) - frozenset(mended)
        devices = [device async for device in transfer.devices()]
        self._directory.replace_devices(
            group,
            [device for _, device in devices if device is not None],
            [device_id for device_id, device in devices if device is None],
        )
        self._tell(group)
        start(self.retention.prune(group))

    async def _commit(
        self, group: Group, transfer: Transfer, backup: Backup, proof: Proof, request_id: str = ""
    ) -> None:
        own = group.row.group_id
        self._unclean.add(own)
        await transfer.apply(backup.revision)
        await self._store.commit(transfer.transfer_id, own, backup, proof.buckets, request_id)
        self._unclean.discard(own)

    async def _clean(self, group: Group) -> None:
        """Take back what a push or a restore that failed, or died with the cloud, has left half applied."""
        own, newest = group.row.group_id, await self.newest(group)
        if own in self._unclean:
            while await self._store.undo(own, newest.revision if newest else 0, STEP):
                pass
            self._unclean.discard(own)

    def _begin(self, group: Group) -> Transfer:
        own = group.row.group_id
        if self._under_way[own] >= TRANSFERS_AT_ONCE:
            raise HotspareError(
                Reason.INTAKE_FULL, "too many pushes of this group are under way", limit=TRANSFERS_AT_ONCE
            )
        self._check_disk()
        self._under_way[own] += 1
        self._last_transfer += 1
        return Transfer(self._store, self._last_transfer, own, self._row_of)

    async def _end(self, group: Group, transfer: Transfer) -> None:
        try:
            await transfer.drop()
        finally:
            self._under_way[group.row.group_id] -= 1

    def _check_disk(self) -> None:
        free = self._free_bytes()
        if free < self._floor_bytes:
            raise HotspareError(
                Reason.DISK_LOW,
                "the cloud's disk is nearly full: send the configuration later",
                free_bytes=free,
                floor_bytes=self._floor_bytes,
            )

    def _lock(self, group: Group) -> asyncio.Lock:
        return self._locks.setdefault(group.row.group_id, asyncio.Lock())

    def _tell(self, group: Group) -> None:
        for tell in tuple(self._watchers.get(group.row.group_id, ())):
            tell()

    # Keeping house.

    async def _keep_house(self, left: Sequence[int]) -> None:
        for transfer_id in left:
            await self._try(Transfer(self._store, transfer_id, 0, self._row_of).drop())
        while True:
            for group in self._directory.groups():
                await self._try(self.retention.prune(group))
            await asyncio.sleep(PRUNE_EVERY)

    async def _try(self, work: Awaitable[None]) -> None:
        """Housekeeping never ends, whatever becomes of one of its works: on a full disk reads may fail as well."""
        try:
            await work
        except HotspareError as error:
            log_event(_log, logging.WARNING, "backup_housekeeping_failed", problem=error)
        except Exception as error:
            log_event(_log, logging.ERROR, "backup_housekeeping_failed", error=error)


def _copy(backup: Backup | None) -> Copy | None:
    return None if backup is None else Copy(backup.lineage, backup.revision, backup.digests)


def _rows(before: Backup | None, proof: Proof, transfer: Transfer, revision: int, now: float) -> tuple[KindRow, ...]:
    """The kinds after a transfer: those that did not change stay as they were."""
    known = {row.digest.kind: row for row in before.kinds} if before else {}
    changed = differing(before.digests if before else (), proof.digests)
    rows = []
    for digest in proof.digests:
        if digest.kind in changed:
            rows.append(KindRow(digest, transfer.newest.get(digest.kind, revision), now))
        else:
            rows.append(known.get(digest.kind, KindRow(digest, 0, None)))
    return tuple(rows)


def _named(group: Group) -> dict[str, Any]:
    return {"arc_id": group.row.arc_id, "sub_account": group.row.sub_account}
