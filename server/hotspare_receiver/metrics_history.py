"""What Prometheus sees of the history of alarms at a receiver (A8). docs/metrics.md lists it."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_receiver.expiry import HistoryExpiry

_PREFIX = "hotspare_receiver_history"


class HistoryCollector(Collector):
    """Reads what the last round of the clean-up found; a scrape asks the database nothing."""

    def __init__(self, expiry: HistoryExpiry) -> None:
        self._expiry = expiry

    def collect(self) -> Iterator[Metric]:
        """All metrics of the history."""
        kept, oldest = self._expiry.kept, self._expiry.oldest
        yield GaugeMetricFamily(f"{_PREFIX}_alarms", "Alarms in the history.", kept.alarms)
        yield GaugeMetricFamily(f"{_PREFIX}_attempts", "Attempts in the history.", kept.attempts)
        yield GaugeMetricFamily(f"{_PREFIX}_bytes", "Bytes that the history takes in the database.", kept.bytes)
        yield GaugeMetricFamily(
            f"{_PREFIX}_oldest_time_seconds",
            "When the oldest alarm of the history was received, seconds since 1970; 0 without any.",
            oldest or 0.0,
        )
        deleted = CounterMetricFamily(
            f"{_PREFIX}_deleted", "Alarms deleted from the history, by cause.", labels=["cause"]
        )
        for cause, count in self._expiry.deleted.items():
            deleted.add_metric([cause.value], count)
        yield deleted
