"""Work that goes on to its end although who asked for it has gone.

A call may be cancelled at any await: the caller went away, its deadline passed, its stream ended. What changes the
store and then the memory must not stop between the two.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.logs import log_event

P = ParamSpec("P")
R = TypeVar("R")

DISK_RETRY = 0.5
"""Seconds between attempts to store something on a full disk."""

_log = logging.getLogger(__name__)
_under_way: set[asyncio.Task[Any]] = set()


def start(work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
    """Run work in a task of its own that nobody cancels. An error that nobody hears is logged."""
    task = asyncio.ensure_future(work)
    _under_way.add(task)
    task.add_done_callback(_ended)
    return task


def finished(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Decorate what has to be done whole once it began. Its caller still gets its result, and its own cancellation."""

    @functools.wraps(method)
    async def whole(*args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.shield(start(method(*args, **kwargs)))

    return whole


async def settled(seconds: float) -> None:
    """Wait until what was started in this loop has ended, so long at most: before the store is closed."""
    loop = asyncio.get_running_loop()
    if tasks := [task for task in _under_way if task.get_loop() is loop]:
        await asyncio.wait(tasks, timeout=seconds)


async def until_room(write: Callable[[], Awaitable[R]]) -> R:
    """Store what has been decided, also when the disk is full for a while.

    For what can't be taken back: the window has stopped delivering under an epoch before its end is stored, so the
    group waits, and answers no beat meanwhile.
    """
    while True:
        try:
            return await write()
        except HotspareError as error:
            if error.reason is not Reason.DISK_LOW:
                raise
            log_event(_log, logging.ERROR, "decision_waits_for_disk")
        await asyncio.sleep(DISK_RETRY)


def _ended(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if task.cancelled():
        return
    error = task.exception()
    if error is not None and not isinstance(error, HotspareError):
        log_event(_log, logging.ERROR, "work_failed", error=error)
