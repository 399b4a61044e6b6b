"""Logs of JSON objects, one a line: written by the simulators, followed by the demo and by tests."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READ_SIZE = 1 << 20


class LineLog:
    """Appends lines to a file, each whole with one write, so that a reader never sees half of one for long.

    Nothing is buffered in the process: a line that was written survives a kill -9 (not a power cut).
    """

    def __init__(self, path: Path | None) -> None:
        """`path` None: nothing is kept. Raises OSError when the file can't be opened."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = None if path is None else os.open(path, flags, 0o600)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one line. Raises OSError, also when the disk took only a part of it."""
        if self._file is None:
            return
        line = json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
        written = os.write(self._file, line)
        if written != len(line):
            # What comes next must not grow together with the torn line.
            os.write(self._file, b"\n")
            raise OSError(f"only {written} of {len(line)} bytes of a line were written")

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class LineTail:
    """Gives the lines that were appended to a log since the last look; the file may not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        """Return the objects of the whole lines that are new; a torn line is left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                chunks = list(iter(lambda: file.read(READ_SIZE), b""))
        except FileNotFoundError:
            return []
        self._offset += sum(map(len, chunks))
        *lines, self._rest = (self._rest + b"".join(chunks)).split(b"\n")
        return [entry for line in lines if (entry := _parsed(line)) is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
