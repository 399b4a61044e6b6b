"""Calls that clear or replace something: the server tells what, somebody agrees, and it is made again (X4)."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from hotspare_cli.errors import CliError, usage_error
from hotspare_cli.options import Target, confirm, on_terminal

if TYPE_CHECKING:
    from hotspare_cli.failures import Hints
    from hotspare_cli.session import Session

Result = TypeVar("Result")

NOBODY_TO_ASK = "Without a terminal nobody can be asked: repeat it with --yes."


def with_consent(
    target: Target,
    make: Callable[["Session", bool], Awaitable[Result]],
    *,
    yes: bool,
    effect: Callable[[str], str],
    always: str = "",
    hints: "Hints | None" = None,
) -> Result:
    """Make a call that the server refuses until it is confirmed; `make` gets whether it is.

    `effect` tells in a sentence what will happen, from the server's words for what is cleared. A call that `always`
    takes something away tells so in that sentence, and is not made at all where nobody can be asked.

    Raises:
        CliError: it was refused, or the answer was no.
    """
    from hotspare_cli.session import ask

    if not yes:
        if always and not on_terminal():
            raise usage_error(always, NOBODY_TO_ASK)
        try:
            return ask(target, lambda session: make(session, False), hints=hints)
        except CliError as refusal:
            if refusal.clears is None or not on_terminal():
                raise
            confirm(effect(refusal.clears), yes=False)
    return ask(target, lambda session: make(session, True), hints=hints)
