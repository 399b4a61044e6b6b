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


class Handle:
    """What `call_soon` and `call_later` return: an asyncio.Handle as far as anybody asks, and a good deal cheaper."""

    __slots__ = ("_args", "_callback", "_context", "_off", "_when")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None, when: float
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._off = False
        self._when = when

    def cancel(self) -> None:
        """Never call it."""
        self._off = True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._off

    def when(self) -> float:
        """When it is due, by the loop's clock."""
        return self._when

    def run(self, loop: "SimLoop") -> None:
        """Call it."""
        if self._off:
            return
        try:
            if self._context is None:
                self._callback(*self._args)
            else:
                self._context.run(self._callback, *self._args)
        except Exception as error:
            loop.call_exception_handler({"message": f"in {self._callback!r}", "exception": error})


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of one process."""

    def __init__(self, process: "Process") -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        """All that are not done: a process that was killed must not have its tasks collected while the world turns."""
        self._process = process
        self._ready: deque[Handle] = deque()
        self._turning = False

    # What the world does.

    def turn(self) -> None:
        """Run all that is ready, and all that gets ready by it."""
        self._turning = True
        ready = self._ready
        try:
            while ready:
                ready.popleft().run(self)
        finally:
            self._turning = False

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
    ) -> Handle:
        """Run a callback in this turn, or in one that begins now."""
        handle = Handle(callback, args, context, 0.0)
        if not self._ready and not self._turning:
            self._process.nudge()
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run a callback after seconds of the process's clock."""
        handle = Handle(callback, args, context, self.time() + delay)
        self._process.timer((delay if delay > 0 else 0.0) + LATE, handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run a callback at a time of the process's clock."""
        return self.call_later(when - self.time(), callback, *args, context=context)

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
