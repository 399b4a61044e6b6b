"""AlarmFeedService: the history of the alarms that this receiver had (A8), streams of alarms (O1), and tests."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_feed_service_pb2, alarm_feed_service_pb2_grpc, alarm_pb2
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.journal import AlarmQuery, AlarmRecord, AttemptRecord, Journal, RecordState
from hotspare_receiver.outputs.subscriptions import Subscriptions
from hotspare_receiver.services.deliveries import Deliveries
from hotspare_receiver.services.feed_stream import FeedStreams
from hotspare_receiver.services.feed_tests import FeedTests
from hotspare_receiver.services.requests import page_size, page_token, read_page_token
from hotspare_receiver.services.streams import Changes, Ends
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Tokens
from hotspare_rpc.wire import timestamp_from_proto, timestamp_to_proto

_HIGHEST_NUMBER = 2**63 - 1
"""The database counts no further, nor does any cloud."""

_STATES = {int(state): state for state in RecordState}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service works on."""

    tokens: Tokens
    ends: Ends
    changes: Changes
    journal: Journal
    subscriptions: Subscriptions
    cloud: CloudClient
    settings: SettingsStore


class FeedServicer(FeedStreams, FeedTests, alarm_feed_service_pb2_grpc.AlarmFeedServiceServicer):
    """Serves AlarmFeedService."""

    _parts: Parts

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._deliveries = Deliveries(parts.cloud, parts.settings)
        self._receiver_id = parts.settings.receiver_id

    async def ListAlarms(
        self, request: alarm_feed_service_pb2.ListAlarmsRequest, context: Any
    ) -> alarm_feed_service_pb2.ListAlarmsResponse:
        """Alarms, newest first, without their attempts."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        start = _time("start_time", request.start_time if request.HasField("start_time") else None)
        end = _time("end_time", request.end_time if request.HasField("end_time") else None)
        size = page_size(request.page_size, 1000)
        filters = (request.device_id, request.state, start, end)
        before = read_page_token(request.page_token, "alarms", *filters)
        if request.state and request.state not in _STATES:
            # A receiver knows of no other state: none of its alarms is in it.
            return alarm_feed_service_pb2.ListAlarmsResponse()
        page = await self._journal.list_alarms(
            AlarmQuery(
                device_id=request.device_id,
                state=_STATES.get(request.state),
                start=start,
                end=end,
                page_size=size,
                before=before if isinstance(before, int) else None,
            )
        )
        return alarm_feed_service_pb2.ListAlarmsResponse(
            alarms=[self._shown(record) for record in page.records],
            next_page_token="" if page.next is None else page_token("alarms", page.next, *filters),
        )

    async def GetAlarm(
        self, request: alarm_feed_service_pb2.GetAlarmRequest, context: Any
    ) -> alarm_feed_service_pb2.GetAlarmResponse:
        """One alarm, with its attempts, and with its deliveries as far as the cloud tells them."""
        operator = self._parts.tokens.admit(context, TokenRole.VIEWER)
        match request.WhichOneof("key"):
            case "number":
                named = str(request.number)
                record = await self._journal.get_alarm(number=min(request.number, _HIGHEST_NUMBER))
            case "alarm_id":
                named = request.alarm_id.lower()
                record = await self._journal.get_alarm(alarm_id=named)
            case _:
                raise field_invalid("key", "number or alarm_id is required")
        if record is None:
            raise HotspareError(
                Reason.RESOURCE_NOT_FOUND, f"this receiver had no alarm {named}", kind="alarm", id=named
            )
        message = self._shown(record)
        message.attempts.extend(_attempt_to_proto(attempt) for attempt in record.attempts)
        message.delivery_history.extend(await self._deliveries.of(message.stored, context, operator))
        return alarm_feed_service_pb2.GetAlarmResponse(alarm=message)

    def _shown(self, record: AlarmRecord) -> alarm_pb2.AlarmRecord:
        message = alarm_pb2.AlarmRecord(
            stored=alarm_pb2.StoredAlarm.FromString(record.stored),
            state=alarm_pb2.AlarmState.ValueType(int(record.state)),
            receiver_id=self._receiver_id,
            epoch=record.epoch,
            deliveries=record.deliveries,
            deliver_time=timestamp_to_proto(record.delivered),
            attempt_count=record.attempt_count,
            last_problem=record.last_problem,
            forwarded_code=record.forwarded_code,
        )
        if record.confirmed is not None:
            message.confirm_time.CopyFrom(timestamp_to_proto(record.confirmed))
        if record.acknowledged is not None:
            message.acknowledge_time.CopyFrom(timestamp_to_proto(record.acknowledged))
        return message


def _attempt_to_proto(attempt: AttemptRecord) -> alarm_pb2.DeliveryAttempt:
    return alarm_pb2.DeliveryAttempt(
        output=attempt.output,
        attempt=attempt.attempt,
        start_time=timestamp_to_proto(attempt.started),
        end_time=timestamp_to_proto(attempt.ended),
        outcome=alarm_pb2.AttemptOutcome.ValueType(int(attempt.outcome)),
        frame=attempt.frame,
        answer=attempt.answer,
        detail=attempt.detail,
    )


def _time(field: str, message: Timestamp | None) -> datetime | None:
    if message is None:
        return None
    found = timestamp_from_proto(message)
    if found is None:
        raise field_invalid(field, "is no time")
    return found
