"""`make run ONCE=1` in its ways: what the ARCs speak, and panels that are connected to the host as well."""

import asyncio
import json
import re
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hotspare_sim.demo.prometheus import Prometheus, find_program
from tests.acceptance.harness.process import run

pytestmark = pytest.mark.full

ROUND = 240
PATIENCE = 30
SCALE = ("--rate", "10", "--devices", "8")


def numbers(shown: str) -> dict[str, int]:
    """The lines of the balance that count."""
    return {name: int(count) for name, count in re.findall(r"^  ([a-z ]+?) +(\d+)  ", shown, re.MULTILINE)}


def test_f3_f4_f8_d3_a_round_with_sur_gard_and_direct_panels_loses_nothing(tmp_path: Path) -> None:
    # `make run` alone is run by tests/integration/test_sim_demo.py in each `make test`.
    command = ("hotspare-sim", "demo", "--once", "--plain", "--output", "sur-gard", "--direct", *SCALE)
    result = run([*command, "--dir", tmp_path / "demo"], timeout=ROUND)
    shown = result.stdout
    balance = numbers(shown)
    assert (balance["lost"], balance["out of order"]) == (0, 0), result
    assert balance["published"] == balance["confirmed"] > 100, result
    assert balance["duplicates"] <= 256
    for move in ("host -> spare 1", "spare 1 -> host", "host -> spare 2", "spare 2 -> host"):
        assert move in shown
    # Most went to the host, and those while it was dead to the cloud.
    assert balance["direct"] + balance["by the cloud"] == balance["published"]
    assert balance["direct"] > balance["by the cloud"] > 5
    assert re.search(r"Panels: \d+\.\d s after its start the host took alarms by DC-09 again", shown)
    assert "--kind surgard" in shown


@pytest.mark.deb
def test_prometheus_of_the_demo_scrapes_and_has_the_rules(tmp_path: Path) -> None:
    async def watched() -> tuple[set[str], set[str]]:
        prometheus = Prometheus(find_program(), tmp_path / "prometheus")
        try:
            await prometheus.start("127.0.0.1:1", {"host": "127.0.0.1:2"})
            targets: list[Any] = []
            # They are discovered a moment after it is ready.
            async with asyncio.timeout(PATIENCE):
                while len(targets) < 2:
                    await asyncio.sleep(0.1)
                    targets = _asked(f"http://{prometheus.address}/api/v1/targets")["activeTargets"]
            groups = _asked(f"http://{prometheus.address}/api/v1/rules")["groups"]
        finally:
            await prometheus.end()
        files = {Path(group["file"]).name for group in groups}
        assert files == {file.name for file in prometheus.rules}
        return {target["labels"]["job"] for target in targets}, files

    jobs, files = asyncio.run(watched())
    assert jobs == {"hotspare-cloud", "hotspare-receiver"}
    assert files


def _asked(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return json.loads(answer.read())["data"]


def test_without_prometheus_the_demo_says_what_to_install_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    result = run(["hotspare-sim", "demo", "--prometheus", "--dir", tmp_path / "demo"], timeout=30, fail=True)
    (line,) = result.stderr.strip().splitlines()
    assert line.endswith("Prometheus is not installed: apt-get install --no-install-recommends prometheus")
    assert not (tmp_path / "demo").exists()
