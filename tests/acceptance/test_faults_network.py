"""What can go wrong on the lines to the cloud, under a stream of alarms: every receiver is behind a proxy of ours.

Cuts that no kernel knows of are in test_faults_netns.py. Each test begins and ends with the group at rest and the host
at work, so they run in any order.
"""

import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import Teller
from tests.acceptance.harness.book import WINDOW
from tests.acceptance.harness.moves import (
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
from tests.acceptance.harness.system import System

pytestmark = pytest.mark.full

RATE = 8.0
"""Alarms a second of each device."""
LEASE = 6.0


@pytest.fixture(scope="module")
def started(system: System) -> System:
    """A host and two spares, each behind a proxy, and four devices."""
    system.start_group(("host", "spare1", "spare2"), proxied=True)
    system.set_group(losses_per_hour=100, failback_delay="3s", unhealthy_after="4s")
    for index in range(4):
        system.panel(f"panel-{index}", f"E{index:03d}")
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


@pytest.mark.parametrize("ways", [("up", "down"), ("up",), ("down",)], ids=["both-ways", "to-the-cloud", "from-it"])
def test_f3_f7_a_receiver_cut_off_loses_the_work_and_stops_by_itself(
    group: System, busy: list[Panel], quiet: Panel, ways: tuple[str, ...], tell: Teller
) -> None:
    """Its ARC stays in reach: nothing but its lease keeps it from writing."""
    way, before = group.ways["host"], group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        group.arcs["host"].delay = 0.2
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 20, 20, "alarms pile up at the host")
        way.cut(*(getattr(way, name) for name in ways))
        at = time.monotonic()
        quiet_since(at, is_deaf=ways == ("down",))
        with Stream([quiet], RATE):
            took = first_new(group, "spare1", at).at - at
            tell(f"host cut off ({' and '.join(ways)}): spare1 gave its ARC a new alarm after {took:.2f} s")
            assert in_time(group, took)
            came = until(lambda: first_of(group, "spare1", busy, at), 20, "what was in hand comes")
        assert came is not None
        tell(f"what was in hand came after {came.at - at:.2f} s")
        until(lambda: time.monotonic() > at + LEASE + 4, 15, "longer than any lease")
        silent_after_lease(group, "host", at, time.monotonic())
        assert group.working() == "spare1"
        group.records.disturbed("host", f"cut {ways}", at)
        group.arcs["host"].delay = 0.0
        way.heal()
        group.await_working("host", 40)
        flows(group, "host")
    result = group.settle()
    tell(f"of what was in hand, {result.duplicates - before} came twice")
    assert result.duplicates - before <= WINDOW


def test_a_slow_line_moves_nobody_and_alarms_flow(group: System, busy: list[Panel], tell: Teller) -> None:
    """300 ms each way, for all: beats, grants, alarms and confirmations come late, and all in time."""
    epoch, moves, before = group.epoch(), group.moves(), group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        for way in group.ways.values():
            way.slow(0.3)
        holds(lambda: (group.working(), group.epoch()) == ("host", epoch), 10, "nobody is moved")
        began = time.monotonic()
        flows(group, "host", 50)
        tell(f"300 ms each way: 50 alarms came within {time.monotonic() - began:.1f} s")
    assert group.settle().duplicates == before
    assert (group.epoch(), group.moves()) == (epoch, moves)


def test_a_thin_line_moves_nobody(group: System, busy: list[Panel]) -> None:
    """A line of 64 kbit/s: the beats must not wait behind the alarms for too long."""
    epoch, before = group.epoch(), group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        group.ways["host"].slow(0.05, rate=8000)
        holds(lambda: (group.working(), group.epoch()) == ("host", epoch), 8, "nobody is moved")
        flows(group, "host", 20)
    assert group.settle().duplicates == before


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_broken_connection_that_is_back_at_once_moves_nobody(group: System, busy: list[Panel], how: str) -> None:
    """An end of the stream is neither a release nor a proof of death (timing rules 4)."""
    epoch, moves, before = group.epoch(), group.moves(), group.balance().duplicates
    way = group.ways["host"]
    with Stream(busy, RATE):
        flows(group, "host")
        accepted = way.accepted
        getattr(way, how)()
        until(lambda: way.accepted > accepted and attends(group, "host"), 5, "it is back")
        holds(lambda: (group.working(), group.epoch()) == ("host", epoch), 4, "nobody is moved")
        flows(group, "host")
    assert group.settle().duplicates == before, "what was in hand stays in hand"
    assert (group.epoch(), group.moves()) == (epoch, moves)


def test_f3_f7_a_receiver_that_is_refused_connections_loses_the_work(
    group: System, busy: list[Panel], quiet: Panel, tell: Teller
) -> None:
    """Its connections are reset and no new one stands: it knows so, and goes on for what is left of its lease."""
    way, before = group.ways["host"], group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        way.refuse()
        way.reset()
        at = time.monotonic()
        with Stream([quiet], RATE):
            took = first_new(group, "spare1", at).at - at
            tell(f"host refused by its cloud: spare1 gave its ARC a new alarm after {took:.2f} s")
            assert in_time(group, took)
        until(lambda: time.monotonic() > at + LEASE + 2, 15, "longer than the lease")
        silent_after_lease(group, "host", at, time.monotonic())
        group.records.disturbed("host", "refused", at)
        way.heal()
        group.await_working("host", 40)
    assert group.settle().duplicates - before <= WINDOW


def test_f1_all_cut_off_nobody_works_and_the_first_that_is_back_goes_on(
    group: System, busy: list[Panel], tell: Teller
) -> None:
    """A loss without a successor ends no epoch; the cloud keeps the alarms."""
    before = group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        at = time.monotonic()
        for way in group.ways.values():
            way.cut()
        until(lambda: group.working() is None, 10, "nobody works")
        tell(f"all cut off: the cloud knows after {time.monotonic() - at:.2f} s")
        until(lambda: time.monotonic() > at + LEASE + 2, 15, "longer than the lease")
        silent_after_lease(group, "host", at, time.monotonic())
        group.records.disturbed("", "all cut off", at)
        group.ways["spare2"].heal()
        group.await_working("spare2", 30)
        flows(group, "spare2")
        group.ways["host"].heal()
        group.ways["spare1"].heal()
        group.await_working("host", 40)
    assert group.settle().duplicates - before <= WINDOW
