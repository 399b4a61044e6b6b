"""The checker sees what it has to: a plain history passes, and one that breaks an invariant is refused for that one."""

import threading

import pytest

from tests.proof.checker import Checker, check
from tests.proof.facts import (
    Able,
    Answered,
    Applied,
    Changed,
    Confirmed,
    Delivered,
    Disturbed,
    EpochBegan,
    EpochOver,
    Fact,
    Journalled,
    LeaseCounted,
    Note,
    Operated,
    Published,
    Received,
    Released,
    Restored,
    SetAside,
    SettingsChanged,
    Stored,
    TookOver,
    Verb,
    Why,
    Works,
    Wrote,
)
from tests.proof.history import History
from tests.proof.limits import Limits

ONE, TWO, THREE = ("1001", 1), ("1001", 2), ("1001", 3)
ORDER = ("r1", "r2", "r3")
OUTSIDE = Limits(window=1, failback_delay=10.0, idle=5.0, order=ORDER, slack=0.1)
INSIDE = Limits(window=1, failback_delay=10.0, idle=5.0, order=ORDER, inside=True)


def broken(facts: list[Fact], limits: Limits = OUTSIDE, *, at_rest: bool = True) -> list[str]:
    """The rules that a history breaks."""
    return [violation.rule for violation in check(facts, limits, at_rest=at_rest)]


def moves(*epochs: tuple[float, int, str, Why]) -> list[Fact]:
    """Epochs."""
    return [EpochBegan(at, number, receiver, why) for at, number, receiver, why in epochs]


# Seen from outside, as real processes are.

LOST = moves((0.0, 1, "r1", Why.FIRST), (10.0, 2, "r2", Why.CONNECTION_LOST))
PLANNED = moves((0.0, 2, "r2", Why.FIRST), (10.0, 3, "r1", Why.FAILBACK))


def test_a_plain_course_breaks_nothing() -> None:
    facts: list[Fact] = [
        *LOST,
        Published(1.0, ONE, begun=0.9),
        Received(1.1, "r1", ONE, content="fire"),
        Confirmed(1.05, ONE),
        Received(9.0, "r1", TWO),
        Published(9.2, TWO, begun=8.9),
        Disturbed(9.1, "r1", 9.1, "kill -9"),
        Received(16.0, "r2", TWO),
        Published(16.5, THREE, begun=16.4),
        SetAside(20.0, THREE, "refused"),
        Note(21.0, "log", "moved", {}),
    ]
    assert broken(facts) == []


def test_a1_what_was_answered_has_to_come() -> None:
    facts: list[Fact] = [Published(1.0, ONE)]
    assert broken(facts) == ["A1"]
    assert broken(facts, at_rest=False) == []
    assert broken([*facts, Received(2.0, "r1", ONE, acknowledged=False)]) == ["A1"]


def test_a1_what_was_published_after_a_copy_that_was_restored_is_excused_and_what_came_before_is_not() -> None:
    facts: list[Fact] = [Published(1.0, ONE), Published(5.0, TWO), Restored(6.0, copied=3.0)]
    assert [str(one) for one in check(facts, OUTSIDE)] == [
        "A1 at 6.000 s: ('1001', 1) was answered to its device, and is lost"
    ]


def test_a3_first_arrivals_of_a_device_are_in_order() -> None:
    facts: list[Fact] = [Published(1.0, ONE), Published(2.0, TWO), Received(3.0, "r1", TWO)]
    assert broken([*facts, Received(4.0, "r1", ONE)]) == ["A3", "A3"] * 2
    assert broken([*facts, SetAside(2.5, ONE)]) == []


def test_a3_what_the_cloud_had_first_comes_first_also_where_its_device_was_not_told() -> None:
    assert broken([Stored(1.0, ONE), Stored(1.5, TWO), Received(3.0, "r1", TWO, acknowledged=False)]) == ["A3"]


