"""The queue as people see it: alarms that wait or were set aside, one alarm with its deliveries, and sending again."""

import time
from collections.abc import Sequence

from hotspare.v1 import alarm_pb2
from hotspare.v1.alarm_pull_service_pb2 import GetQueuedAlarmRequest as GetRequest
from hotspare.v1.alarm_pull_service_pb2 import GetQueuedAlarmResponse as GetResponse
from hotspare.v1.alarm_pull_service_pb2 import ListQueueRequest as ListRequest
from hotspare.v1.alarm_pull_service_pb2 import ListQueueResponse as ListResponse
from hotspare.v1.alarm_pull_service_pb2 import PullAlarmsRequest, QueuedAlarm, SetAsideCause
from hotspare.v1.alarm_pull_service_pb2 import ReplayAlarmRequest as ReplayRequest
from hotspare.v1.alarm_pull_service_pb2 import ReplayAlarmResponse as ReplayResponse
from hotspare_cloud.core.state import Reason as Why
from hotspare_cloud.group import Group
from hotspare_cloud.services.convert import optional_time, time_to_proto
from hotspare_cloud.services.paging import decode_number, encode_token, page_size
from hotspare_cloud.set_aside import LOST_WITH, QueuedState, no_alarm, queue, replay, state_of
from hotspare_cloud.store.base_queue import DeliveryRow, QueuedRow, RefusedAlarm
from hotspare_cloud.store.base_queue import SetAsideCause as Cause
from hotspare_model.errors import field_invalid
from hotspare_model.ids import UUID_FORM
from hotspare_rpc.text import printable
from hotspare_rpc.wire import seconds_to_proto

RAW_LIMIT = 4096
REASON_LIMIT = 1024
OUTPUT_LIMIT = 64
HIGHEST_NUMBER = 2**63 - 1
"""The store counts no further."""

_LISTED = (QueuedState.STORED, QueuedState.DELIVERED, QueuedState.HELD, QueuedState.SET_ASIDE)

__all__ = ["GetRequest", "GetResponse", "ListRequest", "ListResponse", "ReplayRequest", "ReplayResponse"]


def refused_alarm(message: PullAlarmsRequest.Refuse) -> RefusedAlarm:
    """What a receiver refuses. What is too long is cut: an alarm must not hang on that.

    Raises:
        HotspareError: FIELD_INVALID.
    """
    if not 1 <= message.number <= HIGHEST_NUMBER:
        raise field_invalid("number", f"must be from 1 to {HIGHEST_NUMBER}")
    return RefusedAlarm(
        number=message.number,
        output=printable(message.output, OUTPUT_LIMIT),
        reason=printable(message.reason, REASON_LIMIT),
        frame=message.frame[:RAW_LIMIT],
        answer=message.answer[:RAW_LIMIT],
        refusals=message.refusals,
        attempt=message.attempt,
    )


async def list_queue(group: Group, request: ListRequest) -> ListResponse:
    """A page of the queue. Raises HotspareError FIELD_INVALID, PAGE_TOKEN_INVALID."""
    state = next((each for each in _LISTED if each == int(request.state)), None)
    if request.state and state is None:
        raise field_invalid("state", "must be STORED, DELIVERED, HELD or SET_ASIDE")
    size = page_size(request.page_size)
    # A token goes on with the list that it is of: the same state and device.
    name = f"queue {request.state} {request.device_id}"
    after = decode_number(name, request.page_token)
    rows = await queue(group, state, request.device_id, after, size + 1)
    page = rows[:size]
    token = encode_token(name, str(page[-1].number)) if len(rows) > size else ""
    return ListResponse(alarms=[_shown(group, row) for row in page], next_page_token=token)


