"""Debian's Prometheus beside the demo: it scrapes the cloud and the receivers, and evaluates the rules of deploy/."""

import asyncio
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotspare_sim.demo.children import Child, DemoError
from hotspare_sim.demo.ways import free_address

PROGRAM = "prometheus"
INTERVAL = "2s"
"""Between two scrapes, and two evaluations of the rules."""
READY_TIMEOUT = 30.0
POLL = 0.1
RULES = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"
"""In the source; an installed package has none."""


def find_program() -> str:
    """The path of Prometheus. Raises DemoError, which tells what to install."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise DemoError("Prometheus is not installed: apt-get install --no-install-recommends prometheus")
    return found


def rule_files(folder: Path = RULES) -> list[Path]:
    """The files with rules; those with tests of them have none."""
    candidates = sorted(folder.glob("*.y*ml")) if folder.is_dir() else []
    return [file for file in candidates if any(line.startswith("groups:") for line in _lines(file))]


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def configuration(cloud: str, receivers: Mapping[str, str], rules: list[Path]) -> dict[str, Any]:
    """What to scrape: `receivers` are metrics addresses by role. The rules go by the names of the jobs."""
    jobs = {"hotspare-cloud": [cloud], "hotspare-receiver": list(receivers.values())}
    return {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [{"job_name": name, "static_configs": [{"targets": found}]} for name, found in jobs.items()],
    }


class Prometheus:
    """The process, with its data in a folder of the demo."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._child: Child | None = None
        self.address = ""
        self.rules: list[Path] = []

    async def start(self, cloud: str, receivers: Mapping[str, str]) -> None:
        """Start it, and wait until it is ready. Raises DemoError."""
        self._folder.mkdir(mode=0o700)
        self.rules, self.address = rule_files(), free_address()
        config = self._folder / "prometheus.yml"
        # JSON is YAML.
        config.write_text(json.dumps(configuration(cloud, receivers, self.rules), indent=2), encoding="utf-8")
        command = (
            self._program, f"--config.file={config}", f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self.address}", "--log.level=warn",
        )  # fmt: skip
        self._child = Child("Prometheus", command, self._folder / "prometheus.log")
        await self._child.start()
        deadline = time.monotonic() + READY_TIMEOUT
        while not await asyncio.to_thread(_is_ready, self.address):
            if not self._child.is_running or time.monotonic() > deadline:
                raise DemoError(f"Prometheus did not start:\n{self._child.tail()}")
            await asyncio.sleep(POLL)

    async def end(self) -> None:
        """Leave nothing of it; what it keeps is of no use without the demo."""
        if self._child is not None:
            await self._child.end()


def _is_ready(address: str) -> bool:
    try:
        # Of loopback alone: no proxy has anything to do with it.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{address}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
