"""Sends the host's configuration to the cloud by itself, after every edit and after any interruption (B3).

The deciding part is core/push.py. Here: ask what the cloud has (GetBackup) when that is not known, send
header, pieces and trailer, remember what was sent before it is sent, and try again with backoff.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta

import grpc

from hotspare.v1 import backup_pb2, backup_service_pb2, group_pb2, record_pb2
from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.waiting import sleep_or
from hotspare_receiver.core.push import (
    RECHECK_DIVERGED,
    Change,
    CloudCopy,
    Diverged,
    Push,
    UpToDate,
    decide,
    in_pieces,
    retry_after,
)
from hotspare_receiver.snapshot import SyncReport
from hotspare_receiver.store.configuration import ConfigurationStore, Cut
from hotspare_rpc.logs import log_event
from hotspare_rpc.version import SOFTWARE_VERSION

SETTLE = 0.2
"""Seconds that edits are gathered before they are sent: a burst becomes one revision at the cloud, well within B3."""

PUSH_TIMEOUT = 60.0

_log = logging.getLogger(__name__)

_DIVERGED_REASONS = (Reason.REVISION_BEHIND, Reason.REVISION_FORKED)


class Pusher:
    """Runs while this receiver is the host. `report` tells how the copy stands, for the beats and the status."""

    def __init__(
        self,
        cloud: CloudClient,
        store: ConfigurationStore,
        is_host: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._cloud = cloud
        self._store = store
        self._is_host = is_host
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._restarted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._cloud_copy: CloudCopy | None = None
        self._failures = 0
        self._state: group_pb2.SyncState.ValueType = group_pb2.SYNC_STATE_UNSPECIFIED
        self._detail = ""
        self.pushes = 0
        self.failures = 0

    def start(self) -> None:
        """Begin. Call it in the loop."""
        self._task = asyncio.create_task(self._run(), name="push")

    def edited(self) -> None:
        """The configuration changed."""
        if self._is_host() and self._state == group_pb2.SYNC_STATE_UP_TO_DATE:
            self._tell(group_pb2.SYNC_STATE_UPLOADING)
        self._wake.set()

    def restart(self) -> None:
        """The role, or the way to the cloud, changed: ask the cloud anew what it has."""
        self._cloud_copy = None
        self._failures = 0
        if not self._is_host():
            self._tell(group_pb2.SYNC_STATE_UNSPECIFIED)
        self._restarted.set()
        self._wake.set()

    def report(self) -> SyncReport:
        """The state of the copy, for a beat."""
        return SyncReport(int(self._state), self._store.head.revision, self._detail)

    async def stop(self) -> None:
        """Send nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._restarted.clear()
            pause: timedelta | None = None
            if self._is_host() and self._cloud.channel() is not None:
                pause = await self._try_step()
            if pause is None:
                await self._wake.wait()
                await asyncio.sleep(SETTLE)
            else:
                # An edit must not shorten the backoff, or each would knock at a cloud that is down.
                await sleep_or(self._restarted, pause.total_seconds())

    async def _try_step(self) -> timedelta | None:
        """Do what is next; returns how long to wait before the next step, None until something changes."""
        try:
            pause = await self._step()
        except (HotspareError, grpc.aio.UsageError) as error:
            return self._failed(error)
        except Exception as error:
            # A defect must not end the backup for good.
            log_event(_log, logging.ERROR, "configuration_push_broke", error=error)
            return self._failed(error)
        self._failures = 0
        return pause

    async def _step(self) -> timedelta | None:
        if self._cloud_copy is None:
            answer = await self._cloud.call(self._cloud.backups().GetBackup, backup_service_pb2.GetBackupRequest())
            self._cloud_copy = _copy_of(answer.backup)
        match decide(await self._store.local_copy(), self._cloud_copy):
            case UpToDate():
                self._tell(group_pb2.SYNC_STATE_UP_TO_DATE)
                return None
            case Diverged(detail=detail):
                return self._diverged(detail)
            case Push() as push:
                self._tell(group_pb2.SYNC_STATE_UPLOADING)
                pushed = await self._push(push)
                # More edits came meanwhile: under a stream of them too, each push gathers for a while.
                return timedelta(seconds=SETTLE if self._store.head.revision != pushed else 0)

    async def _push(self, push: Push) -> int:
        """Send what `push` says; returns the revision that the cloud then has."""
        cut = await self._store.cut(push.base_revision)
        await self._store.remember_push(cut.head.revision, cut.digests)
        # Until the answer is here nobody knows what the cloud has.
        self._cloud_copy = None
        answer = await self._cloud.call(self._cloud.backups().PushChanges, _frames(push, cut), timeout=PUSH_TIMEOUT)
        self._cloud_copy = _copy_of(answer.backup)
        self.pushes += 1
        await self._store.pushed(self._cloud_copy.revision)
        log_event(
            _log,
            logging.INFO,
            "configuration_pushed",
            revision=cut.head.revision,
            base=push.base_revision,
            changes=len(cut.changes),
        )
        return cut.head.revision

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


async def _frames(push: Push, cut: Cut) -> AsyncIterator[backup_service_pb2.PushChangesRequest]:
    """Header, pieces, trailer: steps 1 to 3 of PushChanges."""
    yield backup_service_pb2.PushChangesRequest(
        header=backup_pb2.ChangeHeader(
            lineage=cut.head.lineage,
            base_revision=push.base_revision,
            base_digests=_digests_to_proto(push.base_digests),
            revision=cut.head.revision,
            software_version=SOFTWARE_VERSION,
            whole_kinds=[_kind_to_proto(kind) for kind in RecordKind] if push.whole else [],
        ),
        operator_name=cut.head.operator,
    )
    count = 0
    for index, piece in enumerate(in_pieces(cut.changes)):
        count += 1
        yield backup_service_pb2.PushChangesRequest(
            chunk=backup_pb2.ChangeChunk(index=index, changes=[_change_to_proto(change) for change in piece])
        )
    yield backup_service_pb2.PushChangesRequest(
        trailer=backup_pb2.ChangeTrailer(
            chunk_count=count, change_count=len(cut.changes), digests=_digests_to_proto(cut.digests)
        )
    )


def _copy_of(table: backup_pb2.BackupTable) -> CloudCopy:
    known = {int(kind) for kind in RecordKind}
    digests = tuple(KindDigest(RecordKind(row.kind), row.count, row.sha256) for row in table.rows if row.kind in known)
    return CloudCopy(table.lineage, table.revision, digests)


def _kind_to_proto(kind: RecordKind) -> record_pb2.RecordKind.ValueType:
    return record_pb2.RecordKind.ValueType(int(kind))


def _digests_to_proto(digests: Iterable[KindDigest]) -> list[record_pb2.KindDigest]:
    return [
        record_pb2.KindDigest(kind=_kind_to_proto(digest.kind), count=digest.count, sha256=digest.sha256)
        for digest in digests
    ]


def _change_to_proto(change: Change) -> record_pb2.RecordChange:
    return record_pb2.RecordChange(
        kind=_kind_to_proto(change.kind),
        id=change.record_id,
        record=change.record,
        revision=change.revision,
    )
