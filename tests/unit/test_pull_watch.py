"""A pull that is dead while the beats live (core/pull_watch.py)."""

from hotspare_receiver.core.pull_watch import STUCK_AFTER, PullWatch


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
