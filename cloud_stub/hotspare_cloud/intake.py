"""Takes alarms in: checks what must be right, marks what a broken panel gets wrong (A10), stores, tells the group."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hotspare_cloud.core.sameness import sighting_of
from hotspare_cloud.directory import Directory
from hotspare_cloud.finish import finished
from hotspare_cloud.gateways import Report, Submission, confirmed_elsewhere
from hotspare_cloud.store.base import AlarmStore, DeviceRow, KeptAlarm, NewAlarm
from hotspare_cloud.store.base import Report as StoredReport
from hotspare_model.alarm import TEXT_LIMIT, Alarm, AlarmMark, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.dc09_text import sanitise
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.event_codes import find

OLDEST = timedelta(days=30)
"""A time of occurrence further back is not believed: panels keep alarms for days, not for months."""

NEWEST = timedelta(days=1)
"""One further ahead is not believed. A day, for panels that send their local time as UTC are off by up to 14 hours."""

UUID_FORM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

CODE_LIMIT = 16
PARTITION_LIMIT = 99
ZONE_LIMIT = 999

WAITING_LIMIT = 20_000
"""Alarms that may wait for their commit; beyond it new ones are refused (A7)."""

RETRY_WHEN_FULL = timedelta(seconds=1)
RETRY_WHEN_DISK_LOW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the cloud gave an alarm that is durable."""

    alarm_id: str
    received: datetime
    account_sequence: int
    duplicate: bool
    marks: tuple[AlarmMark, ...]
    number: int = 0
    """In the group."""


def marks_of(alarm: Alarm, received: datetime) -> tuple[AlarmMark, ...]:
    """What is odd about an alarm that is taken all the same."""
    marks = []
    if alarm.occurred is None or not received - OLDEST <= alarm.occurred <= received + NEWEST:
        marks.append(AlarmMark.CLOCK_IMPLAUSIBLE)
    # No list of SIA codes is kept yet: they too are forwarded as a generic one with the original as text.
    listed = alarm.code_format is CodeFormat.CONTACT_ID and find(alarm.code) is not None
    if not listed or len(alarm.code) > CODE_LIMIT:
        marks.append(AlarmMark.UNKNOWN_CODE)
    if sanitise(alarm.text, TEXT_LIMIT).altered:
        marks.append(AlarmMark.TEXT_ALTERED)
    if alarm.partition > PARTITION_LIMIT or alarm.zone > ZONE_LIMIT:
        marks.append(AlarmMark.NUMBER_OUT_OF_RANGE)
    return tuple(marks)


def check_ids(alarm_id: str, device_id: str, device: DeviceRow) -> None:
    """Refuse an alarm that can't be told from others, or is another's.

    Raises:
        HotspareError: FIELD_INVALID: no UUID, or another device than the one that calls.
    """
    # Python's UUID() takes far more than the text form, and would make one id of several.
    if not UUID_FORM.fullmatch(alarm_id):
        raise field_invalid("alarm_id", "must be a UUID: 8, 4, 4, 4 and 12 hexadecimal digits with hyphens between")
    if device_id not in ("", device.device_id):
        raise field_invalid("device_id", "must be empty or the device of the credentials")


def checked(alarm: Alarm, device: DeviceRow) -> Alarm:
    """The alarm with its ids in their one form. Raises HotspareError, as `check_ids`."""
    check_ids(alarm.alarm_id, alarm.device_id, device)
    return replace(alarm, alarm_id=alarm.alarm_id.lower(), device_id=device.device_id)


