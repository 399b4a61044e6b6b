"""Sends the host's configuration to the cloud by itself, after every edit and after any interruption (B3); a receiver
that works alone sends its own in the same way (G7).

The deciding part is core/push.py. Here: ask what the cloud has (GetBackup) when that is not known, send
header, pieces and trailer, remember what was sent before it is sent, and try again with backoff. What an operator
restored at the cloud is taken over; what they wish at this receiver is in clients/restore.py.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import grpc

from hotspare.v1 import backup_pb2, backup_service_pb2, group_pb2
from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.transfer import Digests, TransferHeader
from hotspare_receiver.clients.backup_watch import Newest
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.fetch import Fetch, NothingThere, OtherVersion, TransferKeptOut
from hotspare_receiver.clients.waiting import sleep_or
from hotspare_receiver.core.push import (
    RECHECK_DIVERGED,
    CloudCopy,
    Diverged,
    LocalCopy,
    Push,
    Renew,
    TakeOver,
    UpToDate,
    decide,
    retry_after,
)
from hotspare_receiver.core.sync import Pull
from hotspare_receiver.snapshot import SyncReport
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.copy import CopyStore
from hotspare_receiver.store.incoming import Overtaken
from hotspare_receiver.store.outgoing import Outgoing
from hotspare_rpc.logs import log_event
from hotspare_rpc.transfer import frames
from hotspare_rpc.version import SOFTWARE_VERSION

SETTLE = 0.2
"""Seconds after a push in which edits are gathered before they are sent: a burst becomes few revisions at the cloud.
The first edit after a quiet time is sent at once."""

PUSH_TIMEOUT = 60.0

_log = logging.getLogger(__name__)

_DIVERGED_REASONS = (Reason.REVISION_BEHIND, Reason.REVISION_FORKED)


class Pusher:
    """Runs while the configuration here is the one that counts. `report` tells how it stands."""

    def __init__(
        self,
        cloud: CloudClient,
        store: ConfigurationStore,
        outgoing: Outgoing,
        copies: CopyStore,
        fetch: Fetch,
        may_push: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        """`may_push`: whether this receiver is the host, or works alone (G7)."""
        self._cloud = cloud
        self._store = store
        self._outgoing = outgoing
        self._copies = copies
        self._fetch = fetch
        self._may_push = may_push
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._restarted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._cloud_copy: CloudCopy | None = None
        self._told: CloudCopy | None = None
        self._news = False
        self._ask = False
        self._anew = False
        self._could = False
        self._failures = 0
        self._state: group_pb2.SyncState.ValueType = group_pb2.SYNC_STATE_UNSPECIFIED
        self._detail = ""
        self.lock = asyncio.Lock()
        """Held by who changes the copy as a whole, or what the cloud has of it."""
        self.cloud_digests: Digests | None = None
        """Those of the cloud's copy, as far as is known."""
        self.pushes = 0
        self.failures = 0

    def start(self) -> None:
        """Begin. Call it in the loop."""
        self._task = asyncio.create_task(self._run(), name="push")

    def edited(self) -> None:
        """The configuration changed."""
        if self._may_push() and self._state == group_pb2.SYNC_STATE_UP_TO_DATE:
            self._tell(group_pb2.SYNC_STATE_UPLOADING)
        self._wake.set()

    def told(self, newest: Newest) -> None:
        """The cloud told its newest revision: perhaps one that an operator restored there (B8)."""
        digests = tuple(
            KindDigest(RecordKind(each.kind), each.count, each.sha256) for each in newest.digests if each.kind in _KINDS
        )
        before, self._told = (
            self._told,
            CloudCopy(
                newest.lineage,
                newest.revision,
                digests,
                newest.software_version,
                newest.restored_from,
                newest.base_revision,
                newest.base_lineage,
            ),
        )
        self._news = True
        # After a break: it may have been restored from a copy since (B7). The same once more: the cloud found some of
        # it damaged (B5).
        self._ask = self._ask or self._anew or (before is not None and _place(before) == _place(self._told))
        self._anew = False
        if self._state == group_pb2.SYNC_STATE_DIVERGED:
            # An operator may have put it right.
            self._restarted.set()
        self._wake.set()

    def lost(self) -> None:
        """The cloud tells nothing for now: what it tells first when it is back is asked about."""
        self._anew = True

    def restart(self) -> None:
        """The role, or the way to the cloud, changed: ask the cloud anew what it has."""
        self._cloud_copy = None
        self._told = None
        self.cloud_digests = None
        self._failures = 0
        self._could = self._may_push()
        if not self._could:
            self._tell(group_pb2.SYNC_STATE_UNSPECIFIED)
        self._restarted.set()
        self._wake.set()

    def follow(self) -> bool:
        """What `may_push` rests on may have changed; returns whether it did."""
        if self._may_push() is self._could:
            return False
        self.restart()
        return True

    def report(self) -> SyncReport:
        """The state of the copy, for a beat."""
        return SyncReport(int(self._state), self._store.head.revision, self._detail)

    async def stop(self) -> None:
        """Send nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # For what an operator wishes here; `lock` is held.

    async def cloud_copy(self) -> CloudCopy:
        """What the cloud has, asked now. Raises HotspareError: the cloud's own, CLOUD_UNREACHABLE."""
        answer = await self._cloud.call(self._cloud.backups().GetBackup, backup_service_pb2.GetBackupRequest())
        self._cloud_copy = _copy_of(answer.backup, self._told)
        self.cloud_digests = self._cloud_copy.digests
        return self._cloud_copy

    async def take_over(self, *, whole: bool) -> int:
        """Make the cloud's newest the copy here; returns its revision.

        Raises:
            TransferKeptOut, OtherVersion, NothingThere, Overtaken: nothing changed.
            HotspareError: the cloud's own, CLOUD_UNREACHABLE.
        """
        own, held = await self._copies.own()
        pull = Pull("", 0) if whole or not own.revision else Pull(own.lineage, own.revision)
        fetched = await self._fetch.pull(pull, own, held, synced=False)
        log_event(
            _log, logging.WARNING, "configuration_taken_over",
            revision=fetched.copy.revision, from_revision=own.revision, changes=fetched.changes,
        )  # fmt: skip
        self._cloud_copy = None
        # Nothing is left to wait for, also where it had diverged.
        self._restarted.set()
        self._wake.set()
        return fetched.copy.revision

    async def push(self, push: Push) -> backup_pb2.BackupTable:
        """Send what `push` says; returns the cloud's table afterwards.

        Raises:
            HotspareError: the cloud's own, CLOUD_UNREACHABLE.
        """
        async with self._store.view(push.base_revision, push.whole_kinds) as view:
            await self._outgoing.remember(view.head.revision, view.digests)
            # Until the answer is here nobody knows what the cloud has.
            self._cloud_copy = None
            header = TransferHeader(
                lineage=view.head.lineage,
                base_revision=push.base_revision,
                base_digests=push.base_digests,
                revision=view.head.revision,
                software_version=SOFTWARE_VERSION,
                whole_kinds=push.whole_kinds,
            )
            wrap = backup_service_pb2.PushChangesRequest
            requests = frames(header, view.changes(), view.digests, wrap)
            first = await anext(requests)
            first.new_lineage, first.operator_name = push.new_lineage, view.head.operator

            async def sent() -> AsyncIterator[backup_service_pb2.PushChangesRequest]:
                yield first
                async for request in requests:
                    yield request

            answer = await self._cloud.call(self._cloud.backups().PushChanges, sent(), timeout=PUSH_TIMEOUT)
            count = view.count
        self._cloud_copy = _copy_of(answer.backup, None)
        self.cloud_digests = self._cloud_copy.digests
        self.pushes += 1
        await self._outgoing.stored(self._cloud_copy.lineage, self._cloud_copy.revision)
        log_event(
            _log, logging.INFO, "configuration_pushed", revision=header.revision, base=push.base_revision,
            changes=count, new_lineage=push.new_lineage,
        )  # fmt: skip
        return answer.backup

    # The loop.

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._restarted.clear()
            self._could = self._may_push()
            pause: timedelta | None = None
            if self._could and self._cloud.channel() is not None:
                pause = await self._try_step()
            if pause is None:
                await self._wake.wait()
            else:
                # An edit must not shorten the backoff, or each would knock at a cloud that is down.
                await sleep_or(self._restarted, pause.total_seconds())

    async def _try_step(self) -> timedelta | None:
        """Do what is next; returns how long to wait before the next step, None until something changes."""
        try:
            async with self.lock:
                pause = await self._step()
        except Overtaken:
            return timedelta(0)
        except (HotspareError, grpc.aio.UsageError, TransferKeptOut, OtherVersion, NothingThere) as error:
            return self._failed(error)
        except Exception as error:
            # A defect must not end the backup for good.
            log_event(_log, logging.ERROR, "configuration_push_broke", error=error)
            return self._failed(error)
        self._failures = 0
        return pause

    async def _step(self) -> timedelta | None:
        if self._ask or (self._news and self._is_other()):
            self._cloud_copy = None
        self._news = self._ask = False
        cloud = self._cloud_copy or await self.cloud_copy()
        local = await self._outgoing.local_copy()
        decision = decide(local, cloud, SOFTWARE_VERSION)
        if isinstance(decision, UpToDate | Push | Renew):
            await self._note_stored(local, cloud)
        match decision:
            case UpToDate():
                self._tell(group_pb2.SYNC_STATE_UP_TO_DATE)
                return None
            case Diverged(detail=detail):
                return self._diverged(detail)
            case TakeOver():
                self._tell(group_pb2.SYNC_STATE_BEHIND, f"taking over what was restored from {cloud.restored_from}")
                await self._take_over_by_itself()
            case Renew():
                await self._outgoing.renew(local.revision)
            case Push() as push:
                self._tell(group_pb2.SYNC_STATE_UPLOADING)
                await self.push(push)
                if self._store.head.revision == self._revision_there():
                    self._tell(group_pb2.SYNC_STATE_UP_TO_DATE)
                # Under a stream of edits too, each push gathers for a while.
                return timedelta(seconds=SETTLE)
        return timedelta(0)

    def _is_other(self) -> bool:
        """Whether the cloud told of another copy than the one that is known. What it told of an older revision was on
        its way while a push made a newer one."""
        told, known = self._told, self._cloud_copy
        if told is None or known is None:
            return False
        return told.lineage != known.lineage or told.revision > known.revision

    async def _take_over_by_itself(self) -> None:
        try:
            await self.take_over(whole=False)
        except TransferKeptOut as error:
            log_event(_log, logging.WARNING, "configuration_kept_out", reason=error.refusal.value, problem=error)
            await self.take_over(whole=True)

    async def _note_stored(self, local: LocalCopy, cloud: CloudCopy) -> None:
        """The cloud has what an answer that was lost would have told of."""
        if local.lineage == cloud.lineage and local.stored < cloud.revision and cloud.revision in local.sent:
            await self._outgoing.stored(cloud.lineage, cloud.revision)

    def _revision_there(self) -> int:
        return self._cloud_copy.revision if self._cloud_copy is not None else 0

    def _diverged(self, detail: str) -> timedelta:
        if self._state != group_pb2.SYNC_STATE_DIVERGED:
            log_event(_log, logging.WARNING, "configuration_diverged", detail=detail)
        self._tell(group_pb2.SYNC_STATE_DIVERGED, detail)
        self._cloud_copy = None
        return RECHECK_DIVERGED

    def _failed(self, error: Exception) -> timedelta:
        self._cloud_copy = None
        self._failures += 1
        self.failures += 1
        if isinstance(error, HotspareError) and error.reason in _DIVERGED_REASONS:
            return self._diverged(error.message)
        if self._failures == 1:
            log_event(_log, logging.WARNING, "configuration_push_failed", problem=error)
        self._tell(group_pb2.SYNC_STATE_FAILED, str(error))
        return retry_after(self._failures)

    def _tell(self, state: group_pb2.SyncState.ValueType, detail: str = "") -> None:
        if (state, detail) != (self._state, self._detail):
            self._state, self._detail = state, detail
            self._on_change()


_KINDS = frozenset(int(kind) for kind in RecordKind)


def _copy_of(table: backup_pb2.BackupTable, told: CloudCopy | None) -> CloudCopy:
    """The cloud's copy as its table has it, with what the watch told of the same revision."""
    digests = tuple(KindDigest(RecordKind(row.kind), row.count, row.sha256) for row in table.rows if row.kind in _KINDS)
    damaged = tuple(
        RecordKind(row.kind) for row in table.rows if row.kind in _KINDS and row.status == group_pb2.SYNC_STATE_FAILED
    )
    copy = CloudCopy(table.lineage, table.revision, digests, table.software_version, damaged=damaged)
    if told is None or _place(told) != _place(copy):
        return copy
    return replace(
        copy, restored_from=told.restored_from, base_revision=told.base_revision, base_lineage=told.base_lineage
    )


def _place(copy: CloudCopy) -> tuple[str, int]:
    return copy.lineage, copy.revision
