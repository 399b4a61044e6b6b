"""The cloud's clock, and the watch that notices when the cloud itself got no time."""

import asyncio
import time

STALL = 0.5
"""Seconds without a turn of the event loop after which the cloud mistrusts its own idea of who is silent."""

TURN = 0.1


def boottime() -> float:
    """Seconds of a monotonic clock that goes on during suspend, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class StallWatch:
    """Counts the times when the loop stood still (the process was stopped, the machine suspended, the disk hung).

    After one the beats that arrived meanwhile have not been read yet, so nobody may be judged by them.
    """

    def __init__(self) -> None:
        self.stalls = 0
        self.stalled_from = 0.0
        """When the loop last turned before the newest of them."""
        self._lag = 0.0
        self._last = boottime()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch, on the running loop."""
        self._last = boottime()
        self._timer = asyncio.get_running_loop().call_later(TURN, self._turn)

    def stop(self) -> None:
        """End the watch."""
        if self._timer is not None:
            self._timer.cancel()

    def lag(self, now: float) -> float:
        """Seconds by which the last turn was late, or the next one is: it grows while the loop hangs. Of any thread."""
        overdue = now - self._last - TURN if self._timer is not None else 0.0
        return max(self._lag, overdue, 0.0)

    def check(self, now: float) -> int:
        """The number of stalls until now; one that is only now coming to an end counts."""
        if self._timer is not None and now - self._last > STALL + TURN:
            self.stalls += 1
            self.stalled_from, self._last = self._last, now
        return self.stalls

    def _turn(self) -> None:
        now = boottime()
        self._lag = max(0.0, now - self._last - TURN)
        self.check(now)
        self._last = now
        self._timer = asyncio.get_running_loop().call_later(TURN, self._turn)
