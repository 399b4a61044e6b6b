"""Which direct alarms the cloud may hold although it has not answered for them (D4).

An isolated host forwards what nobody else can have. So the doubt about an alarm is durable before the alarm leaves for
the cloud, and goes when the cloud has answered: a crash in between forgets nothing.
"""

import asyncio
import logging
from datetime import timedelta

from hotspare_model.errors import HotspareError
from hotspare_receiver.clock import Clock
from hotspare_receiver.store.direct import DirectStore, Key
from hotspare_rpc.logs import log_event

FORGOTTEN_AFTER = timedelta(days=7)
"""A doubt about an alarm that nobody has asked for since then: its device has given it up, or is gone."""

COMPANY = 1.0
"""Seconds for which settled doubts wait to be deleted together; nobody waits for that."""

_log = logging.getLogger(__name__)


class DurableDoubts:
    """The doubts of this host. All calls are made in one event loop."""

    def __init__(self, store: DirectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        oldest = clock.wall() - FORGOTTEN_AFTER
        self._open = {key for key, since in store.doubts.items() if since >= oldest}
        self._settled = {key for key, since in store.doubts.items() if since < oldest}
        self._cleaner: asyncio.Task[None] | None = None

    def __contains__(self, key: Key) -> bool:
        return key in self._open

    async def sending(self, key: Key) -> bool:
        """See gateway.Doubts."""
        if key in self._open:
            return False
        self._settled.discard(key)
        self._open.add(key)
        try:
            await self._store.doubt(key, self._clock.wall())
        except BaseException:
            # It has not been sent.
            self._open.discard(key)
            raise
        return True

    def settled(self, key: Key) -> None:
        """See gateway.Doubts."""
        if key in self._open:
            self._open.discard(key)
            self._settled.add(key)
            if self._cleaner is None:
                self._cleaner = asyncio.create_task(self._clean(), name="direct-doubts")

    async def stop(self) -> None:
        """Delete what is settled, and stop."""
        if self._cleaner is not None:
            self._cleaner.cancel()
            await asyncio.gather(self._cleaner, return_exceptions=True)
        await self._delete()

    async def _clean(self) -> None:
        await asyncio.sleep(COMPANY)
        await self._delete()
        self._cleaner = None

    async def _delete(self) -> None:
        gone, self._settled = tuple(self._settled), set()
        if not gone:
            return
        try:
            await self._store.settle(gone)
        except HotspareError as error:
            # They stay in the file, where they do no harm: their alarms are known to the cloud.
            log_event(_log, logging.WARNING, "doubts_not_deleted", problem=error.message)
