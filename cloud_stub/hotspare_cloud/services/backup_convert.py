"""Copies of configurations as the contract shows them, and records as they arrive."""

from collections.abc import Collection

from google.protobuf.message import DecodeError

from hotspare.v1 import backup_pb2, backup_service_pb2, group_pb2, record_pb2, sync_service_pb2
from hotspare_cloud.services.convert import optional_time, time_to_proto
from hotspare_cloud.store.base_records import Backup, DeviceRow, Difference, KindRow, RecordRow
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.kinds import kind_of
from hotspare_model.transfer import Change
from hotspare_rpc.records import check_record, device_of, watched_of
from hotspare_rpc.transfer import digests_to_proto, kind_to_proto

DAMAGED = "damaged in the cloud's store: the host has to send this kind whole, which it does by itself"


def row_of(group_id: int, change: Change) -> RecordRow:
    """A change as it is stored. Raises HotspareError FIELD_INVALID."""
    device = None
    if change.record:
        check_record(kind_of(change.kind), change.record_id, change.record)
        if change.kind is RecordKind.DEVICE:
            watched = watched_of(change.record)
            device = DeviceRow(group_id, change.record_id, *device_of(change.record), watched)
    return RecordRow(change.kind, change.record_id, change.record, change.revision, change.operator, device)


def table_to_proto(backup: Backup | None, damaged: Collection[RecordKind] = ()) -> backup_pb2.BackupTable:
    """The backup table (B6). Without a copy it is empty."""
    if backup is None:
        return backup_pb2.BackupTable()
    return backup_pb2.BackupTable(
        lineage=backup.lineage,
        revision=backup.revision,
        software_version=backup.software_version,
        rows=[_row_to_proto(row, row.digest.kind in damaged) for row in backup.kinds],
    )


def _row_to_proto(row: KindRow, damaged: bool) -> backup_pb2.BackupRow:
    return backup_pb2.BackupRow(
        kind=kind_to_proto(row.digest.kind),
        name=kind_of(row.digest.kind).plural,
        count=row.digest.count,
        revision=row.revision,
        sha256=row.digest.sha256,
        update_time=optional_time(row.changed_at),
        status=group_pb2.SYNC_STATE_FAILED if damaged else group_pb2.SYNC_STATE_UP_TO_DATE,
        detail=DAMAGED if damaged else "",
    )


def revision_to_proto(backup: Backup) -> backup_pb2.BackupRevision:
    """One revision that is kept (B8)."""
    return backup_pb2.BackupRevision(
        revision=backup.revision,
        lineage=backup.lineage,
        create_time=time_to_proto(backup.stored_at),
        receiver_id=backup.receiver_id,
        operator_name=backup.operator,
        software_version=backup.software_version,
        digests=digests_to_proto(backup.digests),
        change_count=backup.change_count,
        restored_from=backup.restored_from,
    )


def news_to_proto(backup: Backup | None) -> sync_service_pb2.WatchBackupResponse:
    """What those who watch are told."""
    if backup is None:
        return sync_service_pb2.WatchBackupResponse()
    return sync_service_pb2.WatchBackupResponse(
        revision=backup.revision,
        lineage=backup.lineage,
        digests=digests_to_proto(backup.digests),
        software_version=backup.software_version,
        create_time=time_to_proto(backup.stored_at),
        restored_from=backup.restored_from,
        base_revision=backup.base_revision,
        base_lineage=backup.base_lineage,
    )


def difference_to_proto(difference: Difference) -> backup_service_pb2.RecordDifference:
    """One record that differs. Raises HotspareError DIGEST_MISMATCH for one that is damaged."""
    return backup_service_pb2.RecordDifference(
        kind=kind_to_proto(difference.kind),
        id=difference.id,
        before=_shown(difference.kind, difference.before),
        after=_shown(difference.kind, difference.after),
    )


def _shown(kind: RecordKind, record: bytes) -> record_pb2.Record | None:
    """A record without its secrets (S1); nothing where it is not there."""
    if not record:
        return None
    try:
        message = record_pb2.Record.FromString(record)
    except DecodeError:
        raise HotspareError(
            Reason.DIGEST_MISMATCH, "a record is damaged in the cloud's store", kind=kind.name
        ) from None
    if message.HasField("device"):
        message.device.ClearField("device_key_sha256")
        message.device.ClearField("dc09_key")
    return message
