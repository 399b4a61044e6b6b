"""An alarm inside our processes: what the device said, and what the cloud gave it."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from hotspare_model.contact_id import Qualifier

TEXT_LIMIT = 1024
"""Characters of a text that reach the ARC; longer ones are cut and marked (A10)."""


class CodeFormat(IntEnum):
    """Which list a code is from. The numbers are those of alarm.proto."""

    CONTACT_ID = 1
    SIA = 2


class AlarmMark(IntEnum):
    """What was noticed about an alarm that was taken all the same (A10). The numbers are those of alarm.proto."""

    CLOCK_IMPLAUSIBLE = 1
    UNKNOWN_CODE = 2
    TEXT_ALTERED = 3
    NUMBER_OUT_OF_RANGE = 4
    ISOLATED = 5
    SYSTEM = 6


class AlarmPath(IntEnum):
    """The way by which an alarm came. The numbers are those of alarm.proto."""

    CLOUD = 1
    DIRECT_GRPC = 2
    DIRECT_DC09 = 3
    SYSTEM = 4


@dataclass(frozen=True, slots=True)
class Alarm:
    """One occurrence, as the device tells it. `alarm_id` is a UUID in canonical text; `occurred` is aware UTC."""

    alarm_id: str
    device_id: str
    qualifier: Qualifier
    code_format: CodeFormat
    code: str
    partition: int
    zone: int
    occurred: datetime | None
    text: str
    verification_url: str = ""
    latitude: float | None = None
    """Degrees, WGS 84."""
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    """An alarm as the cloud keeps it; the same at every delivery, so that its identity never changes (A6).

    `number` counts in the group, `account_sequence` (A6's n) among the alarms of the account number, both from 1.
    """

    number: int
    alarm: Alarm
    account_number: str
    account_sequence: int
    received: datetime
    marks: tuple[AlarmMark, ...]
    path: AlarmPath
    raw_frame: bytes = b""
    """The frame as it came, on the direct DC-09 path."""
