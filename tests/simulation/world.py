"""The simulated world: true time, a queue of what happens, and processes with clocks of their own.

One seed decides everything: the same seed gives the same history, on any machine.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from random import Random
from typing import Any

from hotspare_model.errors import HotspareError
from tests.proof.checker import Checker
from tests.proof.facts import Fact, Note
from tests.proof.history import History, Violation
from tests.simulation.loop import Handle, SimLoop

Call = Callable[..., object]
Connect = Callable[
    ["Process", Callable[[], asyncio.Protocol], str], Awaitable[tuple[asyncio.Transport, asyncio.Protocol]]
]

WALL = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
"""What a wall clock shows that was never set, at second 0 of its machine."""

SPIN_TURNS, SPIN_SECONDS = 5_000, 0.2
"""Events, and the time in which so many of them mean that a loop goes on and on without waiting for anything."""


class World:
    """True time and all that is going to happen in it."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        """`traced`: keep the history, to be read. Judged it is in any case."""
        self.now = 0.0
        self.random = Random(seed)
        self.history = History()
        self.checker: Checker
        self.violation: Violation | None = None
        """The first promise that was broken."""
        self.error: BaseException | None = None
        """For a defect: what was raised."""
        self.traced = traced
        self.attempts = 0
        """Messages that were written to ARCs."""
        self.ended = False
        self._queue: list[tuple[float, int, Call, tuple[Any, ...]]] = []
        self._count = 0
        self._turns = 0
        self._looked = 0.0

    def at(self, time: float, call: Call, *args: Any) -> None:
        """Have something happen at a true time."""
        self._count += 1
        # Here and below, builtins that are called a million times cost more than what they do.
        heappush(self._queue, (time if time > self.now else self.now, self._count, call, args))

    def after(self, delay: float, call: Call, *args: Any) -> None:
        """Have something happen after true seconds."""
        self.at(self.now + delay, call, *args)

    def run(self, until: float) -> None:
        """Let time pass, until it is `until`, or something was violated."""
        queue = self._queue
        while queue and queue[0][0] <= until and self.violation is None:
            self.now, _, call, args = heappop(queue)
            call(*args)
            self._turns += 1
            if self._turns % SPIN_TURNS == 0:
                if self.now - self._looked < SPIN_SECONDS:
                    self.defect(
                        "world", f"{SPIN_TURNS} events within {self.now - self._looked:.3f} s: a loop that spins"
                    )
                self._looked = self.now
        if self.violation is None:
            self.now = until

    def add(self, fact: Fact) -> None:
        """Write down and judge what an actor did."""
        if self.ended:
            return
        if self.traced:
            self.history.add(fact)
        self.checker.take(fact)
        self.look()

    def look(self) -> None:
        """Whether the checker found something."""
        if self.checker.violations and self.violation is None:
            first = self.checker.violations[0]
            self.violated(first.rule, first.problem)

    def note(self, actor: str, what: str, **details: object) -> None:
        """Write down what else happened, for people."""
        if self.traced and not self.ended:
            self.history.add(Note(self.now, actor, what, details))

    def violated(self, rule: str, problem: str) -> None:
        """A promise was broken; the first one counts."""
        if self.violation is None and not self.ended:
            self.violation = Violation(self.now, rule, problem)
            self.note("checker", "VIOLATION", rule=rule, problem=problem)

    def defect(self, actor: str, problem: str, error: object = None) -> None:
        """The code under test failed in a way that it never may."""
        if not self.ended:
            self.error = self.error or (error if isinstance(error, BaseException) else None)
            self.violated("defect", f"{actor}: {problem}")


class Clock:
    """A machine's monotonic clock: `rate` seconds of it pass in a true one."""

    def __init__(self, world: World, rate: float, start: float) -> None:
        self._world = world
        self.rate = rate
        self.ahead = 0.0
        """Seconds by which the wall clock beside it was set."""
        self._start = start

    def now(self) -> float:
        """What it shows."""
        return self._start + self._world.now * self.rate

    def wall(self) -> datetime:
        """What the wall clock of the same machine shows."""
        return WALL + timedelta(seconds=self.now() + self.ahead)

    def true(self, reading: float) -> float:
        """The true time of a reading."""
        return (reading - self._start) / self.rate


