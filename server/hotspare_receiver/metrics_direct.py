"""What Prometheus sees of devices that are connected directly (D1, D2). docs/metrics.md lists it.

No device and no account is a label: reasons are few, panels come and go.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotspare_receiver.core.dc09_session import GOOD, Reason
from hotspare_receiver.direct.gate import Gate
from hotspare_receiver.direct.gateway import Gateway
from hotspare_receiver.direct.isolated import Isolated
from hotspare_receiver.direct.listener import Listener

_PREFIX = "hotspare_receiver_direct"
_ANSWERS = {
    **dict.fromkeys(GOOD, "ack"),
    Reason.TIMESTAMP: "nak",
    Reason.UNSUPPORTED: "duh",
    Reason.REFUSED: "duh",
}
"""What a frame of a reason gets as a rule; of the others none is answered."""
_NO_FRAMES = {
    (transport, _ANSWERS.get(reason, "none"), reason.value): 0 for transport in ("tcp", "udp") for reason in Reason
}
"""There from the start, so that a rate can be told of the first frame of each kind."""


class DirectCollector(Collector):
    """Reads the gate, the way to the cloud, and the listener when it is scraped."""

    def __init__(self, gate: Gate, gateway: Gateway, listener: Listener, isolated: Isolated) -> None:
        self._gate = gate
        self._gateway = gateway
        self._listener = listener
        self._isolated = isolated

    def collect(self) -> Iterator[Metric]:
        """All metrics of direct devices."""
        gate, gateway = self._gate, self._gateway
        yield GaugeMetricFamily(f"{_PREFIX}_open", "1 while direct devices are taken here.", int(gate.open))
        alarms = CounterMetricFamily(f"{_PREFIX}_alarms", "Direct alarms, by what came of them.", labels=["result"])
        alarms.add_metric(["accepted"], gate.accepted)
        alarms.add_metric(["refused"], gate.refused)
        yield alarms
        yield GaugeMetricFamily(
            f"{_PREFIX}_under_way", "Direct alarms that wait for the cloud's answer, or for their turn.",
            gateway.under_way,
        )  # fmt: skip
        yield CounterMetricFamily(
            f"{_PREFIX}_given_back", "Direct alarms that the cloud did not answer in time; their devices keep them.",
            gateway.failed,
        )  # fmt: skip
        yield from self._alone()
        yield from self._listened()

    def _alone(self) -> Iterator[Metric]:
        isolated = self._isolated
        yield GaugeMetricFamily(
            f"{_PREFIX}_isolated", "1 while this host is cut off from the cloud and forwards direct alarms itself.",
            int(isolated.active),
        )  # fmt: skip
        yield GaugeMetricFamily(
            f"{_PREFIX}_unpublished", "Alarms taken while cut off that the cloud does not have yet.",
            isolated.unpublished,
        )  # fmt: skip
        alarms = CounterMetricFamily(
            f"{_PREFIX}_isolated_alarms", "Alarms taken while cut off, by how far they came.", labels=["state"]
        )
        for state, count in (
            ("taken", isolated.taken), ("confirmed", isolated.confirmed), ("published", isolated.published),
        ):  # fmt: skip
            alarms.add_metric([state], count)
        yield alarms

    def _listened(self) -> Iterator[Metric]:
        seen = self._listener.snapshot()
        yield GaugeMetricFamily(f"{_PREFIX}_listening", "1 while the port for DC-09 is open.", int(bool(seen.address)))
        yield GaugeMetricFamily(f"{_PREFIX}_connections", "DC-09 connections that are open.", seen.connections)
        opened = CounterMetricFamily(
            f"{_PREFIX}_connections_ended", "DC-09 connections that the listener closed, by cause.", labels=["cause"]
        )
        for cause, count in (
            ("crowded_out", seen.crowded_out), ("expired", seen.expired), ("spoiled", seen.spoiled),
        ):  # fmt: skip
            opened.add_metric([cause], count)
        yield CounterMetricFamily(f"{_PREFIX}_connections_opened", "DC-09 connections that came.", seen.opened)
        yield opened
        frames = CounterMetricFamily(
            f"{_PREFIX}_frames", "DC-09 frames, by transport, answer and reason.",
            labels=["transport", "answer", "reason"],
        )  # fmt: skip
        for labels, count in sorted({**_NO_FRAMES, **seen.frames}.items()):
            frames.add_metric(list(labels), count)
        yield frames
        yield CounterMetricFamily(
            f"{_PREFIX}_refusals_untold", "Refusals that the ARC was not told of, because there were too many.",
            seen.untold,
        )  # fmt: skip