def test_a4_nothing_is_confirmed_that_no_arc_acknowledged() -> None:
    assert broken([Confirmed(1.0, ONE)]) == ["A4"]
    assert broken([Received(0.5, "r1", ONE, acknowledged=False), Confirmed(1.0, ONE)], at_rest=False) == ["A4"]
    assert broken([Published(0.1, ONE), Received(0.5, "r1", ONE), Confirmed(1.0, ONE, "r2", 1)]) == ["A4"]


def test_a6_an_alarm_says_the_same_each_time() -> None:
    facts: list[Fact] = [Published(1.0, ONE), Disturbed(1.2, "r1", 1.2)]
    facts += [Received(1.1, "r1", ONE, content="fire"), Received(2.0, "r1", ONE, content="flood")]
    assert broken(facts) == ["A6"]


def test_a6_nothing_comes_that_nobody_published() -> None:
    facts: list[Fact] = [Published(1.0, ONE), Received(1.1, "r1", ONE), Received(1.2, "r1", TWO)]
    assert broken(facts) == ["A6"]
    assert broken([Received(1.0, "r1", ("9999", 1))]) == [], "an account that is not watched"


def test_f6_what_comes_twice_has_a_cause() -> None:
    facts: list[Fact] = [*moves((0.0, 1, "r1", Why.FIRST)), Published(1.0, ONE)]
    facts += [Received(1.1, "r1", ONE), Received(3.0, "r1", ONE)]
    assert broken(facts) == ["F6"]
    assert broken([*facts, Disturbed(1.05, "r1", 1.3, "ARC mute")]) == [], "its answer may not have come"
    assert broken([*facts, Disturbed(1.05, "r2", 1.3, "ARC mute")]) == ["F6"], "what happens to others is no cause"
    assert broken([*facts, Disturbed(5.0, "r1", 6.0, "ARC mute")]) == ["F6"], "nor what happens later"


def test_f6_no_more_than_a_window_comes_twice_for_a_loss() -> None:
    facts: list[Fact] = [*LOST, Published(8.0, ONE), Published(8.0, TWO)]
    facts += [Received(9.0, "r1", ONE), Received(9.1, "r1", TWO), Received(16.0, "r2", ONE)]
    assert broken(facts) == []
    assert broken([*facts, Received(16.1, "r2", TWO)]) == ["F6"]


def test_f5_a_hand_over_doubles_nothing_but_what_was_left_without_an_answer() -> None:
    facts: list[Fact] = [*PLANNED, Published(8.0, ONE), Received(9.0, "r2", ONE), Received(11.0, "r1", ONE)]
    assert broken(facts) == ["F5"]
    assert broken([*facts, Disturbed(8.5, "r2", 9.5, "ARC mute")]) == []


def test_f6_what_a_restored_cloud_forgot_may_come_again() -> None:
    facts: list[Fact] = [*moves((0.0, 1, "r1", Why.FIRST)), Published(1.0, ONE)]
    facts += [Received(5.0, "r1", ONE), Confirmed(5.1, ONE), Restored(6.0, copied=3.0)]
    facts += [*moves((7.0, 9, "r2", Why.FIRST)), Received(8.0, "r2", ONE)]
    assert broken(facts) == []


def test_f7_nothing_that_was_published_after_a_loss_comes_through_the_lost_one() -> None:
    facts: list[Fact] = [*LOST, Received(11.0, "r1", ONE), Published(11.2, ONE, begun=10.2)]
    assert broken(facts) == ["F7"]
    assert broken([*LOST, Received(11.0, "r1", ONE), Published(11.2, ONE, begun=9.9)]) == []
    back = moves((10.5, 3, "r1", Why.CONNECTION_LOST))
    assert broken([*LOST, *back, Received(11.0, "r1", ONE), Published(11.2, ONE, begun=10.2)]) == []


def test_f7_nothing_comes_after_the_lease() -> None:
    facts: list[Fact] = [*LOST, Published(5.0, ONE, begun=5.0)]
    assert broken([*facts, Received(16.9, "r1", ONE)]) == []
    assert broken([*facts, Received(17.2, "r1", ONE)]) == ["lease"]
    assert broken([*facts, Received(17.2, "r1", ONE, writer_alive=False)]) == [], "it was in the kernel"


