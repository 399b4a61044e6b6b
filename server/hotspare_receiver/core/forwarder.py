"""What was delivered to this receiver, and what goes to the ARC next.

1. Each output has a lane: the alarms that wait for it, per device in the order of their delivery (A3). Of all devices
   whose turn it is, the one with the oldest alarm (the lowest number) goes first.
2. One message is in flight in a lane. A device's next alarm never passes its earlier one, whatever came of that.
3. A refused alarm (DUH, NAK) is tried again after a backoff that holds up its own device alone. One that met silence or
   a lost link is the first again as soon as there is a link: the link has a backoff of its own.
4. An alarm is confirmed once every required output has confirmed it, and there is at least one (A4).
5. An alarm that is here already is not taken twice; one that is known to be confirmed is confirmed again, not sent.
6. When an epoch is over, all that is not in flight is dropped. An answer that still comes is a fact, and counts (F7).
7. When the work is given back, what the ARC has surely not seen goes back at once; what was begun is finished (F5).

Pure: no clock, no I/O. Every step costs the logarithm of what waits, at most.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from hotspare_model.alarm import StoredAlarm
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.lane import Lane

REFUSED_BACKOFF = Backoff(first=0.5, longest=10.0)

OPTIONAL_LIMIT = 10_000
"""Alarms that wait at most for an output that is not required; nothing else bounds them."""


class Outcome(IntEnum):
    """What came of one attempt to give an alarm to an output. The numbers are those of alarm.proto."""

    CONFIRMED = 1
    REFUSED = 2
    UNKNOWN = 3
    """Written, and no valid answer came: nobody knows whether the ARC has it."""
    NOT_SENT = 4
    """Not written: no link, or the lease had run out."""
    CLOCK_REFUSED = 5
    """The ARC refused the frame's time; it goes again with a fresh one."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """An alarm as the cloud delivered it to us."""

    stored: StoredAlarm
    epoch: int
    attempt: int
    """Number of this delivery over all receivers, from 1."""
    replay: bool
    raw: bytes
    """The serialized StoredAlarm."""

    @property
    def number(self) -> int:
        """The alarm's number in the group."""
        return self.stored.number

    @property
    def device_id(self) -> str:
        """Whose alarm it is."""
        return self.stored.alarm.device_id


@dataclass(frozen=True, slots=True)
class Sending:
    """One alarm that is to be written to one output now."""

    delivered: Delivered
    attempt: int
    """Number of the attempt at this output, from 1."""
    refusals: int = 0
    """How many of the attempts there were refused."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a delivery."""

    new: tuple[Delivered, ...]
    again: tuple[Delivered, ...]
    """Known to be confirmed: to be confirmed again, under the epoch of this delivery."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the forwarder is (ForwardProgress)."""

    waiting: int
    confirmed: int
    oldest_age: float | None
    """Seconds since the oldest that waits was delivered."""


@dataclass(slots=True)
class _Waiting:
    """An alarm that is not confirmed."""

    delivered: Delivered
    arrived: float
    confirmed_by: set[str] = field(default_factory=set)
    unknown_at: set[str] = field(default_factory=set)

    @property
    def begun(self) -> bool:
        """Whether the ARC may have seen it."""
        return bool(self.confirmed_by or self.unknown_at)


