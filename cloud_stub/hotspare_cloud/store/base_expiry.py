"""The verbs of the cloud's store for forgetting alarms whose time has come (A8), and their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hotspare_cloud.core.expiry import KeptRow


@dataclass(frozen=True, slots=True)
class Size:
    """What a group keeps, as far as it was counted: its alarms with numbers up to `through`."""

    alarms: int = 0
    bytes: int = 0
    through: int = 0


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a step deleted."""

    size: Size
    numbers: Sequence[int]
    aside: Sequence[int]
    """Of these, alarms that were set aside."""


class ExpiryStore(Protocol):
    """Counts what is kept, and deletes it in small steps, each of which is one commit."""

    async def sizes(self) -> tuple[Mapping[int, Size], float]:
        """What was counted of each group until the last time, and when the wall clock was last believed."""
        ...

    async def save_sizes(self, sizes: Mapping[int, Size], believed_at: float) -> None:
        """Store what was counted since."""
        ...

    async def last_numbers(self) -> Mapping[int, int]:
        """The highest number of an alarm in each group."""
        ...

    async def count_on(self, group_id: int, size: Size, limit: int) -> Size:
        """Count the next alarms, so many at most. The same again: there are no more."""
        ...

    async def kept_after(self, group_id: int, after: int, through: int, limit: int, now: float) -> Sequence[KeptRow]:
        """The next alarms by number, above `after` and up to `through`."""
        ...

    async def forget(self, group_id: int, rows: Sequence[KeptRow], size: Size) -> Forgotten:
        """Delete these alarms, with all that goes with them but their deliveries; not what changed meanwhile."""
        ...

    async def forget_deliveries(self, group_id: int, limit: int) -> bool:
        """Delete so many deliveries of alarms below the lowest that is kept. Returns whether there were as many."""
        ...

    async def forget_moves(self, group_id: int, before: float, keep: int, limit: int) -> bool:
        """Delete so many epochs that ended before, without deliveries and holds, and so many lines of the history of
        moves from before, but the newest `keep`. Returns whether there were as many."""
        ...
