"""CheckVersion at a receiver: the plan comes from the cloud, and all else without it (V2, V3)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from hotspare.v1 import (
    backup_service_pb2_grpc,
    group_pb2,
    receiver_service_pb2,
    role_service_pb2_grpc,
    token_pb2,
    version_service_pb2,
    version_service_pb2_grpc,
)
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.credentials import new_secret, read_operator, read_receiver_credentials
from hotspare_rpc.server import RpcServer
from hotspare_rpc.version import SOFTWARE_VERSION
from tests.integration.test_receiver_desk_support import (
    LOOPBACK,
    Desk,
    FakeBackups,
    FakeCloud,
    FakeRoles,
    refused,
    running,
)

PLAN = version_service_pb2.CheckVersionResponse(
    software_version="9.9.9",
    component=version_service_pb2.COMPONENT_CLOUD,
    contract_major=1,
    compatible=True,
    members=[
        version_service_pb2.MemberVersion(
            receiver_id="r",
            role=group_pb2.ROLE_HOST,
            software_version="1.0",
            step=version_service_pb2.UPGRADE_STEP_WAIT,
            detail="why",
        )
    ],
    cloud_version="9.9.9",
    cloud_step=version_service_pb2.UPGRADE_STEP_UPGRADE_NOW,
)


@dataclass
class Versions(version_service_pb2_grpc.VersionServiceServicer):
    """The cloud's part; `answers` may be an error, or None for a cloud that never answers."""

    answer: version_service_pb2.CheckVersionResponse | HotspareError | None = field(default_factory=lambda: PLAN)
    asked: list[version_service_pb2.CheckVersionRequest] = field(default_factory=list)
    operators: list[str | None] = field(default_factory=list)

    async def CheckVersion(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        metadata = context.invocation_metadata()
        self.operators.append(read_operator(metadata))
        assert read_receiver_credentials(metadata) is not None
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, HotspareError):
            raise self.answer
        return self.answer


@asynccontextmanager
async def cloud_with(versions: Versions) -> AsyncIterator[str]:
    """A cloud; gives its address."""
    cloud, server = FakeCloud(), RpcServer(LOOPBACK, None, CollectorRegistry())
    server.add(role_service_pb2_grpc.add_RoleServiceServicer_to_server, FakeRoles(cloud))
    server.add(backup_service_pb2_grpc.add_BackupServiceServicer_to_server, FakeBackups(cloud))
    server.add(version_service_pb2_grpc.add_VersionServiceServicer_to_server, versions)
    address = await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


async def check(desk: Desk, **request: str) -> version_service_pb2.CheckVersionResponse:
    """CheckVersion with the token of the admin."""
    stub = version_service_pb2_grpc.VersionServiceStub(desk.channel)
    answer: version_service_pb2.CheckVersionResponse = await desk.call(
        stub.CheckVersion, version_service_pb2.CheckVersionRequest(**request)
    )
    return answer


async def test_v2_the_plan_of_the_cloud_is_passed_on_with_the_operators_name(tmp_path: Path) -> None:
    versions = Versions()
    async with cloud_with(versions) as address, running(tmp_path / "r") as desk:
        await desk.connect(address, sub_account="west")
        answer = await check(desk)
    assert list(answer.members) == list(PLAN.members)
    assert (answer.cloud_version, answer.cloud_step) == (PLAN.cloud_version, PLAN.cloud_step)
    assert (answer.software_version, answer.component) == (SOFTWARE_VERSION, version_service_pb2.COMPONENT_RECEIVER)
    assert (answer.compatible, answer.detail, answer.contract_major) == (True, "", 1)
    (asked,) = versions.asked
    assert (asked.software_version, asked.arc_id, asked.sub_account) == (SOFTWARE_VERSION, "", "west")
    assert versions.operators == ["admin"]


async def test_v2_a_viewer_may_ask_and_a_wrong_token_is_refused(tmp_path: Path) -> None:
    async with cloud_with(Versions()) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        request = receiver_service_pb2.CreateTokenRequest(name="viewer", role=token_pb2.TOKEN_ROLE_VIEWER)
        made = await desk.call(desk.receiver.CreateToken, request)
        stub = version_service_pb2_grpc.VersionServiceStub(desk.channel)
        asked = version_service_pb2.CheckVersionRequest()
        assert (await desk.call(stub.CheckVersion, asked, made.secret)).members
        async with refused(Reason.INVALID_CREDENTIALS):
            await desk.call(stub.CheckVersion, asked, new_secret())


async def test_v2_without_a_token_the_cloud_is_not_asked(tmp_path: Path) -> None:
    versions = Versions()
    async with cloud_with(versions) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        stub = version_service_pb2_grpc.VersionServiceStub(desk.channel)
        answer = await stub.CheckVersion(version_service_pb2.CheckVersionRequest(), timeout=5)
    assert (answer.software_version, answer.cloud_version, list(answer.members)) == (SOFTWARE_VERSION, "", [])
    assert versions.asked == []


async def test_v2_v3_without_a_cloud_the_rest_is_told(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        answers = [await check(desk, software_version="99.0")]
        await desk.connect("127.0.0.1:9")
        answers.append(await check(desk, software_version="99.0"))
    for answer in answers:
        assert (answer.software_version, answer.cloud_version, list(answer.members)) == (SOFTWARE_VERSION, "", [])
        assert (answer.compatible, bool(answer.detail)) == (False, True)


async def test_v2_a_cloud_that_refuses_or_never_answers_takes_only_the_plan_away(tmp_path: Path) -> None:
    versions = Versions(HotspareError(Reason.INVALID_CREDENTIALS, "wrong key"))
    async with cloud_with(versions) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        assert not (await check(desk)).cloud_version
        versions.answer = None
        assert not (await check(desk)).cloud_version
    assert len(versions.asked) == 2


async def test_v3_a_cloud_of_before_the_plan_tells_its_version(tmp_path: Path) -> None:
    older = version_service_pb2.CheckVersionResponse(software_version="0.0.9", compatible=True)
    async with cloud_with(Versions(older)) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        answer = await check(desk)
    assert (answer.cloud_version, list(answer.members)) == ("0.0.9", [])
