"""What a spare does next about its copy (B4, B5, V1), and how it stands (B6, F4)."""

from dataclasses import replace

import pytest

from hotspare_model.digest import KindDigest, RecordKind, empty_digests
from hotspare_model.transfer import Digests, TransferHeader
from hotspare_receiver.core.sync import (
    EVERYTHING,
    ON_ITS_WAY,
    REFUSED,
    UNREACHABLE,
    UNTOLD,
    Applied,
    Began,
    Copy,
    Due,
    Event,
    KeptOut,
    Lost,
    NotReached,
    Pull,
    Refusal,
    Spare,
    Stand,
    Told,
    VersionDiffers,
    Wait,
    after,
    counts_as_in_sync,
    gap,
    next_step,
    stands,
)

OURS = "1.0"


def digests(mark: int) -> Digests:
    return (KindDigest(RecordKind.DEVICE, mark, bytes([mark]) * 32), *empty_digests()[1:])


def copy(revision: int, mark: int | None = None, lineage: str = "lineage", version: str = OURS) -> Copy:
    return Copy(lineage, revision, digests(revision if mark is None else mark), version)


FIVE = copy(5)


def spare(own: Copy = FIVE, *events: Event, now: float = 0.0) -> Spare:
    state = Spare(own, OURS)
    for event in events:
        state = after(state, event, now)
    return state


def in_sync(own: Copy = FIVE) -> Spare:
    return spare(own, Told(own), Began(), Applied(own))


def kept_out(refusal: Refusal, *kinds: RecordKind) -> KeptOut:
    return KeptOut(refusal, f"because of {refusal.value}", kinds)


def test_b4_a_spare_that_starts_asks_what_changed() -> None:
    assert next_step(spare(), 0) == Pull("lineage", 5)
    assert next_step(spare(Copy()), 0) == Pull("", 0)


def test_b4_one_that_is_in_sync_waits_and_asks_when_it_is_due_all_the_same() -> None:
    state = in_sync()
    assert next_step(state, 1) == Wait()
    assert next_step(after(state, Due(), 60), 60) == Pull("lineage", 5)
    assert stands(after(after(state, Due(), 60), Began(), 60)) == (Stand.UP_TO_DATE, ""), "asking is no news"


def test_b4_a_new_revision_is_pulled_at_once_and_only_once() -> None:
    state = after(in_sync(), Told(copy(6)), 1)
    assert next_step(state, 1) == Pull("lineage", 5)
    state = after(state, Began(), 1)
    assert next_step(state, 1) == Wait()
    assert stands(state)[0] is Stand.SYNCING
    state = after(state, Applied(copy(6)), 1)
    assert next_step(state, 1) == Wait()
    assert stands(state) == (Stand.UP_TO_DATE, "")


def test_b4_what_is_told_during_a_pull_is_pulled_next_and_what_was_told_before_it_is_not() -> None:
    state = spare(copy(5), Told(copy(6)), Began(), Told(copy(7)), Applied(copy(6)))
    assert next_step(state, 0) == Pull("lineage", 6)
    ahead = spare(copy(5), Told(copy(6)), Began(), Applied(copy(7)))
    assert next_step(after(ahead, Told(copy(7)), 1), 1) == Wait()


def test_b5_a_number_that_only_a_transfer_named_is_asked_for_again_and_gives_way_to_the_clouds_own() -> None:
    state = spare(copy(5), Told(copy(6)), Began(), Applied(copy(10_006, mark=6)))
    assert stands(state) == (Stand.UP_TO_DATE, "")
    assert next_step(state, 0) == Wait(UNTOLD)
    assert next_step(state, UNTOLD) == (asked := Pull("lineage", 10_006))
    state = after(state, Began(), UNTOLD)
    answer = TransferHeader("lineage", 0, (), 6, OURS)
    assert gap(asked, answer, state.told) == ""
    assert gap(asked, replace(answer, revision=5), state.told) == "it leads to revision 5, and the cloud told of 6"
    state = after(state, Applied(copy(6)), UNTOLD)
    assert next_step(state, UNTOLD) == Wait()
    assert stands(state) == (Stand.UP_TO_DATE, "")


