"""What the fuzzer feeds bytes to. A target raises nothing, whatever comes; an exception is a find.

- decoder: one frame, and one reply.
- session: what a listener makes of connections and datagrams, with known accounts.
- intake: an alarm of the gRPC contract, as a device sends it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from google.protobuf.message import DecodeError

from hotspare.v1 import alarm_pb2
from hotspare_model.dc09 import MAX_FRAME, Frame, decode
from hotspare_model.dc09_errors import FrameError, TooLongError
from hotspare_model.dc09_events import read_events
from hotspare_model.dc09_reply import ReplyKind, parse_reply
from hotspare_model.dc09_stream import FrameSplitter
from hotspare_receiver.core.dc09_accounts import AccountTable, PanelAccount
from hotspare_receiver.core.dc09_session import Judge, Reason, Verdict, reply_bytes
from hotspare_receiver.core.dc09_stream import DATAGRAM_FRAMES, Fed, Stream, datagram_frames
from hotspare_receiver.core.dc09_window import TimeWindow
from hotspare_rpc.wire import alarm_from_proto, alarm_to_proto

WALL = datetime(2026, 8, 27, 20, 38, 7, tzinfo=UTC)
KEY = bytes(range(16))
TABLE = AccountTable(
    [
        PanelAccount("AAA", "clear"),
        PanelAccount("B12345", "keyed", KEY),
        PanelAccount("C0DE", "mixed", KEY, clear_allowed=True, window=TimeWindow(off=True)),
    ]
)


def pad(length: int) -> bytes:
    """Bytes for the padding of encrypted answers, the same in each run."""
    return bytes(97 + number % 26 for number in range(length))


def decoder(data: bytes) -> None:
    """A frame or an error of the tree; the events of a frame; a reply or an error of the tree."""
    for key in (None, KEY):
        with suppress(FrameError):
            parse_reply(data, key)
    for key_of in (lambda _: None, lambda _: KEY):
        with suppress(FrameError):
            frame = decode(data, key_of)
            assert isinstance(frame, Frame)
            message = read_events(frame)
            assert message is None or message.events


def session(data: bytes) -> None:
    """The bytes as a connection, in pieces that their first byte tells, and as a datagram."""
    judge = Judge(lambda: TABLE)
    piece, rest = max(1, data[0] if data else 1), data[1:]
    stream, splitter, kept = Stream(0.0), FrameSplitter(), 0
    for number, start in enumerate(range(0, len(rest), piece)):
        chunk = rest[start : start + piece]
        fed = stream.feed(chunk, float(number))
        # The bytes of the frames that came out, and what is kept of one that has begun, are no more than came in.
        kept += sum(map(len, fed.frames))
        assert kept <= start + len(chunk)
        with suppress(TooLongError):
            splitter.feed(chunk)
        assert splitter.pending <= MAX_FRAME + piece
        assert stream.deadline >= 0
        for raw in fed.frames:
            stream.judged(_answer(judge, raw, float(number)).account is not None)
        if fed.too_long or stream.spoiled:
            break
    datagram: Fed = datagram_frames(rest)
    assert len(datagram.frames) <= DATAGRAM_FRAMES
    for raw in datagram.frames:
        _answer(judge, raw, 1000.0)


def _answer(judge: Judge, raw: bytes, now: float) -> Verdict:
    wall = WALL + timedelta(seconds=now)
    verdict = judge.seen(judge.judge(raw, wall, now), "10.0.0.1", now)
    reply = reply_bytes(verdict, wall, pad)
    if verdict.account is None:
        assert reply is None
        assert not verdict.alarms
        return verdict
    assert verdict.header is not None
    if verdict.account.device_id == "keyed" and verdict.good:
        assert verdict.header.encrypted
    assert (verdict.reason is Reason.TAKEN) == bool(verdict.alarms)
    if reply is not None:
        read = parse_reply(reply, verdict.account.key if verdict.header.encrypted else None)
        assert read.kind is verdict.reply
        assert read.kind is ReplyKind.NAK or read.answers(verdict.header)
    if verdict.good:
        judge.taken(verdict, "10.0.0.1", wall, now)
        if verdict.digest:
            assert judge.seen(judge.judge(raw, wall, now), "10.0.0.1", now).reason is Reason.AGAIN
    for alarm in verdict.alarms:
        # It has to fit the contract: it goes to the cloud in a message.
        assert alarm_from_proto(alarm_to_proto(alarm)) == alarm
    return verdict


def intake(data: bytes) -> None:
    """An alarm, whatever stands in it, is read, and travels on as it was read (A10)."""
    try:
        message = alarm_pb2.Alarm.FromString(data)
    except DecodeError:
        return
    sent = alarm_to_proto(alarm_from_proto(message))
    # As bytes: a coordinate may be NaN, which equals nothing.
    again = alarm_to_proto(alarm_from_proto(alarm_pb2.Alarm.FromString(sent.SerializeToString())))
    assert again.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)


TARGETS: Mapping[str, Callable[[bytes], None]] = {"decoder": decoder, "session": session, "intake": intake}
