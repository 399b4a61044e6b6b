"""Commands that read, asked again and again for `--watch`: what `status` follows by a stream of its own."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from hotspare_cli.emit import as_json_line, as_yaml, emit
from hotspare_cli.errors import CliError, ExitCode
from hotspare_cli.failures import Hints
from hotspare_cli.layout import Cell, Lines, Part, Tone
from hotspare_cli.options import OutputForm, Target
from hotspare_cli.redraw import Redrawn
from hotspare_cli.session import Session, ask

INTERVAL = 2.0
"""Seconds between two looks."""

Look = Callable[[Session], Awaitable[Any]]
"""Asks once; answers with the response, or with it and what else its view needs."""
View = Callable[[Any], Iterable[Part]]


def show(
    target: Target, look: Look, view: View, output: OutputForm, *, watch: bool, hints: Hints | None = None
) -> None:
    """Show what `look` answers: once, or with `watch` again and again until Ctrl-C.

    Of what `look` answers the first part, where it is a tuple, is the response that json and yaml hold; `view` gets
    all of it. A connection that breaks later is tried again, and meanwhile the state from before is told as such.

    Raises:
        CliError: the first look failed; or a later one did, and not for want of a connection.
    """
    if not watch:
        seen = ask(target, look, hints=hints)
        emit(_response(seen), output, lambda _response: view(seen))
    elif output is OutputForm.TABLE:
        _redraw(target, look, view, hints)
    else:
        _lines(target, look, output, hints)


def _redraw(target: Target, look: Look, view: View, hints: Hints | None) -> None:
    with Redrawn() as screen:
        drawn: list[object] = []

        def draw(seen: Any, problem: str) -> None:
            before = (Lines((Cell(f"This is the state from before: {problem}", Tone.BAD),)),) if problem else ()
            # Ages grow where a drawing replaces the one before; in a file each screen tells something new.
            if screen.in_place or drawn != [_response(seen), problem]:
                drawn[:] = [_response(seen), problem]
                screen.draw((*before, *view(seen)))

        ask(target, lambda session: _again(session, look, draw), hints=hints)


def _lines(target: Target, look: Look, output: OutputForm, hints: Hints | None) -> None:
    shown = ""

    def write(seen: Any, problem: str) -> None:
        nonlocal shown
        if problem:
            sys.stderr.write(f"{problem}\n")
            return
        response = _response(seen)
        text = as_json_line(response) if output is OutputForm.JSON else f"---\n{as_yaml(response)}"
        if text != shown:
            sys.stdout.write(text)
            sys.stdout.flush()
            shown = text

    ask(target, lambda session: _again(session, look, write), hints=hints)


async def _again(session: Session, look: Look, tell: Callable[[Any, str], None]) -> None:
    session.tells_waiting = False
    seen, told = None, ""
    while True:
        try:
            seen, told = await look(session), ""
            tell(seen, "")
        except CliError as problem:
            if seen is None or problem.exit_code is not ExitCode.NO_ANSWER:
                raise
            if problem.what != told:
                told = problem.what
                tell(seen, told)
        await asyncio.sleep(INTERVAL)


def _response(seen: Any) -> Any:
    return seen[0] if isinstance(seen, tuple) else seen
