"""Properties of the guard alone: late, doubled and reordered states never lengthen a lease (timing: two clocks)."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotspare_receiver.core.lease import CloudState, LeaseGuard

LEASE = timedelta(seconds=4.98)
TIMES = st.floats(0, 30, allow_nan=False)
STATES = st.builds(
    CloudState,
    boot=st.sampled_from(("boot-1", "boot-2")),
    number=st.integers(1, 12),
    answers_beat=st.integers(0, 12),
    epoch=st.integers(1, 4),
    working=st.booleans(),
    lease=st.sampled_from((LEASE, LEASE, None)),
    ended_through=st.integers(0, 3),
    yield_to=st.sampled_from(("", "", "other")),
)
STEPS = st.lists(st.tuples(st.floats(0, 2), st.sampled_from(("beat", "tick", "release", "fence", "stop")) | STATES))
FEW = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def course(steps: list[tuple[float, str | CloudState]]) -> list[tuple[float, LeaseGuard, dict[int, float]]]:
    """The guard after each step, with the time, and when each beat was sent."""
    now, guard, sent = 100.0, LeaseGuard(), dict[int, float]()
    found = []
    for delay, step in steps:
        now += delay
        match step:
            case "beat":
                guard = guard.beat(now)
                sent[guard.beats] = now
            case "tick":
                guard, _ = guard.tick(now)
            case "release":
                guard, _ = guard.release(now)
            case "fence":
                guard, _ = guard.fence(now)
            case "stop":
                guard, _ = guard.stop(now)
            case CloudState():
                guard, _ = guard.heard(step, now)
            case _:
                raise AssertionError(step)
        found.append((now, guard, dict(sent)))
    return found


@FEW
@given(STEPS)
def test_f7_a_lease_never_outlives_what_was_granted_from_the_newest_beat(
    steps: list[tuple[float, str | CloudState]],
) -> None:
    for now, guard, sent in course(steps):
        newest = max(sent.values(), default=float("-inf"))
        assert guard.valid_until <= newest + LEASE.total_seconds()
        if guard.may_write(guard.epoch, now):
            assert now < newest + LEASE.total_seconds()


@FEW
@given(STEPS)
def test_f7_what_is_over_never_comes_back_and_nothing_goes_down(steps: list[tuple[float, str | CloudState]]) -> None:
    over, before = 0, LeaseGuard()
    for now, guard, _ in course(steps):
        over = max(over, guard.over_through)
        assert not guard.may_write(over, now)
        assert guard.held == 0 or guard.held > over
        for name in ("over_through", "highest_epoch", "released_through", "beats", "epoch"):
            assert getattr(guard, name) >= getattr(before, name)
        before = guard


@FEW
@given(STEPS)
def test_f7_states_that_come_doubled_change_nothing(steps: list[tuple[float, str | CloudState]]) -> None:
    """What was heard once is as if heard never again, however late."""
    now, guard, heard = 100.0, LeaseGuard(), list[CloudState]()
    for delay, step in steps:
        now += delay
        if step == "beat":
            guard = guard.beat(now)
        elif isinstance(step, CloudState):
            guard, _ = guard.heard(step, now)
            heard.append(step)
        for old in heard:
            again, changes = guard.heard(old, now)
            assert (again.valid_until, again.held, again.yield_to) == (guard.valid_until, guard.held, guard.yield_to)
            assert not changes


@FEW
@given(STEPS)
def test_f5_while_it_yields_nothing_new_is_taken(steps: list[tuple[float, str | CloudState]]) -> None:
    for now, guard, _ in course(steps):
        assert guard.draining == (guard.held != 0 and (guard.stopping or guard.yield_to != ""))
        assert not (guard.draining and guard.may_take(now))
        assert not guard.may_take(now) or guard.may_write(guard.epoch, now)
