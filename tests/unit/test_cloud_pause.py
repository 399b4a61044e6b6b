"""Pause and resume (F8), and what operators wanted, over a restart of the cloud (F11)."""

import pytest

from hotspare_cloud.core.order import Standby, switching_to
from hotspare_cloud.core.state import Kind, Reason
from hotspare_model import errors
from hotspare_model.errors import HotspareError
from tests.unit.cloud_trial import SETTINGS, STEP, Trial

DRAIN = SETTINGS.drain_timeout.total_seconds()
DELAY = SETTINGS.failback_delay.total_seconds()
ALL = ("host", "one", "two", "three")


@pytest.fixture
def trial() -> Trial:
    """Four receivers are there; the host works in epoch 1."""
    trial = Trial()
    trial.arrive(*ALL)
    return trial


def switched(trial: Trial, who: str) -> None:
    """An operator switches over, and the one that works hands over at once."""
    trial.switch(who)
    trial.release()
    assert trial.move == (who, Reason.SWITCHOVER)


# Pause and resume.


def test_f8_while_paused_nobody_moves_not_even_at_a_loss(trial: Trial) -> None:
    trial.pause()
    trial.part("host")
    trial.run(60, "one", "two", "three")
    assert trial.state.epoch == 1
    assert trial.kinds == [Kind.PAUSED, Kind.NOBODY_LEFT]
    assert "paused" in trial.notes[-1].detail
    assert trial.standby("one") in (Standby.PAUSED, Standby.LOWER_ORDER)


def test_f8_while_paused_an_ill_holder_keeps_the_work(trial: Trial) -> None:
    trial.pause()
    trial.sick = {"host"}
    trial.run(30, *ALL)
    assert (trial.working, trial.yielding) == ("host", None)


def test_f8_while_paused_a_host_that_is_back_stands_by() -> None:
    trial = Trial()
    trial.arrive("one")
    trial.pause()
    trial.arrive("host")
    trial.run(60, "one", "host")
    assert trial.working == "one"
    assert trial.standby("host") is Standby.PAUSED


def test_f8_while_paused_the_same_receiver_goes_on_after_its_restart(trial: Trial) -> None:
    trial.pause()
    trial.restart("host")
    assert trial.move == ("host", Reason.RESTARTED)
    trial.part("host")
    trial.run(60, "one", "two", "three")
    trial.starts["host"] = 3
    trial.arrive("host")
    assert trial.move == ("host", Reason.RESTARTED)
    assert trial.begun[-1].incarnation == "host-3"


def test_f8_while_paused_a_clean_stop_moves_nobody_and_the_same_receiver_goes_on(trial: Trial) -> None:
    trial.pause()
    trial.stopping = {"host"}
    trial.beat("host")
    trial.run(3, *ALL)
    assert trial.yielding is None
    trial.release()
    trial.part("host")
    trial.run(30, "one", "two", "three")
    assert trial.working is None
    trial.stopping = set()
    trial.restart("host")
    assert trial.working == "host"
    assert trial.state.epoch == 2


def test_f8_a_pause_during_a_hand_over_stops_it() -> None:
    trial = Trial()
    trial.arrive("one", "host")
    trial.run(DELAY + 1, "one", "host")
    assert trial.yielding == "host"
    trial.pause()
    assert trial.yielding is None
    trial.run(DRAIN + 1, "one", "host")
    assert (trial.working, trial.state.epoch) == ("one", 1)


def test_f8_a_pause_that_comes_as_the_holder_releases_leaves_the_work_with_it() -> None:
    trial = Trial()
    trial.arrive("one", "host")
    trial.run(DELAY + 1, "one", "host")
    trial.pause()
    trial.release()
    trial.run(3, "one", "host")
    assert trial.working == "one"
    assert trial.state.epoch == 2


def test_f8_while_paused_a_switchover_works_and_the_target_goes_on_after_its_restart(trial: Trial) -> None:
    trial.pause()
    switched(trial, "two")
    trial.restart("two")
    assert trial.move == ("two", Reason.RESTARTED)
    assert trial.state.pause
    trial.part("two")
    trial.run(30, "host", "one", "three")
    assert trial.state.epoch == 3


