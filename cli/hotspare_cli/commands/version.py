"""`version check`, `upgrade plan`: versions of this command, of the server, and of the whole group (V1, V2)."""

from typing import TYPE_CHECKING

import click

from hotspare_cli.errors import CliError, ExitCode
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.options import OutputForm, Target, output_option

if TYPE_CHECKING:
    from hotspare.v1.role_service_pb2 import ListMembersResponse
    from hotspare.v1.version_service_pb2 import CheckVersionResponse
    from hotspare_cli.session import Session


def print_own_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the version of this command and end, for `--version`."""
    if not wanted or context.resilient_parsing:
        return
    from hotspare_rpc.version import SOFTWARE_VERSION

    click.echo(f"hotspare {SOFTWARE_VERSION}")
    context.exit()


@click.group(cls=HelpfulGroup, invoke_without_command=True)
@output_option
@click.pass_context
def version(context: click.Context, output: OutputForm) -> None:
    """Tell the versions of command and server.

    Alone it is `version check`. `hotspare --version` asks no server.
    """
    if context.invoked_subcommand is None:
        context.invoke(check, output=output)


@version.command("check")
@output_option
@click.pass_obj
def check(target: Target, output: OutputForm) -> None:
    """Tell the versions, and whether they go together.

    With a token it also tells the version of the cloud and of each member, and what is next for each in an
    upgrade. Without one it tells less.
    """
    from hotspare.v1.version_service_pb2 import CheckVersionRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.version import version_view
    from hotspare_rpc.credentials import BearerToken
    from hotspare_rpc.version import SOFTWARE_VERSION

    target = target.resolved()
    # Open to all: without a token it tells less, and is still told.
    metadata = BearerToken(target.token()).metadata() if target.token_file is not None else ()
    request = CheckVersionRequest(software_version=SOFTWARE_VERSION)
    response = ask(target, lambda session: session.call(session.versions.CheckVersion, request), metadata=metadata)
    emit(response, output, lambda answer: version_view(answer, SOFTWARE_VERSION))
    if not response.compatible:
        raise CliError(
            f"This command ({SOFTWARE_VERSION}) and the server's ({response.software_version}) don't match.",
            response.detail or "Use the hotspare command of the server's release.",
        )


@click.group(cls=HelpfulGroup)
def upgrade() -> None:
    """Upgrade the group, one after the other."""


@upgrade.command("plan")
@output_option
@click.pass_obj
def plan(target: Target, output: OutputForm) -> None:
    """Tell in which order to upgrade, and what is next.

    The cloud first, then the host, then the spares one by one. Nothing is changed by this command.
    """
    from hotspare.v1.role_service_pb2 import ListMembersRequest, ListMembersResponse
    from hotspare.v1.version_service_pb2 import CheckVersionRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.version import plan_view

    async def work(session: "Session") -> "tuple[CheckVersionResponse, ListMembersResponse]":
        # Without a version of its own: what is asked about is the group, not this command.
        versions = await session.call(session.versions.CheckVersion, CheckVersionRequest())
        if output is not OutputForm.TABLE or not versions.members:
            return versions, ListMembersResponse()
        # The plan names receivers by their ids alone.
        return versions, await session.all_pages(session.roles.ListMembers, ListMembersRequest())

    response, members = ask(target, work)
    if not response.cloud_version:
        raise CliError(
            "The plan is not known: this receiver can't reach its cloud, or has none.",
            "See how it stands: hotspare status.",
            exit_code=ExitCode.NO_ANSWER,
        )
    emit(response, output, lambda answer: plan_view(answer, members))