def test_f7_epochs_only_grow_and_have_one_holder() -> None:
    assert broken([*LOST, *moves((11.0, 2, "r3", Why.SILENT))]) == ["epochs only grow"]
    assert broken([*LOST, TookOver(10.5, "r2", 2)]) == []
    assert broken([*LOST, TookOver(10.5, "r1", 2)]) == ["one holder"]


def test_f4_a_failback_goes_up_and_not_before_its_delay() -> None:
    assert broken(PLANNED) == []
    assert broken(moves((0.0, 1, "r1", Why.FIRST), (10.0, 2, "r2", Why.FAILBACK))) == ["F4"]
    assert broken([*LOST, *moves((20.1, 3, "r1", Why.FAILBACK))]) == []
    assert broken([*LOST, *moves((19.0, 3, "r1", Why.FAILBACK))]) == ["F4"]


def test_f8_while_paused_nobody_moves_but_by_a_switchover() -> None:
    paused: list[Fact] = [*moves((0.0, 1, "r1", Why.FIRST)), Operated(5.0, Verb.PAUSE)]
    lost, asked = moves((10.0, 2, "r2", Why.SILENT)), moves((10.0, 2, "r2", Why.SWITCHOVER))
    assert broken([*paused, *lost]) == ["F8"]
    assert broken([*paused, *asked]) == []
    assert broken([*paused, Operated(9.0, Verb.RESUME), *lost]) == []
    assert broken([*paused, *moves((10.0, 2, "r1", Why.RESTARTED))]) == [], "the same one may begin again"


def test_f8_no_failback_from_one_that_is_pinned() -> None:
    pinned: list[Fact] = [*moves((0.0, 1, "r1", Why.FIRST)), Operated(5.0, Verb.SWITCHOVER, "r2")]
    pinned += moves((5.1, 2, "r2", Why.SWITCHOVER))
    back = moves((30.0, 3, "r1", Why.FAILBACK))
    assert broken([*pinned, *back]) == ["F8"]
    assert broken([*pinned, Operated(20.0, Verb.RESUME), *back]) == []
    lost = moves((10.0, 3, "r3", Why.SILENT), (30.0, 4, "r1", Why.FAILBACK))
    assert broken([*pinned, *lost]) == [], "with its loss the pin has ended"


def test_f9_who_was_lost_too_often_gets_no_failback() -> None:
    facts, number = moves((0.0, 1, "r1", Why.FIRST)), 1
    for again in range(4):
        at = 100.0 * (again + 1)
        facts += moves((at, number + 1, "r2", Why.SILENT), (at + 20, number + 2, "r1", Why.FAILBACK))
        number += 2
    assert broken(facts) == ["F9"]
    assert broken([*facts, Operated(410.0, Verb.RESUME)]) == []
    assert broken([*facts[:-1], *moves((4_000.0, number, "r1", Why.FAILBACK))]) == [], "an hour of quiet"


def test_f9_planned_moves_do_not_count() -> None:
    facts, number = moves((0.0, 1, "r1", Why.FIRST)), 1
    for again in range(9):
        at = 100.0 * (again + 1)
        facts += moves((at, number + 1, "r2", Why.RELEASED), (at + 20, number + 2, "r1", Why.FAILBACK))
        number += 2
    assert broken(facts) == []


def test_f3_while_one_could_work_nobody_works_for_a_bounded_time_only() -> None:
    facts: list[Fact] = [Able(0.0, "r1", True), Works(1.0, "r1", True), Works(10.0, "r1", False)]
    assert broken([*facts, Works(15.0, "r1", True)]) == []
    assert broken([*facts, Works(15.2, "r1", True)]) == ["F3"]
    assert broken([*facts, Changed(14.0), Works(19.0, "r1", True)]) == []
    assert broken([*facts, Able(14.0, "r1", False), Able(18.0, "r1", True), Works(22.0, "r1", True)]) == []
    assert broken([*facts, Operated(11.0, Verb.PAUSE), Changed(30.0)]) == [], "a pause is the operator's wish"
    assert broken([*facts, Operated(11.0, Verb.PAUSE), Operated(30.0, Verb.RESUME), Changed(36.0)]) == ["F3"]


