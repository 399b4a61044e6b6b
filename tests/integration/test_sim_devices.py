"""`hotspare-sim devices` against a cloud of our own making, over real gRPC."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotspare.v1 import alarm_service_pb2, alarm_service_pb2_grpc, errors_pb2
from hotspare.v1.alarm_pb2 import Alarm
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.errors import abort
from hotspare_sim.devices import Devices, Plan
from hotspare_sim.line_log import LineLog, LineTail

SIM = Path(sys.executable).parent / "hotspare-sim"
DEADLINE = 30
KEYS = {f"panel-{number}": f"key-{number}" for number in range(1, 5)}

StreamContext = grpc.aio.ServicerContext[
    alarm_service_pb2.PublishAlarmsRequest, alarm_service_pb2.PublishAlarmsResponse
]


class Cloud(alarm_service_pb2_grpc.AlarmServiceServicer):
    """Stores in memory; `troubles` are met by the next attempts, one each; `lose_answer` after storing."""

    def __init__(self, troubles: Iterable[HotspareError] = (), *, lose_answers: int = 0) -> None:
        self.stored: dict[str, list[Alarm]] = {}
        self.numbers: dict[str, int] = {}
        self.attempts: Counter[str] = Counter()
        self.troubles = list(troubles)
        self.lose_answers = lose_answers
        self.streams = 0
        self.has_fifty = asyncio.Event()

    def _device(self, context: Any) -> str:
        metadata = dict(context.invocation_metadata())
        device: str = metadata["hotspare-device-id"]
        assert metadata["hotspare-device-key"] == KEYS[device]
        assert metadata["hotspare-arc-id"] == "north"
        return device

    def _store(self, device: str, alarm: Alarm) -> alarm_service_pb2.AlarmReceipt:
        duplicate = alarm.alarm_id in self.numbers
        if not duplicate:
            self.stored.setdefault(device, []).append(alarm)
            self.numbers[alarm.alarm_id] = len(self.stored[device])
            if len(self.numbers) == 50:
                self.has_fifty.set()
        return alarm_service_pb2.AlarmReceipt(
            alarm_id=alarm.alarm_id, account_sequence=self.numbers[alarm.alarm_id], duplicate=duplicate
        )

    async def PublishAlarm(
        self,
        request: alarm_service_pb2.PublishAlarmRequest,
        context: grpc.aio.ServicerContext[
            alarm_service_pb2.PublishAlarmRequest, alarm_service_pb2.PublishAlarmResponse
        ],
    ) -> alarm_service_pb2.PublishAlarmResponse:
        alarm = request.submission.alarm
        self.attempts[alarm.alarm_id] += 1
        if self.troubles:
            await abort(context, self.troubles.pop(0))
        receipt = self._store(self._device(context), alarm)
        if self.lose_answers:
            self.lose_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        return alarm_service_pb2.PublishAlarmResponse(receipt=receipt)

    async def PublishAlarms(
        self, request_iterator: AsyncIterator[alarm_service_pb2.PublishAlarmsRequest], context: StreamContext
    ) -> AsyncIterator[alarm_service_pb2.PublishAlarmsResponse]:
        device = self._device(context)
        self.streams += 1
        expected = 0
        async for request in request_iterator:
            expected += 1
            assert request.batch == expected
            response = alarm_service_pb2.PublishAlarmsResponse(batch=request.batch, window=4)
            for submission in request.submissions:
                self.attempts[submission.alarm.alarm_id] += 1
                result = response.results.add()
                if self.troubles:
                    trouble = self.troubles.pop(0)
                    result.rejection.alarm_id = submission.alarm.alarm_id
                    result.rejection.reason = errors_pb2.ErrorReason.Value(f"ERROR_REASON_{trouble.reason}")
                    result.rejection.message = trouble.message
                    if trouble.retry_after is not None:
                        result.rejection.retry_delay.FromTimedelta(trouble.retry_after)
                else:
                    result.receipt.CopyFrom(self._store(device, submission.alarm))
            if self.lose_answers:
                self.lose_answers -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
            yield response


@asynccontextmanager
async def serving(cloud: Cloud, port: int = 0) -> AsyncIterator[str]:
    server = grpc.aio.server()
    alarm_service_pb2_grpc.add_AlarmServiceServicer_to_server(cloud, server)
    address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


async def publish(address: str, log: Path, count: int, *, stream: bool, rate: float = 500) -> tuple[Devices, list[str]]:
    complaints: list[str] = []
    async with open_channel(address, None) as channel:
        lines = LineLog(log)
        plan = Plan("north", KEYS, rate=500, count=count, seed=1, stream=stream)
        devices = Devices(plan, channel, lines, complaints.append)
        async with asyncio.timeout(DEADLINE):
            await devices.run(asyncio.Event(), timedelta(seconds=1))
        lines.close()
    return devices, complaints


def assert_log_tells_what_is_stored(log: Path, cloud: Cloud) -> None:
    entries = LineTail(log).read()
    for device, alarms in cloud.stored.items():
        ours = [entry for entry in entries if entry["device_id"] == device]
        assert [entry["alarm_id"] for entry in ours] == [alarm.alarm_id for alarm in alarms]
        assert [entry["account_sequence"] for entry in ours] == list(range(1, len(alarms) + 1))
        assert [(entry["code"], entry["zone"]) for entry in ours] == [(alarm.code, alarm.zone) for alarm in alarms]


def in_order(alarms: list[Alarm]) -> bool:
    times = [alarm.occur_time.ToNanoseconds() for alarm in alarms]
    return times == sorted(times)


@pytest.mark.parametrize("stream", [False, True])
async def test_a1_every_alarm_is_logged_once_it_is_answered_in_the_order_of_its_device(
    stream: bool, tmp_path: Path
) -> None:
    cloud = Cloud()
    async with serving(cloud) as address:
        devices, complaints = await publish(address, tmp_path / "log", 200, stream=stream)
    assert (devices.counts.published, devices.counts.unanswered, complaints) == (200, 0, [])
    assert sum(map(len, cloud.stored.values())) == 200
    assert set(cloud.stored) == set(KEYS)
    assert all(in_order(alarms) for alarms in cloud.stored.values())
    assert_log_tells_what_is_stored(tmp_path / "log", cloud)
    assert cloud.streams == (len(KEYS) if stream else 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_a2_a_lost_answer_is_asked_for_again_with_the_same_id(stream: bool, tmp_path: Path) -> None:
    cloud = Cloud(lose_answers=3)
    async with serving(cloud) as address:
        devices, complaints = await publish(address, tmp_path / "log", 60, stream=stream)
    assert devices.counts.published == 60
    assert devices.counts.repeated >= 3
    assert sum(map(len, cloud.stored.values())) == 60
    assert_log_tells_what_is_stored(tmp_path / "log", cloud)
    assert complaints[0] == "trying again: UNAVAILABLE: lost"
    assert complaints[-1] == "all devices are answered again"


@pytest.mark.parametrize("stream", [False, True])
async def test_a7_a_cloud_that_is_full_is_asked_again_when_it_said(stream: bool, tmp_path: Path) -> None:
    full = HotspareError(Reason.DISK_LOW, "disk low", retry_after=timedelta(seconds=0.3))
    cloud = Cloud([full] * 5)
    async with serving(cloud) as address:
        devices, complaints = await publish(address, tmp_path / "log", 20, stream=stream)
    assert (devices.counts.published, devices.counts.attempts) == (20, 25)
    assert complaints[0] == "trying again: disk low (DISK_LOW)"
    assert_log_tells_what_is_stored(tmp_path / "log", cloud)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_alarm_that_is_wrong_in_itself_is_given_up_and_holds_up_nothing(stream: bool, tmp_path: Path) -> None:
    cloud = Cloud([HotspareError(Reason.FIELD_INVALID, "alarm_id: no UUID")])
    async with serving(cloud) as address:
        devices, complaints = await publish(address, tmp_path / "log", 20, stream=stream)
    assert (devices.counts.published, devices.counts.refused) == (19, 1)
    assert complaints[0].endswith("refused: alarm_id: no UUID (FIELD_INVALID)")


@pytest.mark.parametrize("stream", [False, True])
async def test_a3_alarms_and_their_order_outlast_a_cloud_that_is_gone(stream: bool, tmp_path: Path) -> None:
    cloud = Cloud()
    async with serving(cloud) as address:
        pass
    port = int(address.rpartition(":")[2])
    publishing = asyncio.create_task(publish(address, tmp_path / "log", 40, stream=stream))
    tail = LineTail(tmp_path / "log")
    await asyncio.sleep(0.5)  # not to wait for something, but for the cloud to be away for so long
    assert not publishing.done()
    assert tail.read() == []
    async with serving(cloud, port):
        devices, _ = await publishing
    assert devices.counts.published == 40
    assert all(in_order(alarms) for alarms in cloud.stored.values())
    assert_log_tells_what_is_stored(tmp_path / "log", cloud)


def keys_file(folder: Path) -> Path:
    file = folder / "keys.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(KEYS))
    return file


async def devices_process(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        SIM, "devices", "--arc-id", "north", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_the_process_ends_on_sigterm_when_all_was_answered(tmp_path: Path) -> None:
    log, cloud = tmp_path / "log", Cloud()
    async with serving(cloud) as address:
        process = await devices_process(
            "--cloud", address, "--keys", str(keys_file(tmp_path)), "--rate", "200", "--log", str(log)
        )
        async with asyncio.timeout(DEADLINE):
            await cloud.has_fifty.wait()
            process.send_signal(signal.SIGTERM)
            out, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    stored = sum(map(len, cloud.stored.values()))
    assert f"stopped published={stored} repeated=0 attempts={stored} direct=0 refused=0 unanswered=0" in out.decode()
    assert_log_tells_what_is_stored(log, cloud)


async def test_the_process_tells_on_sigterm_what_stays_unanswered(tmp_path: Path) -> None:
    async with serving(Cloud()) as address:
        pass
    process = await devices_process(
        "--cloud", address, "--keys", str(keys_file(tmp_path)), "--rate", "200", "--stop-timeout", "0.2"
    )
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE):
        assert (await process.stderr.readline()).startswith(b"trying again: ")
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
    assert process.returncode == 1
    assert "published=0" in out.decode()
    assert "unanswered=0" not in out.decode()


async def test_s1_keys_that_others_may_read_are_refused(tmp_path: Path) -> None:
    file = keys_file(tmp_path)
    file.chmod(0o644)
    process = await devices_process("--cloud", "127.0.0.1:1", "--keys", str(file))
    async with asyncio.timeout(DEADLINE):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert f"chmod 600 {file}" in errors.decode()


async def test_s3_keys_never_cross_a_network_in_clear(tmp_path: Path) -> None:
    process = await devices_process("--cloud", "192.0.2.1:7000", "--keys", str(keys_file(tmp_path)))
    async with asyncio.timeout(DEADLINE):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert "use TLS" in errors.decode()
