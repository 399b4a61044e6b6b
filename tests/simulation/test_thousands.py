"""The same promises over many more schedules. It takes all cores for a long time, and so comes last of all."""

import pytest

from tests.simulation.test_seeds import QUICK, judged

MANY = range(QUICK.stop, 20_001)
"""With the quick ones 20,000."""


@pytest.mark.full
def test_promises_hold_in_thousands_of_schedules() -> None:
    judged(MANY)
