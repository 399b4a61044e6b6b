"""One DC-09 output: takes what goes out next, writes it, and says what came of it.

It lives in callbacks of the loop: an answer is read and the next message written in one step, with no task between.
One message is in flight. Whether the lease allows it is asked right before each write, also of a repeated one, with no
await between (timing 1).

The link is kept open without a lease as well: a spare whose ARC does not answer must not take over (F3, O2).
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hotspare_model.dc09_errors import FrameError, TooLongError
from hotspare_model.dc09_reply import Reply, parse_reply
from hotspare_model.dc09_stream import FrameSplitter
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.forwarder import Outcome, Sending
from hotspare_receiver.core.health import OutputFacts
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.outputs.dc09 import Encoded, encode_alarm, encode_supervision, outcome_of
from hotspare_receiver.outputs.link import Link
from hotspare_receiver.snapshot import OutputConfig, OutputSnapshot
from hotspare_rpc.logs import log_event

RUBBISH_LIMIT = 4096
"""Bytes that belong to no frame, before the link counts as one that speaks something else."""

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


@dataclass(slots=True)
class _Flight:
    encoded: Encoded
    sending: Sending | None
    """None: a NULL of supervision."""
    started: datetime
    timer: asyncio.TimerHandle
    answer: bytes = b""
    """What came back that was no answer."""


class Dc09Output:
    """An output to the ARC over DC-09 and TCP."""

    def __init__(self, config: OutputConfig, source: Source, clock: Clock) -> None:
        self.config = config
        self._source = source
        self._clock = clock
        self._link = Link(config.addresses, self, clock, supervised=bool(config.dc09.heartbeat))
        self._splitter = FrameSplitter()
        self._flight: _Flight | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._last_write = 0.0
        self._attempts: Counter[Outcome] = Counter()
        self._last_confirmed: datetime | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    @property
    def last_write(self) -> float:
        """When something was written last, by the monotonic clock; -inf before."""
        return self._last_write

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
        )

    def facts(self, patience: float) -> OutputFacts:
        """What its health is judged by. `patience`: the group's `unhealthy_after`, in seconds."""
        self._link.settle(patience)
        health = self._link.health
        detail = self._link.problem or f"nothing has come back from {self._link.address or 'it'} yet"
        return OutputFacts(self.name, health.bad_since, health.proven, detail)

    # What the path does.

    def open(self) -> None:
        """Have the link open from now on."""
        self._link.want(True)

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

    # What the link does.

    def link_up(self) -> None:
        """Begin. Where nothing is to be sent, NULL shows at once whether somebody answers."""
        self._splitter = FrameSplitter()
        self._last_write = float("-inf")
        self._send_next()
        self._supervise()

    def link_data(self, data: bytes) -> None:
        """Read the answers in these bytes."""
        try:
            for raw in self._splitter.feed(data):
                self._answered(raw)
        except TooLongError as error:
            self._link.cut(f"the answer is no reply: {error}")
        if self._splitter.skipped > RUBBISH_LIMIT:
            self._link.cut("what comes back is not DC-09")

    def link_down(self, problem: str) -> None:
        """What is in flight stays without an answer; nobody knows whether the ARC has it."""
        if self._flight is not None:
            self._land(self._flight, Outcome.UNKNOWN, self._flight.answer, problem)

    # How.

    def _send_next(self) -> None:
        while self._link.up and self._flight is None:
            sending = self._source.take(self.name)
            if sending is None:
                self._wake_when_due()
                return
            now = self._clock.wall()
            try:
                # Software that takes one block at most refuses a message with two: every other time it gets
                # one.
                single_block = sending.refusals % 2 == 1
                encoded = encode_alarm(sending.delivered.stored, self.config.dc09, now, single_block=single_block)
            except ValueError as error:
                detail = f"it does not fit a DC-09 frame: {error}"
                self._report(sending, None, now, Outcome.REFUSED, b"", detail)
                continue
            if not self._source.may_write(sending.delivered.epoch):
                self._report(sending, None, now, Outcome.NOT_SENT, b"", "the lease had run out")
                return
            self._write(encoded, sending, now)

    def _write(self, encoded: Encoded, sending: Sending | None, now: datetime) -> None:
        loop = asyncio.get_running_loop()
        self._link.write(encoded.raw)
        timer = loop.call_later(self.config.dc09.answer_timeout.total_seconds(), self._unanswered)
        self._flight = _Flight(encoded, sending, now, timer)
        self._last_write = self._clock.now()

    def _answered(self, raw: bytes) -> None:
        flight = self._flight
        if flight is None:
            log_event(_log, logging.INFO, "output_stray_answer", output=self.name, answer=raw[:200])
            return
        try:
            reply: Reply = parse_reply(raw, self.config.dc09.key)
        except FrameError as error:
            flight.answer = raw
            self._link.cut(f"the answer is no reply: {error}")
            return
        if not reply.answers(flight.encoded.frame):
            # A late answer to an earlier message; the one that we wait for may follow.
            log_event(_log, logging.INFO, "output_stray_answer", output=self.name, answer=raw[:200])
            return
        self._link.proven()
        outcome, detail = outcome_of(reply)
        self._land(flight, outcome, raw, detail)
        self._send_next()

    def _unanswered(self) -> None:
        seconds = self.config.dc09.answer_timeout.total_seconds()
        self._link.cut(f"no valid answer within {seconds:g} s")

    def _land(self, flight: _Flight, outcome: Outcome, answer: bytes, detail: str) -> None:
        self._flight = None
        flight.timer.cancel()
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
        """Send NULL when nothing was written for the interval, and come again."""
        interval = self.config.dc09.heartbeat.total_seconds()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        if not interval or not self._link.up:
            return
        left = self._last_write + interval - self._clock.now()
        if left <= 0:
            left = interval
            if self._flight is None:
                now = self._clock.wall()
                self._write(encode_supervision(self.config.dc09, now), None, now)
        self._heartbeat = asyncio.get_running_loop().call_later(left, self._supervise)
