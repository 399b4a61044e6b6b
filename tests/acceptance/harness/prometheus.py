"""A real Prometheus (Debian's package) that scrapes what a test names, and what it answers."""

import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Server

PROGRAM = "/usr/bin/prometheus"
INTERVAL = 0.5
"""Seconds between two scrapes, and between two evaluations of the rules."""
PATIENCE = 20.0
"""Seconds until all targets were scraped, on a slow and busy machine."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer, with its newest value."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is pending or fires."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    fires: bool


class Prometheus(Server):
    """Prometheus on loopback, with a storage of its own below `folder`."""

    def __init__(self, folder: Path, jobs: Mapping[str, Sequence[str]], rules: Sequence[Path] = ()) -> None:
        """`jobs`: the addresses that each job scrapes. `rules`: files that it loads."""
        assert Path(PROGRAM).exists(), f"there is no {PROGRAM}: make system-deps"
        self.targets = sum(len(addresses) for addresses in jobs.values())
        self._web = f"127.0.0.1:{free_port()}"
        file = folder / "prometheus.json"
        # JSON is YAML as well.
        file.write_text(json.dumps(_configuration(jobs, rules)))
        command = [
            PROGRAM,
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={self._web}",
            "--log.level=warn",
        ]
        super().__init__("prometheus", command, folder)

    def serving(self) -> "Prometheus":
        """Wait until it is ready, and has scraped all that it is to scrape."""
        super().serving()
        until(self._all_up, PATIENCE, lambda: f"all {self.targets} are up: {self.query('up')}; {self.log()}")
        return self

    def _look(self) -> bool:
        if not self.is_running:
            raise AssertionError(f"Prometheus ended instead of serving:\n{self.log()}")
        with suppress(OSError), urllib.request.urlopen(f"http://{self._web}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def _all_up(self) -> bool:
        return [series.value for series in self.query("up")] == [1.0] * self.targets

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API. AssertionError, with its words, when it refuses."""
        url = f"http://{self._web}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None

    def query(self, expr: str) -> list[Series]:
        """What an expression says now."""
        data = self.get("query", query=expr)
        assert data["resultType"] == "vector", f"{expr} is no vector"
        return [Series(each["metric"], float(each["value"][1])) for each in data["result"]]

    def label_values(self, metric: str, label: str) -> list[str]:
        """The values that a label has in the series of a metric: `label_values` of a dashboard."""
        return list(self.get(f"label/{label}/values", **{"match[]": metric}))

    def alerts(self) -> list[Alert]:
        """All that are pending or fire."""
        return [
            Alert(each["labels"]["alertname"], each["labels"], each["annotations"], each["state"] == "firing")
            for each in self.get("alerts")["alerts"]
        ]

    def firing(self) -> set[str]:
        """The names of those that fire."""
        return {alert.name for alert in self.alerts() if alert.fires}


def _configuration(jobs: Mapping[str, Sequence[str]], rules: Sequence[Path]) -> dict[str, Any]:
    span = f"{INTERVAL * 1000:g}ms"
    return {
        "global": {"scrape_interval": span, "scrape_timeout": span, "evaluation_interval": span},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in jobs.items()
        ],
    }


def free_port() -> int:
    """A port of loopback that nobody has now: Prometheus can't be told to choose one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
