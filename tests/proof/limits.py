"""By what a history is judged: the settings of its group, and what is known of how it was observed."""

from dataclasses import dataclass, replace

from hotspare_model.group import GroupSettings
from hotspare_model.lease import WRITE_DELAY


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed in one run."""

    window: int = 256
    """Alarms that may come twice for each unplanned move (F6)."""
    lease: float = 6.0
    """Seconds: T_cloud."""
    write_delay: float = WRITE_DELAY.total_seconds()
    """Seconds: X, the longest that a written message may still reach the ARC."""
    failback_delay: float = 10.0
    """Seconds (F4)."""
    losses_per_hour: int = 4
    """Unplanned losses of one receiver after which it is held back (F9)."""
    set_aside_after: int = 5
    """Refusals by one ARC by which an alarm is set aside (A5)."""
    idle: float | None = None
    """Seconds that nobody may work while one could (F3). None: not judged."""
    order: tuple[str, ...] = ()
    """The receivers, from the host down. Empty: not judged."""
    inside: bool = False
    """Whether all that is seen from inside is in the history, as in a simulation."""
    slack: float = 0.0
    """Seconds by which the actors' times may be off against each other."""

    @classmethod
    def of(cls, settings: GroupSettings, *, slack: float = 0.0) -> "Limits":
        """The limits of a group with these settings, observed from outside."""
        return cls(
            window=settings.window,
            lease=settings.lease.total_seconds(),
            failback_delay=settings.failback_delay.total_seconds(),
            losses_per_hour=settings.losses_per_hour,
            set_aside_after=settings.set_aside_after,
            slack=slack,
        )

    def or_else(self, other: "Limits") -> "Limits":
        """What is allowed by either."""
        return replace(
            self,
            window=max(self.window, other.window),
            lease=max(self.lease, other.lease),
            failback_delay=min(self.failback_delay, other.failback_delay),
            set_aside_after=min(self.set_aside_after, other.set_aside_after),
            losses_per_hour=max(self.losses_per_hour, other.losses_per_hour),
            idle=max(self.idle, other.idle) if self.idle is not None and other.idle is not None else None,
            slack=max(self.slack, other.slack),
        )
