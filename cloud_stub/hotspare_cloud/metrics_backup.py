"""What Prometheus sees of the cloud's copies of configurations. docs/metrics.md lists it."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_cloud.backups import Backups
from hotspare_cloud.directory import Directory

GROUP = ("arc_id", "sub_account")


class BackupCollector(Collector):
    """Reads the copies when it is scraped."""

    def __init__(self, registry: CollectorRegistry, directory: Directory, backups: Backups) -> None:
        self._directory = directory
        self._backups = backups
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """All metrics of the copies."""
        revision = GaugeMetricFamily("hotspare_cloud_backup_revision", "The newest revision; 0: none.", labels=GROUP)
        records = GaugeMetricFamily("hotspare_cloud_backup_records", "Records of the newest revision.", labels=GROUP)
        damaged = GaugeMetricFamily(
            "hotspare_cloud_backup_damaged_kinds", "Kinds whose records do not have their digest.", labels=GROUP
        )
        for group in self._directory.groups():
            labels, backup = [group.row.arc_id, group.row.sub_account], self._backups.known(group)
            revision.add_metric(labels, backup.revision if backup else 0)
            records.add_metric(labels, sum(digest.count for digest in backup.digests) if backup else 0)
            damaged.add_metric(labels, len(self._backups.damaged(group)))
        yield from (revision, records, damaged)
        pushes = CounterMetricFamily("hotspare_cloud_backup_pushes", "Pushes of hosts, by result.", labels=["result"])
        for result, count in self._backups.pushes.items():
            pushes.add_metric([result], count)
        pulls = CounterMetricFamily(
            "hotspare_cloud_backup_pulls", "Pulls of spares, by what they got.", labels=["result"]
        )
        for result, count in self._backups.pulls.items():
            pulls.add_metric([result], count)
        damages = CounterMetricFamily("hotspare_cloud_backup_damages", "Kinds found damaged in the store.")
        damages.add_metric([], self._backups.damages)
        yield from (pushes, pulls, damages)
