"""What happened to the working role and the alarms of one group since the cloud started, for the log and metrics."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hotspare_cloud.core.state import PLANNED, BeginEpoch, Reason
from hotspare_cloud.spans import CONFIRMATION_BOUNDS, Spans
from hotspare_model.group import Role
from hotspare_rpc.logs import log_event

_log = logging.getLogger(__name__)


class Tally:
    """Counts of moves, the times that nobody worked, and those that confirmations took."""

    def __init__(self) -> None:
        self.by_reason: Counter[Reason] = Counter(dict.fromkeys(Reason, 0))
        self.stale = 0
        """Pulls and beats under an epoch that was not the caller's."""
        self.in_flight = 0
        """Alarms that were out when an epoch ended."""
        self.last_gap = 0.0
        self.gap_seconds = 0.0
        self.gaps: list[float] = []
        """Seconds that nobody worked, of each unplanned move that was not collected yet."""
        self.confirmations = Spans(CONFIRMATION_BOUNDS)
        """From the receipt of an alarm to its confirmation."""

    def begun(self, effect: BeginEpoch, role: Role | None, held: int, group: Mapping[str, Any]) -> None:
        """An epoch began: count it, and log it. `held` are the alarms that wait for ended ones."""
        log_event(
            _log,
            logging.WARNING,
            "working_changed",
            **group,
            epoch=effect.epoch,
            to=effect.receiver_id,
            role=role.name if role else None,
            previous=effect.previous,
            reason=effect.reason.value,
            planned=effect.reason in PLANNED,
            operator=effect.operator or None,
            gap_seconds=round(effect.gap, 3),
            held=held,
        )
        self.by_reason[effect.reason] += 1
        self.nobody_worked(effect.gap)
        if effect.reason not in PLANNED:
            self.gaps.append(effect.gap)

    def nobody_worked(self, seconds: float) -> None:
        """A time without a working receiver is over."""
        self.last_gap = seconds
        self.gap_seconds += seconds

    def ended(self, out: int) -> None:
        """An epoch ended with so many alarms out."""
        self.in_flight += out
