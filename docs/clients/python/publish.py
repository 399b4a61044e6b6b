"""A device: publishes alarms at the cloud, each until it is answered. And the test alarm of a receiver."""

from __future__ import annotations  # the types of asynchronous stubs are there for checkers alone

import itertools
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from hotspare.v1 import (
    alarm_feed_service_pb2,
    alarm_feed_service_pb2_grpc,
    alarm_pb2,
    alarm_service_pb2,
    alarm_service_pb2_grpc,
)

from connection import channel_to, device, receivers, say, setting
from refusals import Refusal, read, until_answered

Answer = TypeVar("Answer")

DEADLINE = 10.0
"""Seconds for one attempt, as the comment of both calls says."""


def new_alarm_id() -> str:
    """A UUIDv7: milliseconds since 1970 in front, then random bits. (Python 3.14 has it as `uuid.uuid7`.)"""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def new_alarm(zone: int) -> alarm_pb2.Alarm:
    """A burglary in a zone. Its id is made once: by the id the cloud knows a repetition."""
    occurred = Timestamp()
    occurred.GetCurrentTime()
    return alarm_pb2.Alarm(
        alarm_id=new_alarm_id(),
        qualifier=alarm_pb2.QUALIFIER_NEW,
        code_format=alarm_pb2.CODE_FORMAT_CONTACT_ID,
        code="130",
        partition=1,
        zone=zone,
        occur_time=occurred,
    )


async def publish(count: int) -> None:
    """Publish alarms one after the other: the next goes when the one before is answered, so their order is kept."""
    async with channel_to(setting("HOTSPARE_CLOUD")) as channel:
        service = alarm_service_pb2_grpc.AlarmServiceStub(channel)
        for zone in range(1, count + 1):
            alarm = new_alarm(zone)
            # A real device writes the alarm to its disk here, and takes it from there after a restart.
            await _publish(service, alarm)


async def _publish(service: alarm_service_pb2_grpc.AlarmServiceAsyncStub, alarm: alarm_pb2.Alarm) -> None:
    request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=alarm))

    async def attempt() -> alarm_service_pb2.PublishAlarmResponse:
        return await service.PublishAlarm(request, metadata=device(), timeout=DEADLINE)

    receipt = (await _send(alarm.alarm_id, attempt)).receipt
    say("published", alarm_id=alarm.alarm_id, sequence=receipt.account_sequence, duplicate=receipt.duplicate)


async def test() -> None:
    """Send a test alarm the whole way. Any member of the group takes it; one that is away is passed over."""
    request = alarm_feed_service_pb2.SendTestAlarmRequest(alarm_id=new_alarm_id(), text="Test by the example")
    members = itertools.cycle(receivers())

    async def attempt() -> alarm_feed_service_pb2.SendTestAlarmResponse:
        receiver = next(members)
        async with channel_to(receiver.address) as channel:
            service = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(channel)
            return await service.SendTestAlarm(request, metadata=receiver.feed, timeout=DEADLINE)

    answer = await _send(request.alarm_id, attempt)
    say("tested", alarm_id=request.alarm_id, number=answer.number)


async def _send(alarm_id: str, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    """Try until it is answered; end the program when that is useless."""

    def waiting(refusal: Refusal, seconds: float) -> None:
        say("waiting", alarm_id=alarm_id, code=refusal.code.name, reason=refusal.reason, seconds=f"{seconds:.1f}")

    try:
        return await until_answered(attempt, waiting)
    except grpc.aio.AioRpcError as error:
        refusal = read(error)
        say("refused", alarm_id=alarm_id, code=refusal.code.name, reason=refusal.reason)
        sys.exit(f"{alarm_id} was refused: {error.details()}")
