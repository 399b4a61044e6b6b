"""`device`, `partition`, `zone`, `channel`, `user`, `event`: the records of the configuration, by one description.

Each kind of hotspare_model.kinds gets the same five verbs here, with options made of its fields (B1).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotspare_cli.commands.device_keys import key_out_option, rotate_hint, secret_of
from hotspare_cli.errors import usage_error
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.options import OutputForm, Target, confirm, output_option, yes_option
from hotspare_cli.record_options import (
    Command,
    Values,
    cascade_help,
    field_options,
    id_form,
    id_values,
    named,
    option_word,
)
from hotspare_model.kinds import KINDS, Form, Kind

if TYPE_CHECKING:
    from google.protobuf.message import Message

_PAGE = 1000
_LONGEST_DELETE = 30.0
"""Seconds that the contract gives a deletion with all that hangs on the record."""
_ABOUT: Mapping[str, str] = {
    "device": "the alarm panels of the group",
    "partition": "the areas of a device",
    "zone": "the detectors of a device",
    "channel": "the cameras of a device",
    "user": "people, with the devices that they use",
    "event": "definitions of event codes",
}
_LOSSES: Mapping[str, str] = {
    "device": "its alarms will be refused",
    "event": "alarms with its code will go to the ARC as the receiver's own table tells",
}
_WITH_KEY = ("device",)
"""Kinds whose records get a secret on creation."""


def record_group(kind: Kind) -> click.Group:
    """The commands of one kind."""
    about = _ABOUT.get(kind.name, "records of the configuration")
    group = HelpfulGroup(
        kind.name,
        help=f"{kind.plural.capitalize()}: {about}.\n\n"
        "They are edited on the host only, or on a receiver that works alone; read everywhere.",
    )
    for verb in (_list, _show, _create, _update, _delete):
        group.add_command(verb(kind))
    return group


def record_groups() -> dict[str, click.Group]:
    """The commands of all kinds, by the names of the kinds."""
    return {kind.name: record_group(kind) for kind in KINDS}


def _list(kind: Kind) -> click.Command:
    @click.command("list", help=f"List the {kind.plural} by id.")
    @click.option("--text", default="", metavar="TEXT", help="Only those whose name or id contains this.")
    @_filter_option(kind)
    @click.option("--limit", type=click.IntRange(min=1), help="Only the first ones, so many. Without it: all.")
    @output_option
    @click.pass_obj
    def run(target: Target, text: str, limit: int | None, output: OutputForm, filtered: str = "") -> None:
        from hotspare_cli.emit import emit
        from hotspare_cli.session import ask
        from hotspare_cli.views.records import records_view

        request = _request("List", kind.plural_title, text=text, page_size=min(limit or _PAGE, _PAGE))
        if kind.filter_field:
            setattr(request, kind.filter_field, filtered)

        def enough(merged: Any) -> bool:
            return limit is not None and len(getattr(merged, kind.plural)) >= limit

        response = ask(
            target,
            lambda session: session.all_pages(
                getattr(session.configuration, f"List{kind.plural_title}"), request, enough
            ),
        )
        if limit is not None:
            del getattr(response, kind.plural)[limit:]
        emit(response, output, lambda answer: records_view(kind, answer))

    return run


def _show(kind: Kind) -> click.Command:
    @click.command("show", help=f"Show the {kind.name} ID{_form(kind)}.")
    @click.argument("record_id", metavar="ID")
    @output_option
    @click.pass_obj
    def run(target: Target, record_id: str, output: OutputForm) -> None:
        from hotspare_cli.emit import emit
        from hotspare_cli.views.records import record_view

        response = _call(target, "Get", kind, _request("Get", kind.title, **{kind.id_field: record_id}))
        emit(response, output, lambda answer: record_view(kind, getattr(answer, kind.name)))

    return run


def _create(kind: Kind) -> click.Command:
    with_key = kind.name in _WITH_KEY
    told = "\n\nIts key is made now, and never shown again." if with_key else ""

    @click.command("create", help=f"Create the {kind.name} ID{_form(kind)}.{told}")
    @click.argument("record_id", metavar="ID")
    @field_options(kind, creating=True)
    @_only(with_key, key_out_option)
    @output_option
    @click.pass_obj
    def run(target: Target, /, record_id: str, output: OutputForm, key_out: Path | None = None, **options: Any) -> None:
        from hotspare_cli.record_values import fill_all

        values = named(kind, options) | _of_id(kind, record_id, options)
        request = _request("Create", kind.title)
        fill_all(getattr(request, kind.name), kind.fields, values)
        if with_key:
            secret_of(
                target,
                lambda session: session.call(getattr(session.configuration, f"Create{kind.title}"), request),
                path=key_out,
                form=output,
                done=f"Created the {kind.name} {record_id}.",
                unsure=f"It may have been created: hotspare {kind.name} show {record_id}. "
                f"Then hotspare {kind.name} rotate-key {record_id} makes it another key.",
                again=rotate_hint(record_id),
            )
            return
        unsure = f"It may have been created all the same: hotspare {kind.name} show {record_id}."
        response = _call(target, "Create", kind, request, hints={"DEADLINE_EXCEEDED": unsure})
        _tell(kind, response, output, "Created")

    return run


def _update(kind: Kind) -> click.Command:
    @click.command(
        "update",
        help=f"Change the {kind.name} ID; what is not named stays.\n\nAn empty value takes a field away.",
    )
    @click.argument("record_id", metavar="ID")
    @field_options(kind, creating=False)
    @_etag_option
    @output_option
    @click.pass_obj
    def run(target: Target, /, record_id: str, etag: str, output: OutputForm, **options: Any) -> None:
        from hotspare_cli.record_values import fill_all

        values = named(kind, options)
        if not values:
            raise usage_error(
                "Nothing was named that is to change.", f"Name it; see hotspare {kind.name} update --help."
            )
        request = _request("Update", kind.title)
        record = getattr(request, kind.name)
        fill_all(record, kind.fields, values)
        setattr(record, kind.id_field, record_id)
        record.etag = etag
        request.update_mask.paths.extend(values)
        _tell(kind, _call(target, "Update", kind, request), output, "Changed")

    return run


def _delete(kind: Kind) -> click.Command:
    taken_along = cascade_help(kind)

    @click.command("delete", help=f"Delete the {kind.name} ID, for the whole group.")
    @click.argument("record_id", metavar="ID")
    @_only(bool(taken_along), click.option("--cascade", is_flag=True, help=taken_along))
    @_etag_option
    @yes_option
    @output_option
    @click.pass_obj
    def run(target: Target, record_id: str, etag: str, yes: bool, output: OutputForm, cascade: bool = False) -> None:
        from hotspare_cli.emit import emit

        more = f", and will {taken_along[:1].lower()}{taken_along[1:-1]}" if cascade else ""
        loss = f": {_LOSSES[kind.name]}" if kind.name in _LOSSES else ""
        confirm(f"This deletes the {kind.name} {record_id} on all receivers{more}{loss}.", yes=yes)
        request = _request("Delete", kind.title, **{kind.id_field: record_id}, etag=etag)
        if taken_along:
            request.cascade = cascade
        response = _call(target, "Delete", kind, request, timeout=target.deadline(_LONGEST_DELETE))
        if output is not OutputForm.TABLE:
            emit(response, output, lambda _answer: ())
            return
        others = getattr(response, "cascaded", 0)
        along = f", and {others} other records were deleted or changed with it" if others else ""
        click.echo(f"Deleted the {kind.name} {record_id}{along}.")

    return run


def _form(kind: Kind) -> str:
    """How its ids look, where that is worth a word."""
    form = id_form(kind)
    return "" if form == "ID" else f", which is {form}"


def _filter_option(kind: Kind) -> Callable[[Command], Command]:
    if not kind.filter_field:
        return lambda command: command
    word = option_word(kind.filter_field)
    forms = {kind.at(path).form for path in kind.filter_values}
    metavar = "ID" if forms == {Form.ID} else "NUMBER" if forms == {Form.HEX} else "CODE"
    name = f"--{word}"
    return click.option(name, "filtered", default="", metavar=metavar, help=f"Only those with this {word}.")


def _etag_option(command: Command) -> Command:
    return click.option(
        "--etag", default="", metavar="ETAG", help="Only if it still has this etag, as `show` told it."
    )(command)


def _only(wanted: bool, option: Callable[[Command], Command]) -> Callable[[Command], Command]:
    return option if wanted else lambda command: command


def _of_id(kind: Kind, record_id: str, options: Mapping[str, Any]) -> Values:
    """What the id tells of the record; an option must not tell it otherwise."""
    values = id_values(kind, record_id)
    for name, value in values.items():
        if options.get(name) not in (None, value):
            raise usage_error(
                f"The id {record_id!r} and --{option_word(name)} {options[name]} contradict each other.",
                "Leave the option out.",
            )
    return values


def _request(verb: str, what: str, **fields: Any) -> Any:
    from hotspare.v1 import configuration_service_pb2

    return getattr(configuration_service_pb2, f"{verb}{what}Request")(**fields)


def _call(
    target: Target,
    verb: str,
    kind: Kind,
    request: "Message",
    *,
    timeout: float | None = None,
    hints: Mapping[str, str] | None = None,
) -> Any:
    from hotspare_cli.session import ask

    return ask(
        target,
        lambda session: session.call(getattr(session.configuration, f"{verb}{kind.title}"), request, timeout=timeout),
        hints=hints,
    )


def _tell(kind: Kind, response: Any, output: OutputForm, done: str) -> None:
    from hotspare_cli.emit import emit
    from hotspare_cli.layout import Lines
    from hotspare_cli.views.records import record_view

    record = getattr(response, kind.name)
    line = Lines((f"{done} the {kind.name} {getattr(record, kind.id_field)}.",))
    emit(response, output, lambda _answer: (line, *record_view(kind, record)))
