"""`make run ONCE=1`, as a newcomer types it first."""

import re
from pathlib import Path

import pytest

from tests.acceptance.harness.process import run


@pytest.mark.full
def test_one_round_of_the_demo_loses_nothing(tmp_path: Path) -> None:
    result = run(["hotspare-sim", "demo", "--once", "--plain", "--dir", tmp_path / "demo"], timeout=180)
    balance = {name: int(count) for name, count in re.findall(r"^  ([a-z ]+?) +(\d+)  ", result.stdout, re.MULTILINE)}
    assert balance["lost"] == 0, result
    assert balance["published"] == balance["confirmed"] > 0, result
    assert "host -> spare 1" in result.stdout
    assert "spare 1 -> host" in result.stdout
