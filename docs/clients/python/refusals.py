"""Why a call failed, and whether and when to try it again."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


@dataclass(frozen=True)
class Refusal:
    """A failed call, by what a program may decide on; the text of an error is for people, and may change."""

    code: grpc.StatusCode
    reason: str = "-"
    """Of the contract, as errors.proto names it. `-`: none, so the error is of gRPC itself."""
    metadata: dict[str, str] = field(default_factory=dict)
    """The changing parts of the message, under the keys that errors.proto names."""
    retry_delay: float | None = None
    """Seconds to wait before trying again. None: the server did not say."""

    @property
    def passes(self) -> bool:
        """Whether the same call may succeed later. A reason that is not known here is taken by its code."""
        if self.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            # A full disk passes, and its RetryInfo says so; a message that is too long stays so.
            return self.retry_delay is not None
        return self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def read(error: grpc.aio.AioRpcError) -> Refusal:
    """Read a failed call with its details."""
    reason, metadata, retry_delay = "-", {}, None
    for detail in _details(error):
        match detail.TypeName():
            case "google.rpc.ErrorInfo":
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                if info.domain == "hotspare":
                    reason, metadata = info.reason, dict(info.metadata)
            case "google.rpc.RetryInfo":
                retry = error_details_pb2.RetryInfo.FromString(detail.value)
                retry_delay = retry.retry_delay.ToTimedelta().total_seconds()
    return Refusal(error.code(), reason, metadata, retry_delay)


async def until_answered(call: Callable[[], Awaitable[T]], waiting: Callable[[Refusal, float], None]) -> T:
    """Make a call again and again until it is answered; `waiting` is told of each failure that passes.

    Only for calls that may be made twice: their comment in the protos says "Idempotent".

    Raises:
        grpc.aio.AioRpcError: waiting does not help.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            refusal = read(error)
            if not refusal.passes:
                raise
        seconds = pause if refusal.retry_delay is None else refusal.retry_delay
        # Some longer than others: what came to a stop together should not come back in one moment.
        seconds *= random.uniform(1.0, 1.2)
        waiting(refusal, seconds)
        await asyncio.sleep(seconds)
        pause = min(2 * pause, LONGEST_PAUSE)


def _details(error: grpc.aio.AioRpcError) -> Iterable[Any]:
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return status_pb2.Status.FromString(value).details
    return ()
