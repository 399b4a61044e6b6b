"""Who fell silent and who is back, each told once; and when silence may be our own doing (A9)."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from hotspare_model.contact_id import Qualifier
from hotspare_model.outages import OUTAGE, SETTLING, Outages, Verdict
from hotspare_model.supervision import BURST, LOOKS, Path, Supervisor, Tell, Watched, event, interval_of

INTERVAL = 60.0
ROOM = 10 * BURST


class Line:
    """A supervisor, and what the ARC has been told by it."""

    def __init__(self, *devices: str, interval: float = INTERVAL, now: float = 0.0) -> None:
        self.now = now
        self.supervisor = Supervisor(now)
        self.told: list[tuple[str, str]] = []
        for device in devices:
            self.supervisor.put(device, Watched(interval), now)

    def hear(self, *devices: str) -> None:
        for device in devices:
            tell = self.supervisor.heard(device, self.now)
            self.store([tell] if tell else [])

    def wait(self, seconds: float, room: int = ROOM) -> None:
        """Let time pass, with a look each second."""
        ends = self.now + seconds
        while self.now < ends:
            self.now = min(ends, self.now + 1)
            self.store(self.supervisor.tick(self.now, room))

    def store(self, tells: Iterable[Tell]) -> None:
        for tell in tells:
            self.told.append((tell.device_id, "silent" if tell.silent else "back"))
            self.supervisor.told(tell)


def test_a9_a_silent_device_is_told_once_and_its_return_once() -> None:
    line = Line("a")
    line.hear("a")
    line.wait(INTERVAL - 1)
    assert line.told == []
    line.wait(10 * INTERVAL)
    assert line.told == [("a", "silent")]
    line.hear("a", "a", "a")
    assert line.told == [("a", "silent"), ("a", "back")]
    line.wait(INTERVAL - 1)
    assert len(line.told) == 2
    line.wait(2)
    assert line.told[2:] == [("a", "silent")]


def test_a9_each_sign_of_life_gives_a_whole_interval() -> None:
    line = Line("a")
    for _ in range(20):
        line.hear("a")
        line.wait(INTERVAL - 1)
    assert line.told == []
    assert line.supervisor.silent == 0


def test_a9_a_device_that_was_never_there_is_not_missed() -> None:
    line = Line("a")
    line.wait(10 * INTERVAL)
    assert (line.told, line.supervisor.supervised) == ([], 0)
    line.hear("a")
    assert line.supervisor.supervised == 1


def test_a9_after_a_start_everybody_has_one_interval_whatever_was_before() -> None:
    line = Line()
    line.supervisor.put("alive", Watched(INTERVAL), 0.0, heard=True)
    line.supervisor.put("dead", Watched(INTERVAL), 0.0, heard=True, told=True)
    line.wait(INTERVAL - 1)
    assert line.told == []
    line.hear("dead")
    line.wait(2)
    assert line.told == [("dead", "back"), ("alive", "silent")]


def test_a9_after_an_outage_everybody_has_one_interval() -> None:
    line = Line("a", "b")
    line.hear("a", "b")
    line.now = 10 * INTERVAL  # no look in between: nobody could be heard
    line.supervisor.grace(line.now)
    line.wait(INTERVAL - 1)
    line.hear("a")
    line.wait(5)
    assert line.told == [("b", "silent")]


def test_a9_who_fell_silent_before_an_outage_and_was_not_told_of_has_one_interval_too() -> None:
    devices = [f"panel-{number}" for number in range(BURST + 10)]
    line = Line(*devices)
    line.hear(*devices)
    line.now += INTERVAL + 1
    line.store(line.supervisor.tick(line.now, room=0))
    assert (len(line.told), line.supervisor.silent) == (BURST, BURST + 10)
    line.supervisor.grace(line.now)
    assert line.supervisor.silent == BURST
    line.wait(INTERVAL - 1)
    assert len(line.told) == BURST
    line.wait(2)
    assert len(line.told) == BURST + 10


@pytest.mark.parametrize("watched", [Watched(0.0), Watched(INTERVAL, disabled=True)], ids=["off", "disabled"])
def test_a9_nothing_is_raised_of_a_device_that_is_off_or_disabled(watched: Watched) -> None:
    line = Line()
    line.supervisor.put("a", watched, line.now)
    line.hear("a")
    line.wait(10 * INTERVAL)
    assert (line.told, line.supervisor.interval("a")) == ([], 0.0)
    line.supervisor.put("a", Watched(INTERVAL), line.now)
    line.wait(INTERVAL - 1)
    assert line.told == []  # switched on, it has one interval
    line.wait(2)
    assert line.told == [("a", "silent")]


def test_a9_switched_off_while_silent_its_return_is_still_told() -> None:
    line = Line("a")
    line.hear("a")
    line.wait(2 * INTERVAL)
    line.supervisor.put("a", Watched(0.0), line.now)
    line.hear("a")
    assert line.told == [("a", "silent"), ("a", "back")]


def test_a9_disabled_while_silent_its_return_is_told_once_it_is_enabled_and_heard() -> None:
    line = Line("a")
    line.hear("a")
    line.wait(2 * INTERVAL)
    line.supervisor.put("a", Watched(INTERVAL, disabled=True), line.now)
    assert line.supervisor.silent == 0
    line.hear("a")
    line.wait(2 * INTERVAL)
    line.supervisor.put("a", Watched(INTERVAL), line.now)
    line.wait(2 * INTERVAL)
    assert line.told == [("a", "silent")]
    line.hear("a")
    assert line.told == [("a", "silent"), ("a", "back")]


def test_a9_a_change_of_its_name_alone_gives_no_grace() -> None:
    line = Line("a")
    line.hear("a")
    line.wait(INTERVAL - 1)
    line.supervisor.put("a", Watched(INTERVAL), line.now)
    line.wait(2)
    assert line.told == [("a", "silent")]


def test_a9_a_shorter_interval_counts_from_the_change() -> None:
    line = Line("a", interval=1000.0)
    line.hear("a")
    line.wait(500)
    line.supervisor.put("a", Watched(10.0), line.now)
    line.wait(9)
    assert line.told == []
    line.wait(2)
    assert line.told == [("a", "silent")]


def test_a9_a_device_that_is_gone_is_forgotten_and_made_anew_it_begins_anew() -> None:
    line = Line("a")
    line.hear("a")
    line.wait(2 * INTERVAL)
    line.supervisor.drop("a")
    line.wait(INTERVAL)
    line.supervisor.put("a", Watched(INTERVAL), line.now)
    line.supervisor.told(Tell("a", silent=True, ticket=1))  # of the one before
    line.hear("a")
    line.wait(2)
    assert line.told == [("a", "silent")]
    assert (line.supervisor.silent, line.supervisor.supervised) == (0, 1)


def test_a9_what_could_not_be_stored_is_told_later_and_only_if_it_is_still_so() -> None:
    line = Line("a", "b")
    line.hear("a", "b")
    line.now += INTERVAL + 1
    tells = line.supervisor.tick(line.now, ROOM)
    assert len(tells) == 2
    assert line.supervisor.tick(line.now + 1, ROOM) == []  # both are being stored
    for tell in tells:
        line.supervisor.failed(tell)
    line.hear("b")
    line.wait(3)
    assert line.told == [("a", "silent")]


def test_a9_back_while_its_event_is_being_stored_both_are_told_in_order() -> None:
    line = Line("a")
    line.hear("a")
    line.now += INTERVAL + 1
    (silent,) = line.supervisor.tick(line.now, ROOM)
    assert line.supervisor.heard("a", line.now) is None
    line.store([silent])
    line.wait(1)
    assert line.told == [("a", "silent"), ("a", "back")]


def test_a9_a_change_while_its_event_is_being_stored_makes_no_second_one() -> None:
    line = Line("a")
    line.hear("a")
    line.now += INTERVAL + 1
    (silent,) = line.supervisor.tick(line.now, ROOM)
    line.supervisor.put("a", Watched(INTERVAL / 2), line.now)
    line.wait(2 * INTERVAL)
    assert line.told == []
    line.store([silent])
    line.wait(2 * INTERVAL)
    assert line.told == [("a", "silent")]


def test_a9_a_storm_is_bounded_and_counted_once_and_in_the_end_each_was_told() -> None:
    devices = [f"panel-{number}" for number in range(3 * BURST)]
    line = Line(*devices)
    line.hear(*devices)
    line.now += INTERVAL + 1
    line.store(line.supervisor.tick(line.now, room=0))
    assert len(line.told) == BURST
    assert (line.supervisor.storms, line.supervisor.in_storm, line.supervisor.waiting) == (1, True, 2 * BURST)
    line.wait(60, room=0)
    assert BURST < len(line.told) <= 2 * BURST + 1
    line.hear(*devices[-10:])  # back before their turn: nothing is told of them
    line.wait(5, room=5)
    line.wait(INTERVAL - 10)
    assert sorted(line.told) == sorted((device, "silent") for device in devices[:-10])
    assert (line.supervisor.storms, line.supervisor.in_storm) == (1, False)


def test_a9_ten_thousand_devices_that_live_cost_a_look_up_each_and_nothing_at_rest() -> None:
    devices = [f"panel-{number}" for number in range(10_000)]
    line = Line(*devices)
    line.hear(*devices)
    for _ in range(5):
        line.now += INTERVAL / 2
        line.hear(*devices)
    assert len(line.supervisor._heap) == len(devices)  # not one more for each sign of life
    for _ in range(len(devices) // LOOKS):
        assert min(line.supervisor._heap)[0] <= line.now
        line.supervisor.tick(line.now, ROOM)
    assert min(line.supervisor._heap)[0] > line.now  # and nothing to look at before that


def test_a9_the_events_are_a_pair_of_the_device_with_a_code_for_each_path() -> None:
    at = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
    seen = at - timedelta(seconds=200)
    silent = event(Path.CLOUD, "id-1", "panel-1", silent=True, at=at, last_seen=seen, interval=180.0)
    back = event(Path.CLOUD, "id-2", "panel-1", silent=False, at=at, last_seen=at, interval=180.0)
    assert (silent.device_id, silent.code, silent.qualifier) == ("panel-1", "350", Qualifier.NEW)
    assert (back.device_id, back.code, back.qualifier) == ("panel-1", "350", Qualifier.RESTORE)
    assert "no sign of life since 2026-11-23 00:58:43 UTC on the cloud path, expected every 180 s" in silent.text
    assert len({path.value for path in Path}) == len(Path)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [(None, 180.0), (0, 0.0), (-5, 0.0), (10, 10.0), (0.001, 1.0), (86_400 * 400, 86_400.0 * 30)],
)
def test_a9_an_interval_as_the_record_tells_it(told: float | None, seconds: float) -> None:
    assert interval_of(None if told is None else timedelta(seconds=told)) == seconds


# Outages of ours.


def looks(outages: Outages, begin: float, seconds: int, *, heard: bool = True, **how: bool) -> list[Verdict]:
    """What comes of a look each second from `begin` on."""
    found = []
    for second in range(seconds):
        if heard:
            outages.pulse(begin + second)
        found.append(outages.look(begin + second, beat=1.0, storing=how.get("storing", True)))
    return found


def test_a9_nobody_is_judged_while_nobody_at_all_is_heard_and_then_all_get_grace() -> None:
    outages = Outages(0.0)
    assert set(looks(outages, 1, 10)) == {Verdict.JUDGE}
    deaf = looks(outages, 11, 60, heard=False)
    assert deaf[int(OUTAGE) + 1 :] == [Verdict.WAIT] * (60 - int(OUTAGE) - 1)
    assert looks(outages, 71, 3) == [Verdict.GRACE, Verdict.JUDGE, Verdict.JUDGE]
    assert outages.count == 1


def test_a9_with_all_receivers_gone_one_device_that_is_heard_now_and_then_proves_nothing() -> None:
    outages = Outages(0.0)
    looks(outages, 1, 3)
    for second in range(4, 300):
        if second % 12 == 0:
            outages.heard(float(second))
        verdict = outages.look(float(second), beat=1.0, storing=True)
        assert verdict is not Verdict.GRACE
    assert (verdict, outages.count) == (Verdict.WAIT, 1)
    assert looks(outages, 300, 2) == [Verdict.GRACE, Verdict.JUDGE]


def test_a9_with_all_receivers_gone_many_devices_are_judged_still() -> None:
    outages = Outages(0.0)
    looks(outages, 1, 3)
    for second in range(4, 60):
        outages.heard(float(second))
        assert outages.look(float(second), beat=1.0, storing=True) is Verdict.JUDGE


def test_a9_without_receivers_that_were_heard_the_quiet_means_nothing() -> None:
    outages = Outages(0.0)
    assert {outages.look(float(second), beat=0.0, storing=True) for second in range(1, 60)} == {Verdict.JUDGE}


def test_a9_nobody_is_judged_while_the_disk_is_full_and_then_all_get_grace() -> None:
    outages = Outages(0.0)
    assert set(looks(outages, 1, 60, storing=False)) == {Verdict.WAIT}
    assert looks(outages, 61, 2) == [Verdict.GRACE, Verdict.JUDGE]
    assert outages.count == 1


def test_a9_after_a_long_stall_all_get_grace_and_after_a_short_one_what_came_is_read_first() -> None:
    outages = Outages(0.0)
    looks(outages, 1, 5)
    outages.heard(7.0)
    assert outages.look(7.0, beat=1.0, storing=True) is Verdict.WAIT  # a second late
    assert looks(outages, 8, 4)[int(SETTLING) - 1 :] == [Verdict.JUDGE, Verdict.JUDGE]
    outages.heard(30.0)
    assert outages.look(30.0, beat=1.0, storing=True) is Verdict.GRACE
    assert outages.count == 1
