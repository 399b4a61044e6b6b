"""What the forwarder gives back when the work moves, and what it tells of its progress (core/forwarder.py)."""

import pytest

from hotspare_receiver.core.forwarder import Outcome
from tests.unit.forwarder_trial import alarm, alarms, deliver, finish, number_sent, send, working

# --- F5: giving back ---


def test_f5_what_the_arc_has_not_seen_goes_back_and_what_was_begun_is_finished() -> None:
    forwarder = working(a=True, b=True)
    deliver(forwarder, alarm(1, "w"), alarm(2, "x"), alarm(3, "y"), alarm(4, "z"))
    finish(forwarder, send(forwarder, "a"), Outcome.CONFIRMED, "a")
    finish(forwarder, send(forwarder, "a"), Outcome.REFUSED, "a")
    send(forwarder, "a")
    assert forwarder.give_back() == 2
    assert forwarder.progress(0.0).waiting == 2
    assert not forwarder.drained
    assert number_sent(forwarder, "b") == 1


def test_f5_a_message_without_an_answer_is_begun() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    finish(forwarder, send(forwarder), Outcome.UNKNOWN)
    assert forwarder.give_back() == 0
    finish(forwarder, send(forwarder), Outcome.REFUSED)
    assert forwarder.give_back() == 1
    assert forwarder.drained


def test_f5_what_was_begun_at_a_deleted_output_alone_goes_back() -> None:
    forwarder = working(a=True, b=True)
    deliver(forwarder, alarm(1))
    finish(forwarder, send(forwarder, "a"), Outcome.UNKNOWN, "a")
    forwarder.set_outputs({"b": True})
    assert forwarder.give_back() == 1


def test_f5_what_waits_for_a_hopeless_output_alone_goes_back() -> None:
    forwarder = working(a=True, b=True)
    deliver(forwarder, alarm(1, "x"), alarm(2, "y"), alarm(3, "z"))
    finish(forwarder, send(forwarder, "a"), Outcome.UNKNOWN, "a")
    finish(forwarder, send(forwarder, "b"), Outcome.CONFIRMED, "b")
    send(forwarder, "b")
    forwarder.give_back()
    assert forwarder.progress(0.0).waiting == 2
    assert forwarder.give_up(()) == 0
    assert forwarder.give_up({"b"}) == 0, "number 1 waits for a, and number 2 is in flight"
    assert forwarder.give_up({"a"}) == 1
    assert forwarder.progress(0.0).waiting == 1


def test_f3_progress_tells_what_waits_and_since_when() -> None:
    forwarder = working()
    assert forwarder.progress(9.0).oldest_age is None
    deliver(forwarder, alarm(1), now=10.0)
    deliver(forwarder, alarm(2), now=12.0)
    progress = forwarder.progress(15.0)
    assert (progress.waiting, progress.confirmed, progress.oldest_age) == (2, 0, 5.0)


# --- F3: what waits for an answer at all ---


def test_f3_what_waits_or_is_in_flight_presses_until_it_is_confirmed() -> None:
    forwarder = working()
    assert not forwarder.pressing
    deliver(forwarder, alarm(1))
    assert forwarder.pressing
    sent = send(forwarder)
    assert forwarder.pressing
    finish(forwarder, sent, Outcome.CONFIRMED)
    assert not forwarder.pressing


def test_a5_a_refused_alarm_and_those_behind_it_do_not_press_and_others_do() -> None:
    forwarder = working()
    deliver(forwarder, *alarms(1, 2))
    finish(forwarder, send(forwarder), Outcome.REFUSED)
    assert not forwarder.pressing
    deliver(forwarder, alarm(3, "another"))
    assert forwarder.pressing


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.CLOCK_REFUSED])
def test_f3_only_a_refusal_in_so_many_words_excuses_and_only_while_it_was_the_last_word(outcome: Outcome) -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    finish(forwarder, send(forwarder), Outcome.REFUSED)
    finish(forwarder, send(forwarder, now=9.0), outcome, now=9.0)
    assert forwarder.pressing


def test_f3_a_refusal_by_an_output_that_is_not_required_excuses_nothing() -> None:
    forwarder = working(arc=True, beside=False)
    deliver(forwarder, alarm(1))
    finish(forwarder, send(forwarder, "beside"), Outcome.REFUSED, "beside")
    assert forwarder.pressing


def test_f3_the_next_alarm_of_a_device_is_not_excused_by_one_that_is_gone() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    finish(forwarder, send(forwarder), Outcome.REFUSED)
    assert forwarder.withdraw(1)
    deliver(forwarder, alarm(2))
    assert forwarder.pressing
