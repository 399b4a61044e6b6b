"""Settings that change while receivers work (timing 2, 4): old leases live on, and old rhythms are no loss."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from hotspare_cloud.core.order import status_of
from hotspare_cloud.core.state import Reason
from hotspare_model import errors
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings, MemberStatus, updated
from tests.unit.cloud_trial import STEP, Trial, granted


def seconds(**spans: float) -> dict[str, object]:
    """Spans of settings."""
    return {name: timedelta(seconds=span) for name, span in spans.items()}


LONG = seconds(lease=60, beat=5, suspect_after=15, reconnect_grace=1, restart_grace=3)
SHORT = seconds(lease=2, beat=0.2, suspect_after=1, reconnect_grace=0.3, restart_grace=1)


def trial_with(settings: Mapping[str, object]) -> Trial:
    """A group with these settings, in which the host works and spare 1 stands by."""
    trial = Trial()
    trial.set(**settings)
    trial.run(40)
    trial.arrive("host", "one")
    return trial


# A shorter lease while a longer one is alive.


def test_timing_1_a_shorter_lease_does_not_shorten_the_hold_of_a_longer_one_that_was_granted() -> None:
    trial = trial_with(LONG)
    until = trial.now + 60
    trial.set(**SHORT)
    trial.part("host")
    trial.run(15, "one", every=0.2)
    assert trial.move == ("one", Reason.CONNECTION_LOST)
    assert trial.state.holds[0].until == until
    trial.run(until - trial.now - 1, "one", every=0.2)
    assert trial.freed == []
    trial.run(1.2, "one", every=0.2)
    assert trial.freed == [1]


def test_timing_1_a_grant_of_the_shorter_lease_does_not_take_the_longer_one_back() -> None:
    trial = trial_with(LONG)
    until = trial.now + 60
    trial.set(**SHORT)
    trial.run(5, "host", "one", every=0.2)
    assert trial.state.holder
    assert trial.state.holder.lease_until == until
    trial.run(60, "host", "one", every=0.2)
    assert trial.state.holder.lease_until < trial.now + 2.1


def test_f11_the_hold_lasts_for_the_longer_lease_over_a_restart_of_the_cloud() -> None:
    trial = trial_with(LONG)
    trial.set(**SHORT)
    trial.run(1, "host", "one", every=0.2)
    trial.restart_cloud()
    restarted = trial.now
    trial.arrive("one")
    trial.run(5, "one", every=0.2)
    assert trial.working == "one"
    assert trial.state.holds[0].until == restarted + 60


def test_f11_the_longer_lease_is_not_forgotten_at_the_second_restart_either() -> None:
    trial = trial_with(LONG)
    trial.set(**SHORT)
    for _ in range(3):
        trial.restart_cloud()
        trial.arrive("host", "one")
        trial.run(1, "host", "one", every=0.2)
    trial.restart_cloud()
    assert trial.state.holder
    assert trial.state.holder.lease_until == trial.now + 60


def test_f11_once_the_longer_lease_is_over_a_restart_counts_the_shorter_one() -> None:
    trial = trial_with(LONG)
    trial.set(**SHORT)
    trial.run(61, "host", "one", every=0.2)
    assert trial.state.standing.old_lease == 0
    trial.restart_cloud()
    assert trial.state.holder
    assert trial.state.holder.lease_until == pytest.approx(trial.now + 2)


def test_f11_a_shorter_lease_again_keeps_the_longest_in_mind() -> None:
    trial = trial_with(LONG)
    trial.set(**seconds(lease=30, beat=4, suspect_after=10))
    trial.run(1, "host", "one")
    trial.set(**SHORT)
    trial.restart_cloud()
    assert trial.state.holder
    assert trial.state.holder.lease_until == trial.now + 60


def test_f11_a_longer_lease_is_assumed_after_a_restart() -> None:
    trial = trial_with(SHORT)
    trial.set(**LONG)
    trial.restart_cloud()
    assert trial.state.holder
    assert trial.state.holder.lease_until == trial.now + 60


def test_timing_2_holds_of_before_keep_their_own_time() -> None:
    trial = trial_with(LONG)
    trial.lose("host", "one")
    until = trial.state.holds[0].until
    trial.set(**SHORT)
    trial.run(30, "one", every=0.2)
    assert [hold.until for hold in trial.state.holds] == [until]


# Rhythms.


def test_f3_a_quicker_beat_moves_nobody_while_the_old_rhythm_still_runs() -> None:
    trial = trial_with(LONG)
    trial.run(20, "host", "one", every=5)
    trial.set(**SHORT)
    trial.run(5, "host", "one", every=5)
    trial.run(20, "host", "one", every=0.2)
    assert (trial.working, trial.state.epoch) == ("host", 1)


@pytest.mark.parametrize("silent", [0.5, 2.0, 4.9])
def test_f3_a_quicker_beat_and_a_shorter_suspicion_move_nobody_whenever_they_come_between_two_beats(
    silent: float,
) -> None:
    """What the old rhythm has just sent echoes the answer to the beat before, or the word of the change itself."""
    trial = trial_with(LONG)
    trial.run(60, "host", "one", every=5)
    trial.run(silent)
    trial.beat("one")
    changed = trial.now
    trial.set(**seconds(lease=2, beat=0.2, suspect_after=0.4, reconnect_grace=0.3, restart_grace=1))
    assert (trial.working, trial.state.epoch) == ("host", 1)
    trial.hearing.update(host=changed, one=changed)
    trial.run(5 - silent)
    for who in ("host", "one"):
        trial.beat(who)
    trial.hearing.clear()
    trial.run(20, "host", "one", every=0.2)
    assert (trial.working, trial.state.epoch, trial.kinds) == ("host", 1, [])


def test_f3_a_shorter_suspicion_brings_nobody_back_who_was_lost_under_the_longer_one() -> None:
    trial = trial_with(LONG)
    trial.arrive("two")
    trial.run(60, "host", "two", every=5)
    assert status_of(trial.state, "one", trial.now) is MemberStatus.OFFLINE
    trial.set(**SHORT)
    assert status_of(trial.state, "one", trial.now) is MemberStatus.OFFLINE
    trial.set(**LONG)
    assert status_of(trial.state, "one", trial.now) is MemberStatus.OFFLINE


def test_f3_after_a_quicker_beat_one_that_is_lost_is_noticed_all_the_same() -> None:
    trial = trial_with(LONG)
    trial.set(**SHORT)
    trial.run(15, "one", every=0.2)
    assert trial.working == "one"


def test_f3_a_slower_beat_moves_nobody() -> None:
    trial = trial_with(SHORT)
    trial.run(5, "host", "one", every=0.2)
    trial.set(**LONG)
    trial.run(120, "host", "one", every=5)
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_f3_settings_that_are_changed_again_and_again_do_not_hide_a_loss() -> None:
    trial = trial_with(SHORT)
    trial.run(5, "host", "one", every=0.2)
    trial.part("host")
    for window in range(1, 40):
        trial.set(window=window)
        trial.run(0.5, "one", every=0.1)
    assert trial.working == "one"


def test_f7_a_lease_after_the_change_is_of_the_new_length() -> None:
    trial = trial_with(SHORT)
    trial.set(**LONG)
    trial.now += 1
    assert granted(trial.beat("host"), "host")
    assert trial.state.holder
    assert trial.state.holder.lease_until == trial.now + 60


def test_f4_a_shorter_failback_delay_counts_for_one_that_waits() -> None:
    trial = Trial()
    trial.set(failback_delay=timedelta(hours=1))
    trial.run(6)
    trial.arrive("one", "host")
    trial.run(30, "one", "host")
    assert trial.yielding is None
    trial.set(failback_delay=timedelta(seconds=10))
    assert trial.yielding == "host"


def test_f5_a_shorter_drain_timeout_counts_for_a_hand_over_that_runs() -> None:
    trial = Trial()
    trial.set(drain_timeout=timedelta(seconds=60))
    trial.arrive("host", "one")
    trial.switch("one")
    trial.run(10, "host", "one")
    assert trial.working == "host"
    trial.set(drain_timeout=timedelta(seconds=1))
    trial.run(STEP, "host", "one")
    assert trial.move == ("one", Reason.DRAIN_TIMEOUT)


# What is refused.


@pytest.mark.parametrize("lease", [0.1, 0.5, 1.0])
def test_settings_a_lease_that_breaks_the_inequality_is_refused_with_its_arithmetic(lease: float) -> None:
    with pytest.raises(HotspareError) as refused:
        updated(GroupSettings(), **seconds(lease=lease, beat=lease / 6))
    assert refused.value.reason is errors.Reason.LEASE_ARITHMETIC
    assert "T_holder / (1 - r) + X <= T_cloud / (1 + r)" in refused.value.message
    assert f"{lease:g} / 1.001" in refused.value.message


@pytest.mark.parametrize("name", ["beat", "reconnect_grace", "suspect_after", "restart_grace"])
def test_settings_a_shorter_lease_that_another_span_no_longer_fits_names_that_span(name: str) -> None:
    fitting = {**LONG, **seconds(reconnect_grace=50, suspect_after=50, restart_grace=50)}
    short = {**SHORT, name: fitting[name]}
    with pytest.raises(HotspareError) as refused:
        updated(GroupSettings(), **short)
    assert (refused.value.reason, refused.value.metadata["field"]) == (errors.Reason.FIELD_INVALID, name)
