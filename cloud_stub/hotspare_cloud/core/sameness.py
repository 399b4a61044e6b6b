"""D3: whether an alarm of one path is one that came on the other path already, where the format carries no id.

DC-09 has no id for an alarm, so the gateway derives one from the frame, and the copy that the device published to the
cloud has another. The same then is: the same device, code, qualifier, partition and zone, and a time of occurrence that
differs by at most SAME_WITHIN. It is looked for across the two paths only, the k-th of one to the k-th of the other: a
copy that was found is used up. Among alarms of one path nothing is ever the same but by its id: two identical events
are two alarms.

Pure: an alarm gives a sighting; the store finds the open one that fits, and uses it up in the same transaction.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import sha256

from hotspare_model.alarm import Alarm, AlarmMark, AlarmPath

SAME_WITHIN = 10.0
"""Seconds between the times of occurrence of two copies at most. Both come from one device, but DC-09 tells whole
seconds, and where the device told no time that can be believed, the time of receipt stands for it. Longer, and a second
event that reached us on the other path alone would be taken for the first."""

SIGHTINGS_KEPT = 24 * 3600.0
"""Seconds for which the other copy is waited for: a device whose one path is down publishes there later."""


class Side(IntEnum):
    """The two paths between which sameness is looked for."""

    CLOUD = 0
    DIRECT = 1

    @property
    def other(self) -> "Side":
        """The other path."""
        return Side(1 - self)


_SIDES = {AlarmPath.CLOUD: Side.CLOUD, AlarmPath.DIRECT_DC09: Side.DIRECT}
"""An alarm of the direct gRPC path has the device's own id, and is found by that."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an alarm is known by on the other path. `occurred`: seconds since 1970."""

    side: Side
    content: bytes
    """Digest of code, qualifier, partition and zone."""
    occurred: float


def sighting_of(alarm: Alarm, path: AlarmPath, received: datetime, marks: tuple[AlarmMark, ...]) -> Sighting | None:
    """How the alarm is known on the other path; None: it can't have come on the other one without its id."""
    side = _SIDES.get(path)
    if side is None:
        return None
    believed = alarm.occurred if AlarmMark.CLOCK_IMPLAUSIBLE not in marks else None
    parts = (int(alarm.code_format), alarm.code.upper(), alarm.qualifier.name, alarm.partition, alarm.zone)
    content = sha256("\0".join(map(str, parts)).encode(errors="surrogatepass")).digest()[:16]
    return Sighting(side, content, (believed or received).astimezone(UTC).timestamp())
