"""Frames of SIA DC-09: what is taken from a wire and what is put on one.

    LF crc 0LLL "id" seq [R receiver] L line # account [ data ] [ extended ] ... [_timestamp] CR

Strict in what it sends. In what it takes it forgives what real panels do: no R, no L or one without digits,
hex in lower case, a CRC of two binary bytes, accounts that are not hex, a time that is none. Replies are in
`dc09_reply`, the cutting of a stream into frames in `dc09_stream`, Contact ID in `dc09_adm_cid`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from hotspare_model import dc09_crypto
from hotspare_model.dc09_errors import (
    ClearTextRefusedError,
    CrcError,
    EncodeError,
    EncryptedWithoutKeyError,
    LengthError,
    MalformedError,
    TimestampError,
    WrongKeyError,
)
from hotspare_model.dc09_text import Charset, from_wire

MAX_BODY = 0xFFF
"""Bytes between CRC-and-length and CR: the length field has three hex digits."""

MAX_FRAME = 1 + 4 + 4 + MAX_BODY + 1
"""Bytes of the longest frame, LF and CR included."""

UNNUMBERED_IDS = frozenset({"NULL", "ACK", "NAK", "DUH", "RSP"})
"""Supervision, which may have sequence 0, and what answers it."""


@dataclass(frozen=True)
class Header:
    """What stands before the data, never encrypted."""

    id_token: str
    """`SIA-DCS`, `ADM-CID`, `NULL`, ...; without the `*` of encryption."""
    sequence: int
    """0 to 9999; pairs a reply with its message. Above, when a panel counts in hex."""
    receiver: str | None = None
    """1 to 6 hex digits; None without R, empty for an R without digits."""
    line: str | None = None
    """1 to 6 hex digits; None without L, empty for an L without digits. Sent as L0 then."""
    account: str | None = None
    """As sent: 3 to 16 hex characters by the standard, other ones by some panels. None without #."""
    encrypted: bool = False
    binary_crc: bool = False
    """The CRC as two bytes, high one first, in place of four hex digits. A reply takes the message's form."""
    hex_sequence: str = ""
    """The sequence as sent, by the panels that count in hex digits; a reply repeats it."""


@dataclass(frozen=True)
class Frame(Header):
    """A whole message."""

    data: str = ""
    """The content of the first brackets."""
    extended: tuple[tuple[str, str], ...] = ()
    """The further brackets: (letter, text), in their order."""
    timestamp: datetime | None = None
    """Time of sending, aware, whole seconds."""
    bad_timestamp: str | None = None
    """What stood for the time in a clear frame but is none (A10). It is never sent."""

    def first_extended(self, letter: str) -> str | None:
        """Return the text of the first extended block with this letter, or None."""
        return next((text for name, text in self.extended if name == letter), None)


class Content(NamedTuple):
    """What stands in and after the first brackets: the part that encryption hides."""

    data: str
    extended: tuple[tuple[str, str], ...]
    timestamp: datetime | None
    bad_timestamp: str | None


_TEXT_ENVELOPE = re.compile(rb'\n([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})(".*)\r', re.DOTALL)
_BINARY_ENVELOPE = re.compile(rb'\n(..)([0-9A-Fa-f]{4})(".*)\r', re.DOTALL)
_HEADER = re.compile(
    rb'"(?P<star>\*?)(?P<id>[A-Za-z0-9-]{1,16})"(?P<sequence>[0-9A-Fa-f]{4})'
    rb"(?:R(?P<receiver>[0-9A-Fa-f]{0,6}))?(?:L(?P<line>[0-9A-Fa-f]{0,6}))?"
    rb'(?:#(?P<account>(?:(?!["#|\[\]])[!-~]){0,16}))?\['
)
_CONTENT = re.compile(rb"(?P<data>[^\[\]\r\n]*)\](?P<extended>(?:\[[^\[\]\r\n]+\])*)(?:_(?P<time>[^\[\]\r\n]*))?")
_BLOCK = re.compile(rb"\[([^\[\]])([^\[\]]*)\]")
_CIPHER = re.compile(rb"(?:[0-9A-Fa-f]{32})+")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2}),([0-9]{2})-([0-9]{2})-([0-9]{4})")

_ID = re.compile(r"[A-Za-z0-9-]{1,16}")
_HEX_SEQUENCE = re.compile(r"[0-9A-Fa-f]{4}")
_NUMBER = re.compile(r"[0-9A-Fa-f]{1,6}")
_ACCOUNT = re.compile(r'(?:(?!["#|\[\]])[!-~]){1,16}')
_STANDARD_ACCOUNT = re.compile(r"[0-9A-F]{3,16}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\[\]]")
# By accident in the pad, these would be taken for its end or for brackets (5.4.4).
_PAD_TABLE = bytes.maketrans(b"|[]", b"!<>")


