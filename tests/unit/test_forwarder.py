"""What goes to the ARC next, and when an alarm is confirmed (core/forwarder.py)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_receiver.core import forwarder as forwarder_module
from hotspare_receiver.core.forwarder import Delivered, Outcome, Taken
from tests.unit.forwarder_trial import EPOCH, OUT, alarm, alarms, deliver, finish, number_sent, send, working

# --- A3: order ---


def test_a3_a_devices_alarms_go_in_the_order_of_their_delivery() -> None:
    forwarder = working()
    deliver(forwarder, *alarms(5, 6, 7))
    sent = []
    for _ in range(3):
        sent.append(send(forwarder))
        assert finish(forwarder, sent[-1], Outcome.CONFIRMED) == sent[-1].number
    assert [delivered.number for delivered in sent] == [5, 6, 7]
    assert number_sent(forwarder) is None


def test_a3_the_order_is_that_of_delivery_also_where_an_older_number_comes_later() -> None:
    forwarder = working()
    deliver(forwarder, alarm(6), alarm(5))
    first = send(forwarder)
    finish(forwarder, first, Outcome.CONFIRMED)
    assert (first.number, number_sent(forwarder)) == (6, 5)


def test_a3_one_message_is_in_flight_and_nothing_passes_it() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1), alarm(2, "other"))
    send(forwarder)
    assert number_sent(forwarder) is None


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.NOT_SENT])
def test_a3_silence_and_a_lost_link_keep_their_place(outcome: Outcome) -> None:
    forwarder = working()
    deliver(forwarder, alarm(1), alarm(2), alarm(3, "other"))
    finish(forwarder, send(forwarder), outcome)
    assert number_sent(forwarder) == 1


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.CLOCK_REFUSED])
def test_a3_a_refused_alarm_holds_up_its_own_device_and_no_other(outcome: Outcome) -> None:
    forwarder = working()
    deliver(forwarder, alarm(1), alarm(2), alarm(3, "other"))
    finish(forwarder, send(forwarder), outcome, now=10.0)
    other = send(forwarder, now=10.5)
    assert other.number == 3
    finish(forwarder, other, Outcome.CONFIRMED, now=10.5)
    assert number_sent(forwarder, now=10.9) is None
    assert forwarder.due(OUT) == 11.0
    assert number_sent(forwarder, now=11.0) == 1


def test_a5_refusals_are_tried_again_with_a_bounded_backoff() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    now, waits = 0.0, []
    for _ in range(4):
        finish(forwarder, send(forwarder, now=now), Outcome.REFUSED, now=now)
        due = forwarder.due(OUT)
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [1.0, 2.0, 4.0, 4.0]


def test_a8_attempts_are_numbered_for_each_output_and_what_was_not_sent_is_none() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    attempts = []
    for outcome in (Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.UNKNOWN, Outcome.CONFIRMED):
        sending = forwarder.take(OUT, 0.0)
        assert sending is not None
        attempts.append(sending.attempt)
        forwarder.finished(OUT, sending.delivered, outcome, 0.0)
    assert attempts == [1, 2, 2, 3]


# --- A4: confirmed when all required outputs have ---


def test_a4_an_alarm_is_confirmed_when_every_required_output_confirmed_it() -> None:
    forwarder = working(a=True, b=True, c=False)
    deliver(forwarder, alarm(1))
    assert finish(forwarder, send(forwarder, "c"), Outcome.CONFIRMED, "c") is None
    assert finish(forwarder, send(forwarder, "a"), Outcome.CONFIRMED, "a") is None
    assert finish(forwarder, send(forwarder, "b"), Outcome.CONFIRMED, "b") == 1
    assert forwarder.confirmed == 1


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.CONFIRMED])
def test_a4_nothing_but_a_confirmation_confirms(outcome: Outcome) -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    assert finish(forwarder, send(forwarder), outcome) is None
    assert forwarder.progress(0.0).waiting == 1


def test_a4_without_a_required_output_nothing_is_confirmed() -> None:
    forwarder = working(extra=False)
    assert not forwarder.has_required_output
    deliver(forwarder, alarm(1))
    assert finish(forwarder, send(forwarder, "extra"), Outcome.CONFIRMED, "extra") is None
    assert forwarder.progress(0.0).waiting == 1


def test_a4_an_output_that_gets_required_also_gets_what_it_was_done_with() -> None:
    forwarder = working(first=True, second=False)
    forwarder.set_aside_after = 1
    deliver(forwarder, *alarms(1, 2))
    assert finish(forwarder, send(forwarder, "second"), Outcome.REFUSED, "second") is None
    assert number_sent(forwarder, "second") == 2
    forwarder.set_outputs({"first": False, "second": True})
    # Refused there, it was in no lane of that output any more: it would have waited for ever.
    assert forwarder.waiting_for("second") == 2
    assert forwarder.waiting_for("first") == 2


def test_a5_what_an_operator_sends_again_is_taken_though_the_word_that_it_was_set_aside_is_lost() -> None:
    forwarder = working()
    forwarder.set_aside_after = 1
    deliver(forwarder, *alarms(1, 2))
    finish(forwarder, send(forwarder), Outcome.REFUSED)
    assert forwarder.rejection(1) is not None
    again = replace(alarm(1), attempt=2, replay=True)
    # The same delivery in another pull is no new one.
    assert not deliver(forwarder, replace(alarm(1), replay=True)).new
    assert deliver(forwarder, again).new == (again,)
    assert forwarder.rejection(1) is None
    assert [finish(forwarder, send(forwarder), Outcome.CONFIRMED) for _ in range(2)] == [2, 1]
    assert forwarder.drained


def test_a4_an_output_that_is_not_required_gets_the_alarm_though_it_is_confirmed() -> None:
    forwarder = working(arc=True, extra=False)
    deliver(forwarder, alarm(1))
    finish(forwarder, send(forwarder), Outcome.CONFIRMED)
    assert number_sent(forwarder, "extra") == 1


def test_a4_an_output_that_is_not_required_keeps_no_more_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module, "OPTIONAL_LIMIT", 2)
    forwarder = working(arc=True, extra=False)
    deliver(forwarder, *alarms(1, 2, 3))
    assert (forwarder.waiting_for("arc"), forwarder.waiting_for("extra")) == (3, 2)
    assert forwarder.passed_over == 1


def test_o1_deleting_an_output_confirms_what_waited_for_it_alone() -> None:
    forwarder = working(a=True, b=True)
    deliver(forwarder, alarm(1), alarm(2, "other"))
    finish(forwarder, send(forwarder, "a"), Outcome.CONFIRMED, "a")
    assert [delivered.number for delivered in forwarder.set_outputs({"a": True})] == [1]
    assert forwarder.progress(0.0).waiting == 1


def test_o1_deleting_the_last_required_output_confirms_nothing_and_a_new_one_gets_all() -> None:
    forwarder = working()
    deliver(forwarder, *alarms(1, 2))
    finish(forwarder, send(forwarder), Outcome.UNKNOWN)
    assert forwarder.set_outputs({}) == ()
    assert forwarder.set_outputs({"new": True}) == ()
    sent = send(forwarder, "new")
    finish(forwarder, sent, Outcome.CONFIRMED, "new")
    assert (sent.number, number_sent(forwarder, "new")) == (1, 2)


def test_o1_an_answer_of_a_deleted_output_harms_nothing() -> None:
    forwarder = working(a=True, b=True)
    deliver(forwarder, alarm(1))
    flying = send(forwarder, "a")
    forwarder.set_outputs({"b": True})
    assert finish(forwarder, flying, Outcome.CONFIRMED, "a") is None
    assert finish(forwarder, send(forwarder, "b"), Outcome.CONFIRMED, "b") == 1


# --- F6, F7: what is delivered again ---


def test_f6_an_alarm_that_is_here_is_not_taken_twice() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    assert deliver(forwarder, alarm(1)) == Taken((), ())
    finish(forwarder, send(forwarder), Outcome.CONFIRMED)
    assert number_sent(forwarder) is None


def test_f6_an_alarm_known_as_confirmed_is_confirmed_again_and_not_sent() -> None:
    forwarder = working()
    taken = deliver(forwarder, alarm(1), alarm(2), known=[1])
    assert [[one.number for one in group] for group in (taken.new, taken.again)] == [[2], [1]]
    assert number_sent(forwarder) == 2


def test_f7_alarms_of_another_epoch_are_not_taken() -> None:
    forwarder = working()
    assert deliver(forwarder, alarm(1, epoch=EPOCH - 1), alarm(2, epoch=EPOCH + 1)) == Taken((), ())
    assert number_sent(forwarder) is None


def test_f7_the_end_of_the_epoch_drops_all_that_is_not_in_flight() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1), alarm(2), alarm(3, "other"))
    send(forwarder)
    forwarder.begin(0)
    assert forwarder.progress(0.0).waiting == 1
    assert number_sent(forwarder) is None


def test_f7_an_answer_after_the_end_of_the_epoch_is_a_fact() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    flying = send(forwarder)
    forwarder.begin(0)
    confirmed = forwarder.finished(OUT, flying, Outcome.CONFIRMED, 0.0)
    assert confirmed is not None
    assert (confirmed.number, confirmed.epoch) == (1, EPOCH)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.REFUSED])
def test_f7_without_an_answer_nothing_is_sent_again_after_the_end_of_the_epoch(outcome: Outcome) -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    flying = send(forwarder)
    forwarder.begin(0)
    finish(forwarder, flying, outcome)
    assert forwarder.drained
    assert number_sent(forwarder, now=100.0) is None


def test_f7_in_flight_under_an_old_epoch_and_delivered_under_the_next_is_confirmed_once() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    flying = send(forwarder)
    forwarder.begin(EPOCH + 2)
    deliver(forwarder, alarm(1, epoch=EPOCH + 2), alarm(2, epoch=EPOCH + 2))
    confirmed = forwarder.finished(OUT, flying, Outcome.CONFIRMED, 0.0)
    assert confirmed is not None
    assert (confirmed.number, confirmed.epoch) == (1, EPOCH + 2)
    assert number_sent(forwarder) == 2


def test_f7_in_flight_under_an_old_epoch_and_not_answered_is_sent_under_the_next() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    flying = send(forwarder)
    forwarder.begin(EPOCH + 2)
    deliver(forwarder, alarm(1, epoch=EPOCH + 2))
    finish(forwarder, flying, Outcome.UNKNOWN)
    again = send(forwarder)
    assert (again.number, again.epoch) == (1, EPOCH + 2)
    assert finish(forwarder, again, Outcome.CONFIRMED) == 1
    assert forwarder.drained


def test_f7_an_output_that_confirmed_under_an_old_epoch_does_not_get_the_alarm_again() -> None:
    forwarder = working(a=True, b=True)
    deliver(forwarder, alarm(1))
    finish(forwarder, send(forwarder, "a"), Outcome.CONFIRMED, "a")
    flying = send(forwarder, "b")
    forwarder.begin(EPOCH + 2)
    deliver(forwarder, alarm(1, epoch=EPOCH + 2))
    assert number_sent(forwarder, "a") is None
    assert finish(forwarder, flying, Outcome.CONFIRMED, "b") == 1


def test_f7_what_is_in_flight_at_one_output_goes_to_no_other_after_the_end_of_the_epoch() -> None:
    forwarder = working(a=True, b=True)
    deliver(forwarder, alarm(1))
    send(forwarder, "a")
    forwarder.begin(0)
    assert number_sent(forwarder, "b") is None
    assert (forwarder.waiting_for("a"), forwarder.waiting_for("b")) == (1, 0)


def test_f7_a_withdrawn_alarm_does_not_hold_up_its_device_any_more() -> None:
    forwarder = working()
    deliver(forwarder, *alarms(1, 2))
    finish(forwarder, send(forwarder), Outcome.REFUSED)
    assert number_sent(forwarder) is None
    assert forwarder.withdraw(1)
    assert number_sent(forwarder) == 2
    assert forwarder.waiting_for(OUT) == 1


def test_f7_a_withdrawn_alarm_does_not_end_the_backoff_of_an_earlier_one() -> None:
    forwarder = working()
    deliver(forwarder, *alarms(1, 2))
    finish(forwarder, send(forwarder), Outcome.REFUSED)
    assert forwarder.withdraw(2)
    assert number_sent(forwarder, now=0.9) is None
    assert number_sent(forwarder, now=1.0) == 1


def test_f7_a_withdrawn_alarm_is_not_sent_and_its_device_goes_on() -> None:
    forwarder = working()
    deliver(forwarder, *alarms(1, 2))
    assert forwarder.withdraw(1)
    assert number_sent(forwarder) == 2


def test_f7_a_withdrawn_alarm_in_flight_is_finished() -> None:
    forwarder = working()
    deliver(forwarder, alarm(1))
    flying = send(forwarder)
    assert not forwarder.withdraw(1)
    assert finish(forwarder, flying, Outcome.CONFIRMED) == 1


def test_f7_withdrawing_what_is_not_here_changes_nothing() -> None:
    assert not working().withdraw(17)


# --- Whatever happens ---


@given(st.data())
def test_a3_a4_first_confirmations_keep_each_devices_order_and_all_get_through(data: st.DataObject) -> None:
    """All but those that were refused too often (A5), which the cloud sets aside."""
    forwarder = working(a=True, b=True)
    aside: set[int] = set()
    devices = data.draw(st.lists(st.sampled_from("xyz"), min_size=1, max_size=12))
    waiting = [alarm(number, device) for number, device in enumerate(devices, 1)]
    confirmed: list[Delivered] = []
    now = 0.0
    flying: dict[str, Delivered] = {}
    for step in range(200):
        if waiting and (step >= 30 or data.draw(st.booleans())):
            deliver(forwarder, waiting.pop(0), now=now)
        output = "ab"[step % 2]
        if output not in flying and (sending := forwarder.take(output, now)) is not None:
            flying[output] = sending.delivered
        elif output in flying:
            outcome = data.draw(st.sampled_from(Outcome)) if step < 30 else Outcome.CONFIRMED
            landed = flying.pop(output)
            done = forwarder.finished(output, landed, outcome, now)
            confirmed += [done] if done is not None else []
            if forwarder.rejection(landed.number) is not None:
                forwarder.set_aside(landed.number)
                aside.add(landed.number)
        now += 1.0
        if len(confirmed) + len(aside) == len(devices) and not flying:
            break
    assert sorted([*aside, *(one.number for one in confirmed)]) == list(range(1, len(devices) + 1))
    for device in set(devices):
        numbers = [one.number for one in confirmed if one.device_id == device]
        assert numbers == sorted(numbers)
    assert forwarder.drained
