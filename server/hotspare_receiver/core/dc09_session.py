"""What a DC-09 listener makes of the frames of panels: tolerant in, strict out (D1, S4). Pure.

`Judge` decides what a frame is and what it gets. An alarm gets its ACK only when it is durable, so that there are
steps: `judge`; `seen` right before it is carried out; `taken` after.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from hotspare_model.alarm import Alarm
from hotspare_model.dc09 import Frame, Header, read_content, read_header
from hotspare_model.dc09_errors import EncodeError, FrameError, TimestampError
from hotspare_model.dc09_events import EVENT_IDS, PanelEvent, PanelMessage, read_events
from hotspare_model.dc09_reply import ReplyKind, encode_ack, encode_duh, encode_nak
from hotspare_receiver.core.dc09_accounts import AccountTable, PanelAccount, plain
from hotspare_receiver.core.dc09_window import Clocks, FrameMemory, Seen, TimeWindow

SUPERVISION = "NULL"
REPLIES = frozenset(kind.value for kind in ReplyKind)


class Reason(StrEnum):
    """What a frame was, or why it was refused; stable, a label of metrics. Most are those of `FrameError`."""

    TAKEN = "taken"
    """Alarms, durable."""
    ALIVE = "alive"
    """Supervision."""
    AGAIN = "again"
    """An encrypted frame that was taken before, from the same address: answered once more, and nothing else."""
    MALFORMED = "malformed"
    CRC = "crc"
    LENGTH = "length"
    TOO_LONG = "too_long"
    UNKNOWN_ACCOUNT = "unknown_account"
    ENCRYPTED_WITHOUT_KEY = "encrypted_without_key"
    CLEAR_TEXT_REFUSED = "clear_text_refused"
    WRONG_KEY = "wrong_key"
    REPLAY = "replay"
    """An encrypted frame that was taken before, from another address."""
    TIMESTAMP = "timestamp"
    """Its time is outside of the window, or an encrypted frame has none."""
    UNSUPPORTED = "unsupported"
    """A message of a kind that is not taken, or without any event."""
    REPLY = "reply"
    """An ACK, NAK, DUH or RSP, which nobody asked for."""
    REFUSED = "refused"
    """The alarm itself was refused for good."""
    UNAVAILABLE = "unavailable"
    """It could not be made durable now; the panel has to send it again."""
    OVERLOAD = "overload"
    """More than is taken at once; unread, or read and dropped."""


TOLD = frozenset(
    {
        Reason.UNKNOWN_ACCOUNT, Reason.ENCRYPTED_WITHOUT_KEY, Reason.CLEAR_TEXT_REFUSED, Reason.WRONG_KEY,
        Reason.REPLAY,
    }
)  # fmt: skip
"""Refusals that the ARC is told of: a person has to look at the configuration, or at who sends."""

GOOD = frozenset({Reason.TAKEN, Reason.ALIVE, Reason.AGAIN})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a frame is. With `alarms` or ALIVE it stands only once it was carried out."""

    reason: Reason
    reply: ReplyKind | None = None
    """What it gets; None: nothing."""
    header: Header | None = None
    account: PanelAccount | None = None
    """Whose it is; None when that is not known or not proven."""
    alarms: tuple[Alarm, ...] = ()
    stamped: datetime | None = None
    """The time of the frame."""
    digest: bytes = field(default=b"", repr=False)
    """Of an encrypted frame: by it a repetition is known."""
    problem: str = ""
    """In words, without anything secret."""

    @property
    def good(self) -> bool:
        """Whether it is taken, as far as the frame goes."""
        return self.reason in GOOD

    @property
    def shown_account(self) -> str:
        """The account of the frame as it may be shown; empty without one."""
        return "" if self.header is None else self.header.account or ""


