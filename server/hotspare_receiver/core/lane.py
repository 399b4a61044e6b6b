"""The alarms that wait for one output: per device in order, over all devices the oldest first.

A device is in exactly one place: ready, held (its oldest alarm was refused), parked (it waits for the cloud's word on
that) or in flight.
"""

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    """What can stand in a lane."""

    @property
    def number(self) -> int:
        """Its place among all."""

    @property
    def device_id(self) -> str:
        """Whose order it keeps."""


T = TypeVar("T", bound=Numbered)


class Lane(Generic[T]):
    """One output's queue, with at most one in flight; that stays the first of its device until it is done."""

    def __init__(self) -> None:
        self.flying: T | None = None
        self._devices: dict[str, deque[T]] = {}
        self._ready: list[tuple[int, str]] = []
        self._held: list[tuple[float, str]] = []
        self._attempts: dict[int, int] = {}
        self._refusals: dict[int, int] = {}
        self._setbacks: dict[int, int] = {}
        self._size = 0

    def __len__(self) -> int:
        """How many wait, the one in flight included."""
        return self._size

    @property
    def flights(self) -> int:
        """How many are in flight."""
        return int(self.flying is not None)

    def flies(self, number: int) -> bool:
        """Whether that one is in flight."""
        return self.flying is not None and self.flying.number == number

    def lands(self, item: T) -> bool:
        """Whether it is that very one which is in flight: what came of it counts."""
        return self.flying is item

    @property
    def held_until(self) -> float | None:
        """When the first of the held devices gets ready. None: none is held."""
        return self._held[0][0] if self._held and self._held[0][0] < inf else None

    def numbers(self) -> set[int]:
        """All that wait, those in flight included."""
        return {item.number for queue in self._devices.values() for item in queue}

    def attempts_of(self, number: int) -> int:
        """Attempts of an alarm that is here, the one in flight included."""
        return self._attempts.get(number, 0)

    def refusals_of(self, number: int) -> int:
        """Refusals of an alarm that is here."""
        return self._refusals.get(number, 0)

    def recall(self, number: int, refusals: int) -> None:
        """An alarm that is here was refused so many times before it came to this lane."""
        self._refusals[number] = refusals

    def put(self, item: T) -> None:
        """Append to the queue of its device."""
        self._size += 1
        queue = self._devices.get(item.device_id)
        if queue is not None:
            queue.append(item)
            return
        self._devices[item.device_id] = deque((item,))
        heappush(self._ready, (item.number, item.device_id))

    def take(self, now: float) -> T | None:
        """Let the oldest that is ready fly. None: one flies already, or none is ready."""
        while self._held and self._held[0][0] <= now:
            self._make_ready(heappop(self._held)[1])
        if self.flying is not None or not self._ready:
            return None
        _, device_id = heappop(self._ready)
        self.flying = item = self._devices[device_id][0]
        self._attempts[item.number] = self.attempts_of(item.number) + 1
        return item

    def done(self) -> None:
        """The one in flight is through; should it wait again behind itself, that is through as well."""
        item = self._land()
        queue = self._devices[item.device_id]
        while queue and queue[0].number == item.number:
            self._pop(queue)
        self._go_on(item.device_id)

    def drop_flying(self) -> None:
        """The one in flight is not wanted any more."""
        item = self._land()
        self._pop(self._devices[item.device_id])
        self._go_on(item.device_id)

    def again(self, *, counted: bool = True) -> None:
        """The one in flight is the next again; an attempt that was none is not counted."""
        item = self._land()
        if not counted:
            self._attempts[item.number] -= 1
        self._make_ready(item.device_id)

    def refused(self) -> int:
        """Count a refusal of the one in flight, and return how many it had."""
        assert self.flying is not None
        number = self.flying.number
        self._refusals[number] = self.refusals_of(number) + 1
        return self._refusals[number]

    def set_back(self) -> int:
        """Count that the one in flight was sent back for whatever reason, and return how often it was."""
        assert self.flying is not None
        number = self.flying.number
        self._setbacks[number] = self._setbacks.get(number, 0) + 1
        return self._setbacks[number]

    def hold(self, until: float) -> None:
        """The one in flight waits, and its device with it; the others pass."""
        heappush(self._held, (until, self._land().device_id))

    def park(self) -> None:
        """The one in flight waits until it is dropped, and its device with it; the others pass."""
        self.hold(inf)

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Drop all that is not wanted, but for what is in flight."""
        held = {device_id: until for until, device_id in self._held}
        self._ready, self._held = [], []
        for device_id, queue in tuple(self._devices.items()):
            first = queue[0]
            kept: deque[T] = deque()
            for item in queue:
                if item is self.flying or wanted(item):
                    kept.append(item)
                else:
                    self._forget(item.number)
            self._size -= len(queue) - len(kept)
            self._devices[device_id] = kept
            if kept and kept[0] is first and device_id in held:
                self._held.append((held[device_id], device_id))
            elif not kept or kept[0] is not self.flying:
                self._go_on(device_id)
        heapify(self._held)

    def _land(self) -> T:
        item, self.flying = self.flying, None
        assert item is not None
        return item

    def _pop(self, queue: deque[T]) -> None:
        self._forget(queue.popleft().number)
        self._size -= 1

    def _forget(self, number: int) -> None:
        self._attempts.pop(number, None)
        self._refusals.pop(number, None)
        self._setbacks.pop(number, None)

    def _go_on(self, device_id: str) -> None:
        if self._devices[device_id]:
            self._make_ready(device_id)
        else:
            del self._devices[device_id]

    def _make_ready(self, device_id: str) -> None:
        heappush(self._ready, (self._devices[device_id][0].number, device_id))
