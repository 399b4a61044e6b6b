"""DC-09 frames: encryption, and what is sent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from hotspare_model.dc09 import (
    MAX_BODY,
    MAX_FRAME,
    Frame,
    crc16,
    decode,
    encode,
    format_time,
    is_standard_account,
    parse_time,
    seal,
)
from hotspare_model.dc09_crypto import KeyLengthError, encrypt
from hotspare_model.dc09_errors import (
    ClearTextRefusedError,
    EncodeError,
    EncryptedWithoutKeyError,
    MalformedError,
    TimestampError,
    WrongKeyError,
)

KEY = bytes(range(16))
SENT_AT = datetime(2026, 8, 27, 20, 38, 7, tzinfo=UTC)


def no_key(_account: str) -> None:
    return None


def key_of(_account: str) -> bytes:
    return KEY


def zeros(length: int) -> bytes:
    return bytes(length)


def sealed(body: str) -> bytes:
    return seal(body.encode("cp1252"))


def encrypted_content(content: bytes, pad: bytes = b"") -> bytes:
    """Make an encrypted frame whose plaintext is `content`, with its pad, to the letter."""
    padded = pad + content
    cipher = encrypt(KEY, padded.rjust(-(-len(padded) // 16) * 16, b"p")).hex().upper()
    return sealed(f'"*ADM-CID"0001L0#AAA[{cipher}')


# --- encryption ---


ALARM = Frame("ADM-CID", 7, "1", "2", "AAA", True, data="#AAA|1130 01 015", extended=(("I", "a|b"),), timestamp=SENT_AT)


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("filler", range(17))
def test_encrypted_frames_open_with_their_key(length: int, filler: int) -> None:
    frame = replace(ALARM, extended=(("I", "x" * filler),))
    key = bytes(range(length))
    raw = encode(frame, key, zeros)
    assert b"1130" not in raw
    cipher = raw[raw.index(b"[") + 1 : -1]
    assert cipher == cipher.upper()
    assert len(cipher) % 32 == 0
    assert decode(raw, lambda account: key if account == "AAA" else None) == frame


def test_the_pad_is_1_to_16_bytes_and_fills_the_block() -> None:
    asked: list[int] = []

    def pad(length: int) -> bytes:
        asked.append(length)
        return bytes(length)

    for filler in range(16):
        encode(replace(ALARM, data="x" * filler), KEY, pad)
    assert sorted(asked) == list(range(1, 17))


def test_a_pad_full_of_structure_does_no_harm() -> None:
    for byte in b"|[]":
        assert decode(encode(ALARM, KEY, lambda n, b=byte: bytes([b]) * n), key_of) == ALARM  # type: ignore[misc]


def test_encrypted_hex_in_lower_case_is_forgiven() -> None:
    raw = encode(ALARM, KEY, zeros)
    body = raw[9:-1]
    start = body.index(b"[")
    assert decode(seal(body[:start] + body[start:].lower()), key_of) == ALARM


def test_an_empty_data_block_may_come_without_the_bar_after_the_pad() -> None:
    frame = decode(encrypted_content(b"][Ia|b]_20:38:07,08-27-2026", pad=b"0" * 5), key_of)
    assert (frame.data, frame.extended, frame.timestamp) == ("", (("I", "a|b"),), SENT_AT)


def test_encrypted_without_a_key_is_refused_and_the_account_is_told() -> None:
    with pytest.raises(EncryptedWithoutKeyError) as caught:
        decode(encode(ALARM, KEY, zeros), no_key)
    assert caught.value.header is not None
    assert (caught.value.header.account, caught.value.header.sequence) == ("AAA", 7)


def test_clear_text_of_an_account_with_a_key_is_refused_without_showing_the_key() -> None:
    with pytest.raises(ClearTextRefusedError) as caught:
        decode(sealed('"ADM-CID"0001L0#AAA[#AAA|1130 01 001][Kx]'), key_of)
    assert KEY.hex() not in str(caught.value)
    assert repr(KEY) not in repr(caught.value)


def test_another_key_is_refused() -> None:
    with pytest.raises(WrongKeyError):
        decode(encode(ALARM, KEY, zeros), lambda _: bytes(16))


@pytest.mark.parametrize("rest", ["", "AB", "0" * 31, "0" * 30 + "0 ", "0" * 30 + "0g", "0" * 32 + "]"])
def test_ciphertext_that_is_not_whole_blocks_is_refused(rest: str) -> None:
    with pytest.raises(MalformedError):
        decode(sealed(f'"*ADM-CID"0001L0#AAA[{rest}'), key_of)


@pytest.mark.parametrize("time", [b"", b"_", b"_20:38:07,08-32-2026"])
def test_an_encrypted_frame_without_a_time_could_be_a_replay_and_is_refused(time: bytes) -> None:
    with pytest.raises(TimestampError):
        decode(encrypted_content(b"|#AAA|1130 01 015]" + time), key_of)


def test_a_key_of_another_length_is_an_error_of_ours() -> None:
    with pytest.raises(KeyLengthError):
        encode(ALARM, b"short", zeros)
    with pytest.raises(KeyLengthError):
        decode(encode(ALARM, KEY, zeros), lambda _: b"short")


# --- what is sent ---


def test_an_alarm_in_clear_to_the_letter() -> None:
    frame = replace(ALARM, encrypted=False, extended=(("H", "20:37:00,08-27-2026"),))
    body = b'"ADM-CID"0007R1L2#AAA[#AAA|1130 01 015][H20:37:00,08-27-2026]_20:38:07,08-27-2026'
    assert encode(frame) == b"\n%04X%04X%b\r" % (crc16(body), len(body), body)


def test_a_time_is_sent_in_utc() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert format_time(datetime(2026, 1, 1, 3, 0, 0, 999_999, tzinfo=east)) == "21:30:00,12-31-2025"
    assert format_time(datetime(7, 1, 1, tzinfo=UTC)) == "00:00:00,01-01-0007"


@pytest.mark.parametrize(
    "when",
    [datetime(2026, 1, 1), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))],  # noqa: DTZ001
)
def test_a_time_that_utc_does_not_have_is_not_sent(when: datetime) -> None:
    with pytest.raises(EncodeError):
        format_time(when)


@pytest.mark.parametrize(
    "text", ["", "20:38:07", "_20:38:07,08-27-2026", "20:38:07,08-27-26", "\u0662\u0660:38:07,08-27-2026"]
)
def test_other_text_is_no_time(text: str) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id_token": 'ACK"'}, "no id"),
        ({"id_token": ""}, "no id"),
        ({"sequence": 0}, "sequence 0"),
        ({"sequence": 10000}, "sequence 10000"),
        ({"receiver": "G"}, "receiver"),
        ({"line": "1234567"}, "line"),
        ({"account": None}, "account"),
        ({"account": ""}, "account"),
        ({"account": "A]B"}, "account"),
        ({"account": "A" * 17}, "account"),
        ({"account": "AAA\n"}, "account"),
        ({"data": "a]"}, "break the frame"),
        ({"data": "a\r"}, "break the frame"),
        ({"extended": (("I", "a\n"),)}, "break the frame"),
        ({"extended": (("I", "["),)}, "break the frame"),
        ({"extended": (("", "a"),)}, "one letter"),
        ({"extended": (("I", "ж"),)}, "Windows-1252"),
        ({"data": "x" * MAX_BODY}, "does not fit"),
    ],
)
def test_s4_what_would_break_a_frame_is_not_sent(change: dict[str, object], says: str) -> None:
    with pytest.raises(EncodeError, match=says):
        encode(replace(ALARM, encrypted=False, **change))  # type: ignore[arg-type]


def test_the_longest_frame_is_sent() -> None:
    frame = Frame("SIA-DCS", 1, None, "0", "AAA", data="x" * (MAX_BODY - len('"SIA-DCS"0001L0#AAA[]')))
    raw = encode(frame)
    assert len(raw) == MAX_FRAME
    assert decode(raw, no_key) == frame


def test_what_should_be_encrypted_never_goes_out_in_clear() -> None:
    with pytest.raises(EncodeError, match="not marked as encrypted"):
        encode(replace(ALARM, encrypted=False), KEY, zeros)
    with pytest.raises(EncodeError, match="takes a key"):
        encode(ALARM)
    with pytest.raises(EncodeError, match="takes a key"):
        encode(ALARM, KEY)
    with pytest.raises(EncodeError, match="timestamp"):
        encode(replace(ALARM, timestamp=None), KEY, zeros)
    with pytest.raises(EncodeError, match="padding"):
        encode(ALARM, KEY, lambda _: b"")


def test_accounts_of_the_standard_can_be_told() -> None:
    assert all(map(is_standard_account, ["AAA", "1409", "0123456789ABCDEF"]))
    assert not any(map(is_standard_account, ["AA", "aaa", "AAG", "0" * 17, "AAA\n", ""]))
