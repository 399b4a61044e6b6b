"""The delivery window: what goes out, what waits, and that no device's alarms change their order."""

import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from hotspare_cloud.core.window import Window


@dataclass(frozen=True)
class Row:
    number: int
    device_id: str
    losses: int = 0


class Store:
    """Alarms that are not confirmed, as the store would give them."""

    def __init__(self, *devices: str) -> None:
        self.rows = {number: Row(number, device) for number, device in enumerate(devices, 1)}

    def pump(self, window: Window) -> list[int]:
        """Deliver all that the window lets go."""
        out: list[int] = []
        while (page := window.wanted()) is not None:
            rows = [row for number, row in sorted(self.rows.items()) if number > page.after][: page.limit]
            out += [row.number for row in window.take(page, rows)]
        return out

    def confirm(self, window: Window, *numbers: int) -> list[int]:
        for number in numbers:
            self.rows.pop(number, None)
        return window.confirmed(numbers)


def working(size: int = 10) -> Window:
    window = Window()
    window.begin(1)
    window.open(size)
    return window


def test_a7_never_more_than_the_window_is_out() -> None:
    store, window = Store(*"abcdefgh"), working(3)
    assert store.pump(window) == [1, 2, 3]
    assert store.pump(window) == []
    store.confirm(window, 2)
    assert store.pump(window) == [4]


def test_a3_alarms_go_in_the_order_of_their_numbers() -> None:
    store = Store(*"ababab")
    assert store.pump(working()) == [1, 2, 3, 4, 5, 6]


def test_f2_nothing_goes_without_a_pull() -> None:
    store, window = Store("a"), Window()
    window.begin(1)
    assert store.pump(window) == []


def test_f7_after_the_end_of_an_epoch_nothing_goes_even_for_a_page_that_was_under_way() -> None:
    store, window = Store("a", "b"), working()
    page = window.wanted()
    assert page is not None
    window.end(hold=True)
    assert window.take(page, list(store.rows.values())) == []
    window.open(10)
    assert store.pump(window) == []


def test_f7_what_was_out_is_held_with_later_ones_of_its_device_and_new_ones_flow() -> None:
    store, window = Store("a", "b"), working(1)
    assert store.pump(window) == [1]
    window.end(hold=True)
    window.begin(2)
    window.open(10)
    store.rows[3] = Row(3, "a")
    store.rows[4] = Row(4, "b")
    assert store.pump(window) == [2, 4]
    assert window.held(1) == 1
    window.free(1)
    assert store.pump(window) == [1, 3]


def test_f7_without_a_hold_the_next_gets_all_at_once() -> None:
    store, window = Store("a", "a"), working()
    store.pump(window)
    assert window.end(hold=False) == 2
    window.begin(2)
    window.open(10)
    assert store.pump(window) == [1, 2]


def test_f7_a_late_confirmation_lets_the_device_go_on() -> None:
    store, window = Store("a"), working()
    store.pump(window)
    window.end(hold=True)
    window.begin(2)
    window.open(10)
    store.rows[2] = Row(2, "a")
    assert store.pump(window) == []
    assert store.confirm(window, 1) == []
    assert store.pump(window) == [2]


def test_f7_a_late_confirmation_names_the_alarm_that_is_out_again() -> None:
    store, window = Store("a"), working()
    store.pump(window)
    window.end(hold=False)
    window.begin(2)
    window.open(10)
    assert store.pump(window) == [1]
    assert store.confirm(window, 1) == [1]


def test_f7_a_new_pull_of_the_epoch_begins_with_all_that_is_not_confirmed() -> None:
    store, window = Store("a", "b", "c"), working()
    store.pump(window)
    store.confirm(window, 2)
    window.open(10)
    assert store.pump(window) == [1, 3]


def test_f7_each_hold_ends_for_itself() -> None:
    store, window = Store("a", "b"), working(1)
    store.pump(window)
    window.end(hold=True)
    window.begin(2)
    window.open(1)
    assert store.pump(window) == [2]
    window.end(hold=True)
    window.begin(3)
    window.open(10)
    window.free(2)
    assert store.pump(window) == [2]
    window.free(1)
    assert store.pump(window) == [1]


def test_f5_a_holder_that_yields_gets_nothing_new() -> None:
    store, window = Store("a", "b"), working()
    window.paused = True
    assert store.pump(window) == []
    window.paused = False
    assert store.pump(window) == [1, 2]


def test_an_alarm_that_arrives_while_a_page_is_read_is_not_missed() -> None:
    store, window = Store("a"), working()
    page = window.wanted()
    assert page is not None
    rows = list(store.rows.values())
    store.rows[2] = Row(2, "a")
    window.arrived()
    assert [row.number for row in window.take(page, rows)] == [1]
    assert store.pump(window) == [2]


def test_f11_what_was_out_before_a_restart_of_the_cloud_is_held_after_the_next_loss() -> None:
    store, window = Store("a", "b"), Window()
    window.begin(1)
    window.restore_delivered(1, "a")
    window.end(hold=True)
    window.begin(2)
    window.open(10)
    assert store.pump(window) == [2]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 6))
def test_f7_no_alarm_is_first_out_under_two_epochs_while_the_older_is_held(seed: int, size: int) -> None:
    """Whatever happens in whatever order: within an epoch a device's alarms go in order, nothing that is held goes,
    and in the end everything was confirmed."""
    rng = random.Random(seed)
    store, window = Store(*(rng.choice("abc") for _ in range(30))), working(size)
    epoch, held, out = 1, dict[int, set[int]](), set[int]()

    def pump() -> None:
        for number in store.pump(window):
            device = store.rows[number].device_id
            blocked = {n for numbers in held.values() for n in numbers if n in store.rows}
            assert number not in blocked
            assert not any(n < number and store.rows[n].device_id == device for n in blocked)
            earlier = {n for n, row in store.rows.items() if row.device_id == device and n < number}
            assert earlier <= out
            out.add(number)

    for _ in range(60):
        match rng.randrange(6):
            case 0 | 1:
                pump()
            case 2 if out:
                number = rng.choice(sorted(out))
                out.discard(number)
                store.confirm(window, number)
            case 3:
                hold = rng.random() < 0.7
                if hold:
                    held[epoch] = set(out)
                window.end(hold=hold)
                out.clear()
                epoch += 1
                window.begin(epoch)
                window.open(size)
            case 4 if held:
                ended = rng.choice(sorted(held))
                del held[ended]
                window.free(ended)
            case 5:
                out.clear()
                window.open(size)
            case _:
                pass
    for ended in sorted(held):
        window.free(ended)
    held.clear()
    while store.rows:
        pump()
        assert out
        store.confirm(window, *out)
        out.clear()
