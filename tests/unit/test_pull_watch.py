"""A pull that is dead while the beats live (core/pull_watch.py)."""

from hotspare_receiver.core.pull_watch import APART_AFTER, STUCK_AFTER, UNTOLD_AFTER, WINDOW, PullWatch


def test_timing_4_a_pull_that_agrees_is_not_stuck() -> None:
    watch = PullWatch().told((1, 5), (1, 5), 0.0)
    assert not watch.told((1, 5), (1, 5), 100.0).stuck(100.0)


def test_timing_4_what_was_sent_and_does_not_come_is_stuck_after_a_while() -> None:
    watch = PullWatch().told((1, 5), (1, 3), 0.0)
    watch = watch.told((1, 9), (1, 4), 1.0)
    assert not watch.stuck(STUCK_AFTER - 0.1)
    assert watch.stuck(STUCK_AFTER)


def test_timing_4_a_pull_that_is_always_a_little_behind_is_not_stuck() -> None:
    watch = PullWatch()
    for second in range(10):
        watch = watch.told((1, 100 * second + 7), (1, 100 * second), float(second))
        assert not watch.stuck(second + 0.9)


def test_timing_4_a_pull_that_the_cloud_does_not_have_is_stuck() -> None:
    watch = PullWatch()
    for second in range(3):
        watch = watch.told((0, 0), (1, 0), float(second))
    assert watch.stuck(2.0)


def test_timing_4_a_new_pull_has_its_own_time() -> None:
    watch = PullWatch().told((1, 5), (2, 0), 0.0)
    watch = watch.told((2, 4), (3, 0), 1.4)
    assert not watch.stuck(2.0)


def test_timing_4_without_a_pull_nothing_is_stuck() -> None:
    assert not PullWatch().told((3, 9), (0, 0), 0.0).stuck(100.0)


# --- F3: a pull that can't be had ---


def opened_anew(*times: float) -> PullWatch:
    watch = PullWatch()
    for now in times:
        watch = watch.opened_anew(now)
    return watch


def test_timing_4_one_disagreement_is_mended_by_a_new_pull() -> None:
    assert opened_anew(10.0).broken(10.0) is None


def test_timing_4_the_second_disagreement_soon_after_is_not_healthy() -> None:
    watch = opened_anew(10.0, 12.0)
    assert watch.broken(12.0) == 10.0
    # A third one goes on from the first.
    assert watch.opened_anew(15.0).broken(15.0) == 10.0


def test_timing_4_disagreements_far_apart_are_each_the_first() -> None:
    assert opened_anew(10.0, 10.0 + WINDOW).broken(10.0 + WINDOW) is None


def test_timing_4_it_is_healthy_again_when_long_enough_nothing_disagreed() -> None:
    watch = opened_anew(10.0, 12.0)
    assert watch.told((3, 5), (3, 5), 20.0).broken(12.0 + WINDOW - 0.1) == 10.0
    assert watch.told((3, 5), (3, 5), 20.0).broken(12.0 + WINDOW) is None


def test_timing_4_a_cloud_that_has_none_of_our_pulls_is_no_health_however_often_they_are_opened() -> None:
    watch = PullWatch()
    for number in range(1, 8):
        watch = watch.told((0, 0), (number, 0), float(number))
    assert watch.broken(1.0 + APART_AFTER - 0.1) is None
    assert watch.broken(1.0 + APART_AFTER) == 1.0
    assert watch.told((8, 0), (8, 0), 9.0).broken(9.0) is None


def test_timing_4_that_does_not_count_while_no_pull_is_wanted_nor_over_a_new_stream() -> None:
    watch = PullWatch().told((0, 0), (1, 0), 0.0)
    assert watch.told((0, 0), (0, 0), 99.0, wanted=False).broken(99.0) is None
    assert watch.connected().told((0, 0), (1, 0), 99.0).broken(99.0) is None


def test_timing_4_confirmations_that_get_no_answer_open_the_pull_anew() -> None:
    """What goes up in the pull is lost, although deliveries come, and both sides agree on those."""
    watch = PullWatch()
    agreed = (7, 3)
    for now in (0.0, 1.0, 2.0, UNTOLD_AFTER - 0.1):
        watch = watch.told(agreed, agreed, now, untold=True, answers=5)
        assert not watch.stuck(now)
    assert watch.told(agreed, agreed, UNTOLD_AFTER, untold=True, answers=5).stuck(UNTOLD_AFTER)
    assert not watch.told(agreed, agreed, UNTOLD_AFTER, untold=True, answers=6).stuck(UNTOLD_AFTER), "one was answered"
    assert not watch.told(agreed, agreed, UNTOLD_AFTER, untold=False, answers=5).stuck(UNTOLD_AFTER), "none waits"
