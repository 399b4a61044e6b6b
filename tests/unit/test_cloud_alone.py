"""Receivers without a role (G7), and the way into and out of a hot spare (X2)."""

import pytest

from hotspare_cloud.core.order import Standby, status_of
from hotspare_cloud.core.state import EndEpoch, Kind, Reason
from hotspare_model.group import MemberStatus, Role
from tests.unit.cloud_trial import SETTINGS, Trial, alone, granted

DELAY = SETTINGS.failback_delay.total_seconds()


@pytest.fixture
def trial() -> Trial:
    return alone("anna", "bert")


def test_g7_one_without_a_role_works_by_the_same_lease(trial: Trial) -> None:
    trial.attend("anna")
    effects = trial.beat("anna")
    assert granted(effects, "anna")
    assert trial.move == ("anna", Reason.FIRST)
    trial.part("anna")
    trial.run(60)
    assert trial.kinds == [Kind.NOBODY_LEFT]


def test_g7_one_at_a_time_and_the_second_is_told_why(trial: Trial) -> None:
    trial.arrive("bert", "anna")
    trial.run(60, "anna", "bert")
    assert (trial.working, trial.state.epoch) == ("bert", 1)
    assert trial.standby("anna") is Standby.ANOTHER_WORKS_ALONE


def test_g7_the_second_takes_over_with_a_hold_when_the_first_is_lost(trial: Trial) -> None:
    trial.arrive("bert", "anna")
    trial.lose("bert", "anna")
    assert trial.move == ("anna", Reason.CONNECTION_LOST)
    assert trial.ended == [EndEpoch(1, hold=True)]
    trial.restart("bert")
    trial.run(10 * DELAY, "anna", "bert")
    assert trial.working == "anna"


def test_g7_among_lone_ones_the_earlier_membership_comes_first() -> None:
    trial = alone("anna", "bert", "carl")
    trial.join("anna", None, 9)
    trial.arrive("carl", "anna", "bert")
    trial.lose("carl", "anna", "bert")
    assert trial.move == ("bert", Reason.CONNECTION_LOST)


def test_g7_after_a_restart_of_the_cloud_the_earlier_one_waits_for_the_later_one_that_works(trial: Trial) -> None:
    trial.arrive("bert", "anna")
    trial.restart_cloud()
    trial.arrive("anna")
    trial.run(2, "anna")
    trial.arrive("bert")
    trial.run(10, "anna", "bert")
    assert (trial.working, trial.state.epoch) == ("bert", 1)


def test_g7_once_the_host_is_there_it_works_at_once_by_a_hand_over(trial: Trial) -> None:
    trial.arrive("anna")
    trial.join("host", Role.HOST, 3)
    trial.run(5, "anna")
    assert trial.working == "anna"
    trial.arrive("host")
    assert trial.yielding == "host"
    trial.release()
    assert trial.move == ("host", Reason.FAILBACK)
    assert trial.ended == [EndEpoch(1, hold=False)]
    assert trial.standby("anna") is Standby.HOST_EXISTS


def test_g7_a_spare_of_the_new_host_is_enough(trial: Trial) -> None:
    trial.arrive("anna")
    trial.join("host", Role.HOST, 3)
    trial.join("one", Role.SPARE_1, 4)
    trial.arrive("one")
    assert trial.yielding == "one"


def test_g7_where_there_is_a_host_it_takes_nothing_even_when_that_is_offline(trial: Trial) -> None:
    trial.join("host", Role.HOST, 3)
    trial.arrive("anna", "bert")
    trial.run(60, "anna", "bert")
    assert (trial.working, trial.state.epoch) == (None, 0)
    assert trial.standby("anna") is Standby.HOST_EXISTS


def test_g7_a_lone_one_that_works_on_for_want_of_a_host_takes_nothing_after_its_restart(trial: Trial) -> None:
    trial.arrive("anna")
    trial.join("host", Role.HOST, 3)
    trial.restart("anna")
    trial.run(30, "anna")
    assert trial.working is None
    assert trial.standby("anna") is Standby.HOST_EXISTS


