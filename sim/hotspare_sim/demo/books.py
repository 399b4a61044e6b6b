"""Reads the logs of the devices and of the ARC's software while they grow, and keeps the ledger."""

import heapq
import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotspare_sim.arc import TAKEN
from hotspare_sim.core.answers import SUPERVISION
from hotspare_sim.core.ledger import Delivery, Ledger
from hotspare_sim.line_log import LineTail

MARGIN = 0.3
"""Seconds after which no line with an older clock can come from any of the logs, unless its process hung."""

DEVICES = "devices"


class Books:
    """One ledger of several logs, fed in the order of the machine's clock, which all processes share."""

    def __init__(self, ledger: Ledger, devices: Path, arcs: Mapping[str, Path]) -> None:
        """`arcs`: the log of each software, by its name."""
        self.ledger = ledger
        self.by_arc = dict.fromkeys(arcs, 0)
        """Acknowledged messages of each software, its own events and repeated ones too."""
        self._tails = {DEVICES: LineTail(devices)} | {name: LineTail(log) for name, log in arcs.items()}
        self._ahead: list[tuple[float, int, str, dict[str, Any]]] = []
        self._count = itertools.count()

    def read(self, *, all_of_it: bool = False) -> list[Delivery]:
        """Take what is new, but for the last moment; `all_of_it` when nobody writes any more."""
        limit = float("inf") if all_of_it else time.monotonic() - MARGIN
        for source, tail in self._tails.items():
            for entry in tail.read():
                heapq.heappush(self._ahead, (float(entry["clock"]), next(self._count), source, entry))
        deliveries: list[Delivery] = []
        while self._ahead and self._ahead[0][0] <= limit:
            clock, _, source, entry = heapq.heappop(self._ahead)
            if (delivery := self._take(source, clock, entry)) is not None:
                deliveries.append(delivery)
        return deliveries

    def _take(self, source: str, clock: float, entry: Mapping[str, Any]) -> Delivery | None:
        if source == DEVICES:
            return self.ledger.take_published(entry["device_id"], entry["account_sequence"], entry["begun"])
        if entry["answered"] not in TAKEN or entry["kind"] == SUPERVISION:
            return None
        self.by_arc[source] += 1
        return self.ledger.take_confirmed(source, entry["account"], entry["sequence"], clock)
