"""Frames out of a stream of bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.dc09 import MAX_FRAME, crc16
from hotspare_model.dc09_errors import TooLongError
from hotspare_model.dc09_stream import FrameSplitter

POLL = b'\n54230012"NULL"0000L0#AAA[]\r'
TEST = b'\nDABA003F"ADM-CID"0062L0#B12345[#B12345|1602 00 000]_17:23:51,09-18-2023\r'


def binary_frame(crc_byte: int) -> bytes:
    """Make a frame whose binary CRC begins with the byte, by trying sequences."""
    for sequence in range(10_000):
        body = b'"NULL"%04dL0#AAA[]' % sequence
        crc = crc16(body).to_bytes(2, "big")
        if crc[0] == crc_byte:
            return b"\n%b%04X%b\r" % (crc, len(body), body)
    raise AssertionError


BINARY = [binary_frame(0x0A), binary_frame(0x0D), binary_frame(0x41), b'\n\n\r0012"NULL"0000L0#AAA[]\r']


def test_frames_come_out_in_order_wherever_the_stream_is_cut() -> None:
    frames = [POLL, TEST, *BINARY, POLL]
    stream = b"".join(frames)
    for cut in range(len(stream) + 1):
        splitter = FrameSplitter()
        assert splitter.feed(stream[:cut]) + splitter.feed(stream[cut:]) == frames
        assert (splitter.skipped, splitter.pending) == (0, 0)


def test_frames_come_out_byte_by_byte_each_with_its_last_byte() -> None:
    splitter = FrameSplitter()
    for frame in (POLL, TEST, *BINARY):
        for byte in frame[:-1]:
            assert splitter.feed(bytes([byte])) == []
        assert splitter.feed(frame[-1:]) == [frame]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\r",
        b"\x00",
        b"HID=16:00#UID=1\r",
        b"\n\r",
        b"\n",
        b"\n\n\n",
        b'\n5423"NU',
        b"\xff" * 10_000,
        b"\n\r\r\n",
    ],
)
def test_s4_rubbish_between_frames_is_skipped_and_counted(rubbish: bytes) -> None:
    splitter = FrameSplitter()
    assert splitter.feed(POLL + rubbish + TEST) == [POLL, TEST]
    assert splitter.skipped == len(rubbish)


def test_s4_rubbish_without_a_frame_is_not_kept() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"x" * 1_000_000) == []
    assert (splitter.skipped, splitter.pending) == (1_000_000, 0)


def test_an_ended_line_that_is_no_frame_comes_out_so_that_it_can_be_told() -> None:
    assert FrameSplitter().feed(b"\nGET / HTTP/1.1\r\n") == [b"\nGET / HTTP/1.1\r"]


def test_s4_a_frame_over_the_limit_is_told_after_the_good_ones() -> None:
    splitter = FrameSplitter(limit=100)
    with pytest.raises(TooLongError, match="100") as caught:
        splitter.feed(POLL + b"\n" + b"x" * 99)
    assert caught.value.frames == (POLL,)
    assert splitter.pending == 0
    assert splitter.feed(b"the rest of it\r" + TEST) == [TEST]
    assert splitter.skipped == 100 + 15


def test_s4_what_follows_a_frame_over_the_limit_in_the_same_bytes_is_kept() -> None:
    splitter = FrameSplitter(limit=100)
    with pytest.raises(TooLongError):
        splitter.feed(b"\n" + b"x" * 150 + b"\r" + POLL)
    assert splitter.feed(b"") == [POLL]
    assert splitter.skipped == 152


def test_a_frame_of_exactly_the_limit_passes() -> None:
    frame = b"\n" + b"x" * 98 + b"\r"
    assert FrameSplitter(limit=100).feed(frame) == [frame]
    with pytest.raises(TooLongError):
        FrameSplitter(limit=99).feed(frame)


def test_s4_bytes_of_a_frame_that_never_ends_are_bounded() -> None:
    splitter = FrameSplitter()
    splitter.feed(b"\n" + b"x" * (MAX_FRAME - 2))
    with pytest.raises(TooLongError):
        splitter.feed(b"x")


def test_a_limit_that_lets_nothing_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="no frame"):
        FrameSplitter(limit=3)


PIECES = st.lists(st.sampled_from([POLL, TEST, *BINARY, b"\n", b"\r", b"\n\r", b'"', b"0012", b"\x00"]) | st.binary())


@given(PIECES, st.lists(st.integers(0, 500)))
def test_s4_every_byte_is_in_a_frame_or_skipped_or_pending_however_it_is_cut(
    pieces: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(pieces)
    whole = FrameSplitter()
    expected = whole.feed(stream)
    assert sum(map(len, expected)) + whole.skipped + whole.pending == len(stream)

    splitter, frames, start = FrameSplitter(), [], 0
    for cut in sorted(cuts):
        frames += splitter.feed(stream[start:cut] if cut > start else b"")
        start = max(start, cut)
    frames += splitter.feed(stream[start:])
    assert frames == expected
