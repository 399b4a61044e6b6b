"""A rolling upgrade of servers that run, under a stream of alarms: cloud, host, then the spares one by one (V1, V2).

The second release is the same tree, which names itself so; see hotspare_rpc/version.py.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotspare.v1 import backup_pb2, group_pb2
from hotspare_rpc.version import SOFTWARE_VERSION
from tests.acceptance.conftest import Teller
from tests.acceptance.harness.moves import FAILBACK, flows
from tests.acceptance.harness.panels import Stream
from tests.acceptance.harness.polling import holds, until
from tests.acceptance.harness.system import ROLES, System
from tests.acceptance.harness.upgrades import as_release, checked, members_of, status_of, steps, stop, upgrade

OLD, NEW = SOFTWARE_VERSION, "99.1.0"
RATE = 10.0
"""Alarms a second of each device."""
SYNC = 15.0
"""Seconds until a copy is there, on a busy machine; B3 and B4 say 4."""


@pytest.fixture
def group(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[System]:
    """A group of the roles of the parameter, whose spares have the configuration of the host."""
    with System(tmp_path) as group:
        group.start_group(request.param)
        group.set_group(losses_per_hour=100, failback_delay="2s", sync_interval="5s")
        for index in range(2):
            group.panel(f"panel-{index}", f"D{index:03d}")
        for role in group.receivers:
            await_copy(group, role, 2)
        yield group
        group.judge()


def copy_of(group: System, role: str) -> backup_pb2.BackupTable:
    """The copy of the configuration at a receiver."""
    return status_of(group.receivers[role]).backup


def devices_at(group: System, role: str) -> int:
    """How many devices a receiver has in its copy."""
    return next(int(row.count) for row in copy_of(group, role).rows if row.name == "devices")


def sync_state(group: System, role: str) -> group_pb2.SyncState.ValueType:
    """How a receiver says that its copy stands."""
    return status_of(group.receivers[role]).sync_state


def digests(table: backup_pb2.BackupTable) -> list[tuple[int, bytes]]:
    """What two equal copies have in common, by kind."""
    return [(row.count, row.sha256) for row in table.rows]


def await_copy(group: System, role: str, devices: int) -> None:
    """Wait until a receiver has the host's configuration, of so many devices."""
    until(lambda: devices_at(group, role) == devices, SYNC, lambda: f"{devices} devices at {role}")
    until(lambda: sync_state(group, role) == group_pb2.SYNC_STATE_UP_TO_DATE, SYNC, f"{role} is up to date")
    assert digests(copy_of(group, role)) == digests(copy_of(group, "host")), "B5"


def await_steps(group: System, *expected: str, by: str = "host") -> None:
    """Wait until this is next for cloud, host and spares."""
    receiver = group.receivers[by]
    until(lambda: steps(receiver) == list(expected), SYNC, lambda: f"{expected}, not {checked(receiver)}")


def differ(group: System, spares: list[str]) -> bool:
    """Whether all these spares say, at the cloud and themselves, that their version differs, with both versions."""
    told = [member for member in members_of(group.receivers["host"]).members if member.receiver.name in spares]
    return all(
        member.sync_state == group_pb2.SYNC_STATE_VERSION_DIFFERS
        and OLD in member.sync_detail
        and NEW in member.sync_detail
        for member in told
    ) and all(sync_state(group, spare) == group_pb2.SYNC_STATE_VERSION_DIFFERS for spare in spares)


