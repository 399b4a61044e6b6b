"""A device: publishes alarms at the cloud, each until it is answered. And the test alarm of a receiver."""

from __future__ import annotations  # the types of asynchronous stubs are there for checkers alone

import asyncio
import itertools
import os
import sys
import time
import uuid

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from hotspare.v1 import (
    alarm_feed_service_pb2,
    alarm_feed_service_pb2_grpc,
    alarm_pb2,
    alarm_service_pb2,
    alarm_service_pb2_grpc,
)

from connection import Receiver, channel_to, device, receivers, say, setting
from refusals import Pauses, Refusal, read

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


async def publish(count: int) -> bool:
    """Publish alarms one after the other: the next goes when the one before is answered, so their order is kept.
    Returns whether all were taken."""
    refused = 0
    async with channel_to(setting("HOTSPARE_CLOUD")) as channel:
        service = alarm_service_pb2_grpc.AlarmServiceStub(channel)
        for zone in range(1, count + 1):
            alarm = new_alarm(zone)
            # A real device writes the alarm to its disk here, and takes it from there after a restart.
            if not await _publish(service, alarm):
                refused += 1  # and on with the next: it must not hold up those behind it
    return refused == 0


async def _publish(service: alarm_service_pb2_grpc.AlarmServiceAsyncStub, alarm: alarm_pb2.Alarm) -> bool:
    """Publish an alarm until it is answered; returns whether it was taken."""
    request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=alarm))
    pauses = Pauses()
    while True:
        try:
            # The key is read for each attempt, so that one that was replaced counts without a restart.
            answer = await service.PublishAlarm(request, metadata=device(), timeout=DEADLINE)
        except grpc.aio.AioRpcError as error:
            refusal = read(error)
            if refusal.reason == "FIELD_INVALID":
                # The alarm itself is wrong. Nothing else is final: keys, servers and networks get mended, and then
                # somebody needs this alarm.
                _refused(alarm.alarm_id, refusal)
                return False
            await _wait(alarm.alarm_id, refusal, pauses)
        else:
            receipt = answer.receipt
            say("published", alarm_id=alarm.alarm_id, sequence=receipt.account_sequence, duplicate=receipt.duplicate)
            return True


async def test() -> bool:
    """Send a test alarm the whole way; returns whether it was taken. Any member of the group takes it; one that is away
    is passed over."""
    # An id for each of them: a test is known again only at the receiver that was asked for it.
    asked = [(receiver, new_alarm_id()) for receiver in receivers()]
    pauses = Pauses()
    for receiver, alarm_id in itertools.cycle(asked):
        try:
            answer = await _send_test(receiver, alarm_id)
        except grpc.aio.AioRpcError as error:
            refusal = read(error)
            if not refusal.passes:
                _refused(alarm_id, refusal)
                break
            await _wait(alarm_id, refusal, pauses)
        else:
            say("tested", alarm_id=alarm_id, number=answer.number)
            return True
    return False


async def _send_test(receiver: Receiver, alarm_id: str) -> alarm_feed_service_pb2.SendTestAlarmResponse:
    request = alarm_feed_service_pb2.SendTestAlarmRequest(alarm_id=alarm_id, text="Test by the example")
    async with channel_to(receiver.address) as channel:
        service = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(channel)
        return await service.SendTestAlarm(request, metadata=receiver.feed, timeout=DEADLINE)


async def _wait(alarm_id: str, refusal: Refusal, pauses: Pauses) -> None:
    seconds = pauses.after(refusal)
    say("waiting", alarm_id=alarm_id, code=refusal.code.name, reason=refusal.reason, seconds=f"{seconds:.1f}")
    if refusal.needs_mending:
        # Here stands what wakes somebody.
        print(f"{alarm_id}: {refusal.message}", file=sys.stderr)
    await asyncio.sleep(seconds)


def _refused(alarm_id: str, refusal: Refusal) -> None:
    say("refused", alarm_id=alarm_id, code=refusal.code.name, reason=refusal.reason)
    print(f"{alarm_id}: {refusal.message}", file=sys.stderr)
