"""What a receiver passes on to the cloud for its operators: moves, the history, the settings of the group (F8, S5)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hotspare.v1 import group_pb2, receiver_service_pb2, role_service_pb2, token_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.wire import duration_to_proto
from tests.integration.test_receiver_desk_support import Desk, FakeCloud, refused, running, serving_cloud

ANOTHER = {"arc_id": "south", "sub_account": "west"}
"""A group that is none of an operator's of this receiver."""

SWITCHOVER = role_service_pb2.SwitchoverRequest(
    request_id="9d1c8a52-3a9e-4d56-9d38-0a54c3b6f0d1",
    role=group_pb2.ROLE_SPARE_1,
    detail="a new disk",
    expected_epoch=7,
)
UPDATE = role_service_pb2.UpdateGroupSettingsRequest(
    settings=group_pb2.GroupSettings(failback_delay=duration_to_proto(timedelta(seconds=60))),
    update_mask=FieldMask(paths=["failback_delay"]),
)
CALLS: list[tuple[str, Any, str]] = [
    ("Switchover", SWITCHOVER, "operator"),
    ("PauseFailover", role_service_pb2.PauseFailoverRequest(detail="work at the power"), "operator"),
    ("ResumeFailover", role_service_pb2.ResumeFailoverRequest(detail="done"), "operator"),
    ("ListTransitions", role_service_pb2.ListTransitionsRequest(page_size=2, page_token="page"), "viewer"),
    ("GetGroupSettings", role_service_pb2.GetGroupSettingsRequest(), "viewer"),
    ("UpdateGroupSettings", UPDATE, "admin"),
]
TOKENS = {
    "viewer": token_pb2.TOKEN_ROLE_VIEWER,
    "operator": token_pb2.TOKEN_ROLE_OPERATOR,
    "admin": token_pb2.TOKEN_ROLE_ADMIN,
}


async def token(desk: Desk, role: str) -> str:
    """A token named after its role, as if a person had that name."""
    request = receiver_service_pb2.CreateTokenRequest(name=f"the-{role}", role=TOKENS[role])
    secret: str = (await desk.call(desk.receiver.CreateToken, request)).secret
    return secret


@pytest.mark.parametrize(("method", "request_", "needed"), CALLS, ids=[call[0] for call in CALLS])
async def test_s5_it_is_asked_of_the_cloud_in_the_name_of_the_operator(
    tmp_path: Path, method: str, request_: Any, needed: str
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        # Whatever group the caller names: here it is always the receiver's own.
        asked = type(request_)(**ANOTHER)
        asked.MergeFrom(request_)
        await desk.call(getattr(desk.roles, method), asked, await token(desk, needed))
        assert cloud.asked[method] == request_
        assert cloud.operators[method] == f"the-{needed}"


@pytest.mark.parametrize(("method", "request_", "needed"), CALLS, ids=[call[0] for call in CALLS])
async def test_s1_a_token_of_a_lower_role_may_not(tmp_path: Path, method: str, request_: Any, needed: str) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        lower = list(TOKENS)[: list(TOKENS).index(needed)]
        for role in lower:
            async with refused(Reason.CALLER_NOT_ALLOWED):
                await desk.call(getattr(desk.roles, method), request_, await token(desk, role))
        async with refused(Reason.INVALID_CREDENTIALS):
            await desk.call(getattr(desk.roles, method), request_, "no-token")
        assert cloud.asked == {}


async def test_f8_the_answer_comes_back_whole(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        answer = await desk.call(desk.roles.ListTransitions, role_service_pb2.ListTransitionsRequest())
        assert [(line.number, line.operator_name) for line in answer.transitions] == [(3, "anna")]
        assert answer.next_page_token == "more"


@pytest.mark.parametrize(
    "error",
    [
        HotspareError(Reason.TARGET_OFFLINE, "it is offline", receiver_id="x"),
        HotspareError(Reason.MOVE_RUNNING, "a move is under way", to="x"),
        HotspareError(Reason.NOT_SERVED, "an older cloud", method="Switchover"),
    ],
)
async def test_f8_a_refusal_of_the_cloud_reaches_the_operator(tmp_path: Path, error: HotspareError) -> None:
    cloud = FakeCloud(refusals={"Switchover": error})
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        async with refused(error.reason, **error.metadata):
            await desk.call(desk.roles.Switchover, SWITCHOVER)


async def test_f8_without_a_cloud_it_says_so(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        async with refused(Reason.CLOUD_NOT_CONFIGURED):
            await desk.call(desk.roles.PauseFailover, role_service_pb2.PauseFailoverRequest())
        await desk.connect("127.0.0.1:9")
        async with refused(Reason.CLOUD_UNREACHABLE):
            await desk.call(desk.roles.PauseFailover, role_service_pb2.PauseFailoverRequest())


async def test_f8_the_cloud_is_not_asked_for_longer_than_the_caller_waits(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        metadata = (("authorization", f"Bearer {desk.token}"),)
        await desk.roles.Switchover(SWITCHOVER, metadata=metadata, timeout=3.0)
        assert cloud.time_left["Switchover"] <= 4.0
        await desk.roles.Switchover(SWITCHOVER, metadata=metadata, timeout=60.0)
        assert 5.5 < cloud.time_left["Switchover"] <= 11.0
        await desk.roles.ListTransitions(role_service_pb2.ListTransitionsRequest(), metadata=metadata)
        assert cloud.time_left["ListTransitions"] <= 5.5


async def test_attend_is_the_clouds_alone(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        call = desk.roles.Attend(metadata=(("authorization", f"Bearer {desk.token}"),))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
