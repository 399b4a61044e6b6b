"""`switchover`, `pause`, `resume`, `history` without a server: who is meant, what is told, when the waiting ends."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from hotspare.v1 import group_pb2
from hotspare.v1.group_pb2 import Group, Member, ReceiverInfo, Role, Transition, TransitionKind
from hotspare.v1.role_service_pb2 import (
    ListMembersResponse,
    ListTransitionsResponse,
    PauseFailoverResponse,
    ResumeFailoverResponse,
    SwitchoverResponse,
)
from hotspare_cli.errors import CliError, ExitCode
from hotspare_cli.layout import Grid, Tone, cell
from hotspare_cli.screen import plain
from hotspare_cli.switchover import Outlook, Phase, effect, find_target
from hotspare_cli.views.moves import begun_text, history_view, paused_view, resumed_view, switchover_view
from hotspare_cli.words import clock

NOW = datetime(2026, 11, 22, 16, 4, 26, tzinfo=UTC)
HOST, SPARE, THIRD = (f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "1a3")
EVIL = "\x1b[2Jevil\n"


def member(role: Role.ValueType, receiver_id: str, name: str) -> Member:
    status = group_pb2.MEMBER_STATUS_STANDBY
    return Member(receiver=ReceiverInfo(receiver_id=receiver_id, name=name), role=role, status=status)


def trio() -> list[Member]:
    return [
        member(group_pb2.ROLE_HOST, HOST, "alpha"),
        member(group_pb2.ROLE_SPARE_1, SPARE, "beta"),
        member(group_pb2.ROLE_SPARE_2, THIRD, "host"),
    ]


# --- Who is meant, and what is asked -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "receiver_id"),
    [
        ("host", HOST),  # a role goes before a name
        ("Spare1", SPARE),
        ("spare2", THIRD),
        (SPARE, SPARE),
        (SPARE.upper(), SPARE),
        ("alpha", HOST),
    ],
)
def test_f8_a_target_is_named_by_role_id_or_name(text: str, receiver_id: str) -> None:
    assert find_target(trio(), text).receiver.receiver_id == receiver_id


@pytest.mark.parametrize("text", ["spare3", "gamma", "", "-", "ALPHA", SPARE[:8]])
def test_f8_who_is_nobody_is_told_with_those_who_are_there(text: str) -> None:
    with pytest.raises(CliError) as caught:
        find_target(trio(), text)
    assert caught.value.exit_code is ExitCode.NOT_FOUND
    assert caught.value.hint == "The members are: host alpha, spare1 beta, spare2 host."


def test_f8_a_name_that_two_have_names_nobody() -> None:
    twins = [member(group_pb2.ROLE_HOST, HOST, "twin"), member(group_pb2.ROLE_SPARE_1, SPARE, "twin")]
    with pytest.raises(CliError) as caught:
        find_target(twins, "twin")
    assert caught.value.exit_code is ExitCode.USAGE


def test_f8_the_question_names_from_whom_to_whom_and_the_pin() -> None:
    members = trio()
    told = effect(Group(working_receiver_id=HOST), members, members[1])
    assert told.startswith("This hands the work over from host alpha to spare1 beta. It stays pinned there")
    assert "hotspare resume" in told
    members[1].status = group_pb2.MEMBER_STATUS_OFFLINE
    assert effect(Group(), members, members[1]).startswith(
        "This gives the work to spare1 beta (offline); nobody works now."
    )


def test_s4_names_in_the_question_do_not_steer_the_terminal() -> None:
    evil = member(group_pb2.ROLE_SPARE_1, SPARE, EVIL)
    seen = ListMembersResponse(group=Group(working_receiver_id=EVIL), members=[evil])
    for text in (effect(seen.group, seen.members, evil), begun_text(seen, evil)):
        assert text.isprintable()


# --- When the waiting ends ---------------------------------------------------------------------------------


def phases(states: Iterable[Group]) -> list[Phase]:
    outlook = Outlook(SPARE)
    return [outlook.judge(state) for state in states]


def state(working: str, *, pinned: str = "", moving: str = "") -> Group:
    return Group(working_receiver_id=working, pinned_receiver_id=pinned, moving_to_receiver_id=moving)


def test_f8_it_is_done_when_the_target_works() -> None:
    states = [state(HOST, pinned=SPARE, moving=SPARE), state("", pinned=SPARE), state(SPARE, pinned=SPARE)]
    assert phases(states) == [Phase.UNDER_WAY, Phase.UNDER_WAY, Phase.DONE]


def test_f8_a_resume_in_between_ends_the_wish_only_with_the_move() -> None:
    states = [state(HOST, pinned=SPARE, moving=SPARE), state(HOST, moving=SPARE), state(HOST)]
    assert phases(states) == [Phase.UNDER_WAY, Phase.UNDER_WAY, Phase.ENDED]


def test_f8_a_loss_of_the_target_or_another_switchover_ends_the_wish() -> None:
    assert phases([state(HOST, pinned=SPARE), state(THIRD)]) == [Phase.UNDER_WAY, Phase.ENDED]
    assert phases([state(HOST, pinned=SPARE), state(HOST, pinned=THIRD)])[-1] is Phase.ENDED


def test_f8_before_the_pin_was_seen_its_absence_ends_nothing() -> None:
    assert phases([state(HOST), state(HOST, pinned=SPARE), state(HOST)]) == [
        Phase.UNDER_WAY,
        Phase.UNDER_WAY,
        Phase.ENDED,
    ]


# --- What is told ------------------------------------------------------------------------------------------


def test_f8_a_switchover_tells_how_long_it_took_and_that_it_is_pinned() -> None:
    answer = SwitchoverResponse(group=Group(epoch=8, pinned_receiver_id=SPARE))
    text = plain(switchover_view(answer, trio()[1], timedelta(milliseconds=140)))
    assert text.splitlines()[0] == "spare1 beta works now, 140 ms after it was asked, under epoch 8."
    assert "It is pinned" in text
    answer.group.pinned_receiver_id = ""
    assert "not pinned any more" in plain(switchover_view(answer, trio()[1], timedelta(seconds=1)))


def test_f8_a_pause_tells_since_when_by_whom_and_what_it_means() -> None:
    answer = PauseFailoverResponse(group=Group(paused=True, paused_by="day-shift"))
    answer.group.pause_time.FromDatetime(NOW - timedelta(hours=3))
    first, second = plain(paused_view(answer, NOW)).splitlines()
    assert first == f"Automatic moves are paused since {clock(answer.group.pause_time)} (3 h ago) by day-shift."
    assert "Nobody takes over now, not even at a loss" in second


def test_f8_f9_resume_tells_each_thing_that_it_ended() -> None:
    before = ListMembersResponse(members=trio())
    before.group.CopyFrom(Group(paused=True, paused_by="a", pinned_receiver_id=SPARE, pinned_by="b"))
    before.group.pause_time.FromDatetime(NOW - timedelta(minutes=5))
    before.group.pin_time.FromDatetime(NOW - timedelta(minutes=9))
    before.members[0].held_back, before.members[0].losses = True, 4
    answer = ResumeFailoverResponse(group=Group(working_receiver_id=SPARE))
    paused, pinned = clock(before.group.pause_time), clock(before.group.pin_time)
    assert plain(resumed_view(answer, before, NOW)).splitlines() == [
        f"Automatic moves are on again. They were paused since {paused} (5 min ago) by a.",
        f"spare1 beta is not pinned any more; it was since {pinned} (9 min ago) by b.",
        "host alpha may fail back again; it was held back (losses: 4).",
        "spare1 beta works now.",
    ]


def test_f8_resume_tells_only_what_it_ended() -> None:
    before = ListMembersResponse(group=Group(pinned_receiver_id=SPARE), members=trio())
    text = plain(resumed_view(ResumeFailoverResponse(group=Group()), before, NOW))
    assert text == "spare1 beta is not pinned any more.\nNobody works now.\n"
    nothing = resumed_view(ResumeFailoverResponse(group=Group(working_receiver_id=HOST)), ListMembersResponse(), NOW)
    assert plain(nothing) == f"Automatic moves are resumed.\n{HOST} works now.\n"


# --- History -----------------------------------------------------------------------------------------------


def rows(*lines: Transition) -> list[dict[str, str]]:
    (table,) = history_view(ListTransitionsResponse(transitions=lines), ListMembersResponse(members=trio()))
    assert isinstance(table, Grid)
    return [dict(zip(table.columns, (cell(value).text for value in row), strict=True)) for row in table.rows]


def test_f8_a_line_of_the_history_has_what_the_rule_names() -> None:
    line = Transition(
        number=9, kind=group_pb2.TRANSITION_KIND_MOVE, reason=group_pb2.TRANSITION_REASON_SWITCHOVER,
        from_receiver_id=HOST, from_role=group_pb2.ROLE_HOST, to_receiver_id=SPARE, to_role=group_pb2.ROLE_SPARE_1,
        operator_name="night-shift", epoch=8, detail="new network card", planned=True,
    )  # fmt: skip
    line.time.FromDatetime(NOW)
    line.gap.FromTimedelta(timedelta(milliseconds=60))
    assert rows(line) == [
        {
            "TIME": clock(line.time),
            "WHAT": "move",
            "FROM": "host alpha",
            "TO": "spare1 beta",
            "REASON": "switchover",
            "OPERATOR": "night-shift",
            "EPOCH": "8",
            "NOBODY WORKED": "60 ms",
            "DETAIL": "new network card",
        }
    ]


def test_f8_the_role_is_that_of_the_time_and_one_that_left_is_told_by_its_id() -> None:
    line = Transition(
        kind=group_pb2.TRANSITION_KIND_MOVE, from_receiver_id="gone", from_role=group_pb2.ROLE_SPARE_3,
        to_receiver_id=SPARE, to_role=group_pb2.ROLE_HOST,
    )  # fmt: skip
    (told,) = rows(line)
    assert (told["FROM"], told["TO"]) == ("spare3 gone", "host beta")


def test_f8_nobody_is_a_word_only_where_the_work_moved() -> None:
    first = Transition(kind=group_pb2.TRANSITION_KIND_MOVE, to_receiver_id=HOST)
    left = Transition(kind=group_pb2.TRANSITION_KIND_NOBODY_LEFT, from_receiver_id=HOST)
    paused = Transition(kind=group_pb2.TRANSITION_KIND_PAUSED)
    ends = [(told["FROM"], told["TO"]) for told in rows(first, left, paused)]
    assert ends == [("nobody", "alpha"), ("alpha", "nobody"), ("-", "-")]


@pytest.mark.parametrize("field", ["from", "to"])
def test_f8_a_line_that_is_no_move_names_whom_it_is_about(field: str) -> None:
    line = Transition(kind=group_pb2.TRANSITION_KIND_SWITCHOVER_ASKED)
    setattr(line, f"{field}_receiver_id", SPARE)
    setattr(line, f"{field}_role", group_pb2.ROLE_SPARE_1)
    (told,) = rows(line)
    assert (told["WHAT"], told["FROM"], told["TO"]) == ("switchover asked: spare1 beta", "-", "-")
    both = Transition(kind=group_pb2.TRANSITION_KIND_SWITCHOVER_ASKED, from_receiver_id=HOST, to_receiver_id=SPARE)
    (told,) = rows(both)
    assert (told["WHAT"], told["FROM"], told["TO"]) == ("switchover asked", "alpha", "beta")


def test_f8_every_kind_is_told_in_words() -> None:
    kinds = [kind for kind in TransitionKind.values() if kind]
    told = [row["WHAT"] for row in rows(*(Transition(kind=TransitionKind.ValueType(kind)) for kind in kinds))]
    assert len(set(told)) == len(kinds)
    assert {"nobody left", "duplicate refused", "switchover asked", "allowed again"} <= set(told)
    assert rows(Transition(kind=TransitionKind.ValueType(999)))[0]["WHAT"] == "-"


def test_f6_a_loss_stands_out_from_a_hand_over() -> None:
    def tone(line: Transition) -> Tone:
        (table,) = history_view(ListTransitionsResponse(transitions=[line]), ListMembersResponse())
        assert isinstance(table, Grid)
        return cell(table.rows[0][table.columns.index("REASON")]).tone

    move = group_pb2.TRANSITION_KIND_MOVE
    lost, done = group_pb2.TRANSITION_REASON_SILENT, group_pb2.TRANSITION_REASON_FAILBACK
    assert tone(Transition(kind=move, reason=lost)) is Tone.WATCH
    assert tone(Transition(kind=move, reason=done, planned=True)) is Tone.PLAIN
    assert tone(Transition(kind=move, reason=group_pb2.TRANSITION_REASON_FIRST)) is Tone.PLAIN


def test_v3_lines_that_tell_less_and_none_at_all_are_shown_all_the_same() -> None:
    assert set(rows(Transition())[0].values()) == {"-"}
    assert plain(history_view(ListTransitionsResponse(), ListMembersResponse())) == "no history\n"


def test_s4_text_of_strangers_in_the_history_does_not_steer_the_terminal() -> None:
    evil = Transition(from_receiver_id=EVIL, operator_name=EVIL, detail=EVIL)
    text = plain(history_view(ListTransitionsResponse(transitions=[evil]), ListMembersResponse()))
    assert "\x1b" not in text
    assert text.count(r"\x1b[2Jevil\n") == 3
