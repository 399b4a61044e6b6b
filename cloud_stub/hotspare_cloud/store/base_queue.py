"""The verbs of the cloud's store for alarms that were set aside (A5) and for looking at the queue, and their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Protocol


class SetAsideCause(IntEnum):
    """Why an alarm was set aside. The numbers are those of alarm_pull_service.proto."""

    REFUSED = 1
    """An output refused it too often."""
    LOST_UNDER_IT = 2
    """The working receiver was lost under it again and again."""


@dataclass(frozen=True, slots=True)
class RefusedAlarm:
    """An alarm that an output refused too often, with the last exchange as it was on the wire."""

    number: int
    output: str
    reason: str
    frame: bytes
    answer: bytes
    refusals: int
    attempt: int = 0
    """Which delivery of it was refused, counted from 1. 0: not told."""


class Refused(Enum):
    """What came of a refusal."""

    SET_ASIDE = "set aside"
    KNOWN = "set aside or confirmed before, also where it was put back since"
    NEVER_DELIVERED = "never delivered to that receiver under that epoch"
    EPOCH_OVER = "the epoch has ended, so that it changes nothing"


class Replayed(Enum):
    """What came of an operator's wish to send an alarm again."""

    QUEUED = "it waits again"
    DONE_BEFORE = "the same wish was carried out before"
    NOT_SET_ASIDE = "it is not set aside"
    UNKNOWN = "there is no such alarm"


@dataclass(frozen=True, slots=True)
class QueuedRow:
    """An alarm as the store has it, with what made it be set aside."""

    number: int
    device_id: str
    account_sequence: int
    received_at: float
    payload: bytes
    state: int
    """An `AlarmState`."""
    deliveries: int
    epoch: int
    """Under which it was delivered last. 0: never."""
    losses: int
    confirmed_by: str
    confirmed_at: float | None
    cause: SetAsideCause | None
    """What follows is of the last time that it was set aside. None: never."""
    reason: str
    set_aside_at: float
    frame: bytes
    answer: bytes
    replayed_by: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery of one alarm: the epoch, its holder, and how that epoch ended."""

    epoch: int
    receiver_id: str
    delivered_at: float | None
    """None: from before this was kept."""
    ended_at: float | None
    next_reason: str
    """Why the next epoch began. Empty: none has."""


class QueueStore(Protocol):
    """Alarms that wait or were set aside, for people; and how they come to either."""

    async def set_aside(self, group_id: int, epoch: int, receiver_id: str, refused: RefusedAlarm, at: float) -> Refused:
        """Set an alarm aside that the holder of `epoch` says is refused, while that epoch lasts (A5)."""
        ...

    async def replay(self, group_id: int, number: int, operator: str, request_id: str, at: float) -> Replayed:
        """Put an alarm that was set aside back at its place. The same `request_id` is the same wish for a day."""
        ...

    async def queue(
        self, group_id: int, states: Sequence[int], device_id: str, after: int, limit: int
    ) -> Sequence[QueuedRow]:
        """Alarms that wait or are set aside, as `states` tell (`AlarmState`), by number, with numbers above `after`."""
        ...

    async def queued(self, group_id: int, numbers: Sequence[int]) -> Sequence[QueuedRow]:
        """These alarms, in whatever state, by number."""
        ...

    async def numbers_of(self, group_id: int, alarm_id: str) -> Sequence[int]:
        """The numbers of the alarms with that id: each device may have one."""
        ...

    async def deliveries(self, group_id: int, number: int) -> Sequence[DeliveryRow]:
        """To whom an alarm was delivered, oldest first; one row an epoch."""
        ...
