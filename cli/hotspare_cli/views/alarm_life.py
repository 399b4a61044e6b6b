"""The whole life of one alarm, for `alarm show`: as the receiver that was asked has it, and as the cloud does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1.alarm_feed_service_pb2 import GetAlarmResponse
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
    StoredAlarm,
)
from hotspare.v1.alarm_pull_service_pb2 import GetQueuedAlarmResponse, QueuedAlarm, SetAsideCause
from hotspare_cli.layout import CellLike, Facts, Lines, Part, grid, state
from hotspare_cli.words import NONE, clock, number, phrase, time, word, words

HERE, CLOUD, DEVICE = "receiver", "cloud", "device"

ELSEWHERE = (
    "This receiver never had it, or no longer has it in its history.",
    "Each attempt, with what was written and answered, is told by the receiver that had it: its id stands above.",
)


@dataclass(frozen=True)
class Life:
    """What was found. At least one of `own` and `queued` is there.

    `problem`: why the cloud tells nothing of it, in words.
    """

    own: AlarmRecord | None = None
    queued: GetQueuedAlarmResponse | None = None
    problem: str = ""

    def response(self) -> GetAlarmResponse:
        """All of it in the one form that scripts get: the receiver's record, or else one made of what the cloud has."""
        record = AlarmRecord()
        if self.own is not None:
            record.CopyFrom(self.own)
        elif self.queued is not None:
            record = _record_of(self.queued)
        if self.queued is not None:
            del record.delivery_history[:]
            record.delivery_history.extend(self.queued.deliveries)
        return GetAlarmResponse(alarm=record)


def life_view(life: Life) -> Iterator[Part]:
    """The whole answer of `alarm show`."""
    record = life.response().alarm
    yield Facts((*_said(record.stored.alarm), *_given(record.stored)))
    yield grid(("TIME", "CLOCK OF", "WHAT"), _story(life), title="Its life", wraps=("WHAT",))
    if life.queued is not None:
        yield Facts(tuple(_at_cloud(life.queued.alarm)), title="At the cloud")
    elif life.problem:
        yield Lines((life.problem,), title="At the cloud")
    if record.delivery_history:
        given = ("NO.", "RECEIVER", "EPOCH", "BEGAN", "ENDED", "END")
        history = (_delivery(delivery) for delivery in record.delivery_history)
        yield grid(given, history, title="Deliveries, as the cloud knows them", below=("RECEIVER",))
    if life.own is None:
        yield Lines(ELSEWHERE, title="At this receiver")
        return
    yield Facts(tuple(_here(life.own)), title="At this receiver")
    tried = ("OUTPUT", "NO.", "BEGAN", "ENDED", "OUTCOME", "DETAIL", "WRITTEN", "ANSWER")
    rows = (_attempt(attempt) for attempt in life.own.attempts)
    below = ("WRITTEN", "ANSWER", "DETAIL", "ENDED")
    yield grid(tried, rows, title=_attempts_title(life.own), empty="none yet", below=below)


def alarm_view(response: GetAlarmResponse) -> Iterator[Part]:
    """The same of a receiver's answer alone."""
    yield from life_view(Life(own=response.alarm))


def code_of(alarm: Alarm) -> str:
    """The code as people write it: Contact ID has the qualifier before it; a SIA code has it in its letters."""
    return f"{_Q.get(alarm.qualifier, '1')}{alarm.code}" if len(alarm.code) == 3 else alarm.code


def frame_of(raw: bytes) -> str:
    """Bytes of the wire, those beyond ASCII escaped; the line ends of frames are left out."""
    return raw.decode("ascii", errors="backslashreplace").strip("\r\n") or NONE


_Q = {Qualifier.QUALIFIER_NEW: "1", Qualifier.QUALIFIER_RESTORE: "3", Qualifier.QUALIFIER_STATUS: "6"}
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def _record_of(queued: GetQueuedAlarmResponse) -> AlarmRecord:
    alarm = queued.alarm
    return AlarmRecord(
        stored=alarm.stored,
        state=alarm.state,
        receiver_id=queued.deliveries[-1].receiver_id if queued.deliveries else "",
        epoch=alarm.epoch,
        deliveries=alarm.deliveries,
        last_problem=alarm.reason,
    )


def _story(life: Life) -> Iterator[tuple[CellLike, ...]]:
    """What happened, in the order of the times that are told. Clocks of several machines differ a little."""
    events = [(_at(when), when, whose, what) for when, whose, what in _events(life)]
    for _, when, whose, what in sorted(events, key=lambda event: event[0]):
        yield clock(when), whose, what


def _events(life: Life) -> Iterator[tuple[Timestamp, str, str]]:
    stored = (life.own or life.response().alarm).stored
    if stored.alarm.HasField("occur_time"):
        yield stored.alarm.occur_time, DEVICE, "occurred"
    if stored.HasField("receive_time"):
        yield stored.receive_time, CLOUD, "published, and stored"
    if life.queued is not None:
        yield from _cloud_events(life.queued)
    if life.own is not None:
        yield from _own_events(life.own)


