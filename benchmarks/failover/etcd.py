"""The lock of etcd beside us: one etcd of Debian's package, and `etcdctl lock`.

What is measured: a process holds the lock, another one waits for it; the holder is lost; the time until the other one
holds the lock. `etcdctl lock` keeps its lease alive three times in a lease, and prints the key when it holds the lock.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.failover.arrivals import NotInTime, wait_for
from benchmarks.failover.faults import Fault
from benchmarks.figures import FAILED
from benchmarks.results import Round, Sample
from benchmarks.tables import PEER
from tests.acceptance.harness.process import Server

SERVER, CLIENT = "etcd", "etcdctl"
LEASES = (6, 10)
"""Seconds: as long as our lease, and the default of `etcdctl lock`."""
FAULTS = {Fault.KILL: signal.SIGKILL, Fault.STOP: signal.SIGSTOP}
AT_ONCE = 20
"""Pairs that are measured at a time, each with a lock of its own. They cost etcd next to nothing."""
LIMIT = 60.0
MISSING = "not installed (make bench-deps)"


def series(lease: int, fault: Fault) -> str:
    """The name in tables."""
    return f"{PEER} lock, lease {lease} s, {fault.value}"


def installed() -> bool:
    """Whether there is an etcd to measure."""
    return bool(shutil.which(SERVER) and shutil.which(CLIENT))


def version() -> str:
    """Of the server."""
    if not installed():
        return MISSING
    told = subprocess.run([SERVER, "--version"], check=True, capture_output=True, text=True).stdout
    return told.splitlines()[0].removeprefix("etcd Version: ")


class Etcd:
    """One etcd as it is by default, for the time of a `with` block."""

    def __init__(self, folder: Path) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in _free_ports(2))
        self.endpoint = client
        command = [str(shutil.which(SERVER)), "--name", "bench", "--data-dir", str(folder / "etcd"), "--logger", "zap"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        self._server = Server("etcd", [*command, "--initial-cluster", f"bench={peer}"], folder)

    def __enter__(self) -> "Etcd":
        self._server.start()
        wait_for(self._serves, LIMIT, "etcd serves")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.destroy()

    def lock(self, name: str, lease: int) -> "Lock":
        """A process that takes a lock as soon as it can, and holds it."""
        return Lock([*self._client(), "lock", name, "--ttl", str(lease)])

    def _client(self) -> list[str]:
        return [CLIENT, "--endpoints", self.endpoint]

    def _serves(self) -> bool | None:
        command = [*self._client(), "endpoint", "health"]
        status = subprocess.run(command, capture_output=True, env=_environment(), check=False).returncode
        return True if status == 0 else None


class Lock:
    """One `etcdctl lock`."""

    def __init__(self, command: Sequence[str]) -> None:
        self.held_at: float | None = None
        """When it told that it holds the lock, monotonic."""
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline():
            self.held_at = time.monotonic()

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; returns when, right before it."""
        at = time.monotonic()
        self._process.send_signal(number)
        return at

    def end(self) -> None:
        """Leave nothing of it."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Trial:
    """One pair of a holder and one that waits."""

    name: str
    lease: int
    fault: Fault
    hold: float
    """Seconds that the lock is held before the fault."""


def measure(folder: Path, faults: Sequence[Fault], times: int, turn: Round, rng: Random) -> None:
    """Measure each lease with each fault so many times."""
    trials = [
        # Lost at any moment between two renewals, three of which come in a lease.
        Trial(f"lock-{lease}-{fault.name}-{number}", lease, fault, lease / 3 + rng.uniform(0, lease / 3))
        for number in range(times)
        for lease in LEASES
        for fault in faults
    ]
    data = folder / f"etcd-{turn.number}-{len(turn.samples)}"
    data.mkdir()
    with Etcd(data) as etcd, ThreadPoolExecutor(AT_ONCE) as pool:
        for trial, took in zip(trials, pool.map(lambda each: _run(etcd, each), trials), strict=True):
            turn.samples.append(Sample(series(trial.lease, trial.fault), took))


def _run(etcd: Etcd, trial: Trial) -> float:
    holder = etcd.lock(trial.name, trial.lease)
    waiter: Lock | None = None
    try:
        wait_for(lambda: holder.held_at, LIMIT, "the first one holds the lock")
        waiter = etcd.lock(trial.name, trial.lease)
        time.sleep(trial.hold)
        assert waiter.held_at is None, "two hold the lock"
        at = holder.signal(FAULTS[trial.fault])
        return wait_for(lambda: waiter.held_at, LIMIT, "the next one holds the lock") - at
    except NotInTime:
        return FAILED
    finally:
        for lock in (holder, waiter):
            if lock is not None:
                lock.end()


def _environment() -> Mapping[str, str]:
    return os.environ | {"ETCDCTL_API": "3"}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
