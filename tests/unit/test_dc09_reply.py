"""Replies: ours to panels, and those of an ARC's software to us."""

from datetime import UTC, datetime

import pytest

from hotspare_model.dc09 import Frame, Header, crc16, decode, seal
from hotspare_model.dc09_crypto import encrypt
from hotspare_model.dc09_errors import (
    ClearTextRefusedError,
    CrcError,
    EncryptedWithoutKeyError,
    MalformedError,
    TimestampError,
    WrongKeyError,
)
from hotspare_model.dc09_reply import (
    NakForm,
    Reply,
    ReplyKind,
    encode_ack,
    encode_duh,
    encode_nak,
    parse_reply,
)

KEY = bytes(range(32))
NOW = datetime(2026, 8, 27, 20, 38, 9, tzinfo=UTC)


def zeros(length: int) -> bytes:
    return bytes(length)


def message(body: str) -> Frame:
    return decode(seal(body.encode("ascii")), lambda _: None)


# --- ours ---


def test_the_supervision_of_a_real_panel_gets_the_answer_that_it_expects() -> None:
    poll = decode(b'\nEA740027"NULL"0000L0#1409[]_20:38:07,08-27-2026\r', lambda _: None)
    assert encode_ack(poll) == b'\n59890012"ACK"0000L0#1409[]\r'


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("0042L0#AAA", "0042L0#AAA"),
        ("0042R1L2#AAA", "0042R1L2#AAA"),
        ("0042RL#AAA", "0042R0L0#AAA"),
        ("0042#aaf", "0042L0#aaf"),
        ("0042L0", "0042L0#0"),
    ],
)
def test_a_reply_repeats_its_message_and_leaves_out_an_r_that_was_not_there(sent: str, answered: str) -> None:
    alarm = message(f'"ADM-CID"{sent}[#AAA|1130 01 001]')
    assert encode_ack(alarm)[9:] == f'"ACK"{answered}[]\r'.encode("ascii")
    assert encode_duh(alarm)[9:] == f'"DUH"{answered}[]\r'.encode("ascii")


def test_a_nak_carries_our_time_in_either_form() -> None:
    assert encode_nak(NOW)[9:] == b'"NAK"0000R0L0#0[]_20:38:09,08-27-2026\r'
    assert encode_nak(NOW, NakForm.OLD)[9:] == b'"NAK"0000R0L0A0[]_20:38:09,08-27-2026\r'


def test_an_encrypted_message_gets_an_encrypted_ack_with_our_time() -> None:
    alarm = Header("ADM-CID", 42, None, "0", "AAA", encrypted=True)
    raw = encode_ack(alarm, key=KEY, pad=zeros, sent_at=NOW)
    assert raw[9:].startswith(b'"*ACK"0042L0#AAA[')
    assert decode(raw, lambda _: KEY) == Frame("ACK", 42, None, "0", "AAA", True, timestamp=NOW)


def test_a_message_in_clear_gets_an_ack_in_clear() -> None:
    alarm = Header("ADM-CID", 42, None, "0", "AAA")
    assert b'"ACK"0042' in encode_ack(alarm, key=KEY, pad=zeros)


def test_an_encrypted_message_gets_duh_in_clear() -> None:
    alarm = Header("ADM-CID", 42, None, "0", "AAA", encrypted=True)
    assert encode_duh(alarm)[9:] == b'"DUH"0042L0#AAA[]\r'


def test_a_message_with_a_binary_crc_gets_a_reply_with_one() -> None:
    poll = Header("NULL", 0, None, "0", "AAA", binary_crc=True)
    body = b'"ACK"0000L0#AAA[]'
    assert encode_ack(poll) == b"\n" + crc16(body).to_bytes(2, "big") + b"0011" + body + b"\r"
    assert encode_nak(NOW, binary_crc=True)[3:8] == b'0025"'


# --- theirs ---


SENT = Header("ADM-CID", 42, "1", "2", "0AAA")


