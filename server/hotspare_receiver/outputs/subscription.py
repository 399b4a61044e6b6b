"""A stream output: automation software of any vendor opens it by the name of its subscription (O1).

1. There is one stream at a time; a newer one takes the older one's place. What was told on that and not acknowledged is
   told again on the new one, first, and counts as another attempt.
2. Before an alarm is told, that is noted durably (store/feed.py): a cursor belongs to one alarm for ever.
3. Whether the lease allows it is asked right before each alarm is written, with nothing awaited between, and the next
   one is written when gRPC has passed the last one on (timing 1). At the end of a lease what is not written goes back.
4. What the subscriber has seen stays in flight until it is acknowledged or the stream ends: a late acknowledgement is a
   fact (F7), also under an epoch that is over, on a later stream, or in a later process.
5. An acknowledgement is durable before it counts, and before it is answered. An alarm that the subscriber is known to
   have is not told again.
6. Who reads slowly, or not at all, holds no more than its window here; nobody waits for it but its own stream.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Protocol

from hotspare_model.alarm import StoredAlarm
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.forwarder import Outcome, Sending
from hotspare_receiver.core.health import OutputFacts
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.outputs.feed_session import FeedMessage, FeedState, Session, Tell
from hotspare_receiver.outputs.making import Path
from hotspare_receiver.outputs.trial import Trial
from hotspare_receiver.snapshot import LinkState, OutputConfig, OutputSnapshot
from hotspare_receiver.store.feed import KnownCursor, Telling, Wanted
from hotspare_rpc.logs import log_event

RETRY_DELAY = 1.0
"""Seconds until it is tried again to note what is to be told, after the disk refused it."""

BATCH = 500
"""Alarms that are noted, or acknowledgements that are kept, with one commit at most."""

REMEMBERED = 20_000
"""Alarms in flight no more whose acknowledgement is still known without asking the disk."""

_log = logging.getLogger(__name__)


class Cursors(Protocol):
    """What is kept of subscriptions."""

    def new_cursor(self) -> int:
        """A cursor that no alarm has or had."""

    async def tell(self, subscription: str, scope: str, alarms: Sequence[Wanted]) -> list[Telling]:
        """Note that alarms are about to be told."""

    async def acknowledge(self, subscription: str, cursors: Iterable[int]) -> dict[int, KnownCursor]:
        """Keep acknowledgements; returns the cursors that are known."""


class Owner(Protocol):
    """Who keeps the subscriptions of this receiver."""

    def ended(self, subscription: "Subscription") -> HotspareError:
        """It takes no streams any more; returns what its stream ends with."""

    async def late(self, subscription: "Subscription", known: KnownCursor) -> None:
        """An alarm that is not in flight here was acknowledged."""


class Subscription:
    """An output that others open."""

    def __init__(self, config: OutputConfig, path: Path, clock: Clock, cursors: Cursors, owner: Owner) -> None:
        assert config.stream is not None
        self.config = config
        self.name = config.stream.subscription
        self._path = path
        self._clock = clock
        self._cursors = cursors
        self._owner = owner
        self._session: Session | None = None
        self._hand: dict[int, Tell] = {}
        """What is in flight, by cursor, in the order in which it is told."""
        self._by_number: dict[int, Tell] = {}
        self._seen: dict[int, Sending] = {}
        """What was told on streams that are over, by cursor, and has not been told again since."""
        self._noting: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._keeping: set[asyncio.Task[None]] = set()
        self._closed = False
        self._paused_since = clock.now() if config.paused else None
        self._proven = False
        self._heard = clock.now()
        """When a subscriber was heard of last: it came, left or acknowledged."""
        self._link, self._since, self._peer = LinkState.IDLE, clock.wall(), ""
        self._problem = f"nobody has opened the subscription {self.name} yet"
        self._attempts: Counter[Outcome] = Counter()
        self._last_confirmed: datetime | None = None
        self._last_write = -inf

    # What the path asks and does.

    @property
    def last_write(self) -> float:
        """When something was written last, by the monotonic clock; -inf before."""
        return self._last_write

    def snapshot(self) -> OutputSnapshot:
        """How it is. The address is that of the subscriber."""
        return OutputSnapshot(
            name=self.config.name,
            required=self.config.required,
            link=LinkState.IDLE if self.config.paused else self._link,
            address=self._peer,
            since=self._since,
            problem=self._problem,
            waiting=self._path.waiting_for(self.config.name),
            confirmed=self._attempts[Outcome.CONFIRMED],
            last_confirmed=self._last_confirmed,
            attempts=dict(self._attempts),
        )

    def facts(self, patience: float) -> OutputFacts:
        """What its health is judged by: a subscriber is there, and acknowledges what it was told."""
        name = self.config.name
        if self._paused_since is not None:
            return OutputFacts(name, self._paused_since, self._proven, "an operator paused it")
        if self._session is None:
            return OutputFacts(name, self._heard, self._proven, self._problem)
        oldest = next(iter(self._by_number.values()), None)
        bad_since = max(oldest.began, self._heard) if oldest is not None else None
        return OutputFacts(name, bad_since, self._proven, "the subscriber acknowledges nothing")

    def open(self) -> None:
        """There is nothing to open: subscribers come by themselves."""
        self.kick()

    def changed(self, config: OutputConfig) -> bool:
        """Take another configuration over, if it stays the same subscription. Returns whether it did."""
        if replace(config, paused=self.config.paused, required=self.config.required) != self.config:
            return False
        if config.paused != self.config.paused:
            self._paused_since = self._clock.now() if config.paused else None
            self._since = self._clock.wall()
        self.config = config
        if config.paused and self._session is not None:
            self._put_back_ready(self._session, "an operator paused the output")
        return True

    def kick(self) -> None:
        """Something may have become sendable, or the lease is another."""
        if self._session is not None:
            self._fill(self._session)
            self._session.wake()

    def lease_ended(self) -> None:
        """What has not left this machine by now must not leave it later (timing 1)."""
        if self._session is not None:
            self._put_back_ready(self._session, "the lease had run out")

    def reset(self) -> None:
        """Have nothing in flight any more; the stream stays, and what is acknowledged on it still counts."""
        if self._session is not None:
            self._put_back("what was in flight was given up")
            self._session.ready.clear()

    def close(self) -> None:
        """End for good; the stream ends with the reason."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        error = self._owner.ended(self)
        if self._session is not None:
            self._end(self._session, error, "the output was closed")

    def try_out(self, stored: StoredAlarm) -> Trial:
        """Tell a test alarm; it needs no lease. Raises ConnectionError, with the problem in words."""
        session = self._session
        if self._paused_since is not None:
            raise ConnectionError("an operator paused it")
        if session is None:
            raise ConnectionError(self._problem)
        trial = Trial(stored)
        now = self._clock.now()
        session.trials.append(Tell(self._cursors.new_cursor(), 1, b"", 0, now, self._clock.wall(), trial=trial))
        session.wake()
        return trial

    # What the service of the stream does.

    def join(self, session: Session) -> None:
        """A subscriber came: it is the one from now on (rule 1)."""
        if self._session is not None:
            error = HotspareError(
                Reason.STREAM_SUPERSEDED,
                f"a newer stream of the subscription {self.name} took this one's place",
                stream=self.name,
            )
            self._end(self._session, error, "a newer stream took its place")
        self._session = session
        self._proven, self._heard = True, self._clock.now()
        self._become(LinkState.UP, session.peer, "")
        log_event(
            _log, logging.INFO, "feed_opened", subscription=self.name, caller=session.caller, peer=session.peer,
            window=session.window,
        )  # fmt: skip
        self._fill(session)
        session.wake()

    def leave(self, session: Session) -> None:
        """The stream is over, for whatever reason."""
        self._leave(session, f"{session.caller} closed the subscription {self.name}, or was lost")

    def next(self, session: Session) -> FeedMessage | None:
        """What is to be written now, at once and with nothing awaited before (rule 3). None: nothing is.

        Call it when the message before was taken over by gRPC. Raises HotspareError when the stream has to end.
        """
        session.writing = None
        if session.error is not None:
            raise session.error
        state = self._state()
        if state != session.state:
            session.state = state
            return state
        answer = session.answer()
        if answer is not None:
            return answer
        if session.trials:
            return self._tell(session, session.trials.popleft())
        while session.ready:
            tell = session.ready.popleft()
            if self._hand.get(tell.cursor) is not tell:
                # Acknowledged before it was told again.
                continue
            if not self._path.may_write(tell.epoch):
                session.ready.appendleft(tell)
                self._put_back_ready(session, "the lease had run out")
                return None
            session.writing = tell
            return self._tell(session, tell)
        return None

    async def acknowledge(self, session: Session, cursors: Sequence[int]) -> None:
        """The subscriber has alarms durably (rule 5). Waits while it does not read what is answered."""
        session.inbox.extend(cursors)
        if session.keeping is None:
            session.keeping = asyncio.get_running_loop().create_task(self._keep(session), name="feed-keep")
            # It is finished also when the stream is over by then: what was said is a fact.
            self._keeping.add(session.keeping)
            session.keeping.add_done_callback(self._keeping.discard)
        await session.ease()

    # How.

    def _state(self) -> FeedState:
        guard = self._path.guard
        return FeedState(self._path.may_write(guard.epoch), guard.held or guard.highest_epoch)

    def _tell(self, session: Session, tell: Tell) -> Tell:
        tell.began, tell.started = self._clock.now(), self._clock.wall()
        if tell.trial is None:
            self._last_write = tell.began
        else:
            self._hand[tell.cursor] = tell
        return tell

    def _fill(self, session: Session) -> None:
        """Take what the window has room for, and note that it is about to be told (rule 2)."""
        if self._noting is not None or self._retry is not None or self.config.paused or self._closed:
            return
        batch: list[Sending] = []
        while len(batch) < min(BATCH, session.window - len(self._by_number)):
            sending = self._path.take(self.config.name)
            if sending is None:
                break
            told = self._by_number.get(sending.delivered.number)
            if told is not None:
                # It came again, under a later epoch, and the subscriber has it on this very stream.
                told.sending, told.epoch = sending, sending.delivered.epoch
                continue
            batch.append(sending)
        if batch:
            noting = self._note(session, self._path.scope, batch)
            self._noting = asyncio.get_running_loop().create_task(noting, name="feed-note")

    async def _note(self, session: Session, scope: str, batch: Sequence[Sending]) -> None:
        alarms = [_wanted(sending) for sending in batch]
        try:
            told = await self._cursors.tell(self.name, scope, alarms)
        except Exception as error:
            log_event(_log, logging.ERROR, "feed_not_noted", subscription=self.name, alarms=len(batch), error=error)
            told = []
        finally:
            self._noting = None
        if not told or session is not self._session:
            detail = "it could not be noted" if not told else "the stream ended before it was told"
            for sending in reversed(batch):
                self._report(sending, Outcome.NOT_SENT, detail)
            if not told and not self._closed:
                self._retry = asyncio.get_running_loop().call_later(RETRY_DELAY, self._try_again)
        else:
            now, wall = self._clock.now(), self._clock.wall()
            for sending, telling in zip(batch, told, strict=True):
                self._seen.pop(telling.cursor, None)
                if telling.acknowledged:
                    self._report(sending, Outcome.CONFIRMED, f"acknowledged before, with the cursor {telling.cursor}")
                    continue
                delivered = sending.delivered
                tell = Tell(telling.cursor, telling.attempt, delivered.raw, delivered.epoch, now, wall, sending)
                self._hand[tell.cursor] = self._by_number[tell.number] = tell
                session.ready.append(tell)
        self.kick()

    def _try_again(self) -> None:
        self._retry = None
        self.kick()

    async def _keep(self, session: Session) -> None:
        try:
            while session.inbox:
                cursors, session.inbox = session.inbox[:BATCH], session.inbox[BATCH:]
                known = await self._cursors.acknowledge(self.name, cursors)
                await self._acknowledged(session, cursors, known)
        except Exception as error:
            # Not kept, not answered: the subscriber says it again on its next stream.
            session.end(error)
        finally:
            session.keeping = None
            session.eased.set()
            self.kick()
            session.wake()

    async def _acknowledged(self, session: Session, cursors: Iterable[int], known: Mapping[int, KnownCursor]) -> None:
        """What the subscriber has is durable: count it."""
        self._heard = self._clock.now()
        for cursor in cursors:
            tell = self._hand.pop(cursor, None)
            if tell is None and cursor not in known:
                session.unknown.append(cursor)
                continue
            session.kept.append(cursor)
            detail = f"acknowledged by {session.caller} with the cursor {cursor}"
            if tell is None:
                sending = self._seen.pop(cursor, None)
                if sending is not None:
                    # It waits to be told again, or is not here any more: counts where it does.
                    self._report(sending, Outcome.CONFIRMED, detail)
                if not known[cursor].again:
                    await self._owner.late(self, known[cursor])
            elif tell.trial is not None:
                tell.trial.ended(Outcome.CONFIRMED, self._clock.now() - tell.began, b"", detail)
            else:
                assert tell.sending is not None
                del self._by_number[tell.number]
                self._report(tell.sending, Outcome.CONFIRMED, detail, tell)

    def _end(self, session: Session, error: HotspareError, detail: str) -> None:
        session.end(error)
        self._leave(session, detail)

    def _leave(self, session: Session, detail: str) -> None:
        session.eased.set()
        if self._session is not session:
            return
        self._session = None
        self._heard = self._clock.now()
        self._put_back(detail)
        for tell in session.trials:
            if tell.trial is not None:
                tell.trial.not_sent(detail)
        session.trials.clear()
        session.ready.clear()
        if not self._closed:
            self._become(LinkState.DOWN, session.peer, detail)
            log_event(_log, logging.INFO, "feed_closed", subscription=self.name, caller=session.caller, detail=detail)

    def _put_back(self, detail: str) -> None:
        """All that is in flight waits again, in its order."""
        tells, self._hand = tuple(self._hand.values()), {}
        self._by_number.clear()
        for tell in reversed(tells):
            if tell.trial is not None:
                tell.trial.ended(Outcome.UNKNOWN, self._clock.now() - tell.began, b"", detail)
            elif tell.sending is not None:
                self._remember(tell.cursor, tell.sending)
                self._report(tell.sending, Outcome.UNKNOWN if tell.frame else Outcome.NOT_SENT, detail, tell)

    def _put_back_ready(self, session: Session, detail: str) -> None:
        """What is not written yet waits again."""
        while session.ready:
            tell = session.ready.pop()
            if self._hand.get(tell.cursor) is tell and tell.sending is not None:
                del self._hand[tell.cursor], self._by_number[tell.number]
                self._remember(tell.cursor, tell.sending)
                self._report(tell.sending, Outcome.NOT_SENT, detail)

    def _remember(self, cursor: int, sending: Sending) -> None:
        self._seen[cursor] = sending
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _report(self, sending: Sending, outcome: Outcome, detail: str, tell: Tell | None = None) -> None:
        ended = self._clock.wall()
        self._attempts[outcome] += 1
        if outcome is Outcome.CONFIRMED:
            self._last_confirmed = ended
        attempt = AttemptRecord(
            output=self.config.name,
            attempt=sending.attempt,
            started=tell.started if tell is not None else ended,
            ended=ended,
            outcome=outcome,
            frame=tell.frame if tell is not None else b"",
            answer=b"",
            detail=detail,
        )
        self._path.attempted(sending, attempt, "")

    def _become(self, link: LinkState, peer: str, problem: str) -> None:
        self._link, self._peer, self._problem = link, peer, problem
        self._since = self._clock.wall()


def _wanted(sending: Sending) -> Wanted:
    delivered = sending.delivered
    return Wanted(delivered.number, delivered.stored.alarm.alarm_id, delivered.epoch, delivered.replay)
