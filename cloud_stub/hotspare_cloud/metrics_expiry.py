"""What Prometheus sees of the alarms that the cloud keeps (A8). docs/metrics.md lists it."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_cloud.directory import Directory
from hotspare_cloud.expiry import Expiry
from hotspare_cloud.store.base_expiry import Size

GROUP = ("arc_id", "sub_account")


class ExpiryCollector(Collector):
    """Reads what the last round of the clean-up found; a scrape asks the store nothing."""

    def __init__(self, registry: CollectorRegistry, directory: Directory, expiry: Expiry) -> None:
        self._directory = directory
        self._expiry = expiry
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """All metrics of what is kept."""
        alarms = GaugeMetricFamily("hotspare_cloud_history_alarms", "Alarms that are kept.", labels=GROUP)
        taken = GaugeMetricFamily("hotspare_cloud_history_bytes", "Bytes that they take in the store.", labels=GROUP)
        oldest = GaugeMetricFamily(
            "hotspare_cloud_history_oldest_time_seconds",
            "When the oldest of them was received, seconds since 1970; 0 without any.",
            labels=GROUP,
        )
        for group in self._directory.groups():
            labels, own = [group.row.arc_id, group.row.sub_account], group.row.group_id
            size = self._expiry.sizes.get(own, Size())
            alarms.add_metric(labels, size.alarms)
            taken.add_metric(labels, size.bytes)
            oldest.add_metric(labels, self._expiry.oldest.get(own, 0.0))
        deleted = CounterMetricFamily(
            "hotspare_cloud_history_deleted", "Alarms that were forgotten, by cause.", labels=["cause"]
        )
        for cause, count in self._expiry.deleted.items():
            deleted.add_metric([cause.value], count)
        yield from (alarms, taken, oldest, deleted)
