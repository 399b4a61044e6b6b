"""Reads the logs of the devices and of the ARC's software while they grow, and keeps the ledger."""

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotspare_sim.arc import TAKEN
from hotspare_sim.arc_surgard import HEARTBEAT
from hotspare_sim.core.answers import SUPERVISION
from hotspare_sim.core.ledger import Delivery, Ledger
from hotspare_sim.core.places import number_at
from hotspare_sim.line_log import LineTail
from hotspare_sim.publish import Way

MARGIN = 0.3
"""Seconds after which no line with an older clock can come from any of the logs, unless its process hung."""

DEVICES = "devices"
IDLE_TALK = (SUPERVISION, HEARTBEAT)
"""Kinds of messages that carry no alarm, of DC-09 and of Sur-Gard."""


class Books:
    """One ledger of several logs, fed in the order of the machine's clock, which all processes share."""

    def __init__(self, ledger: Ledger, devices: Path, arcs: Mapping[str, Path], *, numbered: bool = False) -> None:
        """`arcs`: the log of each software, by its name. `numbered`: an alarm is told by the number in its place (which
        the ledger has to count as `places` does), not by its sequence on the wire."""
        self.ledger = ledger
        self.by_way: Counter[str] = Counter()
        """Published alarms by the way they went."""
        self.direct_at: float | None = None
        """When the first alarm that went directly was answered, of those after `await_direct`."""
        self._direct_since = 0.0
        self._numbered = numbered
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

    def await_direct(self, since: float) -> None:
        """Look for the next alarm that a host takes directly after a moment."""
        self._direct_since, self.direct_at = since, None

    def _take(self, source: str, clock: float, entry: Mapping[str, Any]) -> Delivery | None:
        if source == DEVICES:
            self.by_way[entry.get("way", "")] += 1
            if entry.get("way") == Way.DIRECT and self.direct_at is None and clock > self._direct_since:
                self.direct_at = clock
            number = entry["number" if self._numbered else "account_sequence"]
            return self.ledger.take_published(entry["device_id"], number, entry["begun"])
        if entry["answered"] not in TAKEN or entry["kind"] in IDLE_TALK:
            return None
        self.by_arc[source] += 1
        sequence = number_at(entry["partition"], entry["zone"]) if self._numbered else entry["sequence"]
        return self.ledger.take_confirmed(source, entry["account"], sequence, clock)
