"""Streams to operators: they end with the server, and with the token that opened them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.tokens import Operator, Tokens

Message = TypeVar("Message")


class Changes:
    """Tells any number of streams that something changed. Not thread-safe."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Wake all that wait now."""
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """Set at the next change after now."""
        return self._changed


class Ends:
    """What ends a stream that has no end of its own."""

    def __init__(self, tokens: Tokens, stopping: asyncio.Event) -> None:
        self._tokens = tokens
        self._stopping = stopping

    async def guard(self, messages: AsyncGenerator[Message, None], operator: Operator) -> AsyncIterator[Message]:
        """The messages, until the server stops or the operator's token is revoked or expires.

        Raises:
            HotspareError: SHUTTING_DOWN, INVALID_CREDENTIALS, TOKEN_EXPIRED; and what `messages` raises.
        """
        ending = asyncio.create_task(self.ended(operator))
        try:
            async with aclosing(messages):
                while True:
                    following = asyncio.ensure_future(anext(messages, None))
                    try:
                        await asyncio.wait((following, ending), return_when=asyncio.FIRST_COMPLETED)
                        if ending.done():
                            raise ending.result()
                        message = following.result()
                    finally:
                        await _cancelled(following)
                    if message is None:
                        return
                    yield message
        finally:
            await _cancelled(ending)

    async def ended(self, operator: Operator) -> HotspareError:
        """Wait for the end that the server or the operator's token brings, and return why it is one."""
        remaining = self._tokens.remaining(operator)
        waits = [
            asyncio.ensure_future(self._stopping.wait()),
            asyncio.ensure_future(operator.revoked.wait()),
        ]
        try:
            await asyncio.wait(
                waits,
                timeout=None if remaining is None else max(0.0, remaining.total_seconds()),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()
        if self._stopping.is_set():
            return HotspareError(Reason.SHUTTING_DOWN, "the receiver is stopping")
        if operator.revoked.is_set():
            return HotspareError(Reason.INVALID_CREDENTIALS, "the token was revoked")
        return HotspareError(Reason.TOKEN_EXPIRED, "the token expired while the stream lasted")


async def _cancelled(task: "asyncio.Future[Message]") -> None:
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    elif not task.cancelled():
        # It may have failed in the moment in which the call ended, and nobody else looks at that.
        task.exception()
