"""Settings that are spans or bounds, as messages: the time window of DC-09 frames, and how long the history is kept."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from hotspare.v1 import receiver_service_pb2, record_pb2
from hotspare_model.errors import field_invalid
from hotspare_model.retention import LEAST_AGE, LEAST_BYTES, MOST_AGE, MOST_BYTES
from hotspare_receiver.store.settings import DC09_FUTURE, DC09_PAST, Dc09Window
from hotspare_rpc.dc09_access import check_window
from hotspare_rpc.wire import duration_from_proto, duration_to_proto, seconds_to_proto


def window_from_proto(message: receiver_service_pb2.ReceiverSettings) -> Dc09Window:
    """The time window that an update names; what is unset has its default. Raises HotspareError FIELD_INVALID."""
    if not message.HasField("dc09_time_window"):
        return Dc09Window()
    told = message.dc09_time_window
    check_window("dc09_time_window", told)
    return Dc09Window(
        past=_seconds(told.past) if told.HasField("past") else DC09_PAST,
        future=_seconds(told.future) if told.HasField("future") else DC09_FUTURE,
        off=told.off,
    )


def window_to_proto(window: Dc09Window) -> record_pb2.Dc09TimeWindow:
    """The message of a time window, with all its parts."""
    return record_pb2.Dc09TimeWindow(
        off=window.off, past=seconds_to_proto(window.past), future=seconds_to_proto(window.future)
    )


def history_age_from_proto(message: receiver_service_pb2.ReceiverSettings) -> int:
    """Seconds for which the history is kept; 0: the default. Raises HotspareError FIELD_INVALID."""
    if not message.HasField("history_max_age"):
        return 0
    span = duration_from_proto(message.history_max_age)
    if span is None or (span and not LEAST_AGE <= span <= MOST_AGE):
        raise field_invalid("history_max_age", "must be 1 day to 10 years, or unset for the default")
    return round(span.total_seconds())


def history_bytes_from_proto(message: receiver_service_pb2.ReceiverSettings) -> int:
    """Bytes up to which the history is kept; 0: the default. Raises HotspareError FIELD_INVALID."""
    asked = message.history_max_bytes
    if asked and not LEAST_BYTES <= asked <= MOST_BYTES:
        raise field_invalid("history_max_bytes", "must be 10 MB to 10 TB, or 0 for the default")
    return asked


def history_age_to_proto(span: timedelta) -> Duration:
    """The message of the age up to which the history is kept."""
    return duration_to_proto(span)


def _seconds(checked: Duration) -> float:
    span = duration_from_proto(checked)
    assert span is not None
    return span.total_seconds()
