"""What a stream of batches does after an alarm that was refused for now (A3)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from hotspare_cloud.intake import Receipt
from hotspare_cloud.services import alarm as alarm_service
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.alarm_batches import GIVEN_UP_AFTER, Refusing

FULL = HotspareError(Reason.INTAKE_FULL, "full")


def test_a3_until_the_refused_alarm_comes_again_nothing_passes_it() -> None:
    refusing = Refusing(lambda: 0.0)
    refusing.look(["a"], alone=True)
    assert refusing.error is None
    refusing.begin("a", FULL)
    refusing.look(["b", "c"], alone=True)
    refusing.begin("b", HotspareError(Reason.DISK_LOW, "low"))
    assert refusing.error is FULL
    refusing.look(["a", "b"], alone=False)
    assert refusing.error is None


def test_a3_an_alarm_that_its_sender_dropped_holds_the_stream_up_for_a_bounded_time() -> None:
    now = 0.0
    refusing = Refusing(lambda: now)
    refusing.begin("a", FULL)
    now = GIVEN_UP_AFTER
    refusing.look(["b"], alone=False)
    assert refusing.error is FULL
    refusing.look(["b"], alone=True)
    assert refusing.error is None


class Intake:
    """Has no room for the first batch."""

    def __init__(self) -> None:
        self.room = False
        self.stored: list[str] = []

    async def publish(self, group_id: int, submissions: Sequence[Any]) -> Sequence[Receipt]:
        if not self.room:
            raise FULL
        self.stored += [one.alarm.alarm_id for one in submissions]
        return [Receipt(one.alarm.alarm_id, 0.0, 1, False, (), 1) for one in submissions]


class Publisher:
    """One device."""

    def again(self) -> None:
        """Its credentials are good."""

    def alive(self) -> None:
        """It is."""

    def group_id(self) -> int:
        """Its group."""
        return 1

    def read(self, submission: Any, arrival: Any) -> Any:
        """All is well with its alarms."""
        return SimpleNamespace(alarm=SimpleNamespace(alarm_id=submission.alarm.alarm_id))


async def test_a3_a_batch_that_was_under_way_does_not_pass_the_refused_one_when_there_is_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alarm_service, "arrival_at", lambda intake, group_id: None)
    intake = Intake()
    stream = alarm_service._BatchStream(Publisher(), intake)  # type: ignore[arg-type]
    coming: asyncio.Queue[alarm_service_pb2.PublishAlarmsRequest] = asyncio.Queue()

    async def requests() -> AsyncIterator[alarm_service_pb2.PublishAlarmsRequest]:
        while True:
            yield await coming.get()

    async def answer_to(number: int, *alarm_ids: str) -> list[bool]:
        submissions = [alarm_service_pb2.AlarmSubmission(alarm=alarm_pb2.Alarm(alarm_id=one)) for one in alarm_ids]
        coming.put_nowait(alarm_service_pb2.PublishAlarmsRequest(batch=number, submissions=submissions))
        response = await stream.next_response()
        assert response is not None
        assert response.batch == number
        return [result.HasField("receipt") for result in response.results]

    reader = asyncio.create_task(stream.read(requests()))
    assert await answer_to(1, "alarm") == [False]
    # There is room again, and what the device had sent before it read that answer arrives.
    intake.room = True
    assert await answer_to(2, "restore") == [False]
    assert await answer_to(3, "alarm", "restore") == [True, True]
    assert await answer_to(4, "later") == [True]
    assert intake.stored == ["alarm", "restore", "later"]
    reader.cancel()
