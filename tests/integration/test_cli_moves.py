"""`switchover`, `pause`, `resume`, `history` against a scripted server: what is asked, awaited and told."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import group_pb2
from hotspare.v1.group_pb2 import Group, GroupSettings, Transition
from hotspare.v1.role_service_pb2 import (
    GetGroupSettingsResponse,
    ListMembersResponse,
    ListTransitionsResponse,
    PauseFailoverResponse,
    ResumeFailoverResponse,
    SwitchoverResponse,
    WatchMembersResponse,
)
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.wire import timestamp_from_proto
from tests.integration.test_cli_support import HOST_ID, SPARE_ID, Script, group, member, scripted_server

THIRD_ID = "33333333-3333-4333-8333-333333333333"
TO_BETA = ("switchover", "--to", "spare1", "--yes")


def members() -> list[group_pb2.Member]:
    return [
        member(group_pb2.ROLE_HOST, HOST_ID, "alpha", working=True),
        member(group_pb2.ROLE_SPARE_1, SPARE_ID, "beta"),
        member(group_pb2.ROLE_SPARE_2, THIRD_ID, "gamma"),
    ]


def listed() -> ListMembersResponse:
    return ListMembersResponse(group=group(), members=members())


def state(working: str, epoch: int = 7, *, pinned: str = SPARE_ID, offline: str = "") -> WatchMembersResponse:
    """The group on the way, as a watch tells it."""
    now = WatchMembersResponse(
        group=Group(epoch=epoch, working_receiver_id=working, pinned_receiver_id=pinned), members=members()
    )
    for one in now.members:
        if one.receiver.receiver_id == offline:
            one.status = group_pb2.MEMBER_STATUS_OFFLINE
    return now


def watch(*states: WatchMembersResponse, end: Exception | None = None) -> Any:
    """A stream of these; then it stays open, or ends with an error."""

    async def stream(_request: Any) -> AsyncIterator[WatchMembersResponse]:
        for one in states:
            yield one
        if end is not None:
            raise end
        await asyncio.Event().wait()

    return stream


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        drain = GroupSettings()
        drain.drain_timeout.FromTimedelta(timedelta(seconds=5))
        begun = SwitchoverResponse(group=state(HOST_ID).group)
        script.answers |= {
            "ListMembers": listed(),
            "GetGroupSettings": GetGroupSettingsResponse(settings=drain),
            "Switchover": begun,
            "WatchMembers": watch(state(HOST_ID), state("", 8), state(SPARE_ID, 8)),
        }
        yield script


# --- Switchover --------------------------------------------------------------------------------------------


async def test_f8_a_switchover_is_waited_for_and_told(server: Script) -> None:
    done = await server.run(*TO_BETA, "--reason", "new network card")
    assert done.code == 0
    assert done.err == "The hand-over from host alpha to spare1 beta has begun.\n"
    first, second = done.out.splitlines()
    assert re.fullmatch(r"spare1 beta works now, [0-9.]+ m?s after it was asked, under epoch 8\.", first)
    assert "hotspare resume" in second
    (request,) = server.requests("Switchover")
    assert uuid.UUID(request.request_id)
    assert request.receiver_id == SPARE_ID
    assert request.detail == "new network card"
    assert request.HasField("expected_epoch")
    assert request.expected_epoch == 7


@pytest.mark.parametrize("to", ["spare1", SPARE_ID, "beta"])
async def test_f8_role_id_and_name_all_send_the_receiver_that_was_shown(server: Script, to: str) -> None:
    assert (await server.run("switchover", "--to", to, "--yes")).code == 0
    assert server.requests("Switchover")[0].receiver_id == SPARE_ID


async def test_f8_each_wish_has_an_id_of_its_own(server: Script) -> None:
    for _ in range(2):
        assert (await server.run(*TO_BETA)).code == 0
    assert len({request.request_id for request in server.requests("Switchover")}) == 2


async def test_f8_the_form_for_scripts_has_the_group_as_it_is_in_the_end(server: Script) -> None:
    data = (await server.run(*TO_BETA, "-o", "json")).json()
    assert data["group"]["working_receiver_id"] == SPARE_ID
    assert data["group"]["epoch"] == "8"


async def test_f8_a_switchover_asks_first(server: Script) -> None:
    declined = await server.run_on_terminal("switchover", "--to", "beta", answer="n\n")
    assert declined.code == 1
    question = " ".join(declined.out.split())
    assert "This hands the work over from host alpha to spare1 beta. It stays pinned there" in question
    assert "Nothing was changed." in declined.out
    assert server.requests("Switchover") == []
    assert (await server.run_on_terminal("switchover", "--to", "beta", answer="y\n")).code == 0
    assert len(server.requests("Switchover")) == 1


async def test_f8_without_a_terminal_nothing_is_asked_of_the_server_without_a_yes(server: Script) -> None:
    refused = await server.run("switchover", "--to", "beta")
    assert refused.code == 2
    assert "--yes" in refused.error_lines()[1]
    assert server.calls == []


async def test_f8_no_wait_ends_when_the_hand_over_has_begun(server: Script) -> None:
    done = await server.run(*TO_BETA, "--no-wait")
    assert done.code == 0
    assert done.out.startswith("The hand-over from host alpha to spare1 beta has begun.\n")
    assert server.requests("WatchMembers") == []


async def test_f8_an_unknown_target_is_5_and_nothing_is_sent(server: Script) -> None:
    unknown = await server.run("switchover", "--to", "spare3", "--yes")
    assert unknown.code == 5
    assert "host alpha, spare1 beta, spare2 gamma" in unknown.error_lines()[1]
    assert server.requests("Switchover") == []


@pytest.mark.parametrize(
    ("refusal", "hint"),
    [
        (HotspareError(Reason.TARGET_OFFLINE, "no", receiver_id=SPARE_ID), "Start that receiver"),
        (HotspareError(Reason.TARGET_UNHEALTHY, "no", receiver_id=SPARE_ID, problem="main is down"), "(main is down)"),
        (HotspareError(Reason.TARGET_WORKING, "no", receiver_id=SPARE_ID), "it works already"),
        (HotspareError(Reason.MOVE_RUNNING, "no", to=THIRD_ID), f"until {THIRD_ID} works"),
        (HotspareError(Reason.EPOCH_STALE, "no", epoch="7", current_epoch="8"), "decide anew"),
        (HotspareError(Reason.MEMBER_NOT_FOUND, "no", receiver_id=SPARE_ID), "hotspare members"),
    ],
    ids=lambda value: str(getattr(value, "reason", "")),
)
async def test_f8_a_refusal_is_told_with_what_to_do(server: Script, refusal: HotspareError, hint: str) -> None:
    server.answers["Switchover"] = refusal
    refused = await server.run(*TO_BETA)
    assert refused.code == (5 if refusal.reason is Reason.MEMBER_NOT_FOUND else 1)
    assert refused.out == ""
    what, told = refused.error_lines()
    assert what == f"No ({refusal.reason})."
    assert hint in told
    assert len(server.requests("Switchover")) == 1


async def test_f8_to_the_one_that_works_nobody_is_asked_and_the_cloud_refuses(server: Script) -> None:
    server.answers["Switchover"] = HotspareError(Reason.TARGET_WORKING, "it works already", receiver_id=HOST_ID)
    refused = await server.run_on_terminal("switchover", "--to", "host")
    assert refused.code == 1
    assert "Go on?" not in refused.out
    assert "TARGET_WORKING" in refused.out


async def test_f8_a_wish_without_an_answer_is_sent_again_under_its_id(server: Script) -> None:
    answers = iter([HotspareError(Reason.CLOUD_UNREACHABLE, "away"), HotspareError(Reason.STORE_FAILED, "unknown")])
    server.answers["Switchover"] = lambda _request: next(answers, SwitchoverResponse(group=state(HOST_ID).group))
    assert (await server.run(*TO_BETA)).code == 0
    requests = server.requests("Switchover")
    assert len(requests) == 3
    assert len({request.request_id for request in requests}) == 1


async def test_f8_a_wish_that_is_never_answered_may_have_begun(server: Script) -> None:
    async def never(_request: Any) -> Any:
        await asyncio.sleep(60)

    server.answers["Switchover"] = never
    late = await server.run("--timeout", "1", *TO_BETA)
    assert late.code == 3
    assert "may have begun" in late.error_lines()[1]


def told_after_begun(err: str) -> tuple[str, str]:
    """The two lines of the error behind the line that tells of the begin."""
    begun, what, hint = err.splitlines()
    assert begun.endswith("has begun.")
    return what.removeprefix("Error: "), hint.removeprefix("Hint: ")


async def test_f8_when_the_target_is_lost_on_the_way_that_is_told(server: Script) -> None:
    server.answers["WatchMembers"] = watch(state(HOST_ID), state(THIRD_ID, 8, pinned="", offline=SPARE_ID))
    other = await server.run(*TO_BETA)
    assert other.code == 1
    what, hint = told_after_begun(other.err)
    assert what == "spare1 beta did not get the work, for it is offline; spare2 gamma works (epoch 8)."
    assert "hotspare history" in hint


async def test_f8_when_the_pin_ends_on_the_way_that_is_told(server: Script) -> None:
    server.answers["WatchMembers"] = watch(state(HOST_ID), state(HOST_ID, pinned=""))
    what, _ = told_after_begun((await server.run(*TO_BETA)).err)
    assert what == "spare1 beta did not get the work, for its pin has ended; host alpha works (epoch 7)."
    server.answers["WatchMembers"] = watch(state(HOST_ID), state(HOST_ID, pinned=THIRD_ID))
    what, _ = told_after_begun((await server.run(*TO_BETA)).err)
    assert "for spare2 gamma was pinned instead; host alpha works" in what


async def test_f8_the_waiting_is_bounded(server: Script) -> None:
    drain = GroupSettings()
    drain.drain_timeout.FromTimedelta(timedelta(seconds=0.5))
    server.answers["GetGroupSettings"] = GetGroupSettingsResponse(settings=drain)
    server.answers["WatchMembers"] = watch(state(HOST_ID))
    late = await server.run("--timeout", "1", *TO_BETA)
    assert late.code == 3
    what, _ = told_after_begun(late.err)
    assert what == "spare1 beta does not work yet, 1.5 s after it was asked; host alpha works (epoch 7)."


async def test_f8_a_watch_that_breaks_is_opened_again(server: Script) -> None:
    broken = watch(state(HOST_ID), end=HotspareError(Reason.CLOUD_UNREACHABLE, "away"))
    streams = iter([broken, broken])
    server.answers["WatchMembers"] = lambda request: next(streams, watch(state(SPARE_ID, 8)))(request)
    assert (await server.run(*TO_BETA)).code == 0
    assert len(server.requests("WatchMembers")) == 3


async def test_f8_when_the_group_cannot_be_watched_it_is_told_that_the_wish_was_accepted(server: Script) -> None:
    server.answers["WatchMembers"] = HotspareError(Reason.INVALID_CREDENTIALS, "the token was revoked")
    unseen = await server.run(*TO_BETA)
    assert unseen.code == 1
    what, hint = told_after_begun(unseen.err)
    assert what.startswith("The switchover was accepted; whether spare1 beta works could not be seen. The token")
    assert "your token is wrong" in hint


# --- Pause and resume --------------------------------------------------------------------------------------


def pausing(_request: Any) -> PauseFailoverResponse:
    now = Group(paused=True, paused_by="night-shift")
    now.pause_time.FromDatetime(datetime.now(UTC))
    return PauseFailoverResponse(group=now)


async def test_f8_pause_warns_and_asks(server: Script) -> None:
    server.answers["PauseFailover"] = pausing
    declined = await server.run_on_terminal("pause", answer="n\n")
    assert declined.code == 1
    assert "NOBODY TAKES OVER, not even when the working receiver is lost" in " ".join(declined.out.split())
    assert server.calls == []
    done = await server.run_on_terminal("pause", "--reason", "network", answer="y\n")
    assert done.code == 0
    assert re.search(r"Automatic moves are paused since .* \(now\) by night-shift\.", done.out)
    assert [request.detail for request in server.requests("PauseFailover")] == ["network"]


async def test_f8_pause_in_a_script_needs_yes(server: Script) -> None:
    server.answers["PauseFailover"] = pausing
    assert (await server.run("pause")).code == 2
    assert server.calls == []
    data = (await server.run("pause", "--yes", "-o", "json")).json()
    assert data["group"]["paused_by"] == "night-shift"


async def test_f8_resume_tells_what_it_ended(server: Script) -> None:
    before = listed()
    before.group.paused, before.group.paused_by, before.group.pinned_receiver_id = True, "night-shift", SPARE_ID
    before.members[0].held_back = True
    server.answers["ListMembers"] = before
    server.answers["ResumeFailover"] = ResumeFailoverResponse(group=group())
    done = await server.run("resume", "--reason", "done")
    assert done.code == 0
    assert done.out.splitlines() == [
        "Automatic moves are on again. They were paused by night-shift.",
        "spare1 beta is not pinned any more.",
        "host alpha may fail back again; it was held back (losses: 0).",
        "host alpha works now.",
    ]
    assert [request.detail for request in server.requests("ResumeFailover")] == ["done"]


async def test_f8_resume_of_what_is_not_paused_is_refused(server: Script) -> None:
    server.answers["ResumeFailover"] = HotspareError(Reason.NOT_PAUSED, "nothing is paused")
    refused = await server.run("resume")
    assert refused.code == 1
    assert refused.error_lines()[0] == "Nothing is paused (NOT_PAUSED)."
    assert "automatic moves are on" in refused.error_lines()[1]


# --- History -----------------------------------------------------------------------------------------------


def lines(count: int) -> Any:
    """A server with so many lines, newest first, in pages of 4."""

    def answer(request: Any) -> ListTransitionsResponse:
        begin = int(request.page_token.removeprefix("from-") or 0)
        numbers = range(count - begin, max(count - begin - 4, 0), -1)
        page = ListTransitionsResponse(transitions=[Transition(number=n, epoch=n) for n in numbers])
        if begin + 4 < count:
            page.next_page_token = f"from-{begin + 4}"
        return page

    return answer


async def test_f8_the_history_is_told_whole_newest_first(server: Script) -> None:
    server.answers["ListTransitions"] = lines(9)
    told = (await server.run("history", "-o", "json")).json()
    assert [int(line["number"]) for line in told["transitions"]] == list(range(9, 0, -1))
    assert server.requests("ListMembers") == []
    request = server.requests("ListTransitions")[0]
    assert not request.HasField("start_time")
    assert not request.HasField("end_time")
    table = await server.run("history")
    assert [line.split()[6] for line in table.out.splitlines()[1:]] == [str(n) for n in range(9, 0, -1)]


async def test_f8_a_limit_takes_the_newest_and_no_more_pages_than_needed(server: Script) -> None:
    server.answers["ListTransitions"] = lines(20)
    told = (await server.run("history", "--limit", "6", "-o", "json")).json()
    assert [int(line["number"]) for line in told["transitions"]] == [20, 19, 18, 17, 16, 15]
    assert [request.page_size for request in server.requests("ListTransitions")] == [6, 6]


async def test_f8_since_and_until_are_times_or_spans(server: Script) -> None:
    server.answers["ListTransitions"] = ListTransitionsResponse()
    before = datetime.now(UTC)
    shown = await server.run("history", "--since", "2h", "--until", "2099-01-01T01:00:00+01:00")
    assert shown.out == "no history\n"
    (request,) = server.requests("ListTransitions")
    start = timestamp_from_proto(request.start_time)
    assert start is not None
    assert before - timedelta(hours=2) <= start <= datetime.now(UTC) - timedelta(hours=2)
    assert timestamp_from_proto(request.end_time) == datetime(2099, 1, 1, tzinfo=UTC)


async def test_f8_names_stand_in_for_ids(server: Script) -> None:
    move = Transition(
        kind=group_pb2.TRANSITION_KIND_MOVE, reason=group_pb2.TRANSITION_REASON_CONNECTION_LOST, epoch=8,
        from_receiver_id=HOST_ID, from_role=group_pb2.ROLE_HOST,
        to_receiver_id=SPARE_ID, to_role=group_pb2.ROLE_SPARE_1,
    )  # fmt: skip
    move.time.FromDatetime(datetime(2026, 11, 22, 16, 19, 7, tzinfo=UTC))
    move.gap.FromTimedelta(timedelta(seconds=1))
    server.answers["ListTransitions"] = ListTransitionsResponse(transitions=[move])
    shown = await server.run("history")
    assert shown.out.splitlines()[1] == (
        "2026-11-22 16:19:07Z  move  host alpha  spare1 beta  connection lost  -         8      1.0 s          -"
    )


async def test_a_page_token_that_went_bad_is_told(server: Script) -> None:
    server.answers["ListTransitions"] = HotspareError(Reason.PAGE_TOKEN_INVALID, "damaged")
    assert "repeat the command" in (await server.run("history")).error_lines()[1]


# --- As whom -----------------------------------------------------------------------------------------------

EACH = pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (TO_BETA, "Switchover"),
        (("pause", "--yes"), "PauseFailover"),
        (("resume",), "ResumeFailover"),
        (("history",), "ListTransitions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)


@EACH
async def test_s1_who_may_not_is_told_who_may(server: Script, arguments: tuple[str, ...], call: str) -> None:
    server.answers[call] = HotspareError(Reason.CALLER_NOT_ALLOWED, "no", caller="viewer", required="operator")
    refused = await server.run(*arguments)
    assert refused.code == 1
    assert refused.error_lines()[1] == "Use a token of the role operator; this one is of viewer."


@EACH
async def test_v3_a_server_that_does_not_serve_it_yet_is_told(
    server: Script, arguments: tuple[str, ...], call: str
) -> None:
    server.answers.pop(call, None)
    assert (await server.run(*arguments)).error_lines()[0] == f"{server.address} does not serve this call."


@EACH
async def test_g3_a_cloud_that_does_not_take_the_receivers_key_is_told_apart(
    server: Script, arguments: tuple[str, ...], call: str
) -> None:
    server.answers[call] = HotspareError(Reason.INVALID_CREDENTIALS, "no")
    assert "ARC id and key are wrong for its cloud" in (await server.run(*arguments)).error_lines()[1]
