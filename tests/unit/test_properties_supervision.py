"""Properties of supervision (A9): one event of a silence, one of its end, never a storm, and in the end the truth."""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotspare_model.supervision import BURST, REFILL, Supervisor, Tell, Watched

DEVICES = tuple(f"panel-{number}" for number in range(6))
MANY = tuple(f"panel-{number}" for number in range(4 * BURST))
INTERVALS = (10.0, 35.0)
FEW = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), st.sampled_from(DEVICES)),
        st.tuples(st.just("wait"), st.integers(1, 30)),
        st.tuples(st.just("grace"), st.none()),
        st.tuples(st.just("disk"), st.booleans()),
        st.tuples(st.just("kill"), st.none()),
        st.tuples(st.just("interval"), st.sampled_from((*INTERVALS, 0.0))),
    ),
    max_size=60,
)


@dataclass
class Row:
    """What the store has of a device."""

    watched: Watched
    heard: bool = False
    told: bool = False
    events: list[bool] = field(default_factory=list)
    """What the ARC was told, in order: whether it is silent."""


class World:
    """A supervisor that is killed and started anew, over a store that stays, with a clock that is driven."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rows = {device: Row(Watched(INTERVALS[0])) for device in DEVICES}
        self.writable = True
        self.truth: dict[str, float] = dict.fromkeys(DEVICES, self.now)
        """From when each device's silence counts at the earliest: its sign of life, a start, a grace, a change."""
        self.start()

    def start(self) -> None:
        self.supervisor = Supervisor(self.now)
        for device, row in self.rows.items():
            self.supervisor.put(device, row.watched, self.now, heard=row.heard, told=row.told)
        self.excuse()

    def excuse(self) -> None:
        self.truth = dict.fromkeys(DEVICES, self.now)

    def hear(self, device: str) -> None:
        self.truth[device] = self.now
        self.rows[device].heard = True
        tell = self.supervisor.heard(device, self.now)
        self.store([tell] if tell else [])

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.store(self.supervisor.tick(self.now, room=BURST))

    def change(self, interval: float) -> None:
        device = DEVICES[0]
        if self.rows[device].watched.interval != interval:
            self.rows[device].watched = Watched(interval)
            self.truth[device] = self.now
            self.supervisor.put(device, Watched(interval), self.now)

    def store(self, tells: list[Tell]) -> None:
        for tell in tells:
            row = self.rows[tell.device_id]
            if not self.writable:
                self.supervisor.failed(tell)
                continue
            assert row.told != tell.silent, "told twice"
            if tell.silent:
                silence = self.now - self.truth[tell.device_id]
                assert row.heard, "never there"
                assert silence >= row.watched.interval > 0, f"told after {silence} s"
            row.told = tell.silent
            row.events.append(tell.silent)
            self.supervisor.told(tell)


def play(world: World, steps: list[tuple[str, object]]) -> None:
    for step, what in steps:
        match step, what:
            case "hear", str(device):
                world.hear(device)
            case "wait", int(seconds):
                world.wait(seconds)
            case "grace", _:
                world.supervisor.grace(world.now)
                world.excuse()
            case "disk", bool(writable):
                world.writable = writable
            case "kill", _:
                world.start()
            case "interval", float(interval):
                world.change(interval)
            case _:
                raise AssertionError(step)


@FEW
@given(STEPS)
def test_a9_one_event_of_a_silence_and_one_of_its_end_and_none_without_cause(steps: list[tuple[str, object]]) -> None:
    world = World()
    play(world, steps)
    for row in world.rows.values():
        assert row.events == [number % 2 == 0 for number in range(len(row.events))]


@FEW
@given(STEPS)
def test_a9_in_the_end_the_arc_knows_who_is_silent_and_who_is_not(steps: list[tuple[str, object]]) -> None:
    world = World()
    play(world, steps)
    world.writable = True
    world.hear(DEVICES[1])
    world.wait(int(2 * max(INTERVALS)) + 2)
    for device, row in world.rows.items():
        if row.watched.interval and row.heard:
            assert row.told, f"{device} is silent, and nobody was told"
    assert world.supervisor.silent == sum(row.told for row in world.rows.values())
    for device in DEVICES:
        world.hear(device)
    world.wait(2)
    assert not any(row.told for row in world.rows.values())
    assert (world.supervisor.silent, world.supervisor.waiting) == (0, 0)


@settings(FEW, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(("hear", "wait")), st.integers(0, len(MANY)), st.integers(1, 40)), max_size=30)
)
def test_a9_however_many_at_once_never_a_storm(steps: list[tuple[str, int, int]]) -> None:
    now, supervisor = 0.0, Supervisor(0.0)
    for device in MANY:
        supervisor.put(device, Watched(INTERVALS[0]), now, heard=True)
    times: list[float] = []
    for step, count, seconds in steps:
        if step == "hear":
            for device in MANY[:count]:
                tell = supervisor.heard(device, now)
                if tell is not None:
                    times.append(now)
                    supervisor.told(tell)
        else:
            for _ in range(seconds):
                now += 1
                for tell in supervisor.tick(now, room=0):
                    times.append(now)
                    supervisor.told(tell)
    for begin in {0.0, *times}:
        for length in (0.0, 1.0, 60.0):
            within = sum(begin <= at <= begin + length for at in times)
            assert within <= BURST + length * REFILL + 1, f"{within} within {length} s"
