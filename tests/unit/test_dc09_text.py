"""Strange texts in frames (A10, S4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.dc09 import Frame, decode, encode
from hotspare_model.dc09_text import TEXT_LIMIT, Charset, SafeText, from_wire, sanitise


@pytest.mark.parametrize("text", ["", "Front door", "Küche • 5 €", "it's {fine}, #1_2", "x" * TEXT_LIMIT])
def test_a_harmless_text_stays(text: str) -> None:
    assert sanitise(text) == SafeText(text, altered=False)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("[a]|b|", "(a)/b/"),
        ('say "x"', "say 'x'"),
        ("a\r\nb\x00\x7f\x85\u2028c", "a  b    c"),
        ("e\u0301", "é"),
        ("Łódź ž", "?ódz ž"),
        ("дверь", "?????"),
        ("\ud800", "?"),
        ("\ufb01re \uff3bx\uff3d", "fire (x)"),
        ("x" * 300, "x" * TEXT_LIMIT),
    ],
)
def test_a10_a_strange_text_is_altered_and_that_is_told(text: str, safe: str) -> None:
    assert sanitise(text) == SafeText(safe, altered=True)


@pytest.mark.parametrize("code", range(0x20, 0x7F))
def test_each_printable_ascii_character_stays_but_for_those_that_structure_a_frame(code: int) -> None:
    altered = chr(code) in '[]|"'
    assert (sanitise(chr(code)).altered, sanitise(chr(code) + "é").altered) == (altered, altered)


def test_ascii_can_be_asked_for() -> None:
    assert sanitise("Küche 5 €", charset=Charset.ASCII) == SafeText("Kuche 5 ?", altered=True)


def test_a_text_is_cut_at_the_limit() -> None:
    assert sanitise("abcdef", limit=3) == SafeText("abc", altered=True)
    assert sanitise("abc", limit=3) == SafeText("abc", altered=False)


@given(st.text(st.characters(codec=None)), st.sampled_from(Charset))
def test_s4_no_text_breaks_a_frame_or_changes_twice(text: str, charset: Charset) -> None:
    safe = sanitise(text, charset=charset)
    assert safe.altered == (safe.text != text)
    assert sanitise(safe.text, charset=charset) == SafeText(safe.text, altered=False)
    safe.text.encode(charset.value)
    frame = Frame("ADM-CID", 1, None, "0", "AAA", data="#AAA|1130 01 001", extended=(("I", safe.text),))
    assert decode(encode(frame), lambda _: None) == frame


@given(st.binary())
def test_any_bytes_can_be_read_as_text(raw: bytes) -> None:
    assert len(from_wire(raw)) == len(raw)
