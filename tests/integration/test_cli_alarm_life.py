"""`hotspare alarm show` and `alarm list` against a scripted receiver: two histories joined and told apart (A8)."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hotspare.v1.alarm_feed_service_pb2 import GetAlarmResponse, ListAlarmsResponse
from hotspare.v1.alarm_pb2 import (
    ALARM_STATE_CONFIRMED,
    ALARM_STATE_GIVEN_BACK,
    ATTEMPT_OUTCOME_CONFIRMED,
    ATTEMPT_OUTCOME_UNKNOWN,
    DELIVERY_END_CONFIRMED,
    DELIVERY_END_LOST,
    Alarm,
    AlarmDelivery,
    AlarmRecord,
    DeliveryAttempt,
    StoredAlarm,
)
from hotspare.v1.alarm_pull_service_pb2 import GetQueuedAlarmResponse, QueuedAlarm
from hotspare_cli.emit import as_json
from hotspare_cli.views.alarm_life import Life
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import HOST_ID, SPARE_ID, Script, scripted_server

ALARM_ID = "0190d0a0-1b2c-7def-8123-456789abcdef"
MORNING = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
NOT_HERE = HotspareError(Reason.RESOURCE_NOT_FOUND, "this receiver had no alarm 12", kind="alarm", id="12")
NOT_THERE = HotspareError(Reason.RESOURCE_NOT_FOUND, "the group has no alarm 12", kind="alarm", id="12")
UNREACHABLE = HotspareError(Reason.CLOUD_UNREACHABLE, "the cloud can't be reached", cloud_address="cloud:7443")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def stored(alarm_id: str = ALARM_ID) -> StoredAlarm:
    alarm = StoredAlarm(
        number=12,
        alarm=Alarm(alarm_id=alarm_id, device_id="panel-1", code="130"),
        account_number="1234",
        account_sequence=7,
    )
    alarm.alarm.occur_time.FromDatetime(MORNING)
    alarm.receive_time.FromDatetime(MORNING + timedelta(seconds=1))
    return alarm


def here(alarm_id: str = ALARM_ID) -> GetAlarmResponse:
    """The spare had it last, tried twice, and confirmed it."""
    record = AlarmRecord(
        stored=stored(alarm_id), state=ALARM_STATE_CONFIRMED, receiver_id=SPARE_ID, epoch=8, deliveries=2
    )
    record.deliver_time.FromDatetime(MORNING + timedelta(seconds=20))
    for number, outcome in ((1, ATTEMPT_OUTCOME_UNKNOWN), (2, ATTEMPT_OUTCOME_CONFIRMED)):
        attempt = DeliveryAttempt(output="arc", attempt=number, outcome=outcome, frame=b"F%d" % number, answer=b"ACK")
        attempt.start_time.FromDatetime(MORNING + timedelta(seconds=20 + number))
        record.attempts.append(attempt)
    record.attempt_count = 2
    record.confirm_time.FromDatetime(MORNING + timedelta(seconds=23))
    record.acknowledge_time.FromDatetime(MORNING + timedelta(seconds=24))
    return GetAlarmResponse(alarm=record)


def there() -> GetQueuedAlarmResponse:
    """The host was lost with it, then the spare had it."""
    queued = GetQueuedAlarmResponse(
        alarm=QueuedAlarm(stored=stored(), state=ALARM_STATE_CONFIRMED, epoch=8, deliveries=2, losses=1)
    )
    for number, (receiver, epoch, end) in enumerate(
        ((HOST_ID, 7, DELIVERY_END_LOST), (SPARE_ID, 8, DELIVERY_END_CONFIRMED)), 1
    ):
        delivery = AlarmDelivery(receiver_id=receiver, epoch=epoch, attempt=number, end=end)
        delivery.deliver_time.FromDatetime(MORNING + timedelta(seconds=9 * number + 1))
        delivery.end_time.FromDatetime(MORNING + timedelta(seconds=9 * number + 7))
        queued.deliveries.append(delivery)
    return queued


def in_order(text: str, *parts: str) -> None:
    """These stand in the text, one after the other."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        assert place >= 0, part
        place += len(part)


