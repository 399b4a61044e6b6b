"""Kills, a stop and restarts under a stream of alarms: nothing lost, everything in order, moves as expected.

Each test begins and ends with the group at rest and the host at work, so they run in any order. More faults are in
test_faults_process.py, test_faults_network.py and test_faults_netns.py. The checker judges the whole run at its end.
"""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import Teller
from tests.acceptance.harness.book import WINDOW
from tests.acceptance.harness.moves import (
    FAILBACK,
    TAKE_OVER,
    at_rest,
    attends,
    first_new,
    first_of,
    flows,
    in_time,
    quiet_since,
    status,
)
from tests.acceptance.harness.panels import Panel, Stream
from tests.acceptance.harness.polling import holds, until
from tests.acceptance.harness.system import System

RATE = 8.0
"""Alarms a second of each of the devices."""
LEASE, BEAT = 6.0, 1.0
"""Seconds, by default: the lease as the cloud reckons it, from the last beat."""


@pytest.fixture(scope="module")
def started(system: System) -> System:
    """Cloud, host and three spares, each with its ARC, and seven devices."""
    system.start_group()
    system.set_group(losses_per_hour=100, failback_delay="3s")
    for index in range(7):
        system.panel(f"panel-{index}", f"A{index:03d}")
    return system


@pytest.fixture
def group(started: System) -> Iterator[System]:
    """All well, and the host works; so it is again at the end."""
    at_rest(started)
    yield started
    at_rest(started)


@pytest.fixture
def busy(group: System) -> list[Panel]:
    """Devices that publish all the time."""
    return group.panels[:4]


@pytest.fixture
def quiet(group: System) -> Iterator[Panel]:
    """Devices with nothing in flight, one for each loss: only such a one shows when new alarms flow (P1)."""
    return iter(group.panels[4:])


def test_f1_f3_f6_host_spare_1_and_spare_2_killed_under_a_stream_and_back(
    group: System, busy: list[Panel], quiet: Iterator[Panel], tell: Teller
) -> None:
    epoch, moves, before = group.epoch(), group.moves(), group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host", 20)
        for victim, successor in (("host", "spare1"), ("spare1", "spare2"), ("spare2", "spare3")):
            at = group.receivers[victim].kill()
            with Stream([next(quiet)], RATE):
                took = first_new(group, successor, at).at - at
            tell(f"{victim} killed under a stream: {successor} gave its ARC a new alarm after {took:.2f} s")
            assert in_time(group, took)
            assert group.working() == successor
        assert group.epoch() == epoch + 3
        back = time.monotonic()
        # The host first: each that is back fails back when its own delay is over, and it shall be the only one.
        group.receivers["host"].start()
        until(lambda: attends(group, "host"), 20, "the host attends")
        for role in ("spare1", "spare2"):
            group.receivers[role].start()
        group.await_working("host", FAILBACK)
        tell(f"all back: the host works again {time.monotonic() - back:.1f} s after their start")
        flows(group, "host")
    result = group.settle()
    tell(f"of what was in hand, {result.duplicates - before} came twice")
    assert result.duplicates - before <= 3 * WINDOW
    lost = moves.get("connection_lost", 0)
    assert group.moves() == moves | {"connection_lost": lost + 3, "failback": moves.get("failback", 0) + 1}
    assert group.epoch() == epoch + 4, "from spare 3 straight to the host"


def test_f6_killed_again_with_the_whole_backlog_in_flight(
    group: System, busy: list[Panel], quiet: Iterator[Panel], tell: Teller
) -> None:
    """The host dies, and spare 1 as soon as it has taken what was kept: two holds, one after the other."""
    before = group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        at = group.receivers["host"].kill()
        until(lambda: group.working() == "spare1", TAKE_OVER, "spare 1 works")
        again = group.receivers["spare1"].kill()
        assert again < at + LEASE - BEAT, "the hold of the first had not ended"
        with Stream([next(quiet)], RATE):
            took = first_new(group, "spare2", again).at - again
        tell(f"killed with the backlog in flight: spare2 gave its ARC a new alarm after {took:.2f} s")
        assert in_time(group, took)
    result = group.settle()
    tell(f"of these, {result.duplicates - before} came twice")
    assert result.duplicates - before <= 2 * WINDOW
    assert group.working() == "spare2"


def test_f4_f5_failback_returns_without_a_duplicate(group: System, busy: list[Panel], tell: Teller) -> None:
    group.receivers["host"].kill()
    group.await_working("spare1", TAKE_OVER)
    group.settle()
    before, epoch, moves = group.balance().duplicates, group.epoch(), group.moves()
    with Stream(busy, RATE):
        flows(group, "spare1")
        started = time.monotonic()
        group.receivers["host"].start()
        group.await_working("host", FAILBACK)
        first = until(lambda: group.book.first_after("host", started), 10, "alarms flow through the host")
        assert first is not None
        last = max(each.at for each in group.arcs["spare1"].received if each.at <= first.at)
        tell(f"failback {first.at - started:.1f} s after the start; no alarm at an ARC for {first.at - last:.2f} s")
    result = group.settle(seconds=10)
    assert result.duplicates == before
    assert group.epoch() == epoch + 1
    assert group.moves() == moves | {"failback": moves.get("failback", 0) + 1}


