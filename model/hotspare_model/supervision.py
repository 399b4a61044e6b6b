"""Supervision of devices on one path (A9): who fell silent, who is back, and what of that the ARC has been told.

What is so and what was told are kept apart, and what was told follows what is: so that there is one event of a silence
and one of its end, also when an event could not be stored at once, when many devices fall silent together and their
events have to wait, and when a device comes back before its turn (then nothing is told).

Supervision of a device begins with its first sign of life on the path: one that was never there is not missed.

Like the delivery window this is one mutable object, for it is on the way of every sign of life: that costs a look-up. A
heap holds each device that may fall silent once; it is looked at again when its time is up, and not at its signs of
life before. It is as pure as a decision, though: no clock, no I/O. Times are monotonic seconds of one clock, `now`.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from hotspare_model.alarm import Alarm, CodeFormat
from hotspare_model.contact_id import Qualifier

DEFAULT_INTERVAL = timedelta(seconds=180)
"""Silence after which a device counts as lost, where its record tells none."""

SHORTEST_INTERVAL = timedelta(seconds=1)
LONGEST_INTERVAL = timedelta(days=30)

BURST = 100
"""Events of a group that may be told at once, and again within each minute, however many alarms wait already."""

REFILL = BURST / 60.0
"""Events a second that this grows by."""

LOOKS = 5000
"""Devices that one tick looks at, at most: some 10 ms. The others have their turn with the next one."""


class Path(Enum):
    """The way whose silence is told, with its Contact ID code, which the ARC pairs with its restore."""

    CLOUD = "350"
    """Communication trouble (SIA YC, YK)."""
    DIRECT = "356"
    """Polling by the centre lost: another code, so that a device with both paths is told apart by it."""


@dataclass(frozen=True, slots=True)
class Watched:
    """How a device is supervised."""

    interval: float
    """Seconds of silence after which it counts as lost. 0: off."""
    disabled: bool = False
    """It is known to be switched off: nothing is told of it."""

    @property
    def is_on(self) -> bool:
        """Whether its silence is noticed."""
        return self.interval > 0 and not self.disabled


AS_USUAL = Watched(DEFAULT_INTERVAL.total_seconds())
"""What holds for a device whose record tells nothing."""


@dataclass(frozen=True, slots=True)
class Tell:
    """The ARC is to be told that a device is silent, or back."""

    device_id: str
    silent: bool
    ticket: int
    """Of the device's supervision here: a device that was deleted and made anew has another one."""


@dataclass(slots=True)
class _Life:
    watched: Watched
    ticket: int
    since: float
    """Its silence is counted from here: its last sign of life, or when its supervision was changed."""
    heard: bool
    """Whether it was ever heard on this path."""
    silent: bool
    told: bool
    """What the ARC knows: whether it is silent."""
    telling: bool = False
    """An event of it is being stored."""
    queued: bool = False
    entry: int = 0
    """Number of its entry in the heap; 0: it has none."""


