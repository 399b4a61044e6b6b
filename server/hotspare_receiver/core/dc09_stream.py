"""The bytes of one connection or datagram of a panel, and when a connection has to end (S4). Pure."""

from dataclasses import dataclass

from hotspare_model.dc09_errors import TooLongError
from hotspare_model.dc09_stream import FrameSplitter

PROOF_TIME = 30.0
"""Seconds for a new connection until its first frame of an account that we know."""

FRAME_TIME = 20.0
"""Seconds from the first byte of a frame to its last."""

IDLE_TIME = 3600.0
"""Seconds that a connection may say nothing, once an account was heard on it."""

RUBBISH_LIMIT = 16 * 1024
"""Bytes outside of frames since the last good frame."""

STRIKES = 20
"""Frames in a row that were refused."""

DATAGRAM_FRAMES = 16
"""Frames of one datagram that are read."""


@dataclass(frozen=True, slots=True)
class Fed:
    """What bytes brought."""

    frames: tuple[bytes, ...]
    too_long: bool = False
    """A frame grew over the limit; the connection has to end after `frames`."""
    rubbish: bool = False
    """There was something outside of frames, other than ends of lines."""


class Stream:
    """One connection. Times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._splitter = FrameSplitter()
        self._opened = now
        self._heard = now
        self._begun: float | None = None
        self._strikes = 0
        self._rubbish_from = 0
        self.proven = False
        """Whether a frame of an account that we know was heard."""

    def feed(self, chunk: bytes, now: float) -> Fed:
        """Take bytes; return what they complete."""
        skipped = self._splitter.skipped
        try:
            frames, too_long = tuple(self._splitter.feed(chunk)), False
        except TooLongError as error:
            frames, too_long = error.frames, True
        self._heard = now
        # Panels that end lines with CR and LF leave an LF behind: that is no frame that has begun.
        if self._splitter.pending <= 1:
            self._begun = None
        elif frames or self._begun is None:
            self._begun = now
        return Fed(frames, too_long, self._splitter.skipped - skipped > len(frames) + 2)

    def judged(self, known: bool) -> None:
        """Note whether a frame came from an account that we know."""
        if known:
            self.proven, self._strikes = True, 0
            self._rubbish_from = self._splitter.skipped
        else:
            self._strikes += 1

    @property
    def spoiled(self) -> bool:
        """Whether so much of it was refused that it has to end."""
        return self._strikes >= STRIKES or self._splitter.skipped - self._rubbish_from > RUBBISH_LIMIT

    @property
    def last_heard(self) -> float:
        """When bytes came last."""
        return self._heard

    @property
    def deadline(self) -> float:
        """When it ends unless something comes that moves this."""
        until = self._heard + IDLE_TIME if self.proven else self._opened + PROOF_TIME
        return until if self._begun is None else min(until, self._begun + FRAME_TIME)


def datagram_frames(datagram: bytes) -> Fed:
    """The frames of one datagram; its end ends a frame too, for panels that leave the CR out."""
    splitter = FrameSplitter()
    try:
        frames = splitter.feed(datagram)
        if splitter.pending > 1:
            frames += splitter.feed(b"\r")
    except TooLongError as error:
        return Fed(error.frames[:DATAGRAM_FRAMES], too_long=True)
    return Fed(tuple(frames[:DATAGRAM_FRAMES]), rubbish=splitter.skipped > len(frames) + 2)
