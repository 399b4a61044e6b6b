"""The simulator itself: one seed is one history, on any machine, and a failing one is printed and can be read."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.run import main, replay_command
from tests.simulation.simulate import simulate

ROOT = Path(__file__).parents[2]
DIGEST = "from tests.simulation.test_simulator import digest; print(digest(7))"


def digest(seed: int) -> str:
    """A digest of the history of a seed."""
    return hashlib.sha256("\n".join(simulate(seed, logs=True).history.lines()).encode()).hexdigest()


def test_a_seed_is_one_history_whatever_ran_before() -> None:
    before = digest(7)
    simulate(8)
    assert digest(7) == before


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_is_the_same_history_in_another_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", DIGEST]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == digest(7)


def test_a_failing_seed_is_printed_with_what_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--mutant", "confirm-before-the-arc"]
    assert main(["--seeds", "1..2", "--workers", "1", *options]) == 1
    assert f"    {replay_command(1, options[1])}\n" in capsys.readouterr().out
    assert main(["--trace", "1", *options]) == 1
    trace = capsys.readouterr().out
    assert "VIOLATION" in trace
    assert "seed 1: A4 at " in trace