class Supervisor:
    """The devices of one group on one path."""

    def __init__(self, now: float) -> None:
        """With its beginning everybody has one interval of grace."""
        self.supervised = 0
        """Devices whose silence would be noticed."""
        self.silent = 0
        """Devices that are silent now."""
        self.storms = 0
        """How often more had to be told at once than may be."""
        self._lives: dict[str, _Life] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._queue: deque[str] = deque()
        self._numbers = 0
        self._grace = now
        self._tokens = float(BURST)
        self._refilled = now
        self._in_storm = False

    @property
    def waiting(self) -> int:
        """Devices of which something is to be told, and was not yet."""
        return len(self._queue)

    @property
    def in_storm(self) -> bool:
        """Whether more is to be told than may be at once."""
        return self._in_storm

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._lives

    def interval(self, device_id: str) -> float:
        """Seconds of silence after which a device counts as lost. 0: it is not supervised, or not known."""
        life = self._lives.get(device_id)
        return life.watched.interval if life is not None and life.watched.is_on else 0.0

    # Devices.

    def put(self, device_id: str, watched: Watched, now: float, *, heard: bool = False, told: bool = False) -> None:
        """A device is known, or its record changed. `heard` and `told`: what is stored of one that was not known here.

        A changed supervision gives it one interval of grace.
        """
        life = self._lives.get(device_id)
        if life is None:
            life = _Life(watched, self._next(), now, heard, silent=told, told=told)
            self._lives[device_id] = life
        elif life.watched == watched:
            return
        else:
            self._count(life, -1)
            life.watched, life.since = watched, now
            # Whoever was told to be silent is so until it is heard; of whom nothing was told yet gets a fresh start.
            life.silent = life.silent and (life.told or life.telling)
        life.entry = 0
        self._count(life, +1)
        self._await(device_id, life)
        if self._to_tell(life):
            self._enqueue(device_id, life)

    def resume(self, device_id: str, *, silent: bool) -> Tell:
        """An event of a device that was `put` was on its way when the process before ended; it still is."""
        life = self._lives[device_id]
        self._count(life, -1)
        life.silent, life.entry = silent, 0
        self._count(life, +1)
        self._await(device_id, life)
        return self._tell(device_id, life)

    def drop(self, device_id: str) -> None:
        """A device is gone; nothing is told of it any more."""
        life = self._lives.pop(device_id, None)
        if life is not None:
            self._count(life, -1)

    # What happens.

    def heard(self, device_id: str, now: float) -> Tell | None:
        """A sign of life. Returns what is to be told of it at once."""
        life = self._lives.get(device_id)
        if life is None:
            return None
        life.since = now
        if life.heard and not life.silent:
            return None
        self._count(life, -1)
        life.heard = True
        if not life.watched.disabled:
            life.silent = False
        self._count(life, +1)
        if not life.entry:
            self._await(device_id, life)
        if not self._to_tell(life) or life.queued:
            return None
        self._refill(now)
        # The event of its return stands before what it reports now; but not when others wait for theirs already.
        if self._queue or self._tokens < 1:
            self._enqueue(device_id, life)
            return None
        self._tokens -= 1
        return self._tell(device_id, life)

    def grace(self, now: float) -> None:
        """Nobody could be heard until now, for reasons of our own: everybody gets one interval.

        So does who fell silent before, as long as nobody was told of it.
        """
        self._grace = now
        for device_id in self._queue:
            life = self._lives.get(device_id)
            if life is not None and life.silent and not (life.told or life.telling):
                self._count(life, -1)
                life.silent = False
                self._count(life, +1)
                self._await(device_id, life)

    def tick(self, now: float, room: int) -> list[Tell]:
        """Find who fell silent; returns what is to be told, BURST at most.

        `room`: how many events there is room for, beside what may be told in any case.
        """
        for _ in range(LOOKS):
            if not self._heap or self._heap[0][0] > now:
                break
            _, number, device_id = heapq.heappop(self._heap)
            life = self._lives.get(device_id)
            if life is None or life.entry != number:
                continue
            due = max(life.since, self._grace) + life.watched.interval
            if due > now:
                heapq.heappush(self._heap, (due, number, device_id))
                continue
            life.entry = 0
            life.silent = True
            self.silent += 1
            self._enqueue(device_id, life)
        return self._drain(now, room)

    def told(self, tell: Tell) -> None:
        """What was to be told is stored."""
        self._ended(tell, told=tell.silent)

    def failed(self, tell: Tell) -> None:
        """It could not be stored: it is to be told later, if it is still so then."""
        self._ended(tell, told=not tell.silent)

    # Parts.

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _count(self, life: _Life, sign: int) -> None:
        self.supervised += sign * (life.watched.is_on and life.heard)
        self.silent += sign * (life.silent and not life.watched.disabled)

    def _await(self, device_id: str, life: _Life) -> None:
        """Put a device that may fall silent into the heap."""
        if life.watched.is_on and life.heard and not life.silent:
            life.entry = self._next()
            due = max(life.since, self._grace) + life.watched.interval
            heapq.heappush(self._heap, (due, life.entry, device_id))

    @staticmethod
    def _to_tell(life: _Life) -> bool:
        return life.silent != life.told and not life.telling and not life.watched.disabled

    def _enqueue(self, device_id: str, life: _Life) -> None:
        if not life.queued:
            life.queued = True
            self._queue.append(device_id)

    def _refill(self, now: float) -> None:
        self._tokens = min(float(BURST), self._tokens + (now - self._refilled) * REFILL)
        self._refilled = now

    def _tell(self, device_id: str, life: _Life) -> Tell:
        life.telling = True
        return Tell(device_id, life.silent, life.ticket)

    def _drain(self, now: float, room: int) -> list[Tell]:
        self._refill(now)
        tells: list[Tell] = []
        while self._queue and len(tells) < BURST and (self._tokens >= 1 or room > len(tells)):
            device_id = self._queue.popleft()
            life = self._lives.get(device_id)
            if life is None:
                continue
            life.queued = False
            if self._to_tell(life):
                self._tokens = max(0.0, self._tokens - 1)
                tells.append(self._tell(device_id, life))
        if not self._queue:
            self._in_storm = False
        elif not self._in_storm:
            self._in_storm = True
            self.storms += 1
        return tells

    def _ended(self, tell: Tell, *, told: bool) -> None:
        life = self._lives.get(tell.device_id)
        if life is None or life.ticket != tell.ticket:
            return
        life.telling, life.told = False, told
        if self._to_tell(life):
            self._enqueue(tell.device_id, life)


def event(
    path: Path,
    alarm_id: str,
    device_id: str,
    *,
    silent: bool,
    at: datetime,
    last_seen: datetime | None,
    interval: float,
) -> Alarm:
    """The alarm of a device that tells of its silence, or that it is back. `interval` in seconds."""
    way = f"{path.name.lower()} path"
    if silent:
        since = f" since {_shown(last_seen)}" if last_seen else ""
        text = f"supervision: no sign of life{since} on the {way}, expected every {interval:g} s"
    else:
        text = f"supervision: back on the {way}"
    return Alarm(
        alarm_id=alarm_id,
        device_id=device_id,
        qualifier=Qualifier.NEW if silent else Qualifier.RESTORE,
        code_format=CodeFormat.CONTACT_ID,
        code=path.value,
        partition=0,
        zone=0,
        occurred=at,
        text=text,
    )


def interval_of(told: timedelta | None) -> float:
    """Seconds of a supervision interval as a record tells it. 0: off.

    Its range was checked where it was edited, and other versions may draw it otherwise: only what can't be meant is put
    right here.
    """
    if told is None:
        told = DEFAULT_INTERVAL
    return max(SHORTEST_INTERVAL, min(told, LONGEST_INTERVAL)).total_seconds() if told > timedelta(0) else 0.0


def _shown(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
