"""What an ARC's software answers to a DC-09 message, and the ways in which it can misbehave."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from hotspare_model.contact_id import ContactIdError
from hotspare_model.dc09 import Frame, Header, decode
from hotspare_model.dc09_adm_cid import ADM_CID, AdmCid, read_adm_cid
from hotspare_model.dc09_errors import EncodeError, FrameError, MalformedError, TimestampError
from hotspare_model.dc09_reply import encode_ack, encode_duh, encode_nak
from hotspare_model.dc09_text import from_wire
from hotspare_model.sequence import WIRE_SEQUENCES

SUPERVISION = "NULL"
EVENTS = frozenset({ADM_CID, "SIA-DCS"})
"""Messages that carry an alarm."""

RUBBISH = b"\x00HTTP/1.0 400 Bad Request\r\n\xff\xfe\n1234\r"
"""No DC-09 by any reading, with LF and CR in it all the same."""


class Fault(StrEnum):
    """How the software misbehaves; the value is the word on the command line."""

    MUTE = "mute"
    """It reads, and never answers."""
    RUBBISH = "rubbish"
    """It answers with bytes that are no DC-09."""
    CLOSE = "close"
    """It closes the connection instead of answering."""
    NAK = "nak"
    """It says that the time of the message is wrong."""
    DUH = "duh"
    """It says that it can't process the message."""
    HALF = "half"
    """It sends the first half of the answer, and no more."""
    LATE = "late"
    """It answers rightly, but after the other side gave up."""
    TWICE = "twice"
    """It sends the answer twice."""
    WRONG_SEQUENCE = "wrong-sequence"
    """It acknowledges another message than the one that came."""


class Answered(StrEnum):
    """What a message got, beside the faults: the value stands in the log."""

    ACK = "ack"
    NAK = "nak"
    DUH = "duh"
    NONE = "none"
    """Nothing: what can't be read gets no answer."""


@dataclass(frozen=True)
class Message:
    """What came, as far as it could be read."""

    raw: bytes
    header: Header | None
    """None when it was not even readable so far."""
    event: AdmCid | None
    """None for supervision, other forms, and what could not be read."""
    problem: FrameError | ContactIdError | None
    """Why it is refused. None: it is good."""

    @property
    def is_alarm(self) -> bool:
        """Whether it is, or wants to be, an alarm and not supervision."""
        return self.header is None or self.header.id_token != SUPERVISION


@dataclass(frozen=True)
class Answer:
    """What the software does with a message."""

    answered: str
    """An `Answered` or a `Fault`."""
    data: bytes = b""
    late: bool = False
    closes: bool = False


def read_message(raw: bytes, key_of: Callable[[str], bytes | None]) -> Message:
    """Read one frame; whatever is wrong with it stands in the result."""
    try:
        frame = decode(raw, key_of)
    except FrameError as problem:
        return Message(raw, problem.header, None, problem)
    try:
        return Message(raw, frame, _event(frame), None)
    except (FrameError, ContactIdError) as problem:
        return Message(raw, frame, None, problem)


def _event(frame: Frame) -> AdmCid | None:
    if frame.id_token == ADM_CID:
        return read_adm_cid(frame)
    if frame.id_token == SUPERVISION or frame.id_token in EVENTS:
        return None
    raise MalformedError(f"a message {frame.id_token!a} is not for this software", header=frame)


def answer_to(
    message: Message,
    fault: Fault | None,
    now: datetime,
    key_of: Callable[[str], bytes | None],
    pad: Callable[[int], bytes],
) -> Answer:
    """Decide what a message gets; `now` is the software's wall clock, `pad` gives random bytes."""
    if message.problem is not None or message.header is None:
        return _refusal(message, now)
    header = message.header
    try:
        match fault:
            case Fault.MUTE:
                return Answer(fault)
            case Fault.RUBBISH:
                return Answer(fault, RUBBISH)
            case Fault.CLOSE:
                return Answer(fault, closes=True)
            case Fault.NAK:
                return Answer(fault, encode_nak(now, binary_crc=header.binary_crc))
            case Fault.DUH:
                return Answer(fault, encode_duh(header))
            case None | Fault.HALF | Fault.LATE | Fault.TWICE | Fault.WRONG_SEQUENCE:
                return _acknowledgement(header, fault, now, key_of(header.account or ""), pad)
    except EncodeError:
        # What it was sent with does not fit a reply by the standard; silence makes the sender show it.
        return Answer(Answered.NONE)


def _acknowledgement(
    header: Header, fault: Fault | None, now: datetime, key: bytes | None, pad: Callable[[int], bytes]
) -> Answer:
    """The ACK, or what a fault makes of it. Raises EncodeError."""
    if fault is Fault.WRONG_SEQUENCE:
        header = _with_next_sequence(header)
    ack = encode_ack(header, key=key, pad=pad, sent_at=now if header.encrypted else None)
    match fault:
        case Fault.HALF:
            return Answer(fault, ack[: len(ack) // 2])
        case Fault.LATE:
            return Answer(fault, ack, late=True)
        case Fault.TWICE:
            return Answer(fault, ack * 2)
        case Fault.WRONG_SEQUENCE:
            return Answer(fault, ack)
        case _:
            return Answer(Answered.ACK, ack)


def _refusal(message: Message, now: datetime) -> Answer:
    """By the standard: NAK for a time that can't be taken, DUH for what was read and can't be processed."""
    if message.header is None:
        return Answer(Answered.NONE)
    try:
        if isinstance(message.problem, TimestampError):
            return Answer(Answered.NAK, encode_nak(now, binary_crc=message.header.binary_crc))
        return Answer(Answered.DUH, encode_duh(message.header))
    except EncodeError:
        return Answer(Answered.NONE)


def _with_next_sequence(header: Header) -> Header:
    values = {name: getattr(header, name) for name in Header.__dataclass_fields__}
    return Header(**values | {"sequence": header.sequence % WIRE_SEQUENCES + 1})


def log_entry(message: Message, answered: str) -> dict[str, Any]:
    """What stands in the log about a message, but for the times. Fields that it does not have are null."""
    header, event = message.header, message.event
    contact = None if event is None else event.contact_id
    occurred = None if event is None else event.occurred
    return {
        "kind": None if header is None else header.id_token,
        "account": _account(message),
        "sequence": None if header is None else header.sequence,
        "qualifier": None if contact is None else int(contact.qualifier),
        "code": None if contact is None else contact.code,
        "partition": None if contact is None else contact.partition,
        "zone": None if contact is None else contact.zone,
        "occurrence": None if occurred is None else occurred.isoformat(),
        "text": None if event is None else event.text,
        "receiver": None if header is None else header.receiver,
        "line": None if header is None else header.line,
        "encrypted": header is not None and header.encrypted,
        "answered": str(answered),
        "problem": None if message.problem is None else str(message.problem),
        "raw": from_wire(message.raw),
    }


def _account(message: Message) -> str | None:
    if message.event is not None:
        return message.event.account
    return None if message.header is None else message.header.account
