"""A switchover, its pin, and what is refused (F8)."""

import pytest

from hotspare_cloud.core.order import Standby
from hotspare_cloud.core.state import BeginEpoch, EndEpoch, Kind, Note, Pin, Reason, Switched
from hotspare_model import errors
from hotspare_model.errors import HotspareError
from hotspare_model.group import Role
from tests.unit.cloud_trial import SETTINGS, Trial, alone

DRAIN = SETTINGS.drain_timeout.total_seconds()
DELAY = SETTINGS.failback_delay.total_seconds()


@pytest.fixture
def trial() -> Trial:
    """Four receivers are there; the host works in epoch 1."""
    trial = Trial()
    trial.arrive("host", "one", "two", "three")
    return trial


ALL = ("host", "one", "two", "three")


def why_not(trial: Trial, who: str, expected_epoch: int | None = None) -> errors.Reason:
    """The reason why a switchover is refused."""
    before = trial.state
    with pytest.raises(HotspareError) as refused:
        trial.switch(who, expected_epoch=expected_epoch)
    assert trial.state == before
    return refused.value.reason


def switched(trial: Trial, who: str) -> None:
    """An operator switches over, and the one that works hands over at once."""
    trial.switch(who)
    trial.release()
    assert trial.move == (who, Reason.SWITCHOVER)


# Switchover.


def test_f8_a_switchover_is_a_hand_over_with_its_operator_and_why(trial: Trial) -> None:
    trial.switch("two", "olga", "because")
    assert (trial.working, trial.yielding) == ("host", "two")
    trial.run(0.6)
    trial.release()
    begun = trial.begun[-1]
    assert (begun.receiver_id, begun.reason, begun.operator, begun.detail) == (
        "two",
        Reason.SWITCHOVER,
        "olga",
        "because",
    )
    assert (begun.gap, begun.previous, trial.ended) == (0.0, "host", [EndEpoch(1, hold=False)])
    asked = trial.notes[0]
    assert (asked.kind, asked.receiver_id, asked.operator, asked.detail) == (
        Kind.SWITCHOVER_ASKED,
        "two",
        "olga",
        "because",
    )


def test_s5_what_was_asked_stands_before_the_move_that_it_causes(trial: Trial) -> None:
    trial.pause()
    trial.part("host")
    trial.run(30, "one", "two", "three")
    effects = trial.feed(Switched(Pin("two", "olga", 1.0, "because")))
    lines = [effect for effect in effects if isinstance(effect, Note | BeginEpoch)]
    assert [type(line) for line in lines] == [Note, BeginEpoch]
    assert (trial.begun[-1].operator, trial.begun[-1].detail) == ("olga", "because")


def test_f8_the_target_stays_pinned_though_the_host_is_well(trial: Trial) -> None:
    switched(trial, "two")
    trial.run(600, *ALL)
    assert (trial.working, trial.state.epoch) == ("two", 2)
    assert trial.standby("host") is Standby.PINNED_ELSEWHERE
    trial.resume()
    trial.hand_over(*ALL)
    assert trial.move == ("host", Reason.FAILBACK)


def test_f8_the_pin_ends_when_the_pinned_one_is_lost_and_another_works(trial: Trial) -> None:
    switched(trial, "two")
    trial.lose("two", "host", "one", "three")
    assert trial.move == ("host", Reason.CONNECTION_LOST)
    assert trial.state.pin is None
    assert trial.kinds[-1] is Kind.PIN_ENDED
    assert trial.notes[-1].receiver_id == "two"


def test_f8_a_pinned_one_that_is_started_anew_stays_pinned(trial: Trial) -> None:
    switched(trial, "two")
    trial.restart("two")
    assert trial.move == ("two", Reason.RESTARTED)
    trial.run(30, *ALL)
    assert trial.working == "two"
    assert trial.state.pin is not None


def test_f8_a_pinned_one_is_waited_for_after_its_restart_though_a_host_is_ready(trial: Trial) -> None:
    switched(trial, "two")
    trial.starts["two"] = 2
    trial.attend("two")
    trial.beat("host")
    assert trial.working is None
    trial.beat("two")
    assert trial.move == ("two", Reason.RESTARTED)


