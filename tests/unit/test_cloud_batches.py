"""A stream of batches at the cloud, between the caller and the intake (A7)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import uuid4

import pytest

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from hotspare_cloud.intake import Intake, Receipt, Submission
from hotspare_cloud.services.alarm import WINDOW, AlarmService
from hotspare_cloud.services.callers import Callers
from hotspare_cloud.store.base import DeviceRow
from hotspare_cloud.supervision import Supervision
from hotspare_model.errors import HotspareError, Reason

MANY = 10 * WINDOW


class OneDevice:
    """Callers, of whom there is one."""

    def gateway(self, context: object) -> None:
        """It is none."""

    def device(self, context: object) -> DeviceRow:
        """Who calls."""
        return DeviceRow(1, "panel-1", b"", "1234")

    def lasting(self, context: object, end: object) -> contextlib.AbstractContextManager[None]:
        """Its key lasts."""
        return contextlib.nullcontext()


class QuickIntake:
    """Stores at once."""

    def on_both_paths(self, group_id: int) -> bool:
        """Never."""
        return False

    async def publish(self, group_id: int, submissions: Sequence[Submission]) -> list[Receipt]:
        """All are new."""
        return [Receipt(each.alarm.alarm_id, 0.0, 1, False, (), 1) for each in submissions]


class Unheard:
    """Supervision, of nobody."""

    def heard(self, device: DeviceRow) -> None:
        """Nothing."""


async def test_a7_who_reads_no_answers_is_not_taken_more_from_than_the_window() -> None:
    """Answers would wait in memory; and what comes again is stored nowhere, so that no disk gets full by it."""
    taken = 0

    async def batches() -> AsyncIterator[alarm_service_pb2.PublishAlarmsRequest]:
        nonlocal taken
        for number in range(1, MANY + 1):
            taken = number
            alarm = alarm_pb2.Alarm(alarm_id=str(uuid4()), code="130")
            yield alarm_service_pb2.PublishAlarmsRequest(
                batch=number, submissions=[alarm_service_pb2.AlarmSubmission(alarm=alarm)]
            )

    service = AlarmService(cast(Callers, OneDevice()), cast(Intake, QuickIntake()), cast(Supervision, Unheard()))
    answers = service.PublishAlarms(batches(), cast(Any, None))
    assert (await anext(answers)).batch == 1
    for _ in range(20 * MANY):
        await asyncio.sleep(0)
    assert WINDOW <= taken <= WINDOW + 2
    with pytest.raises(HotspareError) as error:
        async for _ in answers:
            pass
    assert error.value.reason is Reason.STREAM_PROTOCOL
