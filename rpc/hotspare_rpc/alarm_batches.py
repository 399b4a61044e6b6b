"""The batches of PublishAlarms, as every server of it takes them (alarm_service.proto)."""

from hotspare.v1 import alarm_service_pb2
from hotspare_model.errors import HotspareError, Reason, field_invalid

BATCH_ALARMS = 1000
BATCH_BYTES = 1024 * 1024


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
