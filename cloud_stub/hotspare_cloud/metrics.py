"""What Prometheus sees of the cloud. One collector reads the same state that the services show.

No device id and no receiver id is a label: roles are few, receivers come and go. docs/metrics.md lists them all.
"""

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_cloud.clock import StallWatch, boottime
from hotspare_cloud.core.state import Reason
from hotspare_cloud.directory import Directory
from hotspare_cloud.group import Group
from hotspare_cloud.intake import Intake
from hotspare_model.group import MemberStatus, Role
from hotspare_rpc.version import SOFTWARE_VERSION
from hotspare_store.database import DatabaseCounters

GROUP = ("arc_id", "sub_account")

GAP_BUCKETS = (0.1, 0.25, 0.5, 1.0, 1.25, 1.5, 2.0, 3.0, 3.5, 4.0, 6.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds; fine around what docs/failover.md promises."""


class CloudCollector(Collector):
    """Reads the groups, the intake and the store when it is scraped."""

    def __init__(
        self,
        registry: CollectorRegistry,
        directory: Directory,
        intake: Intake,
        database: DatabaseCounters,
        watch: StallWatch,
        free_bytes: Callable[[], int],
        copied_at: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._intake = intake
        self._database = database
        self._watch = watch
        self._free_bytes = free_bytes
        self._copied_at = copied_at
        self.oldest: dict[int, float | None] = {}
        """When the oldest waiting alarm of each group was received; kept fresh by the app."""
        self._gap = Histogram(
            "hotspare_cloud_takeover_seconds",
            "How long nobody worked at an unplanned move of the working role.",
            GROUP,
            buckets=GAP_BUCKETS,
            registry=registry,
        )
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """All metrics of the cloud, but the take-over histogram."""
        yield from self._process()
        groups = self._directory.groups()
        yield from self._working(groups)
        yield from self._alarms(groups)

    def observe_gaps(self) -> None:
        """Move the gaps that the groups noted into the histogram. Called on the loop, beside the scrapes."""
        for group in self._directory.groups():
            child = self._gap.labels(*_labels(group))
            gaps, group.tally.gaps = group.tally.gaps, []
            for gap in gaps:
                child.observe(gap)

    def _process(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "hotspare_cloud_info", "Version of the cloud's software; always 1.", labels=["version"]
        )
        info.add_metric([SOFTWARE_VERSION], 1)
        yield info
        published = CounterMetricFamily(
            "hotspare_cloud_alarms_published",
            "Alarms that devices published, by what came of them.",
            labels=["result"],
        )
        for result, count in (
            ("stored", self._intake.published),
            ("duplicate", self._intake.duplicates),
            ("refused", self._intake.refused),
        ):
            published.add_metric([result], count)
        yield published
        direct = CounterMetricFamily(
            "hotspare_cloud_alarms_direct", "Alarms that gateways passed on, by what came of them.", labels=["result"]
        )
        for result, count in (
            ("stored", self._intake.direct),
            ("same", self._intake.twins),
            ("confirmed", self._intake.confirmed_elsewhere),
        ):
            direct.add_metric([result], count)
        yield direct
        yield GaugeMetricFamily(
            "hotspare_cloud_disk_free_bytes", "Free bytes on the disk of the data folder.", self._free_bytes()
        )
        yield GaugeMetricFamily(
            "hotspare_cloud_copied_time_seconds",
            "When hotspare-cloud backup last copied the data folder; 0: never.",
            self._copied_at(),
        )
        yield GaugeMetricFamily(
            "hotspare_cloud_loop_lag_seconds",
            "How late the event loop ran its last timer, or is with the next.",
            self._watch.lag(boottime()),
        )
        yield CounterMetricFamily(
            "hotspare_cloud_stalls",
            "Times when the event loop stood still for half a second or more.",
            self._watch.stalls,
        )
        yield CounterMetricFamily("hotspare_cloud_store_commits", "Commits of the store.", self._database.commits)
        yield CounterMetricFamily("hotspare_cloud_store_writes", "Writes in those commits.", self._database.writes)
        yield CounterMetricFamily(
            "hotspare_cloud_store_commit_seconds",
            "Seconds that the commits took.",
            self._database.commit_seconds,
        )

    def _working(self, groups: list[Group]) -> Iterable[Metric]:
        epoch = GaugeMetricFamily("hotspare_cloud_epoch", "The current epoch.", labels=GROUP)
        status = GaugeMetricFamily(
            "hotspare_cloud_member_status",
            "1 for the status that a member has now.",
            labels=[*GROUP, "role", "status"],
        )
        working = GaugeMetricFamily(
            "hotspare_cloud_working_receivers", "Receivers that work now: 0 or 1.", labels=GROUP
        )
        lease = GaugeMetricFamily(
            "hotspare_cloud_lease_remaining_seconds",
            "How long the cloud takes the working receiver's lease as possibly alive.",
            labels=GROUP,
        )
        moves = CounterMetricFamily(
            "hotspare_cloud_moves", "Moves of the working role, by reason.", labels=[*GROUP, "reason"]
        )
        gap = CounterMetricFamily(
            "hotspare_cloud_unattended_seconds",
            "Seconds that nobody worked, with those of a time that is running.",
            labels=GROUP,
        )
        stale = CounterMetricFamily(
            "hotspare_cloud_stale_epochs_refused",
            "Pulls and beats under an epoch that was not the caller's.",
            labels=GROUP,
        )
        healthy = GaugeMetricFamily(
            "hotspare_cloud_member_healthy",
            "1 for a member that is there and could deliver.",
            labels=[*GROUP, "role"],
        )
        held_back = GaugeMetricFamily(
            "hotspare_cloud_member_held_back",
            "1 for a member that was lost too often, so that it does not fail back.",
            labels=[*GROUP, "role"],
        )
        alone = GaugeMetricFamily(
            "hotspare_cloud_receivers_without_role", "Receivers without a role that are known.", labels=GROUP
        )
        paused = GaugeMetricFamily("hotspare_cloud_paused", "1 while automatic moves are paused.", labels=GROUP)
        pinned = GaugeMetricFamily(
            "hotspare_cloud_pinned", "1 while a switchover keeps a receiver at work.", labels=GROUP
        )
        restored = GaugeMetricFamily(
            "hotspare_cloud_restored_time_seconds",
            "When the cloud was restored from a backup copy, seconds since 1970; 0: never.",
            labels=GROUP,
        )
        for group in groups:
            labels = _labels(group)
            epoch.add_metric(labels, group.state.epoch)
            working.add_metric(labels, 1 if group.working else 0)
            lease.add_metric(labels, group.lease_remaining())
            gap.add_metric(labels, group.unattended())
            stale.add_metric(labels, group.tally.stale)
            for reason in Reason:
                moves.add_metric([*labels, reason.value.lower()], group.tally.by_reason[reason])
            members = tuple(group.members.values())
            held = {member.role: group.status(member.receiver_id) for member in members if member.role}
            healthy_now = {member.role: group.is_healthy(member.receiver_id) for member in members}
            back = {member.role: member.receiver_id in group.state.held_back for member in members}
            for role in Role:
                name = role.name.lower()
                for each in MemberStatus:
                    status.add_metric([*labels, name, each.value], 1 if held.get(role) is each else 0)
                healthy.add_metric([*labels, name], 1 if healthy_now.get(role) else 0)
                held_back.add_metric([*labels, name], 1 if back.get(role) else 0)
            alone.add_metric(labels, sum(1 for member in members if member.role is None))
            paused.add_metric(labels, 1 if group.state.pause else 0)
            pinned.add_metric(labels, 1 if group.state.pin else 0)
            restored.add_metric(labels, group.state.restored_at or 0.0)
        yield from (
            epoch,
            status,
            healthy,
            working,
            lease,
            moves,
            gap,
            stale,
            held_back,
            alone,
            paused,
            pinned,
            restored,
        )

    def _alarms(self, groups: list[Group]) -> Iterable[Metric]:
        backlog = GaugeMetricFamily(
            "hotspare_cloud_alarms_waiting", "Alarms that are not confirmed, delivered or not.", labels=GROUP
        )
        oldest = GaugeMetricFamily(
            "hotspare_cloud_alarms_oldest_age_seconds",
            "Age of the oldest alarm that waits; 0: none does.",
            labels=GROUP,
        )
        out = GaugeMetricFamily(
            "hotspare_cloud_alarms_out",
            "Alarms delivered to the working receiver and not confirmed.",
            labels=GROUP,
        )
        held = GaugeMetricFamily(
            "hotspare_cloud_alarms_held",
            "Alarms that wait until the holder of an ended epoch has stopped.",
            labels=GROUP,
        )
        delivered = CounterMetricFamily("hotspare_cloud_alarms_delivered", "Deliveries of alarms.", labels=GROUP)
        again = CounterMetricFamily(
            "hotspare_cloud_alarms_redelivered",
            "Deliveries of alarms that had been delivered before.",
            labels=GROUP,
        )
        confirmed = CounterMetricFamily(
            "hotspare_cloud_alarms_confirmed", "Alarms that a receiver's ARC confirmed.", labels=GROUP
        )
        took = HistogramMetricFamily(
            "hotspare_cloud_alarm_confirmation_seconds",
            "From the receipt of an alarm at the cloud to its confirmation.",
            labels=GROUP,
        )
        late = CounterMetricFamily(
            "hotspare_cloud_late_confirmations", "Confirmations that came under an ended epoch.", labels=GROUP
        )
        aside = GaugeMetricFamily(
            "hotspare_cloud_alarms_rejected", "Alarms that are set aside now: no ARC has them.", labels=GROUP
        )
        put_aside = CounterMetricFamily(
            "hotspare_cloud_alarms_set_aside", "Alarms that were set aside, by cause.", labels=[*GROUP, "cause"]
        )
        replayed = CounterMetricFamily(
            "hotspare_cloud_alarms_replayed", "Alarms that an operator put back into the queue.", labels=GROUP
        )
        now = time.time()
        for group in groups:
            labels = _labels(group)
            since = self.oldest.get(group.row.group_id)
            backlog.add_metric(labels, group.backlog)
            oldest.add_metric(labels, max(0.0, now - since) if since is not None and group.backlog else 0.0)
            out.add_metric(labels, group.delivery.window.outstanding)
            held.add_metric(labels, group.delivery.window.held())
            delivered.add_metric(labels, group.delivery.delivered)
            again.add_metric(labels, group.delivery.redelivered)
            confirmed.add_metric(labels, group.confirmed)
            spans = group.tally.confirmations
            took.add_metric(labels, buckets=spans.buckets(), sum_value=spans.total)
            late.add_metric(labels, group.late_confirmations)
            aside.add_metric(labels, group.aside.now)
            for cause, count in group.aside.by_cause.items():
                put_aside.add_metric([*labels, cause.name.lower()], count)
            replayed.add_metric(labels, group.aside.replayed)
        yield from (backlog, oldest, out, held, delivered, again, confirmed, took, late, aside, put_aside, replayed)


def _labels(group: Group) -> list[str]:
    return [group.row.arc_id, group.row.sub_account]
