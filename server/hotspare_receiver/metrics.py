"""The metrics of a receiver, read from one snapshot of its status at each scrape.

No label names a device or anything else that grows with the customers; outputs are named, for they are few.
"""

import asyncio
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_model.group import MemberStatus, Role
from hotspare_model.sync_state import SyncState
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.snapshot import LinkState, OutputSnapshot, ProblemKind
from hotspare_receiver.status import StatusView
from hotspare_rpc.version import SOFTWARE_VERSION

SCRAPE_TIMEOUT = 2.0
"""Seconds that a scrape waits for the event loop; after that it shows what was seen last, and says so."""

_PREFIX = "hotspare_receiver"


class ReceiverCollector(Collector):
    """Collects from the event loop of the receiver, in the thread of the scrape."""

    def __init__(self, view: Callable[[], StatusView], loop: asyncio.AbstractEventLoop) -> None:
        self._view = view
        self._loop = loop
        self._last: StatusView | None = None

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time: registering must not wait for the loop that registers."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        fresh = self._refresh()
        yield _gauge(
            "stale",
            "Whether the event loop did not answer this scrape: all else is what was seen last.",
            not fresh,
        )
        if self._last is not None:
            yield from metrics_of(self._last)

    def _refresh(self) -> bool:
        async def read() -> StatusView:
            return self._view()

        if self._loop.is_closed():
            return False
        reading = read()
        try:
            future = asyncio.run_coroutine_threadsafe(reading, self._loop)
        except RuntimeError:
            reading.close()
            return False
        try:
            self._last = future.result(SCRAPE_TIMEOUT)
        except TimeoutError:
            future.cancel()
            return False
        return True


def metrics_of(view: StatusView) -> Iterator[Metric]:
    """All metrics of a status."""
    yield from _who(view)
    yield from _lease(view)
    yield from _alarms(view)
    yield from _outputs(view.path.outputs)
    yield from _configuration(view)


def _who(view: StatusView) -> Iterator[Metric]:
    info = GaugeMetricFamily(f"{_PREFIX}_info", "The software that runs. Always 1.", labels=("version",))
    info.add_metric((SOFTWARE_VERSION,), 1)
    yield info
    group = GaugeMetricFamily(
        f"{_PREFIX}_group_info", "The group that it attends in. Always 1.", labels=("arc_id", "sub_account")
    )
    if (attendance := view.path.attendance) is not None:
        group.add_metric((attendance.arc_id, attendance.sub_account), 1)
    yield group
    role = GaugeMetricFamily(f"{_PREFIX}_role", "The configured role: 1 for the one that it is.", labels=("role",))
    for known in (None, *Role):
        role.add_metric((known.name.lower() if known else "none",), float(known is view.role))
    yield role
    status = GaugeMetricFamily(
        f"{_PREFIX}_status",
        "The status as this receiver sees it: 1 for the one that it is.",
        labels=("status",),
    )
    for state in (None, *MemberStatus):
        status.add_metric((state.value if state else "none",), float(state is view.status))
    yield status
    yield _gauge("healthy", "Whether nothing keeps this receiver from delivering.", not view.path.problems)
    problems = GaugeMetricFamily(
        f"{_PREFIX}_health_problems", "What keeps this receiver from delivering, by kind.", labels=("kind",)
    )
    for kind in ProblemKind:
        count = sum(problem.kind is kind for problem in view.path.problems)
        problems.add_metric((kind.name.lower(),), count)
    yield problems
    yield _gauge("cloud_connected", "Whether it attends at the cloud.", view.path.cloud.connected)
    if view.path.cloud.round_trip is not None:
        seconds = view.path.cloud.round_trip.total_seconds()
        yield _gauge("cloud_round_trip_seconds", "From the last beat to its answer.", seconds)
    yield _gauge("disk_free_bytes", "Free bytes on the disk of the data folder.", view.path.disk_free)
    lag = view.path.loop_lag.total_seconds()
    yield _gauge("loop_lag_seconds", "How late the event loop ran its last timer.", lag)


def _lease(view: StatusView) -> Iterator[Metric]:
    lease = view.path.lease
    yield _gauge("epoch", "The epoch that it holds; 0 without one.", lease.epoch)
    yield _gauge(
        "lease_remaining_seconds",
        "How long it may still write to its outputs.",
        lease.remaining.total_seconds(),
    )
    yield _gauge("working", "Whether it may write to its outputs now.", lease.working)
    yield _gauge("draining", "Whether it is giving its work back.", lease.draining)
    yield _gauge("paused", "Whether automatic moves of the group are paused.", view.path.paused)
    yield HistogramMetricFamily(
        f"{_PREFIX}_lease_renewal_seconds",
        "From a beat to the grant that answers it.",
        buckets=lease.renewals.buckets(),
        sum_value=lease.renewals.total,
    )
    yield _counter("beats", "Beats sent.", lease.beats_sent)
    yield _counter("beats_missed", "Beats without an answer within the interval of beats.", lease.beats_missed)


