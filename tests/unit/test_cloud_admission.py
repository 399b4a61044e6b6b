"""Who may take a role, and who may attend."""

from dataclasses import replace

import pytest

from hotspare_cloud.core.admission import (
    SUPERSEDED_KEPT,
    Membership,
    check_attend,
    check_join,
    free_roles,
    same_folder,
    superseding,
    warnings,
)
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import Role


def member(receiver_id: str, role: Role, machine_id: str = "") -> Membership:
    return Membership(
        receiver_id=receiver_id,
        role=role,
        generation=1,
        name=f"name of {receiver_id}",
        machine_id=machine_id or f"machine of {receiver_id}",
        address="",
        software_version="1",
        dual_connection=False,
        own_account_number="",
        joined_at=0.0,
    )


HOST = member("h", Role.HOST)
ONE = member("s", Role.SPARE_1)


def refused(wish: Membership, *members: Membership, other_hosts: tuple[str, ...] = ()) -> HotspareError:
    with pytest.raises(HotspareError) as caught:
        check_join(wish, "west", {each.receiver_id: each for each in members}, other_hosts)
    return caught.value


def test_g1_a_taken_role_names_its_holder_and_the_free_ones() -> None:
    error = refused(member("x", Role.SPARE_1), HOST, ONE)
    assert error.reason is Reason.ROLE_TAKEN
    assert error.metadata == {
        "role": "SPARE_1",
        "holder": "s",
        "holder_name": "name of s",
        "free_roles": "SPARE_2,SPARE_3",
    }


def test_g1_a_second_host_is_refused() -> None:
    assert refused(member("x", Role.HOST), HOST).reason is Reason.ROLE_TAKEN


def test_g1_spare_two_without_spare_one_is_fine() -> None:
    check_join(member("x", Role.SPARE_2), "west", {"h": HOST}, ())


def test_g1_the_same_role_again_is_fine() -> None:
    check_join(ONE, "west", {"h": HOST, "s": ONE}, ())


def test_g2_the_host_comes_first() -> None:
    assert refused(ONE).reason is Reason.HOST_MISSING
    assert free_roles({}) == (Role.HOST,)


def test_g2_a_host_that_wants_to_be_a_spare_leaves_no_host() -> None:
    assert refused(member("h", Role.SPARE_1), HOST).reason is Reason.HOST_MISSING


def test_g4_another_sub_account_is_named_with_the_hosts() -> None:
    error = refused(ONE, other_hosts=("east",))
    assert error.reason is Reason.SUB_ACCOUNT_MISMATCH
    assert error.metadata == {"sub_account": "west", "host_sub_account": "east"}


def test_g4_a_sub_account_with_a_host_of_its_own_is_a_group_of_its_own() -> None:
    check_join(ONE, "west", {"h": HOST}, ("east",))


def test_g5_dual_connection_is_for_the_host_alone() -> None:
    assert refused(replace(ONE, dual_connection=True), HOST).reason is Reason.DUAL_CONNECTION_NOT_ALLOWED
    check_join(replace(HOST, dual_connection=True), "west", {}, ())


def test_g6_two_members_on_one_machine_are_warned_about() -> None:
    twin = member("s", Role.SPARE_1, "machine of h")
    assert warnings(twin, {"h": HOST, "s": twin}) == ("runs on the same machine as name of h",)
    assert warnings(ONE, {"h": HOST, "s": ONE}) == ()


def test_f7_a_copied_data_folder_is_refused() -> None:
    copied = member("h", Role.HOST, "another machine")
    assert refused(copied, HOST).reason is Reason.MACHINE_MISMATCH
    with pytest.raises(HotspareError) as caught:
        check_attend(HOST, hello("new", 2, machine_id="another machine"), ended=False, here=False)
    assert caught.value.reason is Reason.MACHINE_MISMATCH


def test_f7_a_superseded_incarnation_is_refused_for_good() -> None:
    known = replace(HOST, incarnation="c", superseded=("a", "b"))
    for old in ("a", "b"):
        with pytest.raises(HotspareError) as caught:
            check_attend(known, hello(old, 9), ended=False, here=False)
        assert caught.value.reason is Reason.INCARNATION_SUPERSEDED
    check_attend(known, hello("c", 0), ended=False, here=True)
    assert superseding(known, "d") == ("a", "b", "c")
    assert superseding(known, "c") == ("a", "b")


def test_f7_the_superseded_ones_are_bounded() -> None:
    known = replace(HOST, incarnation="last", superseded=tuple(str(number) for number in range(SUPERSEDED_KEPT)))
    kept = superseding(known, "new")
    assert len(kept) == SUPERSEDED_KEPT
    assert kept[-1] == "last"


@pytest.mark.parametrize(("ended", "reason"), [(True, Reason.HOT_SPARE_ENDED), (False, Reason.NOT_A_MEMBER)])
def test_x2_one_without_a_role_is_told_why(ended: bool, reason: Reason) -> None:
    with pytest.raises(HotspareError) as caught:
        check_attend(None, hello("a", 1), ended=ended, here=False)
    assert caught.value.reason is reason


def hello(incarnation: str, start: int, folder_id: str = "folder", machine_id: str = HOST.machine_id) -> Membership:
    return replace(HOST, incarnation=incarnation, start=start, folder_id=folder_id, machine_id=machine_id)


def test_f7_a_late_word_of_a_dead_process_does_not_put_the_living_one_out() -> None:
    """Found by the simulator: handled last, the earlier of two would have superseded the later for good."""
    known = hello("living", 7)
    for here in (True, False):
        for start in (6, 7):
            with pytest.raises(HotspareError) as caught:
                check_attend(known, hello("dead", start), ended=False, here=here)
            assert caught.value.reason is Reason.START_BEHIND
            assert caught.value.metadata["start"] == "7"


def test_f7_a_later_start_supersedes() -> None:
    for here in (True, False):
        check_attend(hello("a", 7), hello("b", 8), ended=False, here=here)
        check_attend(hello("a", 7, folder_id=""), hello("b", 8), ended=False, here=here)


def test_f7_a_second_process_from_a_copy_of_the_data_folder_is_refused_while_the_first_is_here() -> None:
    known, copy = hello("a", 7), hello("b", 8, folder_id="copy of the folder")
    with pytest.raises(HotspareError) as caught:
        check_attend(known, copy, ended=False, here=True)
    assert caught.value.reason is Reason.MACHINE_MISMATCH
    check_attend(known, copy, ended=False, here=False)
    assert not same_folder(known, copy), "its lock is no proof that the other one has ended"


def test_g7_one_that_believes_in_a_role_that_it_lost_is_told_although_it_is_known_as_alone() -> None:
    alone = replace(HOST, role=None, generation=7, incarnation="a", start=1)
    with pytest.raises(HotspareError) as caught:
        check_attend(alone, replace(hello("b", 2), generation=3), ended=False, here=False)
    assert caught.value.reason is Reason.NOT_A_MEMBER
    check_attend(alone, replace(hello("b", 2, folder_id=""), generation=0), ended=False, here=False)
