"""What monitoring sees: /metrics of cloud and receivers, grpc.health.v1, reflection."""

import urllib.error
import urllib.request
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.scraping import Page, scrape
from tests.acceptance.harness.system import System

CLOUD_SERVICES = {
    f"hotspare.v1.{name}Service" for name in ("Account", "Alarm", "AlarmPull", "Backup", "Role", "Sync", "Version")
}
RECEIVER_SERVICES = {
    f"hotspare.v1.{name}Service"
    for name in ("Alarm", "AlarmFeed", "AlarmPull", "Backup", "Configuration", "Receiver", "Role", "Version")
}
INFRASTRUCTURE = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}

CLOUD_FAMILIES = {
    "hotspare_cloud_member_status",
    "hotspare_cloud_epoch",
    "hotspare_cloud_moves",
    "hotspare_cloud_lease_remaining_seconds",
    "hotspare_cloud_alarms_published",
    "hotspare_cloud_alarms_delivered",
    "hotspare_cloud_alarms_confirmed",
    "hotspare_cloud_alarms_redelivered",
    "hotspare_cloud_alarms_waiting",
    "hotspare_cloud_alarms_oldest_age_seconds",
    "hotspare_cloud_takeover_seconds",
}
RECEIVER_FAMILIES = {
    "hotspare_receiver_role",
    "hotspare_receiver_status",
    "hotspare_receiver_epoch",
    "hotspare_receiver_lease_remaining_seconds",
    "hotspare_receiver_alarms_delivered",
    "hotspare_receiver_alarms_confirmed",
    "hotspare_receiver_alarms_redelivered",
    "hotspare_receiver_alarms_waiting",
    "hotspare_receiver_alarms_oldest_seconds",
}
GRPC_FAMILIES = {"grpc_server_started", "grpc_server_handled", "grpc_server_handling_seconds"}


@pytest.fixture(scope="module")
def group(system: System) -> System:
    system.start_group(("host", "spare1"))
    system.panel("panel-with-a-name", "C0DE")
    system.await_working("host")
    return system


@pytest.fixture(scope="module")
def panel(group: System) -> Panel:
    return group.panels[0]


def families(page: Page) -> set[str]:
    """As the parser of prometheus-client reads them."""
    return {family.name for family in text_string_to_metric_families(page.text)}


