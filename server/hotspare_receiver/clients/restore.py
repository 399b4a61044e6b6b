"""What an operator does with the copy as a whole, at the host: take the cloud's, or begin a new lineage (B7, B8).

Each wish carries an id, and is granted once: asked for again within a day it changes nothing.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from hotspare.v1 import backup_pb2, backup_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.fetch import NothingThere, OtherVersion, TransferKeptOut
from hotspare_receiver.clients.push import Pusher
from hotspare_receiver.core.push import CloudCopy, Push, next_lineage_revision
from hotspare_receiver.core.sync import Refusal
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.copy import CopyStore
from hotspare_receiver.store.incoming import Overtaken
from hotspare_receiver.store.outgoing import Outgoing
from hotspare_rpc.logs import log_event

RESTORE_TIMEOUT = 60.0
"""Seconds that the cloud has, as the contract's deadline has it."""

ATTEMPTS = 3
"""How often a restore begins anew when an edit came in between."""

_RESTORE, _LINEAGE = "RestoreBackup", "StartLineage"
_log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Restorer:
    """Grants the wishes."""

    def __init__(
        self,
        cloud: CloudClient,
        configuration: ConfigurationStore,
        copies: CopyStore,
        outgoing: Outgoing,
        pusher: Pusher,
    ) -> None:
        self._cloud = cloud
        self._configuration = configuration
        self._copies = copies
        self._outgoing = outgoing
        self._pusher = pusher
        self._tasks: set[asyncio.Task[Any]] = set()

    async def stop(self) -> None:
        """End what is under way; asking for it again goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def restore(self, request_id: str, revision: int, operator: str, *, confirmed: bool) -> None:
        """Have the cloud bring a revision back (0: none), and make the cloud's newest the copy here.

        Raises:
            HotspareError: CONFIRMATION_REQUIRED, REVISION_NOT_FOUND, DIGEST_MISMATCH and others of a transfer that was
                kept out, CLOUD_UNREACHABLE, DISK_LOW. The copy here is as it was.
        """
        await self._finish(self._restore(request_id, revision, operator, confirmed))

    async def start_lineage(self, request_id: str, operator: str, *, confirmed: bool) -> backup_pb2.BackupTable:
        """Replace the cloud's copy by the one here, as a new lineage. Once it began here, it goes on by itself.

        Raises:
            HotspareError: CONFIRMATION_REQUIRED, CLOUD_UNREACHABLE, and the cloud's own.
        """
        return await self._finish(self._start_lineage(request_id, operator, confirmed))

    async def _finish(self, work: Coroutine[Any, Any, Result]) -> Result:
        """It goes on when the caller has gone."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _restore(self, request_id: str, revision: int, operator: str, confirmed: bool) -> None:
        async with self._pusher.lock:
            if await self._copies.granted(request_id, _RESTORE):
                return
            if not confirmed:
                raise await self._confirm_restore(revision)
            if revision:
                request = backup_service_pb2.RestoreBackupRequest(
                    request_id=request_id, revision=revision, confirmed=True
                )
                await self._cloud.call(
                    self._cloud.backups().RestoreBackup, request, operator=operator, timeout=RESTORE_TIMEOUT
                )
            taken = await self._take_over()
            await self._copies.grant(request_id, _RESTORE)
        log_event(_log, logging.WARNING, "backup_restored", revision=taken, restored_from=revision, operator=operator)

    async def _start_lineage(self, request_id: str, operator: str, confirmed: bool) -> backup_pb2.BackupTable:
        async with self._pusher.lock:
            cloud = await self._pusher.cloud_copy()
            if not await self._copies.granted(request_id, _LINEAGE):
                if not confirmed:
                    raise await self._confirm_lineage(cloud)
                local = await self._outgoing.local_copy()
                if not local.begins:
                    await self._outgoing.begin_lineage(next_lineage_revision(local, cloud))
                await self._copies.grant(request_id, _LINEAGE)
                log_event(_log, logging.WARNING, "lineage_begun", over_revision=cloud.revision, operator=operator)
            if (await self._outgoing.local_copy()).begins:
                table = await self._pusher.push(Push(0, (), new_lineage=True))
                self._pusher.restart()
                return table
        asked = backup_service_pb2.GetBackupRequest()
        return (await self._cloud.call(self._cloud.backups().GetBackup, asked)).backup

    async def _take_over(self) -> int:
        for attempt in range(ATTEMPTS):
            try:
                return await self._pusher.take_over(whole=True)
            except Overtaken:
                log_event(_log, logging.INFO, "restore_overtaken", attempt=attempt)
            except TransferKeptOut as error:
                raise _kept_out(error) from error
            except NothingThere as error:
                raise HotspareError(
                    Reason.REVISION_NOT_FOUND, "the cloud has no configuration yet", revision=0, oldest=0, newest=0
                ) from error
            except OtherVersion as error:
                raise HotspareError(Reason.VERSION_DIFFERS, str(error), required=error.required) from error
        raise HotspareError(Reason.ETAG_MISMATCH, "the configuration here is being edited: try again", etag="")

    async def _confirm_restore(self, revision: int) -> HotspareError:
        cloud = await self._pusher.cloud_copy()
        head, count = self._configuration.head, await self._configuration.count()
        source = f"revision {revision}" if revision else f"the cloud's newest revision {cloud.revision}"
        clears = f"the configuration here (revision {head.revision}, {count} records)"
        return HotspareError(
            Reason.CONFIRMATION_REQUIRED,
            f"{source} replaces {clears}, on this host and on all spares: confirm it explicitly",
            clears=clears,
        )

    async def _confirm_lineage(self, cloud: CloudCopy) -> HotspareError:
        count = sum(digest.count for digest in cloud.digests)
        clears = f"the cloud's configuration (revision {cloud.revision}, {count} records)"
        return HotspareError(
            Reason.CONFIRMATION_REQUIRED,
            f"the configuration here (revision {self._configuration.head.revision}, {await self._configuration.count()}"
            f" records) replaces {clears} and the copies on all spares, as a new lineage: confirm it explicitly",
            clears=clears,
        )


def _kept_out(error: TransferKeptOut) -> HotspareError:
    """What a transfer that was kept out means to who asked for it."""
    problem = f"what the cloud sent was kept out, and nothing changed here: {error}"
    match error.refusal:
        case Refusal.DIGEST:
            kinds = ",".join(kind.name for kind in error.kinds)
            return HotspareError(Reason.DIGEST_MISMATCH, problem, kind=kinds)
        case Refusal.STORE:
            return HotspareError(Reason.DISK_LOW, problem, free_bytes=0, floor_bytes=0)
        case _:
            return HotspareError(Reason.CHUNK_INVALID, problem, index="", expected="")
