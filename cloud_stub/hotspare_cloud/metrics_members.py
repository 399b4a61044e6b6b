"""What Prometheus sees of the members beside their status: version, copy of the configuration, and who pulls.

By role, never by receiver. docs/metrics.md lists it.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_cloud.directory import Directory
from hotspare_model.group import Role
from hotspare_model.sync_state import SyncState

GROUP = ("arc_id", "sub_account")


class MemberCollector(Collector):
    """Reads the members when it is scraped: the same facts as in the list of members."""

    def __init__(self, registry: CollectorRegistry, directory: Directory) -> None:
        self._directory = directory
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """All metrics of the members."""
        info = GaugeMetricFamily(
            "hotspare_cloud_member_info",
            "The software of the member of a role, as it said last. Always 1.",
            labels=[*GROUP, "role", "version"],
        )
        sync = GaugeMetricFamily(
            "hotspare_cloud_member_sync_state",
            "1 for the state that a member's copy of the configuration had last.",
            labels=[*GROUP, "role", "state"],
        )
        revision = GaugeMetricFamily(
            "hotspare_cloud_member_revision",
            "Revision of the configuration that a member told last; 0: none.",
            labels=[*GROUP, "role"],
        )
        pull = GaugeMetricFamily(
            "hotspare_cloud_pull_open", "1 while the working receiver's stream of alarms is open.", labels=GROUP
        )
        for group in self._directory.groups():
            labels = [group.row.arc_id, group.row.sub_account]
            held = {member.role: member for member in tuple(group.members.values()) if member.role}
            for role in Role:
                named, member = [*labels, role.name.lower()], held.get(role)
                report = group.reports.get(member.receiver_id) if member else None
                state = SyncState(report.sync_state) if report else SyncState.UNKNOWN
                for each in SyncState:
                    sync.add_metric([*named, each.name.lower()], 1 if member and each is state else 0)
                revision.add_metric(named, report.sync_revision if report else 0)
                if member is not None:
                    info.add_metric([*named, member.software_version], 1)
            pull.add_metric(labels, 0 if group.delivery.pull is None else 1)
        yield from (info, sync, revision, pull)
