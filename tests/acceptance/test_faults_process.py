"""What can go wrong with the processes themselves, under a stream of alarms.

Kills and stops that run in `make test` are in test_failover.py. Each test begins and ends with the group at rest and
the host at work, so they run in any order.
"""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Teller
from tests.acceptance.harness.book import WINDOW
from tests.acceptance.harness.moves import (
    TAKE_OVER,
    at_rest,
    attends,
    first_new,
    first_of,
    flows,
    in_time,
    quiet_since,
    silent_after_lease,
)
from tests.acceptance.harness.panels import Panel, Stream
from tests.acceptance.harness.polling import holds, until
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.system import Receiver, System

pytestmark = pytest.mark.full

RATE = 8.0
"""Alarms a second of each device."""
LEASE, BEAT, RESTART_GRACE = 6.0, 1.0, 3.0
HOUR = 3600.0


@pytest.fixture(scope="module")
def started(system: System) -> System:
    """A host and two spares that obey faults, and four devices. No ARC looks at a clock."""
    system.start_group(("host", "spare1", "spare2"), faulty=True, sinks=True)
    system.set_group(losses_per_hour=100, failback_delay="3s", unhealthy_after="4s")
    for index in range(4):
        system.panel(f"panel-{index}", f"F{index:03d}")
    return system


@pytest.fixture
def group(started: System) -> Iterator[System]:
    """All well, and the host works; so it is again at the end."""
    at_rest(started)
    yield started
    at_rest(started)


@pytest.fixture
def quiet(group: System) -> Panel:
    """A device that has nothing in flight: it is in no stream."""
    return group.panels[-1]


@pytest.fixture
def busy(group: System, quiet: Panel) -> list[Panel]:
    """All the others."""
    return [panel for panel in group.panels if panel is not quiet]


def test_f3_f7_a_loop_stuck_in_python_loses_the_work_though_its_sockets_are_fine(
    group: System, busy: list[Panel], quiet: Panel, tell: Teller
) -> None:
    before = group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        at = group.receivers["host"].fault(stall=9)
        quiet_since(at)
        with Stream([quiet], RATE):
            took = first_new(group, "spare1", at + 2).at - at
            tell(f"host stuck in Python: spare1 gave its ARC a new alarm after {took:.2f} s")
            assert in_time(group, took)
        until(lambda: time.monotonic() > at + 9, 15, "it runs again")
        group.records.disturbed("host", "stuck in Python", at)
        until(lambda: attends(group, "host"), 15, "it attends again")
        silent_after_lease(group, "host", at, time.monotonic())
        group.await_working("host", 30)
    result = group.settle()
    assert result.duplicates - before <= WINDOW
    assert group.receivers["host"].is_running


def test_f3_a_stuck_forwarder_loses_the_work_though_its_beats_go_on(
    group: System, busy: list[Panel], tell: Teller
) -> None:
    host, moves = group.receivers["host"], group.moves()
    before = group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        at = host.fault(stuck=True)
        try:
            took = first_new(group, "spare1", at, 40).at - at
            tell(f"the forwarder of the host stuck: spare1 gave its ARC a new alarm after {took:.2f} s")
            assert group.moves() == moves | {"unhealthy": moves.get("unhealthy", 0) + 1}
            holds(lambda: group.working() == "spare1", 3, "it gets the work back only once it is well")
        finally:
            host.fault(stuck=False)
        group.await_working("host", 45)
        flows(group, "host")
    assert group.settle().duplicates == before, "it had not begun with any of them"


def test_f6_a_loss_of_the_successor_during_the_hold_of_the_first(
    group: System, busy: list[Panel], quiet: Panel, tell: Teller
) -> None:
    """Two holds at a time, each with its own end; what both had in hand comes to the third."""
    before = group.balance().duplicates
    first, second = busy[:1], busy[1:]
    for role in ("host", "spare1"):
        group.arcs[role].delay = 0.25
    with Stream(first, RATE):
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 5, 20, "alarms pile up at the host")
        killed = group.receivers["host"].kill()
    with Stream(second, RATE):
        first_new(group, "spare1", killed)
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 5, 20, "alarms pile up at spare 1")
        again = group.receivers["spare1"].kill()
    assert again < killed + LEASE - BEAT, "the hold of the first had not ended"
    with Stream([quiet], RATE):
        took = first_new(group, "spare2", again).at - again
        tell(f"host and spare1 killed one after the other: spare2 gave its ARC a new alarm after {took:.2f} s")
        assert in_time(group, took)
        until(lambda: first_of(group, "spare2", first, again), 20, "what the first had comes")
        until(lambda: first_of(group, "spare2", second, again), 20, "what the second had comes")
    for panels, lost in ((first, killed), (second, again)):
        came = first_of(group, "spare2", panels, again)
        assert came is not None
        tell(f"what was in hand came {came.at - lost:.2f} s after its loss")
        assert came.at - lost > LEASE - BEAT - 0.5, "the lease could not have run out"
    result = group.settle()
    assert result.duplicates - before <= 2 * WINDOW