def upgrade_the_host(group: System, spares: list[str], tell: Teller) -> None:
    """Stop, hand-over, start, failback; it works again while the spares are of the old release."""
    before = {spare: copy_of(group, spare) for spare in spares}
    host = group.receivers["host"]
    stop(host)
    group.await_working("spare1")
    flows(group, "spare1")
    as_release(host, NEW)
    host.start()
    started = time.monotonic()
    host.serving()
    group.await_working("host", FAILBACK)
    tell(f"the upgraded host works again {time.monotonic() - started:.1f} s after its start, the spares of old release")
    until(lambda: differ(group, spares), SYNC, lambda: f"the spares' versions differ: {members_of(host).members}")
    # V1: nothing of the copies changes now, whatever is edited on the host.
    group.device("late", "D900")
    until(lambda: members_of(host).members[0].sync_state == group_pb2.SYNC_STATE_UP_TO_DATE, SYNC, "the cloud has it")
    holds(lambda: all(copy_of(group, spare).rows[0].count == 2 for spare in spares), 2, "the spares keep their copies")
    for spare in spares:
        kept = copy_of(group, spare)
        assert (kept.revision, digests(kept)) == (before[spare].revision, digests(before[spare]))
    assert host.cli("device", "list").stdout.count("late") == 1


def stand_in(group: System) -> None:
    """V1: a spare of another release can still work, with the copy that it has."""
    host = group.receivers["host"]
    stop(host)
    group.await_working("spare1")
    flows(group, "spare1")
    host.start()
    host.serving()
    group.await_working("host", FAILBACK)


@pytest.mark.parametrize(
    "group", [("host", "spare1"), pytest.param(ROLES, marks=pytest.mark.full)], indirect=True, ids=["two", "four"]
)
def test_v1_v2_a_rolling_upgrade_under_a_stream_of_alarms_loses_nothing(group: System, tell: Teller) -> None:
    host, *spares = group.receivers
    rest = ["WAIT"] * (len(spares) - 1)
    before, epoch = group.balance().duplicates, group.epoch()
    await_steps(group, "NONE", "NONE", *("NONE" for _ in spares))
    with Stream(group.panels, RATE):
        flows(group, host)
        upgrade(group.cloud, NEW)
        await_steps(group, "NONE", "UPGRADE_NOW", "WAIT", *rest)
        assert checked(group.receivers[host]).cloud_version == NEW
        group.await_working(host)
        assert group.epoch() == epoch, "F11"

        upgrade_the_host(group, spares, tell)
        await_steps(group, "NONE", "NONE", "UPGRADE_NOW", *rest)
        if len(spares) > 1:
            stand_in(group)
            await_steps(group, "NONE", "NONE", "UPGRADE_NOW", *rest)

        for done, spare in enumerate(spares):
            behind = len(spares) - done - 1
            stop(group.receivers[spare])
            # Nobody else may go while it is away.
            await_steps(group, "NONE", "NONE", *["NONE"] * done, "UPGRADE_NOW", *["WAIT"] * behind)
            as_release(group.receivers[spare], NEW)
            group.receivers[spare].start()
            group.receivers[spare].serving()
            await_copy(group, spare, 3)
            following = ["UPGRADE_NOW", *["WAIT"] * (behind - 1)] if behind else []
            await_steps(group, "NONE", "NONE", *["NONE"] * (done + 1), *following, by=spare)
        flows(group, host)
    result = group.settle()
    assert result.duplicates == before, "all moves were planned"
    assert group.working() == host


@pytest.mark.full
@pytest.mark.parametrize("group", [("host", "spare1")], indirect=True, ids=["two"])
def test_v1_v2_a_spare_upgraded_first_is_told_that_it_is_newer_and_can_be_taken_back(group: System) -> None:
    spare = group.receivers["spare1"]
    upgrade(spare, NEW)
    await_steps(group, "UPGRADE_NOW", "WAIT", "NEWER_THAN_HOST")
    assert NEW in checked(spare).members[1].detail
    group.device("late", "D900")
    until(lambda: sync_state(group, "spare1") == group_pb2.SYNC_STATE_VERSION_DIFFERS, SYNC, "its version differs")
    assert devices_at(group, "spare1") == 2
    upgrade(spare, OLD)
    await_copy(group, "spare1", 3)
    await_steps(group, "NONE", "NONE", "NONE")
