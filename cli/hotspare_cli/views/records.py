"""Records of the configuration, for the commands of each kind and for comparisons of revisions."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from hotspare_cli.layout import CellLike, Facts, Part, grid
from hotspare_cli.record_options import id_form, option_word, typed
from hotspare_cli.record_values import shown
from hotspare_cli.words import NONE, clock
from hotspare_model.kinds import Field, Kind

_ABBREVIATIONS = ("sia", "url")


def records_view(kind: Kind, response: Any) -> Iterator[Part]:
    """The whole answer of a list."""
    fields = [*typed(kind)]
    columns = ("ID", *(option_word(field.name).upper() for field in fields), "CHANGED")
    yield grid(
        columns,
        (
            (_id(kind, record), *(shown(record, field) for field in fields), _clock(record, "update_time"))
            for record in getattr(response, kind.plural)
        ),
        empty=f"no {kind.plural}: hotspare {kind.name} create {id_form(kind).partition(' or ')[0]} …",
    )


def record_view(kind: Kind, record: Message) -> Iterator[Part]:
    """One record, a line a field."""
    yield Facts(tuple(_pairs(kind, record)))


def _pairs(kind: Kind, record: Any) -> Iterator[tuple[str, CellLike]]:
    yield kind.title, _id(kind, record)
    for field in typed(kind):
        yield _label(field), shown(record, field)
    yield "Created", _clock(record, "create_time")
    yield "Changed", _clock(record, "update_time")
    yield "Etag", record.etag or NONE


def _label(field: Field) -> str:
    first, *others = option_word(field.name).split("-")
    return " ".join([first.upper() if first in _ABBREVIATIONS else first.capitalize(), *others])


def _id(kind: Kind, record: Message) -> str:
    return str(getattr(record, kind.id_field)) or NONE


def _clock(record: Message, name: str) -> str:
    return clock(getattr(record, name)) if record.HasField(name) else NONE
