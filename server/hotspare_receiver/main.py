"""The command `hotspare-receiver`. gRPC is imported late, so that `--help` is instant."""

import asyncio
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS, announce, tls_options
from hotspare_rpc.health_command import health
from hotspare_rpc.version import SOFTWARE_VERSION

DATA = click.Path(file_okay=False, path_type=Path)

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@click.group()
@click.version_option(SOFTWARE_VERSION, prog_name="hotspare-receiver")
def main() -> None:
    """A receiver: takes alarms from the cloud and forwards them to the ARC's automation software."""


@main.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder; made at the first start, with an admin token in it (admin.token).",
)
@click.option("--listen", required=True, type=ADDRESS, help="Where to serve gRPC. Port 0 picks one.")
@click.option("--metrics", type=ADDRESS, help="Where to serve Prometheus metrics (/metrics). Port 0 picks one.")
@click.option("--advertise", type=ADDRESS, help="Where others reach this receiver, if not where it listens.")
@click.option("--machine-id", help="Identity of the machine, for containers that share that of their host.")
@click.option(
    "--log-level",
    type=click.Choice(list(LEVELS)),
    default="info",
    show_default=True,
    help="What is logged, to stderr.",
)
@tls_options
def serve(
    data: Path,
    listen: Address,
    metrics: Address | None,
    advertise: Address | None,
    machine_id: str | None,
    log_level: str,
    tls: Any,
) -> None:
    """Serve until SIGTERM or SIGINT; then hand the work over and stop."""
    from hotspare_rpc.logs import setup_logging

    setup_logging(level=LEVELS[log_level])

    from hotspare_receiver.app import Options

    options = Options(data, listen, metrics, tls, machine_id, advertise)
    problem = asyncio.run(_serve(options))
    if problem:
        click.echo(f"hotspare-receiver: {problem}", err=True)
        sys.exit(1)


async def _serve(options: Any) -> str:
    """Run a receiver to its end; returns what went wrong, in one line, or nothing."""
    from hotspare_model.errors import HotspareError
    from hotspare_receiver.app import ReceiverApp
    from hotspare_rpc.address import ListenError
    from hotspare_rpc.stop import install_stop_signals
    from hotspare_rpc.systemd import told_systemd
    from hotspare_rpc.tls import TlsError
    from hotspare_store.folder import DataFolderError

    stopping = install_stop_signals()
    app = ReceiverApp(options)
    try:
        await app.start()
        announce(grpc=app.address, metrics=app.metrics_address)
        ends = [asyncio.ensure_future(event.wait()) for event in (stopping, app.failed)]
        async with told_systemd():
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    except (DataFolderError, ListenError, TlsError, HotspareError, OSError) as error:
        return " ".join(str(error).split())
    finally:
        await app.stop()
    return "the store failed; start again to recover" if app.failed.is_set() else ""


@main.command()
@click.option("--data", required=True, type=DATA, help="The data folder of a receiver that does not run.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@tls_options
def uninstall(data: Path, yes: bool, tls: Any) -> None:
    """Take a receiver out of its group for good, before its software and its folder are removed.

    It gives its role up, tells the cloud so, and clears what goes with the role; a host ends the hot spare of the whole
    group. Stop the receiver first: it hands its work over then. Settings, outputs, tokens, the history and a host's own
    configuration stay in the folder; what stays is told in the end. When the cloud can't be reached, do it again later:
    it tells the cloud then.
    """
    from hotspare_model.errors import HotspareError
    from hotspare_rpc.logs import setup_logging
    from hotspare_rpc.tls import TlsError
    from hotspare_store.folder import DataFolderError

    setup_logging(level=logging.ERROR)
    try:
        told = asyncio.run(_uninstall(data, yes, tls))
    except (DataFolderError, TlsError, OSError) as problem:
        raise click.ClickException(str(problem)) from problem
    except HotspareError as refused:
        raise click.ClickException(refused.message) from refused
    if not told:
        sys.exit(1)


async def _uninstall(data: Path, yes: bool, tls: Any) -> bool:
    """Returns whether the cloud knows."""
    import getpass

    from hotspare_receiver.uninstall import opened

    async with opened(data, tls) as uninstall:
        clears = await uninstall.clears()
        click.echo(f"Receiver {uninstall.name}.")
        if clears and not yes:
            click.echo(f"This clears {clears}.")
            if not sys.stdin.isatty():
                raise click.UsageError("without a terminal nobody can be asked: repeat it with --yes")
            click.confirm("Uninstall it?", abort=True)
        done = await uninstall.carry_out(getpass.getuser())
        if clears:
            click.echo(f"Cleared {clears}.")
        elif done.cleared_records:
            click.echo(f"Cleared a configuration that was left ({done.cleared_records} records).")
        if done.ended:
            click.echo(f"Their hot spare ended with it: {', '.join(done.ended)}.")
        remains = await uninstall.remains()
    click.echo(
        f"Kept in {data}: its settings and keys, outputs ({remains.outputs}), tokens ({remains.tokens}), configuration "
        f"({remains.own_records} records), history ({remains.alarms} alarms, {remains.unconfirmed} not confirmed)."
    )
    click.echo(f"Delete it with: rm -r {shlex.quote(str(data))}")
    if done.problem:
        click.echo(
            f"The cloud could not be told that this receiver is gone: {done.problem}. Do this again when it can be "
            "reached, before you delete the folder, or remove the member at another receiver: hotspare member remove.",
            err=True,
        )
    return not done.problem


@main.group()
def token() -> None:
    """The tokens of a receiver, for whoever has its data folder."""


@token.command()
@click.option("--data", required=True, type=DATA, help="The data folder of the receiver, running or not.")
def reset(data: Path) -> None:
    """Replace a lost admin token: a new one is in DATA/admin.token (mode 0600).

    A receiver that runs takes it over within 2 seconds, without a restart; one that does not run, at its start. The
    token named admin before is revoked then. All other tokens stay: list and revoke them with the new one.
    """
    from hotspare_receiver.reset import ADMIN_TOKEN_FILE, reset_admin_token
    from hotspare_store.folder import DataFolderError

    try:
        runs = reset_admin_token(data)
    except DataFolderError as problem:
        raise click.ClickException(str(problem)) from problem
    when = "within 2 seconds" if runs else "at its next start"
    click.echo(f"The new admin token is in {data / ADMIN_TOKEN_FILE}.")
    click.echo(f"The receiver takes it over {when}; the admin token of before is revoked then, others stay.")


main.add_command(health)


if __name__ == "__main__":
    main()
