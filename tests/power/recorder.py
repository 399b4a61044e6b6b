"""A VFS of SQLite that records what is written to files and what is synced, for `disk` to make power cuts of.

It is apsw's, and so is the SQLite that runs on it: another copy than the one of Python's sqlite3 module, which takes no
VFS from outside. The store and its statements are the product's own; `connection` stands for the module's connection.
"""

from pathlib import Path
from typing import Any

import apsw

from tests.power.disk import Delete, Event, Said, Sync, Truncate, Write

RECORDED = (".db", ".db-wal", ".db-journal")
"""Not the shared memory, which SQLite makes anew after a cut, nor what is in a data folder besides."""


class Recorder:
    """The record of one folder. Files in it are the base; what happens to them from now on is recorded."""

    _made = 0

    def __init__(self, folder: Path) -> None:
        Recorder._made += 1
        self.name = f"recorder-{Recorder._made}"
        self.base = {file.name: file.read_bytes() for file in folder.iterdir() if _recorded(file.name)}
        self.log: list[Event] = []
        self._vfs = _Vfs(self.name, self)

    def said(self, fact: object) -> None:
        """Something was answered."""
        self.log.append(Said(fact))

    def close(self) -> None:
        """Take the VFS away. All of its connections are closed."""
        self._vfs.unregister()


class _Vfs(apsw.VFS):
    def __init__(self, name: str, recorder: Recorder) -> None:
        super().__init__(name, "")
        self._recorder = recorder

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return _File(name, flags, self._recorder)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        if _recorded(filename):
            self._recorder.log.append(Delete(Path(filename).name, bool(syncdir)))


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], recorder: Recorder) -> None:
        super().__init__("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path).name if path else ""
        # What has no name is SQLite's own, for the moment.
        self._log = recorder.log if path and _recorded(path) else []

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        self._log.append(Write(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._log.append(Truncate(self._name, newsize))

    def xSync(self, flags: int) -> None:
        # Not done: these files are no better than the record, and syncing takes time.
        self._log.append(Sync(self._name))


def _recorded(path: str) -> bool:
    return path.endswith(RECORDED)