def test_f3_take_over_with_nothing_in_flight(group: System, tell: Teller) -> None:
    before = group.balance().duplicates
    at = group.receivers["host"].kill()
    with Stream(group.panels, RATE):
        took = first_new(group, "spare1", at).at - at
        tell(f"host killed with nothing in flight: spare1 gave its ARC the first alarm after {took:.2f} s")
        assert in_time(group, took)
        flows(group, "spare1", 20)
    result = group.settle(seconds=10)
    assert result.duplicates == before, "nothing was in flight"


def test_f11_the_cloud_killed_and_back_under_a_stream_moves_nobody(
    group: System, busy: list[Panel], tell: Teller
) -> None:
    epoch, before = group.epoch(), group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        group.cloud.kill()
        group.cloud.start()
        group.cloud.serving()
        serves = time.monotonic()
        until(lambda: all(attends(group, role) for role in group.receivers), 10, "all attend again")
        back = time.monotonic() - serves
        tell(f"cloud killed and back: all receivers attend {back:.2f} s after it serves")
        assert back < 2
        flows(group, "host")
        holds(lambda: group.working() == "host" and group.epoch() == epoch, 4, "the host works in its epoch")
    result = group.settle(seconds=10)
    assert (group.epoch(), group.moves(), group.working()) == (epoch, {}, "host")
    assert result.duplicates == before, "the receiver's journal knows what it confirmed"


def test_f6_what_was_in_flight_waits_for_the_lease_and_the_rest_does_not(
    group: System, busy: list[Panel], quiet: Iterator[Panel], tell: Teller
) -> None:
    """Only what was delivered and not confirmed may come twice, and not before the lost one has surely stopped."""
    before, slow = group.balance().duplicates, group.arcs["host"]
    slow.delay = 0.1
    with Stream(busy, RATE):
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 20, 20, "alarms pile up in flight")
        at = group.receivers["host"].kill()
        with Stream([next(quiet)], RATE):
            took = first_new(group, "spare1", at).at - at
            tell(f"host killed with alarms in flight: spare1 gave its ARC one of another device after {took:.2f} s")
            assert in_time(group, took)
            first = until(lambda: first_of(group, "spare1", busy, at), 20, "what was in flight comes")
    assert first is not None
    tell(f"what was in flight came after {first.at - at:.2f} s")
    assert first.at - at > LEASE - BEAT - 0.5, "the lost one's lease could not have run out"
    result = group.settle()
    tell(f"of these, {result.duplicates - before} came twice")
    assert result.duplicates - before <= WINDOW


def test_f5_sigterm_of_the_working_receiver_loses_nothing_and_hands_over_at_once(
    group: System, busy: list[Panel], tell: Teller
) -> None:
    before, host = group.balance().duplicates, group.receivers["host"]
    with Stream(busy, RATE):
        flows(group, "host")
        at = host.signal(signal.SIGTERM)
        took = first_new(group, "spare1", at).at - at
        tell(f"SIGTERM of the host: spare1 gave its ARC a new alarm after {took:.2f} s")
        assert in_time(group, took)
        assert host.wait() == 0
    result = group.settle(seconds=10)
    assert result.duplicates == before, "a planned move doubles nothing"
    assert group.working() == "spare1"


def test_f7_a_stopped_receiver_writes_nothing_that_another_has_written(
    group: System, busy: list[Panel], quiet: Iterator[Panel], tell: Teller
) -> None:
    """SIGSTOP for longer than its lease, then SIGCONT: it finds its lease over before it writes anything."""
    before, host = group.balance().duplicates, group.receivers["host"]
    with Stream(busy, RATE):
        flows(group, "host", 20)
        at = host.signal(signal.SIGSTOP)
        try:
            quiet_since(at)
            with Stream([next(quiet)], RATE):
                took = first_new(group, "spare1", at).at - at
            tell(f"host stopped (SIGSTOP): spare1 gave its ARC an alarm of a quiet device after {took:.2f} s")
            assert in_time(group, took)
            until(lambda: first_of(group, "spare1", busy, at), 10, "the others follow")
            until(lambda: time.monotonic() > at + LEASE + 1, 10, "longer than any lease")
        finally:
            woken = host.signal(signal.SIGCONT)
        group.records.disturbed("host", "SIGSTOP", at)
        # It beats again, is told that its epoch is over, and comes back by failback.
        until(lambda: status(group, "host") != "offline", 15, "it attends again")
        flows(group, "spare1")
        group.await_working("host", FAILBACK)
        flows(group, "host")
    result = group.settle()
    tell(f"of what was in flight, {result.duplicates - before} came twice")
    assert result.duplicates - before <= WINDOW
    elsewhere = {each.identity: each.at for each in group.arcs["spare1"].received}
    for receipt in group.arcs["host"].received:
        if receipt.at > woken:
            assert receipt.identity not in elsewhere, f"{receipt} had been at the other ARC already"