async def test_a8_the_whole_life_of_an_alarm_is_one_story_and_who_tells_what_stands_beside_it(server: Script) -> None:
    server.answers |= {"GetAlarm": here(), "GetQueuedAlarm": there()}
    shown = await server.run("alarm", "show", "12")
    assert shown.code == 0, shown.err
    in_order(
        shown.out, "Its life", "occurred", "published, and stored", f"delivered to {HOST_ID} under epoch 7",
        f"lost: {HOST_ID}", f"delivered to {SPARE_ID} under epoch 8", "came here under epoch 8",
        "attempt 1 at output arc: unknown", "attempt 2 at output arc: confirmed", "the ARC has it",
        "the cloud has stored the confirmation", "At the cloud", "Receivers lost with it", "Deliveries, as the cloud",
        "At this receiver", "Attempts", "F1", "F2",
    )  # fmt: skip
    story = shown.out.partition("Its life")[2].partition("At the cloud")[0]
    assert [line.split()[2] for line in story.splitlines()[2:5]] == ["device", "cloud", "cloud"]
    (asked,) = server.requests("GetQueuedAlarm")
    assert asked.number == 12


@pytest.mark.parametrize("key", ["12", pytest.param(ALARM_ID, marks=pytest.mark.full)])
async def test_a8_without_the_cloud_the_receivers_own_history_is_told_and_why_the_rest_is_missing(
    server: Script, key: str
) -> None:
    server.answers |= {"GetAlarm": here(), "GetQueuedAlarm": UNREACHABLE}
    shown = await server.run("alarm", "show", key)
    assert shown.code == 0, shown.err
    in_order(shown.out, "attempt 2 at output arc: confirmed", "At the cloud", "could not be asked", "F2")
    assert [each.number for each in server.requests("GetQueuedAlarm")] == [12]


async def test_a8_an_alarm_that_another_receiver_had_is_told_as_the_cloud_knows_it(server: Script) -> None:
    server.answers |= {"GetAlarm": NOT_HERE, "GetQueuedAlarm": there()}
    shown = await server.run("alarm", "show", "12")
    assert shown.code == 0, shown.err
    in_order(shown.out, f"delivered to {HOST_ID}", "At the cloud", SPARE_ID, "At this receiver", "never had it")
    data = json.loads(as_json(Life(queued=there()).response()))["alarm"]
    assert (data["receiver_id"], data["state"], data["stored"]["number"]) == (SPARE_ID, "ALARM_STATE_CONFIRMED", "12")
    assert [each["epoch"] for each in data["delivery_history"]] == ["7", "8"]


@pytest.mark.full
async def test_a8_as_data_it_is_the_receivers_record_with_the_clouds_deliveries(server: Script) -> None:
    server.answers |= {"GetAlarm": here(), "GetQueuedAlarm": there()}
    data = (await server.run("alarm", "show", "12", "-o", "json")).json()["alarm"]
    assert [each["attempt"] for each in data["attempts"]] == [1, 2]
    assert [each["receiver_id"] for each in data["delivery_history"]] == [HOST_ID, SPARE_ID]


@pytest.mark.full
async def test_a8_an_alarm_that_nobody_has_is_not_found_and_a_silent_cloud_is_named(server: Script) -> None:
    server.answers |= {"GetAlarm": NOT_HERE, "GetQueuedAlarm": NOT_THERE}
    gone = await server.run("alarm", "show", "12")
    assert gone.code == 5
    assert "The cloud does not have it, or no longer." in gone.error_lines()[0]
    server.answers["GetQueuedAlarm"] = UNREACHABLE
    shown = await server.run("alarm", "show", "12")
    assert shown.code == 5
    assert "The cloud could not be asked" in shown.error_lines()[0]


@pytest.mark.full
async def test_a8_an_alarm_of_another_group_under_the_same_number_is_not_mixed_in(server: Script) -> None:
    other = "0190d0a0-1b2c-7def-8123-000000000000"
    server.answers |= {"GetAlarm": here(other), "GetQueuedAlarm": there()}
    shown = await server.run("alarm", "show", other)
    assert "Another alarm has the number 12 there" in shown.out
    assert HOST_ID not in shown.out


@pytest.mark.full
async def test_a8_the_list_is_cut_by_time(server: Script) -> None:
    server.answers["ListAlarms"] = ListAlarmsResponse()
    day = ("--since", "2026-05-04T00:00:00Z", "--until", "2026-05-05T00:00:00Z")
    assert (await server.run("alarm", "list", "--device", "panel-1", "--state", "given-back", *day)).code == 0
    (request,) = server.requests("ListAlarms")
    assert (request.device_id, request.state) == ("panel-1", ALARM_STATE_GIVEN_BACK)
    assert request.start_time.ToDatetime(UTC) == MORNING.replace(hour=0)
    assert request.end_time.ToDatetime(UTC) == MORNING.replace(hour=0) + timedelta(days=1)
    wrong = await server.run("alarm", "list", "--since", "1h", "--until", "2h")
    assert wrong.code == 2
    assert "nothing can lie between" in wrong.err
