"""Outputs on running processes: Sur-Gard over a failover, test, pause and resume by the CLI, DC-09 over UDP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pysiaalarm.account import SIAAccount
from pysiaalarm.event import SIAEvent
from pysiaalarm.sync.client import SIAClient
from pysiaalarm.utils.enums import CommunicationsProtocol, MessageTypes

from tests.acceptance.harness.book import WINDOW
from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.surgard import SurgardSink, Told
from tests.acceptance.harness.system import Receiver, System

ROLES = ("host", "spare1")


class Group:
    """A host and a spare, each with Sur-Gard software of its own."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.acknowledged: list[Told] = []
        self.sinks = {role: SurgardSink(self.acknowledged) for role in ROLES}
        system.start_cloud()
        for role in ROLES:
            receiver = system.receivers[role] = system.start_receiver(role)
            receiver.serving()
            system.tell_cloud(receiver)
            width = ("--width", "system") if role == "spare1" else ()
            options = ("--heartbeat", "1s", "--answer-timeout", "1s", *width)
            receiver.cli("output", "add", "arc", "--kind", "surgard", "--address", self.sinks[role].address, *options)
            receiver.cli("enable", "--role", role)
        self.panels = [system.panel("panel-1", "0B01"), system.panel("panel-2", "0B02")]

    def receiver(self, role: str) -> Receiver:
        return self.system.receivers[role]

    def publish(self, count: int) -> None:
        for _ in range(count):
            for panel in self.panels:
                assert panel.publish() is not None

    def first_receipts(self, panel: Panel) -> list[Told]:
        """What came of a panel, at whichever ARC, each once."""
        return list(dict.fromkeys(told for told in self.acknowledged if told.account == panel.account))

    def all_came_in_order(self) -> bool:
        return all(
            self.first_receipts(panel) == list(dict.fromkeys(Told.of(alarm) for alarm in panel.published))
            for panel in self.panels
        )


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    # The checker of the other modules knows alarms by their sequence, which Sur-Gard has not.
    with System(tmp_path_factory.mktemp("outputs")) as system:
        group = Group(system)
        yield group
        for sink in group.sinks.values():
            assert sink.rubbish == []
            sink.stop()


def test_o1_sur_gard_carries_alarms_and_an_output_is_tested_on_standby_too(group: Group) -> None:
    group.system.await_working("host")
    group.publish(10)
    until(group.all_came_in_order, 15, "all alarms came in order")
    assert len(group.sinks["host"].alarms) == 20
    tested = group.receiver("spare1").cli("output", "test", "arc", "--account", "0B09", "-o", "json")
    assert json.loads(tested.stdout)["outcome"] == "ATTEMPT_OUTCOME_CONFIRMED"
    assert group.sinks["spare1"].alarms == [Told("0B09", 1, "601", 0, 0)]


@pytest.mark.full
def test_o1_after_four_attempts_only_heartbeats_until_one_is_answered(group: Group) -> None:
    """The spare's ARC is well, so it would take over; the pause of moves keeps the host at work."""
    host, sink = group.receiver("host"), group.sinks["host"]
    host.cli("pause", "--yes")
    try:
        sink.silent = True
        before = len(sink.raw)
        group.publish(2)
        until(lambda: len(sink.raw) - before >= 4, 15, "it is tried four times")
        until(lambda: "4 times in a row" in host.cli("output", "list").stdout, 15, "the lost link is shown")
        beats = sink.heartbeats
        until(lambda: sink.heartbeats >= beats + 2, 15, "heartbeats go on")
        assert len(set(sink.raw[before:])) == 1, "the oldest alone was tried"
        assert len(sink.raw) - before == 4
        sink.silent = False
        until(group.all_came_in_order, 20, "all alarms came in order")
        assert sink.raw[before + 4] == sink.raw[before], "the oldest goes first"
    finally:
        sink.silent = False
        host.cli("resume")


@pytest.mark.full
def test_f3_a_paused_required_output_hands_the_work_over_and_resume_brings_it_back(group: Group) -> None:
    host = group.receiver("host")
    host.cli("output", "pause", "arc", "--yes")
    assert "paused" in host.cli("output", "list").stdout
    group.system.await_working("spare1")
    group.publish(3)
    until(group.all_came_in_order, 15, "all alarms came in order")
    refused = host.cli("output", "test", "arc", "--account", "0B09", fail=True)
    assert "an operator paused it" in refused.stderr
    host.cli("output", "resume", "arc")
    group.system.await_working("host", 45)


@pytest.mark.full
def test_f6_a_killed_host_loses_no_alarm_over_sur_gard(group: Group) -> None:
    group.publish(5)
    group.receiver("host").kill()
    group.publish(5)
    group.system.await_working("spare1")
    group.publish(5)
    until(group.all_came_in_order, 30, "all alarms came in order")
    published = sum(len(panel.published) for panel in group.panels)
    received = sum(told.account != "0B09" for told in group.acknowledged)
    assert published <= received <= published + WINDOW


@pytest.mark.full
def test_o1_dc09_goes_over_udp_as_sia_dcs_to_pysiaalarm(tmp_path: Path) -> None:
    heard: list[SIAEvent] = []
    client = SIAClient("127.0.0.1", 0, [SIAAccount("0B01")], heard.append, protocol=CommunicationsProtocol.UDP)
    client.start(poll_interval=0.05)
    address = f"127.0.0.1:{client.sia_server.server_address[1]}"
    try:
        with System(tmp_path) as system:
            system.start_cloud()
            host = system.receivers["host"] = system.start_receiver("host")
            host.serving()
            system.tell_cloud(host)
            words = ("--kind", "sia-dc09", "--transport", "udp", "--form", "sia-dcs", "--receiver-number", "1")
            host.cli("output", "add", "arc", "--address", address, *words)
            host.cli("enable", "--role", "host")
            panel = system.panel("panel-1", "0B01")
            for _ in range(5):
                assert panel.publish() is not None
            until(lambda: len(heard) >= 5, 15, "all alarms came")
            until(lambda: system.page().value("hotspare_cloud_alarms_waiting") == 0, 10, "all are confirmed")
            # Its callbacks come in any order, from a thread for each datagram.
            assert sorted(int(event.sequence or 0) for event in heard) == [alarm.sequence for alarm in panel.published]
            assert {event.message_type for event in heard} == {MessageTypes.SIADCS}
            for event in heard:
                assert isinstance(event.timestamp, datetime)
                assert abs(datetime.now(UTC) - event.timestamp).total_seconds() < 40
    finally:
        client.stop()
