"""Times of DC-09 frames, repetitions and replays, and the limits on who sends too much (D1, S4)."""

from datetime import UTC, datetime, timedelta

import pytest

from hotspare_receiver.core.dc09_limits import Once, Rates, Share
from hotspare_receiver.core.dc09_window import CLEAR_NAKS, FORGIVEN_FOR, Clocks, FrameMemory, Seen, TimeWindow

WALL = datetime(2026, 8, 27, 20, 38, 7, 900_000, tzinfo=UTC)
SECOND = WALL.replace(microsecond=0)


@pytest.mark.parametrize(
    ("seconds", "admitted"), [(-41, False), (-40, True), (0, True), (20, True), (21, False), (-86400, False)]
)
def test_d1_a_time_from_40_s_before_to_20_s_after_ours_is_admitted(seconds: int, admitted: bool) -> None:
    assert TimeWindow().admits(SECOND + timedelta(seconds=seconds), WALL) is admitted


def test_d1_a_window_that_is_off_admits_any_time() -> None:
    assert TimeWindow(off=True).admits(datetime(1970, 1, 1, tzinfo=UTC), WALL)


def test_d1_a_repetition_is_told_from_a_replay_by_its_address() -> None:
    memory = FrameMemory()
    assert memory.look("AAA", b"frame", "10.0.0.1", 0.0) is Seen.NEW
    memory.keep("AAA", b"frame", "10.0.0.1", 0.0, 40.0)
    assert memory.look("AAA", b"frame", "10.0.0.1", 39.9) is Seen.AGAIN
    assert memory.look("AAA", b"frame", "10.0.0.2", 39.9) is Seen.REPLAYED
    assert memory.look("AAB", b"frame", "10.0.0.2", 39.9) is Seen.NEW
    assert memory.look("AAA", b"frame", "10.0.0.2", 40.0) is Seen.NEW


def test_s4_the_memory_of_frames_is_bounded_by_account_and_in_all() -> None:
    memory = FrameMemory(most_of_account=10, most_in_all=30)
    for account in ("A", "B", "C", "D"):
        for number in range(100):
            memory.keep(account, b"%d" % number, "peer", float(number), float("inf"))
    assert len(memory) == 30
    # The newest are there, and whoever sends much pushes out his own.
    assert memory.look("D", b"99", "peer", 100.0) is Seen.AGAIN
    assert memory.look("B", b"99", "peer", 100.0) is Seen.AGAIN
    assert memory.look("D", b"89", "peer", 100.0) is Seen.NEW
    assert memory.look("A", b"99", "peer", 100.0) is Seen.NEW


def test_s4_frames_whose_time_is_over_are_forgotten_as_others_come() -> None:
    memory = FrameMemory()
    for number in range(1000):
        memory.keep("A", b"%d" % number, "peer", float(number), 40.0)
    assert len(memory) <= 42


def test_a10_a_clock_that_a_panel_does_not_set_is_taken_after_it_was_told_twice() -> None:
    clocks = Clocks()
    assert [clocks.wrong("AAA", float(at)) for at in range(4)] == [True] * CLEAR_NAKS + [False, False]
    assert clocks.wrong("AAB", 3.0)
    clocks.right("AAA")
    assert clocks.wrong("AAA", 5.0)


def test_a10_a_clock_gets_its_chances_anew_after_an_hour_of_quiet() -> None:
    clocks = Clocks()
    for at in range(5):
        clocks.wrong("AAA", float(at))
    assert not clocks.wrong("AAA", 4.0 + FORGIVEN_FOR)
    assert clocks.wrong("AAA", 5.0 + FORGIVEN_FOR * 2)


def test_s4_accounts_that_are_gone_are_forgotten() -> None:
    clocks = Clocks()
    for _ in range(3):
        clocks.wrong("AAA", 0.0)
    clocks.forget_others(frozenset({"AAB"}))
    assert clocks.wrong("AAA", 1.0)


def test_s4_a_share_lets_a_burst_pass_and_then_so_much_of_the_time() -> None:
    share = Share(0.2, 0.05)
    share.spend(0.05, 100.0)
    assert share.wait(100.0) == 0.0
    share.spend(0.1, 100.0)
    assert share.wait(100.0) == pytest.approx(0.5)
    assert share.wait(100.5) == pytest.approx(0.0)


def test_s4_a_rate_counts_each_key_by_itself_and_fills_up_again() -> None:
    rates = Rates(rate=10.0, burst=5, most_keys=2)
    assert [rates.take("a", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert rates.take("b", 0.0)
    assert [rates.take("a", 0.1) for _ in range(2)] == [True, False]
    assert [rates.take("a", 100.0) for _ in range(6)] == [True] * 5 + [False]


def test_s4_keys_of_a_rate_are_bounded() -> None:
    rates = Rates(rate=1.0, burst=1, most_keys=2)
    assert [rates.take(key, 0.0) for key in "aabbcc"] == [True, False] * 3
    assert rates.take("a", 0.0)


def test_s4_a_thing_is_told_once_and_many_things_are_told_slowly() -> None:
    once = Once(period=100.0, most=3, most_period=10.0)
    assert [once.due("a", 0.0), once.due("a", 99.0), once.due("a", 100.0)] == [True, False, True]
    assert [once.due(key, 200.0) for key in "bcdef"] == [True, True, True, False, False]
    assert once.kept_back == 2
    assert once.due("e", 210.0)
