"""What operators do with the work, under a stream of alarms: switchover, pin, pause, resume, history (F5, F8).

All by the CLI, at any receiver of the group. Each test begins with the group at rest and the host at work.
"""

import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from hotspare.v1 import group_pb2
from hotspare.v1.role_service_pb2 import ListMembersResponse, ListTransitionsResponse
from tests.acceptance.conftest import Teller
from tests.acceptance.harness.arcs import Fault, Sink
from tests.acceptance.harness.book import WINDOW
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.moves import TAKE_OVER, at_rest, attends, first_new, flows, in_time, status
from tests.acceptance.harness.panels import Stream
from tests.acceptance.harness.polling import holds, until
from tests.acceptance.harness.records import moves as logged_moves
from tests.acceptance.harness.system import System
from tests.proof.facts import Verb

pytestmark = pytest.mark.full

RATE = 20.0
"""Alarms a second of each device."""
FAILBACK_DELAY, DRAIN_TIMEOUT = 3.0, 5.0


@pytest.fixture(scope="module")
def started(system: System) -> System:
    """A host and two spares, and four devices; the ARCs can be told to fall silent."""
    system.start_group(("host", "spare1", "spare2"), sinks=True)
    system.set_group(losses_per_hour=100, failback_delay=f"{FAILBACK_DELAY:g}s")
    for index in range(4):
        system.panel(f"panel-{index}", f"C{index:03d}")
    return system


@pytest.fixture
def group(started: System) -> Iterator[System]:
    """All well, moves are automatic, and the host works; so it is again at the end."""
    at_rest(started)
    yield started
    for arc in started.arcs.values():
        if isinstance(arc, Sink):
            arc.fault = Fault.NONE
    asked = next(role for role, receiver in started.receivers.items() if receiver.is_running)
    told = members(started, by=asked).group
    if told.paused or told.pinned_receiver_id:
        resume(started, by=asked)
    at_rest(started)


def switch_over(group: System, to: str, *, by: str) -> None:
    """`hotspare switchover`, to its end."""
    # Written down first: the move follows at once.
    group.records.operated(Verb.SWITCHOVER, to)
    group.receivers[by].cli("switchover", "--to", to, "--yes", "--reason", "a test")


def resume(group: System, *, by: str) -> None:
    """`hotspare resume`."""
    group.records.operated(Verb.RESUME)
    group.receivers[by].cli("resume")


def pause(group: System, *, by: str) -> None:
    """`hotspare pause`."""
    group.receivers[by].cli("pause", "--yes")
    group.records.operated(Verb.PAUSE)


def history(group: System, *, by: str = "spare2") -> list[group_pb2.Transition]:
    """`hotspare history`, newest first."""
    answer = group.receivers[by].cli("history", "-o", "json")
    return list(parsed(answer, ListTransitionsResponse).transitions)


def members(group: System, *, by: str = "spare2") -> ListMembersResponse:
    """`hotspare members`."""
    return parsed(group.receivers[by].cli("members", "-o", "json"), ListMembersResponse)


def longest_gap(group: System, begin: float, end: float) -> float:
    """The longest time between two alarms at any ARC."""
    times = sorted(each.at for each in group.book.all() if begin <= each.at <= end)
    return max(later - earlier for earlier, later in pairwise(times))


def test_f5_f8_a_switchover_loses_and_doubles_nothing_stays_pinned_and_ends_by_resume(
    group: System, tell: Teller
) -> None:
    before, epoch, moves = group.balance().duplicates, group.epoch(), group.moves()
    with Stream(group.panels, RATE):
        flows(group, "host")
        began = time.monotonic()
        switch_over(group, "spare1", by="spare2")
        assert group.working() == "spare1"
        flows(group, "spare1", 50)
        tell(f"switchover under {RATE * 4:g} alarms/s: longest gap {longest_gap(group, began, time.monotonic()):.3f} s")
        held = FAILBACK_DELAY + 3
        holds(lambda: (group.working(), group.epoch()) == ("spare1", epoch + 1), held, "it is pinned: no failback")
        told = members(group).group
        assert told.pinned_receiver_id == told.working_receiver_id
        resume(group, by="host")
        group.await_working("host", 30)
        flows(group, "host")
    assert group.settle().duplicates == before, "planned moves double nothing"
    assert group.moves() == moves | {
        "switchover": moves.get("switchover", 0) + 1,
        "failback": moves.get("failback", 0) + 1,
    }
    lines = [line for line in history(group) if line.epoch > epoch]
    assert [(line.epoch, line.reason, line.planned) for line in lines] == [
        (epoch + 2, group_pb2.TRANSITION_REASON_FAILBACK, True),
        (epoch + 1, group_pb2.TRANSITION_REASON_SWITCHOVER, True),
    ]
    assert lines[1].operator_name, "who asked is told (S5)"


def test_f8_a_pinned_receiver_that_is_lost_is_replaced_and_the_pin_ends(group: System, tell: Teller) -> None:
    before = group.balance().duplicates
    with Stream(group.panels[:-1], RATE):
        switch_over(group, "spare2", by="host")
        flows(group, "spare2")
        at = group.receivers["spare2"].kill()
        with Stream(group.panels[-1:], RATE):
            took = first_new(group, "host", at).at - at
        tell(f"pinned spare2 killed: host gave its ARC a new alarm after {took:.2f} s")
        assert in_time(group, took)
        assert members(group, by="host").group.pinned_receiver_id == ""
        group.receivers["spare2"].start()
        until(lambda: attends(group, "spare2"), 20, "it is back")
        holds(lambda: group.working() == "host", FAILBACK_DELAY + 2, "it does not get the work back")
    assert group.settle().duplicates - before <= WINDOW


