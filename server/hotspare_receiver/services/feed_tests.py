"""SendTestAlarm: an alarm of this receiver's own that goes the whole way, through the cloud and to whoever works."""

import logging
import time
from datetime import timedelta
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_feed_service_pb2, alarm_pb2, alarm_service_pb2
from hotspare_model.alarm import TEXT_LIMIT
from hotspare_model.contact_id import is_event_code
from hotspare_model.errors import field_invalid
from hotspare_model.ids import UUID_FORM
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.services.requests import check_text
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Tokens
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import duration_to_proto

PERIODIC_TEST = "602"
DEADLINE = 9.0
"""Seconds for the cloud's answer, within the contract's deadline of the call."""

_log = logging.getLogger(__name__)


class Parts(Protocol):
    """What it works on."""

    @property
    def tokens(self) -> Tokens:
        """Who may call."""

    @property
    def cloud(self) -> CloudClient:
        """Where it is published."""

    @property
    def settings(self) -> SettingsStore:
        """Under which account number."""


class FeedTests:
    """The test alarm of AlarmFeedService."""

    _parts: Parts

    async def SendTestAlarm(
        self, request: alarm_feed_service_pb2.SendTestAlarmRequest, context: Any
    ) -> alarm_feed_service_pb2.SendTestAlarmResponse:
        """Publish a test alarm under the receiver's own account number."""
        parts = self._parts
        operator = parts.tokens.admit(context, TokenRole.OPERATOR, TokenRole.FEED)
        submission = _submission(request)
        service = parts.cloud.alarms()
        if not parts.settings.settings.own_account_number:
            raise field_invalid(
                "settings.own_account_number", "is not set at this receiver, and the test goes under it"
            )
        log_event(_log, logging.INFO, "test_alarm_sent", alarm_id=request.alarm_id, operator=operator.name)
        left = context.time_remaining()
        began = time.monotonic()
        answer = await parts.cloud.call(
            service.PublishAlarm,
            alarm_service_pb2.PublishAlarmRequest(submission=submission),
            operator=operator.name,
            timeout=DEADLINE if left is None else min(DEADLINE, left),
        )
        return alarm_feed_service_pb2.SendTestAlarmResponse(
            number=answer.receipt.number,
            receive_time=answer.receipt.receive_time,
            round_trip=duration_to_proto(timedelta(seconds=time.monotonic() - began)),
        )


def _submission(request: alarm_feed_service_pb2.SendTestAlarmRequest) -> alarm_service_pb2.AlarmSubmission:
    if not UUID_FORM.fullmatch(request.alarm_id):
        raise field_invalid("alarm_id", "must be a UUID: 8, 4, 4, 4 and 12 hexadecimal digits with hyphens between")
    code = request.code or PERIODIC_TEST
    if not is_event_code(code):
        raise field_invalid("code", "must be three characters of 0-9 and B-F")
    now = Timestamp()
    now.GetCurrentTime()
    alarm = alarm_pb2.Alarm(
        alarm_id=request.alarm_id,
        qualifier=alarm_pb2.QUALIFIER_NEW,
        code_format=alarm_pb2.CODE_FORMAT_CONTACT_ID,
        code=code,
        occur_time=now,
        text=check_text("text", request.text, TEXT_LIMIT),
    )
    report = alarm_service_pb2.GatewayReport(path=alarm_pb2.ALARM_PATH_SYSTEM, receive_time=now)
    return alarm_service_pb2.AlarmSubmission(alarm=alarm, gateway=report)