class Judge:
    """Decides about frames, for all connections of a listener."""

    def __init__(self, table: Callable[[], AccountTable], window: TimeWindow | None = None) -> None:
        self.window = window or TimeWindow()
        """Of accounts that have none of their own."""
        self._table = table
        self._memory = FrameMemory()
        self._clocks = Clocks()

    def knows(self, account: str) -> bool:
        """Whether there is such an account."""
        return self._table().find(account) is not None

    def judge(self, raw: bytes, wall: datetime, now: float) -> Verdict:
        """What a frame is, from LF to CR. `wall`: aware UTC; `now`: monotonic seconds."""
        try:
            header, rest = read_header(raw)
        except FrameError as error:
            return _refusal(error, None)
        if header.id_token in REPLIES:
            return Verdict(Reason.REPLY, header=header, problem="an answer that nobody waits for")
        account = self._table().find(header.account or "")
        if account is None:
            if not self._table().complete:
                return Verdict(Reason.UNAVAILABLE, header=header, problem="the accounts are not read yet")
            return Verdict(Reason.UNKNOWN_ACCOUNT, header=header, problem="no device has this account")
        clear = not header.encrypted and account.clear_allowed
        try:
            content = read_content(header, rest, None if clear else account.key)
        except TimestampError as error:
            return Verdict(Reason.TIMESTAMP, ReplyKind.NAK, header, account, problem=str(error))
        except FrameError as error:
            return _refusal(error, header)
        frame = Frame(**vars(header), **content._asdict())
        digest = hashlib.sha256(raw).digest()[:16] if header.encrypted else b""
        return self._timed(frame, account, wall, now) or _read(frame, account, digest, wall)

    def _timed(self, frame: Frame, account: PanelAccount, wall: datetime, now: float) -> Verdict | None:
        """The refusal of a frame for its time; None when it passes."""
        if frame.timestamp is None:
            return None
        if (account.window or self.window).admits(frame.timestamp, wall):
            self._clocks.right(account.account)
            return None
        if not frame.encrypted and not self._clocks.wrong(account.account, now):
            return None
        off = round((frame.timestamp - wall).total_seconds())
        return Verdict(
            Reason.TIMESTAMP, ReplyKind.NAK, frame, account, stamped=frame.timestamp,
            problem=f"its time is {off:+d} s from ours",
        )  # fmt: skip

    def seen(self, verdict: Verdict, peer: str, now: float) -> Verdict:
        """The verdict, once it is known whether the frame came before. Ask right before it is carried out."""
        if not verdict.good or not verdict.digest or verdict.account is None:
            return verdict
        match self._memory.look(verdict.account.account, verdict.digest, peer, now):
            case Seen.NEW:
                return verdict
            case Seen.AGAIN:
                return Verdict(Reason.AGAIN, ReplyKind.ACK, verdict.header, verdict.account)
            case Seen.REPLAYED:
                return Verdict(
                    Reason.REPLAY, None, verdict.header, verdict.account,
                    problem="it was taken before, from another address",
                )  # fmt: skip

    def taken(self, verdict: Verdict, peer: str, wall: datetime, now: float) -> None:
        """Remember a frame that was carried out, so that it is not taken again."""
        if not verdict.digest or verdict.account is None:
            return
        window = verdict.account.window or self.window
        keep_for = float("inf")
        if not window.off and verdict.stamped is not None:
            keep_for = (verdict.stamped - wall + window.past + timedelta(seconds=2)).total_seconds()
        self._memory.keep(verdict.account.account, verdict.digest, peer, now, keep_for)

    def forget_gone(self) -> None:
        """Forget what is known of accounts that the table has no more."""
        self._clocks.forget_others(self._table().names)


def reply_bytes(verdict: Verdict, wall: datetime, pad: Callable[[int], bytes]) -> bytes | None:
    """The answer on the wire; None for none, and for a frame whose header fits no answer of the standard."""
    header, account = verdict.header, verdict.account
    if verdict.reply is None or header is None or account is None:
        return None
    try:
        match verdict.reply:
            case ReplyKind.ACK:
                key = account.key if header.encrypted else None
                return encode_ack(header, key=key, pad=pad, sent_at=wall if header.encrypted else None)
            case ReplyKind.NAK:
                return encode_nak(wall, account.nak_form, binary_crc=header.binary_crc)
            case ReplyKind.DUH | ReplyKind.RSP:
                return encode_duh(header)
    except EncodeError:
        return None


def _refusal(error: FrameError, header: Header | None) -> Verdict:
    """What can't be read gets no answer: a CRC that is wrong, or a key, says nothing about who sends."""
    return Verdict(Reason(error.reason), header=header, problem=str(error))


def _read(frame: Frame, account: PanelAccount, digest: bytes, wall: datetime) -> Verdict:
    if frame.id_token == SUPERVISION:
        return Verdict(Reason.ALIVE, ReplyKind.ACK, frame, account, stamped=frame.timestamp, digest=digest)
    if frame.id_token not in EVENT_IDS:
        problem = "a kind of message that is not taken"
        return Verdict(Reason.UNSUPPORTED, ReplyKind.DUH, frame, account, problem=problem)
    message = read_events(frame)
    if message is None:
        return Verdict(Reason.UNSUPPORTED, ReplyKind.DUH, frame, account, problem="a message without an event")
    return Verdict(
        Reason.TAKEN, ReplyKind.ACK, frame, account, stamped=frame.timestamp, digest=digest,
        alarms=tuple(_alarm(event, message, frame, account, wall) for event in message.events),
    )  # fmt: skip


def _alarm(event: PanelEvent, message: PanelMessage, frame: Frame, account: PanelAccount, wall: datetime) -> Alarm:
    return Alarm(
        alarm_id="",
        device_id=account.device_id,
        qualifier=event.qualifier,
        code_format=event.code_format,
        code=event.code,
        partition=event.partition,
        zone=event.zone,
        occurred=message.occurred or _sent(frame, wall),
        text=_text(event.text, message.account, frame.account or ""),
        verification_url=message.link,
        latitude=message.latitude,
        longitude=message.longitude,
    )


def _sent(frame: Frame, wall: datetime) -> datetime | None:
    """When it was sent, by its own time, else by ours. None where it tells a time that is none: that is marked."""
    if frame.bad_timestamp is not None:
        return None
    return frame.timestamp or wall


def _text(text: str, inner: str, outer: str) -> str:
    """The text, with the account of the data where that is another than the frame's: it tells who it is about."""
    if plain(inner) in ("", plain(outer)):
        return text
    return f"{text}, account {inner}" if text else f"account {inner}"
