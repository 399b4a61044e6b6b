"""`call` and `describe` against a real server, by what it tells of itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotspare.v1.alarm_service_pb2 import PublishAlarmResponse, PublishAlarmsResponse
from hotspare.v1.role_service_pb2 import (
    ListTransitionsResponse,
    WatchMembersRequest,
    WatchMembersResponse,
)
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import (
    TOKEN,
    Script,
    finish,
    group,
    host_status,
    run_inside,
    scripted_server,
    secret_file,
    start_cli,
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


async def test_a_method_is_called_by_its_name_with_json_and_answered_with_json(server: Script) -> None:
    server.answers["ListTransitions"] = ListTransitionsResponse(next_page_token="more")
    request = '{"page_size": 3, "start_time": "2026-11-22T16:04:26Z"}'
    called = await server.run_inside("call", "RoleService/ListTransitions", "-d", request)
    assert called.err == ""
    assert json.loads(called.out) == {"transitions": [], "next_page_token": "more"}
    (asked,) = server.requests("ListTransitions")
    assert (asked.page_size, asked.start_time.ToJsonString()) == (3, "2026-11-22T16:04:26Z")
    assert server.calls[-1].metadata["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("name", ["hotspare.v1.ReceiverService/GetStatus", "/ReceiverService/GetStatus"])
async def test_a_name_may_be_written_in_several_ways_and_the_answer_as_yaml(server: Script, name: str) -> None:
    server.answers["GetStatus"] = host_status()
    called = await server.run_inside("call", name, "-o", "yaml")
    assert yaml.safe_load(called.out)["status"]["receiver"]["name"] == "alpha"


async def test_a_stream_of_answers_is_a_line_each_and_ends_by_limit(server: Script) -> None:
    async def states(_request: WatchMembersRequest) -> AsyncIterator[WatchMembersResponse]:
        for _ in range(3):
            yield WatchMembersResponse(group=group())
        await asyncio.sleep(60)

    server.answers["WatchMembers"] = states
    called = await server.run_inside("call", "RoleService/WatchMembers", "--limit", "2")
    assert called.code == 0
    assert [json.loads(line)["group"]["epoch"] for line in called.out.splitlines()] == ["7", "7"]


async def answered(requests: Any) -> AsyncIterator[PublishAlarmsResponse]:
    async for request in requests:
        yield PublishAlarmsResponse(batch=request.batch)


async def test_a_stream_of_requests_is_sent_as_it_is_typed(server: Script) -> None:
    server.answers["PublishAlarms"] = answered
    environment = server.environment()
    process = await start_cli("call", "AlarmService/PublishAlarms", "-d", "-", environment=environment, stdin=True)
    assert process.stdin is not None
    assert process.stdout is not None
    for batch in ("1", "2"):
        # Spread over lines, as people write it; the answer comes before the next one is typed.
        process.stdin.write(f'{{"batch":\n "{batch}"}}\n'.encode())
        await process.stdin.drain()
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert json.loads(line)["batch"] == batch
    process.stdin.close()
    done = await finish(process)
    assert (done.code, done.out, done.err) == (0, "", "")


async def test_requests_of_a_stream_stand_one_behind_the_other_in_a_file(server: Script, tmp_path: Path) -> None:
    server.answers["PublishAlarms"] = answered
    file = tmp_path / "requests.json"
    file.write_text('{"batch": 1}\n{"batch": 2}')
    called = await server.run_inside("call", "AlarmService/PublishAlarms", "-d", f"@{file}")
    assert [json.loads(line)["batch"] for line in called.out.splitlines()] == ["1", "2"]


async def test_errors_are_those_of_all_commands(server: Script) -> None:
    server.answers["Switchover"] = HotspareError(Reason.TARGET_OFFLINE, "it is offline")
    refused = await server.run_inside("call", "RoleService/Switchover", "-d", '{"receiver_id": "x"}')
    assert refused.code == 1
    assert refused.err.splitlines()[0] == "Error: It is offline (TARGET_OFFLINE)."
    assert refused.err.splitlines()[1].startswith("Hint: Start that receiver")
    gone = await server.run_inside("--timeout", "2", "--server", "127.0.0.1:1", "call", "RoleService/Switchover")
    assert gone.code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["Nothing/Here"], 5, "RoleService"),
        (["RoleService/Nothing"], 5, "ListMembers"),
        (["RoleService"], 2, "SERVICE/METHOD"),
        (["RoleService/ListMembers", "-d", "{"], 2, "no JSON"),
        (["RoleService/ListMembers", "-d", "[]"], 2, "JSON object"),
        (["RoleService/ListMembers", "-d", '{"cats": 1}'], 2, "hotspare describe RoleService/ListMembers"),
        (["RoleService/ListMembers", "-d", '{"page_size": "x"}'], 2, "no ListMembersRequest"),
        (["RoleService/ListMembers", "-d", "{} {}"], 2, "one request, not 2"),
        (["RoleService/ListMembers", "--limit", "1"], 2, "one response"),
        (["ReceiverService/UpdateSettings", "-d", '{"settings": {"arc_key": "x"}}'], 2, "arc_key is a secret"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_what_is_wrong_is_told_before_anything_is_called(
    server: Script, arguments: list[str], code: int, told: str
) -> None:
    refused = await server.run_inside("call", *arguments)
    assert refused.code == code
    assert told in refused.err
    assert "Traceback" not in refused.err
    assert server.calls == []


async def test_a_device_and_a_receiver_call_with_their_keys(server: Script, tmp_path: Path) -> None:
    server.answers["PublishAlarm"] = PublishAlarmResponse()
    server.answers["JoinGroup"] = HotspareError(Reason.HOST_MISSING, "no host")
    key = secret_file(tmp_path / "key", "k3y")
    environment = {"HOTSPARE_SERVER": server.address}
    by_device = ("call", "AlarmService/PublishAlarm", "--as-device", "north/panel-1", "--key-file", str(key))
    assert (await run_inside(*by_device, environment=environment)).code == 0
    sent = server.calls[-1].metadata
    assert (sent["hotspare-arc-id"], sent["hotspare-device-id"], sent["hotspare-device-key"]) == (
        "north",
        "panel-1",
        "k3y",
    )
    by_receiver = ("call", "RoleService/JoinGroup", "--as-receiver", "north/r-1", "--key-file", str(key))
    assert (await run_inside(*by_receiver, environment=environment)).code == 1
    sent = server.calls[-1].metadata
    assert (sent["hotspare-arc-key"], sent["hotspare-receiver-id"]) == ("k3y", "r-1")
    assert "authorization" not in sent


async def test_describe_tells_all_services_one_of_them_a_method_a_message_and_an_enum(server: Script) -> None:
    environment = {"HOTSPARE_SERVER": server.address}

    async def told(*arguments: str) -> str:
        result = await run_inside("describe", *arguments, environment=environment)
        assert (result.code, result.err) == (0, "")
        return result.out

    every = await told()
    rows = [line.split() for line in every.splitlines()]
    assert ["ReceiverService", "WatchStatus", "WatchStatusRequest", "stream", "WatchStatusResponse"] in rows
    assert "ServerReflection" in every
    assert ["RoleService", "ListMembers", "ListMembersRequest", "ListMembersResponse"] in [
        line.split() for line in (await told("RoleService")).splitlines()
    ]
    method = await told("RoleService/ListTransitions")
    assert "Method  hotspare.v1.RoleService/ListTransitions" in method
    assert ["page_size", "uint32", "3"] in [line.split() for line in method.splitlines()]
    pattern = method.splitlines()[-1].partition(" -d ")[2].strip("'")
    server.answers["ListTransitions"] = ListTransitionsResponse()
    assert (await server.run_inside("call", "RoleService/ListTransitions", "-d", pattern)).code == 0, (
        "the pattern is a request"
    )
    assert ["epoch", "uint64", "9", "optional"] in [line.split() for line in (await told("Member")).splitlines()]
    assert ["ROLE_SPARE_1", "2"] in [line.split() for line in (await told("hotspare.v1.Role")).splitlines()]
    assert json.loads(await told("Role", "-o", "json"))["value"][1]["name"] == "ROLE_HOST"
    missing = await run_inside("describe", "Cats", environment=environment)
    assert missing.code == 5
    assert "RoleService" in missing.err
