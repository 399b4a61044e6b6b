"""Whether the silence of devices may be our own doing (A9): then nobody is judged, and afterwards everybody gets one
interval of grace, so that an outage of ours makes no storm.

What counts as one: the process got no time (it was stopped, the machine was suspended), the store took no alarms, and
nobody at all was heard, although some had been heard that beat all the time (at the cloud the receivers, at a receiver
the cloud): that is what one sees whose own network is gone. The wall clock is asked for nothing, so it may jump.
"""

from enum import Enum

TURN = 1.0
"""Seconds between two looks."""

STALL = 0.5
"""Seconds by which a look may be late before what arrived meanwhile has to be read first."""

SETTLING = 3.0
"""Seconds for that."""

OUTAGE = 5.0
"""Seconds without time, or of deafness, that count as an outage."""

DEAF_AFTER = 3.0
"""Beats, of the slowest: so long a silence of everybody is more than chance."""


class Verdict(Enum):
    """What may be done at a look."""

    JUDGE = "judge"
    WAIT = "wait"
    GRACE = "grace"
    """An outage has ended: first everybody gets one interval."""


class Outages:
    """Pure, and mutable as it is asked again and again. Times are monotonic seconds, `now`."""

    def __init__(self, now: float) -> None:
        self.count = 0
        """Outages of ours until now."""
        self._looked = now
        self._heard = now
        self._pulse = now
        self._is_deaf = False
        self._is_out = False
        self._not_before = now

    def heard(self, now: float) -> None:
        """A device was heard."""
        self._heard = now

    def pulse(self, now: float) -> None:
        """One of those was heard that beat all the time."""
        self._heard = self._pulse = now

    def look(self, now: float, *, beat: float, storing: bool) -> Verdict:
        """Once a TURN.

        `beat`: seconds between the beats, the longest, of those that beat all the time and were heard since the start;
        0: there were none. `storing`: whether alarms can be stored.
        """
        late, self._looked = now - self._looked - TURN, now
        if late >= STALL:
            self._not_before = now + SETTLING
        # A device that is heard again ends no deafness: the others may be late, and few of them are quiet by chance.
        heard = self._pulse if self._is_deaf else self._heard
        self._is_deaf = beat > 0 and now - heard > max(OUTAGE, DEAF_AFTER * beat)
        was_out, self._is_out = self._is_out, self._is_deaf or not storing
        if late >= OUTAGE or (self._is_out and not was_out):
            self.count += 1
        if self._is_out:
            return Verdict.WAIT
        if was_out or late >= OUTAGE:
            return Verdict.GRACE
        return Verdict.WAIT if now < self._not_before else Verdict.JUDGE
