"""BackupService at a receiver: its own table, the cloud's revisions passed on, and what replaces a copy (B6 to B8).

PushChanges is the cloud's alone.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from hotspare.v1 import backup_service_pb2, backup_service_pb2_grpc
from hotspare_model.errors import field_invalid
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.clients.members import MembersWatch
from hotspare_receiver.clients.restore import Restorer
from hotspare_receiver.services.editable import check_editable
from hotspare_receiver.services.passing import Passing
from hotspare_receiver.status import StatusBoard
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Operator, Tokens

DIFF_TIMEOUT = 10.0
"""Seconds, as the contract's deadline has it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service works on."""

    tokens: Tokens
    board: StatusBoard
    cloud: CloudClient
    settings: SettingsStore
    members: MembersWatch
    restorer: Restorer


class BackupServicer(backup_service_pb2_grpc.BackupServiceServicer):
    """Serves BackupService for the operators of this receiver; the group is always its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._passing = Passing(parts.cloud, parts.settings)

    async def GetBackup(
        self, request: backup_service_pb2.GetBackupRequest, context: Any
    ) -> backup_service_pb2.GetBackupResponse:
        """The table of this receiver, or of the cloud."""
        operator = self._parts.tokens.admit(context, TokenRole.VIEWER)
        if not request.cloud:
            return backup_service_pb2.GetBackupResponse(backup=await self._parts.board.backup())
        return await self._passing.on(self._parts.cloud.backups().GetBackup, request, context, operator)

    async def ListBackupRevisions(
        self, request: backup_service_pb2.ListBackupRevisionsRequest, context: Any
    ) -> backup_service_pb2.ListBackupRevisionsResponse:
        """The revisions that the cloud keeps."""
        operator = self._parts.tokens.admit(context, TokenRole.VIEWER)
        return await self._passing.on(self._parts.cloud.backups().ListBackupRevisions, request, context, operator)

    async def DiffBackupRevisions(
        self, request: backup_service_pb2.DiffBackupRevisionsRequest, context: Any
    ) -> backup_service_pb2.DiffBackupRevisionsResponse:
        """What differs between two of them."""
        operator = self._parts.tokens.admit(context, TokenRole.VIEWER)
        method = self._parts.cloud.backups().DiffBackupRevisions
        return await self._passing.on(method, request, context, operator, DIFF_TIMEOUT)

    async def RestoreBackup(
        self, request: backup_service_pb2.RestoreBackupRequest, context: Any
    ) -> backup_service_pb2.RestoreBackupResponse:
        """Bring a revision back, and take the cloud's newest as the copy here."""
        operator = self._admit_replacing(context, request.request_id)
        await self._parts.restorer.restore(
            request.request_id, request.revision, operator.name, confirmed=request.confirmed
        )
        return backup_service_pb2.RestoreBackupResponse(backup=await self._parts.board.backup())

    async def StartLineage(
        self, request: backup_service_pb2.StartLineageRequest, context: Any
    ) -> backup_service_pb2.StartLineageResponse:
        """Replace the cloud's copy by the one here."""
        operator = self._admit_replacing(context, request.request_id)
        table = await self._parts.restorer.start_lineage(request.request_id, operator.name, confirmed=request.confirmed)
        return backup_service_pb2.StartLineageResponse(backup=table)

    def _admit_replacing(self, context: Any, request_id: str) -> Operator:
        operator = self._parts.tokens.admit(context, TokenRole.ADMIN)
        check_editable(self._parts.settings, self._parts.members)
        try:
            uuid.UUID(request_id)
        except ValueError:
            raise field_invalid("request_id", "must be a UUID") from None
        return operator