def test_f11_the_cloud_killed_during_a_hold_keeps_it_and_moves_nobody(
    group: System, busy: list[Panel], tell: Teller
) -> None:
    slow, before = group.arcs["host"], group.balance().duplicates
    slow.delay = 0.25
    with Stream(busy, RATE):
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 20, 20, "alarms pile up at the host")
    group.receivers["host"].kill()
    group.await_working("spare1", TAKE_OVER)
    epoch, held = group.epoch(), group.page().value("hotspare_cloud_alarms_held")
    assert held > 0
    group.cloud.kill()
    group.cloud.start()
    group.cloud.serving()
    serves = time.monotonic()
    assert group.page().value("hotspare_cloud_alarms_held") == held, "the hold and what it holds are as they were"
    until(lambda: attends(group, "spare1") and attends(group, "spare2"), 10, "both are back")
    back = time.monotonic() - serves
    tell(f"the cloud killed during a hold: receivers are back {back:.2f} s after it serves")
    assert back < 2
    holds(lambda: (group.working(), group.epoch()) == ("spare1", epoch), RESTART_GRACE + 1, "nobody is moved")
    came = until(lambda: first_of(group, "spare1", busy, serves), 20, "what was held comes")
    assert came is not None
    tell(f"what was held came {came.at - serves:.2f} s after it serves")
    assert came.at - group.cloud.started > LEASE, "a hold counts anew from the start of the cloud"
    result = group.settle()
    assert result.duplicates - before <= WINDOW
    assert group.moves() == {}


def test_f11_a_cloud_that_is_away_longer_than_the_lease_moves_nobody(
    group: System, busy: list[Panel], tell: Teller
) -> None:
    """The working one stops by itself, keeps its epoch, and goes on."""
    slow, before, epoch = group.arcs["host"], group.balance().duplicates, group.epoch()
    slow.delay = 0.25
    with Stream(busy, RATE):
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 40, 20, "alarms pile up at the host")
    lost = group.cloud.kill()
    until(lambda: time.monotonic() > lost + LEASE + 2, 15, "longer than the lease")
    group.cloud.start()
    group.cloud.serving()
    serves = time.monotonic()
    silent_after_lease(group, "host", lost, serves)
    until(lambda: all(attends(group, role) for role in group.receivers), 10, "all are back")
    back = time.monotonic() - serves
    tell(f"the cloud was away for {serves - lost:.1f} s: receivers are back {back:.2f} s after it serves")
    assert back < 2
    slow.delay = 0.0
    result = group.settle()
    assert (group.working(), group.epoch(), group.moves()) == ("host", epoch, {})
    assert result.duplicates == before


@pytest.mark.parametrize("hours", [5, -5])
@pytest.mark.parametrize("whose", ["cloud", "host"])
def test_a_wall_clock_that_jumps_by_hours_moves_nobody_and_holds_up_nothing(
    group: System, busy: list[Panel], whose: str, hours: int
) -> None:
    server: Server = group.cloud if whose == "cloud" else group.receivers[whose]
    epoch, moves, before = group.epoch(), group.moves(), group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        server.fault(jump=hours * HOUR)
        try:
            holds(lambda: (group.working(), group.epoch()) == ("host", epoch), 4, "nobody is moved")
            flows(group, "host")
        finally:
            server.fault(jump=0)
        holds(lambda: (group.working(), group.epoch()) == ("host", epoch), 2, "nobody is moved")
        flows(group, "host")
    assert group.settle().duplicates == before
    assert group.moves() == moves


@pytest.mark.parametrize("hours", [5, -5])
def test_a_loss_is_found_as_quickly_when_the_clouds_wall_clock_has_jumped(
    group: System, busy: list[Panel], quiet: Panel, hours: int, tell: Teller
) -> None:
    group.cloud.fault(jump=hours * HOUR)
    try:
        with Stream(busy, RATE):
            flows(group, "host")
            at = group.receivers["host"].kill()
            with Stream([quiet], RATE):
                took = first_new(group, "spare1", at).at - at
        tell(f"host killed, the cloud's clock off by {hours} h: spare1 gave its ARC a new alarm after {took:.2f} s")
        assert in_time(group, took)
        group.settle()
    finally:
        group.cloud.fault(jump=0)


@pytest.mark.parametrize("machine", ["the-same", "another"])
def test_a_second_process_with_a_copied_data_folder_is_refused_and_the_first_works_on(
    group: System, busy: list[Panel], machine: str
) -> None:
    host = group.receivers["host"]
    data = group.folder / f"copy-{machine}"
    epoch, moves, before = group.epoch(), group.moves(), group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        copy_live(host, data)
        machine_id = "machine-host" if machine == "the-same" else "another-machine"
        copy = group.start_receiver(f"copy-{machine}", data=data, machine=machine_id)
        try:
            copy.serving()
            until(lambda: "MACHINE_MISMATCH" in copy.log(), 10, lambda: f"it is refused and says so:\n{copy.log()}")
            holds(lambda: (group.working(), group.epoch()) == ("host", epoch), 3, "nobody is moved")
            flows(group, "host")
            assert copy.is_running
            told = host.cli("history", "-o", "json").stdout
            assert "DUPLICATE_REFUSED" in told, "an operator is told"
        finally:
            copy.destroy()
    assert group.settle().duplicates == before
    assert group.moves() == moves


def copy_live(receiver: Receiver, data: Path) -> None:
    """Copy a data folder as a snapshot of a machine would: all of it at one moment, while the process runs."""
    receiver.signal(signal.SIGSTOP)
    try:
        shutil.copytree(receiver.data, data)
    finally:
        receiver.signal(signal.SIGCONT)
