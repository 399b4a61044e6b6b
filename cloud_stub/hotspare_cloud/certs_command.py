"""The command `hotspare-cloud certs`. What it needs to make certificates is imported late."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datetime import datetime

    from hotspare_cloud.certificate_folder import Made, Wanted

OUT = click.Path(file_okay=False, path_type=Path)
DAYS = 397
"""What browsers take at most; a habit of authorities everywhere."""


@click.command()
@click.option("--out", type=OUT, required=True, help="The folder of the authority and of all that it signed.")
@click.option(
    "--name",
    "hosts",
    multiple=True,
    metavar="HOST[,HOST…]",
    help="A server, by all names and addresses by which it is reached; the first one names its folder.",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME",
    help="Somebody who calls servers that demand certificates (--tls-client-ca). Receivers show their own.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=DAYS,
    show_default=True,
    help="How long the certificates are valid; never longer than their authority.",
)
@click.option("--renew", is_flag=True, help="Give all certificates of the folder a new end.")
def certs(out: Path, hosts: Sequence[str], clients: Sequence[str], days: int, renew: bool) -> None:
    """Make certificates for the servers of a trial, or for an installation without an authority of its own.

    The first call makes an authority (ca.pem, ca.key; valid for ten years), later ones add to it. Each host gets a
    folder with all that it needs: OUT/HOST/cert.pem, key.pem and ca.pem. Everything is of mode 0600, and nothing is
    overwritten. ca.key is all that somebody needs to stand in for your servers: it stays here, on a machine that is
    none of them.

    --renew keeps the authority and the keys, and replaces each certificate in one step. Servers serve it without a
    restart. It may be repeated at any time.

    \b
    hotspare-cloud certs --out tls --name cloud.example.org --name alpha.example.org,192.0.2.7
    hotspare-cloud serve … --tls-cert tls/cloud.example.org/cert.pem --tls-key tls/cloud.example.org/key.pem
    hotspare-cloud certs --out tls --renew
    """
    from datetime import UTC, datetime

    from hotspare_cloud import certificate_folder

    if renew and (hosts or clients):
        raise click.UsageError("--renew is for all certificates of the folder: leave --name and --client out")
    if not renew and not hosts and not clients:
        raise click.UsageError(
            "name the servers (--name) or clients (--client), or renew those that are there (--renew)"
        )
    wanted = _wanted(hosts, clients)
    now, lasts = datetime.now(UTC), timedelta(days=days)
    try:
        if renew:
            made, end = certificate_folder.renew(out, now, lasts)
        else:
            made, end = certificate_folder.make(out, wanted, now, lasts)
    except certificate_folder.CertificateFolderError as problem:
        raise click.ClickException(str(problem)) from problem
    _tell(made, out / certificate_folder.CA_CERT, end)


def _wanted(hosts: Sequence[str], clients: Sequence[str]) -> "list[Wanted]":
    from hotspare_cloud.certificate_folder import Wanted
    from hotspare_cloud.issuing import NameProblem, checked_host

    try:
        servers = [Wanted(tuple(dict.fromkeys(map(checked_host, each.split(",")))), True) for each in hosts]
        callers = [Wanted((checked_host(each),), False) for each in clients]
    except NameProblem as problem:
        raise click.UsageError(f"{problem}.") from problem
    return servers + callers


def _tell(made: "Sequence[Made]", authority: Path, end: "datetime") -> None:
    for one in made:
        who = f"server {', '.join(one.names)}" if one.is_server else f"client {one.names[0]}"
        click.echo(f"{one.path}: {who}; ends {one.end:%Y-%m-%d %H:%M} UTC")
    click.echo(f"{authority}: the authority; ends {end:%Y-%m-%d %H:%M} UTC")
