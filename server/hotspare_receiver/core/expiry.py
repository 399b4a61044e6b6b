"""Which alarms of the history may go (A8).

1. What is not confirmed stays while its epoch is the newest that this receiver held: its attempts and refusals go on
   counting (A5).
2. A confirmation that the cloud has not stored stays, however old: the cloud has to be told (timing: confirmations).
3. One that the cloud has stored is asked for again only by a cloud that was set back to a copy of before, and by what
   was under way just then. So such an alarm stays for SETTLED at least; and how far back the history goes is how old a
   copy may be for all that it delivers again to be confirmed again, not sent again (F7).
4. What was set aside is kept by the cloud, with the last exchange; here it goes as the rest does. Sent again, it begins
   anew.
5. What was given back and never confirmed here goes by its age alone.
6. By age: `max_age` after the last thing that happened to it. By size: the oldest first, until there is no more than
   `max_bytes`, whatever its age.

Pure: times are microseconds since 1970, as the tables have them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

SETTLED = 600_000_000
"""Microseconds for which an alarm stays after the cloud has stored what became of it: ten minutes."""

STEP_ALARMS, STEP_ATTEMPTS = 25, 100
"""What one commit deletes at most: about a millisecond of work."""


class Cause(Enum):
    """Why an alarm leaves the history."""

    AGE = "age"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Row:
    """An alarm of the history, as far as it decides."""

    id: int
    received: int
    delivered: int
    confirmed: int | None
    acknowledged: int | None
    set_aside: int | None
    attempts: int
    over: bool
    """Its epoch is older than the newest that this receiver held."""


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """The times of one round."""

    aged: int
    """What ended before this goes by its age."""
    settled: int
    """What ended before this may go by size."""

    def cause(self, row: Row, *, too_large: bool) -> Cause | None:
        """Why an alarm goes now. None: it stays."""
        ended = _ended(row)
        if ended is None:
            return None
        if ended < self.aged:
            return Cause.AGE
        if too_large and ended < self.settled and not _given_back(row):
            return Cause.SIZE
        return None

    def may_follow(self, rows: Iterable[Row], *, too_large: bool) -> bool:
        """Whether behind these rows there may be more that goes: rows come nearly in the order of their receipt."""
        latest = self.settled if too_large else self.aged
        return any(row.received < latest for row in rows)


def _given_back(row: Row) -> bool:
    return row.confirmed is None and row.set_aside is None


def _ended(row: Row) -> int | None:
    """When the last thing happened to an alarm that may go at all (rules 1 to 5)."""
    if row.confirmed is not None:
        return None if row.acknowledged is None else max(row.acknowledged, row.delivered)
    if row.set_aside is not None:
        return max(row.set_aside, row.delivered)
    return row.delivered if row.over else None


def steps(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in pieces for one commit each; one with more attempts than that is a piece of its own."""
    step: list[Row] = []
    attempts = 0
    for row in rows:
        if step and (len(step) >= STEP_ALARMS or attempts + row.attempts > STEP_ATTEMPTS):
            yield step
            step, attempts = [], 0
        step.append(row)
        attempts += row.attempts
    if step:
        yield step
