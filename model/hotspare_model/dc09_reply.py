"""Replies of DC-09: how we answer a panel, and how we read the answer of an ARC's software.

A reply repeats sequence, receiver, line and account of its message; where the message had no R, the reply has
none, or panels report a failed poll.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from hotspare_model.dc09 import Frame, Header, encode, format_time, read_content, read_sequence, seal, unseal
from hotspare_model.dc09_errors import MalformedError


class ReplyKind(Enum):
    """What a reply says. The value is its id on the wire."""

    ACK = "ACK"
    """Taken."""
    DUH = "DUH"
    """Read, and can't be processed."""
    NAK = "NAK"
    """The time is outside the window."""
    RSP = "RSP"
    """Taken, with an answer in its data."""


class NakForm(Enum):
    """The two forms of a NAK, by edition of the standard; a setting. The value follows the sequence 0000."""

    OLD = "R0L0A0"
    NEW = "R0L0#0"


@dataclass(frozen=True)
class Reply:
    """A reply as it was read."""

    kind: ReplyKind
    sequence: int | None
    """None for a bare reply, which some software sends."""
    account: str | None
    timestamp: datetime | None
    """The other side's time: always there in a NAK of the standard and in an encrypted reply."""
    data: str = ""
    extended: tuple[tuple[str, str], ...] = ()
    encrypted: bool = False

    def answers(self, sent: Header) -> bool:
        """Tell whether this can be the answer to `sent`, the message in flight on this connection.

        A bare reply and a NAK with sequence 0 answer whatever is in flight. Receiver and line are not
        compared, nor leading zeros and case of the account: software writes them in its own way.
        """
        if self.sequence is None:
            return True
        if self.kind is ReplyKind.NAK:
            return self.sequence in (0, sent.sequence)
        return self.sequence == sent.sequence and _plain(self.account) == _plain(sent.account)


def encode_ack(
    message: Header,
    *,
    key: bytes | None = None,
    pad: Callable[[int], bytes] | None = None,
    sent_at: datetime | None = None,
) -> bytes:
    """Return the ACK of a message, encrypted if the message was.

    An encrypted one takes key, pad (as in `encode`) and the time of sending.
    Raises EncodeError, KeyLengthError.
    """
    reply = _reply_to(message, ReplyKind.ACK, message.encrypted, sent_at)
    return encode(reply, key if message.encrypted else None, pad)


def encode_duh(message: Header) -> bytes:
    """Return the DUH of a message, always in clear. Raises EncodeError."""
    return encode(_reply_to(message, ReplyKind.DUH, False, None))


def encode_nak(sent_at: datetime, form: NakForm = NakForm.NEW, *, binary_crc: bool = False) -> bytes:
    """Return a NAK, always in clear; by its time, ours, the panel can set its clock. Raises EncodeError."""
    return seal(f'"NAK"0000{form.value}[]_{format_time(sent_at)}'.encode("ascii"), binary_crc)


def _reply_to(message: Header, kind: ReplyKind, encrypted: bool, sent_at: datetime | None) -> Frame:
    return Frame(
        id_token=kind.value,
        sequence=message.sequence,
        receiver=message.receiver,
        line=message.line,
        account=message.account or "0",
        encrypted=encrypted,
        binary_crc=message.binary_crc,
        hex_sequence=message.hex_sequence,
        timestamp=sent_at,
    )


# Between sequence and account anything may stand: R and L in either order, or what a program printed for
# a receiver that was not there. None of it is needed.
_REPLY = re.compile(
    rb'"(?P<star>\*?)(?P<kind>ACK|DUH|NAK|RSP)"'
    rb'(?:(?P<sequence>[0-9A-Fa-f]{4})[^"#|\[\]]*(?:#(?P<account>[!-Z^-~]{0,16}))?(?:\[(?P<rest>.*))?)?',
    re.DOTALL,
)


def parse_reply(raw: bytes, key: bytes | None = None) -> Reply:
    """Read the answer to a message of ours; `key` is the key that the message was encrypted with, if it was.

    An ACK or RSP in clear to an encrypted message is refused: anybody could send it, and the alarm would be
    lost. DUH and NAK are in clear by the standard. Whether the reply belongs to the message, `Reply.answers`
    tells; whether its time is near ours is the caller's to judge.

    Raises the kinds of FrameError, all but TooLongError; KeyLengthError when `key` is no key.
    """
    body, binary = unseal(raw)
    match = _REPLY.fullmatch(body)
    if match is None:
        raise MalformedError("the frame is no ACK, DUH, NAK or RSP")
    kind = ReplyKind(match["kind"].decode("ascii"))
    sequence = None if match["sequence"] is None else read_sequence(match["sequence"])[0]
    account = None if match["account"] is None else match["account"].decode("ascii")
    encrypted = bool(match["star"])
    header = Header(kind.value, sequence or 0, account=account, encrypted=encrypted, binary_crc=binary)
    in_clear_by_standard = kind in (ReplyKind.DUH, ReplyKind.NAK) and not encrypted
    rest = match["rest"] if match["rest"] is not None else b"]"
    content = read_content(header, rest, None if in_clear_by_standard else key)
    return Reply(kind, sequence, account, content.timestamp, content.data, content.extended, encrypted)


def _plain(account: str | None) -> str:
    return (account or "").upper().lstrip("0")
