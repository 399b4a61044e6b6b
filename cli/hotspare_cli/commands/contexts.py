"""`context`: named servers with their token files, so that they need not be typed."""

import os
from pathlib import Path
from typing import Any

import click

from hotspare_cli.errors import usage_error
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.options import FILE, OutputForm, output_option
from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS

_NEXT = "hotspare context list"


def names_for_completion(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names that begin so, for the shell; none where they can't be read."""
    from hotspare_cli.contexts import load
    from hotspare_cli.errors import CliError

    try:
        return [name for name in sorted(load().every) if name.startswith(incomplete)]
    except CliError:
        return []


@click.group(cls=HelpfulGroup)
def context() -> None:
    """Contexts: servers by name, with their token files.

    A context holds the address of a server and the names of the files for it, never a secret. What stands on the
    command line comes before the environment, and both before the context.
    """


@context.command()
@click.argument("name")
@click.option("--server", type=ADDRESS, required=True, help="The receiver, or the cloud.")
@click.option("--token-file", type=FILE, help="The file with your token for it, of mode 0600.")
@click.option("--tls-ca", type=FILE, help="The server's certificate authority (PEM).")
@click.option("--tls-cert", type=FILE, help="Your own certificate (PEM), for a server that demands one.")
@click.option("--tls-key", type=FILE, help="The private key of --tls-cert (PEM).")
@click.option("--use", is_flag=True, help="Use it from now on. The first one is used in any case.")
@click.option("--replace", is_flag=True, help="Put it in the place of one of that name.")
def add(
    name: str,
    server: Address,
    token_file: Path | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    use: bool,
    replace: bool,
) -> None:
    """Add the context NAME.

    The token file is looked at, so that a wrong one is told now; it is read again with each command.
    """
    from hotspare_cli.contexts import NAME, Context, load, save
    from hotspare_cli.files import read_secret

    if NAME.fullmatch(name) is None:
        raise usage_error(f"{name!r} is no name.", "A name is 1 to 64 characters of A-Z a-z 0-9 . _ -")
    if (tls_cert is None) != (tls_key is None):
        raise usage_error("--tls-cert and --tls-key go together.", "Name both, or none.")
    known = load()
    if name in known.every and not replace:
        raise usage_error(f"There is a context {name} already.", "Choose another name, or repeat it with --replace.")
    if token_file is not None:
        read_secret(token_file, "token")
    # The folder of today may not be that of tomorrow.
    files = (None if file is None else Path(os.path.abspath(file)) for file in (token_file, tls_ca, tls_cert, tls_key))
    changed = known.with_one(name, Context(server, *files), use=use)
    save(changed)
    used = "is used from now on" if changed.current == name else f"is there; {changed.current} is used"
    click.echo(f"The context {name} {used}.")


@context.command("list")
@output_option
def list_(output: OutputForm) -> None:
    """List the contexts; a mark stands at the one in use."""
    from hotspare_cli.contexts import load

    known = load()
    rows = [{"name": name, "current": name == known.current, **known.every[name].as_plain()} for name in known.every]
    rows.sort(key=lambda row: str(row["name"]))
    if output is not OutputForm.TABLE:
        _as_data({"contexts": rows}, output)
        return
    from hotspare_cli.layout import grid
    from hotspare_cli.screen import show

    columns = ("server", "token_file", "tls_ca")
    shown = (("*" if row["current"] else "", row["name"], *(row.get(key, "-") for key in columns)) for row in rows)
    empty = "no contexts: hotspare context add NAME --server HOST:PORT …"
    titles, below = ("", "NAME", "SERVER", "TOKEN FILE", "TLS CA"), ("TLS CA", "TOKEN FILE")
    show([grid(titles, _texts(shown), empty=empty, below=below)])


@context.command()
@click.argument("name", required=False, shell_complete=names_for_completion)
@output_option
def show(name: str | None, output: OutputForm) -> None:
    """Show the context NAME, or the one in use."""
    from hotspare_cli.contexts import load

    known = load()
    name = name or os.environ.get("HOTSPARE_CONTEXT") or known.current
    if name is None:
        raise usage_error("No context is in use.", f"Choose one ({_NEXT}): hotspare context use NAME.")
    plain = {"name": name, "current": name == known.current, **known.named(name).as_plain()}
    if output is not OutputForm.TABLE:
        _as_data(plain, output)
        return
    from hotspare_cli.layout import Facts
    from hotspare_cli.screen import show as on_screen

    words = {"name": "Name", "current": "In use", "server": "Server", "token_file": "Token file"}
    words |= {"tls_ca": "TLS CA", "tls_cert": "TLS certificate", "tls_key": "TLS key"}
    plain["current"] = "yes" if plain["current"] else "no"
    on_screen([Facts(tuple((words[key], str(value)) for key, value in plain.items()))])


@context.command()
@click.argument("name", shell_complete=names_for_completion)
def use(name: str) -> None:
    """Use the context NAME from now on."""
    from hotspare_cli.contexts import load, save

    changed = load().using(name)
    save(changed)
    click.echo(f"The context {name} is used from now on: {changed.every[name].server}.")


@context.command()
@click.argument("name", shell_complete=names_for_completion)
def remove(name: str) -> None:
    """Remove the context NAME. Its files stay."""
    from hotspare_cli.contexts import load, save

    known = load()
    changed = known.without(name)
    save(changed)
    unused = "" if changed.current is not None or known.current is None else " No context is in use now."
    click.echo(f"Removed the context {name}.{unused}")


def _texts(rows: Any) -> list[tuple[str, ...]]:
    return [tuple(str(value) for value in row) for row in rows]


def _as_data(plain: dict[str, Any], form: OutputForm) -> None:
    from hotspare_cli.plain_data import write

    write(plain, form)
