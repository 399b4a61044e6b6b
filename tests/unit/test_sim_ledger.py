"""The balance of a trial: nothing may hide in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.sequence import wire_sequence
from hotspare_sim.core.ledger import MEMORY, Delivery, Ledger, Move, first_published_after

ACCOUNTS = {"panel-1": "1a01", "panel-2": "1A02"}


def ledger() -> Ledger:
    return Ledger(ACCOUNTS)


def test_an_alarm_that_the_arc_has_not_is_lost() -> None:
    book = ledger()
    book.take_published("panel-1", 1, 10.0)
    book.take_published("panel-1", 2, 11.0)
    book.take_confirmed("host", "1A01", 1, 12.0)
    assert (book.published, book.confirmed, book.waiting) == (2, 1, 1)
    assert (book.waiting_since_before(11.5), book.waiting_since_before(11.0)) == (1, 0)


def test_a6_the_same_account_and_sequence_again_is_a_duplicate_through_whichever_receiver() -> None:
    book = ledger()
    book.take_published("panel-1", 1, 10.0)
    assert book.take_confirmed("host", "1A01", 1, 12.0) == Delivery("1A01", 1, 10.0, 12.0, "host")
    assert book.take_confirmed("spare1", "1A01", 1, 13.0) is None
    assert book.take_confirmed("spare1", "1A01", 1, 14.0) is None
    assert (book.confirmed, book.duplicates, book.moves) == (1, 2, [])


def test_a6_the_same_sequence_of_another_account_is_another_alarm() -> None:
    book = ledger()
    for device in ACCOUNTS:
        book.take_published(device, 1, 10.0)
    book.take_confirmed("host", "1A01", 1, 12.0)
    assert book.waiting == 1
    book.take_confirmed("host", "1a02", 1, 12.0)
    assert (book.confirmed, book.duplicates, book.waiting) == (2, 0, 0)


def test_the_arc_may_be_faster_than_the_answer_to_the_device() -> None:
    book = ledger()
    assert book.take_confirmed("host", "1A01", 1, 12.0) is None
    assert (book.confirmed, book.unanswered) == (0, 1)
    assert book.take_published("panel-1", 1, 11.9) == Delivery("1A01", 1, 11.9, 12.0, "host")
    assert (book.confirmed, book.unanswered, book.waiting) == (1, 0, 0)


@given(st.integers(min_value=1, max_value=60_000), st.lists(st.booleans(), min_size=1, max_size=200))
def test_a6_sequences_that_begin_anew_are_not_taken_for_duplicates(first: int, ahead: list[bool]) -> None:
    book = ledger()
    book.take_published("panel-1", first, 1.0)
    book.take_confirmed("host", "1A01", wire_sequence(first), 2.0)
    for step, arc_is_first in enumerate(ahead, 1):
        number = first + step
        if arc_is_first:
            book.take_confirmed("host", "1A01", wire_sequence(number), 3.0)
            book.take_published("panel-1", number, 3.0)
        else:
            book.take_published("panel-1", number, 3.0)
            book.take_confirmed("host", "1A01", wire_sequence(number), 3.0)
    assert (book.confirmed, book.duplicates, book.waiting, book.out_of_order) == (len(ahead) + 1, 0, 0, 0)


def test_a6_a_backlog_of_thousands_that_comes_late_is_told_apart_across_the_wrap() -> None:
    book = ledger()
    for number in range(1, 12_001):
        book.take_published("panel-1", number, 1.0)
        if number <= 8000:
            book.take_confirmed("host", "1A01", wire_sequence(number), 2.0)
    assert book.waiting == 4000
    for number in range(8001, 12_001):
        book.take_confirmed("spare1", "1A01", wire_sequence(number), 3.0)
    assert (book.waiting, book.duplicates, book.out_of_order) == (0, 0, 0)


def test_the_memory_for_duplicates_is_bounded_and_long() -> None:
    book = ledger()
    for number in range(1, MEMORY + 2):
        book.take_published("panel-1", number, 1.0)
        book.take_confirmed("host", "1A01", number, 2.0)
    book.take_confirmed("host", "1A01", 2, 3.0)
    assert book.duplicates == 1


def test_a3_a_first_confirmation_behind_a_later_alarm_is_out_of_order_and_a_duplicate_is_not() -> None:
    book = ledger()
    for number in (1, 2, 3):
        book.take_published("panel-1", number, 1.0)
    for number in (1, 3, 1, 2):
        book.take_confirmed("host", "1A01", number, 2.0)
    assert (book.out_of_order, book.duplicates) == (1, 1)


def test_f10_events_of_the_system_itself_are_counted_apart() -> None:
    book = ledger()
    book.take_confirmed("spare1", "0000", 1, 2.0)
    assert (book.own_events, book.confirmed, book.duplicates, book.moves) == (1, 0, 0, [])


def test_moves_are_seen_at_the_arc_with_the_time_between_the_last_and_the_first_alarm() -> None:
    book = ledger()
    for number, (arc, clock) in enumerate((("host", 5.0), ("spare1", 6.5), ("spare1", 7.0), ("host", 7.25)), 1):
        book.take_published("panel-1", number, 1.0)
        book.take_confirmed(arc, "1A01", number, clock)
    assert book.moves == [Move("host", "spare1", 6.5, 1.5), Move("spare1", "host", 7.25, 0.25)]


def test_f3_the_take_over_is_measured_by_an_alarm_that_was_published_after_the_kill() -> None:
    old = Delivery("1A01", 1, 9.9, 10.4, "spare1")
    other = Delivery("1A01", 2, 10.1, 10.5, "host")
    later = Delivery("1A01", 3, 10.2, 11.9, "spare1")
    first = Delivery("1A02", 1, 10.3, 11.2, "spare1")
    assert first_published_after(10.0, "spare1", [old, other, later, first]) == first
    assert first_published_after(10.0, "spare1", [old, other]) is None


def test_a_device_that_nobody_knows_is_a_mistake_of_the_trial() -> None:
    with pytest.raises(KeyError):
        ledger().take_published("panel-9", 1, 1.0)
