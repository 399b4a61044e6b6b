"""What the cloud knows of the deliveries of an alarm, beside this receiver's own history (A8)."""

from collections.abc import Sequence
from typing import Any

from hotspare.v1 import alarm_pb2, alarm_pull_service_pb2
from hotspare_model.errors import HotspareError
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.services.passing import Passing
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.tokens import Operator

PATIENCE = 1.5
"""Seconds: the own history is not kept back for longer by a cloud that does not answer, nor for half of the time that
the caller gives."""


class Deliveries:
    """Asks the cloud about alarms of this receiver's group."""

    def __init__(self, cloud: CloudClient, settings: SettingsStore) -> None:
        self._cloud = cloud
        self._passing = Passing(cloud, settings)

    async def of(
        self, stored: alarm_pb2.StoredAlarm, context: Any, operator: Operator
    ) -> Sequence[alarm_pb2.AlarmDelivery]:
        """All deliveries of an alarm, oldest first. Empty where the cloud can't be asked, or does not have it."""
        if not stored.number:
            return ()
        request = alarm_pull_service_pb2.GetQueuedAlarmRequest(number=stored.number)
        try:
            method = self._cloud.pulls().GetQueuedAlarm
            left = context.time_remaining()
            patience = PATIENCE if left is None else min(PATIENCE, left / 2)
            answer = await self._passing.on(method, request, context, operator, patience)
        except HotspareError:
            return ()
        # Under another account, or at a cloud that was set up anew, another alarm has that number.
        same = answer.alarm.stored.alarm.alarm_id == stored.alarm.alarm_id
        return answer.deliveries if same else ()
