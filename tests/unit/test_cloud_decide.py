"""The machine that decides who works, rule by rule. Time is an argument, so nothing here waits."""

from dataclasses import replace

import pytest

from hotspare_cloud.core import decide, order
from hotspare_cloud.core.state import Attended, Beat, EndEpoch, PostsChanged, Reason, Stalled
from hotspare_model.group import MemberStatus
from tests.unit.cloud_trial import SETTINGS, Trial, granted


@pytest.fixture
def trial() -> Trial:
    return Trial()


def test_f1_the_first_that_is_heard_works_when_nobody_does(trial: Trial) -> None:
    trial.arrive("two")
    assert trial.working == "two"
    assert trial.begun[0].reason is Reason.FIRST
    assert trial.begun[0].epoch == 1


def test_f1_the_host_comes_before_spares_that_arrive_together(trial: Trial) -> None:
    for who in ("three", "one", "host"):
        trial.attend(who)
    trial.beat("three")
    assert trial.working is None
    trial.beat("host")
    assert trial.working == "host"


def test_f1_one_that_arrives_and_never_beats_holds_up_nobody_for_long(trial: Trial) -> None:
    trial.attend("host")
    trial.attend("one")
    trial.beat("one")
    assert trial.working is None
    trial.run(order.ARRIVAL_GRACE + 0.1)
    assert trial.working == "one"


