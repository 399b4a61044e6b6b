"""Switching off, replacing a machine, and another key, under a stream of alarms (X1 to X4, G8). All by the commands."""

import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from hotspare.v1 import group_pb2
from hotspare.v1.configuration_service_pb2 import ListDevicesResponse
from hotspare.v1.receiver_service_pb2 import DisableHotSpareResponse, GetStatusResponse
from hotspare.v1.role_service_pb2 import ListMembersResponse, ListTransitionsResponse
from tests.acceptance.conftest import Teller
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.moves import attends, flows
from tests.acceptance.harness.panels import Stream
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import run
from tests.acceptance.harness.system import ARC_ID, FLOW, Receiver, System
from tests.proof.facts import Verb

pytestmark = pytest.mark.full

RATE = 20.0
"""Alarms a second of each device."""
PANELS = 3
NO_GAP = 1.0
"""Seconds; far below what any loss of a receiver costs, and generous for a busy machine."""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[System]:
    """An empty system, judged at its end."""
    with System(tmp_path) as system:
        yield system
        system.judge()


def started(group: System, *roles: str) -> None:
    """Have a group with these roles, and a few devices that all of its receivers know."""
    group.start_group(roles, sinks=True)
    for index in range(PANELS):
        group.panel(f"panel-{index}", f"C{index:03d}")
    group.await_working("host")
    for role in roles:
        knows_devices(group.receivers[role], PANELS)


def devices(receiver: Receiver) -> int:
    return len(parsed(receiver.cli("device", "list", "-o", "json"), ListDevicesResponse).devices)


def knows_devices(receiver: Receiver, count: int) -> None:
    """Wait until a receiver's configuration has so many devices."""
    until(lambda: devices(receiver) == count, FLOW, lambda: f"{receiver.name} has {count}, not {devices(receiver)}")


def members(receiver: Receiver) -> ListMembersResponse:
    return parsed(receiver.cli("members", "-o", "json"), ListMembersResponse)


def role_of(receiver: Receiver) -> int:
    return parsed(receiver.cli("status", "-o", "json"), GetStatusResponse).status.role


def disable(receiver: Receiver) -> DisableHotSpareResponse:
    return parsed(receiver.cli("disable", "--yes", "-o", "json"), DisableHotSpareResponse)


def longest_gap(group: System, begin: float, end: float) -> float:
    """The longest time between two alarms at any ARC."""
    times = sorted(each.at for each in group.book.all() if begin <= each.at <= end)
    return max(later - earlier for earlier, later in pairwise([begin, *times, end]))


def test_x1_x2_switching_off_clears_the_spares_also_the_one_that_is_away_and_the_host_goes_on_alone(
    group: System,
) -> None:
    started(group, "host", "spare1", "spare2", "spare3")
    host, spare1, spare2, spare3 = group.receivers.values()
    spare2.kill()
    with Stream(group.panels, RATE):
        flows(group, "host")
        group.records.operated(Verb.SWITCHOVER, "spare3")
        host.cli("switchover", "--to", "spare3", "--yes")
        flows(group, "spare3")
        # X1, and it works.
        left = disable(spare3)
        assert (left.cloud_told, left.cleared_records >= PANELS) == (True, True)
        assert (role_of(spare3), devices(spare3)) == (group_pb2.ROLE_UNSPECIFIED, 0)
        flows(group, "host")
        assert [row.role for row in members(host).members if row.role] == [
            group_pb2.ROLE_HOST,
            group_pb2.ROLE_SPARE_1,
            group_pb2.ROLE_SPARE_2,
        ]
        # X2, with spare 2 away.
        ended = disable(host)
        assert (ended.cloud_told, ended.cleared_records) == (True, 0)
        assert sorted(row.role for row in ended.ended_members) == [group_pb2.ROLE_SPARE_1, group_pb2.ROLE_SPARE_2]
        knows_devices(spare1, 0)
        assert role_of(spare1) == group_pb2.ROLE_UNSPECIFIED
        assert devices(host) == PANELS
        assert any(len(arc.received) for arc in group.arcs.values())
        spare2.start()
        spare2.serving()
        knows_devices(spare2, 0)
        assert role_of(spare2) == group_pb2.ROLE_UNSPECIFIED
    group.settle()
    # The cloud's copy stays: a machine without one takes it over.
    table = host.cli("backup", "show").stdout
    assert str(PANELS) in table
    for role in ("spare1", "spare2", "spare3"):
        outputs = group.receivers[role].cli("output", "list").stdout
        assert "arc" in outputs, "X4: outputs stay"


