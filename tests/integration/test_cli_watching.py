"""`status --watch`, `--exit-code` and `doctor` against a real server."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotspare.v1.group_pb2 import MEMBER_STATUS_OFFLINE, TRANSITION_KIND_MOVE, Transition
from hotspare.v1.receiver_service_pb2 import (
    GetSettingsResponse,
    GetStatusResponse,
    ReceiverSettings,
    WatchStatusRequest,
    WatchStatusResponse,
)
from hotspare.v1.role_service_pb2 import GetGroupSettingsResponse, ListMembersResponse, ListTransitionsResponse
from hotspare.v1.version_service_pb2 import COMPONENT_CLOUD, COMPONENT_RECEIVER, CheckVersionResponse
from hotspare_cli.layout import Lines
from hotspare_cli.options import Target
from hotspare_cli.redraw import Redrawn
from hotspare_cli.session import ask
from hotspare_cli.watching import Moment, follow
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings
from hotspare_rpc.address import parse_address
from hotspare_rpc.tls import ServerTls
from hotspare_rpc.version import SOFTWARE_VERSION
from hotspare_rpc.wire import group_settings_to_proto
from tests.integration.test_cli_support import (
    HOST_ID,
    SPARE_ID,
    Result,
    Script,
    host_status,
    run_inside,
    scripted_server,
    start_cli,
)
from tests.integration.test_rpc_support import Authority


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def sound() -> GetStatusResponse:
    response = host_status()
    del response.status.advice[:]
    del response.status.group.warnings[:]
    response.status.health.disk_free_bytes = 10**12
    return response


# --- status ------------------------------------------------------------------------------------------------


async def test_the_exit_code_tells_a_script_whether_somebody_has_to_act(server: Script) -> None:
    server.answers["GetStatus"] = sound()
    assert (await server.run_inside("status", "--exit-code")).code == 0
    noted = sound()
    noted.status.group.paused = True
    server.answers["GetStatus"] = noted
    assert (await server.run_inside("status", "--exit-code")).code == 0, "good to know is no reason to wake anybody"
    ill = sound()
    ill.status.members[1].status = MEMBER_STATUS_OFFLINE
    server.answers["GetStatus"] = ill
    shown = await server.run_inside("status", "--exit-code", "-o", "json")
    assert shown.code == 4
    assert json.loads(shown.out)["status"]["members"][1]["status"] == "MEMBER_STATUS_OFFLINE"
    assert (await server.run_inside("status")).code == 0
    assert (await server.run_inside("status", "--exit-code", "--watch")).code == 2


async def test_f8_the_last_moves_stand_on_the_screen_and_are_no_reason_to_fail(server: Script) -> None:
    server.answers["GetStatus"] = sound()
    move = Transition(kind=TRANSITION_KIND_MOVE, from_receiver_id=SPARE_ID, to_receiver_id=HOST_ID, epoch=7)
    server.answers["ListTransitions"] = ListTransitionsResponse(transitions=[move])
    shown = (await server.run_inside("status")).out
    assert ["-", "move", "beta", "alpha"] in [line.split()[:4] for line in shown.splitlines()]
    server.answers["ListTransitions"] = HotspareError(Reason.CLOUD_UNREACHABLE, "gone")
    without = await server.run_inside("status")
    assert without.code == 0
    assert "Last moves\nnot known" in without.out
    calls = len(server.requests("ListTransitions"))
    gone = sound()
    gone.status.cloud.connected = False
    server.answers["GetStatus"] = gone
    assert (await server.run_inside("status")).code == 0
    assert len(server.requests("ListTransitions")) == calls, "a cloud that is not there is not waited for"


def states(*epochs: int, then: Callable[[], Any] | None = None) -> Callable[[WatchStatusRequest], AsyncIterator[Any]]:
    async def stream(_request: WatchStatusRequest) -> AsyncIterator[WatchStatusResponse]:
        for epoch in epochs:
            response = sound()
            response.status.group.epoch = epoch
            yield WatchStatusResponse(status=response.status)
        if then is not None:
            then()
        await asyncio.sleep(60)

    return stream


async def test_watched_as_json_each_state_is_one_line_until_it_is_interrupted(server: Script) -> None:
    server.answers["WatchStatus"] = states(7, 8)
    process = await start_cli("status", "--watch", "-o", "json", environment=server.environment())
    assert process.stdout is not None
    lines = [await asyncio.wait_for(process.stdout.readline(), 20) for _ in range(2)]
    assert [json.loads(line)["status"]["group"]["epoch"] for line in lines] == ["7", "8"]
    process.send_signal(2)
    assert await asyncio.wait_for(process.wait(), 20) == 130


async def test_a_watch_that_breaks_is_opened_again_and_tells_meanwhile_that_it_is_from_before(server: Script) -> None:
    def breaks() -> None:
        server.answers["WatchStatus"] = states(8)
        raise HotspareError(Reason.SHUTTING_DOWN, "the server is stopping")

    server.answers["WatchStatus"] = states(7, then=breaks)
    told: list[Moment] = []

    class Enough(Exception):
        pass

    def tell(moment: Moment) -> None:
        told.append(moment)
        if moment.status.group.epoch == 8:
            raise Enough

    target = Target(parse_address(server.address), server.token_file(), None, None, None, 5.0)
    with pytest.raises(Enough):
        await asyncio.to_thread(
            ask, target, lambda session: follow(session, tell, with_moves=False, steady=False), metadata=()
        )
    seen = [(moment.status.group.epoch, moment.problem) for moment in told]
    assert seen == [(7, ""), (7, "The server is stopping (SHUTTING_DOWN)."), (8, "")]


async def test_a_watch_that_is_refused_ends_as_every_command_does(server: Script) -> None:
    server.answers["WatchStatus"] = HotspareError(Reason.INVALID_CREDENTIALS, "not taken")
    assert (await server.run_inside("status", "--watch")).code == 1
    away = await server.run_inside("--timeout", "2", "--server", "127.0.0.1:1", "status", "--watch")
    assert away.code == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_drawing_takes_the_place_of_the_one_before_and_the_last_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "3")
    monkeypatch.setenv("TERM", "xterm")
    with Redrawn() as drawn:
        drawn.draw([Lines(("first",))])
        drawn.draw([Lines(("second", "b", "c", "d"))])
        inside = screen.getvalue()
    assert inside.startswith("\x1b[?1049h")
    assert inside.count("\x1b[H") == 2
    assert "d" not in inside.rpartition("\x1b[H")[2].replace("second", ""), "as many lines as there is room for"
    after = screen.getvalue()[len(inside) :]
    assert "\x1b[?1049l" in after
    assert after.rpartition("\x1b[?1049l")[2].split() == ["second", "b", "c", "d"]


def test_without_a_terminal_each_drawing_follows_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    with Redrawn() as drawn:
        drawn.draw([Lines(("first",))])
        drawn.draw([Lines(("second",))])
    assert capsys.readouterr().out == "first\n---\nsecond\n"


# --- doctor ------------------------------------------------------------------------------------------------


def answer_all(server: Script, cloud: str) -> None:
    response = sound()
    response.status.cloud.address = cloud
    server.answers["GetStatus"] = response
    server.answers["GetSettings"] = GetSettingsResponse(settings=ReceiverSettings(cloud_address=cloud))
    server.answers["GetGroupSettings"] = GetGroupSettingsResponse(settings=group_settings_to_proto(GroupSettings()))
    server.answers["CheckVersion"] = CheckVersionResponse(
        software_version=SOFTWARE_VERSION, component=COMPONENT_RECEIVER, compatible=True, cloud_version=SOFTWARE_VERSION
    )


def verdicts(result: Result) -> dict[str, str]:
    whole = json.loads(result.out)
    assert whole["sound"] == (result.code == 0)
    assert result.code in (0, 4)
    return {check["name"]: check["verdict"] for check in whole["checks"]}


async def test_of_a_sound_receiver_every_check_is_fine(server: Script) -> None:
    answer_all(server, server.address)
    shown = await server.run_inside("doctor")
    assert shown.code == 0
    assert shown.out.splitlines()[-1] == "All 16 checks are fine."
    checks = verdicts(await server.run_inside("doctor", "-o", "json"))
    before = ["server name", "server port", "token", "cloud name", "cloud port"]
    assert list(checks) == [*before, *list(checks)[5:-1], "settings"]
    assert set(checks.values()) == {"fine"}
    as_yaml = yaml.safe_load((await server.run_inside("doctor", "-o", "yaml")).out)
    assert as_yaml["sound"] is True


async def test_a_server_that_is_not_there_is_told_by_the_step_that_failed(server: Script) -> None:
    port = await server.run_inside("--server", "127.0.0.1:1", "doctor", "-o", "json")
    assert verdicts(port) == {
        "server name": "fine",
        "server port": "wrong",
        "token": "skipped",
        "all else": "skipped",
    }
    assert "Connection refused" in port.out
    name = await server.run_inside("--timeout", "5", "--server", "receiver.invalid:7001", "doctor", "-o", "json")
    assert verdicts(name)["server name"] == "wrong"
    assert server.calls == []


async def test_a_token_that_is_not_taken_or_missing_is_told_as_such(server: Script) -> None:
    answer_all(server, server.address)
    server.answers["GetStatus"] = HotspareError(Reason.INVALID_CREDENTIALS, "not taken")
    refused = await server.run_inside("doctor", "-o", "json")
    assert verdicts(refused)["token"] == "wrong"
    assert "admin.token" in refused.out
    missing = await run_inside("doctor", "-o", "json", environment={"HOTSPARE_SERVER": server.address})
    assert verdicts(missing)["token"] == "wrong"
    server.answers["CheckVersion"] = CheckVersionResponse(component=COMPONENT_CLOUD, compatible=True)
    cloud = await server.run_inside("doctor", "-o", "json")
    assert verdicts(cloud)["server"] == "wrong"
    assert "is no receiver" in cloud.out
    assert (await run_inside("doctor", environment={})).code == 2


async def test_a_cloud_that_is_not_there_is_seen_from_the_machine_of_the_receiver(server: Script) -> None:
    answer_all(server, "127.0.0.1:1")
    server.answers["GetGroupSettings"] = HotspareError(Reason.CLOUD_UNREACHABLE, "gone")
    response = server.answers["GetStatus"]
    assert isinstance(response, GetStatusResponse)
    response.status.cloud.connected = False
    checks = verdicts(await server.run_inside("doctor", "-o", "json"))
    assert (checks["cloud port"], checks["cloud"], checks["settings"]) == ("wrong", "wrong", "skipped")


async def test_s3_certificates_are_looked_at(tmp_path: Path) -> None:
    ours, theirs = Authority.make("Ours"), Authority.make("Theirs")
    cert, key = tmp_path / "server.crt", tmp_path / "server.key"
    for path, pem in zip((cert, key), ours.issue("s"), strict=True):
        path.write_bytes(pem)
    trusted, stranger = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    trusted.write_bytes(ours.pem)
    stranger.write_bytes(theirs.pem)
    async with scripted_server(tmp_path, ServerTls(cert, key)) as server:
        answer_all(server, "127.0.0.1:1")
        seen = await server.run_inside("--tls-ca", str(trusted), "doctor", "-o", "json")
        told = next(check for check in json.loads(seen.out)["checks"] if check["name"] == "server certificate")
        assert told["verdict"] in ("fine", "watch", "wrong")
        assert "ends at" in told["told"], "it is trusted, and its end is told"
        assert "127.0.0.1" in told["told"]
        strange = await server.run_inside("--tls-ca", str(stranger), "doctor", "-o", "json")
        assert verdicts(strange)["server certificate"] == "wrong"
        assert "it is not trusted" in strange.out
        clear = await server.run_inside("--timeout", "3", "doctor", "-o", "json")
        assert verdicts(clear)["server"] == "wrong"
        assert "wants TLS" in clear.out
    async with scripted_server(tmp_path) as plain:
        none = await plain.run_inside("--tls-ca", str(trusted), "doctor", "-o", "json")
        assert verdicts(none)["server certificate"] == "wrong"
        assert "no TLS with" in none.out


async def test_what_waits_at_the_cloud_is_asked_of_it_just_now(server: Script) -> None:
    """A receiver is told the group at changes alone: what waited then may have gone long since."""
    old = sound()
    old.status.group.backlog = 3
    old.status.group.backlog_oldest_time.FromDatetime(datetime.now(UTC) - timedelta(hours=2))
    old.status.group_time.FromDatetime(datetime.now(UTC) - timedelta(hours=1))
    server.answers["GetStatus"] = old
    before = await server.run_inside("status", "--exit-code")
    assert (before.code, "3 alarms" in before.out) == (4, True), "the cloud does not tell: what is known is told"
    now = ListMembersResponse(group=old.status.group, members=old.status.members)
    now.group.backlog = 0
    now.group.ClearField("backlog_oldest_time")
    server.answers["ListMembers"] = now
    shown = await server.run_inside("status", "--exit-code")
    assert (shown.code, "Waiting at the cloud  no alarms" in shown.out) == (0, True)
    assert "Group, as told now" in shown.out
    as_json = (await server.run_inside("status", "-o", "json")).json()
    assert as_json["status"]["group"]["backlog"] == "0"
