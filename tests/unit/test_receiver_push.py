"""What the host sends next (B3), and what it never overwrites (B7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.digest import KindDigest, RecordKind, empty_digests
from hotspare_receiver.core.push import (
    CHANGE_OVERHEAD,
    LONGEST_RETRY,
    Change,
    CloudCopy,
    Digests,
    Diverged,
    Divergence,
    LocalCopy,
    Push,
    UpToDate,
    decide,
    in_pieces,
    retry_after,
)

OURS, THEIRS = "our lineage", "their lineage"
NOTHING = CloudCopy("", 0, ())


def digests(mark: int) -> Digests:
    """Digests of a configuration with some devices, another for each mark."""
    return (KindDigest(RecordKind.DEVICE, mark, bytes([mark]) * 32), *empty_digests()[1:])


def host(revision: int, *sent: int) -> LocalCopy:
    return LocalCopy(OURS if revision else "", revision, {number: digests(number) for number in sent})


def cloud(revision: int, mark: int | None = None, lineage: str = OURS) -> CloudCopy:
    return CloudCopy(lineage, revision, digests(revision if mark is None else mark))


def test_b3_the_first_push_is_the_whole_configuration() -> None:
    decision = decide(host(3), NOTHING)
    assert decision == Push(0, ())
    assert isinstance(decision, Push)
    assert decision.whole


def test_b3_a_push_builds_on_what_the_cloud_has() -> None:
    assert decide(host(7, 5), cloud(5)) == Push(5, digests(5))


def test_b3_nothing_new_is_not_sent() -> None:
    assert decide(host(5, 5), cloud(5)) == UpToDate()
    assert decide(host(0), NOTHING) == UpToDate()


def test_b3_a_push_whose_answer_was_lost_is_known_again() -> None:
    assert decide(host(6, 4, 6), cloud(6)) == UpToDate()
    assert decide(host(8, 4, 6), cloud(6)) == Push(6, digests(6))


@pytest.mark.parametrize(
    ("local", "told", "kind"),
    [
        (host(0), cloud(5), Divergence.BEHIND),
        (host(4, 4), cloud(5), Divergence.BEHIND),
        (host(9, 5), cloud(5, lineage=THEIRS), Divergence.FORKED),
        (host(5, 5), cloud(5, mark=99), Divergence.FORKED),
        (host(9, 5), cloud(5, mark=99), Divergence.FORKED),
        (host(9, 4), cloud(5), Divergence.FORKED),
        (host(9), cloud(5), Divergence.FORKED),
    ],
    ids=[
        "reinstalled",
        "rolled back",
        "another lineage",
        "same revision, other contents",
        "rolled back and edited",
        "a revision that was never sent",
        "nothing was ever sent",
    ],
)
def test_b7_another_configuration_is_never_overwritten(local: LocalCopy, told: CloudCopy, kind: Divergence) -> None:
    decision = decide(local, told)
    assert isinstance(decision, Diverged)
    assert decision.kind is kind
    assert "restore" in decision.detail


def test_a_cloud_that_tells_only_the_kinds_it_has_is_understood() -> None:
    assert decide(host(5, 5), CloudCopy(OURS, 5, digests(5)[:1])) == UpToDate()


SIZES = st.lists(st.integers(0, 300), max_size=40)


@given(SIZES, st.integers(CHANGE_OVERHEAD + 8, 500))
def test_pieces_hold_all_changes_in_order_and_keep_the_limit(sizes: list[int], limit: int) -> None:
    changes = [Change(RecordKind.DEVICE, f"{number:04}", b"x" * size, number) for number, size in enumerate(sizes)]
    pieces = list(in_pieces(changes, limit))
    assert [change for piece in pieces for change in piece] == changes
    assert all(pieces)
    for piece in pieces:
        size = sum(len(change.record) + 4 + CHANGE_OVERHEAD for change in piece)
        assert size <= limit or len(piece) == 1


def test_b3_the_backoff_grows_and_stays_within_two_seconds() -> None:
    waits = [retry_after(failures) for failures in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] < waits[1]
    assert waits[-1] == LONGEST_RETRY
    assert LONGEST_RETRY.total_seconds() <= 2
