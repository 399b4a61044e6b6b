"""The outputs' second source: direct alarms that an isolated host forwards itself, without a lease (D4).

A forwarder of its own, with the rules of the first one (order of a device, attempts, required outputs), beside it on
the same links. Nothing of it is ever sent once the cloud is back: what has not been confirmed goes to the cloud then,
and the working receiver has it from there.

In memory and in the journal its alarms have negative numbers, which grow as those of the cloud do, and the epoch 0: no
alarm of the cloud has either.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from hotspare_receiver.core.forwarder import Delivered, Forwarder, Outcome, Sending
from hotspare_receiver.core.group_view import GroupView
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.journal import Journal

ISOLATED_EPOCH = 0
_FIRST_NUMBER = -(2**62)
_OVER = -1
"""An epoch that no alarm has: beginning it drops all that is not in flight."""


def journal_scope(scope: str) -> str:
    """Names the isolated host's alarms of a group in the journal: their numbers are others than the cloud's."""
    return f"{scope}#direct"


def line_number(kept: int) -> int:
    """The number here of an alarm that the store numbered `kept`."""
    return _FIRST_NUMBER + kept


def kept_number(number: int) -> int:
    """The inverse of `line_number`."""
    return number - _FIRST_NUMBER


class DirectLine:
    """Decides what each output sends of these alarms. All calls are made in one event loop."""

    def __init__(
        self,
        journal: Journal,
        may_write: Callable[[], bool],
        now: Callable[[], float],
        on_confirmed: Callable[[Delivered, AttemptRecord | None], None],
    ) -> None:
        """`may_write`: whether this host is cut off and may forward at this moment. `now`: monotonic seconds.

        `on_confirmed`: the ARC has an alarm; the attempt is the last one that it needed, or None where the only output
        that had not confirmed it has gone.
        """
        self._journal = journal
        self._may_write = may_write
        self._now = now
        self._on_confirmed = on_confirmed
        self._forwarder = Forwarder()
        self._forwarder.begin(_OVER)
        self._flying: set[tuple[str, int]] = set()
        self._kick: Callable[[], None] = lambda: None
        self._group: Callable[[], GroupView] | None = None
        self.scope = ""

    def bind(self, kick: Callable[[], None], group: Callable[[], GroupView]) -> None:
        """`kick` has the outputs ask again; `group` tells which alarms are not to be sent at all."""
        self._kick, self._group = kick, group

    # What the isolated host does.

    def begin(self, scope: str) -> None:
        """Alarms of this group are forwarded from now on."""
        self.scope = scope
        self._forwarder.begin(ISOLATED_EPOCH)

    def deliver(self, alarms: Iterable[Delivered]) -> None:
        """Forward alarms, in this order."""
        group = self._group() if self._group is not None else None
        sent = [delivered for delivered in alarms if group is None or not group.withheld(delivered)]
        new = self._forwarder.deliver(sent, (), self._now()).new
        if new:
            self._journal.note_delivered(journal_scope(self.scope), new)
            self._kick()

    def end(self) -> None:
        """Forward nothing more. What is in flight lands, and may yet be confirmed."""
        self._forwarder.begin(_OVER)

    def is_flying(self, number: int) -> bool:
        """Whether an alarm is in flight at any output."""
        return any(flying == number for _, flying in self._flying)

    # What the outputs do; see sender.Source.

    def set_outputs(self, required: Mapping[str, bool], streams: Collection[str] = ()) -> None:
        """Have these outputs, by name, required or not; `streams` may have several in flight."""
        self._flying = {(output, number) for output, number in self._flying if output in required}
        for delivered in self._forwarder.set_outputs(required, streams):
            self._confirm(delivered, None)

    def take(self, output: str) -> Sending | None:
        """What goes to an output next."""
        if not self._may_write():
            return None
        sending = self._forwarder.take(output, self._now())
        if sending is not None:
            self._flying.add((output, sending.delivered.number))
        return sending

    def due(self, output: str) -> float | None:
        """When something gets due there."""
        return self._forwarder.due(output) if self._may_write() else None

    def may_write(self) -> bool:
        """Whether one of these alarms may be written at this moment."""
        return self._may_write()

    def attempted(self, sending: Sending, attempt: AttemptRecord, forwarded_code: str, set_aside_after: int) -> None:
        """What came of an attempt."""
        delivered = sending.delivered
        self._flying.discard((attempt.output, delivered.number))
        self._journal.note_attempt(journal_scope(self.scope), delivered, attempt, forwarded_code)
        self._forwarder.set_aside_after = set_aside_after
        confirmed = self._forwarder.finished(attempt.output, delivered, attempt.outcome, self._now())
        if confirmed is not None:
            self._confirm(confirmed, attempt)
        elif attempt.outcome is Outcome.REFUSED:
            # Refused too often: its device goes on, and the cloud's line has it later (A5).
            self._forwarder.set_aside(delivered.number)

    def waiting_for(self, output: str) -> int:
        """How many of these alarms wait for an output."""
        return self._forwarder.waiting_for(output)

    def _confirm(self, delivered: Delivered, attempt: AttemptRecord | None) -> None:
        self._journal.confirm(journal_scope(self.scope), (delivered,))
        self._on_confirmed(delivered, attempt)
