"""How the working receiver is lost, and how it comes back."""

import signal
import time
from dataclasses import dataclass
from enum import Enum

from benchmarks.failover.stage import Stage
from benchmarks.machine import load_average

LEASE, BEAT = 6.0, 1.0
"""Seconds; the defaults, which all figures are measured with."""
WRITE_DELAY = 1.0


class Fault(Enum):
    """A loss. The values are the names in tables."""

    KILL = "kill -9"
    STOP = "SIGSTOP"
    CUT_UP = "cut to the cloud"
    CUT_DOWN = "cut from the cloud"
    CUT_BOTH = "cut both ways"

    @property
    def reach(self) -> float:
        """Seconds for which what was in hand may still go out after it: one that is cut off lives until its lease ends,
        and the kernel sends what it has been given also for one that was killed or stopped."""
        return LEASE if self in CUTS else WRITE_DELAY


CUTS = (Fault.CUT_UP, Fault.CUT_DOWN, Fault.CUT_BOTH)


@dataclass(frozen=True)
class Loss:
    """A fault that was made."""

    fault: Fault
    victim: str
    at: float
    """Monotonic, right before it."""
    load: float = 0.0
    """The machine's load average then: whoever shares it shows here."""


def strike(stage: Stage, victim: str, fault: Fault) -> Loss:
    """Make a fault at a receiver, by its role."""
    receiver = stage.receivers[victim]
    match fault:
        case Fault.KILL:
            at = receiver.kill()
        case Fault.STOP:
            at = receiver.signal(signal.SIGSTOP)
        case Fault.CUT_UP | Fault.CUT_DOWN | Fault.CUT_BOTH:
            proxy = stage.proxies[victim]
            ways = {Fault.CUT_UP: [proxy.up], Fault.CUT_DOWN: [proxy.down]}.get(fault, [proxy.up, proxy.down])
            at = time.monotonic()
            proxy.cut(*ways)
    return Loss(fault, victim, at, round(load_average(), 2))


def mend(stage: Stage, loss: Loss) -> None:
    """Let the receiver come back: start it again, let it go on, or heal its line."""
    match loss.fault:
        case Fault.KILL:
            stage.receivers[loss.victim].start()
        case Fault.STOP:
            stage.receivers[loss.victim].signal(signal.SIGCONT)
        case Fault.CUT_UP | Fault.CUT_DOWN | Fault.CUT_BOTH:
            stage.proxies[loss.victim].heal()
