"""What a technician asks at night, of real servers: what is wrong and what to do, any method, contexts."""

import json
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1.group_pb2 import MEMBER_STATUS_OFFLINE
from hotspare.v1.role_service_pb2 import ListMembersResponse
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Result, run
from tests.acceptance.harness.system import Receiver, System

pytestmark = pytest.mark.full

NO_ANSWER, NOT_HEALTHY = 3, 4


@pytest.fixture(scope="module")
def group(system: System) -> System:
    """A cloud, a host and a spare; one device."""
    system.start_group(("host", "spare1"))
    system.device("panel-1", "1234")
    system.await_working("host")
    return system


@pytest.fixture(scope="module")
def host(group: System) -> Receiver:
    return group.receivers["host"]


@pytest.fixture(scope="module")
def spare(group: System) -> Receiver:
    return group.receivers["spare1"]


def checks(result: Result) -> dict[str, str]:
    """What doctor found, by the name of the check; the worst of each."""
    worst = ("wrong", "watch", "skipped", "fine")
    found: dict[str, str] = {}
    for check in json.loads(result.stdout)["checks"]:
        found[check["name"]] = min(found.get(check["name"], "fine"), check["verdict"], key=worst.index)
    return found


def test_a_sound_group_is_told_as_such_and_needs_nobody(host: Receiver) -> None:
    until(
        lambda: parsed(host.cli("members", "-o", "json"), ListMembersResponse).members[1].sync_revision, 10, "in sync"
    )
    result = host.cli("status", "--exit-code")
    assert result.stdout.partition("\n")[0].endswith("; nothing is wrong")
    assert result.stdout.endswith("\nAdvice\nNothing is wrong.\n")
    assert "\nLast moves\n" in result.stdout
    found = checks(host.cli("doctor", "-o", "json"))
    assert set(found.values()) == {"fine"}
    assert {"cloud name", "cloud port", "token", "settings", "clock", "disk"} <= set(found)


def test_every_method_of_receiver_and_cloud_is_reached_by_its_name(group: System, host: Receiver) -> None:
    called = json.loads(host.cli("call", "RoleService/ListMembers").stdout)
    listed = json.loads(host.cli("members", "-o", "json").stdout)
    ids = [member["receiver"]["receiver_id"] for member in listed["members"]]
    assert [member["receiver"]["receiver_id"] for member in called["members"]] == ids
    watched = host.cli("call", "ReceiverService/WatchStatus", "--limit", "1").stdout.splitlines()
    assert [json.loads(line)["status"]["receiver"]["name"] for line in watched] == ["host"]
    refused = host.cli("call", "ReceiverService/CreateToken", "-d", '{"name": "x"}', fail=True)
    assert refused.stderr.startswith("Error: ")
    assert "Hint: " in refused.stderr

    cloud = ["--server", group.cloud.grpc]
    health: dict[str, Any] = json.loads(run(["hotspare", *cloud, "call", "grpc.health.v1.Health/Check"]).stdout)
    assert health == {"status": "SERVING"}
    services = run(["hotspare", *cloud, "describe"]).stdout
    assert "AccountService" in services
    assert "ReceiverService" not in services, "a server tells what it serves itself"


def test_a_context_stands_for_server_and_token(host: Receiver, spare: Receiver, tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    for name, receiver in (("a", host), ("b", spare)):
        run(
            ["hotspare", "context", "add", name, "--server", receiver.grpc, "--token-file", str(receiver.token)],
            env=env,
        )
    for words, name in (((), "host"), (("--context", "b"), "spare1")):
        answer = json.loads(run(["hotspare", *words, "status", "-o", "json"], env=env).stdout)
        assert answer["status"]["receiver"]["name"] == name
    assert host.token.read_text().strip() not in (tmp_path / "hotspare" / "contexts.json").read_text()


def test_f3_a_dead_host_is_told_by_the_spare_with_what_to_do(group: System, host: Receiver, spare: Receiver) -> None:
    host.kill()
    group.await_working("spare1")

    def offline() -> bool:
        members = parsed(spare.cli("members", "-o", "json"), ListMembersResponse).members
        return members[0].status == MEMBER_STATUS_OFFLINE

    until(offline, 15, "the host is offline")
    result = spare.cli("status", "--exit-code", fail=True)
    assert result.status == NOT_HEALTHY
    assert result.stdout.startswith("In short       spare1 spare1 works since")
    assert "! host host is offline" in result.stdout
    assert "connection lost" in result.stdout, "the last moves tell how it came"
    examined = spare.cli("doctor", "-o", "json", fail=True)
    assert examined.status == NOT_HEALTHY
    assert checks(examined)["roles"] == "wrong"
    assert host.cli("status", "--exit-code", fail=True).status == NO_ANSWER
    dead = host.cli("doctor", "-o", "json", fail=True)
    assert (dead.status, checks(dead)["server port"]) == (NOT_HEALTHY, "wrong")


def test_without_its_cloud_a_receiver_still_tells_what_is_wrong(group: System, spare: Receiver) -> None:
    group.cloud.kill()
    until(lambda: spare.cli("status", "--exit-code", fail=True).stdout.find("has not been connected") > 0, 15, "told")
    shown = spare.cli("status", fail=False).stdout
    assert "worked, as the cloud told it last" in shown
    assert "Last moves\nnot known" in shown
    assert "is offline" not in shown, "what the cloud told before is no news"
    found = checks(spare.cli("doctor", "-o", "json", fail=True))
    assert (found["cloud port"], found["cloud"], found["ARC key"], found["settings"]) == (
        "wrong",
        "wrong",
        "skipped",
        "skipped",
    )
    group.cloud.start()
    group.cloud.serving()
    host = group.receivers["host"]
    host.start()
    host.serving()
    group.await_working("host", 40)
