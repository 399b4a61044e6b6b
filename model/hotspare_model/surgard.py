"""Sur-Gard, as a receiver speaks it to automation software: messages that end with DC4, answers of one byte.

    Contact ID   5RRL 18AAAAQEEEGGCCC<DC4>     Q is E (new), R (restore) or P (still there)
    SIA          3RRL    AAAAAAXXYYYY<DC4>     the account filled up with spaces on the left
    heartbeat    1011           @    <DC4>

RR is the receiver number, L the line: one digit in MLR2's headers, three in those of System I to III. The heartbeat
speaks for the receiver, not for a line: MLR2 sends it as it stands above, whatever its numbers are, System with its own
receiver number and line 000.

An answer carries no number: what it answers follows from what was sent on the same connection alone.
"""

import re
from dataclasses import dataclass
from enum import Enum, IntEnum

from hotspare_model.contact_id import ContactId, ContactIdError, Qualifier

DC4 = b"\x14"
"""The end of a message."""

MOST_RECEIVERS = 99
MLR2_ACCOUNT = 4
"""Digits of an account behind an MLR2 header; a System header takes longer ones too."""
LONGEST_ACCOUNT = 16
SIA_ACCOUNT = 6
HIGHEST_SIA_ZONE = 9999
MAX_MESSAGE = 128
"""Bytes of the longest message that a reader takes, its end included; ours have no more than 40."""


class SurgardError(ValueError):
    """This is no Sur-Gard, or does not fit it."""


class Width(IntEnum):
    """Digits of the line number in a header."""

    MLR2 = 1
    SYSTEM = 3


class Answer(Enum):
    """What automation software answers; the value is the byte."""

    ACK = b"\x06"
    NAK = b"\x15"


_QUALIFIERS = {Qualifier.NEW: "E", Qualifier.RESTORE: "R", Qualifier.STATUS: "P"}
_QUALIFIER_OF = {letter: qualifier for qualifier, letter in _QUALIFIERS.items()}
_ACCOUNT = re.compile(rf"[0-9A-F]{{1,{LONGEST_ACCOUNT}}}")
_SIA_CODE = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Header:
    """Where a message comes from. Raises SurgardError when a number does not fit."""

    width: Width = Width.MLR2
    receiver: int = 1
    line: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.receiver <= MOST_RECEIVERS:
            raise SurgardError(f"receiver {self.receiver} is outside 0 to {MOST_RECEIVERS}")
        if not 0 <= self.line <= self.highest_line:
            raise SurgardError(f"line {self.line} is outside 0 to {self.highest_line}")

    @property
    def highest_line(self) -> int:
        """The highest line number of this width."""
        return 9 if self.width is Width.MLR2 else 999

    def __str__(self) -> str:
        return f"{self.receiver:02d}{self.line:0{int(self.width)}d}"


def encode_contact_id(header: Header, account: str, event: ContactId) -> bytes:
    """Make the message of a Contact ID event. Accounts of less than four digits get zeros in front.

    Raises SurgardError for an account that is not hexadecimal, or too long for the width.
    """
    account = _account(account).rjust(MLR2_ACCOUNT, "0")
    if header.width is Width.MLR2 and len(account) > MLR2_ACCOUNT:
        raise SurgardError(f"account {account} has more than {MLR2_ACCOUNT} digits, which take the width SYSTEM")
    text = f"5{header} 18{account}{_QUALIFIERS[event.qualifier]}{event.code}{event.partition:02d}{event.zone:03d}"
    return text.encode("ascii") + DC4


def encode_sia(header: Header, account: str, code: str, zone: int) -> bytes:
    """Make the message of an SIA event; it has no place for a partition.

    Raises SurgardError for an account, a code or a zone that does not fit.
    """
    account = _account(account)
    if len(account) > SIA_ACCOUNT:
        raise SurgardError(f"account {account} has more than the {SIA_ACCOUNT} digits of an SIA message")
    if _SIA_CODE.fullmatch(code) is None:
        raise SurgardError(f"an SIA code is two letters, got {code[:16]!a}")
    if not 0 <= zone <= HIGHEST_SIA_ZONE:
        raise SurgardError(f"zone {zone} is outside 0 to {HIGHEST_SIA_ZONE}")
    return f"3{header}    {account:>{SIA_ACCOUNT}}{code}{zone:04d}".encode("ascii") + DC4


def encode_heartbeat(header: Header) -> bytes:
    """Make the message that asks whether the software is there."""
    origin = "011" if header.width is Width.MLR2 else f"{header.receiver:02d}000"
    return f"1{origin}{'@':>12}    ".encode("ascii") + DC4


def read_answers(data: bytes) -> tuple[Answer, ...]:
    """Read the bytes that came back.

    With anything else among them, none is taken: an alert of TLS begins with the byte of NAK.

    Raises SurgardError.
    """
    try:
        return tuple(Answer(bytes((byte,))) for byte in data)
    except ValueError:
        raise SurgardError(f"neither ACK nor NAK: {data[:16].hex(' ')}") from None


# The other side.


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The receiver asks whether the software is there."""


@dataclass(frozen=True, slots=True)
class CidMessage:
    """A Contact ID event."""

    header: Header
    account: str
    event: ContactId


@dataclass(frozen=True, slots=True)
class SiaMessage:
    """An SIA event."""

    header: Header
    account: str
    code: str
    zone: int


Message = Heartbeat | CidMessage | SiaMessage

_HEARTBEAT = re.compile(rb"1[0-9]{3}(?:[0-9]{2})? {11}@ {4}\x14")
_CONTACT_ID = re.compile(rb"5([0-9]{2})([0-9]{3}|[0-9]) 18([0-9A-F]{4,16})([ERP])([0-9B-F]{3})([0-9]{2})([0-9]{3})\x14")
_SIA = re.compile(rb"3([0-9]{2})([0-9]{3}|[0-9]) {4}([ 0-9A-F]{6})([A-Z]{2})([0-9]{4})\x14")


def parse_message(raw: bytes) -> Message:
    """Read a message, its end included, as automation software does. Raises SurgardError."""
    if _HEARTBEAT.fullmatch(raw):
        return Heartbeat()
    if (match := _CONTACT_ID.fullmatch(raw)) is not None:
        receiver, line, account, letter, code, partition, zone = (part.decode("ascii") for part in match.groups())
        try:
            event = ContactId(_QUALIFIER_OF[letter], code, int(partition), int(zone))
        except ContactIdError as error:
            raise SurgardError(str(error)) from error
        return CidMessage(Header(Width(len(line)), int(receiver), int(line)), account, event)
    if (match := _SIA.fullmatch(raw)) is not None:
        receiver, line, account, code, zone = (part.decode("ascii") for part in match.groups())
        return SiaMessage(Header(Width(len(line)), int(receiver), int(line)), account.strip(), code, int(zone))
    raise SurgardError(f"no message of Sur-Gard: {raw[:48]!a}")


class MessageSplitter:
    """Cuts a stream into messages, each with its DC4; one that is in pieces is kept until it ends."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, and return the messages that they end. Raises SurgardError for one without an end."""
        *whole, self._buffer = (self._buffer + data).split(DC4)
        if len(self._buffer) >= MAX_MESSAGE:
            self._buffer = b""
            raise SurgardError(f"a message has no end within {MAX_MESSAGE} bytes")
        return [message + DC4 for message in whole]


def _account(text: str) -> str:
    account = text.upper()
    if _ACCOUNT.fullmatch(account) is None:
        raise SurgardError(f"an account is 1 to {LONGEST_ACCOUNT} hexadecimal digits, got {text[:20]!a}")
    return account
