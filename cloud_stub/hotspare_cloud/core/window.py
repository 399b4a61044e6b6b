"""The delivery window of one group: which alarms go to the working receiver next (A3, A4, F6, F7).

It holds what was delivered and is not confirmed, never the backlog: that stays in the store and is read in pages, in
the order of the numbers, from a cursor. When something that was skipped may go after all (a hold ended, a new pull
began), the cursor goes back; what is out already is skipped on the way. So a backlog of a million costs what a thousand
costs.

An alarm with which the working receiver was lost again and again goes out alone: when that happens once more, it is the
cause, and is set aside (timing: what counts as a loss; A5).

Unlike `decide`, this is one mutable object: it is on the way of every alarm, and its sets are as large as the window.
It is as pure, though: no clock, no I/O, and every answer follows from the calls before.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

PAGE = 512
"""Alarms that are read from the store at once, at most."""

ALONE_AFTER = 2
"""Losses of the working receiver with an alarm, after which it goes out alone."""

LOST_TOO_OFTEN = ALONE_AFTER + 1
"""Losses of the working receiver with an alarm, by which it is set aside."""


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

    @property
    def losses(self) -> int:
        """How many times the working receiver was lost with it."""
        ...


W = TypeVar("W", bound=Waiting)


@dataclass(frozen=True, slots=True)
class Page:
    """A wish to read alarms that are not confirmed, with numbers above `after`, in their order."""

    after: int
    limit: int
    arrivals: int
    """What had arrived when the wish was made: what comes while the page is read must not be missed."""
    replays: int = 0
    """The same of what was put back at its place."""


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
        self._passed: dict[str, int] = {}
        """By blocked device, the lowest number that was passed over for that."""
        self._cursor = 0
        self._exhausted = False
        self._arrivals = 0
        self._replays = 0
        self._alone: int | None = None
        """What is out with nothing beside it."""
        self._clearing = False
        """What comes next has to go out alone, as soon as nothing else is out."""

    # What goes out.

    def open(self, size: int) -> None:
        """A pull of the current epoch began: all that is not confirmed goes out anew, in order."""
        self._clear_pull(size)
        self._rewind(0)

    def close(self) -> None:
        """The pull ended. What was delivered stays with the receiver, as long as its epoch lasts."""
        self._clear_pull(0)

    def arrived(self) -> None:
        """Alarms were stored behind all others."""
        self._arrivals += 1
        self._exhausted = False

    def recall(self, number: int, device_id: str, epoch: int, *, held: bool) -> None:
        """An alarm that is set aside is about to be put back. `epoch`: under which it was out last, and `held` whether
        the holder of that may still be writing it; so it is treated as any other that was out under it."""
        if epoch == self.epoch and self.live:
            self._delivered[number] = device_id
        elif held:
            self.hold(epoch, number, device_id)

    def replayed(self, number: int) -> None:
        """An alarm was put back at its place, which the cursor, or a page that is being read, may have passed."""
        self._replays += 1
        self._rewind(number - 1)

    def wanted(self) -> Page | None:
        """What to read next. None: there is no room, or nothing to read."""
        room = self.size - len(self._in_pull)
        if not self.live or self.paused or self._exhausted or room <= 0:
            return None
        if self._alone is not None or (self._clearing and self._in_pull):
            return None
        # Some of what is read may be out or held already: a little more saves reading twice.
        limit = min(PAGE, room + len(self._delivered) + len(self._held))
        return Page(self._cursor, limit, self._arrivals, self._replays)

    def take(self, page: Page, alarms: Sequence[W]) -> list[W]:
        """From what was read for `page`, those that go out now; they are out from here on."""
        if not self.live or page.after != self._cursor or page.replays != self._replays:
            return []  # The epoch ended, or the cursor went back, while the page was read.
        taken: list[W] = []
        self._clearing = False
        for alarm in alarms:
            number = alarm.number
            if number not in self._in_pull and number not in self._held and alarm.device_id not in self._blocked:
                suspect = alarm.losses >= ALONE_AFTER
                if len(self._in_pull) >= self.size or self._alone is not None:
                    return taken
                if suspect and self._in_pull:
                    self._clearing = True
                    return taken
                self._alone = number if suspect else None
                self._in_pull.add(number)
                self._delivered[number] = alarm.device_id
                taken.append(alarm)
            elif number not in self._in_pull:
                self._passed[alarm.device_id] = min(number, self._passed.get(alarm.device_id, number))
            self._cursor = number
        self._exhausted = len(alarms) < page.limit and page.arrivals == self._arrivals
        return taken

    # What comes back.

    def confirmed(self, numbers: Iterable[int]) -> list[int]:
        """Alarms were confirmed, by whomever. Returns those that are out in the current pull."""
        out = []
        for number in numbers:
            if number in self._in_pull:
                out.append(number)
            self._take_back(number)
            self._release(number)
        return out

    def set_aside(self, numbers: Iterable[int]) -> None:
        """Alarms were set aside: their places are free (A5).

        A hold stays: an earlier holder may still be writing one, and it may be put back at any time.
        """
        for number in numbers:
            self._take_back(number)

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

    @property
    def out(self) -> Mapping[int, str]:
        """Alarms that are out under the current epoch, with their devices."""
        return self._delivered

    @property
    def waiting_for_a_hold(self) -> Mapping[int, str]:
        """Alarms that wait for an ended epoch, with their devices."""
        return self._held_device

    def held(self, epoch: int | None = None) -> int:
        """Alarms that wait for an ended epoch, or for any."""
        if epoch is None:
            return len(self._held)
        return sum(1 for held_for in self._held.values() if held_for == epoch)

    def restore_delivered(self, number: int, device_id: str) -> None:
        """At a start of the cloud: an alarm was out under the epoch that is still the current one."""
        self._delivered[number] = device_id

    def _clear_pull(self, size: int) -> None:
        self.size = size
        self._in_pull.clear()
        self._alone = None
        self._clearing = False

    def _take_back(self, number: int) -> None:
        self._in_pull.discard(number)
        self._delivered.pop(number, None)
        if number == self._alone:
            self._alone = None

    def _release(self, number: int) -> None:
        if self._held.pop(number, None) is None:
            return
        device_id = self._held_device.pop(number)
        self._blocked[device_id] -= 1
        if self._blocked[device_id] <= 0:
            del self._blocked[device_id]
            # It, or another one of its device, was passed over; one that was put back may come before it (A5).
            self._rewind(min(number, self._passed.pop(device_id, number)) - 1)

    def _rewind(self, after: int) -> None:
        self._cursor = min(self._cursor, after)
        self._exhausted = False
