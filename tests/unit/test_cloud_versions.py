"""The plan of an upgrade: cloud, host, then the spares one by one (V2)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_cloud.core.versions import Plan, Running, Step, plan
from hotspare_model.group import MemberStatus, Role
from hotspare_model.release import Order, compare

OLD, NEW, NEWEST = "1.9.0", "1.10.0", "1.11.0"
WORKING, STANDBY, OFFLINE = MemberStatus.WORKING, MemberStatus.STANDBY, MemberStatus.OFFLINE
NONE, NOW, WAIT, NEWER = Step.NONE, Step.UPGRADE_NOW, Step.WAIT, Step.NEWER_THAN_HOST
NAMES = {Role.HOST: "host", Role.SPARE_1: "one", Role.SPARE_2: "two", Role.SPARE_3: "three"}


def member(role: Role | None, version: str, status: MemberStatus = STANDBY, *, up_to_date: bool = True) -> Running:
    name = NAMES[role] if role else "alone"
    return Running(f"id of {name}", name, role, version, status, up_to_date)


def group(*versions: str) -> list[Running]:
    """Host and spares with these releases, all well; the host works."""
    members = [member(role, version) for role, version in zip(Role, versions, strict=False)]
    return [replace(members[0], status=WORKING), *members[1:]]


def steps(told: Plan) -> list[Step]:
    return [told.cloud, *(planned.step for planned in told.members)]


def detail(told: Plan, name: str) -> str:
    return next(planned.detail for planned in told.members if planned.member.name == name)


@pytest.mark.parametrize(
    ("cloud", "versions", "expected"),
    [
        (OLD, (OLD, OLD, OLD, OLD), [NONE, NONE, NONE, NONE, NONE]),
        (NEW, (OLD, OLD, OLD, OLD), [NONE, NOW, WAIT, WAIT, WAIT]),
        (NEW, (NEW, OLD, OLD, OLD), [NONE, NONE, NOW, WAIT, WAIT]),
        (NEW, (NEW, NEW, OLD, OLD), [NONE, NONE, NONE, NOW, WAIT]),
        (NEW, (NEW, NEW, NEW, OLD), [NONE, NONE, NONE, NONE, NOW]),
        (NEW, (NEW, NEW, NEW, NEW), [NONE, NONE, NONE, NONE, NONE]),
        # Out of order.
        (NEW, (NEW, OLD, NEW), [NONE, NONE, NOW, NONE]),
        (NEW, (OLD, NEW, OLD), [NONE, NOW, NEWER, WAIT]),
        (OLD, (OLD, NEW, OLD), [NOW, WAIT, NEWER, WAIT]),
        (OLD, (NEW, OLD, NEW), [NOW, NONE, WAIT, NONE]),
        (OLD, (NEW, NEWEST, OLD), [NOW, WAIT, NEWER, WAIT]),
        (NEWEST, (OLD, NEW), [NONE, NOW, NEWER]),
        # Odd strings.
        (NEW, ("nightly", "nightly"), [NONE, NOW, WAIT]),
        (NEW, ("", ""), [NONE, NOW, WAIT]),
        (NEW, (NEW, "nightly", ""), [NONE, NONE, NOW, WAIT]),
        ("nightly", (OLD, OLD), [NONE, NOW, WAIT]),
        ("nightly", ("nightly", "nightly"), [NONE, NONE, NONE]),
        # V1 asks for the release to the letter, V2 for the order only.
        ("1.0", ("1.0.0", "1.0.0"), [NONE, NONE, NONE]),
        ("1.0", ("1.0", "1.0.0"), [NONE, NONE, NOW]),
        (NEW, (NEW,), [NONE, NONE]),
        (NEW, (), [NONE]),
    ],
)
def test_v2_the_order_is_cloud_host_and_the_spares_one_by_one(
    cloud: str, versions: Sequence[str], expected: list[Step]
) -> None:
    members = group(*versions) if versions else []
    told = plan(cloud, reversed(members))
    assert steps(told) == expected
    assert [planned.member for planned in told.members] == members, "in the order of the upgrade"


def test_v2_a_spare_newer_than_its_host_is_told_so_with_both_versions_and_the_two_ways_out() -> None:
    told = detail(plan(NEW, group(OLD, NEW)), "one")
    assert told == f"it has {NEW}, and the host {OLD}: upgrade the host, or take this one back"


def test_v2_who_is_ahead_of_the_cloud_is_named() -> None:
    told = plan(OLD, group(OLD, NEW))
    assert detail(told, "host") == f"the cloud comes first: it has {OLD}, and one has {NEW}"


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"status": OFFLINE}, "one is not connected"), ({"up_to_date": False}, "one is not in sync yet")],
)
def test_v2_the_next_spare_waits_until_the_one_before_is_back_and_in_sync(changes: dict[str, object], why: str) -> None:
    members = group(NEW, NEW, OLD, OLD)
    members[1] = replace(members[1], **changes)  # type: ignore[arg-type]
    told = plan(NEW, members)
    assert steps(told) == [NONE, NONE, NONE, WAIT, WAIT]
    assert detail(told, "one") == why
    assert detail(told, "two") == detail(told, "three") == f"one at a time: {why}"


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"status": OFFLINE}, "host is not connected"), ({"up_to_date": False}, "host is not in sync yet")],
)
def test_v2_the_spares_wait_until_the_host_is_back_and_its_configuration_at_the_cloud(
    changes: dict[str, object], why: str
) -> None:
    members = group(NEW, OLD, OLD)
    members[0] = replace(members[0], **changes)  # type: ignore[arg-type]
    told = plan(NEW, members)
    assert steps(told) == [NONE, NONE, WAIT, WAIT]
    assert detail(told, "host") == why
    assert detail(told, "one") == f"the host comes first: {why}"


def test_v2_a_spare_that_is_away_goes_first_for_a_second_one_beside_it_would_be_too_many() -> None:
    members = group(NEW, OLD, OLD)
    members[2] = replace(members[2], status=OFFLINE)
    told = plan(NEW, members)
    assert steps(told) == [NONE, NONE, WAIT, NOW]
    assert "start it with that release, or remove it" in detail(told, "two")


def test_v2_the_working_one_may_be_upgraded_and_its_hand_over_is_told() -> None:
    told = detail(plan(NEW, group(OLD, OLD)), "host")
    assert told == f"install {NEW}, which the cloud has; it works now, and hands over when it is stopped in order"
    members = group(NEW, OLD)
    members = [replace(members[0], status=STANDBY), replace(members[1], status=WORKING)]
    assert "hands over" in detail(plan(NEW, members), "one")


def test_v2_where_nobody_stands_by_the_cloud_keeps_the_alarms_meanwhile() -> None:
    members = group(OLD, OLD)
    members[1] = replace(members[1], status=OFFLINE)
    assert "the cloud keeps the alarms until it is back" in detail(plan(NEW, members), "host")


@pytest.mark.parametrize(("version", "why"), [("", "it never told its version"), ("x", "its version x can't be ord")])
def test_v2_a_version_that_cannot_be_ordered_is_told_so(version: str, why: str) -> None:
    assert detail(plan(NEW, group(NEW, version)), "one").startswith(why)


@pytest.mark.parametrize(("version", "expected"), [(NEW, NONE), (OLD, WAIT), (NEWEST, NONE)])
def test_g8_v2_without_a_host_the_spares_wait_for_one(version: str, expected: Step) -> None:
    cloud = NEWEST if version == NEWEST else NEW
    told = plan(cloud, [member(Role.SPARE_1, version)])
    assert steps(told) == [NONE, expected]


@pytest.mark.parametrize(("version", "expected"), [(OLD, NOW), (NEW, NONE), ("x", NOW)])
def test_g7_v2_a_receiver_that_works_alone_follows_the_cloud(version: str, expected: Step) -> None:
    told = plan(NEW, [member(None, version, WORKING, up_to_date=False)])
    assert steps(told) == [NONE, expected]


def test_g7_v2_one_without_a_role_comes_last_and_holds_up_nobody() -> None:
    told = plan(NEW, [member(None, OLD, OFFLINE), *group(NEW, OLD)])
    assert [planned.member.name for planned in told.members] == ["host", "one", "alone"]
    assert steps(told) == [NONE, NONE, NOW, NOW]


VERSIONS = (OLD, NEW, NEWEST, "odd", "")
RUNNING = st.builds(
    lambda version, status, up_to_date: (version, status, up_to_date),
    st.sampled_from(VERSIONS),
    st.sampled_from(MemberStatus),
    st.booleans(),
)


@given(st.sampled_from(VERSIONS), st.lists(RUNNING, min_size=1, max_size=4))
def test_v2_whatever_runs_at_most_one_goes_at_a_time_and_in_order(
    cloud: str, rows: list[tuple[str, MemberStatus, bool]]
) -> None:
    members = [
        member(role, version, status, up_to_date=fine)
        for role, (version, status, fine) in zip(Role, rows, strict=False)
    ]
    told = plan(cloud, members)
    now = [planned for planned in told.members if planned.step is NOW]
    assert len(now) + (told.cloud is NOW) <= 1
    host, *spares = told.members
    assert host.step is not NEWER
    for spare in spares:
        newer = compare(spare.member.version, host.member.version) is Order.NEWER
        assert (spare.step is NEWER) is newer
        if spare.step is NOW:
            assert host.step is NONE
            assert host.member.is_back
        if spare.step is not NONE:
            assert spare.detail
    if told.cloud is NONE and all(planned.step is NONE for planned in told.members):
        assert all(spare.member.version == host.member.version for spare in spares)


def test_v2_following_the_plan_always_ends() -> None:
    """Do what it says, again and again: everybody gets there, whatever they ran before."""
    for start in product((OLD, NEW, "odd"), repeat=3):
        for cloud in (OLD, NEW):
            follow(cloud, group(*start))


def follow(cloud: str, members: list[Running]) -> None:
    for _ in range(20):
        told = plan(cloud, members)
        if told.cloud is NOW:
            cloud = NEW
            continue
        due = next((planned.member for planned in told.members if planned.step is NOW), None)
        if due is None:
            break
        wanted = cloud if due.role is Role.HOST else members[0].version
        members = [replace(each, version=wanted) if each is due else each for each in members]
    assert set(steps(told)) == {NONE}, (cloud, members)
    assert {each.version for each in members} == {members[0].version}
