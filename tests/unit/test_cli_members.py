"""What `members` shows of a group: who works and why the others don't, in words."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hotspare.v1 import group_pb2
from hotspare.v1.group_pb2 import Group, Health, HealthProblem, Hold, Member, ReceiverInfo, StandbyReason
from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare_cli.layout import Facts, Grid, cell
from hotspare_cli.screen import plain
from hotspare_cli.views.members import STANDBY_WORDS, members_view
from hotspare_cli.words import clock

NOW = datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC)
HOST, SPARE = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
EVIL = "\x1b[2Jevil\n"


def host(**more: Any) -> Member:
    return Member(
        receiver=ReceiverInfo(receiver_id=HOST, name="alpha", machine_id="m" * 32), role=group_pb2.ROLE_HOST, **more
    )


def spare(reason: StandbyReason.ValueType = group_pb2.STANDBY_REASON_UNSPECIFIED, **more: Any) -> Member:
    return Member(
        receiver=ReceiverInfo(receiver_id=SPARE, name="beta"),
        role=group_pb2.ROLE_SPARE_1,
        status=group_pb2.MEMBER_STATUS_STANDBY,
        standby_reason=reason,
        **more,
    )


def parts(group: Group, members: Iterable[Member]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The facts above the table, and its rows by their columns."""
    facts, table, *_ = members_view(ListMembersResponse(group=group, members=list(members)), NOW)
    assert isinstance(facts, Facts)
    assert isinstance(table, Grid)
    rows = [dict(zip(table.columns, (cell(value).text for value in row), strict=True)) for row in table.rows]
    return {name: cell(value).text for name, value in facts.pairs}, rows


def row(member: Member, group: Group | None = None) -> dict[str, str]:
    return parts(group or Group(), [member])[1][0]


def test_f8_a_paused_group_says_so_with_its_operator_and_what_it_means() -> None:
    group = Group(paused=True, paused_by="night-shift")
    group.pause_time.FromDatetime(NOW - timedelta(minutes=3))
    told = parts(group, [])[0]["Automatic moves"]
    since = clock(group.pause_time)
    assert told == f"paused since {since} (3 min ago) by night-shift: nobody takes over, not even at a loss"
    assert "Automatic moves" not in parts(Group(), [])[0]


def test_f8_the_pinned_one_is_named_and_marked() -> None:
    group = Group(pinned_receiver_id=SPARE, pinned_by="night-shift")
    group.pin_time.FromDatetime(NOW - timedelta(hours=2))
    facts, rows = parts(group, [host(status=group_pb2.MEMBER_STATUS_WORKING), spare()])
    assert facts["Pinned"] == f"spare1 beta, since {clock(group.pin_time)} (2 h ago) by night-shift"
    assert [one["STATUS"] for one in rows] == ["working", "standby (pinned)"]
    unhealthy = spare(group_pb2.STANDBY_REASON_UNHEALTHY)
    assert row(unhealthy, group)["STATUS"] == "standby (pinned, unhealthy)"
    working = spare()
    working.status = group_pb2.MEMBER_STATUS_WORKING
    assert row(working, group)["STATUS"] == "working (pinned)"


def test_f5_a_hand_over_that_is_under_way_is_told() -> None:
    facts, _ = parts(Group(working_receiver_id=SPARE, moving_to_receiver_id=HOST), [host(), spare()])
    assert facts["Working"] == "spare1 beta"
    assert facts["Moving"] == "a hand-over to host alpha is under way"


def test_timing_2_each_hold_is_told_with_its_holder_and_what_remains() -> None:
    group = Group(holds=[Hold(epoch=3, receiver_id=HOST, alarms=18), Hold(epoch=4, receiver_id="gone", alarms=1)])
    group.holds[0].remaining.FromTimedelta(timedelta(seconds=4.4))
    group.holds[1].remaining.FromTimedelta(timedelta(seconds=6))
    facts, *_ = members_view(ListMembersResponse(group=group, members=[host()]), NOW)
    assert isinstance(facts, Facts)
    held = [cell(value).text for name, value in facts.pairs if name == "Held"]
    assert held == [
        "18 alarms of epoch 3, up to 4.4 s, until host alpha has surely stopped",
        "1 alarm of epoch 4, up to 6.0 s, until gone has surely stopped",
    ]


def test_the_backlog_is_told_with_the_age_of_its_oldest() -> None:
    group = Group(backlog=1204)
    group.backlog_oldest_time.FromDatetime(NOW - timedelta(minutes=2))
    assert parts(group, [])[0]["Waiting at the cloud"] == "1,204 alarms, the oldest received 2 min ago"


def test_every_reason_to_stand_by_has_its_words() -> None:
    named = set(StandbyReason.values()) - {group_pb2.STANDBY_REASON_UNSPECIFIED}
    assert set(STANDBY_WORDS) == named
    for reason in named - {group_pb2.STANDBY_REASON_LOWER_ORDER}:
        assert row(spare(StandbyReason.ValueType(reason)))["STATUS"] == f"standby ({STANDBY_WORDS[reason]})"


