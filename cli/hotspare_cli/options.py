"""What the commands share: where to call and as whom, the form of the output, the question before a loss."""

import sys
from collections.abc import Callable, Sized
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click

from hotspare_cli.errors import CliError, usage_error
from hotspare_cli.files import read_secret
from hotspare_rpc.address import Address

Command = TypeVar("Command", bound=Callable[..., Any])

_LONGEST_REASON = 256

FILE = click.Path(dir_okay=False, path_type=Path)


class OutputForm(StrEnum):
    """In which form a response is shown."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Target:
    """Which server is called, as whom, and how long an answer may take: the options before the command."""

    server: Address | None
    token_file: Path | None
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    timeout: float
    """Seconds for each call."""
    timeout_told: bool = True
    """Whether that was somebody's wish; it holds then for the slow calls, too."""
    words: tuple[str, ...] = ()
    """The command behind those options, as it was typed, for who has to repeat it elsewhere."""
    context: str | None = None
    """The context that was named for this command; without it the one in use counts."""
    variables: frozenset[str] = frozenset()
    """Which of the fields above were told by variables of the environment, while the context was told by an option."""

    def resolved(self) -> "Target":
        """This target, with what neither option nor variable told taken from the context.

        A token goes to the server that it is for: with another server than the context's nothing is taken from it.

        Raises:
            CliError: the context that was named is not there, or the contexts can't be read.
        """
        if self.server is not None and self.context is None and self.token_file is not None:
            return self
        from hotspare_cli.contexts import load

        known = load()
        name = self.context or known.current
        if name is None:
            return self
        one = known.named(name)
        if "server" in self.variables and self.server != one.server:
            # `--context beta` means beta. What was exported is for that other server, its token as well.
            forgotten: dict[str, Any] = dict.fromkeys(self.variables)
            return replace(self, **forgotten, variables=frozenset()).resolved()
        if self.server is not None and self.server != one.server:
            return self
        return replace(
            self,
            server=one.server,
            token_file=self.token_file or one.token_file,
            tls_ca=self.tls_ca or one.tls_ca,
            tls_cert=self.tls_cert or one.tls_cert,
            tls_key=self.tls_key or one.tls_key,
            context=name,
        )

    def called(self) -> str:
        """The server as people know it: its address, and the context's name where that told it. Empty: none is named.

        Raises:
            CliError: as resolved.
        """
        found = self.resolved()
        if found.server is None:
            return ""
        by_context = self.server is None or self.server != found.server
        return f"{found.context}, {found.server}" if by_context else str(found.server)

    def deadline(self, contract: float) -> float:
        """Seconds for a call that the contract gives that long, such as one that hands the work over first."""
        return self.timeout if self.timeout_told else max(self.timeout, contract)

    def address(self) -> Address:
        """The server. Raises CliError when none was named."""
        if self.server is None:
            raise usage_error(
                "No server was named.",
                "Name it: hotspare --server HOST:PORT …, set HOTSPARE_SERVER, or keep it: hotspare context add.",
            )
        return self.server

    def token(self) -> str:
        """The operator's token. Raises CliError when there is none to be had."""
        if self.token_file is None:
            raise usage_error(
                "No token was named.",
                "Name its file: hotspare --token-file FILE …, or set HOTSPARE_TOKEN_FILE. "
                "A receiver writes its first one to admin.token in its data folder.",
            )
        return read_secret(self.token_file, "token")


def output_option(command: Command) -> Command:
    """Add `-o table|json|yaml`; the command gets `output`, an OutputForm."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice([form.value for form in OutputForm]),
        default=OutputForm.TABLE.value,
        show_default=True,
        callback=lambda _context, _option, value: OutputForm(value),
        help="The form of the output; json and yaml hold the whole response.",
    )(command)


SCREENFUL = 100
"""Of a list that is newest first so many are shown on a terminal, unless somebody wishes otherwise."""


@dataclass(frozen=True)
class Limit:
    """How many of a list are wanted, newest first: as told; else on a terminal no more than anybody reads."""

    told: int | None
    screenful: bool

    @classmethod
    def of(cls, told: int | None, output: OutputForm) -> "Limit":
        """As the command line tells."""
        return cls(told, told is None and output is OutputForm.TABLE and sys.stdout.isatty())

    @property
    def asked(self) -> int | None:
        """So many are fetched: one more than shown where nobody told, to know whether there are more. None: all."""
        return SCREENFUL + 1 if self.screenful else self.told

    def enough(self, found: Sized) -> bool:
        """Whether these are as many as are asked for."""
        return self.asked is not None and len(found) >= self.asked

    def cut(self, found: Any) -> bool:
        """Leave as many as are shown; whether it is to be told that there are more."""
        shown = SCREENFUL if self.screenful else self.told
        more = self.screenful and len(found) > SCREENFUL
        if shown is not None:
            del found[shown:]
        return more


ONLY_THE_NEWEST = f"Only the newest {SCREENFUL} are shown. Others: --limit N, --since SPAN."


def watch_option(command: Command) -> Command:
    """Add `--watch`: the same again and again, by `repeated`."""
    return click.option(
        "--watch", is_flag=True, help="Look again every 2 s, until Ctrl-C; with json: a line a change."
    )(command)


def yes_option(command: Command) -> Command:
    """Add `--yes`, which stands for the answer to the question of `confirm`."""
    return click.option("--yes", is_flag=True, help="Do it without a question.")(command)


def reason_option(command: Command) -> Command:
    """Add `--reason`, for the history; the command gets `reason`, empty where none was given."""
    return click.option(
        "--reason",
        default="",
        metavar="TEXT",
        callback=_reason,
        help="Why, for the history: up to 256 characters.",
    )(command)


def _reason(context: click.Context, option: click.Parameter, value: str) -> str:
    if len(value) > _LONGEST_REASON:
        raise click.BadParameter(f"at most {_LONGEST_REASON} characters, not {len(value)}.", context, option)
    return value


def on_terminal() -> bool:
    """Whether there is somebody to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(effect: str, *, yes: bool) -> None:
    """Tell what will happen and ask, unless `--yes` was given (X4).

    Raises:
        CliError: the answer was no, or nobody is there to answer.
    """
    if yes:
        return
    if not on_terminal():
        raise usage_error(effect, "Without a terminal nobody can be asked: repeat it with --yes.")
    if not click.confirm(f"{_where()}{effect} Go on?", err=True):
        raise CliError("Nothing was changed.", "Answer y to go on.")


def _where() -> str:
    """Which server it is about: who has several contexts is easily at the wrong one."""
    context = click.get_current_context(silent=True)
    target = context.find_object(Target) if context is not None else None
    server = target.called() if target is not None else ""
    return f"{server}: " if server else ""
