"""Receivers that are there and could not deliver (F1, F3), and what it takes to work again (F4)."""

import pytest

from hotspare_cloud.attendance import may_return
from hotspare_cloud.core.order import Standby, status_of
from hotspare_cloud.core.state import Beat, EndEpoch, Kind, Reason, Stalled
from hotspare_model.group import MemberStatus, Role
from tests.unit.cloud_trial import SETTINGS, Trial, granted

DELAY = SETTINGS.failback_delay.total_seconds()
DRAIN = SETTINGS.drain_timeout.total_seconds()


@pytest.fixture
def trial() -> Trial:
    return Trial()


# F3: it can't deliver.


def test_f3_an_unhealthy_holder_is_told_at_its_beat_to_yield_to_the_next_healthy_one(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.sick = {"host", "one"}
    trial.beat("one")
    trial.beat("host")
    assert (trial.working, trial.yielding) == ("host", "two")
    trial.release()
    assert trial.move == ("two", Reason.UNHEALTHY)
    assert trial.ended == [EndEpoch(1, hold=False)]
    assert (trial.begun[-1].gap, trial.begun[-1].previous) == (0.0, "host")


def test_f3_an_unhealthy_holder_keeps_its_lease_until_it_has_handed_over(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.sick = {"host"}
    assert granted(trial.beat("host"), "host")
    assert trial.working == "host"


def test_f3_a_hand_over_of_an_unhealthy_one_that_is_not_done_in_time_goes_on_with_a_hold(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.sick = {"host"}
    trial.beat("host")
    trial.run(DRAIN - 0.2, "host", "one")
    assert trial.working == "host"
    trial.run(0.4, "host", "one")
    assert trial.move == ("one", Reason.UNHEALTHY)
    assert trial.ended == [EndEpoch(1, hold=True)]
    assert "drain_timeout" in trial.begun[-1].detail
    assert trial.losses("host") == 1


def test_f3_when_the_target_falls_ill_as_well_the_hand_over_goes_to_the_next_healthy_one(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.sick = {"host"}
    trial.beat("host")
    assert trial.yielding == "one"
    trial.sick = {"host", "one"}
    trial.beat("one")
    assert trial.yielding == "two"
    trial.release()
    assert trial.move == ("two", Reason.UNHEALTHY)


def test_f3_a_holder_that_is_well_again_before_it_released_goes_on(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.sick = {"host"}
    trial.beat("host")
    trial.sick = set()
    trial.beat("host")
    trial.run(DRAIN + 1, "host", "one")
    assert (trial.working, trial.yielding, trial.state.epoch) == ("host", None, 1)
    assert trial.losses("host") == 0


def test_f1_where_none_is_healthier_nothing_moves(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.sick = {"host", "one", "two"}
    trial.run(60, "host", "one", "two")
    assert (trial.working, trial.yielding, trial.state.epoch) == ("host", None, 1)
    assert trial.standby("one") is Standby.UNHEALTHY


def test_f1_one_that_is_silent_is_no_healthier_one(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(3.1, "host")
    trial.sick = {"host"}
    trial.run(5, "host")
    assert (trial.working, trial.yielding) == ("host", None)


def test_f1_one_that_stops_is_no_healthier_one(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.stopping = {"one"}
    trial.beat("one")
    assert trial.standby("one") is Standby.STOPPING
    trial.sick = {"host"}
    trial.run(5, "host", "one")
    assert (trial.working, trial.yielding) == ("host", None)


def test_f1_a_loss_goes_to_the_healthy_one_of_lower_order(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.sick = {"one"}
    trial.beat("one")
    trial.lose("host", "one", "two")
    assert trial.move == ("two", Reason.CONNECTION_LOST)


def test_f1_a_loss_with_none_healthy_goes_to_the_first_that_is_connected(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.sick = {"one", "two"}
    for who in ("two", "one"):
        trial.beat(who)
    trial.lose("host", "one", "two")
    assert trial.move == ("one", Reason.CONNECTION_LOST)


def test_f1_a_cold_start_with_nobody_healthy_begins_with_the_first_and_moves_on_when_a_healthy_one_comes(
    trial: Trial,
) -> None:
    trial.sick = {"host", "one"}
    trial.arrive("one", "host")
    assert trial.move == ("one", Reason.FIRST)
    trial.run(2, "host", "one")
    assert trial.working == "one"
    trial.arrive("two")
    assert trial.yielding == "two"
    trial.release()
    assert trial.move == ("two", Reason.UNHEALTHY)


def test_f9_a_cold_start_with_an_unhealthy_one_counts_against_nobody(trial: Trial) -> None:
    trial.sick = {"host"}
    trial.arrive("host", "one")
    trial.release()
    assert trial.move == ("one", Reason.UNHEALTHY)
    assert trial.state.losses == ()


def test_f9_one_that_was_healthy_and_fell_ill_is_counted(trial: Trial) -> None:
    trial.sick = {"host"}
    trial.arrive("host")
    trial.sick = set()
    trial.beat("host")
    trial.arrive("one")
    trial.sick = {"host"}
    trial.beat("host")
    trial.release()
    assert trial.losses("host") == 1


def test_f3_a_beat_without_health_counts_as_not_healthy(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.feed(Beat("host", "host-1", 9, 1, 0.1, healthy=False))
    assert trial.yielding == "one"


def test_f3_an_ill_holder_of_lower_order_hands_over_to_a_healthy_host_without_the_delay(trial: Trial) -> None:
    trial.arrive("one", "host")
    trial.sick = {"one"}
    trial.beat("one")
    assert trial.yielding == "host"
    trial.release()
    assert trial.move == ("host", Reason.UNHEALTHY)


def test_f3_the_unhealthy_one_that_is_well_again_fails_back_after_the_delay(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.sick = {"host"}
    trial.beat("host")
    trial.release()
    trial.run(60, "host", "one")
    assert trial.working == "one"
    assert trial.standby("host") is Standby.UNHEALTHY
    trial.sick = set()
    trial.beat("host")
    assert trial.standby("host") is Standby.FAILBACK_DELAY
    well = trial.now
    trial.hand_over("host", "one")
    assert trial.move == ("host", Reason.FAILBACK)
    assert DELAY <= trial.now - well < DELAY + 1.2


def test_f4_one_that_falls_ill_during_the_delay_begins_it_anew(trial: Trial) -> None:
    trial.arrive("one", "host")
    trial.run(DELAY - 2, "host", "one")
    trial.sick = {"host"}
    trial.beat("host")
    trial.sick = set()
    trial.run(DELAY - 0.5, "host", "one")
    assert trial.yielding is None
    trial.run(2, "host", "one")
    assert trial.yielding == "host"


def test_f5_what_becomes_of_a_hand_over_when_the_holder_itself_is_all_that_is_left(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.sick = {"host"}
    trial.beat("host")
    trial.lose("one", "host")
    trial.release()
    assert trial.working == "host"
    assert trial.state.epoch == 2
    assert trial.ended == [EndEpoch(1, hold=False)]


def test_f8_the_time_that_nobody_worked_counts_from_the_release(trial: Trial) -> None:
    trial.arrive("host")
    trial.run(5, "host")
    trial.run(0.7)
    trial.stopping = {"host"}
    trial.release()
    released = trial.now
    trial.part("host")
    trial.run(20)
    trial.arrive("one")
    assert trial.begun[-1].gap == pytest.approx(trial.now - released)


# F4: in sync.


@pytest.mark.parametrize(
    ("role", "able"),
    [
        (Role.HOST, {0, 1, 2, 3, 5, 6}),
        (Role.SPARE_1, {0, 1, 2}),
        (Role.SPARE_3, {0, 1, 2}),
    ],
)
def test_f4_what_the_state_of_the_copy_allows_depends_on_the_role(role: Role, able: set[int]) -> None:
    assert {state for state in range(8) if may_return(state, role)} == able


def test_f4_failback_counts_from_the_first_beat_that_is_healthy_and_in_sync(trial: Trial) -> None:
    trial.stale = {"host"}
    trial.arrive("one", "host")
    trial.run(60, "host", "one")
    assert (trial.working, trial.yielding) == ("one", None)
    assert trial.standby("host") is Standby.NOT_IN_SYNC
    trial.stale = set()
    trial.beat("host")
    synced = trial.now
    trial.hand_over("host", "one")
    assert trial.move == ("host", Reason.FAILBACK)
    assert DELAY <= trial.now - synced < DELAY + 1.2


def test_f4_being_out_of_sync_keeps_nobody_from_taking_over(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.stale = {"one"}
    trial.beat("one")
    trial.lose("host", "one")
    assert trial.move == ("one", Reason.CONNECTION_LOST)
    trial.run(30, "one")
    assert trial.working == "one"


def test_f4_a_spare_in_sync_fails_back_while_the_host_is_not(trial: Trial) -> None:
    trial.stale = {"host"}
    trial.arrive("two", "one", "host")
    trial.hand_over("host", "one", "two")
    assert trial.move == ("one", Reason.FAILBACK)
    trial.stale = set()
    trial.hand_over("host", "one", "two")
    assert trial.move == ("host", Reason.FAILBACK)


# Who is there, after time stood still for the cloud.


def test_f3_one_that_has_been_silent_for_long_is_not_brought_back_by_a_change_of_settings(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.run(60, "host", "two")
    assert status_of(trial.state, "one", trial.now) is MemberStatus.OFFLINE
    trial.set(losses_per_hour=5)
    assert status_of(trial.state, "one", trial.now) is MemberStatus.OFFLINE
    trial.stopping = {"host"}
    trial.beat("host")
    assert trial.yielding == "two"


def test_f11_one_that_has_been_silent_for_long_is_not_brought_back_by_a_stall(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.run(60, "host", "two")
    trial.feed(Stalled(trial.now - 1.0))
    trial.beat("host")
    assert status_of(trial.state, "one", trial.now) is MemberStatus.OFFLINE
    trial.stopping = {"host"}
    trial.beat("host")
    trial.release()
    assert trial.working == "two"


def test_f3_a_process_that_dies_after_a_change_of_settings_is_lost_after_the_grace(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.set(losses_per_hour=5)
    trial.lose("host", "one")
    assert trial.move == ("one", Reason.CONNECTION_LOST)


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_f3_a_cloud_that_stands_still_again_and_again_notices_a_loss_all_the_same(trial: Trial, how: str) -> None:
    trial.arrive("host", "one")
    trial.run(10, "host", "one")
    if how == "dies":
        trial.part("host")
    for _ in range(30):
        trial.run(1.3, "one", every=0.5)
        stalled = trial.now
        trial.now += 0.7
        trial.feed(Stalled(stalled))
        trial.beat("one")
    assert trial.working == "one"


def test_f11_a_stall_gives_those_the_grace_that_were_there_before_it(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(10, "host", "one")
    stalled = trial.now
    trial.now += 20
    trial.feed(Stalled(stalled))
    trial.beat("one")
    trial.run(2, "one")
    assert trial.working == "host"
    trial.beat("host")
    trial.run(10, "host", "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_f3_the_history_has_no_line_of_a_hand_over_but_the_move(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.sick = {"host"}
    trial.beat("host")
    trial.release()
    assert Kind.NOBODY_LEFT not in trial.kinds