def test_g7_after_the_loss_of_the_host_the_spares_work_and_no_lone_one() -> None:
    trial = alone("anna", host=Role.HOST, one=Role.SPARE_1)
    trial.arrive("anna", "one", "host")
    assert trial.working == "one"
    trial.lose("one", "anna", "host")
    assert trial.working == "host"
    trial.lose("host", "anna")
    trial.run(60, "anna")
    assert trial.working == "host"
    assert status_of(trial.state, "host", trial.now) is MemberStatus.OFFLINE


def test_g7_the_same_receiver_takes_the_hosts_role_and_keeps_its_epoch(trial: Trial) -> None:
    trial.arrive("anna")
    trial.run(5, "anna")
    trial.join("anna", Role.HOST, 3)
    trial.run(30, "anna")
    assert (trial.working, trial.state.epoch, trial.ended) == ("anna", 1, [])


def test_g7_one_that_takes_the_hosts_role_puts_the_lone_one_out_though_that_works(trial: Trial) -> None:
    trial.arrive("anna", "bert")
    trial.join("bert", Role.HOST, 3)
    assert trial.yielding == "bert"
    trial.release()
    assert trial.move == ("bert", Reason.FAILBACK)


def test_g7_a_pinned_lone_one_gives_way_to_the_host_as_well(trial: Trial) -> None:
    trial.arrive("anna", "bert")
    trial.switch("bert")
    trial.release()
    assert trial.move == ("bert", Reason.SWITCHOVER)
    trial.join("host", Role.HOST, 3)
    trial.arrive("host")
    trial.run(2, "anna", "bert", "host")
    assert trial.yielding == "host"
    trial.release()
    assert trial.working == "host"
    assert trial.state.pin is None
    assert Kind.PIN_ENDED in trial.kinds


def test_g7_an_ill_host_is_better_than_none_with_a_role_only_where_nobody_works(trial: Trial) -> None:
    trial.arrive("anna")
    trial.join("host", Role.HOST, 3)
    trial.sick = {"host"}
    trial.arrive("host")
    trial.run(5, "anna", "host")
    assert trial.working == "anna"
    trial.sick = set()
    trial.beat("host")
    assert trial.yielding == "host"


def test_g7_while_paused_a_lone_one_works_on_beside_a_new_host(trial: Trial) -> None:
    trial.arrive("anna")
    trial.pause()
    trial.join("host", Role.HOST, 3)
    trial.arrive("host")
    trial.run(30, "anna", "host")
    assert trial.working == "anna"
    trial.resume()
    assert trial.yielding == "host"


def test_g8_without_a_host_a_lone_one_comes_after_all_spares() -> None:
    trial = alone("anna", host=Role.HOST, one=Role.SPARE_1, three=Role.SPARE_3)
    trial.arrive("host", "anna", "one", "three")
    trial.leave("host", released={"host": 1})
    assert trial.working == "one"
    trial.lose("one", "anna", "three")
    assert trial.working == "three"
    trial.lose("three", "anna")
    assert trial.working == "anna"


def test_x2_the_host_that_ended_the_hot_spare_goes_on_alone() -> None:
    trial = alone(host=Role.HOST, one=Role.SPARE_1)
    trial.arrive("host", "one")
    trial.leave("host", "one", released={"host": 1})
    assert trial.working is None
    trial.join("host", None, 3)
    trial.beats.clear()
    trial.arrive("host")
    assert trial.working == "host"
    assert trial.state.epoch == 2
    assert trial.ended == [EndEpoch(1, hold=False)]


def test_g8_a_lone_one_that_works_and_is_removed_is_followed_with_a_hold(trial: Trial) -> None:
    trial.arrive("anna", "bert")
    trial.leave("anna")
    assert trial.move == ("bert", Reason.LEFT)
    assert trial.ended == [EndEpoch(1, hold=True)]
