"""The alarms that wait for one output which may have several in flight: a stream of ours (O1).

Those of a device go out in their order, and what is in flight holds up nobody: the stream itself keeps the order (A3).
What comes back from a stream that was lost has its old place again, before all that came later. The number in flight is
the subscriber's to bound, by its window.

Pure, as the lane that it is made of.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop
from typing import TypeVar

from hotspare_receiver.core.lane import Lane, Numbered

T = TypeVar("T", bound=Numbered)


class StreamLane(Lane[T]):
    """A lane with any number in flight; the queue of a device holds what is not.

    `flying` is only set between `lands` and what is then told of that one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._flights: dict[int, T] = {}
        self._doubled: set[int] = set()
        """Those that wait again while they are in flight: delivered anew, under a later epoch."""
        self._places: dict[int, int] = {}
        self._put = 0

    @property
    def flights(self) -> int:
        """How many are in flight."""
        return len(self._flights)

    def flies(self, number: int) -> bool:
        """Whether that one is in flight."""
        return number in self._flights

    def lands(self, item: T) -> bool:
        """Whether it is in flight; what is told next is told of it."""
        flying = self._flights.get(item.number)
        self.flying = flying if flying is item else None
        return self.flying is not None

    def numbers(self) -> set[int]:
        """All that wait, those in flight included."""
        return super().numbers() | self._flights.keys()

    def put(self, item: T) -> None:
        """Append to the queue of its device."""
        self._put += 1
        self._places[item.number] = self._put
        if item.number in self._flights:
            self._doubled.add(item.number)
        super().put(item)

    def take(self, now: float) -> T | None:
        """Let the oldest that is ready fly. None: none is.

        One that came again while it is in flight takes over: what is told of it from then on counts for the newer
        delivery (F7).
        """
        while self._ready:
            number, device_id = heappop(self._ready)
            queue = self._devices.get(device_id)
            if not queue or queue[0].number != number:
                # What came back took the place of this one, which has an entry of its own again.
                continue
            item = queue.popleft()
            if number in self._doubled:
                self._doubled.discard(number)
                self._size -= 1
            self._flights[number] = item
            self._attempts[number] = self.attempts_of(number) + 1
            self._go_on(device_id)
            return item
        return None

    def done(self) -> None:
        """It is through; should it wait again, that is through as well."""
        assert self.flying is not None
        number, device_id, doubled = self.flying.number, self.flying.device_id, self.flying.number in self._doubled
        self._drop()
        if doubled:
            self._doubled.discard(number)
            queue = self._devices[device_id]
            self._devices[device_id] = deque(waiting for waiting in queue if waiting.number != number)
            self._size -= 1
            self._forget(number)
            self._go_on(device_id)

    def drop_flying(self) -> None:
        """It is not wanted any more."""
        self._drop()

    def again(self, *, counted: bool = True) -> None:
        """It waits at its old place again; an attempt that was none is not counted."""
        item = self._land()
        if not counted:
            self._attempts[item.number] -= 1
        queue = self._devices.setdefault(item.device_id, deque())
        place = self._places[item.number]
        index = 0
        while index < len(queue) and self._places[queue[index].number] < place:
            index += 1
        queue.insert(index, item)
        if index == 0:
            self._make_ready(item.device_id)

    def hold(self, until: float) -> None:
        """A subscriber has no way to refuse an alarm: it waits again."""
        self.again()

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Drop all that is not wanted, but for what is in flight."""
        super().keep(wanted)
        if self._doubled:
            queued = {item.number for queue in self._devices.values() for item in queue}
            self._doubled &= queued

    def _drop(self) -> None:
        item = self._land()
        self._size -= 1
        if item.number not in self._doubled:
            self._forget(item.number)

    def _land(self) -> T:
        item = super()._land()
        del self._flights[item.number]
        return item

    def _forget(self, number: int) -> None:
        if number not in self._flights:
            super()._forget(number)
            self._places.pop(number, None)