class Process:
    """One run of a program: from its start until it is killed. It can be stopped meanwhile (SIGSTOP)."""

    running: "Process | None" = None
    """The one whose turn it is."""

    def __init__(self, world: World, name: str, clock: Clock, connect: Connect | None = None) -> None:
        self.world = world
        self.name = name
        self.clock = clock
        self.alive = True
        self.stopped = False
        self.stops = 0
        self.loop = SimLoop(self)  # type: ignore[abstract] # what is not there is not used
        self.after_turn: Callable[[], None] = lambda: None
        self.on_kill: list[Callable[[], None]] = []
        self._connect = connect
        self._mail: dict[str, deque[tuple[Call, tuple[Any, ...]]]] = {}

    def now(self) -> float:
        """Its clock, which goes on while it is stopped."""
        return self.clock.now()

    def post(self, source: str, call: Call, *args: Any) -> None:
        """Give it something to do. While it is stopped that waits, in order for each source."""
        if not self.alive:
            return
        if self.stopped or self._mail:
            self._mail.setdefault(source, deque()).append((call, args))
        else:
            self.run(call, *args)

    def timer(self, delay: float, handle: Handle) -> None:
        """Have a timer fire after seconds of its clock."""
        self.world.after(delay / self.clock.rate, self._due, handle)

    def _due(self, handle: Handle) -> None:
        # One that was cancelled is no turn; of a process that is stopped it counts, for its mail is taken by lot.
        if self.stopped or self._mail or not handle.cancelled():
            self.post("timers", handle.run, self.loop)

    def nudge(self) -> None:
        """Turn the loop, as soon as it may."""
        self.world.after(0.0, self.post, "loop", _nothing)

    def run(self, call: Call, *args: Any) -> None:
        """Do something in a turn of its loop."""
        before, Process.running = Process.running, self
        loop = self.loop
        asyncio._set_running_loop(loop)
        try:
            call(*args)
            loop.turn()
        finally:
            Process.running = before
            asyncio._set_running_loop(before.loop if before else None)
        if self.alive:
            self.after_turn()

    async def connect(
        self, factory: Callable[[], asyncio.Protocol], host: str
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a TCP connection."""
        assert self._connect is not None
        return await self._connect(self, factory, host)

    # Faults.

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True
        self.stops += 1

    def resume(self) -> None:
        """SIGCONT. What came meanwhile is taken in any order that keeps the order of each source."""
        if not self.stopped:
            return
        self.stopped = False
        while self._mail and self.alive and not self.stopped:
            source = self.world.random.choice(list(self._mail))
            call, args = self._mail[source].popleft()
            if not self._mail[source]:
                del self._mail[source]
            self.run(call, *args)

    def kill(self) -> None:
        """SIGKILL: nothing of it happens any more."""
        if not self.alive:
            return
        self.alive = False
        self._mail.clear()
        for call in self.on_kill:
            call()

    def bury(self) -> None:
        """After the end of the world: let the tasks end quietly."""
        self.alive = True
        for _ in range(4):
            if not self.loop.tasks:
                break
            for task in tuple(self.loop.tasks):
                task.cancel()
            self.run(_nothing)
        self.alive = False


def boottime() -> float:
    """Stands for the clock of the code under test."""
    assert Process.running is not None
    return Process.running.now()


def wall_time() -> float:
    """Stands for `time.time` of the code under test."""
    return Process.running.clock.wall().timestamp() if Process.running is not None else WALL.timestamp()


def _nothing() -> None:
    pass


class LogWatch(logging.Handler):
    """Takes the log of the code under test into the history."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """One event."""
        actor = Process.running.name if Process.running else "?"
        fields = getattr(record, "hotspare_fields", {})
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields = {**fields, "error": repr(error)}
        self._world.note(actor, f"log:{record.msg}", **{str(key): value for key, value in fields.items()})
        # What a store answers while its disk is full is no defect; anything that is no error of ours is one.
        if error is not None and not isinstance(error, HotspareError):
            self._world.defect(actor, f"{record.msg}: {error!r}", error)
