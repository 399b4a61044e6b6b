"""Page tokens: where the next page begins, bound to the list that they belong to."""

import base64
import binascii

from hotspare_model.errors import HotspareError, Reason, field_invalid


def page_size(wanted: int, *, default: int = 100, most: int = 1000) -> int:
    """The size of a page. Raises HotspareError FIELD_INVALID beyond `most`."""
    if wanted > most:
        raise field_invalid("page_size", f"must be from 0 to {most}")
    return wanted or default


def decode_number(list_name: str, token: str) -> int:
    """The position in a token of a list whose positions are numbers; 0 for no token. Raises PAGE_TOKEN_INVALID."""
    position = decode_token(list_name, token)
    if position and not (position.isascii() and position.isdecimal() and len(position) < 19):
        raise token_invalid()
    return int(position or 0)


def encode_token(list_name: str, position: str) -> str:
    """The token of the page that begins after `position`."""
    return base64.urlsafe_b64encode(f"{list_name}\n{position}".encode()).decode().rstrip("=")


def decode_token(list_name: str, token: str) -> str:
    """The position in a token; empty for no token. Raises HotspareError PAGE_TOKEN_INVALID."""
    if not token:
        return ""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    name, _, position = text.partition("\n")
    if name != list_name or not position:
        raise token_invalid()
    return position


def token_invalid() -> HotspareError:
    """The error for a token that was tampered with, or is of another list."""
    return HotspareError(Reason.PAGE_TOKEN_INVALID, "the page token is damaged or belongs to another list")
