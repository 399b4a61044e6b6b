"""A real Prometheus scrapes a running group: the dashboard's queries bring data, and when receivers are killed the
right alerts fire, and resolve after they are back."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.harness.panels import Stream
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.prometheus import Alert, Prometheus
from tests.acceptance.harness.prometheus_rules import FOLDER, RULE_FILES, shortened
from tests.acceptance.harness.system import ARC_ID, System
from tools.protos import ROOT

pytestmark = [pytest.mark.full, pytest.mark.deb]

DASHBOARD = ROOT / "deploy" / "grafana" / "hotspare.json"
FACTOR = 60.0
"""What the rules call a minute is a second here."""
RATE = 2.0
"""Alarms a second of the device."""

NOT_AT_REST = {
    "Who works: nobody",
    "Take-over: half of them within",
    "Take-over: 99 % within",
    "Moves of this account: {{reason}}",
    "Annotation: Moves",
    "Annotation: Alerts",
}
"""Queries that have data only after an event, which a test here causes: a receiver is lost, and then nobody works."""

LOST = {"HotspareReceiverDown", "HotspareReceiverLost", "HotspareMemberMissing"}
"""What the loss of a host leads to, while a spare works."""
NOBODY = "HotspareNobodyWorks"
OF_SHORT_TIMES = {
    "HotspareBacklogOld",  # what was in flight waits for the lease of the dead, which is no shorter here
    "HotspareConfirmationsSlow",
    "HotspareNobodyPulls",  # a second without a stream of alarms, while the work moves
    "HotspareOutputDown",  # a second without a link, at a start
    "HotspareReceiverUnhealthy",
    "HotspareWorkingReceiverUnhealthy",
    "HotspareSyncBehind",
    "HotspareCloudStalls",
    "HotspareReceiverStale",
    "HotspareCloudNotReached",
    "HotspareNoReceiverWorks",  # a second, while the work moves
}
"""What a real minute would not have seen."""
OF_A_WEEK = {"HotspareUnattendedTooLong"}
"""It adds up a week, which takes hours also when it is shortened: it may fire, and goes on."""


@dataclass(frozen=True)
class Query:
    """A query of the dashboard."""

    title: str
    expr: str


def queries() -> list[Query]:
    """All queries of panels and annotations."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = [
        Query(f"{panel['title']}: {target['legendFormat']}", target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    return found + [Query(f"Annotation: {each['name']}", each["expr"]) for each in dashboard["annotations"]["list"]]


def filled_in(text: str, values: dict[str, str]) -> str:
    """A query with the dashboard's variables filled in, as Grafana does; the longest names first."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"${name}", values[name])
    assert "$" not in text, f"a variable is left in {text}"
    return text


class Watched:
    """A host and a spare, one device that publishes all the time, and Prometheus."""

    def __init__(self, system: System, prometheus: Prometheus) -> None:
        self.system = system
        self.prometheus = prometheus
        self.values = self._variables()
        self.queries = [Query(each.title, filled_in(each.expr, self.values)) for each in queries()]

    def _variables(self) -> dict[str, str]:
        """The variables of the dashboard, each the first of its values; the receiver is the host."""
        dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        values = {"__rate_interval": "30s", "__range": "5m"}
        for variable in dashboard["templating"]["list"]:
            if variable["type"] != "query":
                continue
            metric, _, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
            offered = self.prometheus.label_values(filled_in(metric, values), label)
            assert offered, f"{variable['name']} has no values"
            values[variable["name"]] = offered[0]
        host = self.system.receivers["host"].addresses["metrics"]
        assert host in self.prometheus.label_values("hotspare_receiver_info", "instance")
        return values | {"instance": host}

    def without_data(self, titles: set[str] | None = None) -> set[str]:
        """Which of the queries bring nothing now, or no number."""
        return {
            query.title
            for query in self.queries
            if (titles is None or query.title in titles)
            and all(math.isnan(series.value) for series in self.prometheus.query(query.expr))
        }

    def alert(self, name: str, **labels: str) -> Alert:
        """One that fires."""
        found = [each for each in self.prometheus.alerts() if each.name == name and each.fires]
        return next(each for each in found if labels.items() <= each.labels.items())


@pytest.fixture(scope="module")
def watched(system: System) -> Iterator[Watched]:
    system.start_group(("host", "spare1"), sinks=True)
    system.set_group(failback_delay="1s")
    system.await_working("host")
    panel = system.panel("panel-1", "0F01")
    rules = []
    for name in RULE_FILES:
        rules.append(system.folder / name)
        rules[-1].write_text(shortened((FOLDER / name).read_text(encoding="utf-8"), FACTOR))
    receivers = [receiver.addresses["metrics"] for receiver in system.receivers.values()]
    jobs = {"hotspare-cloud": [system.cloud.addresses["metrics"]], "hotspare-receiver": receivers}
    prometheus = Prometheus(Path(system.folder), jobs, rules)
    system.server(prometheus)
    prometheus.start()
    with Stream([panel], RATE):
        yield Watched(system, prometheus.serving())


def test_every_query_of_the_dashboard_brings_data_at_rest_or_waits_for_an_event(watched: Watched) -> None:
    assert watched.values["arc_id"] == ARC_ID
    # What calls come is a panel as well: there have to be some.
    watched.system.receivers["host"].cli("status")

    def missing() -> set[str]:
        return watched.without_data() - NOT_AT_REST

    # Rates need two scrapes.
    until(lambda: not missing(), 20, lambda: f"all have data; without: {missing()}")
    until(lambda: not watched.prometheus.firing(), 30, lambda: f"nothing fires: {watched.prometheus.firing()}")
    assert {query.title for query in watched.queries} >= NOT_AT_REST
    assert watched.without_data(NOT_AT_REST) == NOT_AT_REST, "what needs no event stands in the list"


def test_the_death_of_a_host_and_then_of_its_spare_fires_the_right_alerts_and_their_return_resolves_them(
    watched: Watched,
) -> None:
    system, prometheus = watched.system, watched.prometheus
    until(lambda: not prometheus.firing() - OF_SHORT_TIMES, 30, lambda: f"nothing fires: {prometheus.firing()}")
    seen: set[str] = set()

    def fires(*names: str) -> Callable[[], bool]:
        def look() -> bool:
            seen.update(prometheus.firing())
            return seen.issuperset(names)

        return look

    system.receivers["host"].kill()
    system.await_working("spare1")
    until(fires(*LOST), 40, lambda: f"{LOST} fire; so far {seen}")
    assert NOBODY not in prometheus.firing(), "the spare works"
    down = watched.alert("HotspareMemberMissing", role="host")
    assert (down.labels["arc_id"], down.labels["severity"]) == (ARC_ID, "warning")
    assert down.annotations["runbook"] == "docs/runbook.md#hotsparemembermissing"
    nobody = {"Who works: nobody"}
    until(
        lambda: not watched.without_data(NOT_AT_REST - nobody),
        20,
        lambda: f"the move is shown; without data: {watched.without_data(NOT_AT_REST - nobody)}",
    )

    system.receivers["spare1"].kill()
    until(fires(NOBODY), 20, lambda: f"nobody works, and it fires; so far {seen}")
    assert watched.alert(NOBODY, arc_id=ARC_ID).labels["severity"] == "critical"
    until(lambda: not watched.without_data(nobody), 10, "the dashboard says that nobody works")
    assert seen <= LOST | {NOBODY} | OF_SHORT_TIMES | OF_A_WEEK, "no others"

    for receiver in system.receivers.values():
        receiver.start()
    system.await_working("host")
    until(
        lambda: not prometheus.firing() - OF_A_WEEK - OF_SHORT_TIMES,
        60,
        lambda: f"all have resolved but {prometheus.firing()}",
    )