def test_f8_while_paused_nobody_moves_though_the_working_one_is_killed_and_resume_moves(
    group: System, tell: Teller
) -> None:
    before, epoch = group.balance().duplicates, group.epoch()
    with Stream(group.panels, RATE):
        flows(group, "host")
        pause(group, by="spare1")
        assert all(members(group, by=role).group.paused for role in group.receivers), "it is shown everywhere"
        group.receivers["host"].kill()
        until(lambda: status(group, "host") == "offline", 10, "the loss is known")
        holds(lambda: group.working() is None and group.epoch() == epoch, 6, "nobody takes over")
        waiting = group.page().value("hotspare_cloud_alarms_waiting")
        assert waiting > RATE, "the cloud keeps the alarms"
        at = time.monotonic()
        resume(group, by="spare2")
        took = first_new(group, "spare1", at).at - at
        tell(f"resumed with the host dead: spare1 gave its ARC a new alarm after {took:.2f} s")
        assert in_time(group, took)
    assert group.settle().duplicates - before <= WINDOW


def test_f8_while_paused_the_same_receiver_goes_on_after_its_restart_and_a_switchover_works(group: System) -> None:
    before, epoch = group.balance().duplicates, group.epoch()
    with Stream(group.panels, RATE):
        flows(group, "host")
        pause(group, by="spare1")
        group.receivers["host"].kill()
        group.receivers["host"].start()
        group.await_working("host", 20)
        flows(group, "host")
        assert group.epoch() == epoch + 1, "another incarnation, another epoch"
        switch_over(group, "spare1", by="spare2")
        flows(group, "spare1")
        holds(lambda: group.working() == "spare1", FAILBACK_DELAY + 2, "paused: no failback")
        assert members(group).group.paused
    assert group.settle().duplicates - before <= WINDOW


def test_f5_a_clean_stop_finishes_what_a_slow_arc_has(group: System, tell: Teller) -> None:
    """Drained within `drain_timeout`: nothing lost, nothing twice."""
    before, host = group.balance().duplicates, group.receivers["host"]
    group.arcs["host"].delay = 0.5
    with Stream(group.panels, RATE):
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 20, 20, "alarms pile up at the host")
        at = host.signal(signal.SIGTERM)
        took = first_new(group, "spare1", at).at - at
        tell(f"SIGTERM with a slow ARC: spare1 gave its ARC a new alarm after {took:.2f} s")
        assert took < DRAIN_TIMEOUT, "only the one in flight is waited for"
        assert host.wait() == 0
    assert group.settle().duplicates == before


def test_f5_a_hand_over_that_takes_too_long_goes_on_as_a_loss(group: System, tell: Teller) -> None:
    """The ARC is silent: the answer to the one in flight does not come within `drain_timeout`."""
    arc = group.arcs["host"]
    assert isinstance(arc, Sink)
    before = group.balance().duplicates
    with Stream(group.panels, RATE):
        flows(group, "host")
        arc.fault = Fault.MUTE
        at = time.monotonic()
        switch_over(group, "spare1", by="spare1")
        took = first_new(group, "spare1", at, 20).at - at
        tell(f"switchover with a silent ARC: spare1 gave its ARC a new alarm after {took:.2f} s")
        assert took < DRAIN_TIMEOUT + TAKE_OVER
        group.records.disturbed("host", "a silent ARC", at)
        arc.fault = Fault.NONE
    result = group.settle()
    assert result.duplicates - before <= 1, "no more than the one in flight, had the ARC taken it"


def test_f8_what_cannot_be_is_refused_says_why_and_stands_in_the_history(group: System) -> None:
    epoch = group.epoch()
    group.receivers["spare2"].kill()
    until(lambda: status(group, "spare2") == "offline", 10, "it is offline")
    asked = group.receivers["spare1"]
    for words, reason in (
        (("switchover", "--to", "host", "--yes"), "TARGET_WORKING"),
        (("switchover", "--to", "spare2", "--yes"), "TARGET_OFFLINE"),
        (("resume",), "NOT_PAUSED"),
    ):
        refused = asked.cli(*words, fail=True)
        assert refused.status != 0, refused
        assert reason in refused.stderr, refused
    assert asked.cli("switchover", "--to", "spare3", "--yes", fail=True).status != 0
    assert (group.working(), group.epoch()) == ("host", epoch)
    refusals = [line for line in history(group, by="host") if line.kind == group_pb2.TRANSITION_KIND_REFUSED]
    assert len(refusals) >= 2
    assert all(line.operator_name and line.detail for line in refusals)


def test_f8_the_history_tells_every_move_of_the_run(group: System) -> None:
    """The log and the served history are of one mind."""
    served = [line for line in history(group) if line.kind == group_pb2.TRANSITION_KIND_MOVE]
    told = {line.epoch: group_pb2.TransitionReason.Name(line.reason) for line in served}
    logged = {each.epoch: f"TRANSITION_REASON_{each.why.name}" for each in logged_moves(group.cloud.log_file)}
    assert told == logged
    assert [line.number for line in history(group)] == sorted((line.number for line in history(group)), reverse=True)