async def get_alarm(group: Group, request: GetRequest) -> GetResponse:
    """One alarm with its deliveries. Raises HotspareError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    match request.WhichOneof("key"):
        case "number":
            key, numbers = str(request.number), [min(request.number, HIGHEST_NUMBER)]
        case "alarm_id":
            key = request.alarm_id
            if not UUID_FORM.fullmatch(key):
                raise field_invalid("alarm_id", "must be a UUID")
            numbers = list(await group.store.numbers_of(group.row.group_id, key))[-1:]
        case _:
            raise field_invalid("key", "number or alarm_id is required")
    rows = await group.store.queued(group.row.group_id, numbers)
    if not rows:
        raise no_alarm(key)
    row = rows[0]
    deliveries = await group.store.deliveries(group.row.group_id, row.number)
    return GetResponse(alarm=_shown(group, row), deliveries=_deliveries(group, row, deliveries))


async def replay_alarm(group: Group, request: ReplayRequest, operator: str) -> ReplayResponse:
    """Send one again. Raises HotspareError FIELD_INVALID, RESOURCE_NOT_FOUND, ALARM_NOT_SET_ASIDE."""
    if not UUID_FORM.fullmatch(request.request_id):
        raise field_invalid("request_id", "must be a UUID that the client made for this wish")
    number = min(request.number, HIGHEST_NUMBER)
    await replay(group, number, operator, request.request_id.lower())
    (row,) = await group.store.queued(group.row.group_id, [number])
    return ReplayResponse(alarm=_shown(group, row))


def _shown(group: Group, row: QueuedRow) -> QueuedAlarm:
    state = state_of(group, row)
    stored = alarm_pb2.StoredAlarm.FromString(row.payload)
    stored.number = row.number
    stored.account_sequence = row.account_sequence
    message = QueuedAlarm(
        stored=stored,
        state=alarm_pb2.AlarmState.ValueType(int(state)),
        epoch=row.epoch,
        deliveries=row.deliveries,
        losses=row.losses,
        replayed_by=row.replayed_by,
        age=seconds_to_proto(max(0.0, time.time() - row.received_at)),
    )
    if state is QueuedState.SET_ASIDE and row.cause is not None:
        message.cause = SetAsideCause.ValueType(int(row.cause))
        message.reason = row.reason
        message.set_aside_time.CopyFrom(time_to_proto(row.set_aside_at))
        message.frame, message.answer = row.frame, row.answer
    return message


def _deliveries(group: Group, row: QueuedRow, rows: Sequence[DeliveryRow]) -> list[alarm_pb2.AlarmDelivery]:
    """The deliveries, one an epoch. One that was not confirmed ended with its epoch at the latest."""
    by = [each.epoch for each in rows if row.confirmed_by and each.receiver_id == row.confirmed_by]
    confirmed = by[-1] if by else 0
    return [
        alarm_pb2.AlarmDelivery(
            receiver_id=each.receiver_id,
            epoch=each.epoch,
            attempt=attempt,
            deliver_time=optional_time(each.delivered_at),
            end_time=optional_time(row.confirmed_at if each.epoch == confirmed else each.ended_at),
            end=_end(row, each, confirmed),
        )
        for attempt, each in enumerate(rows, 1)
    ]


def _end(row: QueuedRow, delivery: DeliveryRow, confirmed: int) -> alarm_pb2.DeliveryEnd.ValueType:
    """How a delivery ended; `confirmed` is the epoch of the one that was confirmed, 0 for none."""
    if delivery.epoch == confirmed:
        return alarm_pb2.DELIVERY_END_CONFIRMED
    if 0 < confirmed < delivery.epoch:
        # An earlier holder's ARC had it after all (F7).
        return alarm_pb2.DELIVERY_END_WITHDRAWN
    if row.epoch == delivery.epoch and row.cause is Cause.REFUSED and not row.replayed_by:
        return alarm_pb2.DELIVERY_END_REFUSED
    if not delivery.next_reason:
        return alarm_pb2.DELIVERY_END_UNSPECIFIED
    if Why(delivery.next_reason) in LOST_WITH:
        return alarm_pb2.DELIVERY_END_LOST
    return alarm_pb2.DELIVERY_END_GIVEN_BACK
