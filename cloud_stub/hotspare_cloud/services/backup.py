"""BackupService: the host's configuration comes to the cloud."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from google.protobuf.message import DecodeError

from hotspare.v1 import backup_pb2, backup_service_pb2, backup_service_pb2_grpc, group_pb2, record_pb2
from hotspare_cloud.core.backup import (
    MAX_TRANSFER,
    Copy,
    PushHeader,
    Verdict,
    digests_after,
    judge_push,
    same,
)
from hotspare_cloud.core.order import has_host
from hotspare_cloud.directory import Directory
from hotspare_cloud.finish import finished
from hotspare_cloud.group import Group
from hotspare_cloud.services.callers import VIEWER, Callers, Context
from hotspare_cloud.services.convert import time_to_proto
from hotspare_cloud.services.streams import first_of
from hotspare_cloud.store.base import Backup, DeviceRow, RecordRow, RecordStore
from hotspare_model.digest import KindDigest, RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import Role

Request = backup_service_pb2.PushChangesRequest

KIND_NAMES = {
    RecordKind.DEVICE: "devices",
    RecordKind.PARTITION: "partitions",
    RecordKind.ZONE: "zones",
    RecordKind.CHANNEL: "channels",
    RecordKind.USER: "users",
    RecordKind.EVENT: "events",
}

MAX_REVISION = 2**62


class BackupService(backup_service_pb2_grpc.BackupServiceServicer):
    """See backup_service.proto."""

    def __init__(self, callers: Callers, directory: Directory, store: RecordStore) -> None:
        self._callers = callers
        self._directory = directory
        self._store = store
        self._locks: dict[int, asyncio.Lock] = {}

    async def GetBackup(
        self, request: backup_service_pb2.GetBackupRequest, context: Context
    ) -> backup_service_pb2.GetBackupResponse:
        """See backup_service.proto."""
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        backup = await self._store.backup(group.row.group_id)
        return backup_service_pb2.GetBackupResponse(backup=_table(backup))

    async def PushChanges(
        self, request_iterator: AsyncIterator[Request], context: Context
    ) -> backup_service_pb2.PushChangesResponse:
        """See backup_service.proto."""
        caller = self._callers.receiver(context)
        group = self._callers.member_group(caller)
        _check_host(group, caller.receiver_id)
        first = await first_of(request_iterator, "header", self._directory.stopped)
        header = PushHeader(
            lineage=first.header.lineage,
            base_revision=first.header.base_revision,
            base_digests=_digests(first.header.base_digests),
            revision=first.header.revision,
            new_lineage=first.new_lineage,
        )
        if len(header.lineage) > 64 or header.revision > MAX_REVISION:
            raise field_invalid("header", "lineage must have at most 64 characters, revision at most 2^62")
        changes, leads_to = await _read(request_iterator)
        version = first.header.software_version[:64]
        backup = await self._push(group, header, changes, leads_to, version)
        return backup_service_pb2.PushChangesResponse(backup=_table(backup))

    @finished
    async def _push(
        self,
        group: Group,
        header: PushHeader,
        changes: Sequence[record_pb2.RecordChange],
        leads_to: Sequence[KindDigest],
        version: str,
    ) -> Backup:
        async with self._locks.setdefault(group.row.group_id, asyncio.Lock()):
            return await self._store_push(group, header, changes, leads_to, version)

    async def _store_push(
        self,
        group: Group,
        header: PushHeader,
        changes: Sequence[record_pb2.RecordChange],
        leads_to: Sequence[KindDigest],
        version: str,
    ) -> Backup:
        own = group.row.group_id
        cloud = await self._store.backup(own)
        copy = Copy(cloud.lineage, cloud.revision, cloud.digests) if cloud else None
        if judge_push(copy, header, leads_to) is Verdict.ALREADY_THERE and cloud is not None:
            return cloud
        whole = header.base_revision == 0
        rows = [_row(own, change) for change in changes]
        kinds = {RecordKind(row.kind) for row in rows}
        before = {
            kind: {} if whole else {row.id: row.payload for row in await self._store.records(own, kind)}
            for kind in kinds
        }
        unchanged = cloud.digests if cloud and not whole else ()
        digests = digests_after(before, [(RecordKind(row.kind), row.id, row.payload) for row in rows], unchanged)
        if not same(digests, leads_to):
            wrong = next((each.kind for each in digests if each not in leads_to), RecordKind.DEVICE)
            raise HotspareError(
                Reason.DIGEST_MISMATCH,
                "what arrived does not lead to the digests that the host named; nothing was stored",
                kind=wrong.name,
            )
        backup = Backup(header.lineage, header.revision, version, digests, time.time())
        await self._store.save_backup(own, backup, rows, whole)
        devices = [row.device for row in rows if row.device is not None]
        gone = [row.id for row in rows if row.kind == RecordKind.DEVICE and not row.payload]
        self._directory.replace_devices(group, devices, gone, whole=whole)
        return backup


def _check_host(group: Group, receiver_id: str) -> None:
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


async def _read(requests: AsyncIterator[Request]) -> tuple[list[record_pb2.RecordChange], list[KindDigest]]:
    """The pieces of a transfer, whole and in order, and the digests that they lead to."""
    changes: list[record_pb2.RecordChange] = []
    size, index = 0, 0
    async for request in requests:
        match request.WhichOneof("frame"):
            case "chunk":
                if request.chunk.index != index:
                    raise _chunk_invalid(request.chunk.index, index)
                index += 1
                size += request.chunk.ByteSize()
                if size > MAX_TRANSFER:
                    raise HotspareError(Reason.CHUNK_INVALID, "the transfer is too large", index=index, expected="end")
                changes += request.chunk.changes
            case "trailer":
                if (request.trailer.chunk_count, request.trailer.change_count) != (index, len(changes)):
                    raise _chunk_invalid(request.trailer.chunk_count, index)
                return changes, _digests(request.trailer.digests)
            case _:
                raise HotspareError(
                    Reason.STREAM_PROTOCOL, "expected `chunk` or `trailer`", expected="chunk or trailer"
                )
    raise HotspareError(Reason.STREAM_PROTOCOL, "the transfer ended without its trailer", expected="trailer")


def _chunk_invalid(index: int, expected: int) -> HotspareError:
    return HotspareError(
        Reason.CHUNK_INVALID,
        f"piece {index} came where {expected} was expected",
        index=index,
        expected=expected,
    )


def _row(group_id: int, change: record_pb2.RecordChange) -> RecordRow:
    """A change as it is stored. This release takes devices alone."""
    if change.kind != record_pb2.RECORD_KIND_DEVICE:
        raise field_invalid("kind", "this release takes devices alone")
    if not 1 <= len(change.id) <= 64:
        raise field_invalid("id", "must be 1 to 64 characters")
    if not change.record:
        return RecordRow(change.kind, change.id, b"")
    try:
        record = record_pb2.Record.FromString(change.record)
    except DecodeError:
        raise field_invalid("record", "is no serialized Record") from None
    device = record.device.device
    if record.WhichOneof("record") != "device" or device.device_id != change.id:
        raise field_invalid("record", "is not of the kind and the id that the change names")
    if len(record.device.device_key_sha256) != 32 or not 3 <= len(device.account_number) <= 16:
        raise field_invalid("record", "lacks the device's key or account number")
    known = DeviceRow(group_id, change.id, record.device.device_key_sha256, device.account_number)
    return RecordRow(change.kind, change.id, change.record, known)


def _digests(messages: Sequence[record_pb2.KindDigest]) -> list[KindDigest]:
    return [
        KindDigest(RecordKind(message.kind), message.count, message.sha256)
        for message in messages
        if message.kind in {kind.value for kind in RecordKind}
    ]


def _table(backup: Backup | None) -> backup_pb2.BackupTable:
    if backup is None:
        return backup_pb2.BackupTable()
    return backup_pb2.BackupTable(
        lineage=backup.lineage,
        revision=backup.revision,
        software_version=backup.software_version,
        rows=[
            backup_pb2.BackupRow(
                kind=record_pb2.RecordKind.ValueType(digest.kind),
                name=KIND_NAMES[digest.kind],
                count=digest.count,
                revision=backup.revision,
                sha256=digest.sha256,
                update_time=time_to_proto(backup.updated_at),
                status=group_pb2.SYNC_STATE_UP_TO_DATE,
            )
            for digest in backup.digests
        ],
    )
