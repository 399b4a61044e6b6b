"""What the group's configuration does to alarms on running processes: at the host, and at a spare that takes over."""

import json
from pathlib import Path

import pytest

from tests.acceptance.harness.panels import CODES
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.surgard import SurgardSink, Told
from tests.acceptance.harness.system import Receiver, System

pytestmark = pytest.mark.full

LINE = "42"
SILENT_CODE = "602"


def not_forwarded(receiver: Receiver) -> list[str]:
    """Why, of each alarm that a receiver kept from its ARC."""
    answer = receiver.cli("alarm", "list", "--state", "not-forwarded", "-o", "json")
    return [alarm["last_problem"] for alarm in json.loads(answer.stdout).get("alarms", [])]


def test_a4_o1_an_edit_on_the_host_acts_there_and_at_the_spare_that_takes_over(tmp_path: Path) -> None:
    heard: list[Told] = []
    with System(tmp_path) as system:
        system.start_cloud()
        sinks = {role: SurgardSink(heard) for role in ("host", "spare1")}
        for role, sink in sinks.items():
            receiver = system.receivers[role] = system.start_receiver(role)
            receiver.serving()
            system.tell_cloud(receiver)
            receiver.cli("output", "add", "arc", "--kind", "surgard", "--address", sink.address, "--width", "system")
            receiver.cli("enable", "--role", role)
        host, spare = system.receivers["host"], system.receivers["spare1"]
        panels = [system.panel("panel-1", "0B01"), system.panel("panel-2", "0B02")]
        host.cli("device", "update", "panel-1", "--line", LINE)
        host.cli("event", "update", SILENT_CODE, "--forwarded", "no")
        host.cli("device", "update", "panel-2", "--disabled", "yes")

        def synced() -> bool:
            shown = json.loads(spare.cli("device", "show", "panel-2", "-o", "json").stdout)
            return bool(shown["device"]["disabled"])

        until(synced, 15, "the spare has the edits")

        def round_at(role: str, receiver: Receiver) -> None:
            before = len(panels[0].published)
            for _ in CODES:
                for panel in panels:
                    assert panel.publish() is not None
            expected = [Told.of(alarm) for alarm in panels[0].published[before:] if alarm.event.code != SILENT_CODE]
            until(lambda: sinks[role].alarms == expected, 15, lambda: f"{role}'s ARC has {sinks[role].alarms}")
            until(lambda: system.page().value("hotspare_cloud_alarms_waiting") == 0, 10, "all are confirmed")
            assert {raw[:6] for raw in sinks[role].raw} == {f"501{int(LINE):03d}".encode()}
            reasons = sorted(not_forwarded(receiver))
            assert reasons == [
                *["not forwarded: the device panel-2 is disabled"] * len(CODES),
                f"not forwarded: the event {SILENT_CODE} is defined so",
            ]

        try:
            system.await_working("host")
            round_at("host", host)
            host.kill()
            system.await_working("spare1")
            round_at("spare1", spare)
        finally:
            for sink in sinks.values():
                assert sink.rubbish == []
                sink.stop()
