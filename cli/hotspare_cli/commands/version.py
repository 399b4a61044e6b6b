"""`version`: of this command, and of the server."""

import click

from hotspare_cli.errors import CliError
from hotspare_cli.options import OutputForm, Target, output_option


def print_own_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the version of this command and end, for `--version`."""
    if not wanted or context.resilient_parsing:
        return
    from hotspare_rpc.version import SOFTWARE_VERSION

    click.echo(f"hotspare {SOFTWARE_VERSION}")
    context.exit()


@click.command()
@output_option
@click.pass_obj
def version(target: Target, output: OutputForm) -> None:
    """Tell the versions of command and server.

    And whether the two go together. With a token it also tells what is next for each member in an upgrade.
    `hotspare --version` asks no server.
    """
    from hotspare.v1.version_service_pb2 import CheckVersionRequest
    from hotspare_cli.emit import emit
    from hotspare_cli.session import ask
    from hotspare_cli.views.version import version_view
    from hotspare_rpc.credentials import BearerToken
    from hotspare_rpc.version import SOFTWARE_VERSION

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
