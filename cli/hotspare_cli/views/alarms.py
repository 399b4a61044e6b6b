"""Alarms and what became of them, for `alarm`; those that were set aside too."""

from collections.abc import Iterator

from hotspare.v1.alarm_feed_service_pb2 import GetAlarmResponse, ListAlarmsResponse
from hotspare.v1.alarm_pb2 import (
    Alarm,
    AlarmDelivery,
    AlarmMark,
    AlarmPath,
    AlarmRecord,
    AlarmState,
    AttemptOutcome,
    DeliveryAttempt,
    DeliveryEnd,
    Qualifier,
)
from hotspare.v1.alarm_pull_service_pb2 import ListQueueResponse, QueuedAlarm, ReplayAlarmResponse, SetAsideCause
from hotspare_cli.layout import CellLike, Facts, Lines, Part, grid, state
from hotspare_cli.words import NONE, clock, number, phrase, word, words


def alarms_view(response: ListAlarmsResponse) -> Iterator[Part]:
    """The whole answer of `alarm list`."""
    columns = (
        *("NUMBER", "RECEIVED", "DEVICE", "ACCOUNT", "CODE", "PART", "ZONE"),
        *("STATE", "CONFIRMED", "ATTEMPTS", "ALARM ID"),
    )
    yield grid(columns, (_row(alarm) for alarm in response.alarms), empty="no alarms")


def alarm_view(response: GetAlarmResponse) -> Iterator[Part]:
    """The whole answer of `alarm show`: one alarm's life, as far as the receiver that was asked knows it."""
    record = response.alarm
    yield Facts((*_said(record.stored.alarm), *_given(record)))
    if record.delivery_history:
        given = ("NO.", "RECEIVER", "EPOCH", "BEGAN", "ENDED", "END")
        history = (_delivery(delivery) for delivery in record.delivery_history)
        yield grid(given, history, title="Deliveries, as the cloud knows them")
    tried = ("OUTPUT", "NO.", "BEGAN", "ENDED", "OUTCOME", "DETAIL", "WRITTEN", "ANSWER")
    rows = (_attempt(attempt) for attempt in record.attempts)
    yield grid(tried, rows, title="Attempts", empty="none yet")


def rejected_view(response: ListQueueResponse) -> Iterator[Part]:
    """The whole answer of `alarm rejected`: what was set aside, why, and the last exchange on the wire."""
    columns = (
        *("NUMBER", "RECEIVED", "DEVICE", "ACCOUNT", "CODE", "SET ASIDE", "CAUSE", "REASON"),
        *("WRITTEN", "ANSWER", "REPLAYED BY", "ALARM ID"),
    )
    rows = (_rejected(alarm) for alarm in response.alarms)
    yield grid(columns, rows, empty="no alarm is set aside")


def replayed_view(response: ReplayAlarmResponse) -> Iterator[Part]:
    """The whole answer of `alarm replay`."""
    alarm = response.alarm
    what = f"Alarm {alarm.stored.number} of {alarm.stored.alarm.device_id} is in the queue again"
    told = f"hotspare alarm show {alarm.stored.number}, at the receiver that works, tells what comes of it."
    yield Lines((f"{what}; {told}",))


def _rejected(alarm: QueuedAlarm) -> tuple[CellLike, ...]:
    stored = alarm.stored
    return (
        str(stored.number),
        clock(stored.receive_time),
        stored.alarm.device_id,
        stored.account_number,
        _code(stored.alarm),
        clock(alarm.set_aside_time) if alarm.HasField("set_aside_time") else NONE,
        phrase(SetAsideCause.DESCRIPTOR, alarm.cause),
        alarm.reason or NONE,
        _frame(alarm.frame),
        _frame(alarm.answer),
        alarm.replayed_by or NONE,
        stored.alarm.alarm_id,
    )


