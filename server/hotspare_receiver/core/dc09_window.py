"""Whether the time of a DC-09 frame can be taken, and whether the frame came before (D1, S4). Pure.

AES-CBC with a fixed vector has no integrity: what keeps a recorded frame from being used again is its time inside, and
the memory of what came within the window. Frames in clear are anybody's to make; there the time protects nothing, and
a panel whose clock can't be set is heard all the same (A10).
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

PAST = timedelta(seconds=40)
FUTURE = timedelta(seconds=20)
"""What DC-09 has, and the default."""

CLEAR_NAKS = 2
"""Times that a frame in clear with a wrong time is sent back before such frames of the account are taken."""

FORGIVEN_FOR = 3600.0
"""Seconds without a frame after which an account's clock is given its chances anew."""

MOST_OF_ACCOUNT = 1024
MOST_IN_ALL = 100_000
"""Frames that are remembered. Beyond it the oldest are forgotten; of alarms the intake still knows the identity."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """How far the time of a frame may be from ours."""

    past: timedelta = PAST
    future: timedelta = FUTURE
    off: bool = False
    """Any time is taken."""

    def admits(self, stamped: datetime, wall: datetime) -> bool:
        """Whether a time, both aware, lies in the window; the edges belong to it."""
        if self.off:
            return True
        # Frames have whole seconds: what was made in this second must not count as made before it.
        wall = wall.replace(microsecond=0)
        return wall - self.past <= stamped <= wall + self.future


class Seen(Enum):
    """What is known of an encrypted frame."""

    NEW = "new"
    """It never came, as far as is remembered."""
    AGAIN = "again"
    """It came before from the same address: its sender missed our answer."""
    REPLAYED = "replayed"
    """It came before from another address: somebody recorded it."""


@dataclass(frozen=True, slots=True)
class _Known:
    peer: str
    until: float


class FrameMemory:
    """Encrypted frames that were taken, for as long as their time would let them pass again.

    With the window off there is no such time: the newest of each account are kept.
    """

    def __init__(self, most_of_account: int = MOST_OF_ACCOUNT, most_in_all: int = MOST_IN_ALL) -> None:
        self._most_of_account = most_of_account
        self._most_in_all = most_in_all
        self._accounts: dict[str, OrderedDict[bytes, _Known]] = {}
        self._order: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def __len__(self) -> int:
        """How many frames are remembered."""
        return len(self._order)

    def look(self, account: str, digest: bytes, peer: str, now: float) -> Seen:
        """What is known of a frame of `account` that came from the address `peer`."""
        frames = self._accounts.get(account)
        known = None if frames is None else frames.get(digest)
        if known is None or known.until <= now:
            return Seen.NEW
        return Seen.AGAIN if known.peer == peer else Seen.REPLAYED

    def keep(self, account: str, digest: bytes, peer: str, now: float, keep_for: float) -> None:
        """Remember a frame for `keep_for` seconds."""
        frames = self._accounts.setdefault(account, OrderedDict())
        frames.pop(digest, None)
        self._order.pop((account, digest), None)
        self._drop_old(account, frames, now)
        frames[digest] = _Known(peer, now + keep_for)
        self._order[account, digest] = None
        while len(frames) > self._most_of_account:
            self._drop(account, next(iter(frames)))
        while len(self._order) > self._most_in_all:
            self._drop(*next(iter(self._order)))

    def _drop_old(self, account: str, frames: OrderedDict[bytes, _Known], now: float) -> None:
        for digest, known in tuple(frames.items())[:2]:
            # Two for each that comes: it shrinks faster than it grows, and no call is long.
            if known.until <= now:
                del frames[digest]
                del self._order[account, digest]

    def _drop(self, account: str, digest: bytes) -> None:
        frames = self._accounts[account]
        del frames[digest]
        del self._order[account, digest]
        if not frames:
            del self._accounts[account]


@dataclass(frozen=True, slots=True)
class _Clock:
    naks: int
    at: float


class Clocks:
    """Accounts in clear whose panels send a wrong time, and how often they were told ours."""

    def __init__(self) -> None:
        self._wrong: dict[str, _Clock] = {}

    def wrong(self, account: str, now: float) -> bool:
        """Note a wrong time of an account; tell whether the frame is sent back with our time, to set the clock by."""
        known = self._wrong.get(account)
        naks = 0 if known is None or now - known.at > FORGIVEN_FOR else known.naks
        self._wrong[account] = _Clock(min(naks + 1, CLEAR_NAKS), now)
        return naks < CLEAR_NAKS

    def right(self, account: str) -> None:
        """Note a right time."""
        self._wrong.pop(account, None)

    def forget_others(self, accounts: frozenset[str]) -> None:
        """Forget accounts that are no more."""
        for account in self._wrong.keys() - accounts:
            del self._wrong[account]
