"""An event loop without a clock of its own: one a process, turned by the simulated world.

The code under test runs on it unchanged, with its tasks, locks, timers and streams. Nothing here waits: a turn runs all
that is ready, and what has to happen later stands in the world's queue.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from hotspare_model.errors import HotspareError

if TYPE_CHECKING:
    from tests.simulation.world import Process

T = TypeVar("T")

LATE = 1e-5
"""Seconds by which a timer fires late, so that rounding never lets it fire early."""


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of one process."""

    def __init__(self, process: "Process") -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        """All that are not done: a process that was killed must not have its tasks collected while the world turns."""
        self._process = process
        self._ready: deque[asyncio.Handle] = deque()
        self._turning = False

    # What the world does.

    def turn(self) -> None:
        """Run all that is ready, and all that gets ready by it."""
        self._turning = True
        try:
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            self._turning = False

    def _fire(self, handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled():
            handle._run()

    # What the code under test does.

    def time(self) -> float:
        """Seconds of the process's own clock."""
        return self._process.now()

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """As seen from inside."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in this turn, or in one that begins now."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self._ready and not self._turning:
            self._process.nudge()
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback after seconds of the process's clock."""
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        self._process.post_in(max(0.0, delay) + LATE, "timers", self._fire, handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time of the process's clock."""
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the world's queue, and does nothing there."""

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        """A task on this loop."""
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """A connection to an ARC, which the world provides."""
        return await self._process.connect(protocol_factory, host)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody caught is a defect."""
        error = context.get("exception")
        # A refusal of ours, of a disk that is full say, may find nobody left who asked.
        if error is not None and not isinstance(error, asyncio.CancelledError | HotspareError):
            self._process.world.defect(self._process.name, f"{context.get('message')}: {error!r}", error)
