"""BackupService: the host's configuration comes to the cloud, and its revisions are shown and brought back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from hotspare.v1 import backup_pb2, backup_service_pb2, backup_service_pb2_grpc
from hotspare_cloud.backups import Backups, Push
from hotspare_cloud.core.order import has_host
from hotspare_cloud.directory import Directory
from hotspare_cloud.group import Group
from hotspare_cloud.services.backup_convert import difference_to_proto, revision_to_proto, table_to_proto
from hotspare_cloud.services.callers import ADMIN, VIEWER, Callers, Context
from hotspare_cloud.services.paging import decode_number, decode_token, encode_token, page_size, token_invalid
from hotspare_cloud.services.streams import first_of
from hotspare_cloud.store.base_records import Backup, Difference, RecordStore
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import Role
from hotspare_model.ids import UUID_FORM
from hotspare_model.transfer import LONGEST_OPERATOR, MAX_REVISION, TransferReader
from hotspare_rpc.credentials import read_bearer_token
from hotspare_rpc.text import printable
from hotspare_rpc.transfer import header_from_proto, pieces

DRAIN_TIMEOUT = 2.0

Request = backup_service_pb2.PushChangesRequest


class BackupService(backup_service_pb2_grpc.BackupServiceServicer):
    """See backup_service.proto. StartLineage is the host's own."""

    def __init__(self, callers: Callers, directory: Directory, backups: Backups, store: RecordStore) -> None:
        self._callers = callers
        self._directory = directory
        self._backups = backups
        self._store = store

    async def PushChanges(
        self, request_iterator: AsyncIterator[Request], context: Context
    ) -> backup_service_pb2.PushChangesResponse:
        """See backup_service.proto."""
        try:
            return await self._push(request_iterator, context)
        except HotspareError:
            await _drain(request_iterator)
            raise

    async def _push(
        self, request_iterator: AsyncIterator[Request], context: Context
    ) -> backup_service_pb2.PushChangesResponse:
        caller = self._callers.receiver(context)
        group = self._callers.member_group(caller)
        _check_host(group, caller.receiver_id)
        first = await first_of(request_iterator, "header", self._directory.stopped)
        reader = TransferReader(header_from_proto(first.header))
        push = Push(
            header=reader.header,
            receiver_id=caller.receiver_id,
            operator=printable(first.operator_name, LONGEST_OPERATOR),
            new_lineage=first.new_lineage,
        )
        backup = await self._backups.push(group, push, reader, pieces(request_iterator, reader))
        return backup_service_pb2.PushChangesResponse(backup=self._table(group, backup))

    async def GetBackup(
        self, request: backup_service_pb2.GetBackupRequest, context: Context
    ) -> backup_service_pb2.GetBackupResponse:
        """See backup_service.proto."""
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        backup = await self._backups.newest(group)
        return backup_service_pb2.GetBackupResponse(backup=self._table(group, backup))

    async def ListBackupRevisions(
        self, request: backup_service_pb2.ListBackupRevisionsRequest, context: Context
    ) -> backup_service_pb2.ListBackupRevisionsResponse:
        """See backup_service.proto."""
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        name = f"revisions of {group.row.group_id}"
        size, before = page_size(request.page_size), decode_number(name, request.page_token)
        found = await self._store.revisions(group.row.group_id, before=before, limit=size + 1)
        page = found[:size]
        return backup_service_pb2.ListBackupRevisionsResponse(
            revisions=[revision_to_proto(revision) for revision in page],
            next_page_token=encode_token(name, str(page[-1].revision)) if len(found) > size else "",
        )

    async def DiffBackupRevisions(
        self, request: backup_service_pb2.DiffBackupRevisionsRequest, context: Context
    ) -> backup_service_pb2.DiffBackupRevisionsResponse:
        """See backup_service.proto."""
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        if not 0 < request.from_revision <= MAX_REVISION or request.to_revision > MAX_REVISION:
            raise field_invalid("from_revision", "must be the number of a revision")
        kinds = _kinds(request.kind)
        name = f"differences of {group.row.group_id}, {request.from_revision}, {request.to_revision}, {request.kind}"
        # The newest at the first page is the newest for those that follow.
        to_revision, kind, after = _place(name, request.page_token) or (request.to_revision, kinds[0], "")
        older = await self._backups.revision(group, request.from_revision)
        newer = await self._backups.revision(group, to_revision)
        if older.revision > newer.revision:
            raise field_invalid("from_revision", "must be the older one")
        size = page_size(request.page_size)
        with self._backups.retention.reading(group, older.revision):
            found = await self._differences(group, (older, newer), kinds[kinds.index(kind) :], after, size + 1)
        page = found[:size]
        last = f"{newer.revision}/{int(page[-1].kind)}/{page[-1].id}" if len(found) > size else ""
        return backup_service_pb2.DiffBackupRevisionsResponse(
            differences=[difference_to_proto(difference) for difference in page],
            next_page_token=encode_token(name, last) if last else "",
        )

    async def _differences(
        self, group: Group, between: tuple[Backup, Backup], kinds: tuple[RecordKind, ...], after: str, wanted: int
    ) -> list[Difference]:
        """So many differences, of these kinds in their order, behind the id `after` of the first of them."""
        found: list[Difference] = []
        for kind in kinds:
            more = True
            while more and len(found) < wanted:
                some, after = await self._store.differences(
                    group.row.group_id,
                    kind,
                    from_revision=between[0].revision,
                    to_revision=between[1].revision,
                    after=after,
                    limit=wanted,
                )
                found += some
                more = bool(after)
            after = ""
        return found[:wanted]

    async def RestoreBackup(
        self, request: backup_service_pb2.RestoreBackupRequest, context: Context
    ) -> backup_service_pb2.RestoreBackupResponse:
        """See backup_service.proto."""
        if not UUID_FORM.fullmatch(request.request_id):
            raise field_invalid("request_id", "must be a UUID")
        receiver_id = ""
        if read_bearer_token(context.invocation_metadata()) is not None:
            group, _ = self._callers.group(context, ADMIN, request.arc_id, request.sub_account)
        else:
            caller = self._callers.receiver(context)
            group, receiver_id = self._callers.member_group(caller), caller.receiver_id
            _check_host(group, receiver_id)
        if request.revision > MAX_REVISION:
            raise field_invalid("revision", "must be the number of a revision")
        backup = await self._backups.restore(
            group,
            request.revision,
            receiver_id=receiver_id,
            operator=printable(self._callers.operator_name(context, receiver_id), LONGEST_OPERATOR),
            request_id=request.request_id.lower(),
        )
        return backup_service_pb2.RestoreBackupResponse(backup=self._table(group, backup))

    def _table(self, group: Group, backup: Backup | None) -> backup_pb2.BackupTable:
        return table_to_proto(backup, self._backups.damaged(group))


