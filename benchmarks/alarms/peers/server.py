"""A server of somebody else, on a free port of the loopback and in a folder of its own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alarms.ground import free_port

PATIENCE = 20.0
GUARD = ("setpriv", "--pdeathsig", "KILL")
"""Before the command of a server: the kernel ends it, when the benchmark itself is killed."""
MISSING = "not installed (make bench-deps)"


class PeerServer:
    """Runs while the `with` block lasts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PeerServer":
        self.prepare()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*GUARD, *self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            self._await()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """What is done before it is started."""

    def command(self) -> Sequence[str]:
        """How it is started."""
        raise NotImplementedError

    def _await(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"{self.command()[0]} does not listen:\n{log}")


def found(name: str, *places: str) -> str | None:
    """A program: on the path, or the newest that lies in one of the places (with `*`)."""
    more = sorted((str(path) for place in places for path in Path("/").glob(place.lstrip("/"))), reverse=True)
    return next((place for place in (shutil.which(name), *more) if place), None)


def version(program: str | None, word: str = "--version") -> str:
    """What a program says of itself, in one line."""
    if program is None:
        return MISSING
    told = subprocess.run([program, word], capture_output=True, text=True, timeout=PATIENCE, check=False)
    lines = (told.stdout or told.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def reachable(name: str, folder: Path) -> bool:
    """Whether that user may enter a folder: else a server can't run there in its name."""
    if os.geteuid() != 0:
        return True
    try:
        words = _by(pwd.getpwnam(name))
    except KeyError:
        return False
    return subprocess.run([*words, "test", "-x", str(folder)], timeout=PATIENCE, check=False).returncode == 0


def as_user(name: str, folder: Path) -> list[str]:
    """Words that go before a command which root may not run: by that user, who owns the folder then."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(name)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return _by(user)


def _by(user: pwd.struct_passwd) -> list[str]:
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
