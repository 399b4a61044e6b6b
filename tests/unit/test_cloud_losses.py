"""One that keeps getting lost is held back (F9)."""

import pytest

from hotspare_cloud.core.order import HOUR, Standby
from hotspare_cloud.core.state import Kind, Reason
from tests.unit.cloud_trial import SETTINGS, Trial

MOST = SETTINGS.losses_per_hour
DELAY = SETTINGS.failback_delay.total_seconds()


@pytest.fixture
def trial() -> Trial:
    """Three receivers; the host works in epoch 1."""
    trial = Trial()
    trial.arrive("host", "one", "two")
    return trial


def lose_host(trial: Trial, times: int) -> None:
    """The host is lost so often, and is back and works again each time but the last, after which it is only back."""
    for number in range(times):
        assert trial.working == "host", f"after {number} losses"
        trial.lose("host", "one", "two")
        assert trial.working == "one"
        trial.restart("host")
        if number + 1 < times:
            trial.hand_over("host", "one", "two")


def test_f9_so_many_losses_in_an_hour_and_it_fails_back_no_more(trial: Trial) -> None:
    lose_host(trial, MOST - 1)
    trial.hand_over("host", "one", "two")
    assert trial.move == ("host", Reason.FAILBACK)
    assert Kind.HELD_BACK not in trial.kinds
    lose_host(trial, 1)
    assert trial.state.held_back == {"host"}
    assert trial.losses("host") == MOST
    assert trial.standby("host") is Standby.HELD_BACK
    held = [note for note in trial.notes if note.kind is Kind.HELD_BACK]
    assert [(note.receiver_id, note.detail) for note in held] == [("host", f"lost {MOST} times within an hour")]
    trial.run(10 * DELAY, "host", "one", "two")
    assert (trial.working, trial.yielding) == ("one", None)


def test_f9_the_one_below_it_is_not_held_back_with_it(trial: Trial) -> None:
    lose_host(trial, MOST)
    trial.lose("one", "host", "two")
    trial.run(1, "host", "two")
    assert trial.losses("one") == 1
    assert trial.state.held_back == {"host"}


def test_f9_one_that_is_held_back_takes_over_all_the_same(trial: Trial) -> None:
    lose_host(trial, MOST)
    trial.part("two")
    trial.run(2, "host", "one")
    trial.lose("one", "host")
    assert trial.move == ("host", Reason.CONNECTION_LOST)


def test_f9_an_hour_of_quiet_allows_it_again(trial: Trial) -> None:
    lose_host(trial, MOST)
    lost = trial.state.losses[-1].at
    trial.rest(lost + HOUR - trial.now - 1, "host", "one", "two")
    assert trial.working == "one"
    trial.hand_over("host", "one", "two")
    assert trial.move == ("host", Reason.FAILBACK)
    assert trial.now - lost > HOUR - 0.1
    assert trial.state.losses == ()
    allowed = [note for note in trial.notes if note.kind is Kind.ALLOWED_AGAIN]
    assert [note.receiver_id for note in allowed] == ["host"]


def test_f9_a_loss_while_it_is_held_back_begins_the_hour_anew(trial: Trial) -> None:
    lose_host(trial, MOST)
    trial.rest(HOUR / 2, "host", "one", "two")
    trial.part("two")
    trial.run(2, "host", "one")
    trial.lose("one", "host")
    assert trial.working == "host"
    trial.arrive("two")
    trial.lose("host", "two")
    trial.restart("host")
    again = trial.now
    trial.rest(HOUR - 60, "host", "two")
    assert trial.working == "two"
    assert trial.state.held_back == {"host"}
    assert trial.kinds.count(Kind.HELD_BACK) == 1
    trial.hand_over("host", "two")
    assert trial.now - again >= HOUR - 2


def test_f9_losses_of_more_than_an_hour_ago_count_no_more(trial: Trial) -> None:
    lose_host(trial, MOST - 1)
    trial.hand_over("host", "one", "two")
    trial.rest(HOUR, "host", "one", "two")
    lose_host(trial, 1)
    assert trial.losses("host") == 1
    assert trial.state.held_back == frozenset()


def test_f9_a_resume_allows_it_again_at_once(trial: Trial) -> None:
    lose_host(trial, MOST)
    trial.run(30, "host", "one", "two")
    trial.resume()
    assert (trial.state.held_back, trial.state.losses) == (frozenset(), ())
    trial.hand_over("host", "one", "two")
    assert trial.move == ("host", Reason.FAILBACK)