def _row(record: AlarmRecord) -> tuple[CellLike, ...]:
    stored = record.stored
    return (
        str(stored.number),
        clock(stored.receive_time),
        stored.alarm.device_id,
        stored.account_number,
        _code(stored.alarm),
        str(stored.alarm.partition),
        str(stored.alarm.zone),
        state(word(AlarmState.DESCRIPTOR, record.state)),
        clock(record.confirm_time) if record.HasField("confirm_time") else NONE,
        number(record.attempt_count),
        stored.alarm.alarm_id,
    )


def _said(alarm: Alarm) -> Iterator[tuple[str, CellLike]]:
    yield "Alarm id", alarm.alarm_id
    yield "Device", alarm.device_id
    yield "Code", f"{_code(alarm)} ({word(Qualifier.DESCRIPTOR, alarm.qualifier or Qualifier.QUALIFIER_NEW)})"
    yield "Partition", str(alarm.partition)
    yield "Zone or user", str(alarm.zone)
    yield "Occurred", clock(alarm.occur_time) if alarm.HasField("occur_time") else "not told"
    if alarm.text:
        yield "Text", alarm.text
    if alarm.verification_url:
        yield "Verification", alarm.verification_url
    if alarm.HasField("latitude") and alarm.HasField("longitude"):
        yield "Position", f"{alarm.latitude:.6f}, {alarm.longitude:.6f}"


def _given(record: AlarmRecord) -> Iterator[tuple[str, CellLike]]:
    stored = record.stored
    yield "Number", str(stored.number)
    yield "Account number", f"{stored.account_number}, its alarm {stored.account_sequence}"
    yield "Received", clock(stored.receive_time)
    yield "Path", word(AlarmPath.DESCRIPTOR, stored.path or AlarmPath.ALARM_PATH_CLOUD)
    yield "Marks", words(AlarmMark.DESCRIPTOR, stored.marks)
    yield "State", state(word(AlarmState.DESCRIPTOR, record.state))
    if record.forwarded_code:
        yield "Forwarded as", record.forwarded_code
    yield "Receiver", f"{record.receiver_id or NONE}, under epoch {number(record.epoch)}"
    yield "Deliveries", number(record.deliveries)
    yield "Delivered", clock(record.deliver_time) if record.HasField("deliver_time") else NONE
    yield "Confirmed", clock(record.confirm_time) if record.HasField("confirm_time") else "not yet"
    yield (
        "Known at the cloud",
        clock(record.acknowledge_time) if record.HasField("acknowledge_time") else "not yet",
    )
    if record.last_problem:
        yield "Last problem", record.last_problem


def _delivery(delivery: AlarmDelivery) -> tuple[CellLike, ...]:
    return (
        str(delivery.attempt),
        delivery.receiver_id,
        number(delivery.epoch),
        clock(delivery.deliver_time) if delivery.HasField("deliver_time") else NONE,
        clock(delivery.end_time) if delivery.HasField("end_time") else NONE,
        state(word(DeliveryEnd.DESCRIPTOR, delivery.end)),
    )


def _attempt(attempt: DeliveryAttempt) -> tuple[CellLike, ...]:
    return (
        attempt.output,
        str(attempt.attempt),
        clock(attempt.start_time) if attempt.HasField("start_time") else NONE,
        clock(attempt.end_time) if attempt.HasField("end_time") else NONE,
        state(word(AttemptOutcome.DESCRIPTOR, attempt.outcome)),
        attempt.detail or NONE,
        _frame(attempt.frame),
        _frame(attempt.answer),
    )


# Contact ID writes the qualifier before the code; a SIA code has it in its letters.
_Q = {Qualifier.QUALIFIER_NEW: "1", Qualifier.QUALIFIER_RESTORE: "3", Qualifier.QUALIFIER_STATUS: "6"}


def _code(alarm: Alarm) -> str:
    return f"{_Q.get(alarm.qualifier, '1')}{alarm.code}" if len(alarm.code) == 3 else alarm.code


def _frame(raw: bytes) -> str:
    """Bytes of the wire, those beyond ASCII escaped; the line ends of frames are left out."""
    return raw.decode("ascii", errors="backslashreplace").strip("\r\n") or NONE