def test_x2_without_the_cloud_the_host_leaves_at_once_and_the_spares_clear_when_the_cloud_is_told(
    group: System,
) -> None:
    started(group, "host", "spare1")
    host, spare = group.receivers.values()
    group.cloud.signal(signal.SIGTERM)
    group.cloud.wait()
    left = disable(host)
    assert not left.cloud_told
    assert (role_of(host), devices(host)) == (group_pb2.ROLE_UNSPECIFIED, PANELS)
    assert (role_of(spare), devices(spare)) == (group_pb2.ROLE_SPARE_1, PANELS)
    group.cloud.start()
    group.cloud.serving()
    knows_devices(spare, 0)
    assert role_of(spare) == group_pb2.ROLE_UNSPECIFIED
    until(lambda: not [row for row in members(host).members if row.role], FLOW, "the cloud knows")
    group.settle()


def test_x3_a_key_is_rotated_under_a_stream_of_alarms_without_a_gap(group: System, tell: Teller) -> None:
    started(group, "host", "spare1")
    data, new = group.folder / "cloud", group.folder / "new.key"
    epoch, moves = group.epoch(), group.moves()
    with Stream(group.panels, RATE):
        flows(group, "host", 50)
        began = time.monotonic()
        run(["hotspare-cloud", "account", "rotate-key", ARC_ID, "--data", data, "--overlap", "1h", "--key-out", new])
        assert all(row.uses_old_key for row in members(group.receivers["host"]).members)
        for receiver in group.receivers.values():
            receiver.cli("settings", "set", "--arc-key-file", new)
        told = members(group.receivers["host"]).members
        assert not [row.receiver.name for row in told if row.uses_old_key]
        run(["hotspare-cloud", "account", "end-rotation", ARC_ID, "--data", data])
        flows(group, "host", 50)
        gap = longest_gap(group, began, time.monotonic())
        tell(f"rotation under {RATE * PANELS:g} alarms/s: longest gap {gap:.3f} s")
    assert gap < NO_GAP
    assert (group.epoch(), group.moves()) == (epoch, moves), "nobody moved"
    assert all(attends(group, role) for role in group.receivers)
    assert not group.settle().duplicates


def test_g8_a_dead_host_is_replaced_by_a_spare_that_is_promoted_and_a_new_machine(group: System) -> None:
    started(group, "host", "spare1")
    host, spare = group.receivers.values()
    with Stream(group.panels, RATE):
        flows(group, "host")
        host.kill()
        flows(group, "spare1")
        epoch = group.epoch()
        spare.cli("enable", "--role", "host", "--promote", "--yes")
        assert role_of(spare) == group_pb2.ROLE_HOST
        flows(group, "spare1", 30)
        assert group.epoch() == epoch, "the work goes on where it is"
        # It is the source of the configuration now.
        group.device("panel-new", "C0FF", host=spare)
        assert devices(spare) == PANELS + 1
        new = group.start_receiver("new")
        new.serving()
        group.arcs["new"] = group.sink("new")
        group.tell_cloud(new)
        new.cli("output", "add", "arc", "--kind", "sia-dc09", "--address", group.arcs["new"].address)
        new.cli("enable", "--role", "spare1")
        knows_devices(new, PANELS + 1)
        # The dead one comes back: it has no role any more, and takes no work.
        host.start()
        host.serving()
        until(lambda: role_of(host) == group_pb2.ROLE_UNSPECIFIED, FLOW, "it is told that it was removed")
        flows(group, "spare1", 30)
        assert group.epoch() == epoch
    lines = parsed(spare.cli("history", "-o", "json"), ListTransitionsResponse).transitions
    removed = [line for line in lines if line.kind == group_pb2.TRANSITION_KIND_MEMBER_REMOVED]
    assert [line.operator_name for line in removed] == ["admin"]
    group.settle()


def test_x3_an_uninstalled_spare_is_gone_and_its_folder_keeps_what_is_its_own(group: System) -> None:
    started(group, "host", "spare1")
    host, spare = group.receivers.values()
    command: list[str | Path] = ["hotspare-receiver", "uninstall", "--data", spare.data, "--yes"]
    refused = run(command, fail=True)
    assert refused.status == 1
    assert "stop it first" in refused.stderr
    spare.signal(signal.SIGTERM)
    assert spare.wait() == 0
    done = run(command)
    assert "rm -r" in done.stdout
    assert [row.role for row in members(host).members if row.role] == [group_pb2.ROLE_HOST]
    spare.start()
    spare.serving()
    assert (role_of(spare), devices(spare)) == (group_pb2.ROLE_UNSPECIFIED, 0)
    assert "arc" in spare.cli("output", "list").stdout
    group.settle()
