"""What a client makes of a status, whoever sent it."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.errors import DETAILS_KEY, canonical_code, describe, from_rpc_error, of_newer_peer, to_status


def rpc_error(
    code: grpc.StatusCode, details: str | None, status: status_pb2.Status | bytes | None = None
) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata()
    if status is not None:
        raw = status if isinstance(status, bytes) else status.SerializeToString()
        trailing.add(DETAILS_KEY, raw)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)


def with_details(*details: Any) -> grpc.aio.AioRpcError:
    status = status_pb2.Status(code=9, message="text")
    for detail in details:
        status.details.add().Pack(detail)
    return rpc_error(grpc.StatusCode.FAILED_PRECONDITION, "text", status)


@pytest.mark.parametrize("reason", sorted(Reason))
def test_every_reason_comes_back_as_it_went(reason: Reason) -> None:
    sent = HotspareError(reason, "a message", retry_after=timedelta(seconds=2.25), role="HOST", free_roles="")
    status = to_status(sent)
    received = from_rpc_error(rpc_error(canonical_code(reason), status.message, status))
    assert received is not None
    assert (received.reason, received.message, received.metadata, received.retry_after) == (
        sent.reason,
        sent.message,
        sent.metadata,
        sent.retry_after,
    )


@pytest.mark.parametrize(
    ("seconds", "told"), [(-5.0, 0.0), (0.0, 0.0), (0.001, 0.001), (100_000.0, 3600.0), (1e12, 3600.0)]
)
def test_the_time_to_wait_is_bounded(seconds: float, told: float) -> None:
    status = to_status(HotspareError(Reason.DISK_LOW, "x", retry_after=timedelta(seconds=seconds)))
    received = from_rpc_error(rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "x", status))
    assert received is not None
    assert received.retry_after == timedelta(seconds=told)


def test_v3_a_reason_that_this_release_does_not_know_is_none_of_ours() -> None:
    error = with_details(error_details_pb2.ErrorInfo(domain="hotspare", reason="OF_NEXT_YEAR"))
    assert from_rpc_error(error) is None
    assert describe(error) == "FAILED_PRECONDITION: text"


def test_v3_what_a_newer_peer_refused_is_passed_on_as_it_came() -> None:
    info = error_details_pb2.ErrorInfo(domain="hotspare", reason="OF_NEXT_YEAR", metadata={"what": "it"})
    unknown = of_newer_peer(with_details(info), Reason.CLOUD_UNREACHABLE)
    assert unknown is not None
    assert unknown.reason is Reason.CLOUD_UNREACHABLE
    status = to_status(unknown)
    assert (status.code, status.message, len(status.details)) == (9, "text", 1)
    passed = error_details_pb2.ErrorInfo.FromString(status.details[0].value)
    assert passed == info


@pytest.mark.parametrize(
    ("domain", "reason"),
    [("hotspare", "DISK_LOW"), ("other", "OF_NEXT_YEAR"), ("hotspare", "no reason"), ("hotspare", "")],
)
def test_v3_nothing_else_is_taken_for_a_newer_peers(domain: str, reason: str) -> None:
    error = with_details(error_details_pb2.ErrorInfo(domain=domain, reason=reason))
    assert of_newer_peer(error, Reason.CLOUD_UNREACHABLE) is None


def test_a_reason_of_another_domain_is_none_of_ours() -> None:
    foreign = error_details_pb2.ErrorInfo(domain="example.org", reason="ROLE_TAKEN")
    assert from_rpc_error(with_details(foreign)) is None
    ours = error_details_pb2.ErrorInfo(domain="hotspare", reason="HOST_MISSING")
    error = from_rpc_error(with_details(foreign, ours))
    assert error is not None
    assert error.reason is Reason.HOST_MISSING


def test_metadata_may_have_any_key() -> None:
    keys = {"self": "1", "reason": "2", "message": "3", "retry_after": "4", "": "5"}
    error = from_rpc_error(
        with_details(error_details_pb2.ErrorInfo(domain="hotspare", reason="HOST_MISSING", metadata=keys))
    )
    assert error is not None
    assert error.metadata == keys


@given(st.binary(max_size=60))
def test_s4_garbage_in_the_details_is_no_error_of_ours(raw: bytes) -> None:
    assert from_rpc_error(rpc_error(grpc.StatusCode.UNKNOWN, "x", raw)) is None


def test_s4_garbage_inside_a_detail_is_passed_over() -> None:
    status = status_pb2.Status(code=9, message="text")
    status.details.append(AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff"))
    status.details.append(AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\x0a\xff"))
    status.details.append(AnyMessage(type_url="nonsense", value=b""))
    assert from_rpc_error(rpc_error(grpc.StatusCode.FAILED_PRECONDITION, "text", status)) is None
    hostile = error_details_pb2.RetryInfo()
    hostile.retry_delay.seconds = 2**62
    ours = error_details_pb2.ErrorInfo(domain="hotspare", reason="HOST_MISSING")
    error = from_rpc_error(with_details(hostile, ours))
    assert error is not None
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("details", "line"),
    [
        ("failed to connect", "UNAVAILABLE: failed to connect"),
        ("a\nb\x1b[2J", r"UNAVAILABLE: a\nb\x1b[2J"),
        ("", "UNAVAILABLE"),
        (None, "UNAVAILABLE"),
    ],
)
def test_a_status_without_a_reason_is_described_by_code_and_text(details: str | None, line: str) -> None:
    assert describe(rpc_error(grpc.StatusCode.UNAVAILABLE, details)) == line


def test_a_status_without_any_metadata_is_described() -> None:
    assert describe(grpc.aio.AioRpcError(grpc.StatusCode.UNKNOWN)) == "UNKNOWN"