def test_f9_it_outlives_the_clouds_restart_and_the_hour_counts_from_there(trial: Trial) -> None:
    lose_host(trial, MOST)
    trial.rest(HOUR / 2, "host", "one", "two")
    trial.restart_cloud()
    restarted = trial.now
    trial.arrive("host", "one", "two")
    trial.rest(HOUR - 30, "host", "one", "two")
    assert (trial.working, trial.losses("host")) == ("one", MOST)
    trial.hand_over("host", "one", "two")
    assert trial.now - restarted > HOUR - 0.1


def test_f9_losses_before_the_clouds_restart_count_with_those_after(trial: Trial) -> None:
    lose_host(trial, MOST - 1)
    trial.hand_over("host", "one", "two")
    trial.restart_cloud()
    trial.arrive("host", "one", "two")
    trial.run(4, "host", "one", "two")
    lose_host(trial, 1)
    assert trial.state.held_back == {"host"}


@pytest.mark.parametrize("how", ["switchover", "failback", "stop", "leave"])
def test_f9_a_planned_move_never_counts(trial: Trial, how: str) -> None:
    if how == "switchover":
        trial.switch("one")
        trial.release()
    elif how == "stop":
        trial.stopping = {"host"}
        trial.beat("host")
        trial.release()
    elif how == "leave":
        trial.leave("host", released={"host": 1})
    else:
        trial = Trial()
        trial.arrive("one", "host")
        trial.hand_over("one", "host")
        assert trial.move == ("host", Reason.FAILBACK)
    assert trial.state.epoch == 2
    assert trial.state.losses == ()


def test_f9_each_kind_of_loss_counts(trial: Trial) -> None:
    trial.lose("host", "one", "two")
    assert (trial.move[1], trial.losses("host")) == (Reason.CONNECTION_LOST, 1)
    trial.run(3.1, "two")
    assert (trial.move, trial.losses("one")) == (("two", Reason.SILENT), 1)
    trial.restart("two")
    assert (trial.move, trial.losses("two")) == (("two", Reason.RESTARTED), 1)
    trial.arrive("one")
    trial.sick = {"two"}
    trial.beat("two")
    trial.release()
    assert (trial.move, trial.losses("two")) == (("one", Reason.UNHEALTHY), 2)


def test_f9_one_that_is_lost_on_standby_is_not_counted(trial: Trial) -> None:
    for _ in range(MOST + 1):
        trial.lose("one", "host", "two")
        trial.restart("one")
    assert trial.state.losses == ()


def test_f9_quick_restarts_of_one_that_works_hold_it_back_from_failing_back(trial: Trial) -> None:
    for _ in range(MOST):
        trial.run(2, "host", "one", "two")
        trial.restart("host")
    assert trial.state.held_back == {"host"}
    trial.lose("host", "one", "two")
    trial.restart("host")
    trial.run(10 * DELAY, "host", "one", "two")
    assert trial.working == "one"


def test_f9_fewer_allowed_losses_hold_back_at_the_next_loss(trial: Trial) -> None:
    lose_host(trial, 2)
    trial.set(losses_per_hour=1)
    assert trial.state.held_back == frozenset()
    trial.hand_over("host", "one", "two")
    lose_host(trial, 1)
    assert trial.state.held_back == {"host"}
    trial.run(10 * DELAY, "host", "one", "two")
    assert trial.working == "one"


def test_f9_more_allowed_losses_free_nobody_before_the_hour_or_a_resume(trial: Trial) -> None:
    lose_host(trial, MOST)
    trial.set(losses_per_hour=100)
    trial.run(10 * DELAY, "host", "one", "two")
    assert trial.working == "one"
    trial.resume()
    trial.hand_over("host", "one", "two")
    assert trial.working == "host"


def test_f9_who_leaves_takes_its_losses_along(trial: Trial) -> None:
    lose_host(trial, MOST)
    post = trial.state.posts["host"]
    trial.leave("host", released={"host": 0})
    assert (trial.state.losses, trial.state.held_back) == ((), frozenset())
    trial.join("host", post.role)
    trial.restart("host")
    trial.hand_over("host", "one", "two")
    assert trial.working == "host"


def test_f9_at_one_loss_an_hour_the_first_holds_back(trial: Trial) -> None:
    trial.set(losses_per_hour=1)
    trial.run(6, "host", "one", "two")
    lose_host(trial, 1)
    assert trial.state.held_back == {"host"}


def test_f9_a_spare_is_held_back_from_replacing_a_lower_one(trial: Trial) -> None:
    trial.leave("host", released={"host": 1})
    for number in range(MOST):
        assert trial.working == "one", f"after {number} losses"
        trial.lose("one", "two")
        trial.restart("one")
        if number + 1 < MOST:
            trial.hand_over("one", "two")
    assert trial.state.held_back == {"one"}
    trial.run(10 * DELAY, "one", "two")
    assert trial.working == "two"
