"""The way of direct alarms to the cloud: durable before it is answered, in order, tried again, and bounded (D2, A3)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.direct import gateway as gateway_module
from hotspare_receiver.direct.gateway import Doubts as DoubtsKept
from hotspare_receiver.direct.gateway import Gateway, Key
from hotspare_receiver.store.schema import migrations
from hotspare_receiver.store.settings import Settings, SettingsStore
from hotspare_rpc.address import Address, parse_address
from hotspare_rpc.credentials import read_receiver_credentials
from hotspare_rpc.server import RpcServer
from hotspare_store.database import Database
from tests.integration.test_receiver_desk_support import ARC_ID, ARC_KEY, LOOPBACK, wait_until

PATIENCE = 2.0


@dataclass
class FakeIntake(alarm_service_pb2_grpc.AlarmServiceServicer):
    """A cloud's intake that does as it is told, and writes down what it stored."""

    stored: dict[Key, alarm_service_pb2.AlarmSubmission] = field(default_factory=dict)
    asked: list[Key] = field(default_factory=list)
    refusals: dict[str, HotspareError] = field(default_factory=dict)
    """By device."""
    lose_answers: int = 0
    """So many alarms are stored, and their answers lost."""
    going: dict[str, asyncio.Event] = field(default_factory=dict)
    """Calls of these devices wait for it."""
    at_once: int = 0
    most_at_once: int = 0

    async def PublishAlarm(self, request: Any, context: Any) -> alarm_service_pb2.PublishAlarmResponse:
        shown = read_receiver_credentials(context.invocation_metadata())
        assert shown is not None
        assert (shown.arc_id, shown.arc_key) == (ARC_ID, ARC_KEY)
        submission = request.submission
        key = (submission.alarm.device_id, submission.alarm.alarm_id)
        self.asked.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if key[0] in self.going:
                await self.going[key[0]].wait()
            if key[0] in self.refusals:
                raise self.refusals[key[0]]
            duplicate = key in self.stored
            self.stored.setdefault(key, submission)
            if self.lose_answers:
                self.lose_answers -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        finally:
            self.at_once -= 1
        number = list(self.stored).index(key) + 1
        receipt = alarm_service_pb2.AlarmReceipt(
            alarm_id=key[1], number=number, account_sequence=number, duplicate=duplicate
        )
        return alarm_service_pb2.PublishAlarmResponse(receipt=receipt)

    @property
    def order(self) -> list[Key]:
        """What is stored, in that order."""
        return list(self.stored)


@asynccontextmanager
async def serving(intake: FakeIntake, listen: Address = LOOPBACK) -> AsyncIterator[str]:
    """Serve it; gives the address."""
    server = RpcServer(listen, None, CollectorRegistry())
    server.add(alarm_service_pb2_grpc.add_AlarmServiceServicer_to_server, intake)
    address = await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


@dataclass
class Doubts:
    """What is in doubt, as a D4 host notes it."""

    open: set[Key] = field(default_factory=set)

    async def sending(self, key: Key) -> bool:
        first = key not in self.open
        self.open.add(key)
        return first

    def settled(self, key: Key) -> None:
        self.open.discard(key)


@asynccontextmanager
async def gateway_to(
    folder: Path, address: str, doubts: DoubtsKept | None = None, hopeless: Callable[[], bool] = lambda: False
) -> AsyncIterator[Gateway]:
    """A gateway to a cloud."""
    database = Database.open(folder / "receiver.db", migrations)
    store = await SettingsStore.open(database, folder)
    await store.update(Settings(cloud_address=address, arc_id=ARC_ID), ARC_KEY)
    cloud = CloudClient(store)
    cloud.follow_settings()
    try:
        yield Gateway(cloud, time.monotonic, doubts, PATIENCE, hopeless)
    finally:
        await cloud.close()
        database.close()


def alarm(number: int, device: str = "panel") -> alarm_service_pb2.AlarmSubmission:
    """An alarm that is to be passed on."""
    named = f"00000000-0000-7000-8000-{number:012d}"
    return alarm_service_pb2.AlarmSubmission(alarm=alarm_pb2.Alarm(alarm_id=named, device_id=device, code="130"))


async def test_a3_alarms_of_a_device_go_one_after_the_other_and_devices_beside_each_other(tmp_path: Path) -> None:
    intake = FakeIntake(going={"slow": asyncio.Event()})
    async with serving(intake) as address, gateway_to(tmp_path, address) as gateway:
        slow = [asyncio.create_task(gateway.publish(alarm(number, "slow"))) for number in (1, 2, 3)]
        quick = [asyncio.create_task(gateway.publish(alarm(number, "quick"))) for number in (1, 2, 3)]
        await asyncio.gather(*quick)
        assert [device for device, _ in intake.asked].count("slow") == 1  # the others wait for it
        intake.going["slow"].set()
        receipts = await asyncio.gather(*slow)
        assert [receipt.number for receipt in receipts] == [4, 5, 6]
        assert [named[-1] for device, named in intake.order if device == "slow"] == ["1", "2", "3"]
        assert gateway.under_way == 0


