"""A8: the life of an alarm as every receiver tells it, and the end of the history at a receiver and at the cloud."""

import signal
import sqlite3
from pathlib import Path

import pytest

from hotspare.v1 import alarm_pb2
from hotspare.v1.alarm_feed_service_pb2 import GetAlarmResponse, ListAlarmsResponse
from tests.acceptance.harness.arcs import Sink
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import Receiver, System

pytestmark = pytest.mark.full

AGE_AT_RECEIVER, AGE_AT_CLOUD = 3 * 86_400.0, 100 * 86_400.0
"""Seconds. The receiver is set to keep its history for two days; the cloud keeps its alarms for 90 by default."""

OLD = 250
"""Alarms that are made that old: more than one step of the clean-up."""

_AGE_RECEIVER = """
    UPDATE alarm SET received = received - :span, delivered = delivered - :span, confirmed = confirmed - :span,
        acknowledged = acknowledged - :span WHERE number <= :old
"""
_AGE_CLOUD = """
    UPDATE alarm SET received_at = received_at - :span, confirmed_at = confirmed_at - :span WHERE number <= :old
"""


@pytest.fixture(scope="module")
def host(system: System) -> Receiver:
    """A host and a spare, whose ARCs look at no clock."""
    system.start_group(("host", "spare1"), sinks=True)
    system.await_working("host")
    return system.receivers["host"]


@pytest.fixture(scope="module")
def panel(system: System, host: Receiver) -> Panel:
    return system.panel("panel-1", "0C01")


def listed(receiver: Receiver, *words: str) -> list[alarm_pb2.AlarmRecord]:
    return list(parsed(receiver.cli("alarm", "list", *words, "-o", "json"), ListAlarmsResponse).alarms)


def stop(server: Server) -> None:
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def age(file: Path, statement: str, span: float) -> None:
    """Make the first alarms of a stopped server's database older."""
    with sqlite3.connect(file) as database:
        database.execute(statement, {"span": span, "old": OLD})
    database.close()


def test_a8_every_receiver_tells_the_life_of_an_alarm_and_the_one_that_had_it_without_the_cloud_too(
    system: System, host: Receiver, panel: Panel
) -> None:
    panel.publish()
    system.settle()
    spare = system.receivers["spare1"]
    (mine,) = listed(host)
    key = str(mine.stored.number)
    own = parsed(host.cli("alarm", "show", key, "-o", "json"), GetAlarmResponse).alarm
    assert [attempt.outcome for attempt in own.attempts] == [alarm_pb2.ATTEMPT_OUTCOME_CONFIRMED]
    assert b"ADM-CID" in own.attempts[0].frame
    (delivery,) = own.delivery_history
    assert (delivery.receiver_id, delivery.epoch, delivery.end) == (
        own.receiver_id, own.epoch, alarm_pb2.DELIVERY_END_CONFIRMED,
    )  # fmt: skip
    assert listed(spare) == []
    elsewhere = parsed(spare.cli("alarm", "show", own.stored.alarm.alarm_id, "-o", "json"), GetAlarmResponse).alarm
    assert (elsewhere.receiver_id, elsewhere.state) == (own.receiver_id, alarm_pb2.ALARM_STATE_CONFIRMED)
    assert list(elsewhere.delivery_history) == list(own.delivery_history)

    stop(system.cloud)
    shown = host.cli("alarm", "show", key).stdout
    assert "The cloud could not be asked" in shown
    assert "attempt 1 at output arc: confirmed" in shown
    assert "could not be asked" in spare.cli("alarm", "show", key, fail=True).stderr
    system.cloud.start()
    system.cloud.serving()
    system.await_working("host")


def test_a2_a8_what_is_old_goes_at_both_while_what_is_new_passes(system: System, host: Receiver, panel: Panel) -> None:
    sink = system.arcs["host"]
    assert isinstance(sink, Sink)
    for _ in range(OLD + 10 - len(panel.published)):
        panel.publish()
    system.settle()
    host.cli("settings", "set", "--history-age", "2d")
    until(lambda: scrape(host).value("hotspare_receiver_confirmations_unstored") == 0, 10, "the cloud has stored all")
    for server in (*system.receivers.values(), system.cloud):
        stop(server)
    age(host.data / "receiver.db", _AGE_RECEIVER, int(AGE_AT_RECEIVER * 1e6))
    age(system.folder / "cloud" / "cloud.db", _AGE_CLOUD, AGE_AT_CLOUD)
    for server in (system.cloud, *system.receivers.values()):
        server.start()
        server.serving()
    system.await_working("host")
    while scrape(host).value("hotspare_receiver_history_deleted_total", cause="age") < OLD:
        # The path goes on meanwhile.
        panel.publish()
        assert len(panel.published) < OLD + 2000, "it takes too long"
    until(lambda: system.page().value("hotspare_cloud_history_deleted_total", cause="age") == OLD, 20, "the cloud too")
    system.settle()
    numbers = [record.stored.number for record in listed(host)]
    assert (numbers[-1], len(numbers)) == (OLD + 1, len(panel.published) - OLD)
    gone = host.cli("alarm", "show", "1", fail=True)
    assert gone.status == 5
    assert "does not have it, or no longer" in gone.stderr
    kept = parsed(host.cli("alarm", "show", str(OLD + 1), "-o", "json"), GetAlarmResponse).alarm
    assert (len(kept.attempts), len(kept.delivery_history)) == (1, 1)
    until(lambda: scrape(host).value("hotspare_receiver_history_oldest_time_seconds") > 0, 5, "the oldest is told")
