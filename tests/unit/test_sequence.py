"""The sequence number on the wire (A6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.sequence import wire_sequence


@pytest.mark.parametrize(
    ("n", "sequence"), [(1, 1), (2, 2), (9998, 9998), (9999, 9999), (10000, 1), (19998, 9999), (19999, 1)]
)
def test_a6_sequence_wraps_after_9999(n: int, sequence: int) -> None:
    assert wire_sequence(n) == sequence


@given(st.integers(min_value=1, max_value=2**63))
def test_a6_neighbours_never_share_a_sequence_and_0000_is_never_used(n: int) -> None:
    assert 1 <= wire_sequence(n) <= 9999
    assert wire_sequence(n) != wire_sequence(n + 1)


@pytest.mark.parametrize("n", [0, -1, -9999])
def test_a6_numbers_below_one_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="numbered from 1"):
        wire_sequence(n)
