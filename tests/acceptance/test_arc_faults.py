"""An ARC that answers wrongly or not at all: nothing is lost, and all comes in order once it is well again."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from hotspare.v1 import alarm_pb2
from tests.acceptance.harness.arcs import Fault, Sink
from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import Receiver, System

OUTCOMES = {
    Fault.RUBBISH: "unknown",
    Fault.MUTE: "unknown",
    Fault.CLOSE: "unknown",
    Fault.NAK: "clock_refused",
    Fault.DUH: "refused",
}
"""What the receiver says of the attempts, in its metrics."""


@pytest.fixture(scope="module")
def host(system: System) -> Receiver:
    """A host without an output."""
    system.start_cloud()
    host = system.receivers["host"] = system.start_receiver("host")
    host.serving()
    system.tell_cloud(host)
    host.cli("enable", "--role", "host")
    return host


@pytest.fixture(scope="module")
def panels(system: System, host: Receiver) -> list[Panel]:
    return [system.panel("panel-1", "0B01"), system.panel("panel-2", "0B02")]


@pytest.fixture(autouse=True)
def drained(system: System, host: Receiver, panels: list[Panel]) -> Iterator[None]:
    """What a test that failed left waiting must not fail the next."""
    yield
    if system.page().value("hotspare_cloud_alarms_waiting"):
        sink = Sink("drain", system.book)
        host.cli("output", "add", "drain", "--kind", "sia-dc09", "--address", sink.address)
        until(lambda: system.page().value("hotspare_cloud_alarms_waiting") == 0, 30, "drained")
        host.cli("output", "delete", "drain", "--yes")
        sink.stop()


@pytest.mark.parametrize("fault", OUTCOMES, ids=lambda fault: fault.value)
def test_a4_an_alarm_is_confirmed_only_by_an_ack_and_comes_when_the_arc_is_well_again(
    system: System, host: Receiver, panels: list[Panel], fault: Fault
) -> None:
    sink = Sink("ill", system.book, fault=fault)
    name = fault.value
    host.cli("output", "add", name, "--kind", "sia-dc09", "--address", sink.address)
    try:
        for _ in range(3):
            for panel in panels:
                assert panel.publish() is not None
        until(lambda: len(sink.attempts) >= 2, 25, lambda: f"it is tried again: {sink.attempts}")
        attempts = scrape(host).value("hotspare_receiver_output_attempts_total", output=name, outcome=OUTCOMES[fault])
        assert attempts >= 1
        assert system.page().value("hotspare_cloud_alarms_waiting") == 6, "nothing was confirmed"
        tries = {(raw[raw.index(b'"ADM-CID"') :].split(b"_")[0]) for raw in sink.attempts}
        assert len(tries) <= 2, "only each device's oldest was tried, always under the same identity"
        assert host.is_running
        assert "Traceback" not in host.log()
    finally:
        sink.stop()
    arc = system.arcs[name] = system.arc(name, port=sink.port)
    try:
        result = system.settle()
        assert result.duplicates == 0, "the ill one took nothing"
        assert len(arc.received) == 6
    finally:
        host.cli("output", "delete", name, "--yes")


def test_o2_an_arc_that_resets_each_connection_is_tried_until_it_is_well_again(
    system: System, host: Receiver, panels: list[Panel]
) -> None:
    """An end that comes before the receiver has seen its connection stand must not be the end of all tries."""
    sink = Sink("resetting", system.book, fault=Fault.RESET)
    host.cli("output", "add", "resetting", "--kind", "sia-dc09", "--address", sink.address)
    try:
        for panel in panels:
            panel.publish()
        until(lambda: sink.connections >= 4, 15, lambda: f"it is tried again, after {sink.connections} connections")
        sink.fault = Fault.NONE
        assert system.settle(seconds=12).duplicates == 0
    finally:
        host.cli("output", "delete", "resetting", "--yes")
        sink.stop()


def test_o2_a_faulty_arc_is_shown_with_what_is_wrong(system: System, host: Receiver, panels: list[Panel]) -> None:
    sink = Sink("shown", system.book, fault=Fault.DUH)
    host.cli("output", "add", "shown", "--kind", "sia-dc09", "--address", sink.address)
    try:
        panels[0].publish()
        until(lambda: "DUH" in host.cli("alarm", "list", "--limit", "1", "-o", "json").stdout, 10, "the reason is told")
        sink.fault = Fault.CLOSE
        until(lambda: "closed" in host.cli("output", "list").stdout, 10, "the state of the link is told")
        sink.fault = Fault.NONE
        system.settle()
    finally:
        host.cli("output", "delete", "shown", "--yes")
        sink.stop()


def test_s4_a_device_whose_alarm_is_refused_holds_up_nobody_else(
    system: System, host: Receiver, panels: list[Panel]
) -> None:
    """pysiaalarm refuses a frame with two blocks (time and text) for good; the other device's alarms pass."""
    arc = system.arc("picky")
    host.cli("output", "add", "picky", "--kind", "sia-dc09", "--address", arc.address)
    stuck, other = panels
    before = len(system.book.of_account(stuck.account))
    stuck.once(
        alarm_pb2.Alarm(
            alarm_id=str(uuid4()),
            qualifier=alarm_pb2.QUALIFIER_NEW,
            code_format=alarm_pb2.CODE_FORMAT_CONTACT_ID,
            code="130",
            text="two blocks",
        )
    )
    stuck.publish()
    for _ in range(5):
        other.publish()

    def passed() -> bool:
        return len([each for each in arc.received if each.account == other.account]) >= 5

    until(passed, 20, lambda: f"the other device's alarms pass: {arc.received}")
    host.cli("output", "delete", "picky", "--yes")
    sink = Sink("patient", system.book)
    host.cli("output", "add", "patient", "--kind", "sia-dc09", "--address", sink.address)
    # The refused one is tried with one block as well: by now even the picky one may have taken it.
    came = until(
        lambda: system.book.of_account(stuck.account)[before + 1 :], 20, "the refused one and its follower come"
    )
    assert len(came) == 1
    first, follower = system.book.of_account(stuck.account)[before:]
    assert first.sequence < follower.sequence
    assert first.text == ("two blocks" if first.arc == "patient" else None)
    host.cli("output", "delete", "patient", "--yes")
    sink.stop()
