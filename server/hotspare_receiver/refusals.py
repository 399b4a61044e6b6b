"""What outputs of this receiver refused too often, until the cloud has set it aside (A5)."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from hotspare_receiver.core.forwarder import Delivered, Forwarder, Rejection
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.journal import Range, Refusal
from hotspare_rpc.logs import log_event

_log = logging.getLogger(__name__)


class Refusals:
    """The refusals that the cloud is to be told; those that the forwarder has forgotten count no more."""

    def __init__(self, forwarder: Forwarder, on_refused: Callable[[Refusal], None]) -> None:
        """`on_refused`: tell the cloud of it."""
        self._forwarder = forwarder
        self._on_refused = on_refused
        self._refusals: dict[int, Refusal] = {}

    def pending(self) -> Sequence[Refusal]:
        """What the cloud has not set aside yet."""
        self._refusals = {
            number: refusal
            for number, refusal in self._refusals.items()
            if (rejection := self._forwarder.rejection(number)) and rejection.delivered is refusal.delivered
        }
        return tuple(self._refusals.values())

    def refuse(self, rejection: Rejection, attempt: AttemptRecord) -> None:
        """Have the cloud set an alarm aside, with the last exchange."""
        refusal = Refusal(
            rejection.delivered, rejection.output, attempt.detail, attempt.frame, attempt.answer, rejection.refusals
        )
        self._refusals[rejection.delivered.number] = refusal
        log_event(
            _log, logging.WARNING, "alarm_rejected", number=rejection.delivered.number, output=rejection.output,
            refusals=rejection.refusals, problem=attempt.detail,
        )  # fmt: skip
        self._on_refused(refusal)

    def stored(self, epoch: int, ranges: Iterable[Range]) -> Iterator[Delivered]:
        """Of what the cloud has stored: what was refused is set aside now, and its devices go on (A3)."""
        if not self._refusals:
            return
        ranges = tuple(ranges)
        for refusal in self.pending():
            delivered = refusal.delivered
            within = any(first <= delivered.number <= last for first, last in ranges)
            if within and delivered.epoch == epoch and self._forwarder.set_aside(delivered.number):
                del self._refusals[delivered.number]
                yield delivered
