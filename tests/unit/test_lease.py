"""The holder's guard (core/lease.py): who may write, and until when."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_receiver.core.lease import (
    REMEMBERED_BEATS,
    Change,
    CloudState,
    Draining,
    Lapsed,
    LeaseGuard,
    Over,
    Renewed,
    Resumed,
    TookOver,
)

LEASE = 5.0


def state(number: int, answers: int = 0, *, epoch: int = 1, grant: bool = True, **more: object) -> CloudState:
    base = CloudState(
        boot="boot-1",
        number=number,
        answers_beat=answers,
        epoch=epoch,
        working=grant,
        lease=timedelta(seconds=LEASE) if grant else None,
    )
    return replace(base, **more)  # type: ignore[arg-type]


def beaten(*times: float) -> LeaseGuard:
    """A guard that has sent a beat at each of these times."""
    guard = LeaseGuard()
    for time in times:
        guard = guard.beat(time)
    return guard


def holding(epoch: int = 1, at: float = 100.0) -> LeaseGuard:
    """A guard that holds `epoch` since a beat sent at `at`."""
    return beaten(at).heard(state(1, 1, epoch=epoch), at + 0.1)[0]


# --- 1: what a grant is worth ---


def test_timing_1_a_grant_counts_from_before_its_beat_was_sent_not_from_its_arrival() -> None:
    guard, _ = beaten(100.0).heard(state(1, 1), 103.0)
    assert guard.may_write(1, 104.999)
    assert not guard.may_write(1, 105.0)
    assert guard.remaining(103.0) == pytest.approx(2.0)


def test_timing_1_a_grant_that_comes_after_its_own_end_grants_nothing() -> None:
    guard, changes = beaten(100.0).heard(state(1, 1), 105.0)
    assert not guard.may_write(1, 105.0)
    assert (guard.held, changes) == (0, ())


def test_timing_1_a_pushed_grant_counts_from_the_beat_that_it_names() -> None:
    guard = beaten(100.0, 101.0, 102.0).heard(state(1, 1), 102.1)[0]
    assert guard.valid_until == 105.0
    assert guard.heard(state(2, 3), 102.2)[0].valid_until == 107.0


def test_timing_1_a_late_or_doubled_grant_shortens_nothing() -> None:
    guard = beaten(100.0, 101.0).heard(state(1, 2), 101.1)[0]
    assert guard.heard(state(2, 1), 101.2)[0].valid_until == 106.0
    assert guard.heard(state(3, 2), 101.3)[0].valid_until == 106.0


@pytest.mark.parametrize("answers", [0, 2, 7])
def test_timing_1_a_grant_for_a_beat_that_was_never_sent_grants_nothing(answers: int) -> None:
    guard, changes = beaten(100.0).heard(state(1, answers), 100.1)
    assert not guard.may_write(1, 100.1)
    assert changes == ()


def test_timing_1_beats_are_numbered_on_and_old_ones_are_forgotten() -> None:
    guard = beaten(*(float(second) for second in range(REMEMBERED_BEATS + 1)))
    assert guard.beats == REMEMBERED_BEATS + 1
    assert guard.heard(state(1, 1), 0.5)[0].held == 0
    assert guard.heard(state(1, 2), 1.5)[0].held == 1


def test_timing_1_states_older_than_the_newest_are_ignored() -> None:
    guard = beaten(100.0, 101.0).heard(state(5, 1, grant=False), 101.1)[0]
    for old in (state(5, 2), state(4, 2)):
        assert guard.heard(old, 101.2) == (guard, ())
    assert guard.heard(state(6, 2), 101.2)[0].held == 1


def test_timing_1_a_new_boot_of_the_cloud_is_newer_and_a_left_one_never_is() -> None:
    guard = beaten(100.0).heard(state(50, 0, grant=False), 100.1)[0]
    guard = guard.heard(state(1, 0, grant=False, boot="boot-2"), 100.2)[0]
    assert (guard.boot, guard.number) == ("boot-2", 1)
    assert guard.heard(state(99, 1), 100.3) == (guard, ())


# --- F7: what fences ---


def test_f7_nothing_is_written_without_a_lease() -> None:
    assert not LeaseGuard().may_write(0, 0.0)
    assert not LeaseGuard().may_write(1, 0.0)


def test_f7_only_alarms_of_the_held_epoch_are_written() -> None:
    guard = holding(epoch=4)
    assert [guard.may_write(epoch, 101.0) for epoch in (0, 3, 4, 5)] == [False, False, True, False]


def test_f7_the_end_of_the_epoch_falls_at_once_whatever_the_lease() -> None:
    guard, changes = holding(epoch=4).heard(state(2, 1, epoch=5, grant=False, ended_through=4), 101.0)
    assert not guard.may_write(4, 101.0)
    assert changes == (Over(4),)


def test_f7_an_epoch_below_the_groups_current_one_is_over() -> None:
    guard, changes = holding(epoch=4).heard(state(2, 1, epoch=5, grant=False), 101.0)
    assert not guard.may_write(4, 101.0)
    assert changes == (Over(4),)


@pytest.mark.parametrize("ended_by", ["ended", "released", "fenced"])
def test_f7_no_grant_brings_back_an_epoch_that_is_over(ended_by: str) -> None:
    guard = holding(epoch=4)
    if ended_by == "ended":
        guard = guard.heard(state(2, epoch=4, grant=False, ended_through=4), 101.0)[0]
    elif ended_by == "released":
        guard = guard.release(101.0)[0]
    else:
        guard = guard.fence(101.0)[0]
    again, changes = guard.beat(102.0).heard(state(3, 2, epoch=4), 102.1)
    assert not again.may_write(4, 102.1)
    assert (again.held, changes) == (0, ())


def test_f7_the_next_epoch_of_the_same_receiver_is_a_take_over() -> None:
    guard = holding(epoch=4).release(101.0)[0].beat(102.0)
    guard, changes = guard.heard(state(2, 2, epoch=6), 102.1)
    assert changes == (TookOver(6),)
    assert guard.may_write(6, 102.1)
    assert not guard.may_write(4, 102.1)


def test_f7_a_grant_of_a_new_epoch_does_not_inherit_the_lease_of_the_old_one() -> None:
    guard = beaten(100.0, 104.0).heard(state(1, 2, epoch=4), 104.1)[0]
    guard = guard.heard(state(2, 1, epoch=5), 104.2)[0]
    assert guard.may_write(5, 104.9)
    assert not guard.may_write(5, 105.0)


def test_f7_a_fence_holds_against_an_epoch_whose_lease_is_still_to_come() -> None:
    guard = beaten(100.0).heard(state(1, 0, epoch=7, grant=False, working=True), 100.1)[0].fence(100.2)[0]
    assert guard.heard(state(2, 1, epoch=7), 100.3)[0].held == 0


def test_f7_a_fence_does_not_hold_against_an_epoch_that_becomes_ours_later() -> None:
    guard = holding(epoch=4).heard(state(2, 0, epoch=5, grant=False), 100.2)[0].fence(100.3)[0]
    assert guard.heard(state(3, 1, epoch=5), 100.4)[0].held == 5


def test_f7_a_state_without_a_lease_gives_none_and_takes_none_away() -> None:
    guard = holding()
    after = guard.heard(state(2, 1, grant=False, working=True), 101.0)[0]
    assert after.valid_until == guard.valid_until
    assert after.may_write(1, 101.0)


def test_f7_a_lease_for_one_that_does_not_work_grants_nothing() -> None:
    assert beaten(100.0).heard(state(1, 1, working=False), 100.1)[0].held == 0


def test_f7_a_grant_of_a_lower_epoch_takes_the_higher_one_not_away() -> None:
    guard, changes = holding(epoch=4).heard(state(2, 1, epoch=3), 101.0)
    assert (guard.may_write(4, 101.0), guard.may_write(3, 101.0), changes) == (True, False, ())


# --- The end of the lease, and its return ---


def test_timing_1_a_lease_that_runs_out_is_noticed_once_and_can_be_renewed() -> None:
    guard, changes = holding().tick(104.9)
    assert changes == ()
    guard, changes = guard.tick(105.0)
    assert changes == (Lapsed(1),)
    assert guard.tick(106.0)[1] == ()
    assert guard.held == 1
    guard, changes = guard.beat(107.0).heard(state(2, 2), 107.1)
    assert changes == (Renewed(1),)
    assert guard.may_write(1, 107.1)


# --- F5: giving back ---


def test_f5_yield_is_a_level_nothing_new_is_taken_and_what_is_here_is_finished() -> None:
    guard, changes = holding().heard(state(2, 1, yield_to="spare"), 101.0)
    assert changes == (Draining(1, "spare"),)
    assert guard.may_write(1, 101.0)
    assert not guard.may_take(101.0)
    assert guard.heard(state(3, 1, yield_to="spare"), 101.1)[1] == ()
    guard, changes = guard.heard(state(4, 1), 101.2)
    assert changes == (Resumed(1),)
    assert guard.may_take(101.2)


def test_f5_a_clean_stop_drains_by_itself() -> None:
    guard, changes = holding().stop(101.0)
    assert changes == (Draining(1, ""),)
    assert (guard.stopping, guard.may_take(101.0)) == (True, False)
    guard, changes = guard.attending_again(101.0)
    assert changes == (Resumed(1),), "what was given back has to be delivered anew"
    assert guard.may_take(101.0)


def test_f5_attending_in_another_role_does_not_end_a_wish_to_yield() -> None:
    """Found by the simulator: what had been given back unseen was passed by a later alarm of its device."""
    guard, _ = holding().heard(state(2, 1, yield_to="spare"), 101.0)
    guard, changes = guard.attending_again(101.1)
    assert changes == ()
    assert not guard.may_take(101.1)
    guard, changes = guard.heard(state(3, 1), 101.2)
    assert changes == (Resumed(1),)


def test_f5_what_is_released_stays_released_and_is_told_as_a_level() -> None:
    guard = holding(epoch=4).stop(101.0)[0]
    guard, changes = guard.release(101.5)
    assert changes == (Over(4),)
    assert (guard.released_through, guard.held, guard.draining) == (4, 0, False)
    assert not guard.may_write(4, 101.5)
    assert guard.beat(102.0).released_through == 4


def test_f5_an_epoch_granted_to_one_that_wants_to_stop_is_given_back_at_once() -> None:
    guard = beaten(100.0).stop(100.0)[0]
    _, changes = guard.heard(state(1, 1), 100.1)
    assert changes == (TookOver(1), Draining(1, ""))


# --- Whatever comes, in whatever order ---

Event = tuple[str, int, int, int, bool]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["beat", "heard", "tick", "release", "fence", "stop"]),
        st.integers(1, 12),  # number of the state
        st.integers(0, 8),  # the beat it answers
        st.integers(1, 4),  # epoch
        st.booleans(),  # with a grant
    ),
    max_size=40,
)


@given(EVENTS)
def test_timing_1_nobody_ever_writes_beyond_the_grants_of_an_epoch_that_is_not_over(events: list[Event]) -> None:
    guard, now, over = LeaseGuard(), 0.0, 0
    sent: dict[int, float] = {}
    promised: dict[int, float] = {}
    for kind, number, answers, epoch, grant in events:
        now += 0.7
        changes: tuple[Change, ...] = ()
        match kind:
            case "beat":
                guard = guard.beat(now)
                sent[guard.beats] = now
            case "heard":
                guard, changes = guard.heard(state(number, answers, epoch=epoch, grant=grant), now)
                if grant and answers in sent:
                    promised[epoch] = max(promised.get(epoch, 0.0), sent[answers] + LEASE)
            case "tick":
                guard, changes = guard.tick(now)
            case "release":
                guard, changes = guard.release(now)
            case "fence":
                guard, changes = guard.fence(now)
            case _:
                guard, changes = guard.stop(now)
        over = max([over, *(change.epoch for change in changes if isinstance(change, Over))])
        for one in range(5):
            if guard.may_write(one, now):
                assert one > over
                assert now < promised[one]


# --- 7: what is over is told as released, once nothing of it is left ---


def test_timing_2_an_epoch_that_is_over_is_released_once_it_is_settled() -> None:
    over = holding().heard(state(2, epoch=2, grant=False, ended_through=1), 101.0)[0]
    assert (over.held, over.released_through) == (0, 0)
    assert over.settle(101.5)[0].released_through == 1


def test_timing_2_an_epoch_that_is_held_is_never_released_by_settling() -> None:
    guard = holding()
    assert guard.settle(101.0) == (guard, ())


def test_timing_2_settling_releases_no_epoch_of_another() -> None:
    over = holding().heard(state(2, epoch=9, grant=False, ended_through=9), 101.0)[0]
    assert over.settle(101.5)[0].released_through == 1
