"""Whether the other side of an output's link works, by what the link has shown (O2).

1. A valid answer proves it. That a connection was taken proves only that a kernel lives there.
2. A link that is not supervised (heartbeat zero) has nothing to answer while no alarm comes. It is believed as soon as
   it stands; and after something sent on it had no valid answer, when it has stood with nothing sent for `patience`.
3. What had no valid answer counts from when it was sent first, not from when it was tried again or the link given up.
4. A link that was never good counts from when it was wanted.

Pure: `LinkHealth` is a value. Times are floats of one monotonic clock.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """What a link has shown so far."""

    supervised: bool
    bad_since: float | None
    """Since when nothing proves that the other side works. None: it does."""
    proven: bool = False
    """Whether it was ever good."""
    mute: bool = False
    """Whether what was sent last, on this connection or the one before, had no valid answer."""
    stands_since: float | None = None
    sent: float | None = None
    """When that was sent which waits for its answer."""

    def wanted(self, now: float) -> "LinkHealth":
        """It is to be opened, from nothing."""
        return LinkHealth(self.supervised, now, self.proven)

    def made(self, now: float) -> "LinkHealth":
        """It stands."""
        standing = replace(self, stands_since=now, sent=None)
        return standing if self.supervised or self.mute else standing.answered()

    def wrote(self, now: float) -> "LinkHealth":
        """Something was sent that has to be answered."""
        return replace(self, sent=now)

    def unanswered(self, now: float) -> "LinkHealth":
        """What was sent last had no valid answer in its time; the link is kept, and stands as if it were new."""
        since = self.sent if self.bad_since is None else self.bad_since
        return replace(self, bad_since=since, mute=True, stands_since=now, sent=None)

    def answered(self) -> "LinkHealth":
        """A valid answer came."""
        return replace(self, bad_since=None, proven=True, mute=False, sent=None)

    def failed(self, now: float) -> "LinkHealth":
        """It was lost or given up, or could not be opened."""
        began = now if self.sent is None else self.sent
        since = began if self.bad_since is None else min(self.bad_since, began)
        mute = self.mute or self.sent is not None
        return replace(self, bad_since=since, mute=mute, stands_since=None, sent=None)

    def settled(self, now: float, patience: float) -> "LinkHealth":
        """Time has passed (rule 2). `patience` in seconds."""
        if self.supervised or self.stands_since is None or self.sent is not None:
            return self
        return self.answered() if now - self.stands_since >= patience else self
