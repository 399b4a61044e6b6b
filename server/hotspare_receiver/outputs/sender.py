"""One output: takes what goes out next, writes it, and says what came of it.

It lives in callbacks of the loop: an answer is read and the next message written in one step, with no task between.
One message is in flight. Whether the lease allows it is asked right before each write, also of a repeated one, with no
await between (timing 1).

1. The link is kept open without a lease as well: a spare whose ARC does not answer must not take over (F3, O2).
2. A message without an answer is an attempt that failed; what goes next is the forwarder's to say, mostly the same
   alarm. So many in a row as the dialect says, over all connections, and the link is given up and opened anew.
3. Where the dialect says so, a link that was given up carries heartbeats until one is answered; then the oldest alarm.
4. Where an answer does not tell what it answers, a message is never written while an answer to another may still come:
   the connection is another one then. An answer that nobody waits for ends it.
5. A test alarm is no alarm of the cloud: it needs no lease, goes as soon as nothing is in flight, and is tried once.
"""

import asyncio
import logging
from collections import Counter, deque
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from hotspare_model.alarm import StoredAlarm
from hotspare_model.dc09_text import sanitise
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.forwarder import Outcome, Sending
from hotspare_receiver.core.group_view import GroupView
from hotspare_receiver.core.health import OutputFacts
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.outputs.dc09 import Dc09
from hotspare_receiver.outputs.dialect import ORIGINAL_LIMIT, Dialect, Encoded, NotOursError
from hotspare_receiver.outputs.link import Link
from hotspare_receiver.outputs.surgard import Surgard
from hotspare_receiver.outputs.trial import Trial
from hotspare_receiver.snapshot import LinkState, OutputConfig, OutputSnapshot, Transport
from hotspare_rpc.logs import log_event

