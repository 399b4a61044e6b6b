"""Processes by the console scripts of the running environment. None outlives the test run, however that ends."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.acceptance.harness.polling import until

BIN = Path(sys.executable).parent
"""Where the console scripts are."""
FAULTY = Path(__file__).with_name("faulty.py")
START = 30.0
"""Seconds until a server serves, on a slow and busy machine."""
END = 20.0
"""Seconds for an orderly end."""

# Runs in the child before the program: when pytest itself is killed, the kernel kills the child (on Linux;
# elsewhere only the finally blocks do). The first argument tells who the parent was: it may be gone already.
_GUARD = """
import ctypes, os, sys
try:
    ctypes.CDLL(None).prctl(1, 9)
except (OSError, AttributeError):
    pass
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a child: nothing of the user's own hotspare, unbuffered."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOTSPARE_")}
    own = {"PYTHONUNBUFFERED": "1", "COLUMNS": "200", "XDG_CONFIG_HOME": "/nonexistent"}
    return kept | own | dict(more or {})


def console(name: str) -> str:
    """The file of a console script; that of another program is the absolute path that it is."""
    return str(BIN / name)


def _guarded(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), console(command[0]), *command[1:]]


class Server:
    """A server of the product: `hotspare-cloud serve …` or another that tells its addresses in one line."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, *, inside: Sequence[str] = (), faulty: bool = False
    ) -> None:
        """`command`: the name of the console script and its arguments; its log goes to `folder`.

        `inside`: words that go before, of a program that runs it elsewhere (`netns.py`). `faulty`: so that it obeys
        `fault`.
        """
        self.name = name
        self._faults = folder / f"{name}.faults"
        before = (sys.executable, "-P", str(FAULTY), str(self._faults)) if faulty else ()
        self.command = [*inside, *before, console(command[0]), *command[1:]]
        self.log_file = folder / f"{name}.log"
        self.addresses: dict[str, str] = {}
        """What it serves, as it told itself: `grpc`, `metrics`, `dc09`."""
        self.env: dict[str, str] = {}
        """Variables of its environment from its next start on."""
        self.started = 0.0
        """When it was started last, by the monotonic clock."""
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def grpc(self) -> str:
        """Its gRPC address."""
        return self.addresses["grpc"]

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, under the addresses that it had before if it had any."""
        assert not self.is_running
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            self.started = time.monotonic()
            self._process = subprocess.Popen(
                _guarded(self._with_addresses()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(self.env),
                start_new_session=True,
            )

    def serving(self) -> "Server":
        """Wait until it serves."""
        until(self._look, START, lambda: f"{self.name} serves; its log:\n{self.log()}")
        return self

    def _look(self) -> bool:
        if not self.is_running:
            raise AssertionError(f"{self.name} ended instead of serving:\n{self.log()}")
        for line in self.log().splitlines():
            if line.startswith("serving "):
                self.addresses = dict(word.split("=", 1) for word in line.split()[1:])
                return True
        return False

    def _with_addresses(self) -> list[str]:
        known = {"--listen": self.addresses.get("grpc"), "--metrics": self.addresses.get("metrics")}
        command = list(self.command)
        for place, word in enumerate(command[:-1]):
            if (address := known.get(word)) is not None:
                command[place + 1] = address
        return command

    def log(self) -> str:
        """What it wrote since its last start."""
        with self.log_file.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", "replace")

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; returns when, by the monotonic clock."""
        assert self._process is not None
        at = time.monotonic()
        self._process.send_signal(number)
        return at

    def fault(self, **wanted: float) -> float:
        """Switch faults on or off, one that was started `faulty`; see `faulty.py` for which there are. Returns when
        they were set, by the monotonic clock."""
        done = self._faults.with_name(self._faults.name + ".done")
        done.unlink(missing_ok=True)
        self._faults.write_text(json.dumps(wanted))
        self.signal(signal.SIGUSR1)
        until(done.exists, END, lambda: f"{self.name} takes its faults; its log:\n{self.log()}")
        return time.monotonic()

    def kill(self) -> float:
        """kill -9, and take the exit status; returns when, by the monotonic clock."""
        at = self.signal(signal.SIGKILL)
        self.wait()
        return at

    def wait(self, seconds: float = END) -> int:
        """Wait for the end; returns the exit status, negative for a signal."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:g} s:\n{self.log()}") from None

    def destroy(self) -> None:
        """Leave nothing of it: its process group is killed, whatever state it is in."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.is_running:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Result:
    """What a command left: exit status and output."""

    def __init__(self, command: Sequence[str], status: int, stdout: str, stderr: str) -> None:
        self.command = list(command)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self) -> str:
        words = " ".join(self.command)
        return f"{words}\n  status {self.status}\n  stdout: {self.stdout}\n  stderr: {self.stderr}"


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float = 60, fail: bool = False
) -> Result:
    """Run a console script to its end. Unless `fail`, an exit status other than 0 is an AssertionError."""
    words = [str(word) for word in command]
    process = subprocess.Popen(
        _guarded(words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(env),
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    result = Result(words, process.returncode, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))
    assert fail or result.status == 0, result
    return result
