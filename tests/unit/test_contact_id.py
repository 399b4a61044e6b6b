"""Contact ID events as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.contact_id import ContactId, ContactIdError, Qualifier, is_event_code, parse_code

EVENTS = st.builds(
    ContactId,
    st.sampled_from(Qualifier),
    st.text("0123456789BCDEF", min_size=3, max_size=3),
    st.integers(0, 99),
    st.integers(0, 999),
)


@given(EVENTS)
def test_what_is_written_is_read_again(event: ContactId) -> None:
    assert ContactId.parse(str(event)) == event
    assert ContactId.from_code(event.qualified_code, event.partition, event.zone) == event


def test_the_form_is_that_of_adm_cid() -> None:
    assert str(ContactId(Qualifier.RESTORE, "401", 1, 57)) == "3401 01 057"


def test_a_code_of_the_command_line_is_read_in_either_case() -> None:
    assert parse_code(" 1bcf ") == (Qualifier.NEW, "BCF")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected QEEE"),
        ("130", "expected QEEE"),
        ("11300", "expected QEEE"),
        ("1 130", "expected QEEE"),
        ("x130", "expected QEEE"),
        ("\u0661\u0661\u0663\u0660", "expected QEEE"),
        ("2130", "qualifier 2"),
        ("0130", "qualifier 0"),
        ("11A0", "0-9 and B-F"),
        ("113G", "0-9 and B-F"),
    ],
)
def test_a_bad_code_is_refused_with_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ContactIdError, match=says):
        parse_code(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1130",
        "1130 01",
        "1130 1 015",
        "1130 01 15",
        "1130 01 015 1",
        "1130\n01 015",
        "1130 \u0660\u0661 015",
    ],
)
def test_a_bad_event_is_refused(text: str) -> None:
    with pytest.raises(ContactIdError, match="expected QEEE GG CCC"):
        ContactId.parse(text)


@pytest.mark.parametrize(
    ("code", "partition", "zone", "says"),
    [
        ("13", 0, 0, "event code"),
        ("1a0", 0, 0, "event code"),
        ("130", 100, 0, "partition 100"),
        ("130", -1, 0, "partition -1"),
        ("130", 0, 1000, "zone 1000"),
        ("130", 0, -1, "zone -1"),
    ],
)
def test_an_event_that_the_wire_has_no_room_for_is_not_made(code: str, partition: int, zone: int, says: str) -> None:
    with pytest.raises(ContactIdError, match=says):
        ContactId(Qualifier.NEW, code, partition, zone)


def test_s4_foreign_text_in_a_message_is_escaped_and_short() -> None:
    with pytest.raises(ContactIdError) as caught:
        ContactId.parse("\x1b[31m" + "x" * 10_000)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_dc05_has_no_a() -> None:
    assert is_event_code("BCF")
    assert not is_event_code("1A0")
    assert not is_event_code("130\n")