HEARTBEAT = "heartbeat"
"""What stands for a message of supervision, where alarms have their ids."""

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Where an output gets its alarms."""

    def take(self, output: str) -> Sending | None:
        """What goes out next; it is in flight until `attempted`."""

    def due(self, output: str) -> float | None:
        """When something gets due, by the clock, though nothing is now."""

    def may_write(self, epoch: int) -> bool:
        """Whether an alarm of this epoch may be written at this moment."""

    def attempted(self, sending: Sending, attempt: AttemptRecord, forwarded_code: str) -> None:
        """What came of it."""

    def waiting_for(self, output: str) -> int:
        """How many alarms wait for it."""

    @property
    def group(self) -> GroupView:
        """What the configuration says about alarms now; asked right before each message."""


@dataclass(slots=True)
class _Flight:
    encoded: Encoded
    key: str
    """Which message it is, also when it is written again."""
    sending: Sending | None
    """None: a message of supervision, or a test."""
    trial: Trial | None
    started: datetime
    began: float
    timer: asyncio.TimerHandle
    answer: bytes = b""
    """What came back that was no answer."""


class Output:
    """An output to the ARC."""

    def __init__(self, config: OutputConfig, source: Source, clock: Clock) -> None:
        self.config = config
        self._source = source
        self._clock = clock
        self._dialect: Dialect = Surgard(config.surgard) if config.surgard is not None else Dc09(config.dc09)
        self._link = Link(
            config.addresses,
            self,
            clock,
            supervised=bool(self._dialect.heartbeat),
            transport=Transport.TCP if config.surgard is not None else config.dc09.transport,
        )
        self._flight: _Flight | None = None
        self._trials: deque[Trial] = deque()
        self._wake: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._last_write = 0.0
        self._unanswered = 0
        """Messages without an answer in a row (rule 2)."""
        self._given_up = False
        """Whether the link was, and no heartbeat was answered since (rule 3)."""
        self._owed = 0
        """Answers to `_owed_to` that may still come on this connection (rule 4)."""
        self._owed_to = ""
        self._paused_since = clock.now() if config.paused else None
        self._attempts: Counter[Outcome] = Counter()
        self._last_confirmed: datetime | None = None
        self._generic = 0
        """Alarms that the other side has as a generic event in place of their own."""
        self._last_generic = ""

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    @property
    def last_write(self) -> float:
        """When something was written last, by the monotonic clock; -inf before."""
        return self._last_write

    @property
    def unreachable(self) -> str | None:
        """Why nothing can be written, in words. None: it can, or its link is just being made."""
        if self.config.paused:
            return "an operator paused it"
        link = self._link
        if link.state is LinkState.IDLE:
            return "it was closed"
        return link.problem or None if self._given_up or not link.up else None

    def snapshot(self) -> OutputSnapshot:
        """How it is."""
        link = self._link
        return OutputSnapshot(
            name=self.name,
            required=self.config.required,
            link=link.state,
            address=str(link.address or ""),
            since=link.since,
            problem=link.problem,
            waiting=self._source.waiting_for(self.name),
            confirmed=self._attempts[Outcome.CONFIRMED],
            last_confirmed=self._last_confirmed,
            attempts=dict(self._attempts),
            generic=self._generic,
            last_generic=self._last_generic,
        )

    def facts(self, patience: float) -> OutputFacts:
        """What its health is judged by. `patience`: the group's `unhealthy_after`, in seconds."""
        self._link.settle(patience)
        health = self._link.health
        if self._paused_since is not None:
            return OutputFacts(self.name, self._paused_since, health.proven, "an operator paused it")
        detail = self._link.problem or f"nothing has come back from {self._link.address or 'it'} yet"
        return OutputFacts(self.name, health.bad_since, health.proven, detail)

    # What the path does.

    def open(self) -> None:
        """Have the link open from now on, unless an operator paused the output."""
        self._link.want(not self.config.paused)

    def changed(self, config: OutputConfig) -> bool:
        """Take another configuration over, if no other link is needed for it. Returns whether it did."""
        if replace(config, paused=self.config.paused, required=self.config.required) != self.config:
            return False
        if config.paused != self.config.paused:
            self._paused_since = self._clock.now() if config.paused else None
        self.config = config
        self.open()
        return True

    def kick(self) -> None:
        """Something may have become sendable."""
        if self._link.up and self._flight is None:
            self._send_next()

    def lease_ended(self) -> None:
        """What has not left this machine by now must not leave it later (timing 1)."""
        if self._flight is not None and self._flight.sending is not None and self._link.has_unsent:
            self._link.cut("the lease ended with the message unsent")

    def reset(self) -> None:
        """Have nothing in flight any more: what has not left this machine never will. The link is opened anew."""
        if self._flight is not None:
            self._link.reset()

    def close(self) -> None:
        """Cut the link for good, whatever is in flight."""
        self._link.want(False)
        for timer in (self._wake, self._heartbeat):
            if timer is not None:
                timer.cancel()
        while self._trials:
            self._trials.popleft().not_sent("the output was closed")

    def try_out(self, stored: StoredAlarm) -> Trial:
        """Send a test alarm (rule 5). Raises ValueError when it fits no message.

        Raises ConnectionError, with the problem in words, when there is no link and none is just being made.
        """
        self._dialect.alarm(stored, self._clock.wall(), 0, self._source.group)
        if (problem := self.unreachable) is not None:
            raise ConnectionError(problem)
        trial = Trial(stored)
        self._trials.append(trial)
        self.kick()
        return trial

    # What the link does.

    def link_up(self) -> None:
        """Begin. Where nothing is to be sent, a heartbeat shows at once whether somebody answers."""
        self._dialect.begin()
        self._owed = 0
        self._last_write = float("-inf")
        self._send_next()
        self._supervise()

    def link_data(self, data: bytes) -> None:
        """Read the answers in these bytes, all of them before anything is written again (rule 4)."""
        try:
            for answer in self._dialect.feed(data):
                self._answered(answer)
        except NotOursError as error:
            self._not_ours(data, str(error))
        if self._owed and self._flight is None:
            # What was asked twice is answered, and the second answer would be taken for one to the next message.
            self._link.reset()
        self._send_next()

    def link_down(self, problem: str) -> None:
        """What is in flight stays without an answer; nobody knows whether the ARC has it."""
        if self._flight is not None:
            self._land(self._flight, Outcome.UNKNOWN, self._flight.answer, problem)

    # How.

    def _send_next(self) -> None:
        while self._link.up and self._flight is None and not self._given_up:
            if self._trials:
                self._send_trial(self._trials[0])
                continue
            sending = self._source.take(self.name)
            if sending is None:
                self._wake_when_due()
                return
            now = self._clock.wall()
            try:
                encoded = self._dialect.alarm(sending.delivered.stored, now, sending.refusals, self._source.group)
            except ValueError as error:
                detail = f"it does not fit a message of this output: {error}"
                self._report(sending, None, now, Outcome.REFUSED, b"", detail)
                continue
            key = sending.delivered.stored.alarm.alarm_id
            if self._owed and key != self._owed_to:
                detail = "an answer to another message may still come, so the connection is opened anew"
                self._report(sending, None, now, Outcome.NOT_SENT, b"", detail)
                self._link.reset()
                return
            if not self._source.may_write(sending.delivered.epoch):
                self._report(sending, None, now, Outcome.NOT_SENT, b"", "the lease had run out")
                return
            self._write(encoded, key, now, sending=sending)

    def _send_trial(self, trial: Trial) -> None:
        key, now = trial.stored.alarm.alarm_id, self._clock.wall()
        if trial.awaited and self._owed and self._owed_to != key:
            self._link.reset()
            return
        self._trials.popleft()
        if trial.awaited:
            encoded = self._dialect.alarm(trial.stored, now, 0, self._source.group)
            trial.written(encoded.raw, str(self._link.address or ""))
            self._write(encoded, key, now, trial=trial)

    def _write(
        self, encoded: Encoded, key: str, now: datetime, *, sending: Sending | None = None, trial: Trial | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._dialect.answer_timeout.total_seconds(), self._no_answer)
        self._last_write = self._clock.now()
        self._flight = _Flight(encoded, key, sending, trial, now, self._last_write, timer)
        if not self._dialect.numbered:
            self._owed, self._owed_to = self._owed + 1, key
        # Last, for over UDP the link may be lost in this very call.
        self._link.write(encoded.raw)

    def _answered(self, answer: bytes) -> None:
        flight = self._flight
        verdict = self._dialect.read(answer, flight.encoded) if flight is not None else None
        if flight is None or verdict is None:
            # A late answer to an earlier message; the one that we wait for may follow.
            log_event(_log, logging.INFO, "output_stray_answer", output=self.name, answer=answer[:200])
            if not self._dialect.numbered:
                self._stray()
            return
        self._owed = max(0, self._owed - 1)
        self._unanswered = 0
        self._given_up = self._given_up and flight.key != HEARTBEAT
        self._link.proven()
        self._land(flight, verdict.outcome, answer, verdict.detail)

    def _stray(self) -> None:
        if self._owed:
            self._owed -= 1
        else:
            self._link.cut("an answer came that nothing was waiting for")

    def _not_ours(self, data: bytes, problem: str) -> None:
        if self._flight is not None:
            self._flight.answer = data
        if self._dialect.strict:
            self._link.cut(problem)
        else:
            log_event(_log, logging.INFO, "output_stray_answer", output=self.name, answer=data[:200], problem=problem)

    def _no_answer(self) -> None:
        seconds = self._dialect.answer_timeout.total_seconds()
        problem = f"no valid answer within {seconds:g} s"
        self._unanswered += 1
        if self._unanswered >= self._dialect.attempts:
            if self._dialect.attempts > 1:
                problem += f", {self._unanswered} times in a row"
            self._unanswered = 0
            self._given_up = self._dialect.heartbeat_first
            self._link.cut(problem)
            return
        flight = self._flight
        assert flight is not None
        self._link.unanswered()
        self._land(flight, Outcome.UNKNOWN, flight.answer, problem)
        self._send_next()
        if self._flight is None:
            self._beat()

    def _land(self, flight: _Flight, outcome: Outcome, answer: bytes, detail: str) -> None:
        self._flight = None
        flight.timer.cancel()
        if flight.trial is not None:
            flight.trial.ended(outcome, self._clock.now() - flight.began, answer, detail)
        if flight.sending is not None:
            self._report(flight.sending, flight.encoded, flight.started, outcome, answer, detail)

    def _report(
        self,
        sending: Sending,
        encoded: Encoded | None,
        started: datetime,
        outcome: Outcome,
        answer: bytes,
        detail: str,
    ) -> None:
        ended = self._clock.wall()
        self._attempts[outcome] += 1
        if outcome is Outcome.CONFIRMED:
            self._last_confirmed = ended
            if encoded is not None and encoded.original is not None:
                self._generic += 1
                self._last_generic = sanitise(encoded.original, ORIGINAL_LIMIT).text
        if encoded is not None and encoded.told and outcome in (Outcome.CONFIRMED, Outcome.REFUSED):
            detail = f"{detail}; {encoded.told}" if detail else encoded.told
        attempt = AttemptRecord(
            output=self.name,
            attempt=sending.attempt,
            started=started,
            ended=ended,
            outcome=outcome,
            frame=encoded.raw if encoded is not None else b"",
            answer=answer,
            detail=detail,
        )
        self._source.attempted(sending, attempt, encoded.forwarded_code if encoded is not None else "")

    def _wake_when_due(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        due = self._source.due(self.name)
        if due is not None:
            delay = max(0.0, due - self._clock.now())
            self._wake = asyncio.get_running_loop().call_later(delay, self.kick)

    def _supervise(self) -> None:
        """Ask whether somebody is there when nothing was written for the interval, and come again."""
        interval = self._dialect.heartbeat.total_seconds()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        if not interval or not self._link.up:
            return
        left = self._last_write + interval - self._clock.now()
        if left <= 0:
            left = interval
            if self._flight is None:
                self._beat()
        self._heartbeat = asyncio.get_running_loop().call_later(left, self._supervise)

    def _beat(self) -> None:
        if not self._dialect.heartbeat or not self._link.up:
            return
        if self._owed and self._owed_to != HEARTBEAT:
            self._link.reset()
            return
        now = self._clock.wall()
        self._write(self._dialect.supervision(now), HEARTBEAT, now)
