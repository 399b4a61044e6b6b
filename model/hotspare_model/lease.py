"""The arithmetic of the lease: how long the holder may write, so that no two ever do.

The holder counts from its clock *before it sent* beat n, the cloud from its own *after it received* it. With clock
rates within 1 ± r, and X the longest that a write may still reach the ARC after the check, no two leases overlap if

    T_holder / (1 - r) + X  <=  T_cloud / (1 + r)

(docs/failover.md derives it). Beginning the holder's count when the answer arrives, as well-known lease libraries do,
is the unsafe side.
"""

from dataclasses import dataclass
from datetime import timedelta
from math import floor

from hotspare_model.errors import HotspareError, Reason

CLOCK_RATE_ERROR = 0.001
"""r: how far a clock's rate may be from 1. A thousand times worse than a usual quartz."""

WRITE_DELAY = timedelta(seconds=1)
"""X: the longest that a written byte may still reach the ARC. The outputs set TCP_USER_TIMEOUT to at most this."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Both lengths of one lease: as the cloud counts it, and as the holder does."""

    cloud: timedelta
    holder: timedelta


def holder_lease(cloud_lease: timedelta) -> timedelta:
    """T_holder for a T_cloud, rounded down to 10 ms. Negative when T_cloud leaves nothing."""
    seconds = (cloud_lease.total_seconds() / (1 + CLOCK_RATE_ERROR) - WRITE_DELAY.total_seconds()) * (
        1 - CLOCK_RATE_ERROR
    )
    return timedelta(milliseconds=floor(seconds * 100) * 10)


def check_terms(terms: LeaseTerms) -> None:
    """Refuse terms that break the inequality.

    Raises:
        HotspareError: LEASE_ARITHMETIC, with the inequality and its numbers.
    """
    left = terms.holder.total_seconds() / (1 - CLOCK_RATE_ERROR) + WRITE_DELAY.total_seconds()
    right = terms.cloud.total_seconds() / (1 + CLOCK_RATE_ERROR)
    if left <= right and terms.holder > timedelta(0):
        return
    arithmetic = (
        f"T_holder / (1 - r) + X <= T_cloud / (1 + r): "
        f"{terms.holder.total_seconds():g} / {1 - CLOCK_RATE_ERROR:g} + {WRITE_DELAY.total_seconds():g}"
        f" = {left:.3f} s, and {terms.cloud.total_seconds():g} / {1 + CLOCK_RATE_ERROR:g} = {right:.3f} s"
    )
    raise HotspareError(
        Reason.LEASE_ARITHMETIC,
        f"the lease is unsafe: {arithmetic}",
        arithmetic=arithmetic,
        lease=f"{terms.cloud.total_seconds():g}s",
    )