def reply(body: str, key: bytes | None = None) -> Reply:
    return parse_reply(seal(body.encode("ascii")), key)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('"ACK"0042R1L2#0AAA[]', ReplyKind.ACK),
        ('"ACK"0042L2#0AAA[]', ReplyKind.ACK),
        ('"ACK"0042NoneL2#0AAA[]', ReplyKind.ACK),
        ('"ACK"0042R1L2#aaa[]', ReplyKind.ACK),
        ('"ACK"0042R1L2#0AAA', ReplyKind.ACK),
        ('"ACK"', ReplyKind.ACK),
        ('"DUH"0042R1L2#0AAA[]', ReplyKind.DUH),
        ('"DUH"', ReplyKind.DUH),
        ('"RSP"0042R1L2#0AAA[x][Ky]', ReplyKind.RSP),
        ('"NAK"0000R0L0A0[]_20:38:09,08-27-2026', ReplyKind.NAK),
        ('"NAK"0000R0L0#0[]_20:38:09,08-27-2026', ReplyKind.NAK),
        ('"NAK"0000L0R0A0[]_20:38:09,08-27-2026', ReplyKind.NAK),
        ('"NAK"0042R1L2#0AAA[]_20:38:09,08-27-2026', ReplyKind.NAK),
        ('"NAK"', ReplyKind.NAK),
    ],
)
def test_replies_of_all_forms_answer_the_message(body: str, kind: ReplyKind) -> None:
    answer = reply(body)
    assert answer.kind is kind
    assert answer.answers(SENT)


@pytest.mark.parametrize(
    "body",
    [
        '"ACK"0043R1L2#0AAA[]',
        '"ACK"0042R1L2#BBB[]',
        '"ACK"0000R1L2#0AAA[]',
        '"DUH"0041R1L2#0AAA[]',
        '"NAK"0041R1L2#0AAA[]',
    ],
)
def test_a_reply_to_another_message_answers_nothing(body: str) -> None:
    assert not reply(body).answers(SENT)


def test_the_time_of_a_nak_and_the_data_of_an_rsp_are_read() -> None:
    assert reply('"NAK"0000R0L0A0[]_20:38:09,08-27-2026').timestamp == NOW
    assert reply('"RSP"0042L0#AAA[x][Ky]') == Reply(ReplyKind.RSP, 42, "AAA", None, data="x", extended=(("K", "y"),))


def test_a_reply_in_a_broken_envelope_is_refused() -> None:
    with pytest.raises(CrcError):
        parse_reply(b'\n00000012"ACK"0000L0#1409[]\r')


@pytest.mark.parametrize(
    "body", ['"NULL"0000L0#AAA[]', '"ACK', '"ACK"x', '"ACK"0042L0#AAA[', '"ACK"0042L0#AAA[]x', '"ACK"0042[[]']
)
def test_what_is_no_reply_is_refused(body: str) -> None:
    with pytest.raises(MalformedError):
        reply(body)


def test_an_encrypted_ack_is_read_with_the_key() -> None:
    raw = encode_ack(Header("ADM-CID", 42, "1", "2", "AAA", True), key=KEY, pad=zeros, sent_at=NOW)
    answer = parse_reply(raw, KEY)
    assert answer == Reply(ReplyKind.ACK, 42, "AAA", NOW, encrypted=True)
    with pytest.raises(WrongKeyError):
        parse_reply(raw, bytes(32))
    with pytest.raises(EncryptedWithoutKeyError):
        parse_reply(raw)


@pytest.mark.parametrize("body", ['"ACK"0042R1L2#AAA[]_20:38:09,08-27-2026', '"ACK"', '"RSP"0042L0#AAA[]'])
def test_an_ack_in_clear_never_confirms_an_encrypted_alarm(body: str) -> None:
    with pytest.raises(ClearTextRefusedError):
        reply(body, KEY)


@pytest.mark.parametrize("body", ['"DUH"0042R1L2#0AAA[]', '"NAK"0000R0L0A0[]_20:38:09,08-27-2026'])
def test_duh_and_nak_are_in_clear_also_for_encrypted_alarms(body: str) -> None:
    assert reply(body, KEY).answers(SENT)


def test_an_encrypted_reply_without_a_time_could_be_a_replay() -> None:
    cipher = encrypt(KEY, b"0" * 14 + b"|]").hex().upper()
    with pytest.raises(TimestampError):
        reply(f'"*ACK"0042L0#AAA[{cipher}', KEY)
