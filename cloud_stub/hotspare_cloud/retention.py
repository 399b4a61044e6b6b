"""How long older revisions stay (B8): by the settings of their group, and never while they are being read."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator

from hotspare_cloud.core.backup import oldest_kept
from hotspare_cloud.group import Group
from hotspare_cloud.store.base_records import RecordStore
from hotspare_cloud.transfers import STEP


class Retention:
    """Forgets the revisions whose time has come."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._reading: dict[int, Counter[int]] = {}
        self._floors: dict[int, int] = {}
        """Below these, what was kept is going: nobody may begin to read it."""

    @contextlib.contextmanager
    def reading(self, group: Group, revision: int) -> Iterator[bool]:
        """Keep a revision, and all above, as long as this stands. Yields whether it could still be had."""
        own = group.row.group_id
        readers = self._reading.setdefault(own, Counter())
        readers[revision] += 1
        try:
            yield revision >= self._floors.get(own, 0)
        finally:
            readers[revision] -= 1
            if not readers[revision]:
                del readers[revision]

    async def prune(self, group: Group) -> None:
        """Forget what is due, in small steps."""
        own, settings = group.row.group_id, group.state.settings
        times = await self._store.revision_times(own)
        if not times:
            return
        # No await between: who begins to read after this finds the floor.
        oldest = oldest_kept(
            times,
            now=time.time(),
            max_age=settings.revision_max_age.total_seconds(),
            max_count=settings.revision_max_count,
            reading=self._reading.get(own, ()),
        )
        self._floors[own] = max(oldest, self._floors.get(own, 0))
        while await self._store.prune(own, self._floors[own], STEP):
            pass