@pytest.mark.parametrize("reason", [group_pb2.STANDBY_REASON_UNSPECIFIED, group_pb2.STANDBY_REASON_LOWER_ORDER, 999])
def test_v3_the_usual_reason_and_unknown_ones_are_no_riddle(reason: int) -> None:
    shown = row(spare(StandbyReason.ValueType(reason)))["STATUS"]
    assert shown == ("standby (-)" if reason == 999 else "standby")


@pytest.mark.parametrize(
    ("reason", "left", "text"),
    [
        (group_pb2.STANDBY_REASON_FAILBACK_DELAY, 7, "standby (back, works again in 7.0 s)"),
        (group_pb2.STANDBY_REASON_FAILBACK_DELAY, -1, "standby (back, works again now)"),
        (group_pb2.STANDBY_REASON_PAUSED, 7, "standby (automatic moves are paused)"),
        (group_pb2.STANDBY_REASON_HELD_BACK, 7, "standby (held back)"),
    ],
)
def test_f4_the_time_of_a_failback_is_told_where_it_counts(
    reason: StandbyReason.ValueType, left: float, text: str
) -> None:
    back = spare(reason)
    back.failback_time.FromDatetime(NOW + timedelta(seconds=left))
    assert row(back)["STATUS"] == text


def test_f9_losses_are_counted_and_holding_back_is_told_with_its_end() -> None:
    assert row(spare(losses=2))["LOSSES"] == "2"
    assert row(spare(losses=4, held_back=True))["LOSSES"] == "4, held back"
    text = plain(members_view(ListMembersResponse(members=[spare(losses=4, held_back=True)]), NOW))
    assert "spare1 beta: was lost too often" in text
    assert "hotspare resume" in text


def test_g6_each_row_has_what_the_rule_names() -> None:
    asked = host(is_self=True, sync_state=group_pb2.SYNC_STATE_UP_TO_DATE, sync_revision=1204, epoch=7)
    asked.status = group_pb2.MEMBER_STATUS_WORKING
    asked.receiver.address, asked.receiver.software_version = "127.0.0.1:7001", "0.1.0"
    asked.last_seen_time.FromDatetime(NOW)
    assert row(asked) == {
        "": "*",
        "ROLE": "host",
        "ID": HOST,
        "NAME": "alpha",
        "STATUS": "working",
        "EPOCH": "7",
        "VERSION": "0.1.0",
        "SYNC": "up-to-date",
        "REVISION": "1,204",
        "LAST SEEN": "now",
        "LOSSES": "0",
        "ADDRESS": "127.0.0.1:7001",
        "MACHINE": "m" * 32,
    }


def test_g7_one_without_a_role_is_told_as_such() -> None:
    alone = Member(receiver=ReceiverInfo(receiver_id=SPARE, name="gamma"), warnings=["w"])
    assert row(alone)["ROLE"] == "none"
    facts, _ = parts(Group(working_receiver_id=SPARE), [alone])
    assert facts["Working"] == "gamma (no role)"


def test_f3_what_keeps_a_member_from_being_healthy_is_among_the_warnings() -> None:
    ill = spare(group_pb2.STANDBY_REASON_UNHEALTHY, health=Health(problems=[HealthProblem(detail="main is down")]))
    text = plain(members_view(ListMembersResponse(group=Group(warnings=["w0"]), members=[ill]), NOW))
    assert text.endswith("Warnings\nw0\nspare1 beta: main is down\n")


def test_s4_names_of_strangers_do_not_steer_the_terminal() -> None:
    group = Group(
        working_receiver_id=HOST, pinned_receiver_id=EVIL, pinned_by=EVIL, paused=True, paused_by=EVIL,
        moving_to_receiver_id=EVIL, holds=[Hold(receiver_id=EVIL)], warnings=[EVIL],
    )  # fmt: skip
    evil = host(warnings=[EVIL])
    evil.receiver.name = evil.receiver.machine_id = EVIL
    text = plain(members_view(ListMembersResponse(group=group, members=[evil]), NOW))
    assert "\x1b" not in text
    assert r"host \x1b[2Jevil\n" in text


def test_x3_who_still_uses_the_old_key_is_shown_while_a_key_is_being_replaced() -> None:
    assert "ARC KEY" not in row(host())
    _, rows = parts(Group(), [host(), spare(uses_old_key=True)])
    assert [one["ARC KEY"] for one in rows] == ["new", "uses old key"]
    text = plain(members_view(ListMembersResponse(members=[spare(uses_old_key=True)]), NOW))
    assert "spare1 beta: still uses the ARC key that is being replaced: hotspare settings set --arc-key-file" in text


def test_v1_a_version_that_differs_is_shown_with_both() -> None:
    member = spare(sync_state=group_pb2.SYNC_STATE_VERSION_DIFFERS, sync_revision=7)
    member.sync_detail = "the host stored it with 0.2.0, this is 0.1.0"
    shown = row(member)
    assert (shown["SYNC"], shown["REVISION"]) == ("version-differs", "7")
    text = plain(members_view(ListMembersResponse(members=[member]), NOW))
    assert "spare1 beta: its copy of the configuration: the host stored it with 0.2.0, this is 0.1.0" in text