async def test_d2_an_alarm_is_answered_when_it_is_durable_and_not_before(tmp_path: Path) -> None:
    intake = FakeIntake(going={"panel": asyncio.Event()})
    async with serving(intake) as address, gateway_to(tmp_path, address) as gateway:
        publishing = asyncio.create_task(gateway.publish(alarm(1)))
        await wait_until(lambda: bool(intake.asked))
        assert not publishing.done()
        intake.going["panel"].set()
        assert (await publishing).number == 1


async def test_d2_a_lost_answer_is_asked_for_again_and_the_alarm_is_one(tmp_path: Path) -> None:
    intake, doubts = FakeIntake(lose_answers=2), Doubts()
    async with serving(intake) as address, gateway_to(tmp_path, address, doubts) as gateway:
        receipt = await gateway.publish(alarm(1))
        assert (receipt.number, receipt.duplicate) == (1, True)
        assert len(intake.asked) == 3
        assert len(intake.stored) == 1
        assert doubts.open == set()


async def test_d2_a_cloud_that_comes_in_time_is_waited_for_without_a_doubt(tmp_path: Path) -> None:
    doubts = Doubts()
    async with serving(FakeIntake()) as address:
        port = parse_address(address).port
    async with gateway_to(tmp_path, address, doubts) as gateway:
        publishing = asyncio.create_task(gateway.publish(alarm(1)))
        await asyncio.sleep(0.1)  # it has found nobody by now; were it slower, it would find the cloud at once
        assert doubts.open == set()
        async with serving(FakeIntake(), Address("127.0.0.1", port)):
            assert (await publishing).number == 1


@pytest.mark.full
async def test_a3_what_got_no_answer_is_given_back_with_all_behind_it_and_is_in_doubt(tmp_path: Path) -> None:
    intake, doubts = FakeIntake(going={"panel": asyncio.Event()}), Doubts()
    async with serving(intake) as address, gateway_to(tmp_path, address, doubts) as gateway:
        waiting = [asyncio.create_task(gateway.publish(alarm(number))) for number in (1, 2)]
        await asyncio.sleep(PATIENCE / 2)
        waiting.append(asyncio.create_task(gateway.publish(alarm(3))))  # it would have time left
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, HotspareError) and each.reason is Reason.CLOUD_UNREACHABLE for each in results)
        assert {named[-1] for _, named in intake.asked} == {"1"}
        assert {named[-1] for _, named in doubts.open} == {"1"}
        # A new one finds a free way.
        intake.going["panel"].set()
        assert (await gateway.publish(alarm(1))).alarm_id == alarm(1).alarm.alarm_id
        assert doubts.open == set()


async def test_d2_what_the_cloud_refuses_is_told_at_once_and_leaves_no_doubt(tmp_path: Path) -> None:
    refusal = HotspareError(Reason.DEVICE_UNKNOWN, "the group has no such device", device_id="panel")
    intake, doubts = FakeIntake(refusals={"panel": refusal}), Doubts()
    async with serving(intake) as address, gateway_to(tmp_path, address, doubts) as gateway:
        with pytest.raises(HotspareError) as error:
            await gateway.publish(alarm(1))
        assert error.value.reason is Reason.DEVICE_UNKNOWN
        assert (len(intake.asked), doubts.open) == (1, set())
        # After a lost answer the same refusal settles nothing: the first attempt may have been stored.
        intake.refusals.clear()
        intake.lose_answers = 1
        publishing = asyncio.create_task(gateway.publish(alarm(2)))
        await wait_until(lambda: bool(intake.stored))
        intake.refusals["panel"] = refusal
        await asyncio.gather(publishing, return_exceptions=True)
        assert {named[-1] for _, named in doubts.open} == {"2"}


async def test_a7_what_is_under_way_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "MOST_AT_ONCE", 3)
    intake = FakeIntake(going={"panel": asyncio.Event()})
    async with serving(intake) as address, gateway_to(tmp_path, address) as gateway:
        waiting = [asyncio.create_task(gateway.publish(alarm(number))) for number in (1, 2, 3)]
        await wait_until(lambda: bool(intake.asked))
        with pytest.raises(HotspareError) as error:
            await gateway.publish(alarm(4))
        assert error.value.reason is Reason.INTAKE_FULL
        assert error.value.retry_after is not None
        intake.going["panel"].set()
        await asyncio.gather(*waiting)
        assert (await gateway.publish(alarm(4))).number == 4


async def test_s4_what_is_under_way_of_one_device_leaves_room_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(gateway_module, "MOST_OF_DEVICE", 3)
    intake = FakeIntake(going={"panel": asyncio.Event()})
    async with serving(intake) as address, gateway_to(tmp_path, address) as gateway:
        waiting = [asyncio.create_task(gateway.publish(alarm(number))) for number in range(1, 5)]
        refused = (await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED))[0]
        error = refused.pop().exception()
        assert isinstance(error, HotspareError)
        assert (error.reason, error.metadata["limit"]) == (Reason.INTAKE_FULL, "3")
        assert error.retry_after is not None
        assert (await gateway.publish(alarm(1, "another"))).number == 1
        intake.going["panel"].set()
        await asyncio.gather(*waiting[:3])
        assert (await gateway.publish(alarm(4))).number == 5
