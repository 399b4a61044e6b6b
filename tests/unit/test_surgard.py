"""Sur-Gard: messages to the letter, answers of one byte, and what a reader takes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.contact_id import ContactId, Qualifier
from hotspare_model.surgard import (
    MAX_MESSAGE,
    Answer,
    CidMessage,
    Header,
    Heartbeat,
    MessageSplitter,
    SiaMessage,
    SurgardError,
    Width,
    encode_contact_id,
    encode_heartbeat,
    encode_sia,
    parse_message,
    read_answers,
)

BURGLARY = ContactId(Qualifier.NEW, "130", 1, 15)
MLR2 = Header()
SYSTEM = Header(Width.SYSTEM, 7, 42)


def test_o1_contact_id_to_the_letter_in_both_widths() -> None:
    assert encode_contact_id(MLR2, "1234", BURGLARY) == b"5011 181234E13001015\x14"
    assert encode_contact_id(SYSTEM, "1234", BURGLARY) == b"507042 181234E13001015\x14"
    assert encode_contact_id(SYSTEM, "ab12345678", BURGLARY) == b"507042 18AB12345678E13001015\x14"


@pytest.mark.parametrize(("qualifier", "letter"), [(1, b"E"), (3, b"R"), (6, b"P")])
def test_o1_qualifiers_are_letters(qualifier: int, letter: bytes) -> None:
    raw = encode_contact_id(MLR2, "1234", ContactId(Qualifier(qualifier), "401", 0, 7))
    assert raw == b"5011 181234" + letter + b"40100007\x14"


def test_o1_a_short_account_has_four_digits_and_a_long_one_takes_the_width_system() -> None:
    assert b" 180012E" in encode_contact_id(MLR2, "12", BURGLARY)
    with pytest.raises(SurgardError, match="width SYSTEM"):
        encode_contact_id(MLR2, "12345", BURGLARY)


def test_o1_sia_to_the_letter_with_spaces_before_the_account() -> None:
    assert encode_sia(MLR2, "1234", "BA", 15) == b"3011      1234BA0015\x14"
    assert encode_sia(SYSTEM, "ABCDEF", "OP", 0) == b"307042    ABCDEFOP0000\x14"


def test_o2_the_heartbeat_to_the_letter() -> None:
    assert encode_heartbeat(MLR2) == b"1011           @    \x14"
    assert len(encode_heartbeat(MLR2)) == 21
    assert encode_heartbeat(Header(receiver=5, line=3)) == encode_heartbeat(MLR2)
    assert encode_heartbeat(SYSTEM) == b"107000           @    \x14"


@pytest.mark.parametrize("wrong", [(1, 100, 1), (1, -1, 1), (1, 1, 10), (3, 1, 1000), (3, 1, -1)])
def test_s4_numbers_that_do_not_fit_the_header_are_refused(wrong: tuple[int, int, int]) -> None:
    width, receiver, line = wrong
    with pytest.raises(SurgardError):
        Header(Width(width), receiver, line)


@pytest.mark.parametrize(
    ("account", "code", "zone"),
    [("", "BA", 1), ("12G4", "BA", 1), ("1234567", "BA", 1), ("1", "ba", 1), ("1", "BAX", 1), ("1", "BA", 10000)],
)
def test_s4_what_does_not_fit_an_sia_message_is_refused(account: str, code: str, zone: int) -> None:
    with pytest.raises(SurgardError):
        encode_sia(MLR2, account, code, zone)


def test_answers_are_single_bytes() -> None:
    assert read_answers(b"\x06") == (Answer.ACK,)
    assert read_answers(b"\x15\x06") == (Answer.NAK, Answer.ACK)


@pytest.mark.parametrize("data", [b"\x06\r\n", b"\x15\x03\x01\x00\x02\x02\x28", b"ok", b"\x86", b"\x00"])
def test_s4_with_anything_else_no_byte_counts(data: bytes) -> None:
    """An alert of TLS begins with the byte of NAK: it must not refuse an alarm."""
    with pytest.raises(SurgardError):
        read_answers(data)


def test_what_is_encoded_is_read() -> None:
    assert parse_message(encode_heartbeat(MLR2)) == parse_message(encode_heartbeat(SYSTEM)) == Heartbeat()
    for header in (MLR2, SYSTEM):
        assert parse_message(encode_contact_id(header, "1234", BURGLARY)) == CidMessage(header, "1234", BURGLARY)
        assert parse_message(encode_sia(header, "1234", "BA", 7)) == SiaMessage(header, "1234", "BA", 7)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_s4_any_bytes_are_read_or_refused_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    splitter, whole = MessageSplitter(), []
    edges = [0, *sorted(cuts), len(data)]
    try:
        for start, end in pairwise(edges):
            whole += splitter.feed(data[start:end])
    except SurgardError:
        return
    for raw in whole:
        assert raw.endswith(b"\x14")
        try:
            parse_message(raw)
        except SurgardError:
            continue


def test_s4_a_message_without_an_end_is_not_kept() -> None:
    splitter = MessageSplitter()
    with pytest.raises(SurgardError):
        splitter.feed(b"5" * MAX_MESSAGE)
    assert splitter.feed(encode_heartbeat(MLR2)) == [encode_heartbeat(MLR2)]