def test_f8_while_paused_a_switchover_whose_target_is_lost_leaves_the_work_where_it_is(trial: Trial) -> None:
    trial.pause()
    trial.switch("two")
    trial.part("two")
    trial.run(30, "host", "one", "three")
    assert (trial.working, trial.state.epoch, trial.yielding) == ("host", 1, None)


def test_f8_a_resume_lets_the_one_go_whose_work_is_overdue(trial: Trial) -> None:
    trial.pause()
    trial.part("host")
    trial.run(60, "one", "two", "three")
    trial.resume("otto")
    assert trial.move == ("one", Reason.CONNECTION_LOST)
    assert trial.begun[-1].gap >= 59
    resumed = next(note for note in trial.notes if note.kind is Kind.RESUMED)
    assert resumed.operator == "otto"


def test_f8_a_resume_of_nothing_is_refused(trial: Trial) -> None:
    with pytest.raises(HotspareError) as refused:
        trial.resume()
    assert refused.value.reason is errors.Reason.NOT_PAUSED
    trial.pause()
    trial.resume()
    with pytest.raises(HotspareError):
        trial.resume()


def test_f8_a_resume_during_a_switchover_stops_it(trial: Trial) -> None:
    trial.switch("two")
    trial.resume()
    assert (trial.working, trial.yielding, trial.state.pin) == ("host", None, None)
    trial.run(DRAIN + 1, *ALL)
    assert trial.state.epoch == 1


# The cloud's restart.


def test_f11_a_pin_outlives_the_clouds_restart(trial: Trial) -> None:
    switched(trial, "two")
    trial.restart_cloud()
    trial.arrive("host", "one")
    trial.run(1, "host", "one")
    trial.arrive("two", "three")
    trial.run(60, *ALL)
    assert (trial.working, trial.state.epoch) == ("two", 2)
    assert trial.standby("host") is Standby.PINNED_ELSEWHERE


def test_f11_a_pin_whose_receiver_does_not_come_back_ends_after_the_clouds_restart(trial: Trial) -> None:
    switched(trial, "two")
    trial.restart_cloud()
    trial.arrive("host", "one")
    trial.run(4, "host", "one")
    assert trial.move == ("host", Reason.SILENT)
    assert trial.state.pin is None


def test_f11_a_switchover_under_way_goes_on_after_the_clouds_restart(trial: Trial) -> None:
    trial.switch("two")
    trial.restart_cloud()
    assert switching_to(trial.state) == "two"
    trial.arrive("host", "one", "three")
    trial.run(1, "host", "one", "three")
    assert (trial.working, trial.yielding) == ("host", None)
    trial.arrive("two")
    assert trial.yielding == "two"
    trial.release()
    assert trial.move == ("two", Reason.SWITCHOVER)
    assert trial.begun[-1].operator == "olga"


def test_f11_a_switchover_whose_target_does_not_come_back_ends_after_the_clouds_restart(trial: Trial) -> None:
    trial.switch("two")
    trial.restart_cloud()
    trial.arrive("host", "one")
    trial.run(SETTINGS.restart_grace.total_seconds() + 2 * STEP, "host", "one")
    assert trial.state.pin is None
    assert trial.working == "host"
    assert trial.kinds[-1] is Kind.PIN_ENDED


def test_f11_a_pause_outlives_the_clouds_restart(trial: Trial) -> None:
    trial.pause()
    trial.restart_cloud()
    trial.arrive("one")
    trial.run(60, "one")
    assert trial.state.epoch == 1
    trial.restart("host")
    assert trial.working == "host"


def test_f11_while_paused_and_nobody_works_the_restart_moves_nobody(trial: Trial) -> None:
    trial.pause()
    trial.stopping = {"host"}
    trial.beat("host")
    trial.release()
    trial.restart_cloud()
    trial.arrive("one", "two")
    trial.run(30, "one", "two")
    assert trial.working is None
    trial.stopping = set()
    trial.restart("host")
    assert trial.working == "host"
