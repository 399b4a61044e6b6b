"""Make the reference in Markdown (docs/api.md) from the protos and their comments."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from tools.contract import EnumType, Field, Message, ProtoFile, Rpc, Service, relative
from tools.protos import PACKAGE, ContractError

_HEAD = f"""# API reference of {PACKAGE}

Made by `make proto` from the comments in [`protos/`](../protos/hotspare/v1); change them there.
The errors and their reasons are told in [errors.md](errors.md).
"""

# The lines of an RPC's comment that would run into one paragraph otherwise.
_LABEL = re.compile(r"^(?=(?:Callers|Errors|Errors of the stream|Deadline):)", re.MULTILINE)
_CODE_SPAN = re.compile(r"(`[^`\n]+`)")


def api_reference(files: tuple[ProtoFile, ...]) -> str:
    """Return the whole page; raise ContractError if two headings would get the same anchor."""
    ordered = sorted(files, key=lambda file: (not file.services, file.name))
    known = {item.name for file in files for item in file.all_messages()}
    known |= {item.name for file in files for item in file.all_enums()}
    page = _Page(known)
    body = "\n".join(page.file(file) for file in ordered)
    page.check_anchors()
    return f"{_HEAD}\n{_contents(ordered)}\n{body}"


def _contents(files: list[ProtoFile]) -> str:
    lines = ["## Contents", "", "| service | RPCs |", "| --- | --- |"]
    for file in files:
        for service in file.services:
            rpcs = ", ".join(_link(rpc.name, f"{rpc.service}.{rpc.name}") for rpc in service.rpcs)
            lines.append(f"| {_link(service.name)} | {rpcs} |")
    lines += ["", "| file | messages and enums |", "| --- | --- |"]
    for file in files:
        types: tuple[Message | EnumType, ...] = (*file.all_messages(), *file.all_enums())
        lines.append(f"| {_link(file.name)} | {', '.join(_link(item.name) for item in types)} |")
    return "\n".join(lines) + "\n"


class _Page:
    """Renders the parts, and collects the anchors of the headings on the way."""

    def __init__(self, known: set[str]) -> None:
        self._known = known
        self._anchors: Counter[str] = Counter()

    def check_anchors(self) -> None:
        """Raise ContractError if two headings have one anchor: a link would lead to the wrong one."""
        double = sorted(anchor for anchor, count in self._anchors.items() if count > 1)
        if double:
            raise ContractError(f"headings of the reference clash: {', '.join(double)}")

    def file(self, file: ProtoFile) -> str:
        parts = [self._heading(2, file.name), _prose(file.comment)]
        parts += [self._service(service) for service in file.services]
        parts += [self._message(message) for message in file.all_messages()]
        parts += [self._enum(enum) for enum in file.all_enums()]
        return "\n".join(part for part in parts if part)

    def _heading(self, level: int, text: str) -> str:
        self._anchors[_anchor(text)] += 1
        return f"{'#' * level} {text}\n"

    def _service(self, service: Service) -> str:
        parts = [self._heading(3, service.name), _prose(service.comment)]
        return "\n".join([*parts, *(self._rpc(rpc) for rpc in service.rpcs)])

    def _rpc(self, rpc: Rpc) -> str:
        heading = self._heading(4, f"{rpc.service}.{rpc.name}")
        request = f"{'stream of ' if rpc.client_streaming else ''}{self._type(rpc.request)}"
        response = f"{'stream of ' if rpc.server_streaming else ''}{self._type(rpc.response)}"
        kind = {
            (False, False): "Unary",
            (True, False): "Client stream",
            (False, True): "Server stream",
            (True, True): "Bidirectional stream",
        }[rpc.client_streaming, rpc.server_streaming]
        return f"{heading}\n{kind}: {request} → {response}\n\n{_prose(_LABEL.sub('- ', rpc.comment))}"

    def _message(self, message: Message) -> str:
        parts = [self._heading(3, message.name), _prose(message.comment)]
        parts += [f"One of `{oneof.name}`: {_cell(oneof.comment)}\n" for oneof in message.oneofs]
        if message.fields:
            rows = (
                (f"`{field.name}`", str(field.number), self._field_type(field), _cell(field.comment))
                for field in message.fields
            )
            parts.append(_table(("field", "no.", "type", "what"), rows))
        return "\n".join(parts)

    def _enum(self, enum: EnumType) -> str:
        rows = ((f"`{value.name}`", str(value.number), _cell(value.comment)) for value in enum.values)
        return "\n".join([self._heading(3, enum.name), _prose(enum.comment), _table(("value", "no.", "what"), rows)])

    def _field_type(self, field: Field) -> str:
        name = f"`{field.type.name}`" if field.type.is_scalar else self._type(field.type.name)
        if field.type.map_key:
            return f"map of `{field.type.map_key}` to {name}"
        if field.oneof:
            return f"{name}, one of `{field.oneof}`"
        return f"{field.label} {name}".lstrip()

    def _type(self, full_name: str) -> str:
        name = relative(full_name)
        return _link(name) if name in self._known else f"`{name}`"


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading of letters, digits, dots, slashes and underscores."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _link(text: str, heading: str = "") -> str:
    return f"[{text}](#{_anchor(heading or text)})"


def _prose(comment: str) -> str:
    """Return a comment as Markdown of its own lines, with a line break at its end."""
    return f"{_escape(comment)}\n" if comment else ""


def _cell(comment: str) -> str:
    """Return a comment as one line for a table; paragraphs and items of lists are parted by a break."""
    lines = _escape(comment).replace("|", r"\|").splitlines()
    return "".join(_joined(lines)).strip()


def _joined(lines: Iterable[str]) -> Iterator[str]:
    paragraph_ended = False
    for line in lines:
        text = line.strip()
        if not text:
            paragraph_ended = True
            continue
        if paragraph_ended or re.match(r"([-*]|\d+\.) ", text):
            yield "<br>"
        else:
            yield " "
        yield text
        paragraph_ended = False


def _escape(text: str) -> str:
    """Keep `<` outside of code from being taken for a tag."""
    parts = _CODE_SPAN.split(text)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)
