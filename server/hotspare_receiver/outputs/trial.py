"""A test alarm through one output: what an operator sends to see what comes back."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hotspare_model.alarm import Alarm, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_model.sequence import WIRE_SEQUENCES
from hotspare_receiver.core.forwarder import Outcome

TEST_CODE = "601"
"""Test report, triggered by hand."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of a test alarm."""

    outcome: Outcome
    address: str = ""
    round_trip: timedelta | None = None
    """From the write to the answer, or to the end of the wait for it. None: not known."""
    frame: bytes = b""
    answer: bytes = b""
    detail: str = ""


def _future() -> asyncio.Future[TrialResult]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class Trial:
    """A test alarm that waits for its turn, or for its answer. Who asked may have left."""

    stored: StoredAlarm
    result: asyncio.Future[TrialResult] = field(default_factory=_future)
    frame: bytes = b""
    """What was written. Empty: nothing yet."""
    address: str = ""

    @property
    def awaited(self) -> bool:
        """Whether somebody still waits for the result."""
        return not self.result.done()

    async def within(self, patience: timedelta) -> TrialResult:
        """Wait for the result, and say what is known by then."""
        try:
            return await asyncio.wait_for(self.result, patience.total_seconds())
        except TimeoutError:
            outcome = Outcome.UNKNOWN if self.frame else Outcome.NOT_SENT
            missed = "no answer" if self.frame else "no turn"
            detail = f"it had {missed} within {patience.total_seconds():g} s"
            return TrialResult(outcome, self.address, frame=self.frame, detail=detail)

    def written(self, frame: bytes, address: str) -> None:
        """It goes out."""
        self.frame, self.address = frame, address

    def not_sent(self, detail: str) -> None:
        """It never went out."""
        self._end(TrialResult(Outcome.NOT_SENT, detail=detail))

    def ended(self, outcome: Outcome, seconds: float, answer: bytes, detail: str) -> None:
        """It went out, and this came of it."""
        self._end(TrialResult(outcome, self.address, timedelta(seconds=seconds), self.frame, answer, detail))

    def _end(self, result: TrialResult) -> None:
        if self.awaited:
            self.result.set_result(result)


def make_test_alarm(trial_id: str, account_number: str, output: str, now: datetime) -> StoredAlarm:
    """A test alarm. The cloud does not number it, so its sequence on the wire is that of the second it is sent in."""
    alarm = Alarm(
        alarm_id=trial_id,
        device_id="",
        qualifier=Qualifier.NEW,
        code_format=CodeFormat.CONTACT_ID,
        code=TEST_CODE,
        partition=0,
        zone=0,
        occurred=now,
        text=f"test of the output {output}",
    )
    sequence = 1 + int(now.timestamp()) % WIRE_SEQUENCES
    return StoredAlarm(0, alarm, account_number, sequence, now, (), AlarmPath.SYSTEM)
