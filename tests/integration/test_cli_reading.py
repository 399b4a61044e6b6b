"""Reading commands against a real server: their forms, their pages, what they ask and as whom."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import ParseDict

from hotspare.v1 import group_pb2
from hotspare.v1.alarm_feed_service_pb2 import GetAlarmResponse, ListAlarmsResponse
from hotspare.v1.alarm_pb2 import ALARM_STATE_SET_ASIDE, Alarm, AlarmRecord, StoredAlarm
from hotspare.v1.configuration_service_pb2 import GetDeviceResponse, ListDevicesResponse
from hotspare.v1.receiver_service_pb2 import (
    GetSettingsResponse,
    ListOutputsResponse,
    ListTokensResponse,
    ReceiverSettings,
)
from hotspare.v1.record_pb2 import Device
from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare.v1.token_pb2 import TOKEN_ROLE_ADMIN, Token
from hotspare.v1.version_service_pb2 import COMPONENT_RECEIVER, CheckVersionResponse
from tests.integration.test_cli_support import (
    HOST_ID,
    SPARE_ID,
    TOKEN,
    Script,
    group,
    host_status,
    member,
    scripted_server,
)

ALARM_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def pages(response: Any, field: str, items: list[Any], size: int) -> Any:
    """Answers a list call with pages of that size; a token that was never given is a defect of the caller."""

    def answer(request: Any) -> Any:
        begin = int(request.page_token.removeprefix("from-") or 0)
        page = type(response)()
        page.CopyFrom(response)
        getattr(page, field).extend(items[begin : begin + size])
        if begin + size < len(items):
            page.next_page_token = f"from-{begin + size}"
        return page

    return answer


async def test_status_is_one_screen_with_everything_that_a_technician_asks(server: Script) -> None:
    server.answers["GetStatus"] = host_status()
    shown = await server.run("status")
    assert shown.code == 0
    assert shown.err == ""
    for expected in ("alpha", HOST_ID, "epoch 7, 4.2 s remaining", "127.0.0.1:7443, connected", "2 waiting"):
        assert expected in shown.out
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["main", "sia-dc09", "127.0.0.1:5000", "yes", "up"] in [row[:5] for row in rows]
    assert ["*", "host", HOST_ID, "alpha", "working", "7"] in [row[:6] for row in rows]
    assert ["spare1", SPARE_ID, "beta", "standby", "-"] in [row[:5] for row in rows]
    advice = ["Advice", "- Two members are on one machine.", "  hotspare history tells more."]
    assert shown.out.splitlines()[-4:] == [*advice, "- The group has no second spare."]
    assert len(shown.out.splitlines()) < 40


async def test_s1_calls_carry_the_token_of_the_file(server: Script) -> None:
    server.answers["GetStatus"] = host_status()
    assert (await server.run("status")).code == 0
    assert server.calls[0].metadata["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("form", ["json", "yaml"])
async def test_status_as_data_is_the_whole_response(server: Script, form: str) -> None:
    response = host_status()
    server.answers["GetStatus"] = response
    shown = await server.run("status", "-o", form)
    data = yaml.safe_load(shown.out)
    assert ParseDict(data, type(response)()) == response
    assert data["status"]["lease"] == {"epoch": "7", "remaining": "4.200s", "beats_sent": "0", "beats_missed": "0"}
    assert data["status"]["members"][1]["is_self"] is False


async def test_on_a_terminal_there_are_colours_and_with_no_color_there_are_none(server: Script) -> None:
    server.answers["GetStatus"] = host_status()
    shown = await server.run_on_terminal("status")
    assert shown.code == 0
    assert "\x1b[32mworking" in shown.out
    quiet = await server.run_on_terminal("status", environment={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", quiet.out)
    assert HOST_ID in quiet.out


async def test_no_id_is_cut_on_a_narrow_terminal(server: Script) -> None:
    server.answers["GetStatus"] = host_status()
    shown = await server.run_on_terminal("status", environment={"COLUMNS": "60", "NO_COLOR": "1"})
    assert "…" not in shown.out
    assert SPARE_ID in shown.out


async def test_g6_members_are_listed_with_free_roles_and_warnings(server: Script) -> None:
    members = [
        member(group_pb2.ROLE_HOST, HOST_ID, "alpha", working=True),
        member(group_pb2.ROLE_SPARE_1, SPARE_ID, "beta"),
    ]
    server.answers["ListMembers"] = ListMembersResponse(group=group(), members=members)
    shown = await server.run("members")
    assert shown.code == 0
    assert "Free roles  spare2, spare3" in shown.out
    assert "two members are on one machine" in shown.out
    assert len([line for line in shown.out.splitlines() if line.startswith("*")]) == 1


async def test_pages_are_followed_into_one_response_and_single_fields_stay_single(server: Script) -> None:
    members = [member(group_pb2.ROLE_SPARE_1, f"id-{number}", f"r{number}") for number in range(5)]
    server.answers["ListMembers"] = pages(ListMembersResponse(group=group()), "members", members, 2)
    data = (await server.run("members", "-o", "json")).json()
    assert [one["receiver"]["receiver_id"] for one in data["members"]] == [f"id-{n}" for n in range(5)]
    assert data["group"]["free_roles"] == ["ROLE_SPARE_2", "ROLE_SPARE_3"]
    assert data["group"]["warnings"] == ["two members are on one machine"]
    assert "next_page_token" not in data
    assert [request.page_token for request in server.requests("ListMembers")] == ["", "from-2", "from-4"]


async def test_devices_are_listed_over_all_pages_with_their_filters(server: Script) -> None:
    devices = [Device(device_id=f"panel-{number}", account_number="1234") for number in range(7)]
    server.answers["ListDevices"] = pages(ListDevicesResponse(total_count=7), "devices", devices, 3)
    shown = await server.run("device", "list", "--account", "1234", "--text", "panel", "-o", "json")
    data = shown.json()
    assert [one["device_id"] for one in data["devices"]] == [f"panel-{n}" for n in range(7)]
    assert data["total_count"] == "7"
    assert {(one.account_number, one.text) for one in server.requests("ListDevices")} == {("1234", "panel")}


async def test_a_server_whose_pages_go_in_a_circle_does_not_hold_the_command_up(server: Script) -> None:
    server.answers["ListDevices"] = ListDevicesResponse(next_page_token="again")
    shown = await server.run("device", "list")
    assert shown.code == 1
    assert "same page" in shown.error_lines()[0]


async def test_alarms_are_listed_up_to_a_limit(server: Script) -> None:
    alarms = [AlarmRecord(stored=StoredAlarm(number=number)) for number in range(9, 0, -1)]
    server.answers["ListAlarms"] = pages(ListAlarmsResponse(), "alarms", alarms, 4)
    shown = await server.run(
        "alarm", "list", "--state", "set-aside", "--device", "panel-1", "--limit", "6", "-o", "json"
    )
    assert [one["stored"]["number"] for one in shown.json()["alarms"]] == ["9", "8", "7", "6", "5", "4"]
    first = server.requests("ListAlarms")[0]
    assert (first.state, first.device_id, first.page_size) == (ALARM_STATE_SET_ASIDE, "panel-1", 6)
    assert len(server.requests("ListAlarms")) == 2
    everything = await server.run("alarm", "list")
    assert [line.split()[0] for line in everything.out.splitlines()[1:]] == [str(n) for n in range(9, 0, -1)]


@pytest.mark.parametrize(("key", "field"), [("12", "number"), (ALARM_ID.upper(), "alarm_id")])
async def test_a8_an_alarm_is_found_by_number_or_id(server: Script, key: str, field: str) -> None:
    record = AlarmRecord(stored=StoredAlarm(number=12, alarm=Alarm(alarm_id=ALARM_ID, code="130")))
    server.answers["GetAlarm"] = GetAlarmResponse(alarm=record)
    shown = await server.run("alarm", "show", key)
    assert shown.code == 0
    assert ALARM_ID in shown.out
    (request,) = server.requests("GetAlarm")
    assert request.WhichOneof("key") == field
    assert str(getattr(request, field)) == key.lower()


async def test_the_other_reading_commands(server: Script) -> None:
    server.answers |= {
        "GetSettings": GetSettingsResponse(settings=ReceiverSettings(name="alpha", arc_key_set=True)),
        "ListOutputs": ListOutputsResponse(outputs=host_status().status.outputs),
        "GetDevice": GetDeviceResponse(device=Device(device_id="panel-1", account_number="1234")),
        "ListTokens": ListTokensResponse(tokens=[Token(name="admin", role=TOKEN_ROLE_ADMIN)]),
    }
    settings = await server.run("settings", "show")
    assert re.search(r"^ARC key +set$", settings.out, re.MULTILINE)
    assert "main  sia-dc09" in (await server.run("output", "list")).out
    assert (await server.run("device", "show", "panel-1", "-o", "json")).json()["device"]["disabled"] is False
    assert "admin  admin  valid" in (await server.run("token", "list")).out


async def test_version_is_open_to_all_and_tells_both_sides(server: Script) -> None:
    answer = CheckVersionResponse(
        software_version="0.1.0", component=COMPONENT_RECEIVER, contract_major=1, compatible=True
    )
    server.answers["CheckVersion"] = answer
    shown = await server.run("version", "check", environment={"HOTSPARE_SERVER": server.address})
    assert shown.code == 0
    assert "0.1.0 (receiver, contract v1)" in shown.out
    assert "authorization" not in server.calls[0].metadata
    assert server.calls[0].request.software_version
    answer.compatible, answer.detail = False, "Upgrade the command."
    refused = await server.run("version", "-o", "json")
    assert refused.code == 1
    assert refused.json()["compatible"] is False
    assert refused.error_lines()[1] == "Upgrade the command."
    assert server.calls[1].metadata["authorization"] == f"Bearer {TOKEN}"
