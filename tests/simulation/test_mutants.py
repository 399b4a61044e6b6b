"""Each guard, broken on purpose, is found: else the seeds that find nothing would prove nothing."""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import run_seed

SEEDS = range(1, 401)


@pytest.mark.full
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_guard_is_found(mutant: str) -> None:
    failing = (seed for seed in SEEDS if run_seed(seed, mutant).violation)
    # What fails with the guard in its place is no proof of it.
    found = next((seed for seed in failing if not run_seed(seed).violation), None)
    assert found is not None, f"no seed up to {SEEDS.stop - 1} finds `{mutant}`"
