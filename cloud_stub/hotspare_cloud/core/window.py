"""The delivery window of one group: which alarms go to the working receiver next (A3, A4, F6, F7).

It holds what was delivered and is not confirmed, never the backlog: that stays in the store and is read in pages, in
the order of the numbers, from a cursor. When something that was skipped may go after all (a hold ended, a new pull
began), the cursor goes back; what is out already is skipped on the way. So a backlog of a million costs what a thousand
costs.

Unlike `decide`, this is one mutable object: it is on the way of every alarm, and its sets are as large as the window.
It is as pure, though: no clock, no I/O, and every answer follows from the calls before.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

PAGE = 512
"""Alarms that are read from the store at once, at most."""


class Waiting(Protocol):
    """An alarm that is not confirmed, as the store has it."""

    @property
    def number(self) -> int:
        """Its number in the group."""
        ...

    @property
    def device_id(self) -> str:
        """Its device: alarms of one keep their order."""
        ...


W = TypeVar("W", bound=Waiting)


@dataclass(frozen=True, slots=True)
class Page:
    """A wish to read alarms that are not confirmed, with numbers above `after`, in their order."""

    after: int
    limit: int
    arrivals: int
    """What had arrived when the wish was made: what comes while the page is read must not be missed."""


class Window:
    """What is out with the working receiver, and what waits for an earlier one to have stopped."""

    def __init__(self) -> None:
        self.epoch = 0
        self.size = 0
        self.live = False
        """Between the begin and the end of an epoch."""
        self.paused = False
        """While the holder hands over it gets nothing new."""
        self._delivered: dict[int, str] = {}
        self._in_pull: set[int] = set()
        self._held: dict[int, int] = {}
        self._held_device: dict[int, str] = {}
        self._blocked: Counter[str] = Counter()
        self._cursor = 0
        self._exhausted = False
        self._arrivals = 0

    # What goes out.

    def open(self, size: int) -> None:
        """A pull of the current epoch began: all that is not confirmed goes out anew, in order."""
        self.size = size
        self._in_pull.clear()
        self._rewind(0)

    def close(self) -> None:
        """The pull ended. What was delivered stays with the receiver, as long as its epoch lasts."""
        self.size = 0
        self._in_pull.clear()

    def arrived(self) -> None:
        """Alarms were stored behind all others."""
        self._arrivals += 1
        self._exhausted = False

    def wanted(self) -> Page | None:
        """What to read next. None: there is no room, or nothing to read."""
        room = self.size - len(self._in_pull)
        if not self.live or self.paused or self._exhausted or room <= 0:
            return None
        # Some of what is read may be out or held already: a little more saves reading twice.
        limit = min(PAGE, room + len(self._delivered) + len(self._held))
        return Page(self._cursor, limit, self._arrivals)

    def take(self, page: Page, alarms: Sequence[W]) -> list[W]:
        """From what was read for `page`, those that go out now; they are out from here on."""
        if not self.live or page.after != self._cursor:
            return []  # The epoch ended, or the cursor went back, while the page was read.
        taken: list[W] = []
        for alarm in alarms:
            number = alarm.number
            if number not in self._in_pull and number not in self._held and alarm.device_id not in self._blocked:
                if len(self._in_pull) >= self.size:
                    return taken
                self._in_pull.add(number)
                self._delivered[number] = alarm.device_id
                taken.append(alarm)
            self._cursor = number
        self._exhausted = len(alarms) < page.limit and page.arrivals == self._arrivals
        return taken

    # What comes back.

    def confirmed(self, numbers: Iterable[int]) -> list[int]:
        """Alarms were confirmed, by whomever. Returns those that are out in the current pull."""
        out = []
        for number in numbers:
            if number in self._in_pull:
                self._in_pull.discard(number)
                out.append(number)
            self._delivered.pop(number, None)
            self._release(number)
        return out

    # Epochs.

    def begin(self, epoch: int) -> None:
        """A new epoch: nothing is out under it yet."""
        self.close()
        self._delivered.clear()
        self.epoch = epoch
        self.live = True
        self.paused = False

    def end(self, *, hold: bool) -> int:
        """The epoch ended: nothing goes out until the next one. Returns how many alarms were out under it.

        With `hold` they, and later ones of their devices, wait until `free`.
        """
        count = len(self._delivered)
        if hold:
            for number, device_id in self._delivered.items():
                self.hold(self.epoch, number, device_id)
        self.close()
        self._delivered.clear()
        self.live = False
        return count

    def hold(self, epoch: int, number: int, device_id: str) -> None:
        """An alarm was out under an epoch that has ended, and its holder may still be writing it."""
        if number not in self._held:
            self._blocked[device_id] += 1
            self._held_device[number] = device_id
        # Out under two ended epochs: it waits for the later one too (a hold of a later epoch ends later).
        self._held[number] = max(epoch, self._held.get(number, 0))

    def free(self, epoch: int) -> None:
        """The holder of an ended epoch has surely stopped: what waited for it may go out."""
        for number in [number for number, held_for in self._held.items() if held_for == epoch]:
            self._release(number)

    @property
    def outstanding(self) -> int:
        """Alarms out under the current epoch."""
        return len(self._delivered)

    def held(self, epoch: int | None = None) -> int:
        """Alarms that wait for an ended epoch, or for any."""
        if epoch is None:
            return len(self._held)
        return sum(1 for held_for in self._held.values() if held_for == epoch)

    def restore_delivered(self, number: int, device_id: str) -> None:
        """At a start of the cloud: an alarm was out under the epoch that is still the current one."""
        self._delivered[number] = device_id

    def _release(self, number: int) -> None:
        if self._held.pop(number, None) is None:
            return
        device_id = self._held_device.pop(number)
        self._blocked[device_id] -= 1
        if self._blocked[device_id] <= 0:
            del self._blocked[device_id]
        # It, or the next of its device, was passed over.
        self._rewind(number - 1)

    def _rewind(self, after: int) -> None:
        self._cursor = min(self._cursor, after)
        self._exhausted = False
