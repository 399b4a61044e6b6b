"""What the streams have in common."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from google.protobuf.message import Message

from hotspare_cloud.directory import shutting_down
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
