"""`enable`, `disable`, `member remove`: who has a role in the hot spare (G8, X1, X2)."""

from typing import TYPE_CHECKING

import click

from hotspare_cli.consent import NOBODY_TO_ASK, with_consent
from hotspare_cli.errors import CliError, ExitCode, usage_error
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.options import OutputForm, Target, confirm, on_terminal, output_option, yes_option

if TYPE_CHECKING:
    from hotspare.v1.receiver_service_pb2 import DisableHotSpareResponse, EnableHotSpareResponse
    from hotspare_cli.session import Session

ROLES = ("host", "spare1", "spare2", "spare3")
_LONGEST_END = 75.0
"""Seconds that the contract gives the end of a role: the work is handed over first."""
_PROMOTES = (
    "This makes this spare the host: its copy of the configuration is the one that counts from now on, "
    "and the host of before is removed from the group."
)
_MAY_BE_DONE = "It may have been done all the same: look at hotspare members."
_UNSURE = {**THROUGH_RECEIVER, **dict.fromkeys(("UNAVAILABLE", "DEADLINE_EXCEEDED"), _MAY_BE_DONE)}


@click.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="The role to take. The host comes first.")
@click.option("--promote", is_flag=True, help="On a spare, with --role host: take the place of a host that is gone.")
@yes_option
@output_option
@click.pass_obj
def enable(target: Target, role: str, promote: bool, yes: bool, output: OutputForm) -> None:
    """Give this receiver a role in the hot spare.

    With the role that it has already, nothing changes. A spare follows the host's configuration: one that is here
    already is replaced by it, and you are asked before. With --promote a spare becomes the host, keeps its copy of
    the configuration and goes on from it.
    """
    from hotspare.v1.receiver_service_pb2 import EnableHotSpareRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.views.members import enabled_view
    from hotspare_model.group import Role
    from hotspare_rpc.wire import role_to_proto

    if promote:
        if role != "host":
            raise usage_error("--promote makes a spare the host.", "Say --role host with it, or leave it out.")
        confirm(_PROMOTES, yes=yes)
    request = EnableHotSpareRequest(role=role_to_proto(Role(ROLES.index(role) + 1)), promote=promote)

    async def make(session: "Session", confirmed: bool) -> "EnableHotSpareResponse":
        request.confirmed = confirmed
        return await session.call(session.receiver.EnableHotSpare, request)

    response = with_consent(
        target,
        make,
        yes=yes,
        effect=lambda clears: f"This gives the receiver the role {role}, and replaces by the host's: {clears}.",
        hints=THROUGH_RECEIVER,
    )
    emit(response, output, lambda answer: enabled_view(answer, promoted=promote))


@click.command()
@yes_option
@output_option
@click.pass_obj
def disable(target: Target, yes: bool, output: OutputForm) -> None:
    """Take its role from this receiver.

    This clears something, and asks before. A spare leaves the group, and the configuration that it got is
    cleared. On the host the hot spare ends for all: the configuration on every spare is cleared; the host's
    own and the cloud's copy stay. Outputs, settings, tokens, history and undelivered alarms always stay.
    """
    from hotspare.v1.receiver_service_pb2 import DisableHotSpareRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.views.members import disabled_view

    async def make(session: "Session", confirmed: bool) -> "DisableHotSpareResponse":
        request = DisableHotSpareRequest(confirmed=confirmed)
        return await session.call(session.receiver.DisableHotSpare, request, timeout=target.deadline(_LONGEST_END))

    response = with_consent(
        target,
        make,
        yes=yes,
        effect=lambda clears: f"This switches the hot spare off here and clears: {clears}.",
        always="This takes the receiver's role from it and clears what came with that.",
        hints={"DEADLINE_EXCEEDED": _MAY_BE_DONE},
    )
    emit(response, output, disabled_view)
    if not response.cloud_told:
        click.echo("The cloud could not be reached; it will be told as soon as it can be.", err=True)


@click.group(cls=HelpfulGroup)
def member() -> None:
    """A member of the group; hotspare members lists them."""


@member.command("remove")
@click.argument("wanted", metavar="ROLE|ID|NAME")
@click.option("--force", is_flag=True, help="Also while it is connected.")
@yes_option
@output_option
@click.pass_obj
def remove(target: Target, wanted: str, force: bool, yes: bool, output: OutputForm) -> None:
    """Remove a member that is gone for good.

    Its role is free then for another receiver. It needs no help of the removed one; should that come back, it is
    refused, and clears its copy. Removing a host ends nothing: the spares keep their roles, copies and the work,
    until one is promoted or another receiver takes the role.
    """
    from hotspare.v1.role_service_pb2 import ListMembersRequest, RemoveMemberRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.switchover import find_target
    from hotspare_cli.views.members import removal, removed_view

    if not yes and not on_terminal():
        raise usage_error(f"This removes {wanted} from the group, for good.", NOBODY_TO_ASK)
    seen = ask(
        target,
        lambda session: session.all_pages(session.roles.ListMembers, ListMembersRequest()),
        hints=THROUGH_RECEIVER,
    )
    found, receiver_id = None, wanted
    try:
        found = find_target(seen.members, wanted)
    except CliError as nobody:
        # One that was removed before: the cloud remembers its id, and takes the second wish as the first (G8).
        if nobody.exit_code is not ExitCode.NOT_FOUND or not _is_receiver_id(wanted):
            raise
    if found is not None:
        receiver_id = found.receiver.receiver_id
        confirm(removal(found), yes=yes)
    request = RemoveMemberRequest(receiver_id=receiver_id, force=force)
    response = ask(target, lambda session: session.call(session.roles.RemoveMember, request), hints=_UNSURE)
    emit(response, output, lambda answer: removed_view(answer, found, receiver_id))


def _is_receiver_id(text: str) -> bool:
    import uuid

    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
