"""A device that falls silent is told to the ARC once, and its return once, on each of its paths, whatever is killed in
between (A9)."""

import time
from collections.abc import Iterator

import grpc
import pytest

from hotspare.v1 import alarm_service_pb2, alarm_service_pb2_grpc
from tests.acceptance.harness.panels import AGAIN, Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.scraping import scrape
from tests.acceptance.harness.system import ARC_ID, System

pytestmark = pytest.mark.full

ACCOUNT = "0E01"
ALLOWED = 10.0
"""Seconds: the shortest that an operator can set."""
PATIENCE = ALLOWED + 30.0
CLOUD, DIRECT = "350", "356"
SILENT, BACK = 1, 3


class Site:
    """A host with dual connection, a spare, and one device that is supervised."""

    def __init__(self, system: System) -> None:
        self.system = system
        system.start_group(("host", "spare1"), sinks=True)
        system.await_working("host")
        host = system.receivers["host"]
        host.cli("settings", "set", "--dual-connection", "on")
        key = system.device("panel-1", ACCOUNT, supervision=f"{ALLOWED:g}s").read_text().strip()
        # The system makes alarms of this account too, and nobody tells the checker their numbers.
        system.records.unseen(ACCOUNT)
        self.panel: Panel = system.be_panel("panel-1", ACCOUNT, key)
        self.channel = grpc.insecure_channel(host.grpc)
        self._credentials = (
            ("hotspare-arc-id", ARC_ID),
            ("hotspare-device-id", "panel-1"),
            ("hotspare-device-key", key),
        )

    def beat_at_host(self) -> None:
        """A sign of life on the direct path, as soon as the host takes it."""
        stub = alarm_service_pb2_grpc.AlarmServiceStub(self.channel)
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                stub.Beat(alarm_service_pb2.BeatRequest(), metadata=self._credentials, timeout=5)
                return
            except grpc.RpcError as error:
                if not isinstance(error, grpc.Call) or error.code() not in AGAIN or time.monotonic() > ends:
                    raise
                time.sleep(0.1)

    def events(self, code: str) -> list[int]:
        """Qualifiers of what the ARCs got of the device under this code, each alarm once."""
        received = {each.identity: each for each in self.system.book.of_account(ACCOUNT)}
        return [each.event.qualifier for each in received.values() if each.event.code == code]

    def await_events(self, code: str, *wanted: int) -> None:
        until(lambda: self.events(code) == [*wanted], PATIENCE, lambda: f"{wanted} of {code}: {self.events(code)}")


@pytest.fixture(scope="module")
def site(system: System) -> Iterator[Site]:
    site = Site(system)
    yield site
    site.channel.close()


def test_a9_a_silence_and_its_end_reach_the_arc_once_each_over_a_failover_and_a_killed_cloud(site: Site) -> None:
    system, host = site.system, site.system.receivers["host"]
    site.panel.publish()
    host.kill()
    site.await_events(CLOUD, SILENT)
    assert [each.arc for each in system.book.of_account(ACCOUNT) if each.event.code == CLOUD] == ["spare1"]
    system.cloud.kill()
    system.cloud.start()
    system.cloud.serving()
    system.await_working("spare1")
    time.sleep(ALLOWED + 3)  # longer than its grace: it is silent still, and that was told
    assert site.events(CLOUD) == [SILENT]
    published = site.panel.publish()
    assert published is not None
    site.await_events(CLOUD, SILENT, BACK)
    until(lambda: any(each.sequence == published.sequence for each in system.book.of_account(ACCOUNT)), 10, "it came")
    line = [each.event.code for each in system.book.of_account(ACCOUNT)]
    assert line.index(CLOUD, line.index(CLOUD) + 1) < len(line) - 1, f"its return stands before what it reports: {line}"
    host.start()
    host.serving()
    system.await_working("host")


def test_a9_the_host_tells_the_silence_of_the_direct_path_over_its_own_death(site: Site) -> None:
    host = site.system.receivers["host"]
    site.beat_at_host()
    site.await_events(DIRECT, SILENT)
    host.kill()
    host.start()
    host.serving()
    site.system.await_working("host")
    site.beat_at_host()
    site.await_events(DIRECT, SILENT, BACK)
    page = scrape(host)
    assert page.value("hotspare_receiver_direct_devices_silent") == 0
    assert page.value("hotspare_receiver_direct_devices_supervised") == 1
