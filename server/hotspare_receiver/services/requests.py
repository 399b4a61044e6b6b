"""What all services here ask of a request: pages, masks, names, texts, etags."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection, Iterable

from google.protobuf.field_mask_pb2 import FieldMask

from hotspare_model.errors import HotspareError, Reason, field_invalid

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
AES_KEY_LENGTHS = (16, 24, 32)


def page_size(asked: int, most: int, usual: int = 100) -> int:
    """How many rows a page has. Raises HotspareError FIELD_INVALID above `most`."""
    if asked > most:
        raise field_invalid("page_size", f"is at most {most}")
    return asked or usual


def page_token(list_name: str, last: str | int, *filters: object) -> str:
    """A token that continues a list behind `last`, with the same filters only."""
    return base64.urlsafe_b64encode(json.dumps([_list_of(list_name, filters), last]).encode()).decode()


def read_page_token(token: str, list_name: str, *filters: object) -> str | int | None:
    """Behind what to continue; None for the first page.

    Raises:
        HotspareError: PAGE_TOKEN_INVALID, for one that is damaged or of another list.
    """
    if not token:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error, RecursionError):
        found = None
    match found:
        case [str(of), str() | int() as last] if of == _list_of(list_name, filters):
            return last
        case _:
            raise HotspareError(
                Reason.PAGE_TOKEN_INVALID,
                "the page token is damaged, or belongs to another list or other filters",
            )


def mask_paths(mask: FieldMask, settable: Collection[str], later: Collection[str] = ()) -> tuple[str, ...]:
    """The fields that a request changes. `later`: fields of the contract that this release does not serve.

    Raises:
        HotspareError: FIELD_INVALID without any; FIELD_MASK_INVALID for one that can't be changed.
    """
    paths = tuple(dict.fromkeys(mask.paths))
    if not paths:
        raise field_invalid("update_mask", "must name the fields that change")
    for path in paths:
        if path in later:
            raise HotspareError(Reason.FIELD_MASK_INVALID, f"{path} can't be set in this release yet", field=path)
        if path not in settable:
            raise HotspareError(
                Reason.FIELD_MASK_INVALID,
                f"{path} is no field that can be changed; these are: {', '.join(sorted(settable))}",
                field=path,
            )
    return paths


def check_etag(asked: str, current: str) -> None:
    """Refuse a change of something that changed since it was read. Raises HotspareError ETAG_MISMATCH."""
    if asked and asked != current:
        raise HotspareError(
            Reason.ETAG_MISMATCH, "it was changed since it was read: read it again and repeat", etag=current
        )


def check_name(field: str, text: str, also: str = "") -> str:
    """A name of 1 to 64 characters of A-Z a-z 0-9 . _ - and those of `also`. Raises FIELD_INVALID."""
    plain = "".join(character for character in text if character not in also)
    if not 1 <= len(text) <= 64 or (plain and not _NAME.fullmatch(plain)):
        allowed = " ".join(["A-Z a-z 0-9 . _", *also, "-"])
        raise field_invalid(field, f"must be 1 to 64 characters of {allowed}")
    return text


def check_text(field: str, text: str, longest: int) -> str:
    """A text of one line for people. Raises FIELD_INVALID when it is too long or has control characters."""
    if len(text) > longest:
        raise field_invalid(field, f"is at most {longest} characters long")
    if not text.isprintable():
        raise field_invalid(field, "must not have control characters")
    return text


def check_hex(field: str, text: str, fewest: int, most: int) -> str:
    """Hexadecimal digits, in upper case. Raises FIELD_INVALID."""
    if not fewest <= len(text) <= most or not _HEX.fullmatch(text):
        raise field_invalid(field, f"must be {fewest} to {most} hexadecimal digits")
    return text.upper()


def check_aes_key(field: str, key: bytes) -> bytes:
    """An AES key, or nothing. Raises FIELD_INVALID, without showing the key."""
    if key and len(key) not in AES_KEY_LENGTHS:
        raise field_invalid(field, "must be 16, 24 or 32 bytes")
    return key


def _list_of(name: str, filters: Iterable[object]) -> str:
    text = json.dumps([name, *(str(value) for value in filters)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
