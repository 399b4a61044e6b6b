"""Cuts that no kernel knows of: the host runs in a network namespace, with one line to the cloud and one to its ARC.

Behind a proxy the kernels still acknowledge; here TCP itself repeats, backs off and gives up. The line to the cloud
has TLS, as in the field. Each test begins and ends with the group at rest and the host at work.
"""

import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import Teller
from tests.acceptance.harness.book import WINDOW
from tests.acceptance.harness.certificates import Authority
from tests.acceptance.harness.moves import (
    at_rest,
    first_new,
    first_of,
    flows,
    in_time,
    quiet_since,
    silent_after_lease,
)
from tests.acceptance.harness.netns import Namespace, NoNamespaces
from tests.acceptance.harness.panels import Panel, Stream
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.system import System

pytestmark = [pytest.mark.full, pytest.mark.deb]

RATE = 8.0
"""Alarms a second of each device."""
LEASE = 6.0
UNHEALTHY_AFTER = 4.0
"""Seconds that the group waits for an output; short, so that the test is."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Namespace]:
    """The host's machine."""
    try:
        namespace = Namespace()
    except NoNamespaces as reason:
        pytest.skip(f"no network namespaces here: {reason}")
    yield namespace
    namespace.remove()


@pytest.fixture(scope="module")
def started(machine: Namespace, system: System) -> System:
    """The host in its namespace, a spare here, and four devices."""
    system.authority = Authority(system.folder)
    cert, key = map(str, system.authority.issue("cloud", machine.wan.here))
    system.receivers["host"] = system.start_receiver("host", inside=machine.inside)
    system.receivers["spare1"] = system.start_receiver("spare1")
    system.start_cloud("--tls-cert", cert, "--tls-key", key, listen=f"{machine.wan.here}:0")
    system.arcs["host"] = system.arc("host", host=machine.lan.here)
    system.arcs["spare1"] = system.arc("spare1")
    system.enable()
    system.set_group(losses_per_hour=100, failback_delay="3s", unhealthy_after=f"{UNHEALTHY_AFTER:g}s")
    for index in range(4):
        system.panel(f"panel-{index}", f"D{index:03d}")
    return system


@pytest.fixture
def group(started: System, machine: Namespace) -> Iterator[System]:
    """All well, and the host works; so it is again at the end."""
    at_rest(started)
    yield started
    machine.wan.heal()
    machine.lan.heal()
    at_rest(started)


@pytest.fixture
def quiet(group: System) -> Panel:
    """A device that has nothing in flight: it is in no stream."""
    return group.panels[-1]


@pytest.fixture
def busy(group: System, quiet: Panel) -> list[Panel]:
    """All the others."""
    return [panel for panel in group.panels if panel is not quiet]


@pytest.mark.parametrize("how", ["unplug", "cut_outward", "cut_inward"])
def test_f3_f7_a_machine_cut_off_from_the_cloud_loses_the_work_and_stops_by_itself(
    group: System, machine: Namespace, busy: list[Panel], quiet: Panel, how: str, tell: Teller
) -> None:
    """Its ARC stays in reach: nothing but its lease keeps it from writing."""
    before = group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        group.arcs["host"].delay = 0.2
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 20, 20, "alarms pile up at the host")
        getattr(machine.wan, how)()
        at = time.monotonic()
        quiet_since(at, is_deaf=how == "cut_inward")
        with Stream([quiet], RATE):
            took = first_new(group, "spare1", at).at - at
            tell(f"host's line to the cloud: {how}: spare1 gave its ARC a new alarm after {took:.2f} s")
            assert in_time(group, took)
            came = until(lambda: first_of(group, "spare1", busy, at), 20, "what was in hand comes")
        assert came is not None
        tell(f"what was in hand came after {came.at - at:.2f} s")
        until(lambda: time.monotonic() > at + LEASE + 4, 15, "longer than any lease")
        silent_after_lease(group, "host", at, time.monotonic())
        group.records.disturbed("host", how, at)
        group.arcs["host"].delay = 0.0
        machine.wan.heal()
        healed = time.monotonic()
        group.await_working("host", 40)
        tell(f"the host works again {time.monotonic() - healed:.1f} s after its line is back")
        flows(group, "host")
    assert group.settle().duplicates - before <= WINDOW


def test_f7_what_a_kernel_still_held_for_the_arc_does_not_come_after_the_lease(
    group: System, machine: Namespace, busy: list[Panel]
) -> None:
    """The line to the ARC fails shortly before the end of the lease, and heals when another has what was in hand.

    The message that was on its way is thrown away by then (X, and the reset at the end of the lease): else the kernel
    would send it now, after its successor. The receiver's own wait for an answer, 5 s, must not be what does it.
    """
    before = group.balance().duplicates
    with Stream(busy, RATE):
        flows(group, "host")
        group.arcs["host"].delay = 0.2
        until(lambda: group.page().value("hotspare_cloud_alarms_out") > 40, 20, "alarms pile up at the host")
        machine.wan.unplug()
        at = time.monotonic()
        # TCP repeats 0.2, 0.6, 1.4 and 3.0 s later: once more between the heal and the end of that wait.
        until(lambda: time.monotonic() > at + 3.4, 5, "its lease is nearly over")
        machine.lan.cut_outward()
        came = until(lambda: first_of(group, "spare1", busy, at), 20, "what was in hand comes through spare 1")
        machine.lan.heal()
        assert came is not None
        assert time.monotonic() < at + 6.3, "too late to show anything"
        until(lambda: time.monotonic() > at + 12, 15, "TCP would have repeated it")
        late = [each for each in group.arcs["host"].received if each.at > came.at]
        assert not late, f"{late[0]} came {late[0].at - came.at:.2f} s after the first of its successor"
        group.records.disturbed("host", "both lines cut", at)
        group.arcs["host"].delay = 0.0
        machine.wan.heal()
        group.await_working("host", 40)
    assert group.settle().duplicates - before <= WINDOW


@pytest.mark.parametrize("how", ["unplug", "cut_outward", "cut_inward"])
def test_f3_f5_a_receiver_cut_off_from_its_arc_hands_the_work_over(
    group: System, machine: Namespace, busy: list[Panel], how: str, tell: Teller
) -> None:
    """It beats as ever, and tells that its required output is down."""
    before, moves = group.balance().duplicates, group.moves()
    with Stream(busy, RATE):
        flows(group, "host")
        getattr(machine.lan, how)()
        at = time.monotonic()
        took = first_new(group, "spare1", at, 40).at - at
        tell(f"host's line to its ARC: {how}: spare1 gave its ARC a new alarm after {took:.2f} s")
        assert took < UNHEALTHY_AFTER + 4, "an answer that can't come is not waited for"
        assert group.moves() == moves | {"unhealthy": moves.get("unhealthy", 0) + 1}
        group.records.disturbed("host", f"{how} of the ARC", at)
        machine.lan.heal()
        group.await_working("host", 40)
        flows(group, "host")
    # The one message in flight at the cut, of which nobody knows whether the ARC has it.
    assert group.settle().duplicates - before <= 1
