"""What was delivered to this receiver, and what goes to the ARC next.

1. Each output has a lane: the alarms that wait for it, per device in the order of their delivery (A3). Of all devices
   whose turn it is, the one with the oldest alarm (the lowest number) goes first.
2. One message is in flight in a lane. A device's next alarm never passes its earlier one, whatever came of that.
3. A refused alarm (DUH, or NAK of its time) is tried again after a backoff that holds up its own device alone. One that
   met silence or a lost link is the first again as soon as there is a link: the link has a backoff of its own.
4. An alarm is confirmed once every required output has confirmed it, and there is at least one (A4).
5. An alarm that is here already is not taken twice; one that is known to be confirmed is confirmed again, not sent.
6. When an epoch is over, all that is not in flight is dropped. An answer that still comes is a fact, and counts (F7).
7. When the work is given back, what the ARC has surely not seen goes back at once; what was begun is finished (F5).
8. An alarm that a required output has refused in so many words `set_aside_after` times is rejected (A5): it is sent no
   more, and its device waits until the cloud has set it aside durably, or else its order could break. An output that is
   not required is done with such an alarm, and the rest goes on. Silence, lost links and clocks reject nothing.
9. An alarm that the configuration withholds is through without being sent, at its delivery or when the configuration
   changes while it waits. What the ARC may have seen, or what is in flight, is finished; what is rejected stays so.

Pure: no clock, no I/O. Every step costs the logarithm of what waits, at most.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from hotspare_model.alarm import StoredAlarm
from hotspare_model.group import GroupSettings
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.lane import Lane
from hotspare_receiver.core.stream_lane import StreamLane

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
class Rejection:
    """A required output refused an alarm too often (A5)."""

    delivered: Delivered
    output: str
    refusals: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a delivery."""

    new: tuple[Delivered, ...]
    again: tuple[Delivered, ...]
    """Known to be confirmed: to be confirmed again, under the epoch of this delivery."""
    withheld: tuple[Delivered, ...] = ()
    """Not sent and through (rule 9): to be confirmed."""


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
        self._rejected: dict[int, Rejection] = {}
        self._recalled: Mapping[int, Mapping[str, int]] = {}
        self._abandoned: set[int] = set()
        """Set aside while they were in flight at another output."""
        self.set_aside_after = GroupSettings().set_aside_after
        """Refusals by a required output after which an alarm is rejected."""
        self.confirmed = 0
        """Alarms confirmed since the start, each counted once."""
        self.passed_over = 0
        """Alarms that an output which is not required did not get: too many waited for it, or it refused them."""

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
        return sum(lane.flights for lane in self._lanes.values())

    @property
    def pressing(self) -> bool:
        """Whether an alarm waits for the ARC to answer at all: one that it refused, and those behind, do not (A5)."""
        return any(waiting.delivered.device_id not in self._excused for waiting in self._waiting.values())

    def rejection(self, number: int) -> Rejection | None:
        """How an alarm that is here was rejected (rule 8). None: it was not."""
        return self._rejected.get(number)

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

    def recall(self, refusals: Mapping[int, Mapping[str, int]]) -> None:
        """Of alarms that come next: how often outputs refused them before, in an earlier process say; by number."""
        self._recalled = refusals

    def deliver(
        self, alarms: Iterable[Delivered], known: Collection[int], now: float, withheld: Collection[int] = ()
    ) -> Taken:
        """Take alarms, in the order of their delivery.

        `known`: numbers already confirmed (rule 5). `withheld`: numbers that are not to be sent (rule 9).
        """
        new: list[Delivered] = []
        again: list[Delivered] = []
        through: list[Delivered] = []
        for delivered in alarms:
            if delivered.epoch != self._epoch:
                continue
            here = self._waiting.get(delivered.number)
            again_asked = here is not None and delivered.replay and delivered.attempt > here.delivered.attempt
            if again_asked and self.set_aside(delivered.number):
                # The cloud had set it aside, and its word of that was lost, before an operator sent it again (A5).
                here = None
            if delivered.number in known:
                again.append(delivered)
            elif here is None and delivered.number in withheld:
                through.append(delivered)
            elif here is None:
                new.append(delivered)
                self._waiting[delivered.number] = _Waiting(delivered, now)
                self._enqueue(delivered, self._lanes)
            elif here.delivered.epoch != delivered.epoch:
                # In flight since an epoch that is over (rule 6): it waits behind itself, in case that fails.
                new.append(delivered)
                here.delivered = delivered
                self._enqueue(delivered, self._lanes.keys() - here.confirmed_by)
        self._recalled = {}
        return Taken(tuple(new), tuple(again), tuple(through))

    def waiting(self) -> Iterator[Delivered]:
        """What the configuration could still withhold (rule 9)."""
        return (waiting.delivered for waiting in self._waiting.values() if self._may_withhold(waiting))

    def withhold(self, numbers: Iterable[int]) -> tuple[Delivered, ...]:
        """Drop those that can still be withheld; they are through without being sent. Returns which they were."""
        found = [waiting for number in numbers if (waiting := self._waiting.get(number)) is not None]
        through = {one.delivered.number: one.delivered for one in found if self._may_withhold(one)}
        for delivered in through.values():
            del self._waiting[delivered.number]
            self._excused.discard(delivered.device_id)
        if through:
            for lane in self._lanes.values():
                lane.keep(lambda delivered: delivered.number not in through)
        return tuple(through.values())

    def withdraw(self, number: int) -> bool:
        """Forget an alarm that another has confirmed; one in flight goes on. Returns whether it did."""
        waiting = self._waiting.get(number)
        if waiting is None or self._is_flying(waiting):
            return False
        self._forget(number)
        return True

    def set_aside(self, number: int) -> bool:
        """The cloud has set a rejected alarm aside: its device goes on. Returns whether it was one.

        One that is in flight at another output goes on there, and nobody waits for what comes of it.
        """
        if number not in self._rejected:
            return False
        if self._is_flying(self._waiting[number]):
            self._abandoned.add(number)
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

    def set_outputs(self, required: Mapping[str, bool], streams: Collection[str] = ()) -> tuple[Delivered, ...]:
        """Have these outputs, by name, required or not. Returns what is confirmed now that others are gone.

        `streams`: those that may have several in flight.

        A new output gets all that waits; one that gets required, what it did not get while it was not. What is in
        flight at one that is gone is forgotten there.
        """
        gone = self._lanes.keys() - required.keys()
        for name in gone:
            del self._lanes[name]
        before, self._required = self._required, frozenset(name for name, needed in required.items() if needed)
        for name in (self._required - before) & self._lanes.keys():
            self._catch_up(name)
        for name in required.keys() - self._lanes.keys():
            self._lanes[name] = StreamLane() if name in streams else Lane()
            for number, waiting in self._waiting.items():
                if number not in self._rejected:
                    self._enqueue(waiting.delivered, (name,))
        confirmed = []
        for waiting in tuple(self._waiting.values()):
            waiting.unknown_at -= gone
            self._take_back_rejection(waiting.delivered.number)
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
        if lane is not None and lane.lands(delivered):
            self._land(output, lane, delivered, outcome, now)
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

    def _land(self, output: str, lane: Lane[Delivered], delivered: Delivered, outcome: Outcome, now: float) -> None:
        over = delivered.epoch != self._epoch or delivered.number in self._abandoned
        refusals = lane.refused() if outcome is Outcome.REFUSED else 0
        match outcome:
            case Outcome.CONFIRMED:
                lane.done()
            case _ if over:
                lane.drop_flying()
            case Outcome.REFUSED if refusals >= self.set_aside_after:
                self._give_up_at(output, lane, Rejection(delivered, output, refusals))
            case Outcome.REFUSED | Outcome.CLOCK_REFUSED:
                lane.hold(now + self._refused_backoff.delay(lane.set_back()))
            case Outcome.UNKNOWN:
                lane.again()
            case Outcome.NOT_SENT:
                lane.again(counted=False)
        if not any(each.flies(delivered.number) for each in self._lanes.values()):
            self._abandoned.discard(delivered.number)

    def _give_up_at(self, output: str, lane: Lane[Delivered], rejection: Rejection) -> None:
        """An output has refused the alarm in flight too often (rule 8)."""
        if output in self._required:
            lane.park()
            self._rejected.setdefault(rejection.delivered.number, rejection)
        else:
            lane.drop_flying()
            self.passed_over += 1

    def _take_back_rejection(self, number: int) -> None:
        """The output that rejected an alarm is gone, or required no more: what comes of it elsewhere counts."""
        rejection = self._rejected.get(number)
        if rejection is None or rejection.output in self._required:
            return
        del self._rejected[number]
        if (lane := self._lanes.get(rejection.output)) is not None:
            lane.keep(lambda delivered: delivered.number != number)

    def _enqueue(self, delivered: Delivered, outputs: Iterable[str]) -> None:
        for name in outputs:
            lane = self._lanes[name]
            if name not in self._required and len(lane) >= OPTIONAL_LIMIT:
                self.passed_over += 1
                continue
            lane.put(delivered)
            refusals = self._recalled.get(delivered.number, {}).get(name, 0)
            if refusals:
                # The one that makes it too many is still to come: it has the raw exchange.
                lane.recall(delivered.number, min(refusals, self.set_aside_after - 1))

    def _catch_up(self, output: str) -> None:
        """Enqueue what an output is done with, by a refusal or for want of room, though it has not confirmed it."""
        there = self._lanes[output].numbers()
        for number, waiting in self._waiting.items():
            if number not in there and number not in self._rejected and output not in waiting.confirmed_by:
                self._enqueue(waiting.delivered, (output,))

    def _is_confirmed(self, waiting: _Waiting) -> bool:
        return bool(self._required) and self._required <= waiting.confirmed_by

    def _confirm(self, waiting: _Waiting) -> Delivered:
        del self._waiting[waiting.delivered.number]
        self._rejected.pop(waiting.delivered.number, None)
        self.confirmed += 1
        return waiting.delivered

    def _may_withhold(self, waiting: _Waiting) -> bool:
        return not waiting.begun and waiting.delivered.number not in self._rejected and not self._is_flying(waiting)

    def _is_flying(self, waiting: _Waiting) -> bool:
        return any(lane.flies(waiting.delivered.number) for lane in self._lanes.values())

    def _drop(self, unwanted: Callable[[_Waiting], bool]) -> int:
        """Forget what is unwanted and not in flight; lanes keep nothing else that is not waited for."""
        before = len(self._waiting)
        self._waiting = {
            number: waiting
            for number, waiting in self._waiting.items()
            if self._is_flying(waiting) or not unwanted(waiting)
        }
        self._rejected = {number: rejection for number, rejection in self._rejected.items() if number in self._waiting}
        for lane in self._lanes.values():
            lane.keep(lambda delivered: delivered.epoch == self._epoch and delivered.number in self._waiting)
        return before - len(self._waiting)

    def _forget(self, number: int) -> None:
        self._rejected.pop(number, None)
        self._excused.discard(self._waiting.pop(number).delivered.device_id)
        for lane in self._lanes.values():
            lane.keep(lambda delivered: delivered.number != number)
