"""DC-09 frames: those of real panels, what is forgiven, what is refused."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotspare_model.dc09 import (
    Frame,
    crc16,
    decode,
    encode,
    seal,
)
from hotspare_model.dc09_errors import (
    CrcError,
    FrameError,
    LengthError,
    MalformedError,
)

DATA = Path(__file__).parents[1] / "data"
SENT_AT = datetime(2026, 8, 27, 20, 38, 7, tzinfo=UTC)


def no_key(_account: str) -> None:
    return None


def frames(name: str) -> list[str]:
    lines = (DATA / name).read_text("ascii").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def enveloped(line: str) -> bytes:
    return f"\n{line}\r".encode("ascii")


def sealed(body: str) -> bytes:
    return seal(body.encode("cp1252"))


# --- frames of real panels ---


ACCEPTED = frames("dc09-accept.txt")


@pytest.mark.parametrize(
    ("line", "expected"),
    list(
        zip(
            ACCEPTED,
            [
                Frame("NULL", 0, None, "0", "AAA"),
                Frame(
                    "SIA-DCS",
                    4,
                    None,
                    "0",
                    "AAA",
                    data="#AAA|Nri0/RP0000",
                    timestamp=datetime(2023, 2, 20, 9, 10, 30, tzinfo=UTC),
                ),
                Frame("NULL", 0, None, "0", "1409", timestamp=SENT_AT),
                Frame(
                    "ADM-CID",
                    62,
                    None,
                    "0",
                    "B12345",
                    data="#B12345|1602 00 000",
                    timestamp=datetime(2023, 9, 18, 17, 23, 51, tzinfo=UTC),
                ),
                Frame("NULL", 1, None, None, "1997", timestamp=datetime(2024, 5, 23, 17, 7, 8, tzinfo=UTC)),
            ],
            strict=True,
        )
    ),
    ids=["ajax-supervision", "ajax-test", "pyronix", "dahua", "tell"],
)
def test_frames_of_real_panels_are_read(line: str, expected: Frame) -> None:
    assert decode(enveloped(line), no_key) == expected


@pytest.mark.parametrize("line", [line for line in ACCEPTED if "L0" in line])
def test_a_legal_frame_comes_out_as_it_went_in(line: str) -> None:
    assert encode(decode(enveloped(line), no_key)) == enveloped(line)


def test_a_frame_without_l_is_sent_on_with_l0() -> None:
    tell = decode(enveloped(ACCEPTED[-1]), no_key)
    assert b'"NULL"0001L0#1997[]_17:07:08,05-23-2024\r' in encode(tell)


@pytest.mark.parametrize(
    ("line", "error"),
    list(zip(frames("dc09-refuse.txt"), [CrcError, CrcError, MalformedError], strict=True)),
    ids=["eldes-crc-and-length", "eldes-crc", "another-protocol"],
)
def test_frames_that_are_none_are_refused(line: str, error: type[FrameError]) -> None:
    with pytest.raises(error):
        decode(enveloped(line), no_key)


def test_a_wrong_crc_tells_both() -> None:
    with pytest.raises(CrcError) as caught:
        decode(enveloped(frames("dc09-refuse.txt")[0]), no_key)
    assert (caught.value.found, caught.value.computed) == (0xBCD3, 0x52A3)


# --- what is forgiven ---


def test_hex_in_lower_case_is_forgiven() -> None:
    raw = enveloped(ACCEPTED[3])
    lower = raw[:9].lower() + raw[9:]
    assert lower != raw
    assert decode(lower, no_key) == decode(raw, no_key)


def test_a_binary_crc_is_forgiven_and_kept_for_the_reply() -> None:
    body = b'"NULL"0000L0#AAA[]'
    raw = b"\n" + crc16(body).to_bytes(2, "big") + b"0012" + body + b"\r"
    frame = decode(raw, no_key)
    assert frame == Frame("NULL", 0, None, "0", "AAA", binary_crc=True)
    assert encode(frame) == raw


def test_a_wrong_binary_crc_is_refused() -> None:
    with pytest.raises(CrcError):
        decode(b'\n\x00\x000012"NULL"0000L0#AAA[]\r', no_key)


@pytest.mark.parametrize(
    ("head", "receiver", "line", "account"),
    [
        ("0001R1L2#AAA", "1", "2", "AAA"),
        ("0001R4F39L4F39#4F39", "4F39", "4F39", "4F39"),
        ("0001L#7303658550", None, "", "7303658550"),
        ("0001RL#AAA", "", "", "AAA"),
        ("0001#AAA", None, None, "AAA"),
        ("0001L0#aaf", None, "0", "aaf"),
        ("0001L0#Site-7/x", None, "0", "Site-7/x"),
        ("0001L0#", None, "0", ""),
        ("0001L0", None, "0", None),
        ("0001Rabcdef", "abcdef", None, None),
    ],
)
def test_headers_of_odd_panels_are_forgiven(
    head: str, receiver: str | None, line: str | None, account: str | None
) -> None:
    frame = decode(sealed(f'"NULL"{head}[]'), no_key)
    assert (frame.receiver, frame.line, frame.account) == (receiver, line, account)


def test_a10_a_time_that_is_none_does_not_cost_the_alarm() -> None:
    frame = decode(sealed('"ADM-CID"0001L0#AAA[#AAA|1130 01 001]_25:61:00,13-32-2026'), no_key)
    assert frame.data == "#AAA|1130 01 001"
    assert (frame.timestamp, frame.bad_timestamp) == (None, "25:61:00,13-32-2026")


def test_several_extended_blocks_are_read_in_order() -> None:
    frame = decode(sealed('"ADM-CID"0001L0#AAA[#AAA|1130 01 001][H1][I|"x"][Iy]'), no_key)
    assert frame.extended == (("H", "1"), ("I", '|"x"'), ("I", "y"))
    assert (frame.first_extended("I"), frame.first_extended("V")) == ('|"x"', None)


def test_windows_1252_is_read_and_sent() -> None:
    raw = sealed('"SIA-DCS"0001L0#AAA[#AAA|Nri1/BA1][IKüche • 5 €]')
    frame = decode(raw, no_key)
    assert frame.extended == (("I", "Küche • 5 €"),)
    assert encode(frame) == raw


def test_bytes_that_windows_1252_does_not_have_are_marked() -> None:
    frame = decode(seal(b'"SIA-DCS"0001L0#AAA[#AAA|Nri1/BA1][I\x81]'), no_key)
    assert frame.extended == (("I", "�"),)


# --- what is refused ---


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"\n\r",
        b'54230012"NULL"0000L0#AAA[]',
        b'\n54230012"NULL"0000L0#AAA[]',
        b'54230012"NULL"0000L0#AAA[]\r',
        b'\n54230012"NULL"0000L0#AAA[]\r\n',
        b'\n542300 2"NULL"0000L0#AAA[]\r',
        b'\n+4230012"NULL"0000L0#AAA[]\r',
    ],
)
def test_bytes_without_an_envelope_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(raw, no_key)


def test_a_wrong_length_is_refused() -> None:
    with pytest.raises(LengthError) as caught:
        decode(b'\n54230013"NULL"0000L0#AAA[]\r', no_key)
    assert (caught.value.found, caught.value.actual) == (0x13, 0x12)


@pytest.mark.parametrize(
    "body",
    [
        '"NULL',
        '""0000L0#AAA[]',
        '"NULL"000L0#AAA[]',
        '"NULL"00G0L0#AAA[]',
        '"NULL"0000L1234567#AAA[]',
        '"NULL"0000L0#12345678901234567[]',
        '"NULL"0000L0#A A[]',
        '"NULL"0000L0#AAA',
        '"NULL"0000L0#AAA[',
        '"NULL"0000L0#AAA[]]',
        '"NULL"0000L0#AAA[[]]',
        '"NULL"0000L0#AAA[][]',
        '"NULL"0000L0#AAA[]x',
        '"NULL"0000L0#AAA[a\nb]',
        '"NULL"0000L0#AAA[][Ia\rb]',
        '"**NULL"0000L0#AAA[]',
    ],
)
def test_a_body_out_of_form_is_refused(body: str) -> None:
    with pytest.raises(MalformedError):
        decode(sealed(body), no_key)


def test_each_error_has_a_reason_of_its_own() -> None:
    kinds = FrameError.__subclasses__()
    assert len({kind.reason for kind in kinds} | {FrameError.reason}) == len(kinds) + 1
