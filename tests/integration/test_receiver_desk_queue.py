"""The cloud's queue through a receiver: passed on in the name of the operator, for its own group alone (A5, S5)."""

from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import alarm_pb2, alarm_pull_service_pb2, alarm_pull_service_pb2_grpc
from hotspare_model.errors import HotspareError, Reason
from tests.integration import test_receiver_desk_support as support
from tests.integration.test_receiver_desk_moves import token
from tests.integration.test_receiver_desk_support import Desk, FakeCloud, refused, running, serving_cloud

LIST = alarm_pull_service_pb2.ListQueueRequest(state=alarm_pb2.ALARM_STATE_SET_ASIDE, device_id="panel-1", page_size=7)
GET = alarm_pull_service_pb2.GetQueuedAlarmRequest(number=12)
REPLAY = alarm_pull_service_pb2.ReplayAlarmRequest(request_id="9d1c8a52-3a9e-4d56-9d38-0a54c3b6f0d1", number=12)
CALLS: list[tuple[str, Any, str]] = [
    ("ListQueue", LIST, "viewer"),
    ("GetQueuedAlarm", GET, "viewer"),
    ("ReplayAlarm", REPLAY, "operator"),
]


class FakeQueue(support.FakePulls):
    """A queue that writes down who asked what."""

    async def _passed_on(self, call: str, request: Any, context: Any) -> None:
        self._cloud.admit(call, context)
        self._cloud.asked[call] = request

    async def ListQueue(self, request: Any, context: Any) -> Any:
        await self._passed_on("ListQueue", request, context)
        return alarm_pull_service_pb2.ListQueueResponse(next_page_token="more")

    async def GetQueuedAlarm(self, request: Any, context: Any) -> Any:
        await self._passed_on("GetQueuedAlarm", request, context)
        return alarm_pull_service_pb2.GetQueuedAlarmResponse()

    async def ReplayAlarm(self, request: Any, context: Any) -> Any:
        await self._passed_on("ReplayAlarm", request, context)
        if request.number == 13:
            raise HotspareError(Reason.ALARM_NOT_SET_ASIDE, "alarm 13 is not set aside", number=13, state="CONFIRMED")
        return alarm_pull_service_pb2.ReplayAlarmResponse()


@pytest.fixture(autouse=True)
def _with_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "FakePulls", FakeQueue)


async def call(desk: Desk, method: str, request: Any, role: str) -> Any:
    stub = alarm_pull_service_pb2_grpc.AlarmPullServiceStub(desk.channel)
    return await desk.call(getattr(stub, method), request, await token(desk, role))


@pytest.mark.parametrize(("method", "request_", "needed"), CALLS, ids=[each[0] for each in CALLS])
async def test_a5_s5_the_queue_is_asked_of_the_cloud_in_the_name_of_the_operator(
    tmp_path: Path, method: str, request_: Any, needed: str
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        asked = type(request_)(arc_id="south", sub_account="west")
        asked.MergeFrom(request_)
        await call(desk, method, asked, needed)
        assert (cloud.asked[method], cloud.operators[method]) == (request_, f"the-{needed}")


async def test_s1_a_viewer_may_look_and_not_send_again(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        async with refused(Reason.CALLER_NOT_ALLOWED):
            await call(desk, "ReplayAlarm", REPLAY, "viewer")
        assert "ReplayAlarm" not in cloud.asked


async def test_a5_the_clouds_refusal_comes_as_it_is(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        async with refused(Reason.ALARM_NOT_SET_ASIDE, number="13", state="CONFIRMED"):
            await call(
                desk, "ReplayAlarm", alarm_pull_service_pb2.ReplayAlarmRequest(request_id="x", number=13), "operator"
            )


async def test_a5_without_a_cloud_that_is_told(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk, refused(Reason.CLOUD_NOT_CONFIGURED):
        await call(desk, "ListQueue", LIST, "viewer")