def test_b4_a_word_that_comes_late_costs_one_pull_and_moves_nothing_back() -> None:
    state = after(in_sync(copy(7)), Told(copy(6)), 1)
    assert next_step(state, 1) == Pull("lineage", 7)
    assert stands(after(after(state, Began(), 1), Applied(copy(7)), 1)) == (Stand.UP_TO_DATE, "")


def test_b4_a_cloud_without_a_configuration_clears_no_copy() -> None:
    state = after(in_sync(), Told(Copy()), 1)
    assert next_step(state, 1) == Wait()
    assert next_step(after(state, Due(), 60), 60) == Wait()
    assert stands(state)[0] is Stand.BEHIND
    assert stands(spare(Copy(), Told(Copy()))) == (Stand.UP_TO_DATE, "")


def test_b5_a_wrong_digest_is_healed_by_the_kind_and_then_by_everything_and_then_waits() -> None:
    wrong = kept_out(Refusal.DIGEST, RecordKind.ZONE)
    state = spare(copy(5), Told(copy(6)), Began(), wrong)
    assert next_step(state, 0) == Pull("lineage", 5, (RecordKind.ZONE,))
    state = after(after(state, Began(), 0), wrong, 0)
    assert next_step(state, 0) == Pull("", 0)
    assert stands(state)[0] is Stand.FAILED
    state = after(after(state, Began(), 0), wrong, 0)
    assert next_step(state, 0) == Wait(REFUSED.first)
    assert next_step(state, REFUSED.first) == Pull("", 0)
    state = after(after(state, Began(), 1), wrong, 1)
    assert next_step(state, 1) == Wait(1 + 2 * REFUSED.first)
    state = after(state, Applied(copy(6)), 3)
    assert (state.heal, state.failures, stands(state)) == (frozenset(), 0, (Stand.UP_TO_DATE, ""))


def test_b5_equal_revisions_with_other_contents_are_healed_by_kind() -> None:
    state = spare(copy(5, mark=66), Told(copy(5)))
    assert next_step(state, 0) == Pull("lineage", 5, (RecordKind.DEVICE,))
    state = after(after(state, Began(), 0), kept_out(Refusal.DIGEST, RecordKind.DEVICE), 0)
    assert state.heal == EVERYTHING


@pytest.mark.parametrize("refusal", [Refusal.CUT, Refusal.CHUNK, Refusal.RECORD, Refusal.STORE])
def test_b5_what_was_kept_out_otherwise_is_fetched_again_after_a_wait_that_grows(refusal: Refusal) -> None:
    state, waits = in_sync(), []
    state = after(state, Told(copy(6)), 0)
    for _ in range(12):
        state = after(after(state, Began(), 0), kept_out(refusal), 0)
        assert stands(state) == (Stand.FAILED, f"because of {refusal.value}")
        step = next_step(state, 0)
        assert isinstance(step, Wait)
        assert step.until is not None
        waits.append(step.until)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (REFUSED.first, REFUSED.longest)
    assert next_step(state, waits[-1]) == Pull("lineage", 5)


def test_b5_a_gap_is_healed_by_everything() -> None:
    assert next_step(spare(copy(5), Told(copy(6)), Began(), kept_out(Refusal.GAP)), 0) == Pull("", 0)


def test_b5_a_copy_that_never_was_does_not_heal_step_by_step() -> None:
    state = spare(Copy(), Told(copy(6)), Began(), kept_out(Refusal.DIGEST, RecordKind.ZONE))
    assert next_step(state, 0) == Wait(REFUSED.first)


def test_b5_a_new_word_of_the_cloud_ends_one_wait() -> None:
    state = spare(copy(5), Told(copy(6)), Began(), kept_out(Refusal.RECORD), Told(copy(7)))
    assert next_step(state, 0) == Pull("lineage", 5)
    state = after(after(state, Began(), 0), kept_out(Refusal.RECORD), 0)
    assert next_step(state, 0) == Wait(2 * REFUSED.first)


