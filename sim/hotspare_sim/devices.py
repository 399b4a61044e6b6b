"""Alarm devices: they report at a set rate, and try again with the same alarm id until each was answered."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import grpc

from hotspare.v1.alarm_pb2 import CODE_FORMAT_CONTACT_ID, Alarm, Qualifier
from hotspare_rpc.alarm_ids import uuid7
from hotspare_rpc.credentials import DeviceCredentials
from hotspare_sim.beats import Beats
from hotspare_sim.core.places import place_of
from hotspare_sim.dual import DirectAccess, DualPublisher
from hotspare_sim.line_log import LineLog
from hotspare_sim.panel import Panel
from hotspare_sim.publish import Publisher, Receipt, Refusal, StreamPublisher, UnaryPublisher, Way

WAITING_LIMIT = 1000
"""Alarms that one device keeps; when it is full, nothing more happens until the cloud answers again."""
BATCH = 100
"""Alarms of a batch at most; the contract allows 1,000."""
FIRST_BACKOFF = 0.2
LAST_BACKOFF = 2.0
"""Seconds between attempts of a device."""
LONGEST_WAIT = timedelta(seconds=10)
"""However long the cloud asks to wait."""
CATCH_UP = 1.0
"""Seconds of alarms that are made up for at most, after the process got no time."""

_QUALIFIERS = {1: Qualifier.QUALIFIER_NEW, 3: Qualifier.QUALIFIER_RESTORE, 6: Qualifier.QUALIFIER_STATUS}


@dataclass(frozen=True)
class Plan:
    """What the devices do."""

    arc_id: str
    keys: Mapping[str, str] = field(repr=False)
    """Device key by device id."""
    rate: float = 10.0
    """Alarms a second, of all devices together."""
    count: int | None = None
    """Alarms in all. None: until stopped."""
    seed: int | None = None
    """The same seed makes the same events of the same devices; the ids differ."""
    stream: bool = False
    """By batches over a stream, instead of one by one."""
    beat: bool = True
    """Whether devices say that they live (A9) also while nothing happens."""
    numbered: bool = False
    """Partition and zone of each alarm are its device's number of it (`places`)."""
    direct: Mapping[str, DirectAccess] = field(default_factory=dict, repr=False)
    """By device id: who speaks DC-09 to the host, and to the cloud only where that gets no answer."""


@dataclass
class Counts:
    """What happened since the start."""

    published: int = 0
    """Alarms that were answered."""
    repeated: int = 0
    """Of these, how many had been stored by an earlier attempt already."""
    attempts: int = 0
    direct: int = 0
    """Of the published ones, those that the host took by DC-09."""
    refused: int = 0
    """Alarms that the cloud refused for good."""
    unanswered: int = 0
    """Alarms that were given to the cloud at least once, and not answered when we stopped."""

    def __str__(self) -> str:
        return " ".join(f"{name}={count}" for name, count in vars(self).items())


@dataclass
class _Waiting:
    alarm: Alarm
    number: int
    """Counted from 1, by device."""
    begun: float = 0.0
    """Monotonic, before the first attempt."""
    attempts: int = 0


class _Device:
    def __init__(self, device_id: str, publisher: Publisher, random: Random) -> None:
        self.device_id = device_id
        self.publisher = publisher
        self.panel = Panel(random)
        self.waiting: deque[_Waiting] = deque()
        self.more = asyncio.Event()
        self.is_over = False
        self._made = 0

    def happen(self, numbered: bool) -> None:
        """Have the next event."""
        self._made += 1
        self.waiting.append(_Waiting(_alarm_of(self.panel, self._made if numbered else None), self._made))
        self.more.set()

    def end(self, *, drop_unbegun: bool) -> None:
        """No more comes; forget also what the cloud has not been given, if the devices are to stop."""
        if drop_unbegun:
            self.waiting = deque(waiting for waiting in self.waiting if waiting.attempts)
        self.is_over = True
        self.more.set()


