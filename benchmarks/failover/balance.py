"""What a series left at the ARCs: nothing may be missing, and what came twice is counted for the move that did it."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.failover.arrivals import Arrivals, NotInTime, wait_for
from benchmarks.failover.faults import Loss
from benchmarks.failover.load import Load
from benchmarks.failover.stage import PATIENCE, Stage
from tests.acceptance.harness.book import balance


@dataclass(frozen=True)
class Account:
    """The comparison of what was published with what came."""

    published: int
    lost: int
    duplicates: int
    problems: tuple[str, ...]
    """Wrong order, changed data."""
    skipped: int
    """Alarms that were not published, for no device was quiet."""

    def __str__(self) -> str:
        more = f", NOT published for want of a quiet device {self.skipped}" if self.skipped else ""
        return f"published {self.published}, lost {self.lost}, came twice {self.duplicates}{more}"

    def facts(self) -> dict[str, int]:
        """For the results."""
        return {
            "published": self.published,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "problems": len(self.problems),
            "skipped": self.skipped,
        }


def settle(stage: Stage, load: Load, since: int) -> Account:
    """Wait until all came and the cloud has all confirmations, and compare by the checker of the acceptance tests.

    `since`: how many receipts there were before the load. What has not come after all this time is lost.
    """
    with contextlib.suppress(NotInTime):
        wait_for(lambda: True if not load.missing() and stage.backlog() == 0 else None, PATIENCE, "all alarms come")
    published = load.published
    known = {(alarm.account, alarm.sequence) for alarm in published}
    # Alarms from before the load are not looked at.
    result = balance(published, [each for each in stage.arrivals.since(since) if each.identity in known])
    return Account(result.published, len(result.lost), result.duplicates, tuple(result.problems), load.skipped)


def duplicates_of(losses: Sequence[Loss], arrivals: Arrivals, since: int) -> list[int]:
    """For each loss, how many receipts came again because of it.

    An alarm comes again for the loss of the receiver whose ARC had it first: before the loss, or so long after it as
    what that had in hand could still go out.
    """
    counts = Counter[int]()
    for receipt in arrivals.since(since):
        first = arrivals.first(receipt.identity)
        if first is None or first is receipt:
            continue
        own = [index for index, loss in enumerate(losses) if loss.victim == first.arc]
        reached = [index for index in own if losses[index].at + losses[index].fault.reach >= first.at]
        if own:
            counts[reached[0] if reached else own[-1]] += 1
    return [counts[index] for index in range(len(losses))]
