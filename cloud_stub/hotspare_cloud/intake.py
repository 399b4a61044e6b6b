"""Takes alarms in: whether there is room, what the store made of them, and the group is told."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from hotspare_cloud.directory import Directory
from hotspare_cloud.finish import finished
from hotspare_cloud.gateways import confirmed_elsewhere
from hotspare_cloud.store.base import AlarmStore, KeptAlarm, NewAlarm
from hotspare_model.alarm import AlarmMark
from hotspare_model.errors import HotspareError, Reason

WAITING_LIMIT = 20_000
"""Alarms that may wait for their commit; beyond it new ones are refused (A7)."""

RETRY_WHEN_FULL = timedelta(seconds=1)
RETRY_WHEN_DISK_LOW = timedelta(seconds=30)


class Submission(NamedTuple):
    """An alarm to be stored, and what was noticed about it (A10)."""

    alarm: NewAlarm
    marks: tuple[AlarmMark, ...]


class Receipt(NamedTuple):
    """What the cloud gave an alarm that is durable. `received_at`: seconds since 1970; `number`: in the group."""

    alarm_id: str
    received_at: float
    account_sequence: int
    duplicate: bool
    marks: tuple[AlarmMark, ...]
    number: int


class Intake:
    """The way in, for all groups."""

    def __init__(
        self,
        store: AlarmStore,
        directory: Directory,
        marks_in: Callable[[bytes], tuple[AlarmMark, ...]],
        free_bytes: Callable[[], int],
        floor_bytes: int,
    ) -> None:
        self.published = 0
        self.duplicates = 0
        self.refused = 0
        self.direct = 0
        """Alarms that gateways passed on and that were new (D2)."""
        self.twins = 0
        """Alarms that had come on the other path already, without their id (D3)."""
        self.confirmed_elsewhere = 0
        """Alarms that a host had forwarded while it was cut off (D4)."""
        self._direct_groups: set[int] = set()
        self._store = store
        self._directory = directory
        self._marks_in = marks_in
        self._free_bytes = free_bytes
        self._floor_bytes = floor_bytes
        self._waiting = 0

    async def load(self) -> None:
        """Read which groups have had alarms on both paths. Before anything is served."""
        self._direct_groups.update(await self._store.direct_groups())

    def check_room(self, count: int) -> None:
        """Refuse what there is no room for (A7).

        Raises:
            HotspareError: DISK_LOW or INTAKE_FULL, with the time after which to try again.
        """
        free = self._free_bytes()
        if free < self._floor_bytes:
            self.refused += count
            raise HotspareError(
                Reason.DISK_LOW,
                "the cloud's disk is nearly full: keep the alarm and try again",
                retry_after=RETRY_WHEN_DISK_LOW,
                free_bytes=free,
                floor_bytes=self._floor_bytes,
            )
        if self._waiting + count > WAITING_LIMIT:
            self.refused += count
            raise HotspareError(
                Reason.INTAKE_FULL,
                "too many alarms wait to be stored: keep the alarm and try again",
                retry_after=RETRY_WHEN_FULL,
                limit=WAITING_LIMIT,
            )

    @finished
    async def publish(self, group_id: int, submissions: Sequence[Submission]) -> list[Receipt]:
        """Store alarms of a group, checked before, in their order; return when they survive a power cut (A1, A2).

        Raises:
            HotspareError: DISK_LOW, INTAKE_FULL, STORE_FAILED. None of them is stored then.
        """
        self.check_room(len(submissions))
        self._waiting += len(submissions)
        try:
            kept = await self._store.store_alarms(group_id, [each.alarm for each in submissions])
        finally:
            self._waiting -= len(submissions)
        self._count(group_id, submissions, kept)
        return [
            Receipt(
                new.alarm_id,
                row.received_at,
                row.account_sequence,
                row.duplicate,
                # What is new has the marks that were just made; only what was kept before is read again.
                self._marks_in(row.payload) if row.duplicate else marks,
                row.number,
            )
            for (new, marks), row in zip(submissions, kept, strict=True)
        ]

    def on_both_paths(self, group_id: int) -> bool:
        """Whether devices of the group may be connected directly too, or ever were: only then a copy is looked for."""
        if group_id not in self._direct_groups:
            members = self._directory.by_id(group_id).members.values()
            if not any(member.dual_connection for member in members):
                return False
            self._direct_groups.add(group_id)
        return True

    def _count(self, group_id: int, submissions: Sequence[Submission], kept: Sequence[KeptAlarm]) -> None:
        duplicates = sum(row.duplicate for row in kept)
        fresh = len(kept) - duplicates
        self.published += fresh
        self.duplicates += duplicates
        if fresh:
            self._directory.by_id(group_id).arrived(fresh)
        if any(each.alarm.report is not None or each.alarm.sighting is not None for each in submissions):
            self._count_direct(group_id, submissions, kept)

    def _count_direct(self, group_id: int, submissions: Sequence[Submission], kept: Sequence[KeptAlarm]) -> None:
        pairs = zip(submissions, kept, strict=True)
        self.direct += sum(1 for each, row in pairs if each.alarm.report is not None and not row.duplicate)
        self.twins += sum(1 for row in kept if row.twin)
        confirmed = [row for row in kept if row.confirmed]
        if confirmed:
            self.confirmed_elsewhere += len(confirmed)
            confirmed_elsewhere(self._directory.by_id(group_id), confirmed)
