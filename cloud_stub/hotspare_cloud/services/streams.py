"""What the streams have in common."""

from collections.abc import AsyncIterator
from typing import TypeVar

from google.protobuf.message import Message

from hotspare_model.errors import HotspareError, Reason

F = TypeVar("F", bound=Message)


async def first_of(requests: AsyncIterator[F], frame: str) -> F:
    """The first message of a stream, which must be the frame of that name. Raises HotspareError STREAM_PROTOCOL."""
    try:
        first = await anext(aiter(requests))
    except StopAsyncIteration:
        first = None
    if first is None or first.WhichOneof("frame") != frame:
        raise HotspareError(Reason.STREAM_PROTOCOL, f"expected `{frame}` first", expected=frame)
    return first
