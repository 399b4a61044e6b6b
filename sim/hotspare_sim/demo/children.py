"""Processes of the demo: started by their console scripts, never left behind."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
"""Where the console scripts of this environment are."""
SERVING = "serving "
SERVED = ("grpc", "dc09", "surgard")
"""What `--listen` is the address of, by the program."""
POLL = 0.05
TAIL_LINES = 12

# Runs in the child before the program: when the demo dies, however it dies, the kernel kills the child (on
# Linux; elsewhere nothing happens). If the parent died before that took effect, nobody would ever tell us.
_GUARD = """
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
except (OSError, AttributeError):
    pass
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class DemoError(Exception):
    """The demo can't go on; the message tells why, for people."""


def environment() -> dict[str, str]:
    """The environment of the children: without settings of the user's own hotspare, and unbuffered."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOTSPARE_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def guarded(command: Sequence[str]) -> list[str]:
    """The command line that runs a console script (and arguments) as a child that dies with this process.

    Raises DemoError when there is no such script.
    """
    program = BIN / command[0]
    if not os.access(program, os.X_OK):
        raise DemoError(f"there is no {program}: set up the environment with `make setup`")
    return [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), str(program), *command[1:]]


class Child:
    """One server or simulator; its output goes to a log file, which also tells its addresses."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        """`command`: the name of the console script and its arguments."""
        self.name = name
        self.command = list(command)
        self.log = log
        self.addresses: dict[str, str] = {}
        """What it serves, as it told itself: `grpc`, `metrics`, `dc09`, `surgard`."""
        self.may_end = False
        """Whether its end is wanted."""
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    @property
    def has_died(self) -> bool:
        """Whether it ended, and nobody wanted it to."""
        return self._process is not None and not self.is_running and not self.may_end

    @property
    def exit_status(self) -> int | None:
        """Of the process that ended last; negative: the signal that ended it."""
        return None if self._process is None else self._process.returncode

    async def start(self) -> None:
        """Start the process, with its old addresses if it had any. Raises DemoError."""
        command = guarded(self._with_addresses())
        self.may_end = False
        with self.log.open("ab") as output:
            self._log_start = output.tell()
            # A session of its own: Ctrl-C reaches the demo alone, which then stops the others in order.
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
                start_new_session=True,
            )

    def _with_addresses(self) -> list[str]:
        """The command, with port 0 replaced by the ports that were told before: others know those."""
        known = {
            "--listen": next((self.addresses[name] for name in SERVED if name in self.addresses), None),
            "--metrics": self.addresses.get("metrics"),
        }
        command = list(self.command)
        for place, word in enumerate(command[:-1]):
            if (address := known.get(word)) is not None:
                command[place + 1] = address
        return command

    async def serving(self, timeout: float) -> dict[str, str]:
        """Wait until it told its addresses, and return them. Raises DemoError when it does not in time."""
        deadline = time.monotonic() + timeout
        while not self.look_for_addresses():
            if not self.is_running:
                raise DemoError(f"{self.name} did not start:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise DemoError(f"{self.name} did not serve within {timeout:g} s:\n{self.tail()}")
            await asyncio.sleep(POLL)
        return self.addresses

    def look_for_addresses(self) -> bool:
        """Look once whether the process, since its last start, has told its addresses."""
        for line in self._lines():
            if line.startswith(SERVING):
                words = line.removeprefix(SERVING).split()
                self.addresses = dict(word.split("=", 1) for word in words if "=" in word)
                return True
        return False

    def tail(self) -> str:
        """The last lines that the process wrote, indented."""
        lines = self._lines()[-TAIL_LINES:] or ["(it wrote nothing)"]
        return "\n".join(f"    {line[:500]}" for line in lines)

    def _lines(self) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", "replace").splitlines()

    def kill(self) -> None:
        """kill -9."""
        self.may_end = True
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to stop in order."""
        self.may_end = True
        self._signal(signal.SIGTERM)

    async def ended(self, timeout: float) -> bool:
        """Wait for the end; tell whether it came in time."""
        if self._process is None:
            return True
        try:
            async with asyncio.timeout(timeout):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def end(self) -> None:
        """Leave nothing: kill it with all that it may have started, and take its exit status."""
        if self._process is None:
            return
        self.may_end = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.is_running:
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


async def run_command(command: Sequence[str], timeout: float = 30) -> str:
    """Run a console script to its end, and return what it printed.

    Raises DemoError with what it wrote when it fails or takes too long.
    """
    process = await asyncio.create_subprocess_exec(
        *guarded(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            output, _ = await process.communicate()
    except TimeoutError:
        raise DemoError(f"no end after {timeout:g} s: {' '.join(command)}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8", "replace").strip()
    if process.returncode != 0:
        raise DemoError(f"exit status {process.returncode}: {' '.join(command)}\n{text}")
    return text
