"""Kills, stops and restarts under a stream of alarms: nothing lost, everything in order, moves as expected.

The tests build on each other's state and run in this order: four receivers take seconds to start, and a return
takes `failback_delay`. Each brings the host back to work before it ends, or leaves the next to do so.
"""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import Teller
from tests.acceptance.harness.book import WINDOW, Received
from tests.acceptance.harness.panels import Stream
from tests.acceptance.harness.polling import holds, until
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import METRIC_ROLES, System

RATE = 8.0
"""Alarms a second of each of the devices."""
TAKE_OVER = 5.0
"""Seconds, generous for a slow machine; the figure itself is printed. By the timing rules about 1.2."""
LEASE, BEAT = 6.0, 1.0
"""Seconds, by default: the lease as the cloud reckons it, from the last beat."""
FAILBACK = 45.0
"""Seconds until a receiver that was started again works: its start, `failback_delay` (10 s), and slack."""


@pytest.fixture(scope="module")
def group(system: System) -> System:
    """Cloud, host and three spares, each with its ARC, and four devices."""
    system.start_group()
    for index in range(5):
        system.panel(f"panel-{index}", f"A{index:03d}")
    system.await_working("host")
    return system


@pytest.fixture(autouse=True)
def counted_moves(group: System) -> Iterator[None]:
    """Whatever a test does, all that was published is received in the end."""
    yield
    group.settle()


def attends(group: System, role: str) -> bool:
    """Whether a receiver that was started is connected to its cloud."""
    receiver = group.receivers[role].serving()
    return scrape(receiver).value("hotspare_receiver_cloud_connected") == 1


def first_of_successor(group: System, role: str, after: float) -> Received:
    """The first alarm at the ARC of `role` that was published after the loss, thus had never been delivered."""
    began = {(alarm.account, alarm.sequence): alarm.begun for panel in group.panels for alarm in list(panel.published)}

    def first() -> Received | None:
        for panel in group.panels:
            began.update({(alarm.account, alarm.sequence): alarm.begun for alarm in list(panel.published)[-200:]})
        fresh = (each for each in group.arcs[role].received if began.get(each.identity, 0.0) > after)
        return next(fresh, None)

    found = until(first, TAKE_OVER + 10, lambda: f"{role} takes over; {group.working()} works: {group.moves()}")
    assert found is not None
    return found


def first_of(group: System, role: str, accounts: set[str], after: float) -> Received | None:
    """The first alarm of these accounts at the ARC of `role` since a moment."""
    received = group.arcs[role].received
    return next((each for each in received if each.at > after and each.account in accounts), None)


def test_f1_f3_f6_host_spare_1_and_spare_2_killed_under_a_stream_and_back(group: System, tell: Teller) -> None:
    epoch = group.epoch()
    with Stream(group.panels, RATE):
        until(lambda: len(group.arcs["host"].received) >= 20, 20, "alarms flow through the host")
        for victim, successor in (("host", "spare1"), ("spare1", "spare2")):
            at = group.receivers[victim].kill()
            took = first_of_successor(group, successor, at).at - at
            tell(f"{victim} killed under a stream: {successor} gave its ARC a new alarm after {took:.2f} s")
            assert took < TAKE_OVER
            assert group.working() == successor
            # What the cloud kept meanwhile comes at once: killed now, spare 1 would take it all with it.
            until(lambda: group.page().value("hotspare_cloud_alarms_waiting") <= len(group.panels), 20, "all flows")
        at = group.receivers["spare2"].kill()
        group.await_working("spare3", TAKE_OVER)
        tell(f"spare2 killed under a stream: spare3 works after {time.monotonic() - at:.2f} s")
        assert group.epoch() == epoch + 3
        back = time.monotonic()
        # The host first: each that is back fails back when its own delay is over, and it shall be the only one.
        group.receivers["host"].start()
        until(lambda: attends(group, "host"), 20, "the host attends")
        for role in ("spare1", "spare2"):
            group.receivers[role].start()
        group.await_working("host", FAILBACK)
        tell(f"all back: the host works again {time.monotonic() - back:.1f} s after their start")
        until(lambda: group.arcs["host"].received[-1].at > back, 10, "alarms flow through the host")
    result = group.settle()
    tell(str(result))
    assert result.duplicates <= 3 * WINDOW
    assert group.moves() == {"first": 1, "connection_lost": 3, "failback": 1}
    assert group.epoch() == epoch + 4, "from spare 3 straight to the host"


