"""Each guard, broken on purpose, is found: else the seeds that find nothing would prove nothing."""

from collections.abc import Iterator

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import Summary, run_seed

SEEDS = range(1, 401)


@pytest.mark.full
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_guard_is_found(name: str) -> None:
    found = next(_finds(name), None)
    assert found is not None, f"no seed up to {SEEDS.stop - 1} finds `{name}`"
    # A broken promise is what has to be seen, and not that the broken code fails.
    assert not found.violation.startswith("defect"), found


def _finds(name: str) -> Iterator[Summary]:
    """Seeds that fail with the guard broken, and do not with it in its place; first the one that the table names."""
    for seed in (MUTANTS[name].seed, *SEEDS):
        summary = run_seed(seed, name)
        if summary.violation and not run_seed(seed).violation:
            yield summary
