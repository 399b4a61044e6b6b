"""The verbs of the cloud's store for the supervision of devices, and the rows they speak in (A9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hotspare_cloud.store.base import NewAlarm


@dataclass(frozen=True, slots=True)
class LifeRow:
    """What is stored of the life of a device that was heard at least once."""

    group_id: int
    device_id: str
    last_seen: float
    """Wall clock, for people. It may be a minute behind."""
    told: bool
    """Whether the ARC was told last that it is silent."""


@dataclass(frozen=True, slots=True)
class NewTell:
    """The alarm that tells the ARC that a device is silent, or back."""

    device_id: str
    silent: bool
    last_seen: float
    alarm: NewAlarm


class DeviceStore(Protocol):
    """When devices were heard last, and what was told of them."""

    async def lives(self) -> Sequence[LifeRow]:
        """Of all devices of all groups that were ever heard."""
        ...

    async def save_lives(self, group_id: int, last_seen: Mapping[str, float]) -> None:
        """Note when devices were heard last. One that is gone is left out."""
        ...

    async def tell(self, group_id: int, tells: Sequence[NewTell]) -> Sequence[bool]:
        """Store alarms of supervision together with the fact that they were told, each unless it was told already, or
        the device is gone. Returns which of them are new."""
        ...
