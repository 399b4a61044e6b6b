"""Roles, removals, settings that end the hot spare, versions and the plan of an upgrade."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import group_pb2
from hotspare.v1.receiver_service_pb2 import (
    DisableHotSpareResponse,
    EnableHotSpareResponse,
    ReceiverSettings,
    UpdateSettingsResponse,
)
from hotspare.v1.role_service_pb2 import ListMembersResponse, RemoveMemberResponse
from hotspare.v1.version_service_pb2 import (
    UPGRADE_STEP_NEWER_THAN_HOST,
    UPGRADE_STEP_NONE,
    UPGRADE_STEP_UPGRADE_NOW,
    UPGRADE_STEP_WAIT,
    CheckVersionResponse,
    MemberVersion,
)
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import HOST_ID, SPARE_ID, Script, group, member, scripted_server, secret_file


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def two() -> ListMembersResponse:
    host = member(group_pb2.ROLE_HOST, HOST_ID, "alpha", working=True)
    spare = member(group_pb2.ROLE_SPARE_1, SPARE_ID, "beta")
    spare.status = group_pb2.MEMBER_STATUS_OFFLINE
    return ListMembersResponse(group=group(), members=[host, spare])


# --- Promotion, and a spare that has a configuration -------------------------------------------------------


async def test_g8_a_promotion_tells_what_it_does_and_asks(server: Script) -> None:
    promoted = member(group_pb2.ROLE_HOST, SPARE_ID, "beta")
    promoted.sync_revision = 41
    server.answers["EnableHotSpare"] = EnableHotSpareResponse(member=promoted)
    words = ("enable", "--role", "host", "--promote")
    declined = await server.run_on_terminal(*words, answer="n\n")
    assert declined.code == 1
    assert "the host of before is removed from the group. Go on?" in declined.out
    assert server.calls == []
    done = await server.run(*words, "--yes")
    assert done.out == (
        "beta has the role host now.\n\nIt goes on from its own copy of the configuration, revision 41.\n"
    )
    assert (await server.run(*words, "--yes", "-o", "json")).json()["member"]["role"] == "ROLE_HOST"
    assert all(one.promote and one.role == group_pb2.ROLE_HOST for one in server.requests("EnableHotSpare"))


async def test_x4_a_spare_with_a_configuration_of_its_own_is_asked_before_it_is_replaced(server: Script) -> None:
    def enabling(request: Any) -> Any:
        if not request.confirmed:
            return HotspareError(Reason.CONFIRMATION_REQUIRED, "there is a configuration", clears="3 devices")
        return EnableHotSpareResponse(member=member(group_pb2.ROLE_SPARE_1, SPARE_ID, "beta"))

    server.answers["EnableHotSpare"] = enabling
    refused = await server.run("enable", "--role", "spare1")
    assert (refused.code, refused.error_lines()[1]) == (1, "It would clear: 3 devices. Repeat it with --yes to go on.")
    asked = await server.run_on_terminal("enable", "--role", "spare1", answer="y\n")
    assert asked.code == 0
    assert "replaces by the host's: 3 devices. Go on?" in asked.out
    assert [one.confirmed for one in server.requests("EnableHotSpare")] == [False, False, True]


# --- The end of a role -------------------------------------------------------------------------------------


async def test_x2_disable_tells_what_was_cleared_and_for_whom_it_ended(server: Script) -> None:
    ended = [member(group_pb2.ROLE_SPARE_1, SPARE_ID, "beta")]
    response = DisableHotSpareResponse(cloud_told=True, cleared_records=1204, ended_members=ended)
    server.answers["DisableHotSpare"] = response
    done = await server.run("disable", "--yes")
    assert done.err == ""
    assert "records cleared here: 1,204." in done.out
    assert "The hot spare ended for spare1 beta too" in done.out
    data = (await server.run("disable", "--yes", "-o", "json")).json()
    assert (data["cleared_records"], data["cloud_told"]) == ("1204", True)


async def test_x1_with_the_cloud_unreachable_it_is_told_that_it_will_be_told(server: Script) -> None:
    server.answers["DisableHotSpare"] = DisableHotSpareResponse(cleared_records=2)
    done = await server.run("disable", "--yes", "-o", "json")
    assert done.code == 0
    assert done.json()["cloud_told"] is False
    assert "it will be told as soon as it can be" in done.err


# --- Removal -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["spare1", SPARE_ID, "beta"])
async def test_g8_a_dead_member_is_removed_by_role_id_or_name(server: Script, wanted: str) -> None:
    server.answers |= {"ListMembers": two(), "RemoveMember": RemoveMemberResponse(group=group())}
    done = await server.run("member", "remove", wanted, "--yes")
    assert done.out == "spare1 beta is no member any more.\n\nFree roles  spare2, spare3\n"
    (request,) = server.requests("RemoveMember")
    assert (request.receiver_id, request.force) == (SPARE_ID, False)


async def test_g8_x4_a_removal_tells_what_it_does_and_asks(server: Script) -> None:
    server.answers |= {"ListMembers": two(), "RemoveMember": RemoveMemberResponse(group=group())}
    declined = await server.run_on_terminal("member", "remove", "spare1", answer="n\n")
    assert declined.code == 1
    assert "This removes spare1 beta (offline) from the group, for good" in declined.out
    assert "its copy of the configuration is cleared" in declined.out
    host = await server.run_on_terminal("member", "remove", "host", "--force", answer="y\n")
    assert host.code == 0
    assert "The spares keep their roles, their copies and the work" in host.out
    assert [(one.receiver_id, one.force) for one in server.requests("RemoveMember")] == [(HOST_ID, True)]


async def test_g8_one_that_is_gone_already_is_removed_again_by_its_id_and_not_by_a_name(server: Script) -> None:
    gone = "33333333-3333-4333-8333-333333333333"
    server.answers |= {"ListMembers": two(), "RemoveMember": RemoveMemberResponse(group=group())}
    again = await server.run("member", "remove", gone, "--yes", "-o", "json")
    assert again.code == 0
    assert again.json()["group"]["free_roles"] == ["ROLE_SPARE_2", "ROLE_SPARE_3"]
    assert (await server.run("member", "remove", "gamma", "--yes")).code == 5
    assert [one.receiver_id for one in server.requests("RemoveMember")] == [gone]


async def test_g8_a_member_that_is_connected_stays(server: Script) -> None:
    refusal = HotspareError(Reason.MEMBER_CONNECTED, "beta is connected", receiver_id=SPARE_ID)
    server.answers |= {"ListMembers": two(), "RemoveMember": refusal}
    refused = await server.run("member", "remove", "spare1", "--yes")
    assert refused.code == 1
    assert "hotspare disable" in refused.error_lines()[1]


# --- Settings that end the hot spare -----------------------------------------------------------------------


async def test_x3_another_account_is_asked_for_and_a_second_key_is_not(server: Script, tmp_path: Path) -> None:
    def update(request: Any) -> Any:
        if "arc_id" in request.update_mask.paths and not request.confirmed:
            return HotspareError(Reason.CONFIRMATION_REQUIRED, "this ends the hot spare", clears="8 devices")
        return UpdateSettingsResponse(settings=ReceiverSettings(arc_id="north"))

    server.answers["UpdateSettings"] = update
    key = secret_file(tmp_path / "new.key", "second-key")
    assert (await server.run("settings", "set", "--arc-key-file", str(key))).code == 0
    declined = await server.run_on_terminal("settings", "set", "--arc-id", "south", answer="n\n")
    assert declined.code == 1
    assert "This switches the hot spare off here and clears: 8 devices. Go on?" in declined.out
    assert [one.confirmed for one in server.requests("UpdateSettings")] == [False, False]


# --- Versions ----------------------------------------------------------------------------------------------


def versions() -> CheckVersionResponse:
    host = MemberVersion(receiver_id=HOST_ID, role=group_pb2.ROLE_HOST, software_version="0.1.0")
    host.step, host.detail = UPGRADE_STEP_UPGRADE_NOW, "the cloud has 0.2.0"
    spare = MemberVersion(receiver_id=SPARE_ID, role=group_pb2.ROLE_SPARE_1, software_version="0.1.0")
    spare.step, spare.detail = UPGRADE_STEP_WAIT, "the host comes first"
    return CheckVersionResponse(
        software_version="0.1.0",
        compatible=True,
        cloud_version="0.2.0",
        cloud_step=UPGRADE_STEP_NONE,
        members=[host, spare],
    )


async def test_v2_the_check_tells_for_each_member_what_is_next(server: Script) -> None:
    server.answers["CheckVersion"] = versions()
    shown = await server.run("version", "check")
    assert shown.code == 0
    rows = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert f"host {HOST_ID} 0.1.0 upgrade now the cloud has 0.2.0" in rows
    assert f"spare1 {SPARE_ID} 0.1.0 wait the host comes first" in rows
    assert "Cloud 0.2.0, nothing to do" in rows
    assert (await server.run("version")).out == shown.out, "alone it is the check"
    assert (await server.run("version", "-o", "json")).json() == (
        await server.run("version", "check", "-o", "json")
    ).json()


async def test_v2_the_plan_tells_the_order_and_what_is_next_in_words(server: Script) -> None:
    server.answers |= {"CheckVersion": versions(), "ListMembers": two()}
    shown = await server.run("upgrade", "plan")
    assert shown.code == 0
    rows = [" ".join(line.split()) for line in shown.out.splitlines()]
    start = rows.index("1 the cloud 0.2.0 nothing to do -")
    assert rows[start + 1] == "2 host alpha 0.1.0 upgrade now the cloud has 0.2.0"
    assert rows[start + 2] == "3 spare1 beta 0.1.0 wait the host comes first"
    assert shown.out.endswith("Next\nUpgrade host alpha (0.1.0).\nThen: spare1 beta.\n")
    data = (await server.run("upgrade", "plan", "-o", "json")).json()
    assert [one["step"] for one in data["members"]] == ["UPGRADE_STEP_UPGRADE_NOW", "UPGRADE_STEP_WAIT"]


async def test_v2_a_spare_that_is_newer_than_its_host_is_told_so_and_when_nothing_is_left(server: Script) -> None:
    answer = versions()
    answer.members[0].step = UPGRADE_STEP_NONE
    answer.members[1].step, answer.members[1].software_version = UPGRADE_STEP_NEWER_THAN_HOST, "0.3.0"
    server.answers |= {"CheckVersion": answer, "ListMembers": two()}
    shown = await server.run("upgrade", "plan")
    assert "spare1 beta (0.3.0) is newer than the host: upgrade the host, or take it back." in shown.out
    answer.members[1].step = UPGRADE_STEP_NONE
    assert (await server.run("upgrade", "plan")).out.endswith("Nothing: all have versions that go together.\n")


async def test_v2_without_the_cloud_there_is_no_plan(server: Script) -> None:
    server.answers["CheckVersion"] = CheckVersionResponse(software_version="0.1.0", compatible=True)
    refused = await server.run("upgrade", "plan")
    assert refused.code == 3
    assert "hotspare status" in refused.error_lines()[1]