def test_f8_a_pinned_one_with_nobody_beside_it_is_back_and_still_pinned(trial: Trial) -> None:
    switched(trial, "two")
    for who in ("host", "one", "three"):
        trial.part(who)
    trial.run(2, "two")
    trial.part("two")
    trial.run(30)
    trial.arrive("two")
    trial.arrive("host", "one", "three")
    trial.run(30, *ALL)
    assert (trial.working, trial.state.epoch) == ("two", 2)


def test_f8_the_pinned_one_falls_ill_and_hands_over_and_the_pin_ends(trial: Trial) -> None:
    switched(trial, "two")
    trial.sick = {"two"}
    trial.beat("two")
    trial.release()
    assert trial.move == ("host", Reason.UNHEALTHY)
    assert trial.state.pin is None


def test_f8_the_pin_ends_when_the_pinned_one_leaves(trial: Trial) -> None:
    switched(trial, "two")
    trial.leave("two", released={"two": 2})
    assert trial.move == ("host", Reason.LEFT)
    assert trial.state.pin is None
    assert trial.kinds[-1] is Kind.PIN_ENDED
    assert "left the group" in trial.notes[-1].detail


def test_f8_another_switchover_takes_the_pins_place(trial: Trial) -> None:
    switched(trial, "two")
    switched(trial, "three")
    assert trial.state.pin
    assert trial.state.pin.receiver_id == "three"
    trial.run(60, *ALL)
    assert trial.working == "three"


def test_f8_a_switchover_to_the_host_pins_it(trial: Trial) -> None:
    switched(trial, "two")
    switched(trial, "host")
    trial.run(60, *ALL)
    assert trial.working == "host"
    assert trial.state.pin


def test_f8_the_target_is_lost_during_the_hand_over_and_the_holder_goes_on(trial: Trial) -> None:
    trial.switch("two")
    trial.part("two")
    trial.run(1.2, "host", "one", "three")
    assert (trial.working, trial.yielding, trial.state.pin) == ("host", None, None)
    assert trial.kinds == [Kind.SWITCHOVER_ASKED, Kind.PIN_ENDED]
    trial.run(DRAIN + 2, "host", "one", "three")
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_f8_the_target_is_lost_as_the_holder_releases_and_the_first_in_order_works(trial: Trial) -> None:
    trial.switch("two")
    trial.part("two")
    trial.run(0.9, "host", "one", "three")
    trial.release()
    trial.run(1, "one", "three", "host")
    assert trial.working == "host"
    assert trial.state.epoch == 2


def test_f8_the_target_is_started_anew_during_the_hand_over_and_works_then(trial: Trial) -> None:
    trial.switch("two")
    trial.restart("two")
    trial.release()
    assert trial.move == ("two", Reason.SWITCHOVER)
    assert trial.begun[-1].incarnation == "two-2"


def test_f8_the_holder_is_lost_during_the_hand_over_and_the_target_works(trial: Trial) -> None:
    trial.switch("two")
    trial.lose("host", "one", "two", "three")
    assert trial.move == ("two", Reason.CONNECTION_LOST)
    assert trial.state.pin
    assert trial.state.pin.reached
    assert trial.losses("host") == 1


def test_f8_a_switchover_that_is_not_done_in_time_goes_on_as_a_loss_that_counts_against_nobody(trial: Trial) -> None:
    trial.switch("two")
    trial.run(DRAIN - 0.2, *ALL)
    assert trial.working == "host"
    trial.run(0.4, *ALL)
    assert trial.move == ("two", Reason.DRAIN_TIMEOUT)
    assert trial.ended == [EndEpoch(1, hold=True)]
    assert trial.state.losses == ()
    trial.run(60, *ALL)
    assert trial.working == "two"
    assert trial.state.pin
    assert trial.state.pin.reached


