"""The errors that callers see, without any transport: each has a reason of the contract and what changes in its text.

The reasons are those of `ErrorReason` in protos/hotspare/v1/errors.proto, without the prefix; a contract test holds
the two together. The canonical gRPC code of each stands in `CODES`, by name, so that this module needs no gRPC.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum


class Reason(StrEnum):
    """Why a call was refused. What each one means, and its metadata, stands in errors.proto."""

    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    CALLER_NOT_ALLOWED = "CALLER_NOT_ALLOWED"
    ROLE_TAKEN = "ROLE_TAKEN"
    HOST_MISSING = "HOST_MISSING"
    SUB_ACCOUNT_MISMATCH = "SUB_ACCOUNT_MISMATCH"
    SUB_ACCOUNT_UNKNOWN = "SUB_ACCOUNT_UNKNOWN"
    DUAL_CONNECTION_NOT_ALLOWED = "DUAL_CONNECTION_NOT_ALLOWED"
    NOT_A_MEMBER = "NOT_A_MEMBER"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    MACHINE_MISMATCH = "MACHINE_MISMATCH"
    INCARNATION_SUPERSEDED = "INCARNATION_SUPERSEDED"
    HOT_SPARE_ENDED = "HOT_SPARE_ENDED"
    ROLE_HELD = "ROLE_HELD"
    CONFIRMATION_REQUIRED = "CONFIRMATION_REQUIRED"
    MEMBER_CONNECTED = "MEMBER_CONNECTED"
    START_BEHIND = "START_BEHIND"
    EPOCH_STALE = "EPOCH_STALE"
    STREAM_SUPERSEDED = "STREAM_SUPERSEDED"
    STREAM_PROTOCOL = "STREAM_PROTOCOL"
    TARGET_OFFLINE = "TARGET_OFFLINE"
    TARGET_UNHEALTHY = "TARGET_UNHEALTHY"
    TARGET_WORKING = "TARGET_WORKING"
    MOVE_RUNNING = "MOVE_RUNNING"
    NOT_PAUSED = "NOT_PAUSED"
    LEASE_ARITHMETIC = "LEASE_ARITHMETIC"
    PULL_MISMATCH = "PULL_MISMATCH"
    FIELD_INVALID = "FIELD_INVALID"
    FIELD_MASK_INVALID = "FIELD_MASK_INVALID"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    RESOURCE_EXISTS = "RESOURCE_EXISTS"
    REFERENCE_MISSING = "REFERENCE_MISSING"
    RESOURCE_REFERENCED = "RESOURCE_REFERENCED"
    IMPORT_INVALID = "IMPORT_INVALID"
    NOT_EDITABLE_HERE = "NOT_EDITABLE_HERE"
    REVISION_BEHIND = "REVISION_BEHIND"
    REVISION_FORKED = "REVISION_FORKED"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    CHUNK_INVALID = "CHUNK_INVALID"
    VERSION_DIFFERS = "VERSION_DIFFERS"
    REVISION_NOT_FOUND = "REVISION_NOT_FOUND"
    ROTATION_RUNNING = "ROTATION_RUNNING"
    KEY_IN_USE = "KEY_IN_USE"
    DEVICE_UNKNOWN = "DEVICE_UNKNOWN"
    ALARM_NOT_SET_ASIDE = "ALARM_NOT_SET_ASIDE"
    DISK_LOW = "DISK_LOW"
    INTAKE_FULL = "INTAKE_FULL"
    DUAL_CONNECTION_OFF = "DUAL_CONNECTION_OFF"
    OUTPUT_UNREACHABLE = "OUTPUT_UNREACHABLE"
    CLOUD_NOT_CONFIGURED = "CLOUD_NOT_CONFIGURED"
    CLOUD_UNREACHABLE = "CLOUD_UNREACHABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    STORE_FAILED = "STORE_FAILED"
    NOT_SERVED = "NOT_SERVED"
    INTERNAL = "INTERNAL"


CODES: Mapping[Reason, str] = {
    Reason.INVALID_CREDENTIALS: "UNAUTHENTICATED",
    Reason.TOKEN_EXPIRED: "UNAUTHENTICATED",
    Reason.CALLER_NOT_ALLOWED: "PERMISSION_DENIED",
    Reason.ROLE_TAKEN: "ALREADY_EXISTS",
    Reason.HOST_MISSING: "FAILED_PRECONDITION",
    Reason.SUB_ACCOUNT_MISMATCH: "FAILED_PRECONDITION",
    Reason.SUB_ACCOUNT_UNKNOWN: "NOT_FOUND",
    Reason.DUAL_CONNECTION_NOT_ALLOWED: "FAILED_PRECONDITION",
    Reason.NOT_A_MEMBER: "FAILED_PRECONDITION",
    Reason.MEMBER_NOT_FOUND: "NOT_FOUND",
    Reason.MACHINE_MISMATCH: "FAILED_PRECONDITION",
    Reason.INCARNATION_SUPERSEDED: "FAILED_PRECONDITION",
    Reason.HOT_SPARE_ENDED: "FAILED_PRECONDITION",
    Reason.ROLE_HELD: "FAILED_PRECONDITION",
    Reason.CONFIRMATION_REQUIRED: "FAILED_PRECONDITION",
    Reason.MEMBER_CONNECTED: "FAILED_PRECONDITION",
    Reason.START_BEHIND: "ABORTED",
    Reason.EPOCH_STALE: "ABORTED",
    Reason.STREAM_SUPERSEDED: "ABORTED",
    Reason.STREAM_PROTOCOL: "INVALID_ARGUMENT",
    Reason.TARGET_OFFLINE: "FAILED_PRECONDITION",
    Reason.TARGET_UNHEALTHY: "FAILED_PRECONDITION",
    Reason.TARGET_WORKING: "FAILED_PRECONDITION",
    Reason.MOVE_RUNNING: "ABORTED",
    Reason.NOT_PAUSED: "FAILED_PRECONDITION",
    Reason.LEASE_ARITHMETIC: "INVALID_ARGUMENT",
    Reason.PULL_MISMATCH: "ABORTED",
    Reason.FIELD_INVALID: "INVALID_ARGUMENT",
    Reason.FIELD_MASK_INVALID: "INVALID_ARGUMENT",
    Reason.ETAG_MISMATCH: "ABORTED",
    Reason.PAGE_TOKEN_INVALID: "INVALID_ARGUMENT",
    Reason.RESOURCE_NOT_FOUND: "NOT_FOUND",
    Reason.RESOURCE_EXISTS: "ALREADY_EXISTS",
    Reason.REFERENCE_MISSING: "FAILED_PRECONDITION",
    Reason.RESOURCE_REFERENCED: "FAILED_PRECONDITION",
    Reason.IMPORT_INVALID: "INVALID_ARGUMENT",
    Reason.NOT_EDITABLE_HERE: "FAILED_PRECONDITION",
    Reason.REVISION_BEHIND: "FAILED_PRECONDITION",
    Reason.REVISION_FORKED: "FAILED_PRECONDITION",
    Reason.DIGEST_MISMATCH: "DATA_LOSS",
    Reason.CHUNK_INVALID: "INVALID_ARGUMENT",
    Reason.VERSION_DIFFERS: "FAILED_PRECONDITION",
    Reason.REVISION_NOT_FOUND: "NOT_FOUND",
    Reason.ROTATION_RUNNING: "FAILED_PRECONDITION",
    Reason.KEY_IN_USE: "FAILED_PRECONDITION",
    Reason.DEVICE_UNKNOWN: "NOT_FOUND",
    Reason.ALARM_NOT_SET_ASIDE: "FAILED_PRECONDITION",
    Reason.DISK_LOW: "RESOURCE_EXHAUSTED",
    Reason.INTAKE_FULL: "RESOURCE_EXHAUSTED",
    Reason.DUAL_CONNECTION_OFF: "FAILED_PRECONDITION",
    Reason.OUTPUT_UNREACHABLE: "UNAVAILABLE",
    Reason.CLOUD_NOT_CONFIGURED: "FAILED_PRECONDITION",
    Reason.CLOUD_UNREACHABLE: "UNAVAILABLE",
    Reason.SHUTTING_DOWN: "UNAVAILABLE",
    Reason.STORE_FAILED: "UNAVAILABLE",
    Reason.NOT_SERVED: "UNIMPLEMENTED",
    Reason.INTERNAL: "INTERNAL",
}


class HotspareError(Exception):
    """A call refused, with its reason.

    `message` is for people; `metadata` holds each of its changing parts, as errors.proto names them; `retry_after` is
    set where waiting helps.
    """

    def __init__(
        self, reason: Reason, message: str, *, retry_after: timedelta | None = None, **metadata: object
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.retry_after = retry_after

    @property
    def name(self) -> str:
        """The reason as it goes over the wire."""
        return self.reason.value

    @property
    def code(self) -> str:
        """Name of the canonical gRPC code, such as `FAILED_PRECONDITION`."""
        return CODES[self.reason]


def field_invalid(field: str, problem: str) -> HotspareError:
    """The error for one field that is missing or outside its range; `problem` says what would be right."""
    return HotspareError(Reason.FIELD_INVALID, f"{field}: {problem}", field=field, problem=problem)
