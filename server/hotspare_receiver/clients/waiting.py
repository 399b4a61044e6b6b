"""Waiting between two tries."""

import asyncio
import contextlib


async def sleep_or(event: asyncio.Event, seconds: float) -> None:
    """Sleep, but no longer than until the event is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
