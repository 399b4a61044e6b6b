"""The promises of failover, over schedules that nobody would think of (docs/failover.md)."""

from collections.abc import Iterable

import pytest

from tests.simulation.kept import KEPT
from tests.simulation.run import Summary, replay_command, run_seed, run_seeds

QUICK = range(1, 501)


def judged(seeds: Iterable[int]) -> list[Summary]:
    """Run seeds, and fail where one of them broke a promise."""
    results = list(run_seeds(seeds))
    failed = [f"{each.violation}\n    {replay_command(each.seed)}" for each in results if each.violation]
    if failed:
        pytest.fail("\n".join([f"{len(failed)} of {len(results)} seeds broke a promise:", *failed[:20]]), pytrace=False)
    return results


def test_promises_hold_in_every_schedule() -> None:
    results = judged(QUICK)
    # That something was put to the test: moves, and losses that cost a duplicate.
    assert sum(each.epochs for each in results) > 2 * len(results)
    assert sum(each.duplicates for each in results) > len(results) / 4
    assert sum(each.published for each in results) > 20 * len(results)


@pytest.mark.parametrize("seed", KEPT)
def test_what_a_seed_found_once_stays_mended(seed: int) -> None:
    violation = run_seed(seed).violation
    assert not violation, f"{violation}; it found once: {KEPT[seed]}\n    {replay_command(seed)}"
