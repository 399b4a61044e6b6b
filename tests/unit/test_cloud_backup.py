"""Whether a host may push (B7), and what a push leads to (B5)."""

from dataclasses import replace

import pytest

from hotspare_cloud.core.backup import Copy, PushHeader, Verdict, digests_after, judge_push, same
from hotspare_model.digest import KindDigest, RecordKind, digest_of, empty_digests
from hotspare_model.errors import HotspareError, Reason


def digests(**devices: bytes) -> list[KindDigest]:
    kinds = {digest.kind: digest for digest in empty_digests()}
    kinds[RecordKind.DEVICE] = digest_of(RecordKind.DEVICE, devices.items())
    return list(kinds.values())


CLOUD = Copy("line", 5, digests(a=b"1"))
PUSH = PushHeader("line", base_revision=5, base_digests=digests(a=b"1"), revision=6, new_lineage=False)
AFTER = digests(a=b"1", b=b"2")


def refused(push: PushHeader, cloud: Copy | None = CLOUD) -> Reason:
    with pytest.raises(HotspareError) as caught:
        judge_push(cloud, push, AFTER)
    return caught.value.reason


def test_b7_a_push_that_builds_on_the_clouds_copy_is_stored() -> None:
    assert judge_push(CLOUD, PUSH, AFTER) is Verdict.STORE


def test_b7_the_first_push_is_whole() -> None:
    assert judge_push(None, replace(PUSH, base_revision=0, base_digests=()), AFTER) is Verdict.STORE
    assert refused(PUSH, None) is Reason.REVISION_FORKED


def test_b7_a_host_that_was_rolled_back_is_behind() -> None:
    assert refused(replace(PUSH, base_revision=3, revision=4)) is Reason.REVISION_BEHIND


def test_b7_a_host_that_was_rolled_back_and_edited_has_forked() -> None:
    assert refused(replace(PUSH, base_digests=digests(a=b"other"))) is Reason.REVISION_FORKED
    assert refused(replace(PUSH, base_revision=7, revision=8)) is Reason.REVISION_FORKED


def test_b7_another_lineage_never_overwrites_unknowingly() -> None:
    other = replace(PUSH, lineage="other", base_revision=0, base_digests=())
    assert refused(other) is Reason.REVISION_FORKED
    assert judge_push(CLOUD, replace(other, new_lineage=True), AFTER) is Verdict.STORE


def test_b3_the_same_push_again_changes_nothing() -> None:
    stored = Copy("line", 6, AFTER)
    assert judge_push(stored, PUSH, AFTER) is Verdict.ALREADY_THERE


@pytest.mark.parametrize("push", [replace(PUSH, lineage=""), replace(PUSH, revision=5)])
def test_b7_a_push_that_leads_nowhere_is_refused(push: PushHeader) -> None:
    assert refused(push) is Reason.FIELD_INVALID


def test_b5_the_digests_after_changes_are_those_of_the_records() -> None:
    before = {RecordKind.DEVICE: {"a": b"1", "gone": b"x"}}
    changes = [(RecordKind.DEVICE, "b", b"2"), (RecordKind.DEVICE, "gone", b"")]
    assert digests_after(before, changes, digests(a=b"1", gone=b"x")) == AFTER


def test_b5_a_kind_that_is_not_named_is_empty() -> None:
    assert same(digests(), [])
    assert not same(digests(a=b"1"), [])
