"""The watch over the cloud's own loop (F11)."""

from hotspare_cloud.clock import StallWatch, boottime


async def test_f11_a_loop_that_hangs_is_seen_while_it_hangs() -> None:
    """By whoever scrapes it from another thread: what it shows then must not look as it did before."""
    watch = StallWatch()
    assert watch.lag(boottime() + 7.0) == 0.0, "nothing is watched yet"
    watch.start()
    assert watch.lag(boottime()) < 0.5
    assert 6.0 < watch.lag(boottime() + 7.0) < 8.0
    watch.stop()