class Forwarder:
    """Decides what each output sends next, and when an alarm is confirmed."""

    def __init__(self, refused_backoff: Backoff = REFUSED_BACKOFF) -> None:
        self._refused_backoff = refused_backoff
        self._waiting: dict[int, _Waiting] = {}
        self._lanes: dict[str, Lane[Delivered]] = {}
        self._required: frozenset[str] = frozenset()
        self._epoch = 0
        self._excused: set[str] = set()
        """Devices whose alarm was refused in so many words when it was sent last."""
        self.confirmed = 0
        """Alarms confirmed since the start, each counted once."""
        self.passed_over = 0
        """Alarms that an output which is not required did not get, since too many waited for it."""

    @property
    def has_required_output(self) -> bool:
        """Whether anything can be confirmed at all (A4)."""
        return bool(self._required)

    @property
    def drained(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self._waiting and not self.flying

    @property
    def flying(self) -> int:
        """Messages in flight."""
        return sum(lane.flying is not None for lane in self._lanes.values())

    @property
    def pressing(self) -> bool:
        """Whether an alarm waits for the ARC to answer at all: one that it refused, and those behind, do not (A5)."""
        return any(waiting.delivered.device_id not in self._excused for waiting in self._waiting.values())

    def waiting_for(self, output: str) -> int:
        """Alarms that wait for an output, or are in flight there."""
        return len(self._lanes[output])

    def progress(self, now: float) -> Progress:
        """What the beats tell."""
        oldest = next(iter(self._waiting.values()), None)
        age = max(0.0, now - oldest.arrived) if oldest is not None else None
        return Progress(len(self._waiting), self.confirmed, age)

    # What the cloud does.

    def begin(self, epoch: int) -> None:
        """From now on alarms are delivered under `epoch` (0: none); all of another epoch is dropped."""
        self._epoch = epoch
        self._excused.clear()
        self._drop(lambda waiting: waiting.delivered.epoch != epoch)

    def deliver(self, alarms: Iterable[Delivered], known: Collection[int], now: float) -> Taken:
        """Take alarms, in the order of their delivery; `known`: numbers already confirmed (rule 5)."""
        new: list[Delivered] = []
        again: list[Delivered] = []
        for delivered in alarms:
            if delivered.epoch != self._epoch:
                continue
            here = self._waiting.get(delivered.number)
            if delivered.number in known:
                again.append(delivered)
            elif here is None:
                new.append(delivered)
                self._waiting[delivered.number] = _Waiting(delivered, now)
                self._enqueue(delivered, self._lanes)
            elif here.delivered.epoch != delivered.epoch:
                # In flight since an epoch that is over (rule 6): it waits behind itself, in case that fails.
                new.append(delivered)
                here.delivered = delivered
                self._enqueue(delivered, self._lanes.keys() - here.confirmed_by)
        return Taken(tuple(new), tuple(again))

    def withdraw(self, number: int) -> bool:
        """Forget an alarm that another has confirmed; one in flight goes on. Returns whether it did."""
        waiting = self._waiting.get(number)
        if waiting is None or self._is_flying(waiting):
            return False
        self._forget(number)
        return True

    def give_back(self) -> int:
        """Drop what the ARC has surely not seen (rule 7). Returns how many alarms that were."""
        return self._drop(lambda waiting: not waiting.begun)

    def give_up(self, hopeless: Collection[str]) -> int:
        """Drop what was begun, is not in flight, and waits for these outputs alone. Returns how many alarms that were.

        Nobody knows whether the ARC has them: that is told by their attempts.
        """
        return self._drop(lambda waiting: self._required - waiting.confirmed_by <= set(hopeless)) if hopeless else 0

    # What the outputs do.

    def set_outputs(self, required: Mapping[str, bool]) -> tuple[Delivered, ...]:
        """Have these outputs, by name, required or not. Returns what is confirmed now that others are gone.

        A new output gets all that waits. What is in flight at one that is gone is forgotten there.
        """
        gone = self._lanes.keys() - required.keys()
        for name in gone:
            del self._lanes[name]
        self._required = frozenset(name for name, needed in required.items() if needed)
        for name in required.keys() - self._lanes.keys():
            self._lanes[name] = Lane()
            for waiting in self._waiting.values():
                self._enqueue(waiting.delivered, (name,))
        confirmed = []
        for waiting in tuple(self._waiting.values()):
            waiting.unknown_at -= gone
            if self._is_confirmed(waiting):
                confirmed.append(self._confirm(waiting))
        return tuple(confirmed)

    def take(self, output: str, now: float) -> Sending | None:
        """Take what goes to this output now; it is in flight until `finished`. None: nothing is due."""
        lane = self._lanes.get(output)
        if lane is None or (delivered := lane.take(now)) is None:
            return None
        return Sending(delivered, lane.attempts_of(delivered.number), lane.refusals_of(delivered.number))

    def due(self, output: str) -> float | None:
        """When something gets due in a lane that has nothing due now. None: not by time."""
        lane = self._lanes.get(output)
        return lane.held_until if lane is not None else None

    def finished(self, output: str, delivered: Delivered, outcome: Outcome, now: float) -> Delivered | None:
        """An attempt ended. Returns the alarm when this confirms it, with the epoch of its last delivery."""
        waiting = self._waiting.get(delivered.number)
        lane = self._lanes.get(output)
        if lane is not None and lane.flying is delivered:
            self._land(lane, delivered, outcome, now)
        if waiting is None:
            return None
        if output in self._required:
            excuse = self._excused.add if outcome is Outcome.REFUSED else self._excused.discard
            excuse(delivered.device_id)
        waiting.unknown_at.discard(output)
        if outcome is Outcome.CONFIRMED:
            waiting.confirmed_by.add(output)
            if self._is_confirmed(waiting):
                return self._confirm(waiting)
        elif outcome is Outcome.UNKNOWN:
            waiting.unknown_at.add(output)
        if waiting.delivered.epoch != self._epoch and not self._is_flying(waiting):
            self._forget(delivered.number)
        return None

    # How.

    def _land(self, lane: Lane[Delivered], delivered: Delivered, outcome: Outcome, now: float) -> None:
        over = delivered.epoch != self._epoch
        match outcome:
            case Outcome.CONFIRMED:
                lane.done()
            case _ if over:
                lane.drop_flying()
            case Outcome.REFUSED | Outcome.CLOCK_REFUSED:
                lane.hold(now + self._refused_backoff.delay(lane.refused()))
            case Outcome.UNKNOWN:
                lane.again()
            case Outcome.NOT_SENT:
                lane.again(counted=False)

    def _enqueue(self, delivered: Delivered, outputs: Iterable[str]) -> None:
        for name in outputs:
            lane = self._lanes[name]
            if name not in self._required and len(lane) >= OPTIONAL_LIMIT:
                self.passed_over += 1
            else:
                lane.put(delivered)

    def _is_confirmed(self, waiting: _Waiting) -> bool:
        return bool(self._required) and self._required <= waiting.confirmed_by

    def _confirm(self, waiting: _Waiting) -> Delivered:
        del self._waiting[waiting.delivered.number]
        self.confirmed += 1
        return waiting.delivered

    def _is_flying(self, waiting: _Waiting) -> bool:
        number = waiting.delivered.number
        return any(lane.flying is not None and lane.flying.number == number for lane in self._lanes.values())

    def _drop(self, unwanted: Callable[[_Waiting], bool]) -> int:
        """Forget what is unwanted and not in flight; lanes keep nothing else that is not waited for."""
        before = len(self._waiting)
        self._waiting = {
            number: waiting
            for number, waiting in self._waiting.items()
            if self._is_flying(waiting) or not unwanted(waiting)
        }
        for lane in self._lanes.values():
            lane.keep(lambda delivered: delivered.epoch == self._epoch and delivered.number in self._waiting)
        return before - len(self._waiting)

    def _forget(self, number: int) -> None:
        self._excused.discard(self._waiting.pop(number).delivered.device_id)
        for lane in self._lanes.values():
            lane.keep(lambda delivered: delivered.number != number)
