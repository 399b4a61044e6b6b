"""The id of an alarm whose format carries none: the same for each repetition of the same frame (D2). Pure.

A DC-09 panel that got no answer sends its message again. The id follows from the device, the sequence number of the
frame, its time stamp and what it says, so that the cloud knows a repetition as one (A2), also when it comes to another
process of this receiver, or to a new host.

1. It is a UUID of version 8: 48 bits of milliseconds in front, so that ids grow with the time as those of version 7 do
   (an index of random ones costs the cloud several times as much), and a digest behind them.
2. A frame without a time stamp is in clear, and its repetition has the very same bytes. The time of receipt stands for
   the stamp, rounded down to REPEATED_WITHIN; and as long as the first one is remembered, the same bytes within
   REPEATED_WITHIN of it are its repetition wherever the boundary lies.
3. Some panels put a fresh time stamp on a repetition. So a message that was not answered is remembered: the same
   sequence number and the same contents are that message until it is answered, for UNANSWERED_FOR at most. Once it was
   answered, a fresh stamp makes another alarm: a real second event must not be swallowed. A frame with several events
   has one answer: as long as one of them is not durable, none of them was answered.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from hotspare_model.alarm import Alarm

REPEATED_WITHIN = timedelta(seconds=30)
"""How long after a frame without a time stamp the same bytes are its repetition."""

UNANSWERED_FOR = timedelta(minutes=10)
"""How long a message that was not answered is remembered."""

REMEMBERED = 20_000
"""Messages that are remembered at most; beyond it the oldest go."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """What a frame says of one alarm. `stamped` and `received`: aware."""

    alarm: Alarm
    raw: bytes
    sequence: str
    stamped: datetime | None
    received: datetime

    @property
    def contents(self) -> bytes:
        """Digest of what a repetition has in common. Not the time of occurrence: it may be that of the frame."""
        alarm = self.alarm
        said: tuple[object, ...] = (
            alarm.device_id,
            self.sequence,
            int(alarm.code_format),
            alarm.code,
            alarm.qualifier.name,
            alarm.partition,
            alarm.zone,
            alarm.text,
            alarm.verification_url,
        )
        digest = sha256("\0".join(map(str, said)).encode(errors="surrogatepass"))
        if self.stamped is None:
            digest.update(self.raw)
        return digest.digest()


@dataclass(slots=True)
class _Known:
    alarm_id: str
    first: datetime
    answered: bool = False


class Identities:
    """Gives ids to messages. What it remembers is an aid: without it rules 1 and 2 still hold."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._frames: dict[str, tuple[bytes, list[bytes]]] = {}
        """The last frame of each device, with the contents that were durable of it."""

    def __len__(self) -> int:
        """How many messages are remembered."""
        return len(self._known)

    def id_of(self, message: Message) -> str:
        """The id of an alarm, as canonical text."""
        contents = message.contents
        known = self._known.get(contents)
        if known is not None and _is_repetition(known, message):
            return known.alarm_id
        alarm_id = _derived(contents, message)
        if known is None or known.alarm_id != alarm_id:
            self._known[contents] = _Known(alarm_id, message.received)
            self._known.move_to_end(contents)
            if len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return alarm_id

    def answered(self, message: Message) -> None:
        """It is durable, so the panel gets its answer: a fresh stamp makes another alarm from now on."""
        contents = message.contents
        self._set_answered(contents, True)
        raw, durable = self._frames.get(message.alarm.device_id, (b"", []))
        if raw != message.raw:
            durable = []
        if contents not in durable:  # a panel may repeat a frame without an end
            durable = [*durable, contents]
        self._frames[message.alarm.device_id] = message.raw, durable

    def failed(self, message: Message) -> None:
        """It could not be made durable, so its frame gets no answer, whatever else was in it."""
        raw, durable = self._frames.get(message.alarm.device_id, (b"", []))
        if raw == message.raw:
            for contents in durable:
                self._set_answered(contents, False)

    def _set_answered(self, contents: bytes, answered: bool) -> None:
        known = self._known.get(contents)
        if known is not None:
            known.answered = answered


def _is_repetition(known: _Known, message: Message) -> bool:
    age = message.received - known.first
    if not known.answered:
        return age < UNANSWERED_FOR
    return message.stamped is None and age < REPEATED_WITHIN


def _derived(contents: bytes, message: Message) -> str:
    if message.stamped is not None:
        since = message.stamped - _EPOCH
    else:
        since = (message.received - _EPOCH) // REPEATED_WITHIN * REPEATED_WITHIN
    millis = max(0, since // timedelta(milliseconds=1)) & (1 << 48) - 1
    digest = int.from_bytes(sha256(contents + millis.to_bytes(6, "big")).digest()[:16], "big")
    value = millis << 80 | digest & (1 << 80) - 1
    version, variant = 8 << 76, 2 << 62
    value = value & ~(0xF << 76) & ~(3 << 62) | version | variant
    return str(UUID(int=value))
