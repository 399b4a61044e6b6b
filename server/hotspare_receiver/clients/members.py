"""The group as the cloud tells it, followed for as long as this receiver attends (G6)."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import grpc

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.errors import HotspareError
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.waiting import sleep_or
from hotspare_receiver.clock import Clock
from hotspare_rpc.logs import log_event

FIRST_RETRY = 0.2
LONGEST_RETRY = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GroupView:
    """What the cloud told last, and when (aware UTC, by this machine's wall clock)."""

    group: group_pb2.Group
    members: tuple[group_pb2.Member, ...]
    told: datetime


class MembersWatch:
    """Keeps `view` up to date while `wanted()`; a view that is old stays, with the time at which it was told."""

    def __init__(
        self,
        cloud: CloudClient,
        wanted: Callable[[], bool],
        sub_account: Callable[[], str],
        on_change: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`sub_account` names the group to ask for; empty: that of the role."""
        self._cloud = cloud
        self._wanted = wanted
        self._sub_account = sub_account
        self._on_change = on_change
        self._clock = clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.view: GroupView | None = None

    def start(self) -> None:
        """Begin to follow. Call it in the loop."""
        self._task = asyncio.create_task(self._run(), name="members")

    def restart(self) -> None:
        """The role, the group, or the way to the cloud, changed: what is known counts no more."""
        self.view = None
        self._wake.set()

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def host(self) -> group_pb2.Member | None:
        """The host of the group, as told last."""
        members = () if self.view is None else self.view.members
        return next((member for member in members if member.role == group_pb2.ROLE_HOST), None)

    async def _run(self) -> None:
        delay = FIRST_RETRY
        while True:
            self._wake.clear()
            if not self._wanted() or self._cloud.channel() is None:
                await self._wake.wait()
                continue
            if await self._follow():
                delay = FIRST_RETRY
            await sleep_or(self._wake, delay * random.uniform(0.75, 1.25))
            delay = min(delay * 2, LONGEST_RETRY)

    async def _follow(self) -> bool:
        """Follow one stream to its end, or until the wake; returns whether it told anything."""
        following = asyncio.create_task(self._stream())
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait((following, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            following.cancel()
            waking.cancel()
            await asyncio.gather(following, waking, return_exceptions=True)
        return not following.cancelled() and following.exception() is None and following.result()

    async def _stream(self) -> bool:
        told = False
        try:
            asked = role_service_pb2.WatchMembersRequest(sub_account=self._sub_account())
            watch = self._cloud.stream(self._cloud.roles().WatchMembers, asked)
            async with aclosing(watch):
                async for answer in watch:
                    told = True
                    self.view = GroupView(answer.group, tuple(answer.members), self._clock.wall())
                    self._on_change()
        except (HotspareError, grpc.aio.UsageError) as error:
            log_event(_log, logging.DEBUG, "members_watch_ended", problem=error)
        except Exception as error:
            # A defect must not end the watch for good.
            log_event(_log, logging.ERROR, "members_watch_broke", error=error)
        return told
