"""Which alarms the cloud may forget (A2, A8).

1. One that waits for a receiver stays, however old: no ARC has it.
2. One that an ARC confirmed goes `max_age` after that; and earlier, but not within KEPT_FOR, while there are more than
   `max_bytes`. Of all groups the one that has the most loses its oldest: nobody's flood costs another one's history.
3. One that is set aside (A5) goes `max_age` after that, and never for want of room: no ARC has it either.
4. Publishing an alarm again is found out as long as it is kept (A2): for KEPT_FOR at least, whatever the size.

Pure: times are seconds since 1970.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

KEPT_FOR = timedelta(hours=24).total_seconds()
"""Seconds for which every alarm is kept, however much there is (A2)."""

STEP = 25
"""Alarms that one commit deletes at most: about a millisecond of work."""


class Cause(Enum):
    """Why an alarm is forgotten."""

    AGE = "age"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class KeptRow:
    """An alarm, as far as it decides."""

    number: int
    state: int
    """As the store has it (`AlarmState`)."""
    received_at: float
    ended_at: float | None
    """When it was confirmed, or set aside. None: it waits."""
    is_aside: bool


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """The times of one round."""

    aged: float
    """What ended before this goes by its age."""
    recent: float
    """What ended before this may go by size."""

    def cause(self, row: KeptRow, *, too_large: bool) -> Cause | None:
        """Why an alarm goes now. None: it stays."""
        if row.ended_at is None:
            return None
        if row.ended_at < self.aged:
            return Cause.AGE
        if too_large and not row.is_aside and row.ended_at < self.recent:
            return Cause.SIZE
        return None

    def may_follow(self, rows: Iterable[KeptRow], *, too_large: bool) -> bool:
        """Whether behind these rows there may be more that goes: numbers are given in the order of receipt."""
        latest = self.recent if too_large else self.aged
        return any(row.received_at < latest for row in rows)


def cutoffs(now: float, max_age: timedelta) -> Cutoffs:
    """The times of a round that begins now."""
    return Cutoffs(now - max_age.total_seconds(), now - KEPT_FOR)


def steps(rows: Sequence[KeptRow]) -> Iterator[Sequence[KeptRow]]:
    """The rows in pieces for one commit each."""
    return (rows[first : first + STEP] for first in range(0, len(rows), STEP))
