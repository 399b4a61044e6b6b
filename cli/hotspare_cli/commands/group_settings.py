"""`group`: the settings that concern all members of the group."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from hotspare_cli.errors import usage_error
from hotspare_cli.group_settings import SETTINGS
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.options import OutputForm, Target, output_option

Command = TypeVar("Command", bound=Callable[..., Any])


def _setting_options(command: Command) -> Command:
    """Add an option for each setting; the command gets its value, or None, under the name of the field."""
    for setting in reversed(SETTINGS):
        option = click.option(
            setting.option, setting.field, type=setting.kind, metavar=setting.metavar, help=setting.help
        )
        command = option(command)
    return command


@click.group(cls=HelpfulGroup)
def group() -> None:
    """Settings of the whole group: lease, waits, limits."""


@group.command("show")
@output_option
@click.pass_obj
def show(target: Target, output: OutputForm) -> None:
    """Show the settings of the group."""
    from hotspare.v1.role_service_pb2 import GetGroupSettingsRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.group_settings import group_settings_view

    response = ask(
        target,
        lambda session: session.call(session.roles.GetGroupSettings, GetGroupSettingsRequest()),
        hints=THROUGH_RECEIVER,
    )
    emit(response, output, group_settings_view)


@group.command("set")
@_setting_options
@output_option
@click.pass_obj
def set_(target: Target, /, output: OutputForm, **values: timedelta | int | str | None) -> None:
    """Change settings of the group; the others stay.

    They hold for all members at once. A SPAN is a number with its unit: 500ms, 6s, 2m, 1h, 90d. Settings that
    would let two receivers work at a time are refused, with the arithmetic.
    """
    from hotspare.v1.group_pb2 import GroupSettings
    from hotspare.v1.role_service_pb2 import (
        GetGroupSettingsRequest,
        UpdateGroupSettingsRequest,
        UpdateGroupSettingsResponse,
    )
    from hotspare_cli.emit import emit
    from hotspare_cli.session import Session, ask
    from hotspare_cli.views.group_settings import changed_view

    changes = {field: value for field, value in values.items() if value is not None}
    if not changes:
        raise usage_error("No setting was named.", "Name what is to change; see hotspare group set --help.")
    request = UpdateGroupSettingsRequest()
    for field, value in changes.items():
        if isinstance(value, timedelta):
            getattr(request.settings, field).FromTimedelta(value)
        else:
            setattr(request.settings, field, value)
        request.update_mask.paths.append(field)

    async def update(session: Session) -> tuple[GroupSettings, UpdateGroupSettingsResponse]:
        before = (await session.call(session.roles.GetGroupSettings, GetGroupSettingsRequest())).settings
        # Of two who change at once, one is told.
        request.settings.etag = before.etag
        return before, await session.call(session.roles.UpdateGroupSettings, request)

    before, response = ask(target, update, hints=THROUGH_RECEIVER)
    emit(response, output, lambda answer: changed_view(answer, before))
