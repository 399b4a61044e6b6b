"""Event definitions from a CSV file and into one: pieces over the wire, never a whole file in memory."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import grpc

from hotspare.v1.configuration_service_pb2 import (
    ExportEventsRequest,
    ImportEventsRequest,
    ImportEventsResponse,
)
from hotspare_cli.errors import CliError, usage_error
from hotspare_cli.files import creating
from hotspare_cli.session import Session

_PIECE = 256 * 1024
"""Bytes of a piece; the contract allows 1 MiB."""


async def send_file(
    session: Session,
    path: Path,
    *,
    dry_run: bool,
    replace_all: bool,
    timeout: float,
    progress: Callable[[int, int | None], None] = lambda _lines, _total: None,
) -> ImportEventsResponse:
    """Import the file, or only check it; return the last message, with the result.

    `progress` gets how many lines were checked, and of how many once the whole file is on its way.

    Raises:
        CliError: the file can't be read, or the call failed.
    """
    failed: list[OSError] = []
    lines, whole = 0, False

    def requests(file: BinaryIO) -> Iterator[ImportEventsRequest]:
        nonlocal lines, whole
        options = ImportEventsRequest.Options(dry_run=dry_run, replace_all=replace_all)
        yield ImportEventsRequest(options=options)
        try:
            while piece := file.read(_PIECE):
                lines += piece.count(b"\n")
                yield ImportEventsRequest(data=piece)
            whole = True
        except OSError as problem:
            # Not a plain end: the server would take what it has for the whole file.
            failed.append(problem)
            raise

    last = ImportEventsResponse()
    with _opened(path) as file:
        try:
            stream = session.exchange(session.configuration.ImportEvents, requests(file), timeout=timeout)
            async with aclosing(stream) as responses:
                async for last in responses:
                    if last.HasField("progress"):
                        progress(last.progress.lines, lines if whole else None)
        except grpc.aio.AioRpcError as error:
            raise session.explain(error) from None
        except asyncio.CancelledError:
            if not failed:
                raise
            raise _unreadable(path, failed[0]) from None
    if not last.HasField("result"):
        raise CliError("The server ended the import without a result.", "Look at hotspare event list, and repeat it.")
    return last


async def fetch(session: Session, write: Callable[[bytes], None], *, timeout: float) -> int:
    """Give each piece of the exported file to `write`; return how many bytes there were.

    Raises:
        CliError: the call failed.
    """
    total = 0
    stream = session.watch(session.configuration.ExportEvents, ExportEventsRequest(), timeout=timeout)
    try:
        async with aclosing(stream) as responses:
            async for response in responses:
                write(response.data)
                total += len(response.data)
    except grpc.aio.AioRpcError as error:
        raise session.explain(error) from None
    return total


class NewFile:
    """A file for what is exported: never over another one, and none is left behind where that failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> "NewFile":
        """Create it. Raises CliError."""
        with creating(self._path):
            self._file = self._path.open("xb")
        return self

    def write(self, piece: bytes) -> None:
        """Append a piece. Raises CliError."""
        assert self._file is not None
        try:
            self._file.write(piece)
        except OSError as problem:
            raise self._full(problem) from None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Close it, through to the disk; remove it if something failed."""
        assert self._file is not None
        problem: OSError | None = None
        try:
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
        except OSError as found:
            problem = found
        if kind is not None or problem is not None:
            self._path.unlink(missing_ok=True)
        if kind is None and problem is not None:
            raise self._full(problem) from None

    def _full(self, problem: OSError) -> CliError:
        return CliError(f"{self._path} can't be written: {problem.strerror}.", "Make room on that disk, and repeat it.")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as problem:
        raise _unreadable(path, problem) from None
    with file:
        yield file


def _unreadable(path: Path, problem: OSError) -> CliError:
    return usage_error(f"{path} can't be read: {problem.strerror}.", "Name a CSV file that you may read.")
