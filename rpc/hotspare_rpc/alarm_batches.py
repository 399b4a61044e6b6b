"""The batches of PublishAlarms, as every server of it takes them (alarm_service.proto)."""

import time
from collections.abc import Callable, Iterable

from hotspare.v1 import alarm_service_pb2
from hotspare_model.errors import HotspareError, Reason, field_invalid

BATCH_ALARMS = 1000
BATCH_BYTES = 1024 * 1024

GIVEN_UP_AFTER = 10.0
"""Seconds after which a caller that has all its answers seems to have dropped the alarm that was refused for now."""


def check_batch(
    request: alarm_service_pb2.PublishAlarmsRequest, expected: int, *, unanswered: int, window: int
) -> None:
    """Check the number and the size of a batch; `unanswered` batches before it are under way, of at most `window`.

    Raises:
        HotspareError: STREAM_PROTOCOL, FIELD_INVALID.
    """
    if request.batch != expected or unanswered >= window:
        raise HotspareError(
            Reason.STREAM_PROTOCOL,
            f"expected batch {expected}, and at most {window} unanswered",
            expected=f"batch {expected}",
        )
    if not 1 <= len(request.submissions) <= BATCH_ALARMS:
        raise field_invalid("submissions", f"must be 1 to {BATCH_ALARMS} alarms")
    if request.ByteSize() > BATCH_BYTES:
        raise field_invalid("submissions", f"must be at most {BATCH_BYTES} bytes in all")


class Refusing:
    """What a stream does after an alarm that was refused for now: later ones are refused as well, for they must not
    pass it (A3), until the caller comes back to it. Some of them may be on their way when the answer is sent, for as
    long as the line is slow, so an answered stream alone says nothing."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.error: HotspareError | None = None
        """What comes now is refused with it; None: it is taken."""
        self._now = now
        self._alarm_id = ""
        self._since = 0.0

    def begin(self, alarm_id: str, error: HotspareError) -> None:
        """That alarm, the first of its batch that was not taken, was refused for now."""
        if self.error is None:
            self.error, self._alarm_id, self._since = error, alarm_id, self._now()

    def look(self, alarm_ids: Iterable[str], *, alone: bool) -> None:
        """A batch with these alarms is next; `alone`: every batch before it was answered."""
        if self.error is None:
            return
        given_up = alone and self._now() - self._since >= GIVEN_UP_AFTER
        if given_up or any(alarm_id == self._alarm_id for alarm_id in alarm_ids):
            self.error = None
