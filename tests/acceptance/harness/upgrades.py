"""Runs servers as of another release, and asks what is next in an upgrade."""

import signal
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from hotspare.v1 import (
    receiver_service_pb2,
    receiver_service_pb2_grpc,
    role_service_pb2,
    role_service_pb2_grpc,
    version_service_pb2,
    version_service_pb2_grpc,
)
from hotspare_rpc.credentials import BearerToken
from hotspare_rpc.version import TEST_VERSION, TESTING
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.system import Receiver

Answer = TypeVar("Answer")

CALL = 5.0
"""Seconds for a call."""


def as_release(server: Server, version: str) -> None:
    """Have a server be of a release from its next start on."""
    server.env = {TESTING: "1", TEST_VERSION: version}


def stop(server: Server) -> None:
    """Stop a server in order, as its service manager does, and wait for its end."""
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.log()


def upgrade(server: Server, version: str) -> None:
    """Stop a server in order, and start it as of another release."""
    stop(server)
    as_release(server, version)
    server.start()
    server.serving()


def ask(receiver: Receiver, call: Callable[[grpc.Channel, Any], Answer]) -> Answer:
    """Make a call as an operator of a receiver: `call` gets the channel and the metadata."""
    with grpc.insecure_channel(receiver.grpc) as channel:
        return call(channel, BearerToken(receiver.token.read_text().strip()).metadata())


def checked(receiver: Receiver) -> version_service_pb2.CheckVersionResponse:
    """CheckVersion at a receiver, with its token."""
    request = version_service_pb2.CheckVersionRequest()
    return ask(
        receiver,
        lambda channel, metadata: version_service_pb2_grpc.VersionServiceStub(channel).CheckVersion(
            request, metadata=metadata, timeout=CALL
        ),
    )


def steps(receiver: Receiver) -> list[str]:
    """What is next for cloud, host and spares, in this order: `NONE`, `UPGRADE_NOW`, `WAIT`, `NEWER_THAN_HOST`."""
    told = checked(receiver)
    found = (told.cloud_step, *(member.step for member in told.members))
    return [version_service_pb2.UpgradeStep.Name(step).removeprefix("UPGRADE_STEP_") for step in found]


def status_of(receiver: Receiver) -> receiver_service_pb2.ReceiverStatus:
    """The status of a receiver."""
    request = receiver_service_pb2.GetStatusRequest()
    answer: receiver_service_pb2.GetStatusResponse = ask(
        receiver,
        lambda channel, metadata: receiver_service_pb2_grpc.ReceiverServiceStub(channel).GetStatus(
            request, metadata=metadata, timeout=CALL
        ),
    )
    return answer.status


def members_of(receiver: Receiver) -> role_service_pb2.ListMembersResponse:
    """The members of its group, as a receiver has them from the cloud."""
    request = role_service_pb2.ListMembersRequest()
    return ask(
        receiver,
        lambda channel, metadata: role_service_pb2_grpc.RoleServiceStub(channel).ListMembers(
            request, metadata=metadata, timeout=CALL
        ),
    )
