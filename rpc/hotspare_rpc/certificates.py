"""When the certificates of a process end, for Prometheus: what it serves with, and what it checks others by (S3)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_rpc.tls import FileState, file_state


def trust_end(pem: bytes) -> float:
    """When nothing of a bundle of authorities is trusted any more: with the last of them, for while an authority is
    replaced the old one stands beside the new one. Seconds since 1970; 0 without any."""
    from cryptography import x509  # it takes long to import, and most servers on one machine speak in clear

    try:
        authorities = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return 0.0
    return max((each.not_valid_after_utc.timestamp() for each in authorities), default=0.0)


class TrustFile:
    """A file of authorities; it is read again when it changes, and what can't be read changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: FileState | None = None
        self._end = 0.0

    def end(self) -> float:
        """When nothing in it is trusted any more; see `trust_end`."""
        state = file_state(self._path)
        if state != self._seen:
            self._seen = state
            # As at the server the last good ones stay in use.
            with suppress(OSError):
                self._end = trust_end(self._path.read_bytes()) or self._end
        return self._end


class CertificateCollector(Collector):
    """Asks for each end when it is scraped."""

    def __init__(self, prefix: str, ends: Mapping[str, Callable[[], float | None]]) -> None:
        """`prefix` begins the metric's name; `ends` tells of each certificate when it ends, None: there is none."""
        self._prefix = prefix
        self._ends = ends

    def collect(self) -> Iterator[Metric]:
        """The end of each certificate; 0 of one that there is not."""
        ends = GaugeMetricFamily(
            f"{self._prefix}_certificate_end_time_seconds",
            "When a certificate ends, seconds since 1970; 0: there is none.",
            labels=["certificate"],
        )
        for name, end in self._ends.items():
            ends.add_metric([name], end() or 0.0)
        yield ends


def client_ca_end(path: Path | None) -> Callable[[], float | None]:
    """The end of the authorities for certificates of clients, where some are demanded."""
    return TrustFile(path).end if path is not None else lambda: None