def test_f3_end_of_stream_moves_after_reconnect_grace_and_not_before(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(0.9, "one")
    assert trial.working == "host"
    trial.run(0.2, "one")
    assert trial.working == "one"
    assert trial.begun[-1].reason is Reason.CONNECTION_LOST
    assert trial.begun[-1].epoch == 2


def test_f3_silence_moves_after_suspect_after(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(2.9, "one")
    assert trial.working == "host"
    trial.run(0.2, "one")
    assert trial.working == "one"
    assert trial.begun[-1].reason is Reason.SILENT


def test_f3_goes_down_to_spare_three_and_then_nobody(trial: Trial) -> None:
    trial.arrive("host", "one", "two", "three")
    left = ["host", "one", "two", "three"]
    while len(left) > 1:
        gone = left.pop(0)
        trial.part(gone)
        trial.run(1.5, *left)
        assert trial.working == left[0]
    trial.part("three")
    trial.run(10)
    assert order.status_of(trial.state, "three", trial.now) is MemberStatus.OFFLINE
    assert trial.state.epoch == 4


def test_f7_a_loss_without_proof_holds_until_the_lease_has_run_out(trial: Trial) -> None:
    trial.arrive("host", "one")
    last_grant = trial.now
    trial.part("host")
    trial.run(1.1, "one")
    assert trial.ended == [EndEpoch(1, hold=True)]
    assert trial.state.holds[0].until == last_grant + SETTINGS.lease.total_seconds()
    trial.run(last_grant + 5.9 - trial.now, "one")
    assert trial.freed == []
    trial.run(0.2, "one")
    assert trial.freed == [1]


def test_f7_every_grant_that_was_answered_lengthens_the_hold(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(3, "host", "one")
    last_grant = trial.now
    trial.part("host")
    trial.run(1.1, "one")
    assert trial.state.holds[0].until == last_grant + SETTINGS.lease.total_seconds()


def test_f7_a_restart_on_the_same_machine_is_proof_and_nothing_is_held(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.starts["host"] = 2
    trial.attend("host")
    trial.beat("host")
    assert trial.working == "host"
    assert trial.begun[-1].reason is Reason.RESTARTED
    assert trial.begun[-1].incarnation == "host-2"
    assert trial.ended == [EndEpoch(1, hold=False)]


def test_f7_a_restart_after_the_move_frees_the_hold_at_once(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(1.1, "one")
    assert trial.state.holds
    trial.starts["host"] = 2
    trial.attend("host")
    assert trial.freed == [1]


def test_f7_a_release_frees_only_the_receivers_own_epochs(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    trial.part("host")
    trial.run(1.1, "one", "two")
    trial.part("one")
    trial.run(1.1, "two")
    assert [hold.epoch for hold in trial.state.holds] == [1, 2]
    trial.attend("one")
    trial.beat("one", released=2)
    assert trial.freed == [2]
    assert [hold.epoch for hold in trial.state.holds] == [1]


def test_f7_a_release_of_an_epoch_from_the_future_is_none(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.beat("host", released=99)
    trial.run(1.5, "host", "one")
    trial.part("one")
    trial.arrive("one")
    assert all(effect.epoch < 99 for effect in trial.begun)
    assert trial.state.attendance["host"].released_through <= trial.state.epoch


def test_f7_the_same_incarnation_that_comes_back_keeps_its_epoch(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(0.5, "one")
    trial.attend("host")
    trial.beat("host")
    trial.run(5, "host", "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_f7_a_loss_without_a_successor_ends_nothing(trial: Trial) -> None:
    trial.arrive("host")
    trial.part("host")
    trial.run(60)
    assert (trial.working, trial.state.epoch, trial.ended) == ("host", 1, [])
    assert granted(trial.beat("host"), "host") is True


def test_f7_who_comes_after_a_loss_without_a_successor_takes_over(trial: Trial) -> None:
    trial.arrive("host")
    trial.part("host")
    trial.run(60)
    trial.arrive("one")
    assert (trial.working, trial.begun[-1].reason) == ("one", Reason.CONNECTION_LOST)


@pytest.mark.parametrize("echo_age", [None, 3.1])
def test_f7_a_beat_whose_sender_does_not_hear_us_renews_nothing(trial: Trial, echo_age: float | None) -> None:
    trial.arrive("host", "one")
    until = trial.state.holder and trial.state.holder.lease_until
    trial.now += 1
    assert not granted(trial.beat("host", echo_age=echo_age), "host")
    assert trial.state.holder
    assert trial.state.holder.lease_until == until
    for _ in range(3):
        trial.now += 1
        trial.beat("one")
        trial.beat("host", echo_age=echo_age)
    assert trial.working == "one"


def test_f7_a_beat_with_an_epoch_from_the_future_renews_nothing(trial: Trial) -> None:
    trial.arrive("host")
    assert not granted(trial.beat("host", epoch=7), "host")
    assert granted(trial.beat("host", epoch=1), "host")


def test_f7_a_beat_of_an_older_incarnation_changes_nothing(trial: Trial) -> None:
    trial.arrive("host")
    trial.starts["host"] = 2
    trial.attend("host")
    before = trial.state
    effects = trial.feed(Beat("host", "host-1", 9, 1, 0.1))
    assert effects == ()
    assert trial.state == before


def test_f7_the_pushed_grant_counts_from_the_newest_beat_that_was_heard(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(2.5, "host", "one")
    heard = trial.state.attendance["one"].heard_at
    trial.part("host")
    trial.run(1.0)
    assert trial.working == "one"
    assert heard is not None
    assert trial.state.holder
    assert trial.state.holder.lease_until == heard + SETTINGS.lease.total_seconds()


def test_f4_the_host_works_again_after_the_delay_and_by_a_hand_over(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(1.1, "one")
    trial.starts["host"] = 2
    trial.arrive("host")
    trial.run(9.8, "host", "one")
    assert trial.state.holder
    assert trial.state.holder.yield_to is None
    trial.run(0.3, "host", "one")
    assert trial.state.holder.yield_to == "host"
    assert trial.working == "one"
    trial.beat("one", released=2)
    assert trial.working == "host"
    assert trial.begun[-1].reason is Reason.FAILBACK
    assert trial.ended[-1] == EndEpoch(2, hold=False)


def test_f4_the_delay_counts_anew_after_each_loss(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(1.1, "one")
    trial.attend("host")
    trial.beat("host")
    trial.run(8, "host", "one")
    trial.part("host")
    trial.run(1.5, "one")
    trial.attend("host")
    trial.beat("host")
    trial.run(9.5, "host", "one")
    assert trial.state.holder
    assert trial.state.holder.yield_to is None
    trial.run(1, "host", "one")
    assert trial.state.holder.yield_to == "host"


def test_f4_a_short_break_within_the_grace_does_not_count_anew(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(1.1, "one")
    trial.arrive("host")
    trial.run(5, "host", "one")
    trial.part("host")
    trial.run(0.3, "one")
    trial.attend("host")
    trial.run(5, "host", "one")
    assert trial.state.holder
    assert trial.state.holder.yield_to == "host"


def test_f4_one_of_lower_order_stands_by(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(60, "host", "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)
    assert order.status_of(trial.state, "one", trial.now) is MemberStatus.STANDBY


def test_f5_a_hand_over_that_is_not_done_in_time_goes_on_as_a_loss(trial: Trial) -> None:
    trial.arrive("one")
    trial.arrive("host")
    trial.run(10.1, "host", "one")
    assert trial.state.holder
    assert trial.state.holder.yield_to == "host"
    trial.run(4.8, "host", "one")
    assert trial.working == "one"
    trial.run(0.4, "host", "one")
    assert trial.working == "host"
    assert trial.begun[-1].reason is Reason.DRAIN_TIMEOUT
    assert trial.ended[-1] == EndEpoch(1, hold=True)


def test_f5_the_hand_over_is_off_when_its_target_is_lost(trial: Trial) -> None:
    trial.arrive("one")
    trial.arrive("host")
    trial.run(10.1, "host", "one")
    trial.part("host")
    trial.run(1.1, "one")
    assert trial.state.holder
    assert trial.state.holder.yield_to is None
    assert (trial.working, trial.state.epoch) == ("one", 1)


def test_f11_after_a_restart_nobody_is_suspected_before_the_grace(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.state = decide.restarted(SETTINGS, replace(trial.state, attendance={}), trial.now)
    trial.arrive("one")
    trial.run(2.8, "one")
    assert trial.working == "host"
    trial.attend("host")
    assert granted(trial.beat("host", epoch=1), "host")
    trial.run(20, "host", "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_f11_after_a_restart_one_that_does_not_come_back_is_lost_with_a_full_hold(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.run(30, "host", "one")
    began = trial.now
    trial.state = decide.restarted(SETTINGS, replace(trial.state, attendance={}), began)
    trial.arrive("one")
    trial.run(3.2, "one")
    assert trial.working == "one"
    assert trial.state.holds[0].until == began + SETTINGS.lease.total_seconds()


def test_f11_holds_last_across_a_restart(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(1.1, "one")
    trial.state = decide.restarted(SETTINGS, replace(trial.state, attendance={}), trial.now)
    trial.arrive("one")
    trial.run(5.8, "one")
    assert trial.freed == []
    trial.run(0.4, "one")
    assert trial.freed == [1]


def test_f11_after_a_restart_of_the_cloud_the_old_holder_itself_frees_nothing_by_coming_back(trial: Trial) -> None:
    """Found by the simulator: unknown to the new cloud, it looked like a new start of itself."""
    trial.arrive("host", "one")
    trial.state = decide.restarted(SETTINGS, replace(trial.state, attendance={}), trial.now)
    trial.arrive("one")
    trial.run(3.2, "one")
    assert trial.working == "one"
    trial.attend("host")
    trial.beat("host", epoch=1)
    assert trial.freed == []
    trial.beat("host", epoch=1, released=1)
    assert trial.freed == [1]


def test_f7_a_release_that_is_told_with_the_attendance_is_proof(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(1.1, "one")
    trial.feed(Attended("host", trial.incarnation("host"), 1, 1))
    assert trial.freed == [1]


def test_f11_a_restored_database_goes_on_above_what_any_member_has_seen(trial: Trial) -> None:
    trial.attend("host", highest=41)
    trial.beat("host", epoch=41)
    assert trial.begun[-1].epoch == 42


def test_f11_a_stall_of_the_cloud_suspects_nobody(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.now += 30
    trial.feed(Stalled(trial.now - 1.0))
    trial.beat("one")
    assert trial.working == "host"
    trial.beat("host", epoch=1)
    trial.run(10, "host", "one")
    assert (trial.working, trial.state.epoch) == ("host", 1)


def test_x1_a_working_member_that_leaves_and_has_stopped_is_followed_at_once(trial: Trial) -> None:
    trial.arrive("host", "one")
    posts = {who: post for who, post in trial.state.posts.items() if who != "host"}
    trial.feed(PostsChanged(posts, {trial.incarnation("host"): 1}))
    assert (trial.working, trial.begun[-1].reason) == ("one", Reason.LEFT)
    assert trial.ended == [EndEpoch(1, hold=False)]


def test_f7_a_release_speaks_for_its_own_process_alone(trial: Trial) -> None:
    """Found by the simulator: a process on a copied folder freed what the first one, which may still write, held."""
    trial.arrive("host", "one")
    trial.run(4, "one")
    assert [hold.incarnation for hold in trial.state.holds] == [trial.incarnation("host")]
    trial.feed(Attended("host", "on a copy", 2, 2, proof=""))
    trial.feed(Beat("host", "on a copy", 1, 0, 0.1, released_through=2))
    assert trial.freed == []


def test_g8_a_removed_member_that_may_still_write_is_held(trial: Trial) -> None:
    trial.arrive("host", "one")
    posts = {who: post for who, post in trial.state.posts.items() if who != "host"}
    trial.feed(PostsChanged(posts))
    assert (trial.working, trial.ended) == ("one", [EndEpoch(1, hold=True)])


def test_epochs_only_grow(trial: Trial) -> None:
    trial.arrive("host", "one", "two")
    for _ in range(5):
        working = trial.working
        assert working is not None
        trial.part(working)
        trial.run(1.2, *(who for who in ("host", "one", "two") if who != working))
        trial.attend(working)
        trial.beat(working)
    epochs = [effect.epoch for effect in trial.begun]
    assert epochs == sorted(set(epochs))


def test_f7_one_whose_first_beat_is_still_to_come_is_here(trial: Trial) -> None:
    """Found by the simulator: of three processes in a row, the dead second one's word put the third out."""
    trial.attend("host")
    assert order.here(trial.state, "host", trial.now)
    assert not order.here(trial.state, "host", trial.now + 3.1)
    trial.part("host")
    assert not order.here(trial.state, "host", trial.now)


def test_next_deadline_is_never_in_the_past_and_covers_every_hold(trial: Trial) -> None:
    trial.arrive("host", "one")
    trial.part("host")
    trial.run(1.1, "one")
    due = decide.next_deadline(trial.state, trial.now)
    assert due is not None
    assert trial.now < due <= trial.state.holds[0].until
