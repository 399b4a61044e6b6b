"""A response on stdout: a table for people, or proto JSON, or the same as YAML, for scripts."""

import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message

from hotspare_cli.layout import Part
from hotspare_cli.options import OutputForm

AnyMessage = TypeVar("AnyMessage", bound=Message)

# JSON allows them in strings, terminals obey some of them (S4).
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def emit(response: AnyMessage, form: OutputForm, view: Callable[[AnyMessage], Iterable[Part]]) -> None:
    """Print the response; `view` makes the parts of a screen of it."""
    match form:
        case OutputForm.TABLE:
            from hotspare_cli.screen import show

            show(view(response))
        case OutputForm.JSON:
            sys.stdout.write(as_json(response))
        case OutputForm.YAML:
            sys.stdout.write(as_yaml(response))


def as_json(response: Message) -> str:
    """Proto JSON, with the names of the fields as in the proto and all fields that have a default."""
    return json_text(_plain(response), indent=2)


def as_json_line(response: Message) -> str:
    """As as_json, in one line: for streams."""
    return json_text(_plain(response), indent=None)


def as_yaml(response: Message) -> str:
    """The structure of as_json as YAML."""
    return yaml_text(_plain(response))


def json_text(plain: Any, *, indent: int | None) -> str:
    """JSON, in one line without an `indent`."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(plain, indent=indent, separators=separators, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def yaml_text(plain: Any) -> str:
    """The same as YAML."""
    import yaml

    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=1_000_000)
    return yaml.safe_dump(plain, sort_keys=False, width=1_000_000) if _UNSAFE.search(text) else text


def _plain(response: Message) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict  # long to import, and tables do without

    # With defaults: a script that asks for `working` or `waiting` must not stumble over false and 0.
    plain: dict[str, Any] = MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    # All pages are in the response, so the token of a next one tells nothing.
    plain.pop("next_page_token", None)
    return plain
