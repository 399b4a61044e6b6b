"""Devices publish alarms: once, in order, numbered, and never refused for what a panel gets wrong (A2, A3, A6, A10)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from tests.integration.cloud.helpers import Account
from tests.integration.cloud.receivers import HOST, Receiver
from tests.integration.cloud.scene import Configuration, Device, Scene, batch, new_alarm, send_push, timestamp

CLOCK = alarm_pb2.ALARM_MARK_CLOCK_IMPLAUSIBLE
CODE = alarm_pb2.ALARM_MARK_UNKNOWN_CODE
TEXT = alarm_pb2.ALARM_MARK_TEXT_ALTERED
NUMBER = alarm_pb2.ALARM_MARK_NUMBER_OUT_OF_RANGE


async def results_of(device: Device, *batches: list[alarm_pb2.Alarm]) -> list[alarm_service_pb2.AlarmResult]:
    """Publish batches in one stream; all results."""
    frames = [batch(number, alarms) for number, alarms in enumerate(batches, start=1)]
    answers = [answer async for answer in device.stream(frames)]
    assert [answer.batch for answer in answers] == list(range(1, len(batches) + 1))
    assert all(answer.window > 0 for answer in answers)
    return [result for answer in answers for result in answer.results]


async def test_a2_the_same_alarm_again_changes_nothing_and_answers_the_same(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    alarm = new_alarm(1, code="999")
    first = await scene.devices[0].send(alarm)
    assert (first.duplicate, first.account_sequence, list(first.marks)) == (False, 1, [CODE])
    changed = alarm_pb2.Alarm()
    changed.CopyFrom(alarm)
    changed.alarm_id = alarm.alarm_id.upper()
    changed.code, changed.text = "130", "another text"
    for repeated in (alarm, changed):
        again = await scene.devices[0].send(repeated)
        assert again.duplicate
        again.duplicate = False
        assert again == first
    pull = await scene.host.work()
    await scene.devices[0].publish(zone=2)
    await pull.until_zones(1, 2)
    assert pull.alarms[0].stored.alarm.code == "999"
    await pull.confirm_all()
    after = await scene.devices[0].send(alarm)  # also when it was confirmed
    assert after.duplicate
    assert (await scene.host.members()).group.backlog == 0


async def test_a2_the_same_alarm_at_once_on_many_calls_and_twice_in_a_batch_is_one(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    alarm = new_alarm(1)
    receipts = await asyncio.gather(*(scene.devices[0].send(alarm) for _ in range(10)))
    assert sorted(receipt.duplicate for receipt in receipts) == [False] + [True] * 9
    assert {receipt.account_sequence for receipt in receipts} == {1}
    twice = new_alarm(2)
    results = await results_of(scene.devices[0], [twice, twice])
    assert [result.receipt.duplicate for result in results] == [False, True]
    assert (await scene.host.members()).group.backlog == 2


async def test_a2_one_id_of_two_devices_is_two_alarms(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    alarm = new_alarm(1)
    receipts = [await device.send(alarm) for device in scene.devices]
    assert [receipt.duplicate for receipt in receipts] == [False, False]
    assert (await scene.host.members()).group.backlog == 2


async def test_a3_a_stream_of_batches_is_stored_in_its_order(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=0)
    alarms = [new_alarm(zone) for zone in range(1, 301)]
    # Ids that grow the other way, so that no index sorts them by accident.
    for alarm, name in zip(alarms, sorted((str(uuid4()) for _ in alarms), reverse=True), strict=True):
        alarm.alarm_id = name
    results = await results_of(scene.devices[0], *(alarms[start : start + 30] for start in range(0, 300, 30)))
    assert [result.receipt.alarm_id for result in results] == [alarm.alarm_id for alarm in alarms]
    assert [result.receipt.account_sequence for result in results] == list(range(1, 301))
    pull = await scene.host.work(window=1000)
    while len(pull.alarms) < 300:
        await pull.confirm_all() if pull.alarms else await asyncio.sleep(0.01)
    assert pull.zones == list(range(1, 301))


async def test_a6_the_sequence_counts_the_alarms_of_the_account_number_whatever_the_device(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host = Receiver(channel, account)
    await host.join(HOST)
    one, two = Device(channel, account, "one", "AB12"), Device(channel, account, "two", "AB12")
    other = Device(channel, account, "other", "AB13")
    await send_push(host, Configuration().changed(one, two, other))
    sequences = [(await device.publish()).account_sequence for device in (one, two, other, two, one)]
    assert sequences == [1, 2, 1, 3, 4]
    pull = await host.work()
    await pull.until_zones(1, 1, 1, 1, 1)
    wire = [(alarm.stored.account_number, alarm.stored.account_sequence) for alarm in pull.alarms]
    assert wire == [("AB12", 1), ("AB12", 2), ("AB13", 1), ("AB12", 3), ("AB12", 4)]
    assert pull.numbers == [1, 2, 3, 4, 5]


async def test_a6_another_sub_account_has_a_line_of_its_own(channel: grpc.aio.Channel, account: Account) -> None:
    first = await Scene.set(channel, account, spares=0)
    second = await Scene.set(channel, account, spares=0, sub_account="second")
    assert first.devices[0].device_id == second.devices[0].device_id  # the key tells which is meant
    sequences = [(await scene.devices[0].publish()).account_sequence for scene in (first, second, first, second)]
    assert sequences == [1, 1, 2, 2]
    assert [(await scene.host.members()).group.backlog for scene in (first, second)] == [2, 2]


async def test_a6_what_the_device_said_is_delivered_unchanged(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()
    alarm = new_alarm(
        7,
        qualifier=alarm_pb2.QUALIFIER_RESTORE,
        text="Tür <offen> [1]",
        verification_url="https://example.org/picture",
        latitude=48.1,
        longitude=11.5,
    )
    receipt = await scene.devices[0].send(alarm)
    alarm.device_id = scene.devices[0].device_id
    pull = await scene.host.open_pull()
    await pull.until_zones(7)
    stored = pull.alarms[0].stored
    assert stored.alarm == alarm
    assert stored.receive_time == receipt.receive_time
    assert (stored.account_number, stored.path) == ("4001", alarm_pb2.ALARM_PATH_CLOUD)
    await scene.host.vanish()
    successor = await scene.spare.work()
    await successor.until_zones(7)
    assert successor.alarms[0].stored == stored  # the same whichever receiver gets it


@pytest.mark.parametrize(
    ("odd", "marks"),
    [
        ({}, []),
        ({"occur_time": timestamp(datetime(1970, 1, 1, tzinfo=UTC))}, [CLOCK]),
        ({"occur_time": None}, [CLOCK]),
        ({"occur_time": timestamp(datetime.now(UTC) + timedelta(days=400))}, [CLOCK]),
        ({"code": "9ZZ"}, [CODE]),
        ({"code": ""}, [CODE]),
        ({"code": "X" * 500}, [CODE]),
        ({"code": "??", "code_format": alarm_pb2.CODE_FORMAT_SIA}, [CODE]),
        ({"code": "130", "code_format": alarm_pb2.CODE_FORMAT_SIA}, [CODE]),
        ({"code": "BR", "code_format": alarm_pb2.CODE_FORMAT_SIA}, []),
        ({"text": "a\x00b\r\n\x1b[31m"}, [TEXT]),
        ({"text": "x" * 5000}, [TEXT]),
        ({"zone": 5000}, [NUMBER]),
        ({"partition": 4_000_000_000}, [NUMBER]),
        ({"qualifier": 99}, []),
        ({"code_format": 99}, []),
        ({"code": "000", "zone": 5000, "text": "\t", "occur_time": None}, [CLOCK, CODE, TEXT, NUMBER]),
    ],
)
async def test_a10_nothing_that_a_broken_panel_gets_wrong_is_refused(
    channel: grpc.aio.Channel, account: Account, odd: dict[str, Any], marks: list[int]
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    alarm = new_alarm(**{"zone": 1, **odd})
    receipt = await scene.devices[0].send(alarm)
    assert list(receipt.marks) == marks
    pull = await scene.host.work()
    await pull.until_zones(alarm.zone)
    stored = pull.alarms[0].stored
    assert list(stored.marks) == marks
    assert (stored.alarm.text, stored.alarm.code, stored.alarm.zone) == (alarm.text, alarm.code, alarm.zone)
    assert stored.alarm.HasField("occur_time") == alarm.HasField("occur_time")
    assert abs(stored.receive_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)
