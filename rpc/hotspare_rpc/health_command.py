"""The command `health` of all servers: what the health check of a container, or a script, asks."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS

if TYPE_CHECKING:
    from hotspare_rpc.tls import ChannelTls

NOT_HEALTHY = 1
"""The exit status of whatever is not healthy: Docker knows no other one (2 it keeps for itself)."""

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--server", type=ADDRESS, required=True, envvar="HOTSPARE_SERVER", show_envvar=True, help="The server to ask."
)
@click.option(
    "--tls-ca",
    type=_FILE,
    envvar="HOTSPARE_TLS_CA",
    show_envvar=True,
    help="Its certificate authority (PEM). Without it: the system's, and no TLS on loopback.",
)
@click.option(
    "--tls-cert",
    type=_FILE,
    envvar="HOTSPARE_TLS_CERT",
    show_envvar=True,
    help="A certificate of your own (PEM), for a server that demands one.",
)
@click.option(
    "--tls-key", type=_FILE, envvar="HOTSPARE_TLS_KEY", show_envvar=True, help="The private key of --tls-cert (PEM)."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the answer may take.",
)
def health(server: Address, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None, timeout: float) -> None:
    """Ask a server whether it serves (grpc.health.v1). No token is needed.

    Exit status: 0 it serves, 1 it does not, or gives no answer. A receiver that stands by serves: this is no question
    for who works (hotspare status).
    """
    import asyncio

    from hotspare_rpc.channel import PlaintextError
    from hotspare_rpc.tls import ChannelTls, TlsError

    try:
        in_clear = server.is_loopback and tls_ca is None and tls_cert is None
        tls = None if in_clear else ChannelTls.from_files(tls_ca, tls_cert, tls_key)
        problem = asyncio.run(_ask(server, tls, timeout))
    except (PlaintextError, TlsError) as unusable:
        problem = str(unusable)
    if problem:
        click.echo(f"{server}: {problem}", err=True)
        sys.exit(NOT_HEALTHY)
    click.echo(f"{server} serves")


async def _ask(server: Address, tls: "ChannelTls | None", timeout: float) -> str:
    """Returns what is wrong, in one line; nothing when the server serves."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from hotspare_rpc.channel import open_channel
    from hotspare_rpc.errors import describe

    async with open_channel(str(server), tls) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know no methods
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return describe(error)
    serves = answer.status == health_pb2.HealthCheckResponse.SERVING
    return "" if serves else f"it is {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"
