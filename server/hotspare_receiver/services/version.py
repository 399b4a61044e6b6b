"""VersionService at a receiver: its own version, open to all; with a token the plan of an upgrade, as the cloud has it
(V2)."""

import logging
from typing import Any

from hotspare.v1 import version_service_pb2, version_service_pb2_grpc
from hotspare_model.errors import HotspareError
from hotspare_model.release import CONTRACT_MAJOR, incompatibility
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Operator, Tokens
from hotspare_rpc.credentials import AUTHORIZATION_KEY
from hotspare_rpc.logs import log_event
from hotspare_rpc.version import SOFTWARE_VERSION

PLAN_TIMEOUT = 2.0
"""Seconds that the cloud has for its plan: without it the rest is told, well within the deadline of the call."""
ANSWER_TIME = 0.5
"""Seconds that are left for the answer to a caller who waits for less."""

_log = logging.getLogger(__name__)


class VersionServicer(version_service_pb2_grpc.VersionServiceServicer):
    """Serves CheckVersion."""

    def __init__(self, tokens: Tokens, cloud: CloudClient, settings: SettingsStore) -> None:
        self._tokens = tokens
        self._cloud = cloud
        self._settings = settings

    async def CheckVersion(
        self, request: version_service_pb2.CheckVersionRequest, context: Any
    ) -> version_service_pb2.CheckVersionResponse:
        """The version here, and whether a client of the version asked for works with it (V3); with a token the plan.

        Who shows a token has to show a right one. A cloud that does not answer only takes the plan away.
        """
        problem = incompatibility(request.software_version, SOFTWARE_VERSION)
        response = version_service_pb2.CheckVersionResponse(
            software_version=SOFTWARE_VERSION,
            component=version_service_pb2.COMPONENT_RECEIVER,
            contract_major=CONTRACT_MAJOR,
            compatible=not problem,
            detail=problem,
        )
        if any(key == AUTHORIZATION_KEY for key, _ in context.invocation_metadata() or ()):
            operator = self._tokens.admit(context, TokenRole.VIEWER)
            await self._add_plan(response, operator, context.time_remaining())
        return response

    async def _add_plan(
        self, response: version_service_pb2.CheckVersionResponse, operator: Operator, left: float | None
    ) -> None:
        # One with a role is asked for no sub account: its group is that of the role.
        sub_account = "" if self._settings.role is not None else self._settings.settings.sub_account
        asked = version_service_pb2.CheckVersionRequest(software_version=SOFTWARE_VERSION, sub_account=sub_account)
        timeout = PLAN_TIMEOUT if left is None else max(0.0, min(PLAN_TIMEOUT, left - ANSWER_TIME))
        try:
            told = await self._cloud.call(
                self._cloud.versions().CheckVersion, asked, operator=operator.name, timeout=timeout
            )
        except HotspareError as error:
            log_event(_log, logging.DEBUG, "upgrade_plan_unknown", problem=error)
            return
        response.members.extend(told.members)
        # A cloud of before the plan tells only what it is.
        response.cloud_version = told.cloud_version or told.software_version
        response.cloud_step = told.cloud_step
