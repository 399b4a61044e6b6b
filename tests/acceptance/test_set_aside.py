"""A5: an alarm that the ARC refuses in so many words is set aside, told everywhere, and sent again by an operator."""

from collections.abc import Iterator

import pytest

from hotspare.v1 import alarm_pb2
from hotspare.v1.alarm_feed_service_pb2 import GetAlarmResponse, ListAlarmsResponse
from hotspare.v1.alarm_pull_service_pb2 import (
    SET_ASIDE_CAUSE_LOST_UNDER_IT,
    SET_ASIDE_CAUSE_REFUSED,
    ListQueueResponse,
    QueuedAlarm,
    ReplayAlarmResponse,
)
from hotspare.v1.receiver_service_pb2 import GetStatusResponse
from tests.acceptance.harness.arcs import Fault, Sink
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import Receiver, System

REFUSALS = 3
"""As the group is set: with the default it takes some seconds more."""


@pytest.fixture(scope="module")
def host(system: System) -> Receiver:
    """A host and a spare, whose ARCs look at no clock."""
    system.start_group(("host", "spare1"), sinks=True)
    system.await_working("host")
    system.set_group(set_aside_after=REFUSALS)
    return system.receivers["host"]


@pytest.fixture(scope="module")
def panels(system: System, host: Receiver) -> list[Panel]:
    return [system.panel("panel-1", "0C01"), system.panel("panel-2", "0C02")]


@pytest.fixture
def arc(system: System, host: Receiver) -> Iterator[Sink]:
    """The ARC of the host; it is well again after the test."""
    sink = system.arcs["host"]
    assert isinstance(sink, Sink)
    yield sink
    sink.fault = Fault.NONE


def rejected(receiver: Receiver) -> list[QueuedAlarm]:
    return list(parsed(receiver.cli("alarm", "rejected", "-o", "json"), ListQueueResponse).alarms)


def await_next(system: System, epoch: int) -> None:
    until(lambda: system.epoch() > epoch and system.working(), 20, "somebody works again")


def advice(receiver: Receiver) -> str:
    return "\n".join(parsed(receiver.cli("status", "-o", "json"), GetStatusResponse).status.advice)


def test_a5_what_the_arc_refuses_is_set_aside_told_passed_and_sent_again(
    system: System, host: Receiver, panels: list[Panel], arc: Sink
) -> None:
    arc.fault = Fault.DUH
    refused = panels[0].publish()
    assert refused is not None
    until(lambda: rejected(host), 20, lambda: f"it is set aside: {len(arc.attempts)} attempts")
    assert len(arc.attempts) == REFUSALS
    system.records.set_aside(refused.account, refused.sequence)
    arc.fault = Fault.NONE
    for panel in panels:
        panel.publish()
    # It holds up nobody, the later one of its own device included (A3).
    until(lambda: len(arc.received) >= 2, 10, lambda: f"the later ones passed: {arc.received}")
    for receiver in system.receivers.values():
        (row,) = rejected(receiver)
        assert (row.stored.account_sequence, row.cause) == (refused.number, SET_ASIDE_CAUSE_REFUSED)
        assert b"ADM-CID" in row.frame
        assert b"DUH" in row.answer
        assert f"refused it {REFUSALS} times" in row.reason
    page = system.page()
    assert page.value("hotspare_cloud_alarms_rejected") == 1
    assert page.value("hotspare_cloud_alarms_set_aside_total", cause="refused") == 1
    assert page.value("hotspare_cloud_alarms_waiting") == 0
    assert scrape(host).value("hotspare_receiver_alarms_set_aside_total") == 1
    until(lambda: "1 alarm is set aside" in advice(host), 5, "the status tells")
    listed = parsed(host.cli("alarm", "list", "--state", "set-aside", "-o", "json"), ListAlarmsResponse)
    number = listed.alarms[0].stored.number
    shown = parsed(host.cli("alarm", "show", str(number), "-o", "json"), GetAlarmResponse).alarm
    assert [each.outcome for each in shown.attempts] == [alarm_pb2.ATTEMPT_OUTCOME_REFUSED] * REFUSALS

    answer = host.cli("alarm", "replay", listed.alarms[0].stored.alarm.alarm_id, "-o", "json")
    assert parsed(answer, ReplayAlarmResponse).alarm.replayed_by == "admin"
    until(lambda: len(arc.received) >= 3, 10, lambda: f"it came: {arc.received}")
    assert arc.received[-1].sequence == refused.sequence, "the same identity (A6)"
    assert rejected(host) == []
    until(lambda: system.page().value("hotspare_cloud_alarms_waiting") == 0, 5, "the cloud has the confirmation")
    assert "set aside" not in advice(host)
    again = host.cli("alarm", "replay", str(number), fail=True)
    assert "ALARM_NOT_SET_ASIDE" in again.stderr


@pytest.mark.full
def test_a5_a_nak_sets_nothing_aside_and_is_told_as_a_problem_of_clocks(
    system: System, host: Receiver, panels: list[Panel], arc: Sink
) -> None:
    arc.fault = Fault.NAK
    before = len(arc.attempts)
    alarm = panels[0].publish()
    assert alarm is not None
    until(lambda: len(arc.attempts) - before > REFUSALS, 20, "it is sent again")
    assert "refused its time (NAK)" in advice(host)
    assert rejected(host) == []
    arc.fault = Fault.NONE
    until(lambda: arc.received[-1].sequence == alarm.sequence, 15, "it came")
    until(lambda: "NAK" not in advice(host), 5, "the problem is gone")


@pytest.mark.full
def test_timing_4_an_alarm_with_which_the_host_dies_again_and_again_is_set_aside(
    system: System, host: Receiver, panels: list[Panel], arc: Sink
) -> None:
    """Each death comes while the ARC has the alarm and is silent; another device's alarm waits for it."""
    arc.fault = Fault.MUTE
    other = system.arcs["spare1"]
    assert isinstance(other, Sink)
    other.fault = Fault.MUTE
    poison = panels[0].publish()
    assert poison is not None
    later = None
    for life in range(3):
        epoch = system.epoch()
        working = system.receivers[system.working() or "host"]
        until(lambda: system.page().value("hotspare_cloud_alarms_out") == 1, 20, "it has the alarm")
        if life == 2:
            later = panels[1].publish()
        working.kill()
        working.start()
        working.serving()
        await_next(system, epoch)
    arc.fault = other.fault = Fault.NONE
    (row,) = until(lambda: rejected(host), 20, "it is set aside")
    assert (row.stored.account_sequence, row.cause, row.losses) == (poison.number, SET_ASIDE_CAUSE_LOST_UNDER_IT, 3)
    system.records.set_aside(poison.account, poison.sequence)
    assert later is not None
    until(lambda: system.book.of_account(later.account)[-1].sequence == later.sequence, 20, "the later one came")
    host.cli("alarm", "replay", str(row.stored.number))
    until(lambda: system.book.of_account(poison.account)[-1].sequence == poison.sequence, 20, "it came after all")
    until(lambda: system.page().value("hotspare_cloud_alarms_waiting") == 0, 10, "the cloud has the confirmation")