class Devices:
    """All devices of one process, on one channel."""

    def __init__(self, plan: Plan, channel: grpc.aio.Channel, log: LineLog, complain: Callable[[str], None]) -> None:
        """`complain` is told, in words, what keeps alarms from being answered, and when that is over."""
        self.counts = Counts()
        self._plan = plan
        self._log = log
        self._tell = complain
        self._complaints = _Complaints(complain)
        self._random = Random(plan.seed)
        self._batch = BATCH if plan.stream else 1
        self._devices = [
            _Device(device_id, _publisher(plan, device_id, channel), Random(self._random.getrandbits(64)))
            for device_id in sorted(plan.keys)
        ]
        keys = plan.keys if plan.beat else {}
        self._beats = Beats(channel, plan.arc_id, keys, Random(self._random.getrandbits(64)))

    async def run(self, stop: asyncio.Event, stop_timeout: timedelta) -> None:
        """Publish until `plan.count` or `stop`; then what is under way may take `stop_timeout`.

        Raises OSError when the log can't be written: alarms that nobody can check are of no use.
        """
        work = asyncio.gather(self._happen(stop), *map(self._publish_all_of, self._devices))
        beats = asyncio.ensure_future(self._beats.run())
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._end(drop_unbegun=True)
                await asyncio.wait((work,), timeout=stop_timeout.total_seconds())
            if work.done():
                work.result()
        finally:
            for task in (stopped, work, beats):
                task.cancel()
            await asyncio.gather(work, stopped, beats, return_exceptions=True)
            self.counts.unanswered = sum(len(device.waiting) for device in self._devices)

    def _end(self, *, drop_unbegun: bool) -> None:
        for device in self._devices:
            device.end(drop_unbegun=drop_unbegun)

    async def _happen(self, stop: asyncio.Event) -> None:
        """Make the events, at the rate of the plan."""
        due = time.monotonic()
        made = 0
        while not stop.is_set() and (self._plan.count is None or made < self._plan.count):
            now = time.monotonic()
            if due > now and await _pause(stop, due - now):
                break
            due = max(due + 1 / self._plan.rate, now - CATCH_UP)
            device = self._random.choice(self._devices)
            while len(device.waiting) >= WAITING_LIMIT and not await _pause(stop, FIRST_BACKOFF):
                pass
            device.happen(self._plan.numbered)
            made += 1
        self._end(drop_unbegun=stop.is_set())

    async def _publish_all_of(self, device: _Device) -> None:
        backoff = FIRST_BACKOFF
        try:
            while await self._has_more(device):
                refusal = await self._attempt(device)
                if refusal is None:
                    backoff = FIRST_BACKOFF
                    self._complaints.over(device.device_id)
                    continue
                self._complaints.add(device.device_id, refusal.problem)
                asked = min(refusal.retry_after or timedelta(0), LONGEST_WAIT).total_seconds()
                await asyncio.sleep(max(asked, backoff * (0.5 + self._random.random() / 2)))
                backoff = min(backoff * 2, LAST_BACKOFF)
        finally:
            await device.publisher.close()

    async def _has_more(self, device: _Device) -> bool:
        while not device.waiting:
            if device.is_over:
                return False
            device.more.clear()
            await device.more.wait()
        return True

    async def _attempt(self, device: _Device) -> Refusal | None:
        """Give the oldest alarms to the cloud; what was not answered stays first in line (A3).

        Returns why some of them have to be tried again, None when none has.
        """
        batch = [device.waiting[place] for place in range(min(self._batch, len(device.waiting)))]
        now = time.monotonic()
        for waiting in batch:
            waiting.begun = waiting.begun or now
            waiting.attempts += 1
        self.counts.attempts += len(batch)
        results = await device.publisher.publish([waiting.alarm for waiting in batch])
        again: Refusal | None = None
        left: list[_Waiting] = []
        for waiting, result in zip(batch, results, strict=True):
            if isinstance(result, Receipt):
                self._answered(device, waiting, result)
            elif result.final:
                self.counts.refused += 1
                self._tell(f"alarm {waiting.alarm.alarm_id} refused: {result.problem}")
            else:
                again = again or result
                left.append(waiting)
        for _ in batch:
            device.waiting.popleft()
        device.waiting.extendleft(reversed(left))
        return again

    def _answered(self, device: _Device, waiting: _Waiting, receipt: Receipt) -> None:
        self.counts.published += 1
        self.counts.repeated += receipt.duplicate
        self.counts.direct += receipt.way is Way.DIRECT
        alarm = waiting.alarm
        self._log.write(
            {
                "time": datetime.now(UTC).isoformat(),
                "clock": time.monotonic(),
                "begun": waiting.begun,
                "device_id": device.device_id,
                "alarm_id": alarm.alarm_id,
                "account_sequence": receipt.account_sequence,
                "number": waiting.number,
                "way": str(receipt.way),
                "qualifier": int(alarm.qualifier),
                "code": alarm.code,
                "partition": alarm.partition,
                "zone": alarm.zone,
                "occurrence": alarm.occur_time.ToDatetime(UTC).isoformat(),
                "attempts": waiting.attempts,
                "duplicate": receipt.duplicate,
            }
        )


def _publisher(plan: Plan, device_id: str, channel: grpc.aio.Channel) -> Publisher:
    credentials = DeviceCredentials(plan.arc_id, device_id, plan.keys[device_id])
    if plan.stream:
        return StreamPublisher(channel, credentials)
    cloud = UnaryPublisher(channel, credentials)
    access = plan.direct.get(device_id)
    return cloud if access is None else DualPublisher(access, cloud)


def _alarm_of(panel: Panel, number: int | None) -> Alarm:
    """The next event of a panel; with a number its place is that of the number."""
    occurrence = panel.next()
    place = (occurrence.partition, occurrence.zone) if number is None else place_of(number)
    alarm = Alarm(
        alarm_id=str(uuid7()),
        qualifier=_QUALIFIERS[occurrence.qualifier],
        code_format=CODE_FORMAT_CONTACT_ID,
        code=occurrence.code,
        partition=place[0],
        zone=place[1],
        text=occurrence.text,
    )
    alarm.occur_time.GetCurrentTime()
    return alarm


async def _pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until `stop`; tell whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            return await stop.wait()
    except TimeoutError:
        return False


class _Complaints:
    """Tells each problem once, however many devices meet it however often, until all is well again."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._problems: dict[str, str] = {}

    def add(self, device_id: str, problem: str) -> None:
        if problem not in self._problems.values():
            self._tell(f"trying again: {problem}")
        self._problems[device_id] = problem

    def over(self, device_id: str) -> None:
        if self._problems.pop(device_id, None) is not None and not self._problems:
            self._tell("all devices are answered again")
