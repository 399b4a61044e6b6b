"""`hotspare alarm rejected` and `alarm replay` against a scripted receiver (A5)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from hotspare.v1.alarm_pb2 import ALARM_STATE_SET_ASIDE, ALARM_STATE_STORED, Alarm, StoredAlarm
from hotspare.v1.alarm_pull_service_pb2 import (
    SET_ASIDE_CAUSE_LOST_UNDER_IT,
    SET_ASIDE_CAUSE_REFUSED,
    GetQueuedAlarmResponse,
    ListQueueRequest,
    ListQueueResponse,
    QueuedAlarm,
    ReplayAlarmResponse,
)
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import Script, scripted_server

ALARM_ID = "0190d0a0-1b2c-7def-8123-456789abcdef"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def aside(number: int, **fields: object) -> QueuedAlarm:
    told = Alarm(alarm_id=ALARM_ID, device_id="panel-1", code="130")
    alarm = QueuedAlarm(
        stored=StoredAlarm(number=number, alarm=told, account_number="1234", account_sequence=number),
        state=ALARM_STATE_SET_ASIDE,
        cause=SET_ASIDE_CAUSE_REFUSED,
        reason="output arc refused it 5 times: the ARC's software can't process it (DUH)",
        frame=b'\n1B2C0031"ADM-CID"0012\r',
        answer=b'\n3C4D0019"DUH"0012\r',
        **fields,  # type: ignore[arg-type]
    )
    alarm.set_aside_time.FromDatetime(datetime(2026, 5, 4, 6, 0, tzinfo=UTC))
    return alarm


async def test_a5_what_was_set_aside_is_listed_with_the_reason_and_the_raw_exchange(server: Script) -> None:
    lost = aside(13, replayed_by="olga")
    lost.cause, lost.frame = SET_ASIDE_CAUSE_LOST_UNDER_IT, b""
    server.answers["ListQueue"] = ListQueueResponse(alarms=[aside(12), lost])
    shown = await server.run("alarm", "rejected", "--device", "panel-1")
    first, second = shown.out.splitlines()[1:]
    assert first.split()[0] == "12"
    assert all(
        part in first for part in ("panel-1", "1130", "2026-05-04 06:00:00", "refused", "can't process it (DUH)")
    )
    assert all(part in first for part in ('1B2C0031"ADM-CID"0012', '3C4D0019"DUH"0012', ALARM_ID))
    assert all(part in second for part in ("lost under it", "olga"))
    (request,) = server.requests("ListQueue")
    assert (request.state, request.device_id) == (ALARM_STATE_SET_ASIDE, "panel-1")


async def test_a5_the_list_is_followed_over_its_pages_up_to_a_limit(server: Script) -> None:
    def page(request: ListQueueRequest) -> ListQueueResponse:
        start = int(request.page_token or 1)
        return ListQueueResponse(alarms=[aside(n) for n in (start, start + 1)], next_page_token=str(start + 2))

    server.answers["ListQueue"] = page
    shown = await server.run("alarm", "rejected", "--limit", "3", "-o", "json")
    assert [each["stored"]["number"] for each in shown.json()["alarms"]] == ["1", "2", "3"]
    server.answers["ListQueue"] = ListQueueResponse()
    assert (await server.run("alarm", "rejected")).out.strip() == "no alarm is set aside"


@pytest.mark.parametrize("key", ["12", ALARM_ID.upper()])
async def test_a5_an_alarm_is_sent_again_by_its_number_or_its_id(server: Script, key: str) -> None:
    server.answers["GetQueuedAlarm"] = GetQueuedAlarmResponse(alarm=aside(12))
    alarm = aside(12, replayed_by="admin")
    alarm.state = ALARM_STATE_STORED
    server.answers["ReplayAlarm"] = ReplayAlarmResponse(alarm=alarm)
    shown = await server.run("alarm", "replay", key)
    assert shown.code == 0, shown.err
    assert "Alarm 12 of panel-1 is in the queue again" in shown.out
    (request,) = server.requests("ReplayAlarm")
    assert request.number == 12
    assert UUID(request.request_id)
    asked = [each.alarm_id for each in server.requests("GetQueuedAlarm")]
    assert asked == ([] if key == "12" else [ALARM_ID])


async def test_a5_one_that_is_not_set_aside_is_told_so_with_what_to_do(server: Script) -> None:
    server.answers["ReplayAlarm"] = HotspareError(Reason.ALARM_NOT_SET_ASIDE, "alarm 12 is not set aside", number=12)
    shown = await server.run("alarm", "replay", "12")
    assert shown.code == 1
    what, hint = shown.error_lines()
    assert "not set aside" in what
    assert "set aside can be sent again" in hint
    assert (await server.run("alarm", "replay", "twelve")).code == 2
