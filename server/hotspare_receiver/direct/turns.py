"""Has the alarms of a device wait, in the order in which they came, until nothing older of it is kept (A3, D4)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from hotspare_model.errors import HotspareError, Reason

LOOK = 0.05
"""Seconds between looks at whether it is a device's turn."""


@dataclass(slots=True)
class _Line:
    """The alarms of one device that wait."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    failures: int = 0
    """How often one was given back; those behind it are given back too, or they would pass it (A3)."""


class Turns:
    """The lines of all devices. All calls are made in one event loop."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: monotonic seconds."""
        self._now = now
        self._lines: dict[str, _Line] = {}

    async def wait(self, device_id: str, is_free: Callable[[], bool], patience: float) -> None:
        """Wait until `is_free`. Callers for one device go on in the order in which they came.

        Raises:
            HotspareError: CLOUD_UNREACHABLE, when that takes longer than `patience` seconds.
        """
        if device_id not in self._lines and is_free():
            return
        deadline = self._now() + patience
        line = self._lines.setdefault(device_id, _Line())
        before = line.failures
        line.users += 1
        try:
            # A lock lets its waiters in as they came. Each looking on its own would let the one in that looks first.
            async with line.turn:
                if line.failures != before:
                    raise _unpublished()
                while not is_free():
                    if self._now() >= deadline:
                        line.failures += 1
                        raise _unpublished()
                    await asyncio.sleep(LOOK)
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[device_id]


def _unpublished() -> HotspareError:
    problem = "alarms of this device that came before are not published yet"
    return HotspareError(
        Reason.CLOUD_UNREACHABLE, problem, retry_after=timedelta(seconds=1), cloud_address="", problem=problem
    )
