"""The lines of a group's history (F8), and what the ARC is told of a move (F10)."""

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from uuid import UUID, uuid5

from hotspare_cloud.core.admission import Membership
from hotspare_cloud.core.state import ALONE, PLANNED, ArcEvent, BeginEpoch, Effect, Kind, Note, Worked, WorksAgain
from hotspare_cloud.store.base import GroupRow, HistoryLine, NewAlarm
from hotspare_model.alarm import Alarm, AlarmMark, AlarmPath, CodeFormat, StoredAlarm
from hotspare_model.contact_id import Qualifier
from hotspare_model.group import Role
from hotspare_rpc.wire import stored_alarm_to_proto

OWN_DEVICE = "receiver:"
"""Begins the device id of a receiver's own events; no device of a configuration can have such an id."""

_EVENTS = UUID("6d1f4b1c-8a0e-5d53-9a52-5f8a3c0be0f7")
"""Name space of the ids of take-over events: they follow from group and epoch, so that none is ever made twice."""


def lines_of(
    effects: Iterable[Effect], known: Mapping[str, Membership], previous: Worked | None
) -> Iterator[HistoryLine]:
    """What the history is told of a step, in the order in which it came about.

    `known` are the members, `previous` is who held the epoch before.
    """
    for effect in effects:
        match effect:
            case Note():
                yield note_line(effect, known)
            case WorksAgain():
                yield _again_line(effect, known)
            case BeginEpoch():
                yield _move_line(effect, known, previous)
            case _:
                pass


def _move_line(begun: BeginEpoch, members: Mapping[str, Membership], previous: Worked | None) -> HistoryLine:
    """The line of a move. `previous`: who held the epoch before, whether or not it had ended already."""
    before, after = members.get(previous.receiver_id) if previous else None, members.get(begun.receiver_id)
    from_role = before.role if before else Role(previous.rank) if previous and previous.rank != ALONE else None
    return HistoryLine(
        kind=Kind.MOVE,
        at=_now(),
        from_receiver_id=previous.receiver_id if previous else "",
        from_role=from_role,
        to_receiver_id=begun.receiver_id,
        to_role=after.role if after else None,
        reason=begun.reason,
        detail=begun.detail,
        operator=begun.operator,
        epoch=begun.epoch,
        gap=begun.gap,
        planned=begun.reason in PLANNED,
    )


def _again_line(again: WorksAgain, members: Mapping[str, Membership]) -> HistoryLine:
    """The line that ends a time in which nobody worked, where the same process goes on under its epoch."""
    member = members.get(again.receiver_id)
    role = member.role if member else None
    return HistoryLine(
        kind=Kind.WORKS_AGAIN,
        at=_now(),
        from_receiver_id=again.receiver_id,
        from_role=role,
        to_receiver_id=again.receiver_id,
        to_role=role,
        epoch=again.epoch,
        gap=again.gap,
    )


def note_line(note: Note, members: Mapping[str, Membership]) -> HistoryLine:
    """A line that is no move; whom it concerns stands where a move has who worked before."""
    member = members.get(note.receiver_id)
    return HistoryLine(
        kind=note.kind,
        at=_now(),
        from_receiver_id=note.receiver_id,
        from_role=member.role if member else None,
        detail=note.detail,
        operator=note.operator,
    )


def arc_alarm(
    row: GroupRow, begun: BeginEpoch, member: Membership, previous: Membership | None, code: str
) -> NewAlarm | None:
    """The event that tells the ARC of a move, under the account number of the receiver that works now (F10).

    None where the move is none to tell of, or that receiver has no account number of its own.
    """
    if begun.arc_event is None or not member.own_account_number:
        return None
    at = time.time()
    now = datetime.fromtimestamp(at, UTC)
    returned = begun.arc_event is ArcEvent.RETURN
    what = "works again, after" if returned else "took over from"
    text = f"hot spare: {_called(member)} {what} {_called(previous)} (epoch {begun.epoch}, {begun.reason.value})"
    alarm = Alarm(
        alarm_id=str(uuid5(_EVENTS, f"{row.arc_id}/{row.sub_account}/{begun.epoch}")),
        device_id=f"{OWN_DEVICE}{member.receiver_id}",
        qualifier=Qualifier.RESTORE if returned else Qualifier.NEW,
        code_format=CodeFormat.CONTACT_ID,
        code=code,
        partition=0,
        zone=0,
        occurred=now,
        text=text,
    )
    stored = StoredAlarm(
        number=0,
        alarm=alarm,
        account_number=member.own_account_number,
        account_sequence=0,
        received=now,
        marks=(AlarmMark.SYSTEM,),
        path=AlarmPath.SYSTEM,
    )
    payload = stored_alarm_to_proto(stored).SerializeToString()
    return NewAlarm(alarm.alarm_id, alarm.device_id, member.own_account_number, at, payload)


def _now() -> float:
    """The wall clock in whole microseconds, as the contract tells it: a line is found from its own time on."""
    return round(time.time(), 6)


def _called(member: Membership | None) -> str:
    if member is None:
        return "one that left"
    return f"{member.role.name if member.role else 'ALONE'} {member.name}"
