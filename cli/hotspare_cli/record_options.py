"""How the fields of the six kinds are typed: options made of the model's one description (B1).

A kind that is added there has its commands and options here without another line.
"""

import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hotspare_cli.errors import usage_error
from hotspare_model.kinds import Field, Form, Kind, OnDelete, referring, template_fields
from hotspare_rpc.spans import SPAN

Command = TypeVar("Command", bound=Callable[..., Any])
Values = dict[str, Any]
"""Values by the names of fields, as Python has them."""

_SUFFIX = re.compile(r"_(?:id|number|numbers|interval|code|type)$")
_METAVARS: Mapping[Form, str] = {
    Form.ID: "ID",
    Form.TEXT: "TEXT",
    Form.HEX: "NUMBER",
    Form.CONTACT_ID_CODE: "CODE",
    Form.SIA_CODE: "CODE",
    Form.NUMBER: "NUMBER",
    Form.NUMBERS: "N,N",
    Form.SPAN: "SPAN",
}

if TYPE_CHECKING:  # generic for the checker; not yet so in every release of click that we allow
    _NumbersParam = click.ParamType[tuple[int, ...]]
    _PartsParam = click.ParamType[Values]
else:
    _NumbersParam = _PartsParam = click.ParamType


class NumbersType(_NumbersParam):
    """Numbers parted by commas; empty for none."""

    name = "N,N"

    def __init__(self, least: int, most: int) -> None:
        self._range = click.IntRange(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Read the text; click shows the message of the error."""
        if isinstance(value, tuple):
            return value
        pieces = [piece.strip() for piece in str(value).split(",")]
        if pieces == [""]:
            return ()
        return tuple(self._range(piece, param, ctx) for piece in pieces)


class PartsType(_PartsParam):
    """One entry of a list: its fields one behind the other, parted by colons; later ones may be left out."""

    def __init__(self, parts: tuple[Field, ...]) -> None:
        self._parts = parts
        first, *others = (_METAVARS.get(part.form, "TEXT") for part in parts)
        self.name = first + "".join(f"[:{other}" for other in others) + "]" * len(others)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Values:
        """Read the text; empty is no entry at all. click shows the message of the error."""
        if isinstance(value, dict):
            return value
        pieces = str(value).split(":") if value else []
        if len(pieces) > len(self._parts):
            self.fail(f"{value!r} has too many parts: give {self.name}.", param, ctx)
        found: Values = {}
        for part, piece in zip(self._parts, pieces, strict=False):
            if piece:
                found[part.name] = kind_of_value(part).convert(piece, param, ctx)
            elif part.required:
                self.fail(f"{value!r} names no {option_word(part.name)}: give {self.name}.", param, ctx)
        return found


def option_word(field: str) -> str:
    """How people say a field of the contract: `account` for `account_number`."""
    return _SUFFIX.sub("", field).replace("_", "-")


def option_name(field: Field) -> str:
    """The option of a field; that of a list takes one entry at a time, and is in the singular."""
    word = option_word(field.name)
    return f"--{word.removesuffix('s') if field.form is Form.PARTS else word}"


def kind_of_value(field: Field) -> "click.ParamType[Any]":
    """What click makes of a value."""
    match field.form:
        case Form.NUMBER:
            return click.IntRange(field.least if field.required else 0, field.most)
        case Form.NUMBERS:
            return NumbersType(field.least, field.most)
        case Form.SPAN:
            return SPAN
        case Form.CHOICE:
            return click.Choice([choice.replace("_", "-") for choice in field.choices])
        case Form.FLAG:
            return click.Choice(["yes", "no"])
        case Form.PARTS:
            return PartsType(field.parts)
        case _:
            return click.STRING


def typed(kind: Kind) -> Iterator[Field]:
    """The fields that have an option: those that this release serves, save what stands in the id."""
    return (field for field in kind.fields if field.served and not field.fixed and field.form is not Form.OTHER)


def field_options(kind: Kind, *, creating: bool) -> Callable[[Command], Command]:
    """Add an option for each field; the command gets its value under the field's name, or None."""

    def add(command: Command) -> Command:
        for field in reversed([*typed(kind)]):
            command = _option(field, creating)(command)
        return command

    return add


def _option(field: Field, creating: bool) -> Callable[[Command], Command]:
    about = field.help[:1].upper() + field.help[1:]
    several = field.form is Form.PARTS
    if several:
        about += "; give it once for each" + ("" if creating else '; "": none')
    elif field.form is Form.NUMBERS and not creating:
        about += '; "": none'
    return click.option(
        option_name(field),
        field.name,
        type=kind_of_value(field),
        multiple=several,
        required=creating and field.required,
        metavar=kind_of_value(field).name if several else _METAVARS.get(field.form),
        help=f"{about}.",
    )


def named(kind: Kind, options: Mapping[str, Any]) -> Values:
    """The fields that were typed, with their values."""
    values: Values = {}
    for field in typed(kind):
        value = options.get(field.name)
        # A list that was typed as "" has one entry, without fields; one that was not typed has none.
        if value is None or (field.form is Form.PARTS and not value):
            continue
        if field.form is Form.FLAG:
            value = value == "yes"
        elif field.form is Form.CHOICE:
            value = value.replace("-", "_")
        elif field.form is Form.PARTS:
            value = tuple(entry for entry in value if entry)
        values[field.name] = value
    return values


def id_values(kind: Kind, record_id: str) -> Values:
    """The fields that an id is made of.

    Raises:
        CliError: it has another form than the ids of that kind.
    """
    if kind.given:
        return {kind.id_field: record_id}
    # The more of a template stands fast, the more it says: `SIA-BA` is one of SIA, although a code might look so.
    for template in sorted(kind.id_templates, key=lambda one: len(_fast(one)), reverse=True):
        found = re.fullmatch(_pattern(template), record_id)
        if found is None:
            continue
        fields = {name: kind.at(name) for name in template_fields(template)}
        if all(found[name].isdecimal() for name, field in fields.items() if field.form is Form.NUMBER):
            return {
                name: int(found[name]) if field.form is Form.NUMBER else found[name] for name, field in fields.items()
            }
    raise usage_error(f"{record_id!r} is not the id of a {kind.name}.", f"Such an id is {id_form(kind)}.")


def id_form(kind: Kind) -> str:
    """What the ids of a kind look like: `DEVICE/NUMBER`."""
    if kind.given:
        return "ID"
    return " or ".join(
        re.sub(r"\{(\w+)\}", lambda name: _placeholder(kind.at(name[1])), template) for template in kind.id_templates
    )


def cascade_help(kind: Kind) -> str:
    """What `--cascade` takes along; empty where nothing refers to that kind."""
    plurals: dict[OnDelete, list[str]] = {OnDelete.DELETE: [], OnDelete.DROP: []}
    for other, reference in referring(kind.number):
        if other.plural not in plurals[reference.on_delete]:
            plurals[reference.on_delete].append(other.plural)
    deleted, kept = plurals[OnDelete.DELETE], plurals[OnDelete.DROP]
    told = []
    if deleted:
        told.append(f"delete its {_listed(deleted)} too")
    if kept:
        told.append(f"take it out of {_listed(kept)}")
    text = " and ".join(told)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _placeholder(field: Field) -> str:
    if field.form in (Form.CONTACT_ID_CODE, Form.SIA_CODE):
        return "CODE"
    return option_word(field.name).upper()


def _fast(template: str) -> str:
    return "".join(text for text, _, _, _ in string.Formatter().parse(template))


def _pattern(template: str) -> str:
    pieces = string.Formatter().parse(template)
    return "".join(re.escape(text) + (f"(?P<{name}>[^/]+)" if name else "") for text, name, _, _ in pieces)
