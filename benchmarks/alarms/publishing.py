"""Devices that publish, in processes of their own."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from benchmarks.alarms import alarms
from benchmarks.alarms.hands import Line
from hotspare.v1 import alarm_service_pb2
from hotspare_rpc.channel import open_channel

WARM_UP = 0.5
"""Seconds of the same load before anything is counted."""
FIRST_WINDOW = 4
"""Batches that may be unanswered before the first answer (alarm_service.proto)."""
LEAD = 0.2
"""Seconds between the word and the first call of a steady load."""

Metadata = Any
Times = dict[str, tuple[float, float, str, int]]
"""By alarm id: when the call began, when it was answered, the account number, the number in the account."""


async def unary(
    line: Line, target: str, method: str, metadata: Sequence[Metadata], callers: int, seconds: float
) -> tuple[int, float]:
    """Calls one after another by each of many callers. Returns how many were answered, and in how many seconds."""
    async with open_channel(target, None) as channel:
        # As bytes, both ways: what this side spends on messages says nothing of the server.
        call: Any = channel.unary_unary(method)
        end = time.monotonic() + WARM_UP

        async def caller(index: int) -> int:
            mine, count = metadata[index % len(metadata)], 0
            while time.monotonic() < end:
                await call(alarms.request(alarms.new_id()), metadata=mine)
                count += 1
            return count

        await asyncio.gather(*(caller(index) for index in range(callers)))
        await line.go()
        begun = time.monotonic()
        end = begun + seconds
        counts = await asyncio.gather(*(caller(index) for index in range(callers)))
        return sum(counts), time.monotonic() - begun


class Batches:
    """One stream of PublishAlarms, with a number of batches in flight."""

    def __init__(self, channel: Any, metadata: Metadata, in_flight: int) -> None:
        self._call = channel.stream_stream(alarms.PUBLISH_STREAM)(metadata=metadata)
        self._in_flight = in_flight
        self._answers: list[bytes] = []
        self._unanswered = 0
        self._room = asyncio.Event()
        self._reader = asyncio.create_task(self._read())
        self._sent = 0

    async def send(self, ids: Sequence[str]) -> None:
        """Send a batch as soon as there is room for one more."""
        while self._unanswered >= (self._in_flight if self._answers else min(FIRST_WINDOW, self._in_flight)):
            self._room.clear()
            waiting = asyncio.create_task(self._room.wait())
            await asyncio.wait((waiting, self._reader), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if self._reader.done() and not self._room.is_set():
                self._reader.result()
                raise RuntimeError("the cloud ended the stream")
        self._sent += 1
        self._unanswered += 1
        await self._call.write(alarms.batch(self._sent, ids))

    async def finish(self) -> None:
        """Send nothing more, and wait for all answers."""
        await self._call.done_writing()
        await self._reader

    def results(self) -> dict[str, int]:
        """What came of all alarms."""
        counts = {"stored": 0, "duplicates": 0, "refused": 0}
        for raw in self._answers:
            for result in alarm_service_pb2.PublishAlarmsResponse.FromString(raw).results:
                counts[_kind(result)] += 1
        return counts

    async def _read(self) -> None:
        async for raw in self._call:
            self._answers.append(raw)
            self._unanswered -= 1
            self._room.set()


def _kind(result: alarm_service_pb2.AlarmResult) -> str:
    if result.WhichOneof("result") != "receipt":
        return "refused"
    return "duplicates" if result.receipt.duplicate else "stored"


async def stream(
    line: Line, target: str, metadata: Metadata, ids: Sequence[str], size: int, in_flight: int
) -> tuple[float, dict[str, int]]:
    """Publish alarms in batches of `size`. Returns the seconds from the first batch to the last answer, and what came
    of the alarms."""
    async with open_channel(target, None) as channel:
        await channel.channel_ready()
        cut = [ids[start : start + size] for start in range(0, len(ids), size)]
        await line.go()
        begun = time.monotonic()
        batches = Batches(channel, metadata, in_flight)
        for each in cut:
            await batches.send(each)
        await batches.finish()
        return time.monotonic() - begun, batches.results()


async def flood(line: Line, target: str, metadata: Metadata, size: int, in_flight: int) -> dict[str, int]:
    """One device that sends as fast as it is let, until told to stop."""
    async with open_channel(target, None) as channel:
        await line.go()
        batches = Batches(channel, metadata, in_flight)
        while not line.stopped.is_set():
            await batches.send([alarms.new_id() for _ in range(size)])
        await batches.finish()
        return batches.results()


async def steady(line: Line, target: str, panels: Sequence[tuple[str, Metadata]], rate: float, count: int) -> Times:
    """Publish at a steady rate, whatever becomes of the calls before; `panels`: account numbers and credentials."""
    times: Times = {}
    async with open_channel(target, None) as channel:
        call: Any = channel.unary_unary(alarms.PUBLISH)

        async def one(index: int) -> None:
            account, metadata = panels[index % len(panels)]
            alarm_id = alarms.new_id()
            raw = alarms.request(alarm_id)
            begun = time.monotonic()
            answer = await call(raw, metadata=metadata)
            answered = time.monotonic()
            receipt = alarm_service_pb2.PublishAlarmResponse.FromString(answer).receipt
            times[alarm_id] = (begun, answered, account, receipt.account_sequence)

        await channel.channel_ready()
        alarms.request(alarms.new_id())
        await line.go()
        due = time.monotonic() + LEAD
        running: deque[asyncio.Task[None]] = deque()
        for index in range(count):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            running.append(asyncio.create_task(one(index)))
            due += 1 / rate
        await asyncio.gather(*running)
    return times
