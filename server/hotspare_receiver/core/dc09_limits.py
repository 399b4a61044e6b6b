"""What keeps one who sends too much from harming others (S4): shares of time, rates, and things told once. Pure."""

from collections import OrderedDict
from collections.abc import Hashable

_ROUNDING = 1e-9


class Share:
    """A part of the processor. Whoever spends of it waits afterwards, so that the others have the rest.

    A burst is free, so that an ordinary frame never waits.
    """

    def __init__(self, part: float, burst: float) -> None:
        """`part`: 0 to 1, exclusive of 0. `burst`: seconds of work that may be done at once."""
        self._rate = part
        self._burst = burst
        self._debt = 0.0
        self._at = 0.0

    def spend(self, seconds: float, now: float) -> None:
        """Note work that was done."""
        self._settle(now)
        self._debt += seconds

    def wait(self, now: float) -> float:
        """Seconds until there is something of it again; 0 for now."""
        self._settle(now)
        return max(0.0, (self._debt - self._burst) / self._rate)

    def _settle(self, now: float) -> None:
        self._debt = max(0.0, self._debt - max(0.0, now - self._at) * self._rate)
        self._at = now


class Rates:
    """So many a second and at once for each key, for a bounded number of keys."""

    def __init__(self, rate: float, burst: int, most_keys: int) -> None:
        self._rate = rate
        self._burst = burst
        self._most_keys = most_keys
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable, now: float) -> bool:
        """Whether one more is within the rate of `key`; if so it is counted."""
        # The moment at which its bucket is full again tells how much is in it.
        full_at = max(self._full_at.pop(key, now), now)
        allowed = full_at + 1 / self._rate <= now + self._burst / self._rate + _ROUNDING
        self._full_at[key] = full_at + 1 / self._rate if allowed else full_at
        if len(self._full_at) > self._most_keys:
            self._full_at.popitem(last=False)
        return allowed


class Once:
    """Tells whether something is to be told: each key once in a period, and never more than so many in all."""

    def __init__(self, period: float, most: int, most_period: float) -> None:
        """Each key once in `period` seconds; at most `most` keys in `most_period` seconds."""
        self._period = period
        self._told: OrderedDict[Hashable, float] = OrderedDict()
        self._all = Rates(most / most_period, most, 1)
        self.kept_back = 0
        """Keys that would have been told, but for the others."""

    def due(self, key: Hashable, now: float) -> bool:
        """Whether to tell `key` now; if so it is noted as told."""
        while self._told and next(iter(self._told.values())) + self._period <= now:
            self._told.popitem(last=False)
        if key in self._told:
            return False
        if not self._all.take(None, now):
            self.kept_back += 1
            return False
        self._told[key] = now
        return True
