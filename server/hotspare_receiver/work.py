"""The work of a receiver: it holds the lease, takes alarms, gives them to the outputs, and gives the work
back.

All decisions are the guard's and the forwarder's; here they meet the outputs, the journal and the two
streams. Nothing in this file waits: it runs in the callbacks of one event loop, step by step.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf, isfinite

from hotspare_model.group import GroupSettings
from hotspare_model.lease import WRITE_DELAY
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.forwarder import Delivered, Forwarder, Outcome, Progress, Sending
from hotspare_receiver.core.group_view import GroupView
from hotspare_receiver.core.health import OutputFacts
from hotspare_receiver.core.lease import (
    Change,
    CloudState,
    Draining,
    Lapsed,
    LeaseGuard,
    Over,
    Renewed,
    Resumed,
    TookOver,
)
from hotspare_receiver.direct.line import ISOLATED_EPOCH, DirectLine
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.journal import Journal, Range, Refusal, Unstored
from hotspare_receiver.outputs.making import AnyOutput, OutputMaker
from hotspare_receiver.outputs.sender import Output
from hotspare_receiver.refusals import Refusals
from hotspare_receiver.snapshot import OutputConfig, OutputSnapshot, PathCounters
from hotspare_receiver.withholding import Withholding
from hotspare_rpc.logs import log_event

_log = logging.getLogger(__name__)


class Work:
    """Guard, forwarder and outputs as one."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        on_levels: Callable[[], None],
        on_confirmed: Callable[[Sequence[Unstored]], None],
        on_resumed: Callable[[], None],
        on_refused: Callable[[Refusal], None],
        make_output: OutputMaker = Output,
        direct: DirectLine | None = None,
        copy_counts: Callable[[], bool] = lambda: True,
    ) -> None:
        """`on_levels`: what beats and the pull go by has changed. `on_confirmed`: tell the cloud of these.

        `on_resumed`: what was given back has to be delivered anew. `on_refused`: tell the cloud of it (A5). `direct`:
        what an isolated host has to forward beside (D4).
        """
        self._journal = journal
        self._clock = clock
        self._on_levels = on_levels
        self._on_confirmed = on_confirmed
        self._on_resumed = on_resumed
        self._make_output = make_output
        self._direct = direct
        self._clock_problems: dict[str, str] = {}
        self._guard = LeaseGuard()
        self._forwarder = Forwarder()
        self._refusals = Refusals(self._forwarder, on_refused)
        self._outputs: dict[str, AnyOutput] = {}
        self._refused = 0
        self._lease_timer: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._settle_timer: asyncio.TimerHandle | None = None
        self._unsure_until = -inf
        """Until then something that was written, and got no answer, may still reach the ARC."""
        self._settings = GroupSettings()
        self._withholding = Withholding(
            self._forwarder,
            journal,
            decides=lambda: self._guard.may_write(self._guard.epoch, clock.now()),
            copy_counts=copy_counts,
            on_withheld=lambda alarms: self._count(not_forwarded=alarms),
        )
        self.scope = ""
        self.counters = PathCounters()
        journal.listen(self._durable)
        if direct is not None:
            direct.bind(self._kick, lambda: self._withholding.certain)

    # What can be seen.

    @property
    def guard(self) -> LeaseGuard:
        """The lease guard as it is."""
        return self._guard

    @property
    def settings(self) -> GroupSettings:
        """The settings of the group."""
        return self._settings

    @settings.setter
    def settings(self, settings: GroupSettings) -> None:
        self._settings = settings
        # An alarm that comes again is counted on from what it had (A5): that needs the limit before any attempt.
        self._forwarder.set_aside_after = settings.set_aside_after

    @property
    def group(self) -> GroupView:
        """What the group's configuration says about alarms."""
        return self._withholding.group

    @property
    def has_required_output(self) -> bool:
        """Whether anything could be confirmed (A4)."""
        return self._forwarder.has_required_output

    def progress(self) -> Progress:
        """How far it is."""
        return self._forwarder.progress(self._clock.now())

    @property
    def answered(self) -> int:
        """Answers of the ARC to alarms since the start: confirmed, or refused in so many words."""
        return self._forwarder.confirmed + self._refused

    @property
    def pressing(self) -> bool:
        """Whether an alarm waits for the ARC to answer at all."""
        return self._forwarder.pressing

    def required_outputs(self) -> tuple[OutputFacts, ...]:
        """What the health of the outputs is judged by, of the required ones."""
        patience = self.settings.unhealthy_after.total_seconds()
        return tuple(output.facts(patience) for output in self._outputs.values() if output.config.required)

    def outputs(self) -> tuple[OutputSnapshot, ...]:
        """How the outputs are, by name."""
        return tuple(self._outputs[name].snapshot() for name in sorted(self._outputs))

    def output(self, name: str) -> AnyOutput:
        """One of the outputs. Raises KeyError."""
        return self._outputs[name]

    def unstored(self) -> Sequence[Unstored]:
        """The confirmations that the cloud has to be told."""
        return tuple(self._journal.unstored(self.scope).values())

    def refusals(self) -> Sequence[Refusal]:
        """What outputs refused too often, and the cloud has not set aside yet."""
        return self._refusals.pending()

    @property
    def clock_problems(self) -> Mapping[str, str]:
        """Outputs whose ARC refused the time of what was sent last, and in which words."""
        return self._clock_problems

    # What the cloud does.

    def belong_to(self, scope: str) -> None:
        """Work for this group from now on. In another group nothing of the old one means anything."""
        if scope == self.scope:
            self._step(self._guard.attending_again(self._clock.now()))
            return
        self.fence()
        self.scope = scope
        highest = self._journal.highest_epoch(scope)
        self._guard = LeaseGuard(beats=self._guard.beats, highest_epoch=highest)

    def next_beat(self) -> LeaseGuard:
        """Count one more beat, which is sent at once."""
        self._guard = self._guard.beat(self._clock.now())
        return self._guard

    def heard(self, state: CloudState) -> None:
        """The cloud's state arrived."""
        self._step(self._guard.heard(state, self._clock.now()))
        if self._withholding.doubted:
            self._reconsider()

    def recall(self, refusals: Mapping[int, Mapping[str, int]]) -> None:
        """Of alarms that come next: how often outputs refused them in an earlier process, by number."""
        self._forwarder.recall(refusals)

    def deliver(self, alarms: Sequence[Delivered], known: set[int]) -> None:
        """Take alarms; `known` are those that the journal knows as confirmed."""
        if self._guard.draining or self._guard.held == 0:
            # Given back unseen: the cloud still has them (F5).
            return
        withheld = self._withholding.reasons(alarms)
        taken = self._forwarder.deliver(alarms, known, self._clock.now(), withheld)
        fresh = (*taken.new, *taken.again, *taken.withheld)
        if not fresh:
            return
        self._journal.note_delivered(self.scope, fresh)
        self._count(
            delivered=len(fresh),
            redelivered=sum(delivered.attempt > 1 for delivered in fresh),
            confirmed_again=len(taken.again),
        )
        if taken.again:
            self._journal.confirm(self.scope, taken.again)
        self._withholding.confirm(self.scope, taken.withheld, withheld)
        self._kick()

    def withdraw(self, number: int) -> None:
        """Another has confirmed this alarm."""
        if self._forwarder.withdraw(number):
            self._count(withdrawn=1)
            self._settle()

    def stored(self, epoch: int, ranges: Iterable[Range], never_delivered: Sequence[Range]) -> None:
        """The cloud has these confirmations durably, or dropped them."""
        self._journal.stored(self.scope, epoch, ranges)
        if never_delivered:
            dropped = self._journal.stored(
                self.scope, epoch, never_delivered, "the cloud never delivered it to this receiver"
            )
            self._count(never_delivered=dropped)
            log_event(_log, logging.ERROR, "confirmation_dropped", epoch=epoch, alarms=dropped)
        self._set_aside(epoch, ranges)
        self._settle()

    # What the operator does.

    def follow_group(self, group: GroupView) -> None:
        """Go by what the configuration says now, also for what waits and has not been begun."""
        self._withholding.group = group
        self._reconsider()

    def set_outputs(self, configs: Sequence[OutputConfig]) -> None:
        """Have exactly these outputs; one whose link stays the same keeps it."""
        wanted = {config.name: config for config in configs}
        for name, output in tuple(self._outputs.items()):
            config = wanted.get(name)
            if config is None or not output.changed(config):
                output.close()
                del self._outputs[name]
        self._clock_problems = {name: detail for name, detail in self._clock_problems.items() if name in wanted}
        for name, config in wanted.items():
            if name not in self._outputs:
                self._outputs[name] = self._make_output(config, self, self._clock)
        required = {config.name: config.required for config in configs}
        streams = {config.name for config in configs if config.stream is not None}
        self._confirm(self._forwarder.set_outputs(required, streams))
        if self._direct is not None:
            self._direct.set_outputs(required, streams)
        for output in self._outputs.values():
            output.open()
        self._kick()
        self._on_levels()

    def stop_working(self) -> None:
        """Give back whatever is held, in order (F5)."""
        self._step(self._guard.stop(self._clock.now()))

    def fence(self) -> None:
        """Write nothing from this call on, and throw away what has not left this machine."""
        self._step(self._guard.fence(self._clock.now()))
        for output in self._outputs.values():
            output.reset()

    def close(self) -> None:
        """Fence, close the outputs, and stop all timers."""
        self.fence()
        for output in self._outputs.values():
            output.close()
        for timer in (self._lease_timer, self._drain_timer, self._settle_timer):
            if timer is not None:
                timer.cancel()

    # What the outputs do (Source).

    def take(self, output: str) -> Sending | None:
        """What goes to an output next: what the cloud gave, else what an isolated host took itself (D4)."""
        sending = None
        if self._guard.may_write(self._guard.epoch, self._clock.now()):
            sending = self._forwarder.take(output, self._clock.now())
        return sending if sending is not None or self._direct is None else self._direct.take(output)

    def due(self, output: str) -> float | None:
        """When something gets due there. Without a lease nothing of the cloud's does: its renewal asks anew."""
        due = None
        if self._guard.may_write(self._guard.epoch, self._clock.now()):
            due = self._forwarder.due(output)
        direct = self._direct.due(output) if self._direct is not None else None
        return min((each for each in (due, direct) if each is not None), default=None)

    def may_write(self, epoch: int) -> bool:
        """Whether an alarm of this epoch may be written at this moment."""
        if epoch == ISOLATED_EPOCH:
            return self._direct is not None and self._direct.may_write()
        return self._guard.may_write(epoch, self._clock.now())

    def attempted(self, sending: Sending, attempt: AttemptRecord, forwarded_code: str) -> None:
        """What came of an attempt."""
        delivered = sending.delivered
        if delivered.epoch == ISOLATED_EPOCH and self._direct is not None:
            self._note_clock(attempt)
            self._direct.attempted(sending, attempt, forwarded_code, self.settings.set_aside_after)
            return
        self._journal.note_attempt(self.scope, delivered, attempt, forwarded_code)
        self._refused += attempt.outcome is Outcome.REFUSED
        self._note_clock(attempt)
        output = self._outputs.get(attempt.output)
        if attempt.outcome is Outcome.UNKNOWN and output is not None:
            self._unsure_until = max(self._unsure_until, output.last_write + WRITE_DELAY.total_seconds())
        confirmed = self._forwarder.finished(attempt.output, delivered, attempt.outcome, self._clock.now())
        if confirmed is not None:
            self._confirm((confirmed,))
        rejection = self._forwarder.rejection(delivered.number)
        if attempt.outcome is Outcome.REFUSED and rejection is not None and rejection.output == attempt.output:
            self._refusals.refuse(rejection, attempt)
        elif attempt.outcome is not Outcome.CONFIRMED and self._withholding.withhold(self.scope, (delivered,)):
            # The configuration changed while it was in flight. Its device goes on once all answers are read.
            asyncio.get_running_loop().call_soon(self._kick)
        self._settle()

    def waiting_for(self, output: str) -> int:
        """How many alarms wait for an output."""
        direct = self._direct.waiting_for(output) if self._direct is not None else 0
        return self._forwarder.waiting_for(output) + direct

    # How.

    def _step(self, step: tuple[LeaseGuard, tuple[Change, ...]]) -> None:
        self._guard, changes = step
        for change in changes:
            self._follow(change)
        self._watch_lease()
        if changes:
            self._kick()
            self._on_levels()
            self._settle()

    def _follow(self, change: Change) -> None:
        waiting = self._forwarder.progress(self._clock.now()).waiting
        match change:
            case TookOver(epoch):
                log_event(_log, logging.WARNING, "work_begins", epoch=epoch)
                self._journal.note_epoch(self.scope, epoch)
                self._forwarder.begin(epoch)
            case Over(epoch):
                log_event(_log, logging.WARNING, "work_over", epoch=epoch, unconfirmed=waiting)
                self._end_drain()
                self._forwarder.begin(0)
                self._lease_ended()
            case Lapsed(epoch):
                log_event(_log, logging.WARNING, "lease_ran_out", epoch=epoch, unconfirmed=waiting)
                self._lease_ended()
            case Renewed(epoch):
                log_event(_log, logging.WARNING, "lease_renewed", epoch=epoch)
            case Draining(epoch, to):
                given_back = self._forwarder.give_back()
                log_event(_log, logging.WARNING, "work_given_back", epoch=epoch, to=to, unsent=given_back)
                seconds = self.settings.drain_timeout.total_seconds()
                self._drain_timer = asyncio.get_running_loop().call_later(seconds, self._drain_overdue)
            case Resumed(epoch):
                log_event(_log, logging.WARNING, "work_goes_on", epoch=epoch)
                self._end_drain()
                self._forwarder.begin(epoch)
                self._on_resumed()

    def _reconsider(self) -> None:
        """What waits may not be to be sent any more."""
        if self._withholding.reconsider(self.scope):
            self._kick()
            self._settle()

    def _lease_ended(self) -> None:
        for output in self._outputs.values():
            output.lease_ended()

    def _watch_lease(self) -> None:
        if self._lease_timer is not None:
            self._lease_timer.cancel()
            self._lease_timer = None
        if self._guard.held and not self._guard.lapsed and isfinite(self._guard.valid_until):
            left = max(0.0, self._guard.valid_until - self._clock.now())
            self._lease_timer = asyncio.get_running_loop().call_later(left, self._lease_due)

    def _lease_due(self) -> None:
        self._step(self._guard.tick(self._clock.now()))

    def _kick(self) -> None:
        for output in self._outputs.values():
            output.kick()

    def _confirm(self, confirmed: Iterable[Delivered]) -> None:
        confirmed = tuple(confirmed)
        if confirmed:
            self._count(confirmed=len(confirmed))
            self._journal.confirm(self.scope, confirmed)

    def _set_aside(self, epoch: int, ranges: Iterable[Range]) -> None:
        """Of what the cloud has stored: what was refused is set aside."""
        for delivered in self._refusals.stored(epoch, ranges):
            self._journal.note_set_aside(self.scope, delivered)
            self._count(set_aside=1)
            self._kick()

    def _note_clock(self, attempt: AttemptRecord) -> None:
        """A NAK is no refusal: it tells that a clock is wrong, until an answer says otherwise."""
        if attempt.outcome is Outcome.CLOCK_REFUSED:
            self._clock_problems[attempt.output] = attempt.detail
        elif attempt.outcome in (Outcome.CONFIRMED, Outcome.REFUSED):
            self._clock_problems.pop(attempt.output, None)

    def _durable(self, scope: str, confirmations: Sequence[Unstored]) -> None:
        if scope == self.scope:
            self._on_confirmed(confirmations)

    def _settle(self) -> None:
        """Release the epoch once nothing is left to do under it (timing 5), also one that is over already."""
        if self._guard.held and not self._guard.draining:
            return
        # What was in flight and refused has not been begun after all.
        self._forwarder.give_back()
        given_up = self._forwarder.give_up(self._hopeless())
        if given_up:
            log_event(_log, logging.WARNING, "unanswered_given_back", epoch=self._guard.held, alarms=given_up)
        if not self._forwarder.drained:
            return
        if self._journal.unwritten_confirmations or self._journal.unstored(self.scope):
            return
        unsure = self._unsure_until - self._clock.now()
        if unsure > 0:
            # Released now, the next one could write the same alarm before it (timing: X).
            self._settle_after(unsure)
            return
        if not self._guard.held:
            released = self._guard.released_through
            self._guard, _ = self._guard.settle(self._clock.now())
            if self._guard.released_through != released:
                self._on_levels()
            return
        log_event(_log, logging.WARNING, "work_released", epoch=self._guard.held)
        self._step(self._guard.release(self._clock.now()))

    def _settle_after(self, seconds: float) -> None:
        if self._settle_timer is not None:
            self._settle_timer.cancel()
        self._settle_timer = asyncio.get_running_loop().call_later(seconds, self._settle)

    def _hopeless(self) -> set[str]:
        """Outputs that have shown nothing for so long that an answer from there is not worth `drain_timeout` (F5)."""
        now, patience = self._clock.now(), self.settings.unhealthy_after.total_seconds()
        facts = self.required_outputs()
        return {each.name for each in facts if each.bad_since is not None and now - each.bad_since >= patience}

    def _drain_overdue(self) -> None:
        """What has had no answer by now may be sent twice (F5); nothing of it may go out any more."""
        self._drain_timer = None
        waiting = self._forwarder.progress(self._clock.now()).waiting
        log_event(_log, logging.WARNING, "drain_overdue", epoch=self._guard.held, unanswered=waiting)
        for output in self._outputs.values():
            output.reset()
        self._forwarder.begin(0)
        self._settle()

    def _end_drain(self) -> None:
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None

    def _count(self, **more: int) -> None:
        counted = {name: getattr(self.counters, name) + count for name, count in more.items()}
        self.counters = replace(self.counters, **counted)
