"""Errors <-> status: how a HotspareError goes over the wire and comes back.

The form is Google's rich status (https://google.aip.dev/193): the canonical code, the message, and in the
trailing metadata `grpc-status-details-bin` a google.rpc.Status with an ErrorInfo and, where waiting helps, a
RetryInfo.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from hotspare_model.errors import CODES, HotspareError, Reason
from hotspare_rpc.text import printable

DOMAIN = "hotspare"
DETAILS_KEY = "grpc-status-details-bin"

# Peers take 8 KiB of trailing metadata; message (percent-encoded) and details (base64) grow on the way.
MESSAGE_LIMIT = 1024
VALUE_LIMIT = 512
METADATA_LIMIT = 2048
LONGEST_RETRY = timedelta(hours=1)

_REASON_FORM = re.compile(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]")
"""As google.rpc.ErrorInfo has it."""

DEFAULT_RETRY: Mapping[Reason, timedelta] = {
    Reason.DISK_LOW: timedelta(seconds=5),
    Reason.INTAKE_FULL: timedelta(seconds=1),
    Reason.CLOUD_UNREACHABLE: timedelta(seconds=1),
    Reason.SHUTTING_DOWN: timedelta(seconds=1),
}
"""When to try again after the reasons that errors.proto promises a RetryInfo for, where the error does not say."""


class UnknownReasonError(HotspareError):
    """What a peer of a newer release refused with a reason that this one does not know.

    It goes over the wire as it came. Inside, `reason` is only what it is taken for.
    """

    def __init__(self, taken_for: Reason, name: str, code: str, message: str, retry_after: timedelta | None) -> None:
        """`name` is the reason as the peer told it, `code` the name of its canonical gRPC code."""
        super().__init__(taken_for, message, retry_after=retry_after)
        self._name = name
        self._code = code

    @property
    def name(self) -> str:
        """The reason as the peer told it."""
        return self._name

    @property
    def code(self) -> str:
        """See HotspareError: the peer's."""
        return self._code


def canonical_code(reason: Reason) -> grpc.StatusCode:
    """The canonical gRPC code of a reason."""
    return grpc.StatusCode[CODES[reason]]


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: HotspareError) -> NoReturn:
    """End the call with the status of `error`.

    Raises:
        grpc.aio.AbortError: always; let it through.
    """
    await context.abort_with_status(rpc_status.to_status(to_status(error)))
    raise AssertionError("abort returned")


def to_status(error: HotspareError) -> status_pb2.Status:
    """The rich status of an error, with all of its text printable and bounded."""
    status = status_pb2.Status(
        code=grpc.StatusCode[error.code].value[0], message=printable(error.message, MESSAGE_LIMIT)
    )
    info = error_details_pb2.ErrorInfo(reason=error.name, domain=DOMAIN, metadata=_bounded(error.metadata))
    status.details.add().Pack(info)
    retry_after = error.retry_after
    if retry_after is None and error.name == error.reason.value:
        retry_after = DEFAULT_RETRY.get(error.reason)
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(min(max(retry_after, timedelta(0)), LONGEST_RETRY))
        status.details.add().Pack(retry)
    return status


def from_rpc_error(error: grpc.aio.AioRpcError) -> HotspareError | None:
    """The error that a peer of ours answered; None when it carries no reason that we know.

    Its text is made printable and bounded again: the peer may be anybody.
    """
    info, retry_after = _told(error)
    if info is None or info.reason not in Reason.__members__:
        return None
    ours = HotspareError(Reason(info.reason), printable(error.details() or "", MESSAGE_LIMIT), retry_after=retry_after)
    # Not by keyword: a key of the peer's may be called as a parameter.
    ours.metadata = _bounded(info.metadata)
    return ours


def of_newer_peer(error: grpc.aio.AioRpcError, taken_for: Reason) -> UnknownReasonError | None:
    """The error that a peer of a newer release answered, with a reason that we do not know; None for all others."""
    info, retry_after = _told(error)
    if info is None or info.reason in Reason.__members__ or not _REASON_FORM.fullmatch(info.reason):
        return None
    message = printable(error.details() or "", MESSAGE_LIMIT)
    unknown = UnknownReasonError(taken_for, info.reason, error.code().name, message, retry_after)
    unknown.metadata = _bounded(info.metadata)
    return unknown


def _told(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo | None, timedelta | None]:
    info: error_details_pb2.ErrorInfo | None = None
    retry_after: timedelta | None = None
    for detail in _details(error):
        try:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                found = error_details_pb2.ErrorInfo.FromString(detail.value)
                info = found if info is None and found.domain == DOMAIN else info
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry_after = _retry_delay(error_details_pb2.RetryInfo.FromString(detail.value))
        except DecodeError:
            continue
    return info, retry_after


def describe(error: grpc.aio.AioRpcError) -> str:
    """One line for people: the message, with reason and code behind it."""
    ours = from_rpc_error(error)
    if ours is not None:
        return f"{ours.message} ({ours.reason.value})"
    details = printable(error.details() or "", MESSAGE_LIMIT)
    return f"{error.code().name}: {details}" if details else error.code().name


def _bounded(metadata: Mapping[str, str]) -> dict[str, str]:
    bounded: dict[str, str] = {}
    left = METADATA_LIMIT
    for key, value in metadata.items():
        name, text = printable(key, VALUE_LIMIT), printable(value, VALUE_LIMIT)
        left -= len(name.encode()) + len(text.encode())
        if left < 0:
            break
        bounded[name] = text
    return bounded


def _details(error: grpc.aio.AioRpcError) -> list[Any]:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return []
    return []


def _retry_delay(retry: error_details_pb2.RetryInfo) -> timedelta | None:
    delay = retry.retry_delay
    if not 0 <= delay.seconds <= LONGEST_RETRY.total_seconds() or not 0 <= delay.nanos < 1_000_000_000:
        return None
    return timedelta(seconds=delay.seconds, microseconds=delay.nanos // 1000)
