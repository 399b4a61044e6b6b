"""Numbers that alarms carry in their place, and the balance that is drawn by them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.contact_id import ContactId, Qualifier
from hotspare_sim.core.ledger import Ledger
from hotspare_sim.core.places import NUMBERS, number_at, place_of


@given(st.integers(min_value=1, max_value=1_000_000))
def test_a_number_comes_back_from_the_place_that_contact_id_carries(number: int) -> None:
    partition, zone = place_of(number)
    event = ContactId.parse(str(ContactId(Qualifier.NEW, "130", partition, zone)))
    assert number_at(event.partition, event.zone) == 1 + (number - 1) % NUMBERS


@pytest.mark.parametrize("place", [(0, 0), (None, None), (None, 0), (100, 0)])
def test_a_place_that_no_numbered_alarm_has_stands_for_none(place: tuple[int | None, int | None]) -> None:
    assert number_at(*place) == 0


def test_an_alarm_of_a_device_without_a_number_was_made_by_the_system_itself() -> None:
    book = Ledger({"panel-1": "1A01"}, NUMBERS)
    assert book.take_confirmed("host", "1A01", 0, 2.0) is None
    assert (book.own_events, book.confirmed, book.unanswered) == (1, 0, 0)


def test_the_balance_by_numbers_knows_lost_repeated_and_late_ones_across_their_new_beginning() -> None:
    book = Ledger({"panel-1": "1A01"}, NUMBERS)
    numbers = range(NUMBERS - 3, NUMBERS + 5)
    book.take_published("panel-1", NUMBERS - 4, 1.0)
    book.take_confirmed("host", "1A01", NUMBERS - 4, 2.0)
    for number in numbers:
        book.take_published("panel-1", number, 1.0)
    told = [number for number in numbers if number not in (NUMBERS, NUMBERS + 2)]
    for number in (*told, NUMBERS + 1, NUMBERS):
        book.take_confirmed("host", "1A01", number_at(*place_of(number)), 2.0)
    assert (book.waiting, book.duplicates, book.out_of_order) == (1, 1, 1)
