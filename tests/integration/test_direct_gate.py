"""Direct devices at a receiver that runs: who is taken where, and what the cloud gets of it (D1, D2, D4, G5, S1)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from hotspare.v1 import (
    alarm_pb2,
    alarm_pull_service_pb2_grpc,
    alarm_service_pb2,
    alarm_service_pb2_grpc,
    backup_service_pb2_grpc,
    configuration_service_pb2,
    group_pb2,
    record_pb2,
    role_service_pb2_grpc,
)
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.direct import gateway as gateway_module
from hotspare_rpc.address import Address, parse_address
from hotspare_rpc.credentials import DeviceCredentials
from hotspare_rpc.server import RpcServer
from tests.integration.test_direct_gateway import FakeIntake
from tests.integration.test_receiver_desk_support import (
    ARC_ID,
    DEADLINE,
    LOOPBACK,
    Desk,
    FakeBackups,
    FakeCloud,
    FakePulls,
    FakeRoles,
    refused,
    running,
    wait_until,
)

GRPC = alarm_pb2.ALARM_PATH_DIRECT_GRPC


@asynccontextmanager
async def serving(cloud: FakeCloud, intake: FakeIntake, listen: Address = LOOPBACK) -> AsyncIterator[str]:
    """A cloud that takes alarms, too."""
    server = RpcServer(listen, None, CollectorRegistry())
    server.add(role_service_pb2_grpc.add_RoleServiceServicer_to_server, FakeRoles(cloud))
    server.add(backup_service_pb2_grpc.add_BackupServiceServicer_to_server, FakeBackups(cloud))
    server.add(alarm_pull_service_pb2_grpc.add_AlarmPullServiceServicer_to_server, FakePulls(cloud))
    server.add(alarm_service_pb2_grpc.add_AlarmServiceServicer_to_server, intake)
    address = await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


@dataclass
class Device:
    """A device with its credentials."""

    device_id: str
    key: str
    desk: Desk
    arc_id: str = ARC_ID

    @property
    def metadata(self) -> Any:
        return DeviceCredentials(self.arc_id, self.device_id, self.key).metadata()

    def publish(self, **fields: Any) -> Any:
        """Publish one alarm at the receiver."""
        told: dict[str, Any] = {"alarm_id": str(uuid4()), "code": "130", "zone": 1}
        alarm = alarm_pb2.Alarm(**{**told, **fields})
        request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=alarm))
        return self.stub.PublishAlarm(request, metadata=self.metadata, timeout=DEADLINE)

    async def stream(self, *batches: Sequence[str]) -> list[alarm_service_pb2.PublishAlarmsResponse]:
        """Publish alarms with these ids in batches, none of which waits for an answer; returns the answers."""
        requests = []
        for number, ids in enumerate(batches, start=1):
            alarms = [alarm_pb2.Alarm(alarm_id=each, code="130") for each in ids]
            submissions = [alarm_service_pb2.AlarmSubmission(alarm=each) for each in alarms]
            requests.append(alarm_service_pb2.PublishAlarmsRequest(batch=number, submissions=submissions))
        call = self.stub.PublishAlarms(iter(requests), metadata=self.metadata, timeout=DEADLINE)
        return [answer async for answer in call]

    @property
    def stub(self) -> Any:
        return alarm_service_pb2_grpc.AlarmServiceStub(self.desk.channel)


async def device(desk: Desk, device_id: str = "panel-1", account: str = "4001", key: bytes = b"") -> Device:
    """Make a device that may also speak DC-09."""
    made = record_pb2.Device(device_id=device_id, account_number=account, dc09=record_pb2.Dc09Access())
    request = configuration_service_pb2.CreateDeviceRequest(device=made, dc09_key=key)
    answer = await desk.call(desk.configuration.CreateDevice, request)
    return Device(device_id, answer.device_key, desk)


@asynccontextmanager
async def host(
    folder: Path, cloud: FakeCloud, intake: FakeIntake, **settings: Any
) -> AsyncIterator[tuple[Desk, Device]]:
    """A host with dual connection, and a device of its."""
    async with serving(cloud, intake) as address, running(folder) as desk:
        await desk.connect(address, dual_connection=True, **settings)
        await desk.enable()
        yield desk, await device(desk)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def is_open(port: int) -> bool:
    """Whether somebody listens there."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


async def until_open(port: int, wanted: bool) -> None:
    """Wait until the port is open, or is not."""
    async with asyncio.timeout(DEADLINE):
        while await is_open(port) is not wanted:  # noqa: ASYNC110 - as a panel would
            await asyncio.sleep(0.02)


