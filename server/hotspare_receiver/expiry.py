"""Deletes what is too old or too much of the history of alarms (A8), in small steps beside the alarm path.

Each step is a commit of its own, about a millisecond of work, and a longer rest follows: what the alarm path writes
meanwhile waits for one step at most. Which alarms may go is decided by core/expiry.py.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from hotspare_model.errors import HotspareError, Reason
from hotspare_model.retention import HistoryLimits, WallClock, rest_after
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.expiry import SETTLED, Cause, Cutoffs, Row, steps
from hotspare_receiver.history import to_micros
from hotspare_receiver.store import expiry as store
from hotspare_receiver.store.expiry import Kept
from hotspare_rpc.logs import log_event
from hotspare_store.database import Database

ROUND = 60.0
"""Seconds between two rounds."""

COUNT_PAUSE = 0.01

PAGE = 500
"""Alarms that are looked at in one read."""

COUNTED = 2000
"""Rows that are counted in one read."""

_log = logging.getLogger(__name__)


class HistoryExpiry:
    """The clean-up of one receiver's history."""

    def __init__(
        self,
        database: Database,
        limits: Callable[[], HistoryLimits],
        clock: Clock,
        *,
        round_every: float = ROUND,
        rest: Callable[[float, float], float] = rest_after,
    ) -> None:
        """Read how far it was counted. For the start, before anything is served. `limits` are asked in each round."""
        self._database = database
        self._limits = limits
        self._clock = clock
        self._round_every = round_every
        self._rest = rest
        self._swept_since = 0.0
        self._task: asyncio.Task[None] | None = None
        self.kept: Kept = database.read_now(store.load)
        """What is kept, as of the last round."""
        self.oldest: float | None = None
        """When the oldest alarm that is kept was received, seconds since 1970. None: there is none."""
        self.deleted: Counter[Cause] = Counter(dict.fromkeys(Cause, 0))
        """Alarms deleted since the start."""
        self._wall = WallClock(self.kept.looked / 1e6)

    def start(self) -> None:
        """Begin, inside the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="history-expiry")

    async def stop(self) -> None:
        """End it; a step that is under way is finished by the database."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def round(self) -> None:
        """Count what is new, and delete what may go.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
        """
        await self._count()
        limits = self._limits()
        now = to_micros(self._clock.wall())
        self._wall = self._wall.looked(now / 1e6, self._clock.now())
        if self._wall.believed:
            self.kept = replace(self.kept, looked=now)
            aged = now - int(limits.max_age.total_seconds() * 1e6)
            await self._sweep(Cutoffs(aged, now - SETTLED), limits.max_bytes)
        kept = self.kept
        await self._database.write(lambda connection: store.save(connection, kept))
        oldest: int | None = await self._database.read(store.oldest)
        self.oldest = None if oldest is None else oldest / 1e6

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except HotspareError as error:
                if error.reason is not Reason.DISK_LOW:
                    return  # The process stops.
                log_event(_log, logging.WARNING, "history_waits_for_disk")
            except Exception as error:
                log_event(_log, logging.ERROR, "history_expiry_failed", error=error)
            await asyncio.sleep(self._round_every)

    async def _count(self) -> None:
        while True:
            kept = self.kept
            counted: Kept = await self._database.read(partial(store.count_on, kept=kept, limit=COUNTED))
            if counted == kept:
                return
            self.kept = counted
            await asyncio.sleep(COUNT_PAUSE)

    async def _sweep(self, cutoffs: Cutoffs, max_bytes: int) -> None:
        before, self._swept_since = self.deleted.copy(), self._clock.now()
        after, too_large = 0, self.kept.bytes > max_bytes
        while page := await self._page(after):
            after = page[-1].id
            for step in steps(row for row in page if cutoffs.cause(row, too_large=too_large) is not None):
                # The size is looked at again at each step: the last one that is needed is the last.
                too_large = self.kept.bytes > max_bytes
                going = [row for row in step if cutoffs.cause(row, too_large=too_large) is not None]
                causes = {row.id: cutoffs.cause(row, too_large=too_large) for row in going}
                self.deleted.update(cause for gone in await self._delete(going) if (cause := causes[gone]) is not None)
            too_large = self.kept.bytes > max_bytes
            if not cutoffs.may_follow(page, too_large=too_large):
                break
        if deleted := self.deleted - before:
            by_age, by_size = deleted[Cause.AGE], deleted[Cause.SIZE]
            log_event(_log, logging.INFO, "history_expired", by_age=by_age, by_size=by_size, kept=self.kept.alarms)

    async def _page(self, after: int) -> Sequence[Row]:
        through = self.kept.alarm_through
        rows: list[Row] = await self._database.read(
            lambda connection: store.rows_after(connection, after, through, PAGE)
        )
        return rows

    async def _delete(self, rows: Sequence[Row]) -> Sequence[int]:
        """Delete these alarms. Returns the ids of those that went."""
        gone: Sequence[int] | None = None
        while rows and gone is None:
            step = partial(store.delete, rows=rows, kept=self.kept)
            began = self._clock.now()
            self.kept, gone = await self._database.write(step)
            now = self._clock.now()
            await asyncio.sleep(self._rest(now - began, now - self._swept_since))
        return gone or ()
