"""One stream of a subscriber, as its subscription sees it, and what goes over it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from hotspare_receiver.core.forwarder import Sending
from hotspare_receiver.outputs.trial import Trial

ANSWER_LIMIT = 1000
"""Cursors in one message at most."""

BACKLOG_LIMIT = 20_000
"""Acknowledgements of a subscriber that wait to be kept or answered, before it is read no further."""


@dataclass(frozen=True, slots=True)
class FeedState:
    """Whether alarms can be expected from this receiver."""

    working: bool
    epoch: int


@dataclass(frozen=True, slots=True)
class FeedAnswer:
    """Cursors whose acknowledgement is durable, and those that the subscription was never told."""

    cursors: tuple[int, ...]
    unknown: tuple[int, ...]


@dataclass(slots=True)
class Tell:
    """An alarm, or a test, on its way to the subscriber."""

    cursor: int
    attempt: int
    raw: bytes
    """The serialized StoredAlarm; empty for a test."""
    epoch: int
    began: float
    started: datetime
    sending: Sending | None = None
    trial: Trial | None = None
    frame: bytes = b""
    """As it was written. Empty: it was not yet."""

    @property
    def number(self) -> int:
        """Number of the alarm in the group; 0 for a test."""
        return self.sending.delivered.number if self.sending is not None else 0


FeedMessage: TypeAlias = FeedState | FeedAnswer | Tell


@dataclass(slots=True)
class Session:
    """A stream that stands."""

    window: int
    peer: str
    caller: str
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    """Set: it ends with this."""
    half_closed: bool = False
    state: FeedState | None = None
    """As it was told last."""
    ready: deque[Tell] = field(default_factory=deque)
    trials: deque[Tell] = field(default_factory=deque)
    writing: Tell | None = None
    """The alarm that gRPC is taking over: the only one that may leave this machine later."""
    inbox: list[int] = field(default_factory=list)
    """Acknowledgements that are not kept yet."""
    keeping: asyncio.Task[None] | None = None
    kept: deque[int] = field(default_factory=deque)
    unknown: deque[int] = field(default_factory=deque)
    eased: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """There may be something to write, or it is over."""
        self.woken.set()

    def end(self, error: Exception) -> None:
        """It ends with this error, unless another was faster."""
        self.error = self.error or error
        self.wake()

    @property
    def backlog(self) -> int:
        """Acknowledgements that are not answered yet."""
        return len(self.inbox) + len(self.kept) + len(self.unknown)

    @property
    def settled(self) -> bool:
        """Whether all that the subscriber said is answered."""
        return not self.backlog and self.keeping is None

    async def ease(self) -> None:
        """Wait until there is room for more acknowledgements: who does not read the answers is read no further."""
        while self.backlog > BACKLOG_LIMIT and self.error is None:
            self.eased.clear()
            await self.eased.wait()

    def answer(self) -> FeedAnswer | None:
        """The next answer to acknowledgements. None: all are answered."""
        if not self.kept and not self.unknown:
            return None
        kept = tuple(self.kept.popleft() for _ in range(min(ANSWER_LIMIT, len(self.kept))))
        unknown = tuple(self.unknown.popleft() for _ in range(min(ANSWER_LIMIT, len(self.unknown))))
        self.eased.set()
        return FeedAnswer(kept, unknown)
