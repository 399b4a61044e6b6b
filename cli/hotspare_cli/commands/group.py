"""`status`, `members`: how this receiver and its group are."""

from datetime import UTC, datetime

import click

from hotspare_cli.hints import THROUGH_RECEIVER
from hotspare_cli.options import OutputForm, Target, output_option


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
