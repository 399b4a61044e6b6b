"""Devices that are connected to the host as well (D1 to D4): one line of alarms, whichever path they come by, and a
host that is cut off from the cloud."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_pb2, alarm_service_pb2
from hotspare.v1.receiver_service_pb2 import GetStatusResponse
from tests.acceptance.harness.cli import parsed
from tests.acceptance.harness.panels import AGAIN, Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import ARC_ID, Receiver, System

pytestmark = pytest.mark.full

PATIENCE = 15.0
ACCOUNT = "0D01"
ISOLATED = alarm_pb2.ALARM_MARK_ISOLATED


class Site:
    """A host with dual connection, a spare, and one device that reaches both the cloud and the host."""

    def __init__(self, system: System) -> None:
        self.system = system
        system.start_group(("host", "spare1"), proxied=True, sinks=True)
        system.await_working("host")
        system.set_group(failback_delay="1s")
        self.host.cli("settings", "set", "--dual-connection", "on")
        key = system.device("panel-1", ACCOUNT).read_text().strip()
        # Alarms of this device have other numbers on the wire while the host is cut off: the checker leaves them out.
        system.records.unseen(ACCOUNT)
        self.at_cloud = system.be_panel("panel-1", ACCOUNT, key)
        self.channel = grpc.insecure_channel(self.host.grpc)
        self.at_host = Panel(self.channel, ARC_ID, "panel-1", ACCOUNT, key)
        self._zone = 0

    @property
    def host(self) -> Receiver:
        return self.system.receivers["host"]

    def alarm(self) -> alarm_pb2.Alarm:
        """The next alarm of the device, known by its zone."""
        self._zone += 1
        now = Timestamp()
        now.FromDatetime(datetime.now(UTC).replace(microsecond=0))
        return alarm_pb2.Alarm(
            alarm_id=str(uuid.uuid4()),
            qualifier=alarm_pb2.QUALIFIER_NEW,
            code_format=alarm_pb2.CODE_FORMAT_CONTACT_ID,
            code="130",
            partition=1,
            zone=self._zone,
            occur_time=now,
        )

    def publish(self, panel: Panel, alarm: alarm_pb2.Alarm | None = None) -> tuple[int, alarm_service_pb2.AlarmReceipt]:
        """Publish until it is answered, as a device does; returns the zone and the receipt."""
        alarm = alarm or self.alarm()
        ends = time.monotonic() + 2 * PATIENCE
        while True:
            try:
                return alarm.zone, panel.once(alarm, timeout=10)
            except grpc.RpcError as error:
                if not isinstance(error, grpc.Call) or error.code() not in AGAIN or time.monotonic() > ends:
                    raise

    def zones(self, role: str) -> list[int]:
        """What the ARC of a role acknowledged of the device."""
        return [each.event.zone for each in self.system.arcs[role].received if each.account == ACCOUNT]

    def await_zone(self, role: str, zone: int) -> None:
        until(lambda: zone in self.zones(role), PATIENCE, lambda: f"{zone} at the ARC of {role}: {self.zones(role)}")

    def status(self) -> Any:
        return parsed(self.host.cli("status", "-o", "json"), GetStatusResponse).status

    def await_well(self) -> None:
        """The host works, and nothing is left of an isolation."""
        self.system.await_working("host")
        until(lambda: not self.status().HasField("isolation"), PATIENCE, "nothing is left to publish")


@pytest.fixture(scope="module")
def site(system: System) -> Iterator[Site]:
    site = Site(system)
    yield site
    site.channel.close()


@pytest.fixture
def well(site: Site) -> Iterator[Site]:
    """All is well before a test, and the lines are whole after it."""
    site.await_well()
    yield site
    site.system.ways["host"].heal()


def test_d2_d3_an_alarm_on_both_paths_reaches_the_arc_once(well: Site) -> None:
    first, second = well.alarm(), well.alarm()
    assert not well.publish(well.at_host, first)[1].duplicate
    assert well.publish(well.at_cloud, first)[1].duplicate
    assert not well.publish(well.at_cloud, second)[1].duplicate
    zone, receipt = well.publish(well.at_host, second)
    assert receipt.duplicate
    last, receipt = well.publish(well.at_host)
    assert (receipt.account_sequence, list(receipt.marks)) == (3, [])
    well.await_zone("host", last)
    assert well.zones("host") == [first.zone, zone, last]
    well.system.settle()


def test_d2_the_working_receiver_forwards_what_the_host_takes(well: Site) -> None:
    well.host.cli("switchover", "--to", "spare1", "--yes", "--reason", "a test")
    well.system.await_working("spare1")
    zone, _ = well.publish(well.at_host)
    well.await_zone("spare1", zone)
    assert zone not in well.zones("host")
    well.host.cli("resume")
    well.system.await_working("host")


def test_d1_a_spare_takes_no_direct_device(well: Site) -> None:
    with (
        grpc.insecure_channel(well.system.receivers["spare1"].grpc) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        Panel(channel, ARC_ID, "panel-1", ACCOUNT, "any").once(well.alarm())
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_d4_a_host_that_is_cut_off_forwards_direct_alarms_and_the_cloud_has_them_as_confirmed(well: Site) -> None:
    system, way = well.system, well.system.ways["host"]
    cut = time.monotonic()
    way.cut()
    system.await_working("spare1")
    # Each path goes on alone: the cloud's alarms by the spare, the direct ones by the host.
    by_cloud, _ = well.publish(well.at_cloud)
    well.await_zone("spare1", by_cloud)
    zones = []
    for _ in range(5):
        zone, receipt = well.publish(well.at_host)
        assert (receipt.account_sequence, list(receipt.marks)) == (0, [ISOLATED])
        zones.append(zone)
    for zone in zones:
        well.await_zone("host", zone)
    isolation = well.status().isolation
    assert (isolation.taken, isolation.unpublished) == (5, 5)
    assert scrape(well.host).value("hotspare_receiver_direct_isolated") == 1
    way.heal()
    system.records.disturbed("host", "cut off from the cloud", cut)
    well.await_well()
    assert [zone for zone in well.zones("host") if zone in zones] == zones
    assert not set(zones) & set(well.zones("spare1"))
    assert system.page().value("hotspare_cloud_alarms_waiting") == 0
    # Known at the cloud from now on: the device that missed its answer asks there.
    later, receipt = well.publish(well.at_host)
    assert receipt.account_sequence > 0
    well.await_zone("host", later)


def test_d4_what_the_cloud_may_have_is_not_forwarded_by_the_cut_off_host(well: Site) -> None:
    system, way = well.system, well.system.ways["host"]
    cut = time.monotonic()
    # What the host says arrives, and no answer comes back: the cloud has the alarm, and the host can't know.
    way.cut(way.down)
    alarm = well.alarm()
    well.publish(well.at_host, alarm)
    system.await_working("spare1")
    well.await_zone("spare1", alarm.zone)
    other, _ = well.publish(well.at_host)
    well.await_zone("host", other)
    way.heal()
    system.records.disturbed("host", "hears nothing of the cloud", cut)
    well.await_well()
    assert [well.zones(role).count(alarm.zone) for role in ("host", "spare1")] == [0, 1]
    assert [well.zones(role).count(other) for role in ("host", "spare1")] == [1, 0]


def test_d4_what_a_cut_off_host_took_survives_its_kill(well: Site) -> None:
    system, way = well.system, well.system.ways["host"]
    cut = time.monotonic()
    way.cut()
    system.await_working("spare1")
    zone, receipt = well.publish(well.at_host)
    assert list(receipt.marks) == [ISOLATED]
    until(lambda: well.status().isolation.confirmed, PATIENCE, "its confirmation is kept")
    well.host.kill()
    well.host.start()
    well.host.serving()
    system.records.disturbed("host", "cut off and killed", cut)
    assert well.status().isolation.unpublished == 1
    way.heal()
    well.await_well()
    assert [well.zones(role).count(zone) for role in ("host", "spare1")] == [1, 0]