async def test_d2_a_device_that_publishes_at_the_host_is_answered_when_the_cloud_has_it(tmp_path: Path) -> None:
    intake = FakeIntake(going={"panel-1": asyncio.Event()})
    async with host(tmp_path / "r", FakeCloud(), intake) as (_, panel):
        publishing = asyncio.ensure_future(panel.publish(alarm_id="0" * 8 + "-0000-7000-8000-00000000000A"))
        await wait_until(lambda: bool(intake.asked))
        assert not publishing.done()
        intake.going["panel-1"].set()
        receipt = (await publishing).receipt
        assert (receipt.alarm_id[-1], receipt.account_sequence, receipt.number) == ("a", 1, 0)
        ((key, submission),) = intake.stored.items()
        assert key == ("panel-1", receipt.alarm_id)
        assert (submission.gateway.path, submission.gateway.HasField("receive_time")) == (GRPC, True)


async def test_s1_a_direct_device_shows_the_credentials_that_it_shows_to_the_cloud(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with host(tmp_path / "r", FakeCloud(), intake) as (desk, panel):
        other = await device(desk, "panel-2", "4002")
        for wrong in (
            Device("panel-1", "wrong", desk),
            Device("panel-1", other.key, desk),
            Device("nobody", panel.key, desk),
            Device("panel-1", panel.key, desk, "south"),
        ):
            async with refused(Reason.INVALID_CREDENTIALS):
                await wrong.publish()
        async with refused(Reason.FIELD_INVALID, field="device_id"):
            await panel.publish(device_id="panel-2")
        async with refused(Reason.FIELD_INVALID, field="alarm_id"):
            await panel.publish(alarm_id="1")
        assert intake.asked == []
        beat = await panel.stub.Beat(alarm_service_pb2.BeatRequest(), metadata=panel.metadata, timeout=DEADLINE)
        assert (beat.supervision_interval.seconds, beat.HasField("server_time")) == (180, True)


async def test_d2_a_batch_is_answered_alarm_by_alarm_in_its_order(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with host(tmp_path / "r", FakeCloud(), intake) as (_, panel):
        named = [f"00000000-0000-7000-8000-{number:012d}" for number in range(1, 9)]
        answers = await panel.stream([*named[:2], "wrong", named[3]], named[4:])
        assert [answer.batch for answer in answers] == [1, 2]
        results = [result for answer in answers for result in answer.results]
        assert [result.WhichOneof("result") for result in results].count("receipt") == 7
        assert results[2].rejection.reason == 50
        assert [key[1] for key in intake.order] == named[:2] + named[3:]


async def test_s4_a_device_that_streams_much_shuts_no_other_out_and_has_none_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "MOST_AT_ONCE", 3)
    intake = FakeIntake(going={"panel-1": asyncio.Event()})
    async with host(tmp_path / "r", FakeCloud(), intake) as (desk, panel):
        other = await device(desk, "panel-2", "4002")
        named = [f"00000000-0000-7000-8000-{number:012d}" for number in range(1, 9)]
        streaming = asyncio.create_task(panel.stream(named[:4], named[4:]))
        await wait_until(lambda: bool(intake.asked))
        await other.publish()
        intake.going["panel-1"].set()
        assert all(result.HasField("receipt") for answer in await streaming for result in answer.results)
        assert [key[1] for key in intake.order if key[0] == "panel-1"] == named


async def test_a7_below_the_floor_of_free_disk_direct_alarms_are_refused_and_kept_by_their_devices(
    tmp_path: Path,
) -> None:
    intake = FakeIntake()
    async with host(tmp_path / "r", FakeCloud(), intake) as (desk, panel):
        await desk.set(disk_floor_bytes=10**13)
        async with refused(Reason.DISK_LOW, floor_bytes=str(10**13)):
            await panel.publish()
        assert intake.asked == []
        await desk.set(disk_floor_bytes=0)
        await panel.publish()


async def test_d1_without_dual_connection_no_direct_device_is_taken(tmp_path: Path) -> None:
    intake, port = FakeIntake(), free_port()
    async with host(tmp_path / "r", FakeCloud(), intake, dc09_listen=f"127.0.0.1:{port}") as (desk, panel):
        await until_open(port, True)
        await panel.publish()
        await desk.set(dual_connection=False)
        await until_open(port, False)
        async with refused(Reason.DUAL_CONNECTION_OFF):
            await panel.publish()
        # Nobody can find out here which devices there are.
        async with refused(Reason.DUAL_CONNECTION_OFF):
            await Device("nobody", "wrong", desk).publish()
        await desk.set(dual_connection=True)
        await until_open(port, True)
        await desk.set(dc09_listen="")
        await until_open(port, False)
        await panel.publish()
        assert len(intake.stored) == 2


@pytest.mark.full
async def test_g5_a_spare_takes_none_and_a_lost_host_role_closes_the_port(tmp_path: Path) -> None:
    cloud, intake, port = FakeCloud(), FakeIntake(), free_port()
    async with host(tmp_path / "r", cloud, intake, dc09_listen=f"127.0.0.1:{port}") as (desk, panel):
        await until_open(port, True)
        (own,) = cloud.members
        stolen = cloud.members.pop(own)
        stolen.receiver.receiver_id = "another"
        cloud.members["another"] = stolen  # promoted meanwhile
        cloud.notify()
        cloud.refusals["Attend"] = HotspareError(Reason.NOT_A_MEMBER, "no member any more", receiver_id=own)
        await desk.set(name="anything else that is told at once")
        await until_open(port, False)
        async with refused(Reason.DUAL_CONNECTION_OFF):
            await panel.publish()
    async with serving(FakeCloud(), intake) as address, running(tmp_path / "s") as spare:
        await spare.connect(address)
        await spare.enable(group_pb2.ROLE_SPARE_1)
        async with refused(Reason.DUAL_CONNECTION_NOT_ALLOWED):
            await spare.set(dual_connection=True)


@pytest.mark.full
async def test_d1_g7_a_receiver_that_works_alone_takes_direct_devices(tmp_path: Path) -> None:
    cloud, intake, port = FakeCloud(), FakeIntake(), free_port()
    async with serving(cloud, intake) as address, running(tmp_path / "r") as desk:
        await desk.set(dual_connection=True, dc09_listen=f"127.0.0.1:{port}")
        assert not await is_open(port)  # not connected to a group: nobody knows who its host is
        await desk.connect(address)
        await until_open(port, True)
        cloud.working = "another-alone"
        cloud.notify()
        await until_open(port, False)


@pytest.mark.full
async def test_d4_a_host_whose_cloud_is_gone_answers_direct_alarms_itself_and_publishes_them_later(
    tmp_path: Path,
) -> None:
    cloud, intake = FakeCloud(), FakeIntake()
    async with running(tmp_path / "r") as desk:
        async with serving(cloud, intake) as address:
            await desk.connect(address, dual_connection=True)
            await desk.enable()
            panel = await device(desk)
            await panel.publish(zone=1)
        # `suspect_after` of this group is 3 s: until then the gateway tries, and then the host answers by itself.
        receipt = (await panel.publish(zone=2)).receipt
        assert list(receipt.marks) == [alarm_pb2.ALARM_MARK_ISOLATED]
        status = await desk.status()
        assert (status.isolation.taken, status.isolation.unpublished) == (1, 1)
        assert status.isolation.HasField("since_time")
        assert any("Cut off from the cloud" in line for line in status.advice)
        async with serving(cloud, intake, parse_address(address)):
            await desk.until(lambda status: not status.HasField("isolation"))
            assert [each.alarm.zone for each in intake.stored.values()] == [1, 2]
            assert not any(each.gateway.HasField("confirm_time") for each in intake.stored.values())  # no output here


@pytest.mark.full
async def test_d4_the_setting_switches_it_off(tmp_path: Path) -> None:
    cloud, intake = FakeCloud(), FakeIntake()
    async with running(tmp_path / "r") as desk:
        async with serving(cloud, intake) as address:
            await desk.connect(address, dual_connection=True, isolated_forwarding=False)
            await desk.enable()
            panel = await device(desk)
        async with refused(Reason.CLOUD_UNREACHABLE):
            await panel.publish()
        assert not (await desk.status()).HasField("isolation")


@pytest.mark.full
async def test_d1_the_settings_of_the_listener_are_kept_and_checked(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        window = record_pb2.Dc09TimeWindow()
        window.past.FromSeconds(90)
        shown = (await desk.set(dc09_listen="127.0.0.1:9", dc09_time_window=window)).settings
        assert (shown.dc09_time_window.past.seconds, shown.dc09_time_window.future.seconds) == (90, 20)
        assert shown.isolated_forwarding
        wrong = record_pb2.Dc09TimeWindow()
        wrong.future.FromSeconds(86401)
        async with refused(Reason.FIELD_INVALID, field="dc09_time_window.future"):
            await desk.set(dc09_time_window=wrong)
    async with running(tmp_path / "r") as desk:
        shown = (await desk.set(dc09_time_window=record_pb2.Dc09TimeWindow(off=True), name="n")).settings
        assert (shown.dc09_listen, shown.dc09_time_window.off) == ("127.0.0.1:9", True)