def _alarms(view: StatusView) -> Iterator[Metric]:
    counters, path = view.path.counters, view.path
    yield _counter("alarms_delivered", "Alarms taken from the cloud.", counters.delivered)
    yield _counter(
        "alarms_redelivered",
        "Alarms taken that had been delivered before, to any receiver.",
        counters.redelivered,
    )
    yield _counter("alarms_confirmed", "Alarms that the ARC confirmed.", counters.confirmed)
    yield _counter(
        "alarms_confirmed_again",
        "Alarms that came again and that the journal knew as confirmed.",
        counters.confirmed_again,
    )
    yield _counter("alarms_withdrawn", "Alarms that the cloud took back.", counters.withdrawn)
    yield _counter(
        "alarms_set_aside", "Alarms that an output refused too often, set aside by the cloud.", counters.set_aside
    )
    yield _counter(
        "alarms_not_forwarded",
        "Alarms that the configuration keeps from the ARC: confirmed to the cloud without being sent.",
        counters.not_forwarded,
    )
    yield _gauge("alarms_waiting", "Alarms taken and not confirmed.", path.waiting)
    oldest = path.oldest_age.total_seconds() if path.oldest_age is not None else 0.0
    yield _gauge("alarms_oldest_seconds", "How long the oldest of those has been here; 0 without any.", oldest)
    yield _gauge("confirmations_unstored", "Confirmations that the cloud has not stored yet.", path.pull.unstored)
    yield _counter("pulls_reopened", "Times that the stream of alarms was opened anew.", path.pull.reopened)


def _outputs(outputs: tuple[OutputSnapshot, ...]) -> Iterator[Metric]:
    link = GaugeMetricFamily(
        f"{_PREFIX}_output_link",
        "The link of an output: 1 for the state that it is in.",
        labels=("output", "state"),
    )
    waiting = GaugeMetricFamily(
        f"{_PREFIX}_output_alarms_waiting", "Alarms that wait for an output.", labels=("output",)
    )
    confirmed = CounterMetricFamily(
        f"{_PREFIX}_output_alarms_confirmed", "Alarms that an output confirmed.", labels=("output",)
    )
    generic = CounterMetricFamily(
        f"{_PREFIX}_output_alarms_generic",
        "Alarms that an output confirmed as a generic event in place of their own code.",
        labels=("output",),
    )
    attempts = CounterMetricFamily(
        f"{_PREFIX}_output_attempts", "Attempts at an output, by their outcome.", labels=("output", "outcome")
    )
    for output in outputs:
        for state in LinkState:
            link.add_metric((output.name, state.name.lower()), float(state is output.link))
        waiting.add_metric((output.name,), output.waiting)
        confirmed.add_metric((output.name,), output.confirmed)
        generic.add_metric((output.name,), output.generic)
        for outcome in Outcome:
            attempts.add_metric((output.name, outcome.name.lower()), output.attempts.get(outcome, 0))
    yield from (link, waiting, confirmed, generic, attempts)


def _configuration(view: StatusView) -> Iterator[Metric]:
    records = GaugeMetricFamily(f"{_PREFIX}_records", "Records of the configuration.", labels=("kind",))
    for name, count in view.records:
        records.add_metric((name,), count)
    yield records
    yield _gauge("configuration_revision", "Revision of the configuration here.", view.sync.revision)
    stands = GaugeMetricFamily(
        f"{_PREFIX}_configuration_state",
        "How the configuration here stands against the cloud's copy: 1 for the state that it is in.",
        labels=("state",),
    )
    for state in SyncState:
        stands.add_metric((state.name.lower(),), float(state is SyncState(view.sync.state)))
    yield stands
    yield _counter("configuration_pushes", "Changes sent to the cloud.", view.pushes)
    yield _counter("configuration_push_failures", "Tries to send changes to the cloud that failed.", view.push_failures)
    yield _counter("configuration_syncs", "Changes of the host that were applied.", view.syncs)
    refused = CounterMetricFamily(
        f"{_PREFIX}_configuration_sync_refusals", "Transfers that were kept out, by reason.", labels=("reason",)
    )
    for reason, count in view.sync_refusals:
        refused.add_metric((reason,), count)
    yield refused


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}_{name}", text, value=float(value))