def test_b5_a_revision_never_goes_back() -> None:
    assert broken([Applied(1.0, "r2", 5), Applied(2.0, "r3", 4), Applied(3.0, "r2", 4)]) == ["B5"]


# Seen from inside, as a simulation is.


def court() -> list[Fact]:
    """Epoch 1 is r1's, with a lease up to second 10, and has two alarms."""
    began = EpochBegan(0.0, 1, "r1", Why.FIRST, "r1.1")
    return [Stored(0.0, ONE), Stored(0.0, TWO), began, LeaseCounted(0.0, 1, 10.0), Delivered(0.1, 1, (ONE, TWO))]


def successor(why: Why = Why.SILENT, at: float = 5.0) -> list[Fact]:
    """Epoch 2 is r2's, with a lease up to second 20."""
    return [EpochBegan(at, 2, "r2", why, "r2.1"), LeaseCounted(at, 2, 20.0)]


def sent(attempt: int, epoch: int, at: float, alarm: tuple[str, int] = ONE) -> list[Fact]:
    """A message is written, comes to the ARC, and is answered."""
    receiver = f"r{epoch}"
    return [
        Wrote(at, attempt, receiver, f"{receiver}.1", epoch, alarm),
        Received(at, receiver, alarm, attempt=attempt),
    ]


def inside(*facts: Fact) -> list[str]:
    """The rules that it breaks."""
    return broken([*court(), *facts], INSIDE)


def test_a_plain_course_seen_from_inside_breaks_nothing() -> None:
    facts: list[Fact] = [TookOver(0.2, "r1", 1, "r1.1"), *sent(1, 1, 1.0), Answered(1.1, 1), Journalled(1.2, "r1", ONE)]
    facts += [Confirmed(1.3, ONE, "r1", 1), Published(1.4, ONE), Released(2.0, 1, "r1.1"), EpochOver(2.1, 1)]
    facts += [*successor(Why.RELEASED), Delivered(5.1, 2, (TWO,)), *sent(2, 2, 6.0, TWO)]
    assert inside(*facts) == []


def test_a1_seen_from_inside_it_has_to_be_confirmed_as_well() -> None:
    assert inside(*sent(1, 1, 1.0), Published(1.5, ONE)) == ["A1"]


def test_a4_what_the_arc_acknowledged_is_not_sent_again_by_who_knows() -> None:
    assert inside(*sent(1, 1, 1.0), Answered(1.1, 1), *sent(2, 1, 2.0)) == ["A4", "F6"]
    assert inside(*sent(1, 1, 1.0), Journalled(1.2, "r1", ONE), *sent(2, 1, 2.0)) == ["F7"]
    assert inside(*sent(1, 1, 1.0), *sent(2, 1, 2.0)) == [], "the answer did not come"


def test_a4_nothing_is_journalled_that_the_arc_did_not_acknowledge() -> None:
    assert inside(Journalled(1.0, "r1", ONE)) == ["A4"]


def test_a6_what_is_written_is_what_comes() -> None:
    wrong: list[Fact] = [Wrote(1.0, 1, "r1", "r1.1", 1, TWO), Received(1.0, "r1", ONE, attempt=1)]
    assert inside(*wrong) == ["A6"]


def test_f5_a_release_comes_after_what_was_acknowledged_is_stored() -> None:
    assert inside(*sent(1, 1, 1.0), Answered(1.1, 1), Released(2.0, 1, "r1.1")) == ["F5"]


def test_f5_what_was_answered_does_not_come_twice_after_a_hand_over() -> None:
    facts: list[Fact] = [*sent(1, 1, 1.0), Answered(1.1, 1)]
    again: list[Fact] = [EpochOver(4.9, 1), Delivered(5.1, 2, (ONE,)), *sent(2, 2, 6.0)]
    assert inside(*facts, *successor(Why.FAILBACK), *again) == ["F4", "F5"]
    assert inside(*facts, *successor(Why.SILENT), *again) == []


