"""A stream of the cloud that is followed for as long as it is wanted, and opened again whenever it ends."""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from hotspare_model.errors import HotspareError
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.waiting import sleep_or
from hotspare_rpc.logs import log_event

FIRST_RETRY = 0.2
LONGEST_RETRY = 2.0
"""Seconds between two attempts; they double, and begin anew once a stream told anything."""

_log = logging.getLogger(__name__)


class Follower(ABC):
    """Follows one stream after the other while `wanted()` and a cloud is configured."""

    def __init__(self, name: str, cloud: CloudClient, wanted: Callable[[], bool]) -> None:
        self._name = name
        self._cloud = cloud
        self._wanted = wanted
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow. Call it in the loop."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def restart(self) -> None:
        """The role, the group, or the way to the cloud, changed: follow anew."""
        self._wake.set()

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @abstractmethod
    def _open(self) -> AsyncGenerator[Any, None]:
        """Open the stream. What it raises ends it, and is told."""

    @abstractmethod
    def _take(self, answer: Any) -> None:
        """The cloud told something."""

    def _lost(self, problem: str) -> None:
        """A stream ended by itself."""
        log_event(_log, logging.DEBUG, "watch_ended", watch=self._name, problem=problem)

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
            self._lost(problem)
            if told:
                delay = FIRST_RETRY
            await sleep_or(self._wake, delay * random.uniform(0.75, 1.25))
            delay = min(delay * 2, LONGEST_RETRY)

    async def _follow(self) -> tuple[bool, str]:
        """Follow one stream to its end, or until the wake."""
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
        """Follow one stream to its end; returns whether it told anything, and why it ended."""
        told = False
        try:
            async with aclosing(self._open()) as answers:
                async for answer in answers:
                    told = True
                    self._take(answer)
        except HotspareError as error:
            return told, error.message
        except grpc.aio.UsageError as error:
            return told, str(error)
        except Exception as error:
            # A defect must not end the watch for good.
            log_event(_log, logging.ERROR, "watch_broke", watch=self._name, error=error)
            return told, f"{type(error).__name__}: {error}"
        return told, "the cloud ended the watch"
