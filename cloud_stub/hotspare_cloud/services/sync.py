"""SyncService: the spares follow the cloud's copy (B4, B5, V1)."""

import asyncio
from collections.abc import AsyncIterator

from hotspare.v1 import sync_service_pb2, sync_service_pb2_grpc
from hotspare_cloud.backups import Backups
from hotspare_cloud.core.backup import Copy, Gift, check_version, gift_for
from hotspare_cloud.core.order import has_host
from hotspare_cloud.directory import Directory, shutting_down
from hotspare_cloud.group import Group
from hotspare_cloud.services.backup_convert import news_to_proto
from hotspare_cloud.services.callers import Callers, Context, ReceiverCaller
from hotspare_cloud.services.streams import woken
from hotspare_cloud.store.base_records import Backup, RecordStore
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import SPARE_ROLES
from hotspare_model.transfer import LONGEST_VERSION, MAX_REVISION, Change, RunningDigest, TransferHeader, by_kind
from hotspare_rpc.transfer import frames, kinds_from_proto

PAGE = 1000
"""Records that are read at once."""

Pull = sync_service_pb2.PullChangesResponse


class SyncService(sync_service_pb2_grpc.SyncServiceServicer):
    """See sync_service.proto.

    A receiver without a role may call as well while its group has no host: it works alone (G7), edits, and may have to
    take the cloud's copy over first (B7).
    """

    def __init__(self, callers: Callers, directory: Directory, backups: Backups, store: RecordStore) -> None:
        self._callers = callers
        self._directory = directory
        self._backups = backups
        self._store = store

    async def PullChanges(
        self, request: sync_service_pb2.PullChangesRequest, context: Context
    ) -> AsyncIterator[sync_service_pb2.PullChangesResponse]:
        """See sync_service.proto.

        The version is held against spares alone: a host takes the copy over with whatever version it has (B7, G8).
        """
        caller = self._callers.receiver(context)
        try:
            group = self._group(caller)
            if not 1 <= len(request.software_version) <= LONGEST_VERSION:
                raise field_invalid("software_version", f"must be 1 to {LONGEST_VERSION} characters")
            if request.since_revision > MAX_REVISION:
                raise field_invalid("since_revision", "must be the number of a revision")
            newest = await self._backups.newest(group)
            if newest is not None and group.members[caller.receiver_id].role in SPARE_ROLES:
                check_version(request.software_version, newest.software_version)
        except HotspareError:
            self._backups.pulls["refused"] += 1
            raise
        if newest is None:
            async for frame in frames(TransferHeader("", 0, (), 0, ""), (), (), Pull):
                yield frame
            return
        # What is read stays, although newer revisions are stored and older ones go meanwhile.
        with self._backups.retention.reading(group, request.since_revision or newest.revision) as kept:
            base = await self._store.revision(group.row.group_id, request.since_revision) if kept else None
            gift = gift_for(
                _copy(newest),
                _copy(base) if base else None,
                lineage=request.lineage,
                since=request.since_revision,
                whole_kinds=kinds_from_proto(request.whole_kinds),
            )
            self._backups.pulls["changes" if gift.base_revision else "whole"] += 1
            header = TransferHeader(
                lineage=newest.lineage,
                base_revision=gift.base_revision,
                base_digests=base.digests if base is not None and gift.base_revision else (),
                revision=newest.revision,
                software_version=newest.software_version,
                whole_kinds=gift.whole_kinds,
            )
            ended: list[HotspareError] = []
            with self._callers.lasting(context, ended.append):
                async for frame in frames(header, self._changes(group, newest, gift), newest.digests, Pull):
                    if self._directory.stopped.is_set():
                        raise shutting_down()
                    if ended:
                        raise ended[0]
                    yield frame

    async def _changes(self, group: Group, newest: Backup, gift: Gift) -> AsyncIterator[Change]:
        """What is sent, page by page; kinds that are sent whole are held against their digest on the way."""
        for kind in RecordKind:
            since = gift.since(kind)
            running = RunningDigest(kind) if since == 0 else None
            async for change in self._records(group, kind, since, newest.revision):
                if running is not None:
                    running.add(change.record_id, change.record)
                yield change
            if running is not None and running.digest() != by_kind(newest.digests)[kind]:
                # It is sent nevertheless, with the digest that it should have: the spare then keeps it out (B5).
                self._backups.found_damaged(group, kind)

    async def _records(self, group: Group, kind: RecordKind, since: int, at: int) -> AsyncIterator[Change]:
        own, after = group.row.group_id, ""
        while page := await self._store.changes(own, kind, since=since, at=at, after=after, limit=PAGE):
            for change in page:
                yield change
            after = page[-1].record_id

    async def WatchBackup(
        self, request: sync_service_pb2.WatchBackupRequest, context: Context
    ) -> AsyncIterator[sync_service_pb2.WatchBackupResponse]:
        """See sync_service.proto. The newest comes once more when a kind of it was found damaged."""
        caller = self._callers.receiver(context)
        group = self._group(caller)
        news = asyncio.Event()
        news.set()
        with woken(self._directory, self._callers, context, group) as wakes:

            def tell() -> None:
                news.set()
                wakes.wake()

            with self._backups.watching(group, tell):
                while True:
                    await wakes.wait()
                    if self._group(caller) is not group:
                        raise _no_member(caller)
                    if news.is_set():
                        news.clear()
                        yield news_to_proto(await self._backups.newest(group))

    def _group(self, caller: ReceiverCaller) -> Group:
        """The group whose copy a receiver follows.

        Raises:
            HotspareError: HOT_SPARE_ENDED, NOT_A_MEMBER.
        """
        group = self._directory.group_of_member(caller.arc_id, caller.receiver_id)
        if group is not None:
            return group
        alone = self._directory.groups_alone(caller.arc_id, caller.receiver_id)
        if alone and not has_host(alone[0].state):
            return alone[0]
        for each in self._directory.groups(caller.arc_id):
            if each.departed.get(caller.receiver_id):
                raise HotspareError(
                    Reason.HOT_SPARE_ENDED, "the hot spare was switched off", generation=each.generation
                )
        raise _no_member(caller)


def _no_member(caller: ReceiverCaller) -> HotspareError:
    return HotspareError(Reason.NOT_A_MEMBER, "this receiver holds no role", receiver_id=caller.receiver_id)


def _copy(backup: Backup) -> Copy:
    return Copy(backup.lineage, backup.revision, backup.digests)