def test_f8_while_nobody_works_the_target_begins_at_once(trial: Trial) -> None:
    idle = Trial()
    idle.arrive("host", "one")
    idle.stopping = {"host", "one"}
    idle.beat("one")
    idle.beat("host")
    idle.release()
    assert idle.working is None
    idle.stopping = {"host"}
    idle.arrive("two")
    assert idle.move[0] == "two"
    fresh = Trial()
    fresh.arrive("one")
    fresh.pause()
    fresh.stopping = {"one"}
    fresh.beat("one")
    fresh.release()
    fresh.arrive("two")
    assert fresh.working is None
    fresh.switch("two")
    assert fresh.move == ("two", Reason.SWITCHOVER)
    assert fresh.begun[-1].operator == "olga"


def test_f8_a_switchover_while_the_holder_is_lost_and_nobody_could_take_over(trial: Trial) -> None:
    trial.pause()
    trial.part("host")
    trial.run(30, "one", "two", "three")
    assert trial.working == "host"
    trial.switch("two")
    assert trial.working == "two"
    assert trial.begun[-1].gap >= 29


def test_f8_a_target_that_falls_ill_during_the_hand_over_does_not_keep_the_work(trial: Trial) -> None:
    trial.switch("two")
    trial.sick = {"two"}
    trial.beat("two")
    trial.run(DRAIN, *ALL)
    if trial.yielding:
        trial.release()
    trial.run(3, *ALL)
    if trial.yielding:
        trial.release()
    assert trial.working == "host"


def test_f8_a_stop_of_the_holder_goes_to_the_target_of_the_switchover(trial: Trial) -> None:
    trial.switch("two")
    trial.stopping = {"host"}
    trial.beat("host")
    trial.release()
    assert trial.move == ("two", Reason.SWITCHOVER)


# What is refused.


def test_f8_refused_towards_one_that_is_offline(trial: Trial) -> None:
    trial.part("two")
    assert why_not(trial, "two") is errors.Reason.TARGET_OFFLINE
    trial.run(4, "host", "one")
    assert why_not(trial, "three") is errors.Reason.TARGET_OFFLINE


def test_f8_refused_towards_one_whose_first_beat_has_not_come() -> None:
    trial = Trial()
    trial.arrive("host")
    trial.attend("one")
    assert why_not(trial, "one") is errors.Reason.TARGET_OFFLINE


def test_f8_refused_towards_one_that_is_stopping(trial: Trial) -> None:
    trial.stopping = {"two"}
    trial.beat("two")
    assert why_not(trial, "two") is errors.Reason.TARGET_OFFLINE


def test_f8_refused_towards_one_that_is_unhealthy(trial: Trial) -> None:
    trial.sick = {"two"}
    trial.beat("two")
    assert why_not(trial, "two") is errors.Reason.TARGET_UNHEALTHY


def test_f8_refused_towards_the_one_that_works(trial: Trial) -> None:
    assert why_not(trial, "host") is errors.Reason.TARGET_WORKING
    switched(trial, "two")
    assert why_not(trial, "two") is errors.Reason.TARGET_WORKING


def test_f8_refused_towards_a_stranger(trial: Trial) -> None:
    assert why_not(trial, "stranger") is errors.Reason.MEMBER_NOT_FOUND


def test_f8_refused_while_a_move_runs_whoever_began_it(trial: Trial) -> None:
    trial.switch("two")
    assert why_not(trial, "three") is errors.Reason.MOVE_RUNNING
    assert why_not(trial, "two") is errors.Reason.MOVE_RUNNING
    failing_back = Trial()
    failing_back.arrive("one", "two", "host")
    failing_back.run(DELAY + 1, "one", "two", "host")
    assert failing_back.yielding == "host"
    assert why_not(failing_back, "two") is errors.Reason.MOVE_RUNNING


def test_f8_refused_where_the_operator_saw_another_epoch(trial: Trial) -> None:
    assert why_not(trial, "two", expected_epoch=2) is errors.Reason.EPOCH_STALE
    trial.switch("two", expected_epoch=1)
    assert trial.yielding == "two"


def test_f8_refused_towards_one_without_a_role_where_there_is_a_host() -> None:
    trial = alone("anna")
    trial.join("host", Role.HOST)
    trial.arrive("host", "anna")
    assert why_not(trial, "anna") is errors.Reason.TARGET_OFFLINE
