"""The command line `hotspare`: options that all commands share, the one place where errors become text."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hotspare_cli.commands.accounts import account
from hotspare_cli.commands.alarm_replay import replay
from hotspare_cli.commands.alarm_test import test as alarm_test
from hotspare_cli.commands.alarms import alarm
from hotspare_cli.commands.backup import backup
from hotspare_cli.commands.calls import call, describe
from hotspare_cli.commands.completion import completion
from hotspare_cli.commands.contexts import context, names_for_completion
from hotspare_cli.commands.device_dc09 import device_dc09
from hotspare_cli.commands.device_keys import rotate_key
from hotspare_cli.commands.doctor import doctor
from hotspare_cli.commands.event_files import export, import_
from hotspare_cli.commands.group import members, status
from hotspare_cli.commands.group_settings import group
from hotspare_cli.commands.membership import disable, enable, member
from hotspare_cli.commands.moves import history, pause, resume, switchover
from hotspare_cli.commands.operators import operator
from hotspare_cli.commands.output_update import update as output_update
from hotspare_cli.commands.outputs import output
from hotspare_cli.commands.records import record_groups
from hotspare_cli.commands.settings import settings
from hotspare_cli.commands.tail import tail
from hotspare_cli.commands.tokens import token
from hotspare_cli.commands.version import print_own_version, upgrade, version
from hotspare_cli.errors import CliError, ExitCode
from hotspare_cli.examples import attach
from hotspare_cli.groups import HelpfulGroup
from hotspare_cli.options import FILE, Target
from hotspare_rpc.address import Address
from hotspare_rpc.cli_args import ADDRESS

EPILOG = """\b
Examples:
  export HOTSPARE_SERVER=127.0.0.1:7001 HOTSPARE_TOKEN_FILE=night-shift.token
  hotspare status
  hotspare members -o json
  hotspare history --since 24h
  hotspare alarm rejected
  hotspare context add alpha --server 127.0.0.1:7001 --token-file night-shift.token

Exit status: 0 fine, 1 refused, 2 wrong usage, 3 no connection or answer, 4 not healthy, 5 not found,
130 interrupted.
"""

_WORDS = "hotspare_cli.words"
_OF_A_SERVER = ("server", "token_file", "tls_ca", "tls_cert", "tls_key")


class _PipeClosed(Exception):
    """Who read the output has seen enough."""


class _InOrder(HelpfulGroup):
    """Lists its commands as they were added: what is asked every day comes first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and note its words: an edit that belongs to the host is repeated there (B2)."""
        ctx.meta[_WORDS] = tuple(args)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises _PipeClosed in place of the error that click would make a refusal of."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _PipeClosed from None


@click.group(
    cls=_InOrder,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--server",
    type=ADDRESS,
    envvar="HOTSPARE_SERVER",
    show_envvar=True,
    help="The receiver to ask; for `alarm send`, `account` and `operator`, the cloud.",
)
@click.option(
    "--token-file",
    type=FILE,
    envvar="HOTSPARE_TOKEN_FILE",
    show_envvar=True,
    help="The file with your token for that receiver, of mode 0600.",
)
@click.option(
    "--tls-ca",
    type=FILE,
    envvar="HOTSPARE_TLS_CA",
    show_envvar=True,
    help="The server's certificate authority (PEM). Without it: the system's, and no TLS on loopback.",
)
@click.option(
    "--tls-cert",
    type=FILE,
    envvar="HOTSPARE_TLS_CERT",
    show_envvar=True,
    help="Your own certificate (PEM), for a server that demands one.",
)
@click.option(
    "--tls-key",
    type=FILE,
    envvar="HOTSPARE_TLS_KEY",
    show_envvar=True,
    help="The private key of --tls-cert (PEM).",
)
@click.option(
    "--context",
    "name",
    envvar="HOTSPARE_CONTEXT",
    show_envvar=True,
    metavar="NAME",
    shell_complete=names_for_completion,
    help="Take what is not told here from that context, instead of the one in use: hotspare context list.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each call may take. Without it calls that hand work over or restore may take longer.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=print_own_version,
    help="Tell the version of this command, and end.",
)
@click.pass_context
def hotspare(
    command: click.Context,
    server: Address | None,
    token_file: Path | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    name: str | None,
    timeout: float,
) -> None:
    """Look at a hot spare of alarm receivers, and change it.

    Each receiver is asked with its own token, and tells of its whole group.
    """
    source, sources = command.get_parameter_source, click.core.ParameterSource
    told = source("timeout") is not sources.DEFAULT
    words = command.meta.get(_WORDS, ())
    typed = source("name") is sources.COMMANDLINE
    variables = frozenset(one for one in _OF_A_SERVER if typed and source(one) is sources.ENVIRONMENT)
    command.obj = Target(server, token_file, tls_ca, tls_cert, tls_key, timeout, told, words, name, variables)


_RECORDS = record_groups()
alarm.add_command(replay)
alarm.add_command(tail)
alarm.add_command(alarm_test)
output.add_command(output_update)
_RECORDS["device"].add_command(rotate_key)
_RECORDS["device"].add_command(device_dc09)
_RECORDS["event"].add_command(import_)
_RECORDS["event"].add_command(export)

_COMMANDS = (
    *(status, doctor, members, history, switchover, pause, resume, group),
    *(settings, output, enable, disable, member),
    *(*_RECORDS.values(), backup, alarm, token, version, upgrade),
    *(account, operator),
    *(call, describe, context, completion),
)
for _command in _COMMANDS:
    hotspare.add_command(_command)
attach(hotspare)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit status. Errors go to stderr in two lines: what, what to do."""
    try:
        result: Any = hotspare.main(args=arguments, prog_name="hotspare", standalone_mode=False)
    except CliError as error:
        click.echo(f"Error: {error.what}", err=True)
        if error.hint:
            click.echo(f"Hint: {error.hint}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return ExitCode.INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.REFUSED
    return result if isinstance(result, int) else ExitCode.FINE


def main() -> None:
    """The console script."""
    # Its C core writes on stderr of its own accord; what it has to say is in the error that we show.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        status = run()
        # Here, and not at Python's end, which would complain.
        sys.stdout.flush()
    except (BrokenPipeError, _PipeClosed):
        # `hotspare history | head`: end as every command in a pipe does.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
        raise
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        status = ExitCode.INTERRUPTED
    sys.exit(status)
