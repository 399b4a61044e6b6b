"""The catalogue of event codes, and what is forwarded for an unknown one (A10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.contact_id import Qualifier, is_event_code
from hotspare_model.event_catalogue import NAMES
from hotspare_model.event_codes import (
    CATALOGUE,
    GENERIC_CODE,
    EventCode,
    Forwarded,
    Severity,
    find,
    to_forward,
)


def test_every_code_stands_in_one_table_under_a_name_of_its_own() -> None:
    codes = [code for names in NAMES.values() for code in names]
    assert len(codes) == len(set(codes)) == len(CATALOGUE)
    assert len({event.name for event in CATALOGUE.values()}) == len(CATALOGUE)
    assert set(NAMES) == {severity.value for severity in Severity}


def test_every_entry_fits_the_wire_and_a_column() -> None:
    for code, event in CATALOGUE.items():
        assert is_event_code(code)
        assert event.code == code
        assert 3 < len(event.name) <= 45
        assert event.name.isascii()


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("100", Severity.ALARM),
        ("110", Severity.ALARM),
        ("120", Severity.ALARM),
        ("130", Severity.ALARM),
        ("144", Severity.ALARM),
        ("162", Severity.ALARM),
        ("201", Severity.SUPERVISORY),
        ("301", Severity.TROUBLE),
        ("384", Severity.TROUBLE),
        ("399", Severity.TROUBLE),
        ("401", Severity.OPEN_CLOSE),
        ("570", Severity.BYPASS),
        ("602", Severity.TEST),
        ("627", Severity.INFO),
    ],
)
def test_codes_of_every_family_are_known(code: str, severity: Severity) -> None:
    event = find(code)
    assert isinstance(event, EventCode)
    assert event.severity is severity


@pytest.mark.parametrize("code", ["", "999", "1300", "13", "BBB", "130 "])
def test_other_codes_are_not_known(code: str) -> None:
    assert find(code) is None


def test_a10_a_known_code_is_forwarded_as_it_is() -> None:
    assert to_forward(3, "130") == Forwarded(Qualifier.RESTORE, "130")
    assert not to_forward(3, "130").replaced


def test_a10_an_unknown_code_becomes_the_generic_one_and_keeps_its_text() -> None:
    assert to_forward(3, "999") == Forwarded(Qualifier.RESTORE, GENERIC_CODE, "3999")
    assert to_forward(1, "fire!").original == "1fire!"


def test_a10_an_unknown_qualifier_becomes_new() -> None:
    assert to_forward(0, "130") == Forwarded(Qualifier.NEW, "130", "0130")
    assert to_forward(7, "???") == Forwarded(Qualifier.NEW, GENERIC_CODE, "7???")


def test_a10_a_code_that_the_group_defined_is_known_if_the_wire_can_carry_it() -> None:
    assert to_forward(1, "9B1", also_known={"9B1"}) == Forwarded(Qualifier.NEW, "9B1")
    assert to_forward(1, "FIRE", also_known={"FIRE"}).code == GENERIC_CODE


def test_a10_the_generic_code_is_known() -> None:
    assert find(GENERIC_CODE) is not None


@given(st.integers(), st.text(max_size=20))
def test_a10_whatever_a_panel_sends_something_is_forwarded(qualifier: int, code: str) -> None:
    forwarded = to_forward(qualifier, code)
    assert forwarded.code in CATALOGUE
    assert forwarded.replaced == ((qualifier, code) != (forwarded.qualifier, forwarded.code))
    if forwarded.replaced:
        assert forwarded.original == f"{qualifier}{code}"
