"""What the cloud tells of its newest revision, followed for as long as this receiver has a role (B4, B8)."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeAlias

import grpc

from hotspare.v1 import sync_service_pb2
from hotspare_model.errors import HotspareError
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.waiting import sleep_or
from hotspare_rpc.logs import log_event

FIRST_RETRY = 0.2
LONGEST_RETRY = 2.0

Newest: TypeAlias = sync_service_pb2.WatchBackupResponse

_log = logging.getLogger(__name__)


class BackupWatch:
    """Follows WatchBackup while `wanted()`. Each word goes to `on_told`, each end of the stream to `on_lost`."""

    def __init__(
        self,
        cloud: CloudClient,
        wanted: Callable[[], bool],
        on_told: Callable[[Newest], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._cloud = cloud
        self._wanted = wanted
        self._on_told = on_told
        self._on_lost = on_lost
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow. Call it in the loop."""
        self._task = asyncio.create_task(self._run(), name="backup-watch")

    def restart(self) -> None:
        """The role, the group, or the way to the cloud, changed: follow anew."""
        self._wake.set()

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        delay = FIRST_RETRY
        while True:
            self._wake.clear()
            if not self._wanted() or self._cloud.channel() is None:
                await self._wake.wait()
                continue
            told, problem = await self._follow()
            if self._wake.is_set():
                continue
            self._on_lost(problem)
            if told:
                delay = FIRST_RETRY
            await sleep_or(self._wake, delay * random.uniform(0.75, 1.25))
            delay = min(delay * 2, LONGEST_RETRY)

    async def _follow(self) -> tuple[bool, str]:
        """Follow one stream to its end, or until the wake; returns whether it told anything, and why it ended."""
        following = asyncio.create_task(self._stream())
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait((following, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            following.cancel()
            waking.cancel()
            await asyncio.gather(following, waking, return_exceptions=True)
        return (False, "") if following.cancelled() else following.result()

    async def _stream(self) -> tuple[bool, str]:
        told = False
        try:
            watch = self._cloud.stream(self._cloud.syncs().WatchBackup, sync_service_pb2.WatchBackupRequest())
            async with aclosing(watch):
                async for newest in watch:
                    told = True
                    self._on_told(newest)
        except HotspareError as error:
            return told, error.message
        except grpc.aio.UsageError as error:
            return told, str(error)
        except Exception as error:
            # A defect must not end the watch for good.
            log_event(_log, logging.ERROR, "backup_watch_broke", error=error)
            return told, f"{type(error).__name__}: {error}"
        return told, "the cloud ended the watch"
