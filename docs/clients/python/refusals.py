"""Why a call failed, and whether and when to try it again."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
MENDING_PAUSE = 60.0
"""Seconds. While somebody has to mend something, trying oftener only makes load."""


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
    message: str = ""

    @property
    def passes(self) -> bool:
        """Whether the same call may succeed soon. A reason that is not known here is taken by its code."""
        if self.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            # A full disk passes, and its RetryInfo says so; a message that is too long stays so.
            return self.retry_delay is not None
        return self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

    @property
    def needs_mending(self) -> bool:
        """Whether somebody has to mend something first: a key, a token, a subscription, a setting."""
        return self.code in (
            grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.FAILED_PRECONDITION,
        )


class Pauses:
    """The pauses between attempts; they grow with each failure in a row."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def reset(self) -> None:
        """It worked again."""
        self._next = FIRST_PAUSE

    def after(self, refusal: Refusal) -> float:
        """Seconds until the next attempt: no fewer than the server asked for."""
        seconds = MENDING_PAUSE if refusal.needs_mending else self._next
        self._next = min(2 * self._next, LONGEST_PAUSE)
        # Some longer than others: what came to a stop together should not come back in one moment.
        return max(seconds, refusal.retry_delay or 0.0) * random.uniform(1.0, 1.2)


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
    return Refusal(error.code(), reason, metadata, retry_delay, error.details() or "")


def _details(error: grpc.aio.AioRpcError) -> Iterable[Any]:
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return status_pb2.Status.FromString(value).details
    return ()