def raw_page(server: Server) -> str:
    with urllib.request.urlopen(f"http://{server.addresses['metrics']}/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return str(answer.read().decode())


def test_the_families_that_operators_are_promised_exist(group: System) -> None:
    assert families(group.page()) >= CLOUD_FAMILIES | GRPC_FAMILIES
    for receiver in group.receivers.values():
        assert families(scrape(receiver)) >= RECEIVER_FAMILIES | GRPC_FAMILIES


def test_role_status_epoch_and_lease_tell_who_works(group: System) -> None:
    for role, metric_role, status in (("host", "host", "working"), ("spare1", "spare_1", "standby")):
        own = scrape(group.receivers[role])
        assert own.value("hotspare_receiver_role", role=metric_role) == own.value("hotspare_receiver_role") == 1
        assert own.value("hotspare_receiver_status", status=status) == own.value("hotspare_receiver_status") == 1
        assert group.page().value("hotspare_cloud_member_status", role=metric_role, status=status) == 1
    host, spare = (scrape(group.receivers[role]) for role in ("host", "spare1"))
    assert host.value("hotspare_receiver_epoch") == group.epoch()
    assert 0 < host.value("hotspare_receiver_lease_remaining_seconds") < 5
    assert (spare.value("hotspare_receiver_epoch"), spare.value("hotspare_receiver_lease_remaining_seconds")) == (0, 0)
    assert 4 < group.page().value("hotspare_cloud_lease_remaining_seconds") <= 6


def test_counters_of_alarms_move_and_the_backlog_comes_and_goes(group: System, panel: Panel) -> None:
    def counts() -> list[int]:
        cloud, host = group.page(), scrape(group.receivers["host"])
        return [
            int(cloud.value("hotspare_cloud_alarms_published_total", result="stored")),
            int(cloud.value("hotspare_cloud_alarms_delivered_total")),
            int(cloud.value("hotspare_cloud_alarms_confirmed_total")),
            int(cloud.value("hotspare_cloud_alarm_confirmation_seconds_count")),
            int(host.value("hotspare_receiver_alarms_delivered_total")),
            int(host.value("hotspare_receiver_alarms_confirmed_total")),
        ]

    before, slow = counts(), group.arcs["host"]
    slow.delay = 1.5
    try:
        for _ in range(3):
            panel.publish()

        def backlog(page: Page) -> bool:
            oldest = page.value("hotspare_cloud_alarms_oldest_age_seconds")
            return page.value("hotspare_cloud_alarms_waiting") >= 1 and 0.5 < oldest < 10

        until(lambda: backlog(group.page()), 5, "alarms wait, and the oldest ages")
        assert scrape(group.receivers["host"]).value("hotspare_receiver_alarms_waiting") >= 1
    finally:
        slow.delay = 0.0
    group.settle()
    until(lambda: counts() == [count + 3 for count in before], 5, lambda: f"{before} grew by 3: {counts()}")
    until(lambda: group.page().value("hotspare_cloud_alarms_oldest_age_seconds") == 0, 5, "nothing waits")
    calls = {"grpc_service": "hotspare.v1.AlarmService", "grpc_method": "PublishAlarm"}
    assert group.page().value("grpc_server_started_total", **calls) >= 3
    assert group.page().value("grpc_server_handled_total", **calls, grpc_code="OK") >= 3
    assert group.page().value("grpc_server_handled_total", **calls, grpc_code="InvalidArgument") >= 1
    assert group.page().value("grpc_server_handling_seconds_count", **calls) >= 3


def test_no_label_and_no_page_names_a_device(group: System) -> None:
    for server in (group.cloud, *group.receivers.values()):
        page = raw_page(server)
        assert "panel-with-a-name" not in page
        assert "C0DE" not in page
        assert group.arc_key.read_text().strip() not in page


def test_only_metrics_are_served_there(group: System) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{group.cloud.addresses['metrics']}/", timeout=5)


@pytest.mark.parametrize("name", ["cloud", "host", "spare1"])
def test_health_is_serving_also_on_standby(group: System, name: str) -> None:
    server = group.cloud if name == "cloud" else group.receivers[name]
    services = CLOUD_SERVICES if name == "cloud" else RECEIVER_SERVICES
    with grpc.insecure_channel(server.grpc) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", *services):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, service
        with pytest.raises(grpc.RpcError) as unknown:
            stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=5)
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", ["cloud", "host"])
def test_reflection_lists_the_services_and_describes_them(group: System, name: str) -> None:
    server = group.cloud if name == "cloud" else group.receivers[name]
    services = CLOUD_SERVICES if name == "cloud" else RECEIVER_SERVICES
    with grpc.insecure_channel(server.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == services | INFRASTRUCTURE
        for service in services:
            file = database.FindFileContainingSymbol(service)
            assert file.package == "hotspare.v1"


def test_moves_redeliveries_and_the_take_over_are_counted(group: System, panel: Panel) -> None:
    """The last one here: spare 1 works afterwards."""
    before, epoch, slow = group.page(), group.epoch(), group.arcs["host"]
    assert before.value("hotspare_cloud_alarms_redelivered_total") == 0
    slow.delay = 0.5
    for _ in range(4):
        panel.publish()
    until(lambda: group.page().value("hotspare_cloud_alarms_out") >= 2, 5, "alarms in flight")
    group.receivers["host"].kill()
    group.await_working("spare1", 5)
    after = group.page()
    assert after.value("hotspare_cloud_epoch") == epoch + 1
    assert after.value("hotspare_cloud_moves_total", reason="connection_lost") == 1
    assert after.value("hotspare_cloud_member_status", role="host", status="offline") == 1
    assert after.value("hotspare_cloud_alarms_held") >= 2
    until(lambda: group.page().value("hotspare_cloud_takeover_seconds_count") == 1, 5, "the take-over is counted")
    assert 0.5 < group.page().value("hotspare_cloud_takeover_seconds_sum") < 5
    # Its new start proves that the old one has stopped: nobody has to wait for the lease.
    slow.delay = 0.0
    group.receivers["host"].start()
    group.receivers["host"].serving()
    until(lambda: group.page().value("hotspare_cloud_alarms_held") == 0, 2, "what was held goes")
    group.settle()
    assert group.page().value("hotspare_cloud_alarms_redelivered_total") >= 2
    spare = scrape(group.receivers["spare1"])
    assert spare.value("hotspare_receiver_alarms_redelivered_total") >= 2