def is_standard_account(text: str) -> bool:
    """Tell whether `text` is an account by the letter of the standard: 3 to 16 of 0-9 and A-F."""
    return _STANDARD_ACCOUNT.fullmatch(text) is not None


def crc16(body: bytes) -> int:
    """CRC-16 of DC-09 (DC-07, annex B): polynomial 0xA001 reflected, start 0, over the body."""
    crc = 0
    for byte in body:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_CRC_TABLE = tuple(_crc_of_byte(byte) for byte in range(256))


def format_time(when: datetime) -> str:
    """Return `HH:MM:SS,MM-DD-YYYY` in UTC. Raises EncodeError for a time without zone or without UTC year."""
    if when.utcoffset() is None:
        raise EncodeError("a time without a zone can't be sent")
    try:
        utc = when.astimezone(UTC)
    except OverflowError:
        raise EncodeError(f"{when.isoformat()} has no UTC time in the years 1 to 9999") from None
    return f"{utc:%H:%M:%S,%m-%d}-{utc.year:04d}"


def parse_time(text: str) -> datetime | None:
    """Read `HH:MM:SS,MM-DD-YYYY` as UTC; None when it is no time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute, second, month, day, year = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def seal(body: bytes, binary_crc: bool = False) -> bytes:
    """Put LF, CRC, length and CR around a body. Raises EncodeError when it is too long."""
    if len(body) > MAX_BODY:
        raise EncodeError(f"a body of {len(body)} bytes does not fit, {MAX_BODY} do")
    crc = crc16(body)
    return b"\n%b%04X%b\r" % (crc.to_bytes(2, "big") if binary_crc else b"%04X" % crc, len(body), body)


def unseal(raw: bytes) -> tuple[bytes, bool]:
    """Check the envelope; return the body and whether the CRC was binary.

    Raises MalformedError, CrcError, LengthError.
    """
    binary = False
    match = _TEXT_ENVELOPE.fullmatch(raw)
    if match is None:
        match, binary = _BINARY_ENVELOPE.fullmatch(raw), True
    if match is None:
        raise MalformedError(f"no LF, CRC, length, quote ... CR in {len(raw)} bytes")
    found = int.from_bytes(match[1], "big") if binary else int(match[1], 16)
    body = match[3]
    if found != (computed := crc16(body)):
        raise CrcError(found, computed)
    if (length := int(match[2], 16)) != len(body):
        raise LengthError(length, len(body))
    return body, binary


def encode(frame: Frame, key: bytes | None = None, pad: Callable[[int], bytes] | None = None) -> bytes:
    """Return the frame as bytes, LF and CR included.

    `key` and `pad` are for encrypted frames, and for these alone; `pad(n)` returns n random bytes.
    Raises EncodeError when the frame does not fit the wire, KeyLengthError for a key that is none.
    """
    _check_header(frame)
    head = (
        f'"{"*" if frame.encrypted else ""}{frame.id_token}"{frame.hex_sequence or format(frame.sequence, "04d")}'
        f"{'' if frame.receiver is None else 'R' + (frame.receiver or '0')}"
        f"L{frame.line or '0'}#{frame.account}["
    ).encode("ascii")
    content = _content_bytes(frame)
    if not frame.encrypted:
        # The caller meant to encrypt: never let that go out in clear by a forgotten flag.
        if key is not None:
            raise EncodeError("a key was given for a frame that is not marked as encrypted")
        return seal(head + content, frame.binary_crc)
    if key is None or pad is None:
        raise EncodeError("an encrypted frame takes a key and a source of random bytes")
    if frame.timestamp is None:
        raise EncodeError("an encrypted frame takes a timestamp")
    return seal(head + _encrypt(content, key, pad).hex().upper().encode("ascii"), frame.binary_crc)


def decode(raw: bytes, key_of: Callable[[str], bytes | None]) -> Frame:
    """Read one frame, from LF to CR.

    `key_of(account)` is the key of an account, None for one that talks in clear; a frame without an account
    asks for "". Whether the time lies in the account's window, and whether the frame came before, is the
    caller's to judge.

    Raises the kinds of FrameError, all but TooLongError; KeyLengthError when `key_of` returns no key.
    """
    header, rest = read_header(raw)
    content = read_content(header, rest, key_of(header.account or ""))
    return Frame(**vars(header), **content._asdict())


def read_header(raw: bytes) -> tuple[Header, bytes]:
    """Read what is never encrypted of a frame; also return what follows its first `[`, for `read_content`.

    Raises MalformedError, CrcError, LengthError.
    """
    body, binary = unseal(raw)
    match = _HEADER.match(body)
    if match is None:
        raise MalformedError('the body does not begin with "id", sequence, R, L, # and [')
    sequence, hex_sequence = read_sequence(match["sequence"])
    header = Header(
        id_token=match["id"].decode("ascii"),
        sequence=sequence,
        receiver=_optional(match["receiver"]),
        line=_optional(match["line"]),
        account=_optional(match["account"]),
        encrypted=bool(match["star"]),
        binary_crc=binary,
        hex_sequence=hex_sequence,
    )
    return header, body[match.end() :]


def read_content(header: Header, rest: bytes, key: bytes | None) -> Content:
    """Read what follows the first `[`, decrypted with `key` when the header says so.

    Raises MalformedError, EncryptedWithoutKeyError, ClearTextRefusedError, WrongKeyError, TimestampError.
    """
    if not header.encrypted:
        if key is not None:
            raise ClearTextRefusedError("clear text, though the account has a key", header=header)
        content = _split_content(rest)
        if content is None:
            raise MalformedError("the brackets of data and extended data don't match", header=header)
        return content
    if key is None:
        raise EncryptedWithoutKeyError("encrypted, and the account has no key", header=header)
    if _CIPHER.fullmatch(rest) is None:
        raise MalformedError("what is encrypted is not whole blocks in hex", header=header)
    plain = dc09_crypto.decrypt(key, bytes.fromhex(rest.decode("ascii")))
    content = _split_content(_without_pad(plain))
    if content is None:
        raise WrongKeyError("the key of the account does not open this frame", header=header)
    if content.timestamp is None:
        raise TimestampError("encrypted, and without a time that can be read", header=header)
    return content


def _without_pad(plain: bytes) -> bytes:
    """Cut the pad off. Some senders leave the `|` out where the data is empty: then the pad ends at `]`."""
    end = plain.find(b"]")
    bar = plain.find(b"|", 0, end + 1)
    return plain[bar + 1 :] if bar >= 0 else plain[max(end, 0) :]


def _split_content(rest: bytes) -> Content | None:
    match = _CONTENT.fullmatch(rest)
    if match is None:
        return None
    extended = tuple((from_wire(letter), from_wire(text)) for letter, text in _BLOCK.findall(match["extended"]))
    text = None if match["time"] is None else from_wire(match["time"])
    time = None if text is None else parse_time(text)
    return Content(from_wire(match["data"]), extended, time, text if time is None else None)


def read_sequence(text: bytes) -> tuple[int, str]:
    """Read four digits; with letters among them it is a number in hex, and that text goes along."""
    return (int(text), "") if text.isdigit() else (int(text, 16), text.decode("ascii"))


def _optional(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("ascii")


def _check_header(header: Header) -> None:
    if _ID.fullmatch(header.id_token) is None:
        raise EncodeError(f"{header.id_token!a} is no id of a message")
    if header.hex_sequence and _HEX_SEQUENCE.fullmatch(header.hex_sequence) is None:
        raise EncodeError(f"sequence {header.hex_sequence!a} is not four hex digits")
    lowest = 0 if header.id_token in UNNUMBERED_IDS else 1
    if not header.hex_sequence and not lowest <= header.sequence <= 9999:
        raise EncodeError(f"sequence {header.sequence} is outside {lowest} to 9999")
    for name, number in (("receiver", header.receiver), ("line", header.line)):
        if number and _NUMBER.fullmatch(number) is None:
            raise EncodeError(f"{name} {number!a} is not 1 to 6 hex digits")
    if header.account is None or _ACCOUNT.fullmatch(header.account) is None:
        raise EncodeError(f"account {header.account!a} is not 1 to 16 characters without structure")


def _content_bytes(frame: Frame) -> bytes:
    parts = [_wire_text(frame.data), b"]"]
    for letter, text in frame.extended:
        if len(letter) != 1:
            raise EncodeError(f"extended data begins with one letter, not with {letter!a}")
        parts.append(b"[%b]" % _wire_text(letter + text))
    if frame.timestamp is not None:
        parts.append(b"_" + format_time(frame.timestamp).encode("ascii"))
    return b"".join(parts)


def _wire_text(text: str) -> bytes:
    if (unsafe := _UNSAFE.search(text)) is not None:
        raise EncodeError(f"text holds {unsafe[0]!a}, which would break the frame; sanitise it first")
    try:
        return text.encode(Charset.WINDOWS_1252.value)
    except UnicodeEncodeError as error:
        raise EncodeError(f"text holds {text[error.start]!a}, which Windows-1252 does not have") from None


def _encrypt(content: bytes, key: bytes, pad: Callable[[int], bytes]) -> bytes:
    length = dc09_crypto.BLOCK - (len(content) + 1) % dc09_crypto.BLOCK
    padding = pad(length)
    if len(padding) != length:
        raise EncodeError(f"asked for {length} random bytes of padding, got {len(padding)}")
    return dc09_crypto.encrypt(key, padding.translate(_PAD_TABLE) + b"|" + content)