def test_a_cloud_that_is_not_reached_is_tried_again_soon_and_at_once_when_it_is_back() -> None:
    state = after(after(in_sync(), Told(copy(6)), 0), Began(), 0)
    state = after(state, NotReached("no way there"), 0)
    assert next_step(state, 0) == Wait(UNREACHABLE.first)
    assert stands(state) == (Stand.FAILED, "no way there")
    state = after(state, Told(copy(6)), 0.1)
    assert next_step(state, 0.1) == Pull("lineage", 5)
    assert stands(state)[0] is Stand.BEHIND


def test_f4_a_spare_that_does_not_hear_the_cloud_is_not_in_sync() -> None:
    state = after(in_sync(), Lost("cut off"), 1)
    assert stands(state) == (Stand.FAILED, "cut off")
    assert not counts_as_in_sync(state, 1)
    assert next_step(state, 1) == Wait(), "it is the watch that tries"
    assert counts_as_in_sync(after(state, Told(copy(5)), 2), 2)


def test_f4_a_change_that_is_just_on_its_way_does_not_put_a_return_off() -> None:
    state = after(in_sync(), Told(copy(6)), 0)
    assert stands(state)[0] is Stand.BEHIND
    assert counts_as_in_sync(state, ON_ITS_WAY)
    assert not counts_as_in_sync(state, ON_ITS_WAY + 0.1)
    assert not counts_as_in_sync(spare(), 0), "one that has just started knows nothing yet"
    assert not counts_as_in_sync(spare(Copy(), Told(copy(6)), Began()), 0)


def test_v1_another_release_keeps_its_copy_and_says_both() -> None:
    state = after(in_sync(), Told(copy(6, version="2.0")), 1)
    assert next_step(state, 1) == Wait()
    stand, detail = stands(state)
    assert stand is Stand.VERSION_DIFFERS
    assert "2.0" in detail
    assert OURS in detail
    assert not counts_as_in_sync(state, 1)
    assert next_step(after(state, Due(), 60), 60) == Wait()
    assert next_step(replace(state, version="2.0"), 1) == Pull("lineage", 5), "it was upgraded"


def test_v1_the_same_contents_stored_by_another_release_differ_too() -> None:
    assert stands(after(in_sync(), Told(copy(5, version="2.0")), 1))[0] is Stand.VERSION_DIFFERS


def test_v1_a_pull_that_is_refused_for_the_release_waits_for_a_word_or_the_interval() -> None:
    state = spare(copy(5), Began(), VersionDiffers("2.0"))
    assert next_step(state, 0) == Wait()
    assert stands(state)[0] is Stand.VERSION_DIFFERS
    assert next_step(after(state, Due(), 60), 60) == Pull("lineage", 5)
    assert next_step(after(state, Told(copy(6)), 1), 1) == Pull("lineage", 5)


def header(base: int, revision: int, lineage: str = "lineage", *whole: RecordKind) -> TransferHeader:
    return TransferHeader(lineage, base, (), revision, OURS, whole)


def test_b5_a_transfer_that_builds_on_another_copy_is_no_answer() -> None:
    asked = Pull("lineage", 5)
    assert gap(asked, header(5, 6)) == ""
    assert "builds on revision 4" in gap(asked, header(4, 6))
    assert gap(asked, header(5, 6, "another"))
    assert gap(asked, header(0, 9, "another")) == "", "a whole one always is"
    asked = Pull("lineage", 5, (RecordKind.ZONE,))
    assert "zone" in gap(asked, header(5, 6))
    assert gap(asked, header(5, 6, "lineage", RecordKind.ZONE)) == ""


def test_b5_a_whole_transfer_leads_back_only_where_the_cloud_tells_the_same() -> None:
    asked = Pull("lineage", 9)
    assert gap(asked, header(0, 4), copy(4)) == "", "the cloud was restored"
    assert gap(asked, header(0, 4), None) == ""
    assert "told of 9" in gap(asked, header(0, 4), copy(9))
