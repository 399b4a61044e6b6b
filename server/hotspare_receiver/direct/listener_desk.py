"""Carries out what the core decides about the frames of panels: hands alarms over, answers, counts, tells (D1, S4)."""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from hotspare_model.alarm import AlarmPath
from hotspare_model.dc09_reply import ReplyKind
from hotspare_model.dc09_text import from_wire
from hotspare_model.errors import HotspareError
from hotspare_model.errors import Reason as ErrorReason
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.dc09_limits import Once, Rates, Share
from hotspare_receiver.core.dc09_session import TOLD, Judge, Reason, Verdict, reply_bytes
from hotspare_receiver.direct.intake import DirectAlarm, DirectIntake
from hotspare_rpc.logs import log_event
from hotspare_rpc.text import printable

STRANGERS_SHARE, KNOWN_SHARE, DATAGRAM_SHARE = 0.1, 0.3, 0.2
"""Parts of a processor that frames may take: of who has shown no account that we know; of connections that have; of
datagrams that name one."""

BURST = 0.05
"""Seconds of work that are free at once."""

MOST_AT_ONCE = 512
"""Frames that are carried out, or wait for that, at one time."""

MOST_OF_ACCOUNT = 8
"""Of these, of one account."""

ACCEPT_TIMEOUT = 30.0
"""Seconds for which an alarm may be on its way to the disk; panels give up earlier."""

DATAGRAM_RATE, DATAGRAM_BURST = 10.0, 40
"""Datagrams of one account a second, and at once."""

TOLD_PERIOD = 24 * 3600.0
TOLD_PER_HOUR = 20
"""What the ARC is told: each refusal of an account once a day, and so many in an hour, for who guesses accounts."""

LOG_PERIOD = 60.0
LOGS_PER_MINUTE = 30
"""What is logged, in the same way."""

SHOWN_FRAME = 200
"""Bytes of a refused frame in the log."""

_FINAL = frozenset({ErrorReason.FIELD_INVALID})
"""Errors of the intake that no repetition mends."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sender:
    """Where a frame came from."""

    peer: str
    """The address, without port: a panel's repetition comes from another one."""
    transport: str
    """`tcp` or `udp`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a frame gets."""

    data: bytes | None
    known: bool
    """Whether it came from an account that we know."""