def test_f6_killed_again_with_the_whole_backlog_in_flight(group: System, tell: Teller) -> None:
    """The host dies, and spare 1 as soon as it has taken what was kept: two holds, one after the other."""
    before = group.balance().duplicates
    with Stream(group.panels, RATE):
        at = group.receivers["host"].kill()
        first_of_successor(group, "spare1", at)
        at = group.receivers["spare1"].kill()
        took = first_of_successor(group, "spare2", at).at - at
        tell(f"killed with the backlog in flight: spare2 gave its ARC a new alarm after {took:.2f} s")
    result = group.settle()
    tell(f"of these, {result.duplicates - before} came twice")
    assert result.duplicates - before <= 2 * WINDOW
    assert group.working() == "spare2"


def test_f4_f5_failback_returns_without_a_duplicate(group: System, tell: Teller) -> None:
    assert group.working() == "spare2"
    before, epoch, moves = group.balance().duplicates, group.epoch(), group.moves()
    with Stream(group.panels, RATE):
        started = time.monotonic()
        group.receivers["host"].start()
        until(lambda: attends(group, "host"), 20, "the host attends")
        group.receivers["spare1"].start()
        group.await_working("host", FAILBACK)
        until(lambda: group.book.first_after("host", started), 10, "alarms flow through the host")
        first = group.book.first_after("host", started)
        assert first is not None
        last = max(each.at for each in group.arcs["spare2"].received if each.at <= first.at)
        tell(f"failback {first.at - started:.1f} s after the start; no alarm at an ARC for {first.at - last:.2f} s")
    result = group.settle(seconds=10)
    assert result.duplicates == before
    assert group.epoch() == epoch + 1
    assert group.moves() == moves | {"failback": moves["failback"] + 1}


def test_f6_duplicates_come_from_losses_only_and_nothing_after_its_lease(group: System) -> None:
    """Of the run before: no ARC had an alarm that another had first, but for those that were in flight."""
    firsts: dict[tuple[str, int], Received] = {}
    for receipt in group.book.all():
        first = firsts.setdefault(receipt.identity, receipt)
        assert first.event == receipt.event
        if first.arc != receipt.arc:
            assert receipt.at - first.at >= 1, "a second one comes only after the first holder was lost"


def test_f3_take_over_with_nothing_in_flight(group: System, tell: Teller) -> None:
    group.settle()
    before = group.balance().duplicates
    until(lambda: attends(group, "spare1"), 20, "spare 1 attends")
    at = group.receivers["host"].kill()
    with Stream(group.panels, RATE):
        took = first_of_successor(group, "spare1", at).at - at
        tell(f"host killed with nothing in flight: spare1 gave its ARC the first alarm after {took:.2f} s")
        assert took < TAKE_OVER
        until(lambda: len(group.arcs["spare1"].received) >= 20, 10, "alarms flow through spare 1")
    result = group.settle(seconds=10)
    assert result.duplicates == before, "nothing was in flight"


def test_f11_the_cloud_killed_and_back_under_a_stream_moves_nobody(group: System, tell: Teller) -> None:
    epoch, before = group.epoch(), group.balance().duplicates
    connected = [role for role in METRIC_ROLES if group.receivers[role].is_running]
    with Stream(group.panels, RATE):
        received = len(group.arcs["spare1"].received)
        until(lambda: len(group.arcs["spare1"].received) > received, 10, "alarms flow through spare 1")
        group.cloud.kill()
        group.cloud.start()
        group.cloud.serving()
        serves = time.monotonic()
        until(lambda: all(attends(group, role) for role in connected), 10, "all attend again")
        back = time.monotonic() - serves
        tell(f"cloud killed and back: all receivers attend {back:.2f} s after it serves")
        assert back < 2
        until(lambda: group.book.first_after("spare1", serves), 5, "alarms flow through spare 1")
        holds(lambda: group.working() == "spare1" and group.epoch() == epoch, 4, "spare 1 works in its epoch")
    result = group.settle(seconds=10)
    assert (group.epoch(), group.moves(), group.working()) == (epoch, {}, "spare1")
    assert result.duplicates == before, "the receiver's journal knows what it confirmed"


