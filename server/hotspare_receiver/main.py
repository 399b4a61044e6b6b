"""The command `hotspare-receiver`. gRPC is imported late, so that `--help` is instant."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import click

from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS, announce, tls_options
from hotspare_rpc.version import SOFTWARE_VERSION

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
    from hotspare_rpc.tls import TlsError
    from hotspare_store.folder import DataFolderError

    stopping = install_stop_signals()
    app = ReceiverApp(options)
    try:
        await app.start()
        announce(grpc=app.address, metrics=app.metrics_address)
        ends = [asyncio.ensure_future(event.wait()) for event in (stopping, app.failed)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    except (DataFolderError, ListenError, TlsError, HotspareError, OSError) as error:
        return " ".join(str(error).split())
    finally:
        await app.stop()
    return "the store failed; start again to recover" if app.failed.is_set() else ""


if __name__ == "__main__":
    main()
