"""Alarms and what became of them, for `alarm`; those that were set aside too."""

from collections.abc import Iterator

from hotspare.v1.alarm_feed_service_pb2 import ListAlarmsResponse
from hotspare.v1.alarm_pb2 import AlarmRecord, AlarmState
from hotspare.v1.alarm_pull_service_pb2 import ListQueueResponse, QueuedAlarm, ReplayAlarmResponse, SetAsideCause
from hotspare_cli.layout import Cell, CellLike, Lines, Part, Tone, grid, state
from hotspare_cli.options import ONLY_THE_NEWEST
from hotspare_cli.views.alarm_life import alarm_view as alarm_view
from hotspare_cli.views.alarm_life import code_of, frame_of
from hotspare_cli.words import NONE, clock, number, phrase, word


def alarms_view(response: ListAlarmsResponse, more: bool = False) -> Iterator[Part]:
    """The whole answer of `alarm list`; `more` tells that there are older ones."""
    columns = (
        *("NUMBER", "RECEIVED", "DEVICE", "ACCOUNT", "CODE", "PART", "ZONE"),
        *("STATE", "CONFIRMED", "ATTEMPTS", "ALARM ID"),
    )
    below = ("ALARM ID", "CONFIRMED", "ATTEMPTS", "ACCOUNT", "DEVICE")
    yield grid(columns, (_row(alarm) for alarm in response.alarms), empty="no alarms", below=below)
    if more:
        yield Lines((Cell(ONLY_THE_NEWEST, Tone.FAINT),))


def rejected_view(response: ListQueueResponse) -> Iterator[Part]:
    """The whole answer of `alarm rejected`: what was set aside, why, and the last exchange on the wire."""
    columns = (
        *("NUMBER", "RECEIVED", "DEVICE", "ACCOUNT", "CODE", "SET ASIDE", "CAUSE", "REASON"),
        *("WRITTEN", "ANSWER", "REPLAYED BY", "ALARM ID"),
    )
    rows = (_rejected(alarm) for alarm in response.alarms)
    below = ("WRITTEN", "ANSWER", "ALARM ID", "REASON", "REPLAYED BY", "SET ASIDE")
    yield grid(columns, rows, empty="no alarm is set aside", below=below)


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
        code_of(stored.alarm),
        clock(alarm.set_aside_time) if alarm.HasField("set_aside_time") else NONE,
        phrase(SetAsideCause.DESCRIPTOR, alarm.cause),
        alarm.reason or NONE,
        frame_of(alarm.frame),
        frame_of(alarm.answer),
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
        code_of(stored.alarm),
        str(stored.alarm.partition),
        str(stored.alarm.zone),
        state(word(AlarmState.DESCRIPTOR, record.state)),
        clock(record.confirm_time) if record.HasField("confirm_time") else NONE,
        number(record.attempt_count),
        stored.alarm.alarm_id,
    )
