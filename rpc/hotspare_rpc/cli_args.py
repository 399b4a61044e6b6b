"""What the command lines of all servers share. Imports no gRPC, so that `--help` is instant."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hotspare_rpc.address import Address, AddressError, parse_address

Command = TypeVar("Command", bound=Callable[..., Any])


if TYPE_CHECKING:  # generic for the checker; not yet so in every release of click that we allow
    _AddressParam = click.ParamType[Address]
else:
    _AddressParam = click.ParamType


class AddressType(_AddressParam):
    """A `HOST:PORT` on the command line."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Read the text; click shows the message of the error."""
        if isinstance(value, Address):
            return value
        try:
            return parse_address(str(value))
        except AddressError as problem:
            self.fail(str(problem), param, ctx)


ADDRESS = AddressType()

_FILE = click.Path(dir_okay=False, path_type=Path)


def tls_options(command: Command) -> Command:
    """Add `--tls-cert`, `--tls-key` and `--tls-client-ca`; the command gets `tls`, a ServerTls or None."""

    @functools.wraps(command)
    def with_tls(
        *args: Any, tls_cert: Path | None, tls_key: Path | None, tls_client_ca: Path | None, **more: Any
    ) -> Any:
        return command(*args, tls=_server_tls(tls_cert, tls_key, tls_client_ca), **more)

    options = (
        click.option(
            "--tls-cert",
            type=_FILE,
            help="Certificate chain of the server (PEM). Read again when it changes.",
        ),
        click.option("--tls-key", type=_FILE, help="Private key of the certificate (PEM, not encrypted)."),
        click.option(
            "--tls-client-ca",
            type=_FILE,
            help="Demand certificates of clients, signed by one of these (PEM).",
        ),
    )
    decorated: Any = with_tls
    for option in reversed(options):
        decorated = option(decorated)
    result: Command = decorated
    return result


def _server_tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> Any:
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key go together, and --tls-client-ca needs both")
    from hotspare_rpc.tls import ServerTls

    return ServerTls(cert, key, client_ca)


def announce(*, grpc: str, metrics: str | None = None) -> None:
    """Print the one line that tells, once the server serves, at which addresses it really does."""
    line = f"serving grpc={grpc}"
    click.echo(line if metrics is None else f"{line} metrics={metrics}")
