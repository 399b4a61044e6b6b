"""Forgets alarms whose time has come (A2, A8), in small steps beside everything else.

Each step is a commit of its own, about a millisecond of work, and a longer rest follows: what is published or confirmed
meanwhile waits for one step at most. Which alarms may go is decided by core/expiry.py.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

from hotspare_cloud.clock import boottime
from hotspare_cloud.core.expiry import STEP, Cause, Cutoffs, KeptRow, cutoffs, steps
from hotspare_cloud.directory import Directory
from hotspare_cloud.finish import finished
from hotspare_cloud.group import Group
from hotspare_cloud.store.base_expiry import ExpiryStore, Size
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.retention import HistoryLimits, WallClock, rest_after
from hotspare_rpc.logs import log_event

ROUND = 60.0
"""Seconds between two rounds."""

COUNT_PAUSE = 0.01

PAGE = 500
"""Alarms that are looked at in one read."""

COUNTED = 1000
"""Alarms that are counted in one read."""

DELIVERIES = 250
"""Deliveries that one commit deletes."""

MOVES_KEPT = 1000
"""Lines of the history of moves that every group keeps, however old (F8)."""

_log = logging.getLogger(__name__)


class Expiry:
    """The clean-up of the cloud's alarms, for all groups."""

    def __init__(
        self,
        store: ExpiryStore,
        directory: Directory,
        limits: HistoryLimits,
        wall: Callable[[], float] = time.time,
        *,
        round_every: float = ROUND,
        rest: Callable[[float, float], float] = rest_after,
    ) -> None:
        self.sizes: dict[int, Size] = {}
        """What each group keeps, as of the last round."""
        self.oldest: dict[int, float] = {}
        """When the oldest alarm of each group that has some was received, seconds since 1970."""
        self.deleted: Counter[Cause] = Counter(dict.fromkeys(Cause, 0))
        """Alarms forgotten since the start."""
        self._store = store
        self._directory = directory
        self._limits = limits
        self._wall = wall
        self._round_every = round_every
        self._rest = rest
        self._began = 0.0
        self._clock: WallClock | None = None
        self._believed_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop, once the directory is loaded."""
        self._task = asyncio.create_task(self._run(), name="expiry")

    async def stop(self) -> None:
        """End it; a step that is under way is finished by the database."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def round(self) -> None:
        """Count what is new, and forget what may go.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED.
        """
        if self._clock is None:
            sizes, self._believed_at = await self._store.sizes()
            self.sizes, self._clock = dict(sizes), WallClock(self._believed_at)
        await self._count()
        now = self._wall()
        self._clock = self._clock.looked(now, boottime())
        if self._clock.believed:
            self._believed_at = now
            await self._forget(now)
        await self._store.save_sizes(self.sizes, self._believed_at)

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except HotspareError as error:
                if error.reason is not Reason.DISK_LOW:
                    return  # The process stops.
                log_event(_log, logging.WARNING, "expiry_waits_for_disk")
            except Exception as error:
                log_event(_log, logging.ERROR, "expiry_failed", error=error)
            await asyncio.sleep(self._round_every)

    async def _count(self) -> None:
        for group_id, last in (await self._store.last_numbers()).items():
            size = self.sizes.get(group_id, Size())
            while size.through < last:
                counted = await self._store.count_on(group_id, size, COUNTED)
                if counted == size:
                    break
                self.sizes[group_id] = size = counted
                await asyncio.sleep(COUNT_PAUSE)

    async def _forget(self, now: float) -> None:
        times, before = cutoffs(now, self._limits.max_age), self.deleted.copy()
        self._began = boottime()
        for group in self._directory.groups():
            # The oldest that is kept tells that there is nothing to do, nearly always.
            if self.oldest.get(group.row.group_id, 0.0) < times.aged:
                async for step in self._due(group, times, now, too_large=False):
                    await self._take(group, step, Cause.AGE)
        await self._make_room(times, now)
        for group in self._directory.groups():
            own = group.row.group_id
            if own not in self.oldest:
                for row in await self._page(own, 0, now, 1):
                    self.oldest[own] = row.received_at
            await self._forget_around(own, times.aged)
        if gone := self.deleted - before:
            by_age, by_size = gone[Cause.AGE], gone[Cause.SIZE]
            log_event(_log, logging.INFO, "alarms_expired", by_age=by_age, by_size=by_size)

    async def _make_room(self, times: Cutoffs, now: float) -> None:
        """While there is too much: the oldest of the group that has the most."""
        due = {group: self._due(group, times, now, too_large=True) for group in self._directory.groups()}
        while due and sum(size.bytes for size in self.sizes.values()) > self._limits.max_bytes:
            largest = max(due, key=lambda group: self.sizes.get(group.row.group_id, Size()).bytes)
            step = await anext(due[largest], None)
            if step is None:
                del due[largest]
            else:
                await self._take(largest, step, Cause.SIZE)

    async def _due(
        self, group: Group, times: Cutoffs, now: float, *, too_large: bool
    ) -> AsyncIterator[Sequence[KeptRow]]:
        """The alarms of a group that may go, oldest first, in pieces for one commit each."""
        after = 0
        while page := await self._page(group.row.group_id, after, now, PAGE):
            after = page[-1].number
            for step in steps([row for row in page if times.cause(row, too_large=too_large) is not None]):
                yield step
            if not times.may_follow(page, too_large=too_large):
                return

    async def _page(self, group_id: int, after: int, now: float, limit: int) -> Sequence[KeptRow]:
        through = self.sizes.get(group_id, Size()).through
        return await self._store.kept_after(group_id, after, through, limit, now)

    async def _take(self, group: Group, rows: Sequence[KeptRow], cause: Cause) -> None:
        began = boottime()
        await self._delete(group, rows, cause)
        await self._rest_after(began)

    @finished
    async def _delete(self, group: Group, rows: Sequence[KeptRow], cause: Cause) -> None:
        own = group.row.group_id
        forgotten = await self._store.forget(own, rows, self.sizes[own])
        self.sizes[own] = forgotten.size
        self.oldest.pop(own, None)
        self.deleted[cause] += len(forgotten.numbers)
        if forgotten.aside:
            group.aside.now -= len(forgotten.aside)
            some = list(forgotten.aside)[:20]
            log_event(_log, logging.WARNING, "set_aside_expired", **group.name(), numbers=some)

    async def _forget_around(self, group_id: int, before: float) -> None:
        """What goes with alarms that are gone, and what else grows with the years."""
        more = True
        while more:
            began = boottime()
            deliveries = await self._store.forget_deliveries(group_id, DELIVERIES)
            moves = await self._store.forget_moves(group_id, before, MOVES_KEPT, STEP)
            if more := deliveries or moves:
                await self._rest_after(began)

    async def _rest_after(self, began: float) -> None:
        now = boottime()
        await asyncio.sleep(self._rest(now - began, now - self._began))
