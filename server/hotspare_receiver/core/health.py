"""What keeps this receiver from delivering (F3): from facts, and for how long they have been so, to problems.

1. Spans are those of a monotonic clock. A hiccup moves nobody: each kind of problem has its grace, and its way back.
2. OUTPUT_DOWN: nothing proved for `unhealthy_after` that the other side of a required output works; the lease plays no
   part in it, so a spare is judged too. A process whose link was never good has FIRST_LINK_GRACE: it must not be given
   work that it can't do. One proof ends it.
3. DISK_LOW: free disk below the floor; until there is DISK_MARGIN times as much.
4. LOOP_LAG: LATE_IN_A_ROW timers in a row ran LATE or more behind; until none was later than CALM for CALM_FOR.
5. NO_PROGRESS: alarms wait under a held and valid epoch, and for `unhealthy_after` the ARC answered none: a forwarder
   or an ARC that is stuck. Never for want of a lease, and never for an alarm that was refused in so many words (DUH):
   it would move from receiver to receiver, and A5 is there for it. A refusal of our time (NAK) is no such excuse:
   another receiver's clock may be right. One answer ends it; without any, `unhealthy_after` after the work was given
   up.
6. PULL_STUCK: see core/pull_watch.py.

Pure: `Health` is a value; facts and the time give the next one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

DISK_FLOOR = 512_000_000
"""Bytes: the default of the setting `disk_floor_bytes`."""

DISK_MARGIN = 1.1
FIRST_LINK_GRACE = 3.0
"""Seconds. No longer than `unhealthy_after` in any case."""

LATE = 1.0
LATE_IN_A_ROW = 3
CALM = 0.5
CALM_FOR = 5.0


class ProblemKind(IntEnum):
    """What keeps a receiver from being healthy (F3). The numbers are those of group.proto."""

    NO_OUTPUT = 1
    OUTPUT_DOWN = 2
    DISK_LOW = 3
    LOOP_LAG = 4
    NO_PROGRESS = 5
    PULL_STUCK = 6


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """A required output."""

    name: str
    bad_since: float | None
    """Since when nothing proves that its other side works. None: it does."""
    proven: bool
    """Whether it ever did, since the process started."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """How the receiver is at one moment."""

    outputs: tuple[OutputFacts, ...]
    """The required ones."""
    disk_free: int
    disk_floor: int
    working: bool
    """Whether it holds an epoch, may write under it, and is not to give it back."""
    pressing: bool
    """Whether an alarm waits that the ARC has neither confirmed nor refused in so many words."""
    answered: int
    """Answers of the ARC to alarms since the start: confirmations, and refusals in so many words."""
    pull_broken_since: float | None
    unhealthy_after: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and the time of the monotonic clock since which it is there."""

    kind: ProblemKind
    subject: str
    detail: str
    since: float


@dataclass(frozen=True, slots=True)
class _Loop:
    """Rule 4."""

    late: int = 0
    since: float = 0.0
    calm_since: float | None = None
    lagging: bool = False

    def measured(self, lag: float, now: float) -> "_Loop":
        if lag >= LATE:
            late = self.late + 1
            since = self.since if self.late or self.lagging else now - lag
            return _Loop(late, since, None, self.lagging or late >= LATE_IN_A_ROW)
        if not self.lagging:
            return _Loop()
        if lag > CALM:
            return replace(self, late=0, calm_since=None)
        calm_since = now if self.calm_since is None else self.calm_since
        return _Loop() if now - calm_since >= CALM_FOR else _Loop(0, self.since, calm_since, True)


@dataclass(frozen=True, slots=True)
class _Progress:
    """Rule 5."""

    answered: int = 0
    since: float | None = None
    """Since when alarms wait and none was answered."""
    stalled: bool = False
    left_since: float | None = None
    """Since when the work is gone, with no answer."""

    def seen(self, facts: Facts, now: float) -> "_Progress":
        busy = facts.working and facts.pressing
        if facts.answered != self.answered:
            return _Progress(facts.answered, now if busy else None)
        if busy:
            since = now if self.since is None else self.since
            return _Progress(self.answered, since, self.stalled or now - since >= facts.unhealthy_after)
        left_since = now if self.left_since is None else self.left_since
        if not self.stalled or now - left_since >= facts.unhealthy_after:
            return _Progress(self.answered)
        return replace(self, left_since=left_since)


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong, and what was seen that may become so."""

    findings: tuple[Finding, ...] = ()
    """Empty: healthy."""
    _loop: _Loop = _Loop()
    _progress: _Progress = _Progress()
    _no_output_since: float | None = None
    _disk_low_since: float | None = None

    def measured(self, lag: float, now: float) -> "Health":
        """A timer of the event loop ran `lag` seconds late; counts with the next judgement."""
        measured = self._loop.measured(lag, now)
        return self if measured == self._loop else replace(self, _loop=measured)

    def judged(self, facts: Facts, now: float) -> "Health":
        """The findings of this moment."""
        low = facts.disk_free < facts.disk_floor * (1.0 if self._disk_low_since is None else DISK_MARGIN)
        seen = Health(
            _loop=self._loop,
            _progress=self._progress.seen(facts, now),
            _no_output_since=_since(self._no_output_since, now, so=not facts.outputs),
            _disk_low_since=_since(self._disk_low_since, now, so=low),
        )
        findings = tuple(seen._findings(facts, now))
        return replace(seen, findings=findings) if findings else seen

    def _findings(self, facts: Facts, now: float) -> Iterator[Finding]:
        if self._no_output_since is not None:
            detail = "no required output is configured, so no alarm could be delivered"
            yield Finding(ProblemKind.NO_OUTPUT, "", detail, self._no_output_since)
        for output in facts.outputs:
            patience = facts.unhealthy_after
            if not output.proven:
                patience = min(patience, FIRST_LINK_GRACE)
            if output.bad_since is not None and now - output.bad_since >= patience:
                yield Finding(ProblemKind.OUTPUT_DOWN, output.name, output.detail, output.bad_since)
        if self._disk_low_since is not None:
            detail = f"only {facts.disk_free} bytes are free on the disk, and the floor is {facts.disk_floor}"
            yield Finding(ProblemKind.DISK_LOW, "", detail, self._disk_low_since)
        if self._loop.lagging:
            detail = "the process gets no time: its event loop runs a second or more late"
            yield Finding(ProblemKind.LOOP_LAG, "", detail, self._loop.since)
        if self._progress.stalled and self._progress.since is not None:
            detail = "alarms wait, and the ARC has answered none of them"
            yield Finding(ProblemKind.NO_PROGRESS, "", detail, self._progress.since)
        if facts.pull_broken_since is not None:
            detail = "the stream of alarms was opened anew and still does not agree with the cloud's"
            yield Finding(ProblemKind.PULL_STUCK, "", detail, facts.pull_broken_since)


def _since(known: float | None, now: float, *, so: bool) -> float | None:
    if not so:
        return None
    return now if known is None else known