def test_f7_nothing_is_written_outside_of_the_lease_that_the_cloud_counts() -> None:
    assert inside(*sent(1, 1, 10.1)) == ["lease"]
    assert inside(EpochOver(5.0, 1), *sent(1, 1, 5.1)) == ["lease"]


def test_f7_nothing_is_written_that_was_not_delivered() -> None:
    assert inside(Stored(0.0, THREE), *sent(1, 1, 1.0), *sent(2, 1, 1.1, TWO), *sent(3, 1, 1.2, THREE)) == [
        "delivered before it is written"
    ]
    assert inside(Delivered(1.0, 7, (ONE,))) == ["F7"]


def test_f7_an_alarm_is_delivered_under_one_epoch_at_a_time() -> None:
    facts = [*successor(), Delivered(5.1, 2, (ONE,))]
    assert inside(*facts) == ["one epoch at a time"]
    assert inside(EpochOver(5.0, 1), *facts) == []
    assert inside(EpochOver(5.0, 1), *facts, *sent(1, 2, 6.0), *sent(2, 1, 6.1)) == [
        "lease",
        "one epoch at a time",
        "one epoch at a time",
    ]


def test_f7_an_epoch_is_stored_before_it_is_granted_and_to_one_process() -> None:
    assert inside(TookOver(1.0, "r3", 7, "r3.1")) == ["stored before it is granted"]
    assert inside(TookOver(1.0, "r1", 1, "r1.2")) == ["one holder"]


def test_f7_a_confirmation_is_of_what_was_delivered_to_its_receiver() -> None:
    facts: list[Fact] = [*sent(1, 1, 1.0)]
    assert inside(*facts, Confirmed(1.2, ONE, "r1", 1)) == []
    assert inside(*facts, Confirmed(1.2, ONE, "r1", 3)) == ["F7"]


# How it is used.


def test_facts_in_any_order_of_adding_are_judged_and_told_in_that_of_time() -> None:
    history = History()
    actors = [
        threading.Thread(target=history.add, args=(fact,))
        for fact in (Received(1.1, "r1", ONE), Published(1.0, ONE, begun=0.9), Note(1.05, "log", "says", {"x": 0.5}))
    ]
    for actor in reversed(actors):
        actor.start()
        actor.join()
    assert check(history.facts(), OUTSIDE) == []
    assert [line.split() for line in history.lines(begin=1.0)] == [
        ["0.0000", "Published", "identity=1001/1", "begun=0.900"],
        ["0.0500", "log", "says", "x=0.500"],
        ["0.1000", "r1", "Received", "receiver=r1", "identity=1001/1"],
    ]


@pytest.mark.parametrize("late", [0.05, 0.2])
def test_clocks_may_be_off_by_the_slack_and_no_more(late: float) -> None:
    facts: list[Fact] = [Published(0.5, ONE), Confirmed(1.0, ONE), Received(1.0 + late, "r1", ONE)]
    assert (broken(facts) == []) is (late < OUTSIDE.slack)


def test_a_fact_at_a_time_as_in_a_simulation() -> None:
    checker = Checker(INSIDE)
    for fact in court():
        checker.take(fact)
    assert checker.violations == []
    checker.take(Confirmed(1.0, ONE, "r1", 1))
    assert [str(violation) for violation in checker.violations] == [
        "A4 at 1.000 s: ('1001', 1) is confirmed by r1, whose ARC never acknowledged it"
    ]


def test_after_other_settings_either_are_allowed() -> None:
    facts: list[Fact] = [*LOST, SettingsChanged(5.0, Limits(window=2, failback_delay=1.0, losses_per_hour=9))]
    assert broken([*facts, *moves((12.0, 3, "r1", Why.FAILBACK))]) == []
    twice: list[Fact] = [Published(8.0, ONE), Published(8.0, TWO), Received(9.0, "r1", ONE), Received(9.1, "r1", TWO)]
    twice += [Received(16.0, "r2", ONE), Received(16.1, "r2", TWO)]
    assert broken([*facts, *twice]) == []
    assert broken([*LOST, *twice]) == ["F6"]
