"""What Prometheus sees of the supervision of devices. By group, never by device. docs/metrics.md lists it."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_cloud.directory import Directory
from hotspare_cloud.supervision import Supervision

GROUP = ("arc_id", "sub_account")


class SupervisionCollector(Collector):
    """Reads the supervision when it is scraped."""

    def __init__(self, registry: CollectorRegistry, directory: Directory, supervision: Supervision) -> None:
        self._directory = directory
        self._supervision = supervision
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """All metrics of the supervision."""
        supervised = GaugeMetricFamily(
            "hotspare_cloud_devices_supervised", "Devices whose silence would be noticed.", labels=GROUP
        )
        silent = GaugeMetricFamily("hotspare_cloud_devices_silent", "Devices that are silent now.", labels=GROUP)
        waiting = GaugeMetricFamily(
            "hotspare_cloud_supervision_events_waiting", "Devices of which the ARC is still to be told.", labels=GROUP
        )
        events = CounterMetricFamily(
            "hotspare_cloud_supervision_events", "Events of supervision that were stored.", labels=[*GROUP, "event"]
        )
        storms = CounterMetricFamily(
            "hotspare_cloud_supervision_storms", "Times when more was to be told at once than may be.", labels=GROUP
        )
        for group in self._directory.groups():
            labels, lives = [group.row.arc_id, group.row.sub_account], self._supervision.known(group.row.group_id)
            supervised.add_metric(labels, lives.supervisor.supervised if lives else 0)
            silent.add_metric(labels, lives.supervisor.silent if lives else 0)
            waiting.add_metric(labels, lives.supervisor.waiting if lives else 0)
            storms.add_metric(labels, lives.supervisor.storms if lives else 0)
            for name in ("silent", "back"):
                events.add_metric([*labels, name], lives.told[name] if lives else 0)
        yield from (supervised, silent, waiting, events, storms)
        yield CounterMetricFamily(
            "hotspare_cloud_supervision_outages",
            "Outages of the cloud's own, after which every device got one interval of grace.",
            self._supervision.outages.count,
        )
