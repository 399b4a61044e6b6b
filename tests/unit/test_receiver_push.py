"""What the host sends next (B3), what it takes over (B8), and what it never overwrites (B7)."""

import pytest

from hotspare_model.digest import KindDigest, RecordKind, empty_digests
from hotspare_model.transfer import Digests
from hotspare_receiver.core.push import (
    LONGEST_RETRY,
    CloudCopy,
    Diverged,
    Divergence,
    LocalCopy,
    Push,
    Renew,
    TakeOver,
    UpToDate,
    decide,
    next_lineage_revision,
    retry_after,
)

OURS, THEIRS = "our lineage", "their lineage"
NOTHING = CloudCopy("", 0, ())


def digests(mark: int) -> Digests:
    """Digests of a configuration with some devices, another for each mark."""
    return (KindDigest(RecordKind.DEVICE, mark, bytes([mark]) * 32), *empty_digests()[1:])


def host(revision: int, *sent: int, stored: int = 0, begins: bool = False) -> LocalCopy:
    return LocalCopy(OURS if revision else "", revision, {number: digests(number) for number in sent}, stored, begins)


def cloud(revision: int, mark: int | None = None, lineage: str = OURS, **more: object) -> CloudCopy:
    return CloudCopy(lineage, revision, digests(revision if mark is None else mark), **more)  # type: ignore[arg-type]


def restored(revision: int, base: int, lineage: str = OURS) -> CloudCopy:
    return cloud(revision, mark=90, restored_from=2, base_revision=base, base_lineage=lineage)


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
        (host(9, 9, stored=9), cloud(5), Divergence.FORKED),
    ],
    ids=[
        "reinstalled",
        "rolled back",
        "another lineage",
        "same revision, other contents",
        "rolled back and edited",
        "a revision that was never sent",
        "nothing was ever sent",
        "the cloud was restored from a copy",
    ],
)
def test_b7_another_configuration_is_never_overwritten(local: LocalCopy, told: CloudCopy, kind: Divergence) -> None:
    decision = decide(local, told)
    assert isinstance(decision, Diverged)
    assert decision.kind is kind
    assert "restore" in decision.detail


def test_a_cloud_that_tells_only_the_kinds_it_has_is_understood() -> None:
    assert decide(host(5, 5), CloudCopy(OURS, 5, digests(5)[:1])) == UpToDate()


def test_b8_what_was_restored_at_the_cloud_on_top_of_all_that_is_here_is_taken_over() -> None:
    assert decide(host(5, 5, stored=5), restored(6, base=5)) == TakeOver()
    assert decide(host(5, 5, stored=5), restored(9, base=8)) == TakeOver(), "restored more than once meanwhile"


@pytest.mark.parametrize(
    ("local", "told"),
    [
        (host(6, 5, stored=5), restored(6, base=5)),
        (host(8, 5, stored=5), restored(6, base=5)),
        (host(5, 5), restored(6, base=5)),
        (host(5, 5, stored=5), restored(6, base=5, lineage=THEIRS)),
        (host(5, 4, stored=4), restored(6, base=5)),
    ],
    ids=["edited once since", "edited more", "never said to be stored", "another lineage", "another revision 5"],
)
def test_b7_b8_what_was_restored_is_not_taken_over_what_the_cloud_does_not_have(
    local: LocalCopy, told: CloudCopy
) -> None:
    decision = decide(local, told)
    assert isinstance(decision, Diverged)
    assert "restore" in decision.detail


def test_b8_a_host_that_took_it_over_goes_on_from_it() -> None:
    told = restored(6, base=5)
    here = LocalCopy(OURS, 6, {6: told.digests}, stored=6)
    assert decide(here, told) == UpToDate()
    assert decide(LocalCopy(OURS, 7, {6: told.digests}, stored=6), told) == Push(6, told.digests)


def test_b7_a_lineage_that_was_begun_knowingly_replaces_what_the_cloud_has() -> None:
    begun = host(10, begins=True)
    assert decide(begun, cloud(9, lineage=THEIRS)) == Push(0, (), new_lineage=True)
    assert decide(begun, NOTHING) == Push(0, (), new_lineage=True)
    assert decide(host(10, 10, begins=True), cloud(10)) == UpToDate(), "its answer was lost"


@pytest.mark.parametrize(("here", "there"), [(3, 9), (9, 3), (0, 9), (9, 0)])
def test_b7_a_new_lineage_goes_on_above_all_revisions_that_were(here: int, there: int) -> None:
    assert next_lineage_revision(host(here), cloud(there, lineage=THEIRS)) == 10


def test_v1_another_release_of_the_host_makes_a_revision_without_a_change() -> None:
    assert decide(host(5, 5), cloud(5, version="1.0"), "1.1") == Renew()
    assert decide(host(5, 5), cloud(5, version="1.1"), "1.1") == UpToDate()
    assert decide(host(6, 5), cloud(5, version="1.0"), "1.1") == Push(5, digests(5)), "an edit carries it"
    assert decide(host(5, 5), cloud(5), "1.1") == UpToDate(), "a cloud that does not tell"


def test_b5_kinds_that_are_damaged_at_the_cloud_are_sent_whole() -> None:
    damaged = (RecordKind.ZONE,)
    mends = Push(5, digests(5), whole_kinds=damaged)
    assert decide(host(5, 5), cloud(5, damaged=damaged)) == mends
    assert decide(host(7, 5), cloud(5, damaged=damaged)) == mends
    assert decide(host(5, 5), cloud(5, mark=99, damaged=(RecordKind.DEVICE,))) == Push(
        5, digests(5), whole_kinds=(RecordKind.DEVICE,)
    )
    assert isinstance(decide(host(5, 5), cloud(5, mark=99, damaged=damaged)), Diverged)


def test_b3_the_backoff_grows_and_stays_within_two_seconds() -> None:
    waits = [retry_after(failures) for failures in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] < waits[1]
    assert waits[-1] == LONGEST_RETRY
    assert LONGEST_RETRY.total_seconds() <= 2
