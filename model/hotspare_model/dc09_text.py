"""Text inside DC-09 frames: Windows-1252, and nothing that could be taken for structure (S4, A10)."""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum


class Charset(Enum):
    """What the other side reads. The value is the name of Python's codec."""

    WINDOWS_1252 = "cp1252"
    """What DC-09 allows in extended data."""
    ASCII = "ascii"
    """For software that reckons the CRC of non-ASCII text wrongly."""


TEXT_LIMIT = 255
"""Characters that a sanitised text has at most, unless told otherwise."""

_PLAIN = re.compile(r"[ !#-Z\\^-{}~]*")
"""Printable ASCII without what a frame is made of: most texts are, and need no look at each character."""

_STRUCTURE = {"[": "(", "]": ")", "|": "/", '"': "'"}


@dataclass(frozen=True)
class SafeText:
    """A text that can stand in a frame."""

    text: str
    altered: bool
    """Whether it differs from what was given."""


def sanitise(text: str, limit: int = TEXT_LIMIT, charset: Charset = Charset.WINDOWS_1252) -> SafeText:
    """Make any text fit for a frame, as readable as it can be; it never fails.

    Structure characters become similar ones, control characters spaces, characters outside `charset` their
    base letter or `?`; what is longer than `limit` characters is cut off.
    """
    if len(text) <= limit and _PLAIN.fullmatch(text):
        return SafeText(text, False)
    # Cut before the work as well: a text of megabytes must not cost anybody time (S4). Four times the limit
    # leaves room for letters that come with their accents apart.
    composed = unicodedata.normalize("NFC", text[: limit * 4])
    safe = "".join(_safe(character, charset) for character in composed)[:limit]
    return SafeText(safe, safe != text)


def _safe(character: str, charset: Charset) -> str:
    if character in _STRUCTURE:
        return _STRUCTURE[character]
    if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
        return " "
    if _fits(character, charset):
        return character
    base = "".join(part for part in unicodedata.normalize("NFKD", character) if part.isascii())
    return "".join(_STRUCTURE.get(part, part) for part in base if part.isprintable()) or "?"


def _fits(character: str, charset: Charset) -> bool:
    try:
        character.encode(charset.value)
    except UnicodeEncodeError:
        return False
    return True


def from_wire(raw: bytes) -> str:
    """Read Windows-1252; the five bytes that it does not define become U+FFFD. It never fails."""
    return raw.decode(Charset.WINDOWS_1252.value, "replace")