async def _drain(requests: AsyncIterator[Request]) -> None:
    """Read on to the half-close: a caller that is still writing may lose the refusal otherwise (grpc issue 36066)."""
    with contextlib.suppress(TimeoutError, asyncio.InvalidStateError):
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for _ in requests:
                pass


def _check_host(group: Group, receiver_id: str) -> None:
    """Only the host changes the copy, or one without a role in a group without a host (G7)."""
    member = group.members[receiver_id]
    alone = member.role is None and not has_host(group.state)
    if member.role is not Role.HOST and not alone:
        host = next((each for each in group.members.values() if each.role is Role.HOST), None)
        raise HotspareError(
            Reason.NOT_EDITABLE_HERE,
            "only the host sends a configuration",
            role=member.role.name if member.role else "ALONE",
            host_receiver_id=host.receiver_id if host else "",
            host_address=host.address if host else "",
        )


def _kinds(number: int) -> tuple[RecordKind, ...]:
    """The kinds that a call is about; 0: all. Raises HotspareError FIELD_INVALID."""
    if not number:
        return tuple(RecordKind)
    try:
        return (RecordKind(number),)
    except ValueError:
        raise field_invalid("kind", "must be one of the kinds of records") from None


def _place(name: str, token: str) -> tuple[int, RecordKind, str] | None:
    """Where a page of differences begins: newer revision, kind, and behind which id. Raises PAGE_TOKEN_INVALID."""
    position = decode_token(name, token)
    if not position:
        return None
    try:
        to_revision, kind, after = position.split("/", 2)
        return int(to_revision), RecordKind(int(kind)), after
    except ValueError:
        raise token_invalid() from None