@dataclass(slots=True)
class _Lane:
    """Frames of one account, one at a time (A3)."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    count: int = 0


class Desk:
    """Takes frames of all connections."""

    def __init__(
        self,
        judge: Judge,
        intake: DirectIntake,
        clock: Clock,
        on_refused: Callable[[str, str], None],
        pad: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`on_refused(reason, account)`: called once for what the ARC has to be told."""
        self.frames: Counter[tuple[str, str, str]] = Counter()
        """Frames, by transport, answer and reason."""
        self.strangers = Share(STRANGERS_SHARE, BURST)
        self.known = Share(KNOWN_SHARE, BURST)
        self.datagrams = Share(DATAGRAM_SHARE, BURST)
        self._judge = judge
        self._intake = intake
        self._clock = clock
        self._on_refused = on_refused
        self._pad = pad
        self._lanes: dict[str, _Lane] = {}
        self._at_once = 0
        self._datagrams = Rates(DATAGRAM_RATE, DATAGRAM_BURST, 10_000)
        self._told = Once(TOLD_PERIOD, TOLD_PER_HOUR, 3600.0)
        self._logged = Once(LOG_PERIOD, LOGS_PER_MINUTE, 60.0)

    @property
    def untold(self) -> int:
        """Refusals that the ARC was not told of because there were too many."""
        return self._told.kept_back

    def knows(self, account: str) -> bool:
        """Whether there is such an account."""
        return self._judge.knows(account)

    def admits_datagram(self, account: str | None) -> bool:
        """Whether a datagram is read, which names `account`, or None that we know. What is not is counted only."""
        now = self._clock.now()
        if account is None:
            admitted = self.strangers.wait(now) <= 0
        else:
            admitted = self.datagrams.wait(now) <= 0 and self._datagrams.take(account, now)
        if not admitted:
            self._count(Reason.OVERLOAD, None, "udp")
        return admitted

    async def take(self, raw: bytes, sender: Sender, *, known: bool) -> Answer:
        """Judge a frame and carry it out. `known`: an account that we know was shown, by the connection before or by
        the head of the datagram.

        It never fails; only being cancelled ends it early, and the frame then has no answer.
        """
        share = self._share(sender, known)
        with self.spending(share):
            verdict = self._judge.judge(raw, self._clock.wall(), self._clock.now())
        if verdict.good and verdict.account is not None:
            verdict = await self._in_turn(verdict, raw, sender)
        with self.spending(share):
            data = reply_bytes(verdict, self._clock.wall(), self._pad)
        self._count(verdict.reason, verdict.reply if data is not None else None, sender.transport)
        if not verdict.good:
            self._refused(verdict, raw, sender)
        return Answer(data, verdict.account is not None)

    def dropped(self, reason: Reason, raw: bytes, sender: Sender) -> None:
        """Count and log bytes that are no frame."""
        self._count(reason, None, sender.transport)
        self._refused(Verdict(reason), raw, sender)

    def _share(self, sender: Sender, known: bool) -> Share:
        if not known:
            return self.strangers
        return self.datagrams if sender.transport == "udp" else self.known

    @contextmanager
    def spending(self, share: Share) -> Iterator[None]:
        """Charge what is done inside, without awaiting anything, to a share."""
        # Of the processor, not of the clock: on a busy machine panels must not pay for what others do.
        began = time.thread_time()
        try:
            yield
        finally:
            share.spend(time.thread_time() - began, self._clock.now())

    async def _in_turn(self, verdict: Verdict, raw: bytes, sender: Sender) -> Verdict:
        """Carry a frame out when those of its account before it are done."""
        assert verdict.account is not None
        name = verdict.account.account
        lane = self._lanes.get(name) or _Lane()
        if self._at_once >= MOST_AT_ONCE or lane.count >= MOST_OF_ACCOUNT:
            return _instead(verdict, Reason.OVERLOAD, None, "too many frames at once")
        received = self._clock.wall()
        self._lanes[name] = lane
        lane.count += 1
        self._at_once += 1
        try:
            async with lane.turn:
                return await self._carry_out(verdict, raw, sender.peer, received)
        finally:
            lane.count -= 1
            self._at_once -= 1
            if not lane.count:
                del self._lanes[name]

    async def _carry_out(self, verdict: Verdict, raw: bytes, peer: str, received: datetime) -> Verdict:
        verdict = self._judge.seen(verdict, peer, self._clock.now())
        if verdict.reason not in (Reason.TAKEN, Reason.ALIVE) or verdict.account is None:
            return verdict
        if not self._intake.open:
            return _instead(verdict, Reason.UNAVAILABLE, None, "direct devices are not taken now")
        try:
            async with asyncio.timeout(ACCEPT_TIMEOUT):
                if verdict.reason is Reason.ALIVE:
                    await self._intake.alive(verdict.account.device_id, AlarmPath.DIRECT_DC09)
                for alarm in _direct_alarms(verdict, raw, received):
                    await self._intake.accept(alarm)
        except TimeoutError:
            return _instead(verdict, Reason.UNAVAILABLE, None, f"not stored within {ACCEPT_TIMEOUT:.0f} s")
        except HotspareError as error:
            if error.reason in _FINAL:
                return _instead(verdict, Reason.REFUSED, ReplyKind.DUH, str(error))
            return _instead(verdict, Reason.UNAVAILABLE, None, str(error))
        except Exception as error:
            # A defect, and this panel's frame may be all that meets it: the others must go on being heard.
            log_event(_log, logging.ERROR, "direct_frame_failed", error=error, account=verdict.shown_account)
            return _instead(verdict, Reason.UNAVAILABLE, None, "an internal error")
        self._judge.taken(verdict, peer, self._clock.wall(), self._clock.now())
        return verdict

    def _count(self, reason: Reason, reply: ReplyKind | None, transport: str) -> None:
        self.frames[transport, "none" if reply is None else reply.value.lower(), reason.value] += 1

    def _refused(self, verdict: Verdict, raw: bytes, sender: Sender) -> None:
        now, account = self._clock.now(), verdict.shown_account
        key = (verdict.reason, account or sender.peer)
        if self._logged.due(key, now):
            log_event(
                _log, logging.WARNING, "direct_frame_refused", reason=verdict.reason.value, account=account,
                peer=sender.peer, transport=sender.transport, problem=verdict.problem,
                frame=printable(from_wire(raw[:SHOWN_FRAME]), SHOWN_FRAME),
            )  # fmt: skip
        if verdict.reason in TOLD and self._told.due(key, now):
            self._on_refused(verdict.reason.value, account)


def _direct_alarms(verdict: Verdict, raw: bytes, received: datetime) -> Iterator[DirectAlarm]:
    assert verdict.header is not None
    for alarm in verdict.alarms:
        yield DirectAlarm(
            alarm=alarm,
            path=AlarmPath.DIRECT_DC09,
            received=received,
            raw=raw,
            sequence=verdict.header.hex_sequence or f"{verdict.header.sequence:04d}",
            stamped=verdict.stamped,
        )


def _instead(verdict: Verdict, reason: Reason, reply: ReplyKind | None, problem: str) -> Verdict:
    return Verdict(reason, reply, verdict.header, verdict.account, problem=problem)
