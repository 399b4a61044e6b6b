"""What systemd is told by a service of `Type=notify`: that it serves, that it is alive, that it stops.

By the protocol of sd_notify(3) and sd_watchdog_enabled(3): lines in one datagram to the socket that the environment
names. Without systemd nothing is sent. Imports no gRPC.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from hotspare_rpc.logs import log_event

SOCKET = "NOTIFY_SOCKET"
WATCHDOG = "WATCHDOG_USEC"
WATCHDOG_OF = "WATCHDOG_PID"

SIGNS_IN_TIME = 3
"""How often it tells within the watchdog's time that it is alive: one sign may come late, and be the only one late."""

_log = logging.getLogger(__name__)


def notify(*lines: str) -> bool:
    """Tell systemd, such as `READY=1`. Returns whether it was told: there may be no systemd, or it may not listen."""
    name = os.environ.get(SOCKET, "")
    if not name.startswith(("/", "@")):
        return False
    # A name with @ is of the abstract name space, where the first byte is zero.
    address = f"\0{name[1:]}" if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as speaker:
            speaker.sendto("\n".join(lines).encode(), address)
    except OSError as problem:
        log_event(_log, logging.WARNING, "systemd_not_told", told=lines[0], problem=problem)
        return False
    return True


def watchdog_time(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds within which systemd wants a sign of life of this process. None: it wants none."""
    told, whose = environment.get(WATCHDOG, ""), environment.get(WATCHDOG_OF, "")
    if not told.isdecimal() or int(told) == 0 or (whose and whose != str(pid)):
        return None
    return int(told) / 1e6


@asynccontextmanager
async def told_systemd() -> AsyncIterator[None]:
    """Tell systemd that this process serves, then that its loop turns, until the block ends, and that it stops.

    The signs of life come from the loop that does the work: a process that hangs gives none, and is started anew.
    """
    notify("READY=1")
    time = watchdog_time(os.environ, os.getpid())
    signs = asyncio.create_task(_give_signs(time / SIGNS_IN_TIME), name="watchdog") if time is not None else None
    try:
        yield
    finally:
        if signs is not None:
            signs.cancel()
        notify("STOPPING=1")


async def _give_signs(interval: float) -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)
