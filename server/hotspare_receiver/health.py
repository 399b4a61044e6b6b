"""Watches how this receiver is: measures the event loop, asks for the facts, and tells what core/health.py finds.

It is looked at every PULSE and before every beat, from the loop that forwards alarms: what is stuck with that loop can
say nothing good of it.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from hotspare_receiver.clock import Clock
from hotspare_receiver.core.health import Facts, Health, ProblemKind
from hotspare_receiver.snapshot import Problem
from hotspare_rpc.logs import log_event

PULSE = 0.5
"""Seconds between two looks."""

_log = logging.getLogger(__name__)


class HealthWatch:
    """The health of this receiver. `problems` are those of the last look; `lag` in seconds."""

    def __init__(self, clock: Clock, facts: Callable[[], Facts], on_change: Callable[[], None]) -> None:
        """`on_change`: a problem came or went; the cloud should know at once."""
        self._clock = clock
        self._facts = facts
        self._on_change = on_change
        self._health = Health()
        self._began: dict[tuple[ProblemKind, str], datetime] = {}
        self._task: asyncio.Task[None] | None = None
        self.problems: tuple[Problem, ...] = ()
        self.lag = 0.0

    def start(self) -> None:
        """Watch from now on. Call it in the loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(), name="health")

    def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def look(self) -> None:
        """Judge the facts of this moment."""
        now = self._clock.now()
        self._health = self._health.judged(self._facts(), now)
        before, wall = self._began, self._clock.wall()
        # For people. Kept from when it came, so that it stays where it is when the wall clock is set.
        self._began = {
            (one.kind, one.subject): before.get((one.kind, one.subject), wall - timedelta(seconds=now - one.since))
            for one in self._health.findings
        }
        self.problems = tuple(
            Problem(one.kind, one.subject, one.detail, self._began[one.kind, one.subject])
            for one in self._health.findings
        )
        if before.keys() != self._began.keys():
            self._log_changes(before)
            self._on_change()

    def _log_changes(self, before: dict[tuple[ProblemKind, str], datetime]) -> None:
        for problem in self.problems:
            if (problem.kind, problem.subject) not in before:
                log_event(
                    _log, logging.WARNING, "health_problem", kind=problem.kind.name, subject=problem.subject,
                    detail=problem.detail,
                )  # fmt: skip
        for kind, subject in before.keys() - self._began.keys():
            log_event(_log, logging.WARNING, "health_problem_over", kind=kind.name, subject=subject)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            planned = loop.time() + PULSE
            await asyncio.sleep(PULSE)
            self.lag = max(0.0, loop.time() - planned)
            self._health = self._health.measured(self.lag, self._clock.now())
            try:
                self.look()
            except Exception as error:
                # A defect must not end the watch for good.
                log_event(_log, logging.ERROR, "health_watch_broke", error=error)
