"""`alarm send`: a device's publish, its identity at every attempt, and what it counts."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hotspare.v1.alarm_pb2 import CODE_FORMAT_CONTACT_ID, QUALIFIER_RESTORE
from hotspare.v1.alarm_service_pb2 import AlarmReceipt, PublishAlarmResponse
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import Script, finish, scripted_server, secret_file, start_cli
from tests.integration.test_rpc_support import wait_until

KEY = "key-of-panel-1"


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def taking() -> Callable[[Any], PublishAlarmResponse]:
    """A cloud that stores alarms, and knows those that it has."""
    known: set[str] = set()

    def take(request: Any) -> PublishAlarmResponse:
        alarm_id = request.submission.alarm.alarm_id
        receipt = AlarmReceipt(alarm_id=alarm_id, duplicate=alarm_id in known)
        known.add(alarm_id)
        return PublishAlarmResponse(receipt=receipt)

    return take


def send(folder: Path, *more: str) -> tuple[str, ...]:
    key = secret_file(folder / "panel-1.key", KEY)
    device = ("--arc-id", "north", "--device", "panel-1", "--key-file", str(key))
    return ("alarm", "send", *device, "--code", "3130", *more)


def alarms(cloud: Script) -> list[Any]:
    return [request.submission.alarm for request in cloud.requests("PublishAlarm")]


async def test_s1_it_publishes_as_the_device_without_any_token(cloud: Script, tmp_path: Path) -> None:
    cloud.answers["PublishAlarm"] = taking()
    only_server = {"HOTSPARE_SERVER": cloud.address}
    sent = await cloud.run(*send(tmp_path, "--partition", "2", "--text", "Tür"), environment=only_server)
    assert (sent.code, sent.out, sent.err) == (0, "stored 1, duplicates 0, failed 0\n", "")
    (call,) = cloud.calls
    assert call.metadata["hotspare-arc-id"] == "north"
    assert call.metadata["hotspare-device-id"] == "panel-1"
    assert call.metadata["hotspare-device-key"] == KEY
    assert "authorization" not in call.metadata
    (alarm,) = alarms(cloud)
    assert (alarm.qualifier, alarm.code_format, alarm.code) == (QUALIFIER_RESTORE, CODE_FORMAT_CONTACT_ID, "130")
    assert (alarm.device_id, alarm.partition, alarm.text) == ("panel-1", 2, "Tür")
    assert UUID(alarm.alarm_id).version == 7
    assert abs(alarm.occur_time.ToSeconds() - time.time()) < 60


async def test_each_alarm_gets_the_next_zone_and_after_999_comes_0(cloud: Script, tmp_path: Path) -> None:
    cloud.answers["PublishAlarm"] = taking()
    sent = await cloud.run(*send(tmp_path, "--zone", "998", "--count", "4"))
    assert sent.out == "stored 4, duplicates 0, failed 0\n"
    assert [alarm.zone for alarm in alarms(cloud)] == [998, 999, 0, 1]
    ids = [alarm.alarm_id for alarm in alarms(cloud)]
    assert ids == sorted(set(ids))


async def test_a2_the_same_alarm_again_is_a_duplicate(cloud: Script, tmp_path: Path) -> None:
    cloud.answers["PublishAlarm"] = taking()
    again = send(tmp_path, "--alarm-id", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
    assert (await cloud.run(*again)).out == "stored 1, duplicates 0, failed 0\n"
    assert (await cloud.run(*again)).out == "stored 0, duplicates 1, failed 0\n"


async def test_a10_a_time_of_1970_is_sent_as_it_is(cloud: Script, tmp_path: Path) -> None:
    cloud.answers["PublishAlarm"] = taking()
    assert (await cloud.run(*send(tmp_path, "--occurred", "1970-01-01T00:00:00Z"))).code == 0
    (alarm,) = alarms(cloud)
    assert alarm.HasField("occur_time")
    assert alarm.occur_time.seconds == 0


@pytest.mark.parametrize("reason", [Reason.STORE_FAILED, Reason.DISK_LOW, Reason.INTAKE_FULL])
async def test_a2_a_refusal_that_passes_is_tried_again_with_the_same_id(
    cloud: Script, tmp_path: Path, reason: Reason
) -> None:
    take, refusals = taking(), 2

    def now_and_then(request: Any) -> Any:
        nonlocal refusals
        if refusals:
            refusals -= 1
            return HotspareError(reason, "not now", retry_after=timedelta(seconds=0.1))
        return take(request)

    cloud.answers["PublishAlarm"] = now_and_then
    sent = await cloud.run(*send(tmp_path))
    assert (sent.code, sent.out) == (0, "stored 1, duplicates 0, failed 0\n")
    assert len(alarms(cloud)) == 3
    assert len({alarm.alarm_id for alarm in alarms(cloud)}) == 1


async def test_trying_again_ends_with_the_timeout(cloud: Script, tmp_path: Path) -> None:
    cloud.answers["PublishAlarm"] = HotspareError(
        Reason.INTAKE_FULL, "too many", retry_after=timedelta(seconds=0.2), limit=1
    )
    begin = time.monotonic()
    failed = await cloud.run("--timeout", "1", *send(tmp_path, "--count", "5"))
    assert time.monotonic() - begin < 10
    assert failed.code == 1
    assert failed.out == "stored 0, duplicates 0, failed 1, not sent 4\n"
    assert "INTAKE_FULL" in failed.error_lines()[0]
    assert 2 <= len(alarms(cloud)) <= 6


async def test_it_waits_for_a_cloud_that_comes_back_on_its_port(tmp_path: Path) -> None:
    async with scripted_server(tmp_path) as first:
        address = first.address
    process = await start_cli("--timeout", "20", *send(tmp_path), environment={"HOTSPARE_SERVER": address})
    async with scripted_server(tmp_path, listen=address) as second:
        second.answers["PublishAlarm"] = taking()
        sent = await finish(process)
    assert (sent.code, sent.out) == (0, "stored 1, duplicates 0, failed 0\n")


async def test_a_cloud_that_is_not_there_fails_the_alarm(cloud: Script, tmp_path: Path) -> None:
    failed = await cloud.run("--server", "127.0.0.1:1", "--timeout", "0.5", *send(tmp_path))
    assert (failed.code, failed.out) == (1, "stored 0, duplicates 0, failed 1\n")
    assert "can't be reached" in failed.error_lines()[0]


async def test_what_is_wrong_with_one_alarm_holds_up_no_other(cloud: Script, tmp_path: Path) -> None:
    take = taking()

    def picky(request: Any) -> Any:
        if request.submission.alarm.zone == 2:
            return HotspareError(Reason.FIELD_INVALID, "zone: not 2", field="zone", problem="not 2")
        return take(request)

    cloud.answers["PublishAlarm"] = picky
    sent = await cloud.run(*send(tmp_path, "--zone", "1", "--count", "3"))
    assert (sent.code, sent.out) == (1, "stored 2, duplicates 0, failed 1\n")
    assert sent.error_lines() == ("zone: not 2 (FIELD_INVALID).", "Correct zone: not 2.")


async def test_g3_wrong_credentials_are_final_and_name_what_to_check(cloud: Script, tmp_path: Path) -> None:
    cloud.answers["PublishAlarm"] = HotspareError(Reason.INVALID_CREDENTIALS, "the credentials are not valid")
    refused = await cloud.run(*send(tmp_path, "--count", "3"))
    assert (refused.code, refused.out) == (1, "stored 0, duplicates 0, failed 1, not sent 2\n")
    assert "--arc-id, --device and the key file" in refused.error_lines()[1]
    assert len(cloud.calls) == 1
    assert KEY not in refused.err


async def test_the_rate_is_kept(cloud: Script, tmp_path: Path) -> None:
    times: list[float] = []
    take = taking()

    def noting(request: Any) -> Any:
        times.append(time.monotonic())
        return take(request)

    cloud.answers["PublishAlarm"] = noting
    assert (await cloud.run(*send(tmp_path, "--count", "6", "--rate", "10"))).code == 0
    assert times[-1] - times[0] >= 0.45


async def test_interrupted_it_tells_what_is_safe(cloud: Script, tmp_path: Path) -> None:
    cloud.answers["PublishAlarm"] = taking()
    command = send(tmp_path, "--count", "100", "--rate", "20")
    process = await start_cli(*command, environment=cloud.environment())
    await wait_until(lambda: len(cloud.calls) >= 3)
    process.send_signal(signal.SIGINT)
    interrupted = await finish(process)
    assert interrupted.code == 130
    stored, not_sent = re.findall(r"\d+", interrupted.out)[::3]
    assert 2 <= int(stored) <= len(cloud.calls)
    assert int(stored) + int(not_sent) == 100
    assert "Traceback" not in interrupted.err


async def test_an_attempt_that_gets_stuck_is_tried_again_with_the_same_id(cloud: Script, tmp_path: Path) -> None:
    take, stuck = taking(), True

    async def once(request: Any) -> Any:
        nonlocal stuck
        if stuck:
            stuck = False
            await asyncio.sleep(60)
        return take(request)

    cloud.answers["PublishAlarm"] = once
    sent = await cloud.run("--timeout", "15", *send(tmp_path))
    assert (sent.code, sent.out) == (0, "stored 1, duplicates 0, failed 0\n")
    assert len({alarm.alarm_id for alarm in alarms(cloud)}) == 1
