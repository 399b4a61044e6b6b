"""A receiver by the contract alone: it pulls alarms, and acknowledges each delivery at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.alarms.ground import Identity
from benchmarks.alarms.hands import PATIENCE, Line
from hotspare.v1 import alarm_pull_service_pb2 as messages
from hotspare_rpc.channel import open_channel
from tests.integration.cloud.receivers import Pull, Receiver

RANGES_LIMIT = 1000
"""Ranges in one message (alarm_pull_service.proto)."""


@dataclass
class Pulled:
    """What came of a pull."""

    seconds: float = 0.0
    """From its opening until the last acknowledgement was durable at the cloud."""
    count: int = 0
    """Alarms delivered."""
    stored: int = 0
    """Acknowledgements that the cloud has durably."""
    times: dict[str, float] = field(default_factory=dict)
    """When each alarm came first, by its id, where that was asked for."""


class _Drain(Pull):
    """Takes deliveries as they come, and notes no more of them than it has to."""

    def __init__(self, receiver: Receiver, pull_id: int, *, at_once: bool = True, timed: bool = False) -> None:
        """`at_once`: each delivery is acknowledged as soon as it came, else when `release` is called."""
        super().__init__(receiver, pull_id)
        self.took = Pulled()
        self.held = 0
        """Alarms that came and were not acknowledged."""
        self._at_once = at_once
        self._timed = timed
        self._last = 0
        self._unsent: dict[int, list[tuple[int, int]]] = {}
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def last_delivery(self) -> int:
        return self._last

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what came fulfils a condition. Raises RuntimeError when the pull ends before."""
        ended = asyncio.create_task(self.until_ended())
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._changed.clear()
                    changed = asyncio.create_task(self._changed.wait())
                    await asyncio.wait((changed, ended), return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
                    if ended.done():
                        raise RuntimeError(f"the pull ended: {self.error}")
        finally:
            ended.cancel()

    def release(self) -> None:
        """Acknowledge what came."""
        self.held = 0
        self._wake.set()

    async def acknowledge(self) -> None:
        """Send what is released, all that waits in one message, until the end."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            unsent, self._unsent = self._unsent, {}
            for epoch, ranges in unsent.items():
                for start in range(0, len(ranges), RANGES_LIMIT):
                    told = [messages.NumberRange(first=a, last=b) for a, b in ranges[start : start + RANGES_LIMIT]]
                    await self.say(confirm=messages.PullAlarmsRequest.Confirm(epoch=epoch, ranges=told))

    def _heard(self, message: Any) -> None:
        match message.WhichOneof("frame"):
            case "delivery":
                self._take(message.delivery)
            case "stored":
                self.took.stored += sum(each.last - each.first + 1 for each in message.stored.ranges)
            case "stale":
                self.stale = message.stale.current_epoch
            case _:
                pass
        self._changed.set()

    def _take(self, delivery: messages.PullAlarmsResponse.Delivery) -> None:
        now, delivered = time.monotonic(), delivery.alarms
        self._last = delivery.first_delivery + len(delivered) - 1
        self.took.count += len(delivered)
        self.held += len(delivered)
        if self._timed:
            for each in delivered:
                self.took.times.setdefault(each.stored.alarm.alarm_id, now)
        first, last = delivered[0].stored.number, delivered[-1].stored.number
        if last - first + 1 == len(delivered):
            ranges = [(first, last)]
        else:
            ranges = [(each.stored.number, each.stored.number) for each in delivered]
        self._unsent.setdefault(delivery.epoch, []).extend(ranges)
        if self._at_once:
            self.release()


@asynccontextmanager
async def _working(target: str, identity: Identity) -> AsyncIterator[Receiver]:
    """The receiver, when it works."""
    async with open_channel(target, None) as channel:
        receiver = Receiver(
            channel,
            identity.account,
            receiver_id=identity.receiver_id,
            machine_id=identity.machine_id,
            folder_id=identity.folder_id,
        )
        await receiver.attend()
        await receiver.until_working()
        yield receiver
        await receiver.vanish()


async def pull(line: Line, target: str, identity: Identity, window: int, expected: int, timed: bool) -> Pulled:
    """Pull and acknowledge alarms until so many acknowledgements are durable. Says when it pulls."""
    async with _working(target, identity) as receiver:
        await line.go()
        begun = time.monotonic()
        drain = _Drain(receiver, 1, timed=timed)
        receiver.pull = drain
        writer = asyncio.create_task(drain.acknowledge())
        await drain.open(receiver.epoch, window)
        line.say("pulling")
        await drain.until(lambda: drain.took.stored >= expected)
        drain.took.seconds = time.monotonic() - begun
        writer.cancel()
        return drain.took


async def pull_by_turns(line: Line, target: str, identity: Identity, window: int, turns: int) -> None:
    """Have a whole window in hand, and at each word acknowledge it and get the next one. Says how many seconds that
    took: until all of these acknowledgements were durable, and as many alarms had come."""
    async with _working(target, identity) as receiver:
        drain = _Drain(receiver, 1, at_once=False)
        receiver.pull = drain
        writer = asyncio.create_task(drain.acknowledge())
        await drain.open(receiver.epoch, window)
        await drain.until(lambda: drain.held == window)
        for turn in range(1, turns + 1):
            await line.go()
            begun = time.monotonic()
            drain.release()
            wanted = turn * window
            await drain.until(lambda wanted=wanted: drain.took.stored >= wanted and drain.held == window)  # type: ignore[misc]
            line.say(time.monotonic() - begun)
        writer.cancel()
