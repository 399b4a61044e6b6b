"""Prometheus' own tool judges the rules: they load, each alert fires when it should, and not before.

That the rules, their tests, the runbook and docs/metrics.md agree is shown by tests/contract/test_alert_rules.py.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.harness.prometheus_rules import FOLDER, RULE_FILES, TEST_FILES, shortened

pytestmark = [pytest.mark.full, pytest.mark.deb]

DEADLINE = 120.0


def promtool(*words: str | Path, folder: Path = FOLDER) -> tuple[int, str]:
    """Run it; the exit status and all that it said."""
    tool = shutil.which("promtool")
    assert tool is not None, "promtool is missing: make system-deps (Debian: prometheus)"
    done = subprocess.run([tool, *words], cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_rules_load() -> None:
    status, said = promtool("check", "rules", *RULE_FILES)
    assert status == 0, said


def test_the_example_configuration_loads_with_the_rules_beside_it() -> None:
    status, said = promtool("check", "config", "prometheus.example.yml")
    assert status == 0, said


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_every_alert_fires_when_it_should_and_resolves(file: Path) -> None:
    status, said = promtool("test", "rules", file)
    assert status == 0, said


def test_the_rules_load_with_all_times_shortened(tmp_path: Path) -> None:
    for name in RULE_FILES:
        (tmp_path / name).write_text(shortened((FOLDER / name).read_text(encoding="utf-8"), 60), encoding="utf-8")
    status, said = promtool("check", "rules", *RULE_FILES, folder=tmp_path)
    assert status == 0, said


@pytest.mark.parametrize(
    ("rule", "other", "file"),
    [
        ("for: 30s", "for: 15s", "who_works"),
        ("> 60 # seconds", "> 59 # seconds", "alarms"),
        ('state=~"uploading|syncing|behind|failed|diverged"', 'state=~"syncing"', "configuration"),
    ],
)
def test_the_tests_notice_a_rule_that_is_wrong(tmp_path: Path, rule: str, other: str, file: str) -> None:
    shutil.copytree(FOLDER, tmp_path / "prometheus")
    rules = tmp_path / "prometheus" / "alerts.yml"
    text = rules.read_text(encoding="utf-8")
    assert rule in text
    rules.write_text(text.replace(rule, other, 1), encoding="utf-8")
    status, said = promtool("test", "rules", f"{file}.yml", folder=tmp_path / "prometheus" / "tests")
    assert status != 0, said
