"""`--watch` of commands that read, pipes that close, and calls that last."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1.receiver_service_pb2 import ListOutputsResponse
from hotspare_cli import repeated
from hotspare_cli.layout import Lines
from hotspare_cli.options import OutputForm, Target
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.address import parse_address
from tests.integration.test_cli_support import Script, finish, run_cli, run_on_terminal, scripted_server, start_cli
from tests.integration.test_cli_support import _command as command_line
from tests.integration.test_rpc_support import wait_until


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def outputs(*names: str) -> ListOutputsResponse:
    response = ListOutputsResponse()
    for name in names:
        response.outputs.add(name=name)
    return response


async def test_watched_as_json_each_change_is_a_line_until_it_is_interrupted(server: Script) -> None:
    server.answers["ListOutputs"] = outputs("a")
    watching = await start_cli("output", "list", "--watch", "-o", "json", environment=server.environment())
    assert watching.stdout is not None
    first = await asyncio.wait_for(watching.stdout.readline(), 20)
    server.answers["ListOutputs"] = outputs("a", "b")
    second = await asyncio.wait_for(watching.stdout.readline(), 20)
    assert [len(json.loads(line)["outputs"]) for line in (first, second)] == [1, 2]
    watching.send_signal(signal.SIGINT)
    ended = await finish(watching)
    assert (ended.code, ended.out) == (130, "")
    assert "Traceback" not in ended.err


class Enough(Exception):
    """Ends a watch."""


async def test_a_connection_that_breaks_is_told_once_and_tried_again(
    server: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repeated, "INTERVAL", 0.01)
    gone = HotspareError(Reason.CLOUD_UNREACHABLE, "the cloud is gone")
    answers: list[Any] = [outputs("a"), gone, gone, outputs("a"), outputs("b"), Enough()]

    async def look(session: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Enough):
            raise answer
        server.answers["ListOutputs"] = answer
        return await session.call(session.receiver.ListOutputs, repeated_request())

    def view(response: Any) -> Any:
        return (Lines(tuple(one.name for one in response.outputs)),)

    target = Target(parse_address(server.address), server.token_file(), None, None, None, 10.0)
    with pytest.raises(Enough):
        await asyncio.to_thread(repeated.show, target, look, view, OutputForm.TABLE, watch=True)
    told = capsys.readouterr().out.split("---\n")
    assert [part.splitlines()[-1] for part in told] == ["a", "a", "a", "b"]
    assert "This is the state from before" in told[1]


def repeated_request() -> Any:
    from hotspare.v1.receiver_service_pb2 import ListOutputsRequest

    return ListOutputsRequest()


async def test_a_refusal_ends_a_watch_as_it_ends_every_command(server: Script) -> None:
    server.answers["ListOutputs"] = HotspareError(Reason.INVALID_CREDENTIALS, "not taken")
    refused = await server.run_inside("output", "list", "--watch")
    assert refused.code == 1
    assert "admin.token" in refused.error_lines()[1]


WATCHED = {
    ("members",): "ListMembers",
    ("history",): "ListTransitions",
    ("backup", "show"): "GetBackup",
    ("alarm", "list"): "ListAlarms",
    ("alarm", "rejected"): "ListQueue",
    ("output", "list"): "ListOutputs",
}


@pytest.mark.full
async def test_every_command_that_can_be_watched_asks_again_and_again(server: Script) -> None:
    from hotspare.v1.alarm_feed_service_pb2 import ListAlarmsResponse
    from hotspare.v1.alarm_pull_service_pb2 import ListQueueResponse
    from hotspare.v1.backup_service_pb2 import GetBackupResponse
    from hotspare.v1.role_service_pb2 import ListMembersResponse, ListTransitionsResponse

    server.answers |= {
        "ListMembers": ListMembersResponse(),
        "ListTransitions": ListTransitionsResponse(),
        "GetBackup": GetBackupResponse(),
        "ListAlarms": ListAlarmsResponse(),
        "ListQueue": ListQueueResponse(),
        "ListOutputs": ListOutputsResponse(),
    }
    every = [await start_cli(*words, "--watch", environment=server.environment()) for words in WATCHED]
    # `history` asks for the members, too.
    await wait_until(
        lambda: all(len(server.requests(call)) >= (4 if call == "ListMembers" else 2) for call in WATCHED.values()), 40
    )
    for watching in every:
        watching.send_signal(signal.SIGINT)
    assert {(await finish(watching)).code for watching in every} == {130}


def test_a_pipe_that_closes_ends_a_command_as_it_ends_all_others() -> None:
    environment = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent"}
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        command_line(["completion", "bash"]), stdout=writing, stderr=subprocess.PIPE, env=environment, timeout=30
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.full
async def test_a_call_that_lasts_is_told_of_on_a_terminal_and_nowhere_else(server: Script) -> None:
    async def slow(_request: Any) -> Any:
        await asyncio.sleep(3.5)
        return ListOutputsResponse()

    server.answers["ListOutputs"] = slow
    on_terminal, piped = await asyncio.gather(server.run_on_terminal("output", "list"), server.run("output", "list"))
    assert f"Waiting for {server.address}: [" in on_terminal.out
    assert "3 s of at most 10 s" in on_terminal.out
    assert "\r\x1b[K\x1b[2mno outputs: hotspare output add NAME …" in on_terminal.out, "the line is gone before"
    assert (piped.out, piped.err) == ("no outputs: hotspare output add NAME …\n", "")


def shows(number: int, text: str) -> bool:
    """Whether an alarm of that number has a row."""
    return re.search(rf"^{number}\b", text, re.MULTILINE) is not None


@pytest.mark.full
async def test_on_a_terminal_a_long_list_ends_with_the_newest_and_tells_so_and_a_pipe_gets_all(server: Script) -> None:
    from hotspare.v1.alarm_feed_service_pb2 import ListAlarmsRequest, ListAlarmsResponse

    def page(request: ListAlarmsRequest) -> ListAlarmsResponse:
        start = int(request.page_token or 1000)
        response = ListAlarmsResponse(next_page_token=str(start - 60) if start > 700 else "")
        for number in range(start, start - 60, -1):
            response.alarms.add().stored.number = number
        return response

    server.answers["ListAlarms"] = page
    shown = await server.run_on_terminal("alarm", "list")
    assert "Only the newest 100 are shown" in shown.out
    assert (shows(901, shown.out), shows(900, shown.out)) == (True, False)
    assert len(server.requests("ListAlarms")) == 2
    piped = await server.run("alarm", "list")
    assert (len(piped.out.splitlines()), "newest" in piped.out) == (361, False)
    told = await server.run_on_terminal("alarm", "list", "--limit", "150")
    assert (shows(851, told.out), "newest" in told.out) == (True, False)


@pytest.mark.full
async def test_x4_a_question_names_the_server_and_its_context(server: Script, tmp_path: Path) -> None:
    asked = await server.run_on_terminal("token", "revoke", "old", answer="n\n")
    assert f"{server.address}: This revokes the token old" in asked.out
    where = {"XDG_CONFIG_HOME": str(tmp_path)}
    added = await run_cli("context", "add", "alpha", "--server", server.address, environment=where)
    assert added.code == 0
    own = {**where, "HOTSPARE_TOKEN_FILE": str(server.token_file())}
    by_context = await run_on_terminal("token", "revoke", "old", answer="n\n", environment=own)
    assert f"alpha, {server.address}: This revokes the token old" in by_context.out
    assert server.calls == []