class Intake:
    """The way in, for all groups."""

    def __init__(
        self,
        store: AlarmStore,
        directory: Directory,
        serialize: Callable[[StoredAlarm, Any], bytes],
        marks_in: Callable[[bytes], tuple[AlarmMark, ...]],
        free_bytes: Callable[[], int],
        floor_bytes: int,
    ) -> None:
        """`serialize`: the bytes to be stored of an alarm, with the message that it came as, where there is one."""
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
        self._serialize = serialize
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

    async def publish(self, device: DeviceRow, alarms: Sequence[Alarm]) -> list[Receipt]:
        """Store alarms of a device, as `publish_all`."""
        return await self.publish_all(device.group_id, [Submission(device, alarm) for alarm in alarms])

    @finished
    async def publish_all(self, group_id: int, submissions: Sequence[Submission]) -> list[Receipt]:
        """Store alarms of a group, checked before, in their order; return when they survive a power cut (A1, A2).

        Raises:
            HotspareError: DISK_LOW, INTAKE_FULL, STORE_FAILED. None of them is stored then.
        """
        self.check_room(len(submissions))
        at = time.time()
        on_both_paths = self._on_both_paths(group_id)
        made = [self._new(each, at, on_both_paths) for each in submissions]
        new = [alarm for alarm, _ in made]
        self._waiting += len(new)
        try:
            kept = await self._store.store_alarms(group_id, new)
        finally:
            self._waiting -= len(new)
        self._count(group_id, submissions, kept)
        return [
            Receipt(
                alarm_id=each.alarm.alarm_id,
                received=datetime.fromtimestamp(row.received_at, UTC),
                account_sequence=row.account_sequence,
                duplicate=row.duplicate,
                # What is new has the marks that were just made; only what was kept before is read again.
                marks=self._marks_in(row.payload) if row.duplicate else marks,
                number=row.number,
            )
            for each, row, (_, marks) in zip(submissions, kept, made, strict=True)
        ]

    def _on_both_paths(self, group_id: int) -> bool:
        """Whether devices of the group may be connected directly too, or ever were: only then a copy is looked for."""
        if group_id not in self._direct_groups:
            members = self._directory.by_id(group_id).members.values()
            if not any(member.dual_connection for member in members):
                return False
            self._direct_groups.add(group_id)
        return True

    def _count(self, group_id: int, submissions: Sequence[Submission], kept: Sequence[KeptAlarm]) -> None:
        fresh = sum(1 for row in kept if not row.duplicate)
        self.published += fresh
        self.duplicates += len(kept) - fresh
        if fresh:
            self._directory.by_id(group_id).arrived(fresh)
        if any(each.report is not None for each in submissions):
            pairs = zip(submissions, kept, strict=True)
            self.direct += sum(1 for each, row in pairs if each.report is not None and not row.duplicate)
        self.twins += sum(1 for row in kept if row.twin)
        confirmed = [row for row in kept if row.confirmed]
        if confirmed:
            self.confirmed_elsewhere += len(confirmed)
            confirmed_elsewhere(self._directory.by_id(group_id), confirmed)

    def _new(self, submission: Submission, at: float, on_both_paths: bool) -> tuple[NewAlarm, tuple[AlarmMark, ...]]:
        """An alarm as the store takes it, and what was noticed about it."""
        device, alarm, report = submission.device, submission.alarm, submission.report
        received = datetime.fromtimestamp(at, UTC)
        marks = marks_of(alarm, received)
        if report is not None and report.confirmed is not None:
            # The isolated host had it durably, and answered its device then (D4).
            received = min(received, report.received or received)
            marks = (*marks_of(alarm, received), AlarmMark.ISOLATED)
        if submission.path is AlarmPath.SYSTEM:
            marks = (*marks, AlarmMark.SYSTEM)
        stored = StoredAlarm(
            number=0,
            alarm=alarm,
            account_number=device.account_number,
            account_sequence=0,
            received=received,
            marks=marks,
            path=submission.path,
            raw_frame=report.raw_frame if report is not None else b"",
        )
        new = NewAlarm(
            alarm.alarm_id,
            device.device_id,
            device.account_number,
            received.timestamp(),
            self._serialize(stored, submission.message),
            sighting_of(alarm, submission.path, received, marks) if on_both_paths else None,
            _as_stored(report) if report is not None else None,
        )
        return new, marks


def _as_stored(report: Report) -> StoredReport:
    confirmed = report.confirmed.timestamp() if report.confirmed is not None else None
    return StoredReport(report.receiver_id, report.payload, confirmed)
