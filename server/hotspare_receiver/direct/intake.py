"""What a listener hands over of a direct alarm, and what takes it (D1, D2, D4)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hotspare_model.alarm import Alarm, AlarmMark, AlarmPath


@dataclass(frozen=True, slots=True)
class DirectAlarm:
    """An alarm as it came on the direct path, checked by the listener that it came through."""

    alarm: Alarm
    """`device_id` is set. `alarm_id` is empty where the format has none: the intake derives one (identity.py)."""
    path: AlarmPath
    received: datetime
    """When this receiver had the whole of it; aware UTC, wall clock."""
    raw: bytes
    """The frame as it came on the wire, for the history. At most 4 KiB of it are kept."""
    sequence: str = ""
    """The sequence number of the frame as its text has it. Empty: the format has none."""
    stamped: datetime | None = None
    """The time stamp of the frame (not the time of occurrence inside); aware UTC. None: it carries none."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A direct alarm that is durable: at the cloud, or here while this host is cut off from it (D4)."""

    alarm_id: str
    received: datetime
    """When it was stored first."""
    account_sequence: int
    """The alarm's number among those of its account number (A6). 0: an isolated host took it."""
    number: int
    """Its number in the group. 0: an isolated host took it."""
    duplicate: bool
    """It had been stored before (A2, D3)."""
    marks: tuple[AlarmMark, ...]


class DirectIntake(Protocol):
    """Takes direct alarms. All calls are made in one event loop."""

    @property
    def open(self) -> bool:
        """Whether direct devices are taken at all now (D1): dual connection is on, and this is a host or a receiver
        that works alone."""
        ...

    async def accept(self, alarm: DirectAlarm) -> Accepted:
        """Take an alarm; returns when it is durable. Alarms of one device that are handed over one after the other are
        stored in that order, also when nobody waited for the answer in between (A3).

        A repetition of the same frame is the same alarm, also after an error.

        Raises:
            HotspareError: FIELD_INVALID (final: the alarm itself is wrong). DEVICE_UNKNOWN: the cloud does not have the
                device (yet). DUAL_CONNECTION_OFF: not taken here. DISK_LOW, INTAKE_FULL, STORE_FAILED, SHUTTING_DOWN,
                CLOUD_UNREACHABLE, and whatever the cloud says: it is not stored, as far as anybody knows; the panel
                has to keep it and try again.
        """
        ...

    async def alive(self, device_id: str, path: AlarmPath) -> None:
        """A sign of life without an alarm (a supervision message). It never fails and never waits for the network."""
        ...
