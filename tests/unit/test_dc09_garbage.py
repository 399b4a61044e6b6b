"""Whatever comes in: a frame, a reply, or an error of the tree, and nothing else (S4)."""

import re
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from hotspare_model.dc09 import Frame, decode, encode, seal
from hotspare_model.dc09_crypto import encrypt
from hotspare_model.dc09_errors import EncodeError, FrameError
from hotspare_model.dc09_reply import encode_ack, encode_duh, parse_reply

KEY = bytes(range(24))
FORM = (
    r'"\*?(NULL|ADM-CID|SIA-DCS|ACK|NAK|DUH|RSP|[A-Z]{0,3})"[0-9]{3,5}(R[0-9A-F]{0,7})?(L[0-9A-G]{0,3})?'
    r"(A0|#[ -~]{0,17})?\[[ -~\n\r]{0,20}(\][\x00-\xff]{0,40})?(_[0-9:,-]{0,20}|_20:38:07,08-27-2026)?"
)
BODIES = st.from_regex(re.compile(FORM.encode("ascii")), fullmatch=True) | st.binary(max_size=200).map(
    lambda rest: b'"' + rest
)


def check(raw: bytes, key: bytes | None) -> None:
    with suppress(FrameError):
        assert isinstance(decode(raw, lambda _: key), Frame)
    with suppress(FrameError):
        parse_reply(raw, key)


@given(st.binary(max_size=300), st.sampled_from([None, KEY]))
@example(b"\n\r", None)
@example(b'\n00000000"\r', None)
def test_s4_any_bytes_are_a_frame_or_an_error_of_the_tree(raw: bytes, key: bytes | None) -> None:
    check(raw, key)


@given(BODIES.filter(lambda body: len(body) < 4096), st.booleans(), st.sampled_from([None, KEY]))
def test_s4_any_body_with_a_right_crc_is_a_frame_or_an_error_of_the_tree(
    body: bytes, binary_crc: bool, key: bytes | None
) -> None:
    check(seal(body, binary_crc), key)


@given(st.binary(max_size=60), st.sampled_from([b"ADM-CID", b"ACK", b"NAK", b"DUH"]))
def test_s4_any_plaintext_behind_the_right_key_is_a_frame_or_an_error_of_the_tree(
    plain: bytes, id_token: bytes
) -> None:
    padded = plain.ljust(-(-len(plain) // 16) * 16, b"]")
    check(seal(b'"*%b"0001L0#AAA[%b' % (id_token, encrypt(KEY, padded).hex().encode("ascii"))), KEY)


@given(BODIES.filter(lambda body: len(body) < 4096))
def test_what_was_read_can_be_answered_and_sent_on_or_is_refused_in_so_many_words(body: bytes) -> None:
    try:
        frame = decode(seal(body), lambda _: None)
    except FrameError:
        return
    if frame.id_token not in ("ACK", "NAK", "DUH"):
        assert parse_reply(encode_ack(frame)).answers(frame)
        assert parse_reply(encode_duh(frame)).answers(frame)
    with suppress(EncodeError):
        again = decode(encode(frame), lambda _: None)
        assert (again.id_token, again.account, again.data) == (frame.id_token, frame.account, frame.data)
        assert (again.extended, again.timestamp) == (frame.extended, frame.timestamp)
