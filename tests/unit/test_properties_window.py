"""Properties of the delivery window (A3 to A5, F6, F7): nothing goes out that must wait, and all of it in the end."""

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotspare_cloud.core.window import ALONE_AFTER, LOST_TOO_OFTEN, Window

DEVICES = ("a", "b", "c")


@dataclass(frozen=True)
class Alarm:
    """An alarm in the store."""

    number: int
    device_id: str
    losses: int = 0


class WindowMachine(RuleBasedStateMachine):
    """A store, a window in front of it, and pulls, epochs and holds in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.store: dict[int, Alarm] = {}
        self.confirmed: set[int] = set()
        """Or set aside: nobody waits for them."""
        self.aside: set[int] = set()
        self.last: dict[int, int] = {}
        """The epoch under which each was delivered last."""
        self.epoch = 0
        self.held: dict[int, set[int]] = {}
        """Numbers that wait, by the ended epoch."""
        self.out: set[int] = set()
        """Out in the current pull."""
        self.under: set[int] = set()
        """Delivered under the current epoch."""
        self.size = 0

    def _waiting(self) -> set[int]:
        """What is held; also what was set aside meanwhile."""
        held = {number for numbers in self.held.values() for number in numbers}
        return held - (self.confirmed - self.aside)

    @rule(device=st.sampled_from(DEVICES), count=st.integers(1, 4))
    def arrive(self, device: str, count: int) -> None:
        for _ in range(count):
            number = len(self.store) + 1
            self.store[number] = Alarm(number, device)
        self.window.arrived()

    @rule(hold=st.booleans(), lost=st.booleans())
    def next_epoch(self, hold: bool, lost: bool) -> None:
        if self.epoch:
            assert self.window.end(hold=hold) == len(self.under)
            if hold:
                for numbers in self.held.values():
                    numbers -= self.under  # It waits for the later epoch from here on.
                self.held[self.epoch] = set(self.under)
            if lost:
                self._lost()
        self.epoch += 1
        self.window.begin(self.epoch)
        self.out, self.under, self.size = set(), set(), 0

    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        """By the holder, of what it has: the hold of an earlier epoch has ended by then."""
        known = sorted(self.out)
        if known:
            numbers = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True))
            self.window.set_aside(numbers)
            self.confirmed |= set(numbers)
            self.aside |= set(numbers)
            self.out -= set(numbers)
            self.under -= set(numbers)

    def _lost(self) -> None:
        """The receiver was lost with all that was out: what that happened to too often is set aside."""
        for number in self.under:
            alarm = self.store[number]
            self.store[number] = replace(alarm, losses=alarm.losses + 1)
        aside = {number for number in self.under if self.store[number].losses >= LOST_TOO_OFTEN}
        self.window.set_aside(aside)
        self.confirmed |= aside
        self.aside |= aside

    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        if self.aside:
            number = data.draw(st.sampled_from(sorted(self.aside)))
            self.store[number] = replace(self.store[number], losses=0)
            self.aside.discard(number)
            self.confirmed.discard(number)
            epoch, held = self.last[number], self.last[number] in self.held
            self.window.recall(number, self.store[number].device_id, epoch, held=held)
            if epoch == self.epoch:
                self.under.add(number)
            elif held:
                for numbers in self.held.values():
                    numbers.discard(number)
                self.held[epoch].add(number)
            self.window.replayed(number)

    @rule(size=st.integers(1, 6))
    def open_pull(self, size: int) -> None:
        self.window.open(size)
        self.out, self.size = set(), size

    @rule()
    def close_pull(self) -> None:
        self.window.close()
        self.out, self.size = set(), 0

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.window.paused = paused

    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        if self.held:
            epoch = data.draw(st.sampled_from(sorted(self.held)))
            self.window.free(epoch)
            del self.held[epoch]

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        """By whomever, also of what is held."""
        known = sorted((self.under | self._waiting()) - self.confirmed)
        if known:
            numbers = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True))
            assert set(self.window.confirmed(numbers)) == set(numbers) & self.out
            self.confirmed |= set(numbers)
            self.aside -= set(numbers)
            self.out -= set(numbers)
            self.under -= set(numbers)

    @rule(pages=st.integers(1, 4))
    def deliver(self, pages: int) -> None:
        for _ in range(pages):
            self._deliver_page()

    def _deliver_page(self) -> bool:
        page = self.window.wanted()
        if page is None:
            return False
        assert self.epoch
        assert not self.window.paused
        read = [each for number, each in sorted(self.store.items()) if number > page.after]
        read = [each for each in read if each.number not in self.confirmed][: page.limit]
        waiting = self._waiting()
        blocked = {self.store[number].device_id for number in waiting}
        for alarm in self.window.take(page, read):
            assert alarm.number not in self.out, "out already in this pull"
            assert alarm.number not in waiting, "an earlier holder may still be writing it"
            assert alarm.device_id not in blocked, "an earlier one of its device waits (A3)"
            earlier = [n for n in self.store if n < alarm.number and self.store[n].device_id == alarm.device_id]
            assert all(n in self.confirmed or n in self.out for n in earlier), "it overtakes one of its device (A3)"
            suspects = [n for n in {*self.out, alarm.number} if self.store[n].losses >= ALONE_AFTER]
            assert not suspects or not self.out, "it goes out beside one with which the receiver was lost twice"
            self.out.add(alarm.number)
            self.under.add(alarm.number)
            self.last[alarm.number] = self.epoch
        return True

    @invariant()
    def never_more_than_the_window(self) -> None:
        assert len(self.out) <= self.size
        assert self.window.outstanding == len(self.under)
        assert self.window.held() == len(self._waiting())

    @rule()
    def in_the_end_all_goes_out(self) -> None:
        """With every hold ended, no pause and a pull that confirms, nothing is left."""
        for epoch in sorted(self.held):
            self.window.free(epoch)
        self.held = {}
        if not self.epoch:
            self.next_epoch(False, False)
        self.window.paused = False
        self.open_pull(3)
        for _ in range(4 * len(self.store) + 4):
            while self._deliver_page():
                pass
            if not self.out:
                break
            numbers = sorted(self.out)
            self.window.confirmed(numbers)
            self.confirmed |= set(numbers)
            self.under -= set(numbers)
            self.out = set()
        assert self.confirmed == set(self.store)


TestWindow = WindowMachine.TestCase
TestWindow.settings = settings(max_examples=200, stateful_step_count=40, deadline=None, derandomize=True)
