"""An alarm at the receiver is shown with the deliveries that the cloud knows of, while it can be asked (A8)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from hotspare.v1 import (
    alarm_feed_service_pb2,
    alarm_feed_service_pb2_grpc,
    alarm_pb2,
    alarm_pull_service_pb2,
    alarm_pull_service_pb2_grpc,
    role_service_pb2_grpc,
)
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.app import DATABASE_FILE
from hotspare_receiver.core.forwarder import Delivered
from hotspare_receiver.journal import Journal
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.credentials import read_operator, read_receiver_credentials
from hotspare_rpc.server import RpcServer
from hotspare_rpc.wire import stored_alarm_to_proto
from hotspare_store.database import Database
from tests.integration.path_fakes import stored_alarm
from tests.integration.test_receiver_desk_support import (
    ARC_ID,
    LOOPBACK,
    Desk,
    FakeCloud,
    FakePulls,
    FakeRoles,
    running,
)

NUMBER = 7
DELIVERIES = (
    alarm_pb2.AlarmDelivery(receiver_id="r1", epoch=3, attempt=1, end=alarm_pb2.DELIVERY_END_LOST),
    alarm_pb2.AlarmDelivery(receiver_id="r2", epoch=4, attempt=2, end=alarm_pb2.DELIVERY_END_CONFIRMED),
)


class Queue(FakePulls):
    """The cloud's queue, with one alarm; `trouble` is met first."""

    def __init__(self, trouble: Callable[[], Any] | None = None, alarm_id: str = "") -> None:
        super().__init__(FakeCloud())
        self.trouble = trouble
        self.alarm_id = alarm_id or stored_alarm(NUMBER).alarm.alarm_id
        self.asked: list[Any] = []

    async def GetQueuedAlarm(self, request: Any, context: Any) -> Any:
        told = context.invocation_metadata()
        self.asked.append((request, read_operator(told), read_receiver_credentials(told)))
        if self.trouble is not None:
            await self.trouble()
        stored = alarm_pb2.StoredAlarm(number=NUMBER, alarm=alarm_pb2.Alarm(alarm_id=self.alarm_id))
        return alarm_pull_service_pb2.GetQueuedAlarmResponse(
            alarm=alarm_pull_service_pb2.QueuedAlarm(stored=stored), deliveries=DELIVERIES
        )


@asynccontextmanager
async def serving(queue: Queue) -> AsyncIterator[str]:
    server = RpcServer(LOOPBACK, None, CollectorRegistry())
    server.add(role_service_pb2_grpc.add_RoleServiceServicer_to_server, FakeRoles(FakeCloud()))
    server.add(alarm_pull_service_pb2_grpc.add_AlarmPullServiceServicer_to_server, queue)
    try:
        yield await server.start()
    finally:
        await server.stop(0)


async def had_an_alarm(folder: Path) -> None:
    """The receiver has had the alarm before it starts."""
    database = Database.open(folder / DATABASE_FILE, migrations)
    journal = Journal(database)
    stored = stored_alarm(NUMBER)
    raw = stored_alarm_to_proto(stored).SerializeToString()
    journal.note_delivered(f"{ARC_ID}/default", [Delivered(stored, 4, 2, False, raw)])
    await journal.close()
    database.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    await had_an_alarm(tmp_path)
    async with running(tmp_path) as desk:
        yield desk


async def history(desk: Desk, timeout: float = 10.0) -> list[alarm_pb2.AlarmDelivery]:
    """The deliveries that stand in the alarm."""
    stub = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(desk.channel)
    metadata = (("authorization", f"Bearer {desk.token}"),)
    request = alarm_feed_service_pb2.GetAlarmRequest(number=NUMBER)
    answer = await stub.GetAlarm(request, metadata=metadata, timeout=timeout)
    assert answer.alarm.stored.alarm.alarm_id == stored_alarm(NUMBER).alarm.alarm_id
    return list(answer.alarm.delivery_history)


async def test_a8_an_alarm_is_shown_with_the_deliveries_that_the_cloud_knows(desk: Desk) -> None:
    queue = Queue()
    async with serving(queue) as address:
        await desk.connect(address)
        assert await history(desk) == list(DELIVERIES)
    ((request, operator, credentials),) = queue.asked
    # Asked in the name of who asked here, and about this receiver's own group alone (S2, S5).
    assert (request.number, request.arc_id, request.sub_account) == (NUMBER, "", "default")
    assert (operator, credentials.arc_id) == ("admin", ARC_ID)


async def test_a8_of_another_alarm_under_the_same_number_nothing_is_told(desk: Desk) -> None:
    queue = Queue(alarm_id="00000000-0000-7000-8000-000000000099")
    async with serving(queue) as address:
        await desk.connect(address)
        assert await history(desk) == []
    assert queue.asked


async def _refuse() -> None:
    raise HotspareError(Reason.RESOURCE_NOT_FOUND, "no such alarm", kind="alarm", id="7")


async def test_a8_the_receivers_own_history_is_shown_without_the_cloud(desk: Desk) -> None:
    assert await history(desk) == []
    queue = Queue(trouble=_refuse)
    async with serving(queue) as address:
        await desk.connect(address)
        assert await history(desk) == []
    assert queue.asked
    # Its server is gone now.
    assert await history(desk) == []


async def test_a8_a_cloud_that_does_not_answer_keeps_nobody_waiting(desk: Desk) -> None:
    queue = Queue(trouble=asyncio.Event().wait)
    async with serving(queue) as address:
        await desk.connect(address)
        began = time.monotonic()
        # The answer comes within the caller's own deadline, however short that is.
        assert await history(desk, timeout=0.6) == []
        assert time.monotonic() - began < 0.6
    assert queue.asked


async def test_a8_a_list_of_alarms_asks_the_cloud_nothing(desk: Desk) -> None:
    queue = Queue()
    async with serving(queue) as address:
        await desk.connect(address)
        stub = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(desk.channel)
        request = alarm_feed_service_pb2.ListAlarmsRequest()
        metadata = (("authorization", f"Bearer {desk.token}"),)
        answer = await stub.ListAlarms(request, metadata=metadata, timeout=10)
        assert [len(alarm.delivery_history) for alarm in answer.alarms] == [0]
    assert queue.asked == []
