"""The guards of what is set aside (A5), broken on purpose; see `mutants`."""

from dataclasses import replace
from typing import Any

from hotspare_cloud.core.window import Window
from hotspare_receiver.core.forwarder import Outcome, Rejection, Sending
from hotspare_receiver.core.lane import Lane
from hotspare_receiver.history import AttemptRecord
from hotspare_receiver.refusals import Refusals
from hotspare_receiver.work import Work

Patch = tuple[Any, str, Any]


def set_aside_at_the_first_refusal() -> list[Patch]:
    """An alarm that is refused once is given up."""
    return [(Lane, "refused", lambda self: 1_000)]


def a_clock_problem_is_a_refusal() -> list[Patch]:
    """A NAK of a frame's time is taken for a refusal of what it says."""
    real = Work.attempted

    def attempted(self: Work, sending: Sending, attempt: AttemptRecord, forwarded_code: str) -> None:
        if attempt.outcome is Outcome.CLOCK_REFUSED:
            attempt = replace(attempt, outcome=Outcome.REFUSED)
        real(self, sending, attempt, forwarded_code)

    return [(Work, "attempted", attempted)]


def a_rejected_alarm_is_passed_at_once() -> list[Patch]:
    """Later alarms of its device do not wait until the cloud has set it aside."""
    real = Refusals.refuse

    def refuse(self: Refusals, rejection: Rejection, attempt: AttemptRecord) -> None:
        real(self, rejection, attempt)
        self._forwarder.set_aside(rejection.delivered.number)

    return [(Refusals, "refuse", refuse)]


def put_back_without_regard_to_holds() -> list[Patch]:
    """What an operator puts back goes out, whoever may still be writing it."""
    return [(Window, "recall", lambda *_, **__: None)]


def what_is_put_back_is_not_looked_for() -> list[Patch]:
    """The cursor that has passed it stays where it is."""
    return [(Window, "replayed", lambda *_: None)]
