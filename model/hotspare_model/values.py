"""What the value of a field of a record may be (see `hotspare_model.kinds`): checked, and put into its one form.

Values are str (ID, TEXT, HEX, the codes and CHOICE), int (NUMBER), tuples of int (NUMBERS), timedelta (SPAN) and bool
(FLAG); None where nobody told one.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta

from hotspare_model.contact_id import is_event_code
from hotspare_model.errors import HotspareError, field_invalid
from hotspare_model.kinds import Field, Form

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_LETTERS = re.compile(r"[A-Z]{2}")

# Controls, lone surrogates, and breaks of lines and paragraphs. Formats (Cf) hold the marks that turn the direction of
# a text, and what nobody sees; of them only those are taken that join and part letters and emoji.
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")

_SHOWN = 40


def checked(path: str, field: Field, value: object) -> object:
    """The value of a field in the form in which it is kept; `path` names it in the error.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    if value is None or value in ("", 0, ()):
        return _absent(path, field, value)
    match field.form, value:
        case Form.ID, str():
            return _id(path, field, value)
        case Form.TEXT, str():
            return _text(path, field, value)
        case Form.HEX, str():
            if not field.least <= len(value) <= field.most or not _HEX.fullmatch(value):
                raise field_invalid(path, f"must be {field.least} to {field.most} hexadecimal digits")
            return value.upper()
        case ((Form.CONTACT_ID_CODE | Form.SIA_CODE), str()):
            return _code(path, field.form, value)
        case Form.NUMBER, int():
            return _number(path, field, value)
        case Form.NUMBERS, tuple():
            return _numbers(path, field, value)
        case Form.SPAN, timedelta():
            return _span(path, field, value)
        case Form.CHOICE, str():
            if value not in field.choices:
                raise field_invalid(path, f"must be one of {', '.join(field.choices)}")
            return value
        case Form.FLAG, bool():
            return value
        case _:
            raise AssertionError(f"{path} can't be {type(value)}")


def check_line(path: str, text: str, most: int) -> str:
    """A text of one line for people, at most `most` characters long.

    Raises:
        HotspareError: FIELD_INVALID when it is longer, or has control characters or marks of direction.
    """
    if len(text) > most:
        raise field_invalid(path, f"is at most {most:,} characters long")
    # Most texts are, and this is quick.
    if text.isprintable():
        return text
    for character in text:
        if character in _JOINERS:
            continue
        category = unicodedata.category(character)
        if category in _REFUSED:
            raise field_invalid(path, f"must not have control characters (it has {_named(character)})")
        if category == "Cf":
            raise field_invalid(path, f"must not have marks that nobody sees (it has {_named(character)})")
    return text


def _absent(path: str, field: Field, value: object) -> object:
    if field.required:
        raise field_invalid(path, f"is required: {_range(field)}")
    if field.form is Form.FLAG and value is not None:
        return value
    if field.default is not None:
        return field.default
    match field.form:
        case Form.NUMBER:
            return 0
        case Form.NUMBERS:
            return ()
        case Form.FLAG:
            return False
        case Form.SPAN:
            return timedelta(0)
        case _:
            return ""


def _range(field: Field) -> str:
    match field.form:
        case Form.ID:
            return f"{field.least} to {field.most} characters of A-Z a-z 0-9 . _ -"
        case Form.TEXT:
            return f"{field.least} to {field.most:,} characters"
        case Form.HEX:
            return f"{field.least} to {field.most} hexadecimal digits"
        case Form.NUMBER:
            return f"{field.least} to {field.most}"
        case _:
            return field.help


def _id(path: str, field: Field, value: str) -> str:
    if not field.least <= len(value) <= field.most or not _NAME.fullmatch(value):
        raise field_invalid(path, f"must be {_range(field)}")
    return value


def _text(path: str, field: Field, value: str) -> str:
    check_line(path, value, field.most)
    if field.least and not value.strip():
        raise field_invalid(path, f"is required: {_range(field)}")
    return value


def _code(path: str, form: Form, value: str) -> str:
    code = value.upper()
    if form is Form.SIA_CODE:
        if not _LETTERS.fullmatch(code):
            raise field_invalid(path, "must be two letters of A-Z")
    elif not is_event_code(code):
        raise field_invalid(path, "must be three characters of 0-9 and B-F")
    return code


def _number(path: str, field: Field, value: int) -> int:
    if not field.least <= value <= field.most:
        none = "" if field.required else ", or 0 for none"
        raise field_invalid(path, f"must be {field.least} to {field.most}{none}")
    return value


def _numbers(path: str, field: Field, values: Sequence[int]) -> tuple[int, ...]:
    for value in values:
        if not field.least <= value <= field.most:
            raise field_invalid(path, f"must each be {field.least} to {field.most}")
    if len(set(values)) < len(values):
        raise field_invalid(path, "must name no number twice")
    # A set of numbers has one form, whatever the order in which it came.
    return tuple(sorted(values))


def _span(path: str, field: Field, value: timedelta) -> timedelta:
    least, most = timedelta(seconds=field.least), timedelta(seconds=field.most)
    if value and not least <= value <= most:
        raise field_invalid(path, f"must be {_seconds(field.least)} to {_seconds(field.most)}, or zero for off")
    return value


def _seconds(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"{days} days" if days and not rest else f"{seconds} s"


def _named(character: str) -> str:
    """How a character that can't be shown is called: by its code point, so that it can be looked for."""
    return f"U+{ord(character):04X}"


def problem_of(error: HotspareError) -> str:
    """What `field_invalid` said, without the field."""
    return error.metadata.get("problem", error.message)


def quoted(text: str) -> str:
    """A foreign text in a message: short, and escaped (S4)."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
