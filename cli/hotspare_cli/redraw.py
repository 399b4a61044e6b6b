"""A screen that is drawn again and again, for `--watch`."""

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console

from hotspare_cli.layout import Part
from hotspare_cli.screen import plain, rendered, show

# The alternate screen, without a cursor, and without wrapping: a line that is too long is cut by the terminal, so that
# each stays in its row.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Redrawn(AbstractContextManager["Redrawn"]):
    """On a terminal each drawing takes the place of the one before, and the last one stays. Elsewhere they follow one
    another, each whole, parted by a line of dashes."""

    def __init__(self) -> None:
        self._console = Console(highlight=False) if sys.stdout.isatty() else None
        self._last: tuple[Part, ...] = ()
        self._shown = ""

    def __enter__(self) -> Self:
        """Take the screen."""
        if self._console is not None:
            sys.stdout.write(_ENTER)
            sys.stdout.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the screen back, with what was drawn last."""
        if self._console is None:
            return
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        if self._last:
            show(self._last)

    @property
    def in_place(self) -> bool:
        """Whether a drawing replaces the one before."""
        return self._console is not None

    def draw(self, parts: Iterable[Part]) -> None:
        """Show the parts."""
        whole = tuple(parts)
        if self._console is None:
            text = plain(whole)
            sys.stdout.write(f"---\n{text}" if self._shown else text)
            self._shown = text
        else:
            self._last = whole
            lines = rendered(whole, self._console).splitlines()[: self._console.height]
            body = f"{_REST_OF_LINE}\r\n".join(lines)
            sys.stdout.write(f"{_HOME}{body}{_REST_OF_LINE}{_REST_OF_SCREEN}")
        sys.stdout.flush()
