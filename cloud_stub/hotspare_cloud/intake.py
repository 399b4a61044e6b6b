"""Takes alarms in: checks what must be right, marks what a broken panel gets wrong (A10), stores, tells the group."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hotspare_cloud.directory import Directory
from hotspare_cloud.finish import finished
from hotspare_cloud.store.base import AlarmStore, DeviceRow, NewAlarm
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


def checked(alarm: Alarm, device: DeviceRow) -> Alarm:
    """The alarm with its ids in their one form.

    Raises:
        HotspareError: FIELD_INVALID: no UUID, or another device than the one that calls.
    """
    # Python's UUID() takes far more than the text form, and would make one id of several.
    if not UUID_FORM.fullmatch(alarm.alarm_id):
        raise field_invalid("alarm_id", "must be a UUID: 8, 4, 4, 4 and 12 hexadecimal digits with hyphens between")
    if alarm.device_id not in ("", device.device_id):
        raise field_invalid("device_id", "must be empty or the device of the credentials")
    return replace(alarm, alarm_id=alarm.alarm_id.lower(), device_id=device.device_id)


class Intake:
    """The way in, for all groups."""

    def __init__(
        self,
        store: AlarmStore,
        directory: Directory,
        serialize: Callable[[StoredAlarm], bytes],
        marks_in: Callable[[bytes], tuple[AlarmMark, ...]],
        free_bytes: Callable[[], int],
        floor_bytes: int,
    ) -> None:
        self.published = 0
        self.duplicates = 0
        self.refused = 0
        self._store = store
        self._directory = directory
        self._serialize = serialize
        self._marks_in = marks_in
        self._free_bytes = free_bytes
        self._floor_bytes = floor_bytes
        self._waiting = 0

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
    async def publish(self, device: DeviceRow, alarms: Sequence[Alarm]) -> list[Receipt]:
        """Store alarms of a device, checked before, in their order; return when they survive a power cut (A1, A2).

        Raises:
            HotspareError: DISK_LOW, INTAKE_FULL, STORE_FAILED. None of them is stored then.
        """
        self.check_room(len(alarms))
        at = time.time()
        received = datetime.fromtimestamp(at, UTC)
        new = [self._new(device, alarm, received, at) for alarm in alarms]
        self._waiting += len(new)
        try:
            kept = await self._store.store_alarms(device.group_id, new)
        finally:
            self._waiting -= len(new)
        fresh = sum(1 for alarm in kept if not alarm.duplicate)
        self.published += fresh
        self.duplicates += len(kept) - fresh
        if fresh:
            self._directory.by_id(device.group_id).arrived(fresh)
        return [
            Receipt(
                alarm_id=alarm.alarm_id,
                received=datetime.fromtimestamp(row.received_at, UTC),
                account_sequence=row.account_sequence,
                duplicate=row.duplicate,
                marks=self._marks_in(row.payload),
            )
            for alarm, row in zip(alarms, kept, strict=True)
        ]

    def _new(self, device: DeviceRow, alarm: Alarm, received: datetime, at: float) -> NewAlarm:
        stored = StoredAlarm(
            number=0,
            alarm=alarm,
            account_number=device.account_number,
            account_sequence=0,
            received=received,
            marks=marks_of(alarm, received),
            path=AlarmPath.CLOUD,
        )
        return NewAlarm(alarm.alarm_id, device.device_id, device.account_number, at, self._serialize(stored))
