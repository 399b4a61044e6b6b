"""`status`, `members`, `enable`, `disable`: this receiver and its group."""

from datetime import UTC, datetime

import click

from hotspare_cli.errors import CliError, usage_error
from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.options import OutputForm, Target, confirm, on_terminal, output_option, yes_option

ROLES = ("host", "spare1", "spare2", "spare3")


@click.command()
@output_option
@click.pass_obj
def status(target: Target, output: OutputForm) -> None:
    """Tell how this receiver and its group are.

    One screen: what is so, and in words what to do. It answers also when the cloud can't be reached; the
    group then is as the cloud told it last.
    """
    from hotspare.v1.receiver_service_pb2 import GetStatusRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.status import status_view

    response = ask(target, lambda session: session.call(session.receiver.GetStatus, GetStatusRequest()))
    emit(response, output, lambda answer: status_view(answer, datetime.now(UTC)))


@click.command()
@output_option
@click.pass_obj
def members(target: Target, output: OutputForm) -> None:
    """List the members of the group.

    A mark stands at the receiver that was asked. It asks the cloud; when that can't be reached, `hotspare
    status` tells what it knew last.
    """
    from hotspare.v1.role_service_pb2 import ListMembersRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.members import members_view

    response = ask(
        target,
        lambda session: session.all_pages(session.roles.ListMembers, ListMembersRequest()),
        hints=THROUGH_RECEIVER,
    )
    emit(response, output, lambda answer: members_view(answer, datetime.now(UTC)))


@click.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="The role to take. The host comes first.")
@output_option
@click.pass_obj
def enable(target: Target, role: str, output: OutputForm) -> None:
    """Give this receiver a role in the hot spare.

    With the role that it has already, nothing changes.
    """
    from hotspare.v1.receiver_service_pb2 import EnableHotSpareRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.members import enabled_view
    from hotspare_model.group import Role
    from hotspare_rpc.wire import role_to_proto

    request = EnableHotSpareRequest(role=role_to_proto(Role(ROLES.index(role) + 1)))
    response = ask(
        target,
        lambda session: session.call(session.receiver.EnableHotSpare, request),
        hints=THROUGH_RECEIVER,
    )
    emit(response, output, enabled_view)


@click.command()
@yes_option
@click.pass_obj
def disable(target: Target, yes: bool) -> None:
    """Take its role from this receiver.

    This clears something, and asks before. A spare leaves the group, and the configuration that it got is
    cleared. On the host the hot spare ends for all: the configuration on every spare is cleared; the host's
    own and the cloud's copy stay. Outputs, settings, tokens, history and undelivered alarms always stay.
    """
    from hotspare.v1.receiver_service_pb2 import DisableHotSpareRequest, DisableHotSpareResponse
    from hotspare_cli.session import Session, ask

    async def switch_off(session: Session, confirmed: bool) -> DisableHotSpareResponse:
        return await session.call(session.receiver.DisableHotSpare, DisableHotSpareRequest(confirmed=confirmed))

    if not yes and not on_terminal():
        raise usage_error(
            "This takes the receiver's role from it and clears what came with that.",
            "Without a terminal nobody can be asked: repeat it with --yes.",
        )
    if not yes:
        try:
            # Refused, and told what would be cleared, where there is a role at all (X4).
            response = ask(target, lambda session: switch_off(session, False))
        except CliError as refusal:
            if refusal.clears is None:
                raise
            confirm(f"This switches the hot spare off here and clears: {refusal.clears}.", yes=False)
            response = ask(target, lambda session: switch_off(session, True))
    else:
        response = ask(target, lambda session: switch_off(session, True))
    _tell_end(response.cloud_told, response.cleared_records, len(response.ended_members))


def _tell_end(cloud_told: bool, cleared: int, ended: int) -> None:
    click.echo(f"This receiver has no role now; records cleared here: {cleared}.")
    if ended:
        click.echo(f"The hot spare ended for {ended} other members too.")
    if not cloud_told:
        click.echo("The cloud could not be reached; it will be told as soon as it can be.", err=True)
