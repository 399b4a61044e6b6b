"""What the streams have in common."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.message import Message

from hotspare_cloud.directory import Directory, shutting_down
from hotspare_cloud.group import Group
from hotspare_cloud.services.callers import Callers, Context
from hotspare_model.errors import HotspareError, Reason

F = TypeVar("F", bound=Message)


async def first_of(requests: AsyncIterator[F], frame: str, stopped: asyncio.Event) -> F:
    """The first message of a stream, which must be the frame of that name.

    Raises:
        HotspareError: STREAM_PROTOCOL; SHUTTING_DOWN, when the server stops while the caller says nothing.
    """
    coming = asyncio.ensure_future(anext(aiter(requests), None))
    stop = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait((coming, stop), return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            raise shutting_down()
        first = coming.result()
    finally:
        coming.cancel()
        stop.cancel()
    if first is None or first.WhichOneof("frame") != frame:
        raise HotspareError(Reason.STREAM_PROTOCOL, f"expected `{frame}` first", expected=frame)
    return first


class Wakes:
    """Wakes a stream that tells news: at once the first time, then whenever something may have changed."""

    def __init__(self, stopped: asyncio.Event) -> None:
        self._stopped = stopped
        self._changed = asyncio.Event()
        self._changed.set()
        self._ended: HotspareError | None = None

    def wake(self) -> None:
        """Something may have changed."""
        self._changed.set()

    def end(self, error: HotspareError) -> None:
        """The stream must not go on, for this reason."""
        self._ended = error
        self._changed.set()

    async def wait(self) -> None:
        """Wait for the next time.

        Raises:
            HotspareError: SHUTTING_DOWN; what the stream was ended with.
        """
        await self._changed.wait()
        self._changed.clear()
        if self._stopped.is_set():
            raise shutting_down()
        if self._ended is not None:
            raise self._ended


@contextmanager
def woken(directory: Directory, callers: Callers, context: Context, group: Group) -> Iterator[Wakes]:
    """What wakes a stream about a group: its changes, the end of the caller's key (X3) or token, the server's stop.

    Raises:
        HotspareError: INVALID_CREDENTIALS, TOKEN_EXPIRED: it has ended already.
    """
    wakes = Wakes(directory.stopped)
    group.watchers.add(wakes.wake)
    try:
        with callers.lasting(context, wakes.end, by_token=True):
            yield wakes
    finally:
        group.watchers.discard(wakes.wake)