def _cloud_events(queued: GetQueuedAlarmResponse) -> Iterator[tuple[Timestamp, str, str]]:
    for delivery in queued.deliveries:
        to = f"{delivery.receiver_id} under epoch {delivery.epoch}"
        if delivery.HasField("deliver_time"):
            yield delivery.deliver_time, CLOUD, f"delivered to {to}"
        if delivery.HasField("end_time") and delivery.end:
            yield delivery.end_time, CLOUD, f"{_ENDS.get(delivery.end, 'ended')}: {to}"
    if queued.alarm.HasField("set_aside_time"):
        yield queued.alarm.set_aside_time, CLOUD, "set aside"


def _own_events(record: AlarmRecord) -> Iterator[tuple[Timestamp, str, str]]:
    if record.HasField("deliver_time"):
        yield record.deliver_time, HERE, f"came here under epoch {record.epoch}"
    for attempt in record.attempts:
        if attempt.HasField("start_time"):
            outcome = phrase(AttemptOutcome.DESCRIPTOR, attempt.outcome)
            yield attempt.start_time, HERE, f"attempt {attempt.attempt} at output {attempt.output}: {outcome}"
    if record.HasField("confirm_time"):
        forwarded = record.state != AlarmState.ALARM_STATE_NOT_FORWARDED
        yield record.confirm_time, HERE, "the ARC has it" if forwarded else "not forwarded"
    if record.HasField("acknowledge_time"):
        yield record.acknowledge_time, HERE, "the cloud has stored the confirmation"


_ENDS = {
    DeliveryEnd.DELIVERY_END_CONFIRMED: "confirmed",
    DeliveryEnd.DELIVERY_END_LOST: "lost",
    DeliveryEnd.DELIVERY_END_GIVEN_BACK: "given back",
    DeliveryEnd.DELIVERY_END_WITHDRAWN: "taken back",
    DeliveryEnd.DELIVERY_END_REFUSED: "refused",
}


def _at(when: Timestamp) -> datetime:
    return time(when) or _BEFORE_ALL


def _said(alarm: Alarm) -> Iterator[tuple[str, CellLike]]:
    yield "Alarm id", alarm.alarm_id
    yield "Device", alarm.device_id
    yield "Code", f"{code_of(alarm)} ({word(Qualifier.DESCRIPTOR, alarm.qualifier or Qualifier.QUALIFIER_NEW)})"
    yield "Partition", str(alarm.partition)
    yield "Zone or user", str(alarm.zone)
    yield "Occurred", clock(alarm.occur_time) if alarm.HasField("occur_time") else "not told"
    if alarm.text:
        yield "Text", alarm.text
    if alarm.verification_url:
        yield "Verification", alarm.verification_url
    if alarm.HasField("latitude") and alarm.HasField("longitude"):
        yield "Position", f"{alarm.latitude:.6f}, {alarm.longitude:.6f}"


def _given(stored: StoredAlarm) -> Iterator[tuple[str, CellLike]]:
    yield "Number", str(stored.number)
    yield "Account number", f"{stored.account_number}, its alarm {stored.account_sequence}"
    yield "Received", clock(stored.receive_time)
    yield "Path", word(AlarmPath.DESCRIPTOR, stored.path or AlarmPath.ALARM_PATH_CLOUD)
    yield "Marks", words(AlarmMark.DESCRIPTOR, stored.marks)
    if stored.raw_frame:
        yield "As it came", frame_of(stored.raw_frame)


def _at_cloud(alarm: QueuedAlarm) -> Iterator[tuple[str, CellLike]]:
    yield "State", state(word(AlarmState.DESCRIPTOR, alarm.state))
    yield "Deliveries", number(alarm.deliveries)
    if alarm.losses:
        yield "Receivers lost with it", number(alarm.losses)
    if alarm.HasField("set_aside_time"):
        cause = phrase(SetAsideCause.DESCRIPTOR, alarm.cause)
        yield "Set aside", f"{clock(alarm.set_aside_time)}, {cause}: {alarm.reason or NONE}"
        yield "Written last", frame_of(alarm.frame)
        yield "Answered", frame_of(alarm.answer)
    if alarm.replayed_by:
        yield "Sent again by", alarm.replayed_by


def _here(record: AlarmRecord) -> Iterator[tuple[str, CellLike]]:
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


def _attempts_title(record: AlarmRecord) -> str:
    shown = len(record.attempts)
    if record.attempt_count <= shown:
        return "Attempts"
    return f"Attempts: the first and the newest, {number(shown)} of {number(record.attempt_count)}"


def _attempt(attempt: DeliveryAttempt) -> tuple[CellLike, ...]:
    return (
        attempt.output,
        str(attempt.attempt),
        clock(attempt.start_time) if attempt.HasField("start_time") else NONE,
        clock(attempt.end_time) if attempt.HasField("end_time") else NONE,
        state(word(AttemptOutcome.DESCRIPTOR, attempt.outcome)),
        attempt.detail or NONE,
        frame_of(attempt.frame),
        frame_of(attempt.answer),
    )
