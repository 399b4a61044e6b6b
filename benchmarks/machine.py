"""The machine that a run is made on, and its disk in that run."""

import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.results import Fact
from tools.protos import ROOT

PROBE_SYNCS = 300
PROBE_BYTES = 4096


def utc_now() -> str:
    """The time, for people."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def sync_probe(folder: Path, count: int = PROBE_SYNCS) -> list[float]:
    """Seconds of each of `count` times 4 KB appended to a file and synced. Shared disks differ from hour to hour."""
    path = folder / "probe"
    block = os.urandom(PROBE_BYTES)
    seconds = []
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(count):
            begun = time.perf_counter()
            os.write(file, block)
            os.fsync(file)
            seconds.append(time.perf_counter() - begun)
    finally:
        os.close(file)
        path.unlink()
    return seconds


def load_average() -> float:
    """Of the last minute; 0 where the system tells none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def facts() -> dict[str, Fact]:
    """What a reader needs to judge the figures."""
    return {
        "cores": os.cpu_count() or 0,
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or sys.platform


def _commit() -> str:
    """The commit, with a `+` where the tree differs from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return f"{commit}+" if _git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
