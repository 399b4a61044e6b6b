"""AlarmPullService at a receiver: the cloud's queue for this receiver's operators, under the operator's name (S5).

The stream of alarms itself is the cloud's alone.
"""

from typing import Any

from hotspare.v1 import alarm_pull_service_pb2, alarm_pull_service_pb2_grpc
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.services.passing import Passing
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Tokens

LIST_TIMEOUT = 10.0
"""Seconds, as the contract's deadline has it."""


class QueueServicer(alarm_pull_service_pb2_grpc.AlarmPullServiceServicer):
    """Serves ListQueue, GetQueuedAlarm and ReplayAlarm; the group is always this receiver's own."""

    def __init__(self, tokens: Tokens, cloud: CloudClient, settings: SettingsStore) -> None:
        self._tokens = tokens
        self._cloud = cloud
        self._passing = Passing(cloud, settings)

    async def ListQueue(
        self, request: alarm_pull_service_pb2.ListQueueRequest, context: Any
    ) -> alarm_pull_service_pb2.ListQueueResponse:
        """Alarms that wait at the cloud or were set aside."""
        operator = self._tokens.admit(context, TokenRole.VIEWER)
        return await self._passing.on(self._cloud.pulls().ListQueue, request, context, operator, LIST_TIMEOUT)

    async def GetQueuedAlarm(
        self, request: alarm_pull_service_pb2.GetQueuedAlarmRequest, context: Any
    ) -> alarm_pull_service_pb2.GetQueuedAlarmResponse:
        """One alarm as the cloud has it, with its deliveries."""
        operator = self._tokens.admit(context, TokenRole.VIEWER)
        return await self._passing.on(self._cloud.pulls().GetQueuedAlarm, request, context, operator)

    async def ReplayAlarm(
        self, request: alarm_pull_service_pb2.ReplayAlarmRequest, context: Any
    ) -> alarm_pull_service_pb2.ReplayAlarmResponse:
        """Have an alarm that was set aside sent again (A5)."""
        operator = self._tokens.admit(context, TokenRole.OPERATOR)
        return await self._passing.on(self._cloud.pulls().ReplayAlarm, request, context, operator)
