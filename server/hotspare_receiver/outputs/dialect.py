"""What an output speaks: how an alarm is written, and what that which comes back means.

A dialect has no link and no timer of its own; `sender.Output` has those, the same for all dialects.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from hotspare_model.alarm import AlarmMark, StoredAlarm
from hotspare_model.dc09 import Header
from hotspare_model.dc09_text import sanitise
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.core.group_view import GroupView

HIGHEST_PARTITION = 99

ORIGINAL_LIMIT = 40
"""Characters of an unknown code that are told."""


class NotOursError(Exception):
    """What comes back is no answer of this dialect; the message tells what it is."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A message, ready to be written."""

    raw: bytes
    forwarded_code: str = ""
    """The code on the wire, where it is not the alarm's own."""
    header: Header | None = None
    """What an answer is compared with, in a dialect whose answers tell it."""
    original: str | None = None
    """The code as the device sent it, where a generic event stands for it: raw text."""
    remark: str = ""
    """What is not as the configuration has it, for the history."""

    @property
    def told(self) -> str:
        """What the history tells of it beside the frame, in words."""
        if self.original is None:
            return self.remark
        generic = f"a generic event in place of the code {sanitise(self.original, ORIGINAL_LIMIT).text}"
        return f"{generic}; {self.remark}" if self.remark else generic


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means, and its problem in words."""

    outcome: Outcome
    detail: str = ""


class Dialect(Protocol):
    """One way to speak, with the settings of one output."""

    answer_timeout: timedelta
    heartbeat: timedelta
    """How often an idle link is supervised. Zero: never."""
    attempts: int
    """Messages in a row without an answer after which the link is given up."""
    numbered: bool
    """Whether an answer tells what it answers. Where it does not, it must be clear from the connection."""
    heartbeat_first: bool
    """Whether a link that was given up carries heartbeats alone until one of them is answered."""
    strict: bool
    """Whether rubbish among the answers ends the link. (Over UDP anybody could end it so.)"""

    def alarm(self, stored: StoredAlarm, sent_at: datetime, refusals: int, group: GroupView) -> Encoded:
        """Make the message of an alarm; `refusals`: how often the other side refused it so far.

        `group` has the codes, and the line number of the device.

        Raises ValueError when it has no form in this dialect.
        """

    def supervision(self, sent_at: datetime) -> Encoded:
        """Make the message that asks whether the other side is there."""

    def begin(self) -> None:
        """A new connection: what was half read is gone."""

    def feed(self, data: bytes) -> list[bytes]:
        """Cut what came into answers. Raises NotOursError."""

    def read(self, answer: bytes, sent: Encoded) -> Verdict | None:
        """Say what an answer means for the message in flight; None: it belongs to another.

        Raises NotOursError.
        """


def believed_time(stored: StoredAlarm) -> datetime:
    """When it happened, as far as that is to be believed (A10): else when the cloud got it."""
    occurred = stored.alarm.occurred
    return stored.received if occurred is None or AlarmMark.CLOCK_IMPLAUSIBLE in stored.marks else occurred


def place_of(stored: StoredAlarm, highest_zone: int) -> tuple[int, int, tuple[str, ...]]:
    """Partition and zone as they fit the wire, and in words what did not (A10)."""
    partition, zone = stored.alarm.partition, stored.alarm.zone
    remarks = []
    if not 0 <= partition <= HIGHEST_PARTITION:
        remarks.append(f"partition {partition}")
        partition = 0
    if not 0 <= zone <= highest_zone:
        remarks.append(f"zone {zone}")
        zone = 0
    return partition, zone, tuple(remarks)
