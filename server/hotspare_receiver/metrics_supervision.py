"""What Prometheus sees of the supervision of devices that are connected directly (A9). docs/metrics.md lists it.

No device is a label.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_receiver.direct.supervision import DirectSupervision

_PREFIX = "hotspare_receiver_direct"


class SupervisionCollector(Collector):
    """Reads the supervision when it is scraped."""

    def __init__(self, supervision: DirectSupervision) -> None:
        self._supervision = supervision

    def collect(self) -> Iterator[Metric]:
        """All metrics of the supervision."""
        supervisor = self._supervision.supervisor
        for name, value, about in (
            ("devices_supervised", supervisor.supervised, "Direct devices whose silence would be noticed."),
            ("devices_silent", supervisor.silent, "Direct devices that are silent now."),
            ("supervision_events_waiting", self._supervision.waiting, "Direct devices of which the ARC is to be told."),
        ):
            yield GaugeMetricFamily(f"{_PREFIX}_{name}", about, value)
        events = CounterMetricFamily(
            f"{_PREFIX}_supervision_events", "Events of supervision that are durable.", labels=["event"]
        )
        for event, count in self._supervision.events.items():
            events.add_metric([event], count)
        yield events
        yield CounterMetricFamily(
            f"{_PREFIX}_supervision_storms", "Times when more was to be told at once than may be.", supervisor.storms
        )
