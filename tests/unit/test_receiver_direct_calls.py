"""AlarmService at the receiver: what a direct device is told of what the cloud says (D2)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.direct.intake import Accepted, DirectAlarm
from hotspare_receiver.services.alarm import AlarmServicer, Caller, Parts

MORNING = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
CALLER = Caller("panel-1", timedelta(0))


def service(refusal: HotspareError) -> AlarmServicer:
    """One whose gate refuses everything so."""

    async def refuse(alarm: object) -> None:
        raise refusal

    settings = SimpleNamespace(settings=SimpleNamespace(cloud_address="cloud:7440"))
    parts: Any = SimpleNamespace(gate=SimpleNamespace(accept=refuse), settings=settings, clock=SystemClock())
    return AlarmServicer(cast(Parts, parts))


async def told(refusal: HotspareError) -> HotspareError:
    """What the device is told."""
    submission = alarm_service_pb2.AlarmSubmission(alarm=alarm_pb2.Alarm(alarm_id=str(uuid4()), code="130"))
    with pytest.raises(HotspareError) as error:
        await service(refusal).accept(submission, CALLER)
    return error.value


@pytest.mark.parametrize(
    "reason", [Reason.INVALID_CREDENTIALS, Reason.NOT_A_MEMBER, Reason.CALLER_NOT_ALLOWED, Reason.DEVICE_UNKNOWN]
)
async def test_d2_what_the_cloud_has_against_the_receiver_is_not_final_for_the_alarm(reason: Reason) -> None:
    """A device that took it for final would throw the alarm away."""
    error = await told(HotspareError(reason, "no"))
    assert (error.reason, error.retry_after) == (Reason.CLOUD_UNREACHABLE, timedelta(seconds=30))


@pytest.mark.parametrize("reason", [Reason.FIELD_INVALID, Reason.DISK_LOW, Reason.DUAL_CONNECTION_OFF])
async def test_d2_what_is_about_the_alarm_or_the_moment_is_told_as_it_is(reason: Reason) -> None:
    refusal = HotspareError(reason, "no")
    assert await told(refusal) is refusal


class Station(AlarmServicer):
    """One device, and a gate that is full once, for one alarm. It hands over what comes in the turns of the loop."""

    def __init__(self, full: str = "") -> None:
        self.taken: list[str] = []
        self.at_once = self.most_at_once = 0
        self.full = full

        async def accept(alarm: DirectAlarm) -> Accepted:
            code = alarm.alarm.code
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(0)
            self.at_once -= 1
            if code == self.full:
                self.full = ""
                raise HotspareError(Reason.INTAKE_FULL, "full", retry_after=timedelta(seconds=1))
            self.taken.append(code)
            return Accepted(alarm.alarm.alarm_id, MORNING, 1, 1, False, ())

        parts: Any = SimpleNamespace(gate=SimpleNamespace(accept=accept), clock=SystemClock(), stopping=asyncio.Event())
        super().__init__(cast(Parts, parts))

    async def admit(self, context: object) -> Caller:
        return CALLER

    async def publish(self, *batches: Sequence[str], one_by_one: bool = False) -> list[list[str | None]]:
        """Have batches of alarms with these codes; `one_by_one`: each when the one before was answered."""
        answered = asyncio.Event()

        async def requests() -> AsyncIterator[alarm_service_pb2.PublishAlarmsRequest]:
            for number, codes in enumerate(batches, start=1):
                alarms = [alarm_pb2.Alarm(alarm_id=str(UUID(int=int(code))), code=code) for code in codes]
                submissions = [alarm_service_pb2.AlarmSubmission(alarm=alarm) for alarm in alarms]
                answered.clear()
                yield alarm_service_pb2.PublishAlarmsRequest(batch=number, submissions=submissions)
                if one_by_one:
                    await answered.wait()

        results: list[list[str | None]] = []
        async for answer in self.PublishAlarms(requests(), cast(Any, None)):
            results.append([result.WhichOneof("result") for result in answer.results])
            answered.set()
        return results


async def test_a3_after_an_alarm_that_is_refused_for_now_none_passes_it_until_it_comes_again() -> None:
    """Though there is room for them; also what was on its way when the answer went out, which can't be known."""
    station = Station(full="120")
    results = await station.publish(["110", "120", "130"], ["140"], ["120", "130"], ["140"], one_by_one=True)
    assert results == [["receipt", "rejection", "rejection"], ["rejection"], ["receipt", "receipt"], ["receipt"]]
    assert station.taken == ["110", "120", "130", "140"]


async def test_s4_a_device_that_streams_much_takes_the_room_of_one_alarm_and_has_none_refused() -> None:
    station = Station()
    batches = [[str(number) for number in range(begin, begin + 1000)] for begin in (1, 1001)]
    assert await station.publish(*batches) == [["receipt"] * 1000] * 2
    assert station.taken == batches[0] + batches[1]
    assert station.most_at_once == 1
