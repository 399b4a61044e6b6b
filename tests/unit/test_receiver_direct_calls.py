"""AlarmService at the receiver: what a direct device is told of what the cloud says (D2)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

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
    """One device, and a gate that is full for one alarm."""

    def __init__(self, full: str) -> None:
        self.taken: list[str] = []

        async def accept(alarm: DirectAlarm) -> Accepted:
            if alarm.alarm.code == full and full not in self.taken:
                self.taken.append(full)
                raise HotspareError(Reason.INTAKE_FULL, "full", retry_after=timedelta(seconds=1))
            return Accepted(alarm.alarm.alarm_id, MORNING, 1, 1, False, ())

        parts: Any = SimpleNamespace(gate=SimpleNamespace(accept=accept), clock=SystemClock(), stopping=asyncio.Event())
        super().__init__(cast(Parts, parts))

    async def admit(self, context: object) -> Caller:
        return CALLER


async def test_a3_after_an_alarm_that_is_refused_for_now_later_ones_do_not_pass_it() -> None:
    """Though there is room for them again."""
    answered = asyncio.Event()

    async def batches() -> AsyncIterator[alarm_service_pb2.PublishAlarmsRequest]:
        for number, codes in enumerate((("110", "120", "130"), ("140",)), start=1):
            alarms = [alarm_pb2.Alarm(alarm_id=str(uuid4()), code=code) for code in codes]
            submissions = [alarm_service_pb2.AlarmSubmission(alarm=alarm) for alarm in alarms]
            yield alarm_service_pb2.PublishAlarmsRequest(batch=number, submissions=submissions)
            await answered.wait()

    kinds = []
    async for answer in Station(full="120").PublishAlarms(batches(), cast(Any, None)):
        kinds.append([result.WhichOneof("result") for result in answer.results])
        answered.set()
    assert kinds == [["receipt", "rejection", "rejection"], ["receipt"]]
