"""The orderly stop of a process."""

import asyncio
import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def install_stop_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set, instead of ending the process. Call it in the running
    loop.

    Repeated signals change nothing: every part of a stop has a deadline of its own, and SIGKILL is always
    there.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    return stop
