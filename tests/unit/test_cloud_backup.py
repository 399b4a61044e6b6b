"""What becomes of a push (B7), what a puller gets (B4, V1), and which revisions stay (B8)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_cloud.core.backup import Copy, Gift, Verdict, check_version, gift_for, judge_push, oldest_kept
from hotspare_model.digest import KindDigest, RecordKind, digest_of, empty_digests
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.transfer import TransferHeader

ALL = tuple(RecordKind)


def digests(**devices: bytes) -> tuple[KindDigest, ...]:
    kinds = {digest.kind: digest for digest in empty_digests()}
    kinds[RecordKind.DEVICE] = digest_of(RecordKind.DEVICE, devices.items())
    return tuple(kinds.values())


CLOUD = Copy("line", 5, digests(a=b"1"))
PUSH = TransferHeader("line", 5, digests(a=b"1"), 6, "1.2.3")
FIRST = replace(PUSH, base_revision=0, base_digests=())
AFTER = digests(a=b"1", b=b"2")


def judged(
    push: TransferHeader,
    cloud: Copy | None = CLOUD,
    *,
    anew: bool = False,
    damaged: Sequence[RecordKind] = (),
    after: Sequence[KindDigest] = AFTER,
) -> Verdict | Reason:
    try:
        return judge_push(cloud, push, after, new_lineage=anew, damaged=damaged)
    except HotspareError as error:
        return error.reason


def test_b7_a_push_that_builds_on_the_clouds_copy_is_stored() -> None:
    assert judged(PUSH) is Verdict.STORE


def test_v2_a_push_without_a_change_is_a_revision_too() -> None:
    assert judged(replace(PUSH, software_version="1.3.0"), after=CLOUD.digests) is Verdict.STORE


def test_b7_the_first_push_is_whole() -> None:
    assert judged(FIRST, None) is Verdict.STORE
    assert judged(PUSH, None) is Reason.REVISION_FORKED


def test_b7_a_host_that_was_rolled_back_is_behind() -> None:
    assert judged(replace(PUSH, base_revision=3, revision=4)) is Reason.REVISION_BEHIND
    assert judged(FIRST) is Reason.REVISION_BEHIND


def test_b7_a_host_that_was_rolled_back_and_edited_has_forked() -> None:
    assert judged(replace(PUSH, base_digests=digests(a=b"other"))) is Reason.REVISION_FORKED
    assert judged(replace(PUSH, base_revision=7, revision=8)) is Reason.REVISION_FORKED


def test_b7_another_lineage_never_overwrites_unknowingly() -> None:
    other = replace(FIRST, lineage="other")
    assert judged(other) is Reason.REVISION_FORKED
    assert judged(other, anew=True) is Verdict.STORE
    assert judged(replace(PUSH, lineage="other"), anew=True) is Reason.REVISION_FORKED


def test_b7_a_new_lineage_goes_on_above_the_clouds_revision() -> None:
    assert judged(replace(FIRST, lineage="other", revision=5), anew=True) is Reason.FIELD_INVALID


def test_b3_the_same_push_again_changes_nothing() -> None:
    stored = Copy("line", 6, AFTER)
    assert judged(PUSH, stored) is Verdict.ALREADY_THERE
    assert judged(FIRST, stored, anew=True) is Verdict.ALREADY_THERE
    assert judged(PUSH, stored, after=digests(a=b"1")) is Reason.REVISION_BEHIND


@pytest.mark.parametrize("push", [replace(PUSH, lineage=""), replace(PUSH, revision=5)])
def test_b7_a_push_that_leads_nowhere_is_refused(push: TransferHeader) -> None:
    assert judged(push) is Reason.FIELD_INVALID


def test_b5_what_is_damaged_is_mended_by_the_same_revision_with_the_kind_whole() -> None:
    mending = replace(PUSH, revision=5, whole_kinds=(RecordKind.DEVICE,))
    assert judged(mending, after=CLOUD.digests, damaged=[RecordKind.DEVICE]) is Verdict.REPAIR
    assert judged(mending, after=AFTER, damaged=[RecordKind.DEVICE]) is Verdict.REPAIR, "its digest may be what flipped"
    assert judged(mending, after=AFTER, damaged=[RecordKind.ZONE]) is Reason.FIELD_INVALID
    assert judged(mending, after=CLOUD.digests) is Verdict.ALREADY_THERE


def test_b5_a_damaged_kind_that_is_sent_whole_does_not_stop_the_next_revision() -> None:
    other = replace(PUSH, base_digests=digests(a=b"other"), whole_kinds=(RecordKind.DEVICE,))
    assert judged(other) is Reason.REVISION_FORKED
    assert judged(other, damaged=[RecordKind.DEVICE]) is Verdict.STORE


# What a puller gets.


def gift(base: Copy | None, lineage: str = "line", since: int = 3, whole: Sequence[RecordKind] = ()) -> Gift:
    return gift_for(CLOUD, base, lineage=lineage, since=since, whole_kinds=whole)


def test_b4_a_kept_base_of_the_same_lineage_gets_what_changed() -> None:
    assert gift(Copy("line", 3, ())) == Gift(3, ())
    assert gift(CLOUD, since=5) == Gift(5, ())


@pytest.mark.parametrize(
    ("base", "lineage", "since"),
    [
        (None, "line", 3),
        (None, "", 0),
        (Copy("line", 3, ()), "other", 3),
        (Copy("other", 3, ()), "other", 3),
        (None, "line", 9),
    ],
    ids=["not kept", "none", "another lineage", "an older lineage", "above the newest"],
)
def test_b4_all_others_get_all(base: Copy | None, lineage: str, since: int) -> None:
    assert gift(base, lineage, since) == Gift(0, ALL)


def test_b5_kinds_are_sent_whole_when_asked_for() -> None:
    found = gift(Copy("line", 3, ()), whole=[RecordKind.ZONE])
    assert [found.since(kind) for kind in RecordKind] == [3, 3, 0, 3, 3, 3]


def test_v1_a_spare_of_another_version_is_told_both() -> None:
    check_version("1.2.3", "1.2.3")
    with pytest.raises(HotspareError) as caught:
        check_version("1.3.0", "1.2.3")
    assert caught.value.reason is Reason.VERSION_DIFFERS
    assert caught.value.metadata == {"version": "1.3.0", "required": "1.2.3"}


# Which revisions stay.

DAY = 86_400.0


def kept(*ages: float, max_count: int = 100, reading: Sequence[int] = ()) -> int:
    """The oldest that stays of revisions 1, 2, ... of these ages in days, at most 90 days old."""
    times = [(number, -age * DAY) for number, age in enumerate(ages, 1)]
    return oldest_kept(times, now=0.0, max_age=90 * DAY, max_count=max_count, reading=reading)


def test_b8_the_newest_always_stays() -> None:
    assert kept(400) == 1
    assert kept(400, 399) == 2
    assert oldest_kept([], now=0.0, max_age=1.0, max_count=1) == 0


def test_b8_what_was_in_force_until_yesterday_is_a_day_old() -> None:
    assert kept(400, 1) == 1
    assert kept(400, 91, 1) == 2


def test_b8_so_many_older_ones_stay() -> None:
    assert kept(5, 4, 3, 2, 1, max_count=2) == 3


def test_b8_what_is_being_read_stays() -> None:
    assert kept(5, 4, 3, 2, 1, max_count=1, reading=[2]) == 2
    assert kept(5, 4, 3, 2, 1, max_count=1, reading=[5]) == 4


@given(
    ages=st.lists(st.floats(0, 1000), min_size=1, max_size=30).map(lambda found: sorted(found, reverse=True)),
    max_count=st.integers(1, 20),
    reading=st.lists(st.integers(1, 30), max_size=3),
)
def test_b8_never_too_many_never_the_newest_never_what_is_read(
    ages: list[float], max_count: int, reading: list[int]
) -> None:
    reading = [number for number in reading if number <= len(ages)]
    oldest = kept(*ages, max_count=max_count, reading=reading)
    assert 1 <= oldest <= len(ages)
    assert all(oldest <= number for number in reading)
    if not reading:
        assert len(ages) - oldest <= max_count
        assert all(age <= 90 for age in ages[oldest:]), "all that were replaced are young"
