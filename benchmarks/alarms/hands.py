"""Helping processes: what loads a server, or answers it, must not share an interpreter with what measures.

Each runs one coroutine function of this package: `async def job(line, ...)`. It tells what it has by `line.say`, waits
for a word by `line.go`, and its result comes back by `Hand.result`.
"""

import asyncio
import logging
import multiprocessing
import os
import threading
import traceback
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

PATIENCE = 120.0
"""Seconds for anything; what takes longer has failed."""

_CONTEXT = multiprocessing.get_context("spawn")


class Line:
    """The helper's end."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()
        self._words: asyncio.Queue[str] = asyncio.Queue()
        self.stopped = asyncio.Event()
        """Set when it is told to come to its end."""
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, what: Any = None) -> None:
        """Tell something that `Hand.heard` returns."""
        self._pipe.send(("said", what))

    async def go(self, what: Any = None) -> None:
        """Tell that everything is prepared, and wait for the word."""
        self.say(what)
        await self._words.get()

    def _listen(self) -> None:
        try:
            while (word := self._pipe.recv()) != "stop":
                self._loop.call_soon_threadsafe(self._words.put_nowait, word)
            self._loop.call_soon_threadsafe(self.stopped.set)
        except (EOFError, OSError):
            # Whoever started it is gone.
            os._exit(1)
        except RuntimeError:
            return  # The loop is over, and nobody waits for a word.


Job = Callable[..., Awaitable[Any]]


class Hand:
    """A helper, as the one that started it sees it. Raises RuntimeError, with its traceback, when it failed."""

    def __init__(self, job: Job, *arguments: Any) -> None:
        self.name = getattr(job, "__name__", "job")
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_run, args=(theirs, job, arguments), name=self.name, daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "Hand":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def heard(self, seconds: float = PATIENCE) -> Any:
        """What it says next."""
        return self._receive("said", seconds)

    def go(self) -> None:
        """Give the word."""
        self._pipe.send("go")

    def stop(self) -> None:
        """Tell it to come to its end."""
        self._pipe.send("stop")

    def result(self, seconds: float = PATIENCE) -> Any:
        """Wait for its result, passing over what it says."""
        return self._receive("done", seconds)

    def close(self) -> None:
        """Leave nothing of it."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._pipe.close()

    def _receive(self, wanted: str, seconds: float) -> Any:
        while True:
            if not self._pipe.poll(seconds):
                raise TimeoutError(f"{self.name} told nothing for {seconds:g} s")
            try:
                kind, what = self._pipe.recv()
            except EOFError:
                raise RuntimeError(f"{self.name} ended with status {self._process.exitcode}") from None
            if kind == "failed":
                raise RuntimeError(f"{self.name} failed:\n{what}")
            if kind == wanted:
                return what


def _run(pipe: "Connection[Any, Any]", job: Job, arguments: tuple[Any, ...]) -> None:
    logging.disable(logging.CRITICAL)

    async def work() -> Any:
        return await job(Line(pipe), *arguments)

    try:
        result = asyncio.run(work())
    except BaseException:
        pipe.send(("failed", traceback.format_exc()))
    else:
        pipe.send(("done", result))
    finally:
        pipe.close()