def test_f6_what_was_in_flight_waits_for_the_lease_and_the_rest_does_not(group: System, tell: Teller) -> None:
    """Only what was delivered and not confirmed may come twice, and not before the lost one has surely stopped."""
    *busy, quiet = group.panels
    before, slow = group.balance().duplicates, group.arcs["spare1"]
    slow.delay = 0.1
    with Stream(busy, RATE):
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 20, 20, "alarms pile up in flight")
        at = group.receivers["spare1"].kill()
        slow.delay = 0.0
        with Stream([quiet], RATE):
            took = first_of_successor(group, "spare2", at).at - at
            tell(f"spare1 killed with alarms in flight: spare2 gave its ARC one of another device after {took:.2f} s")
            assert took < TAKE_OVER
            accounts = {panel.account for panel in busy}
            until(lambda: first_of(group, "spare2", accounts, at), 20, "what was in flight comes")
    first = first_of(group, "spare2", accounts, at)
    assert first is not None
    tell(f"what was in flight came after {first.at - at:.2f} s")
    assert first.at - at > LEASE - BEAT - 0.5, "the lost one's lease could not have run out"
    result = group.settle()
    tell(f"of these, {result.duplicates - before} came twice")
    assert result.duplicates - before <= WINDOW


def test_f5_sigterm_of_the_working_receiver_loses_nothing_and_hands_over_at_once(group: System, tell: Teller) -> None:
    before = group.balance().duplicates
    working = group.receivers["spare2"]
    with Stream(group.panels, RATE):
        assert group.working() == "spare2"
        received = len(group.arcs["spare2"].received)
        until(lambda: len(group.arcs["spare2"].received) > received + 10, 10, "alarms flow through spare 2")
        at = working.signal(signal.SIGTERM)
        took = first_of_successor(group, "spare3", at).at - at
        tell(f"SIGTERM of spare2: spare3 gave its ARC a new alarm after {took:.2f} s")
        assert took < TAKE_OVER
        assert working.wait() == 0
    result = group.settle(seconds=10)
    assert result.duplicates == before, "a planned move doubles nothing"
    assert group.working() == "spare3"


@pytest.mark.full
def test_f7_a_stopped_receiver_writes_nothing_new_after_its_lease(group: System, tell: Teller) -> None:
    *busy, quiet = group.panels
    before, host = group.balance().duplicates, group.receivers["host"]
    if not host.is_running:
        host.start()
    group.await_working("host", FAILBACK)
    with Stream(busy, RATE):
        received = len(group.arcs["host"].received)
        until(lambda: len(group.arcs["host"].received) >= received + 20, 20, "alarms flow through the host")
        at = host.signal(signal.SIGSTOP)
        try:
            # Until then the cloud still delivers to it: a device that reports in this time waits for the lease.
            until(lambda: time.monotonic() > at + 2, 5, "nothing new is delivered to it")
            with Stream([quiet], RATE):
                took = first_of_successor(group, "spare3", at + 2).at - at
                tell(f"host stopped (SIGSTOP): spare3 gave its ARC an alarm of a quiet device after {took:.2f} s")
                assert took < TAKE_OVER
                until(lambda: first_of(group, "spare3", {busy[0].account}, at), 10, "the others follow")
                until(lambda: time.monotonic() > at + 10, 15, "longer than any lease")
        finally:
            woken = host.signal(signal.SIGCONT)
        # It beats again, is told that its epoch is over, and comes back by failback.
        group.await_working("host", FAILBACK)
        until(lambda: group.book.first_after("host", woken + 5), 15, "alarms flow through the host")
    result = group.settle()
    tell(f"of what was in flight, {result.duplicates - before} came twice")
    assert result.duplicates - before <= WINDOW
    elsewhere = {each.identity: each.at for each in group.arcs["spare3"].received}
    for receipt in group.arcs["host"].received:
        if receipt.at > at:
            first = elsewhere.get(receipt.identity)
            assert first is None or first > receipt.at, f"{receipt} had been at the other ARC already"
