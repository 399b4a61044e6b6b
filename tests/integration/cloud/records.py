"""A host's configuration of all six kinds, and a spare's copy that follows the cloud's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from hotspare.v1 import backup_pb2, backup_service_pb2_grpc, record_pb2, sync_service_pb2, sync_service_pb2_grpc
from hotspare_model.digest import KindDigest, RecordKind, digest_of
from hotspare_model.transfer import Change, TransferHeader, TransferReader, in_pieces
from hotspare_rpc.credentials import sha256
from hotspare_rpc.transfer import chunk_to_proto, digests_to_proto, header_from_proto, header_to_proto, pieces
from tests.integration.cloud.helpers import DEADLINE
from tests.integration.cloud.receivers import Receiver
from tests.integration.cloud.scene import Frame, send_push

DEVICE, PARTITION, ZONE, CHANNEL, USER, EVENT = RecordKind

Key = tuple[RecordKind, str]
VERSION = "1.2.3"


def record(key: Key, name: str = "") -> bytes:
    """A record of any kind; `name` makes it another one."""
    kind, record_id = key
    device_id, _, number = record_id.partition("/")
    made: dict[RecordKind, Any] = {
        DEVICE: lambda: {
            "device": record_pb2.DeviceRecord(
                device=record_pb2.Device(device_id=record_id, account_number="1234", name=name),
                device_key_sha256=sha256(f"key of {record_id}"),
                dc09_key=b"k" * 16,
            )
        },
        PARTITION: lambda: {
            "partition": record_pb2.Partition(
                partition_id=record_id, device_id=device_id, number=int(number), name=name
            )
        },
        ZONE: lambda: {"zone": record_pb2.Zone(zone_id=record_id, device_id=device_id, number=int(number), name=name)},
        CHANNEL: lambda: {
            "channel": record_pb2.Channel(channel_id=record_id, device_id=device_id, number=int(number), name=name)
        },
        USER: lambda: {"user": record_pb2.User(user_id=record_id, name=name)},
        EVENT: lambda: {"event": record_pb2.Event(event_id=record_id, contact_id_code=record_id, name=name or "e")},
    }
    return record_pb2.Record(**made[kind]()).SerializeToString(deterministic=True)


def digests_of(records: Mapping[Key, bytes]) -> tuple[KindDigest, ...]:
    """The digests of a configuration."""
    return tuple(
        digest_of(kind, [(name, payload) for (of, name), payload in records.items() if of is kind])
        for kind in RecordKind
    )


@dataclass
class Host:
    """What a host has. `frames_for` is the push that takes the cloud from the revision before to the next."""

    receiver: Receiver
    lineage: str = field(default_factory=lambda: str(uuid4()))
    revision: int = 0
    records: dict[Key, bytes] = field(default_factory=dict)
    version: str = VERSION

    def frames_for(
        self, changes: Mapping[Key, bytes], *, whole: Sequence[RecordKind] = (), piece: int = 512 * 1024, **more: Any
    ) -> list[Frame]:
        """Take changes over, as the next revision, and return the push of them."""
        header = TransferHeader(
            self.lineage, self.revision, digests_of(self.records), self.revision + 1, self.version, tuple(whole)
        )
        self.revision += 1
        self.records |= changes
        self.records = {key: payload for key, payload in self.records.items() if payload}
        sent = dict(changes) | {key: payload for key, payload in self.records.items() if key[0] in whole}
        return frames_of(header, sent, digests_of(self.records), piece, **more)

    async def push(self, changes: Mapping[Key, bytes], **more: Any) -> backup_pb2.BackupTable:
        """Push the next revision."""
        return await send_push(self.receiver, self.frames_for(changes, **more))


def frames_of(
    header: TransferHeader, changes: Mapping[Key, bytes], digests: Sequence[KindDigest], piece: int, **more: Any
) -> list[Frame]:
    """The messages of a push."""
    rows = [Change(kind, name, payload, header.revision, "ann") for (kind, name), payload in sorted(changes.items())]
    cut = list(in_pieces(rows, piece))
    told = header_to_proto(header)
    trailer = backup_pb2.ChangeTrailer(chunk_count=len(cut), change_count=len(rows), digests=digests_to_proto(digests))
    return [
        Frame(header=told, **more),
        *(Frame(chunk=chunk_to_proto(index, part)) for index, part in enumerate(cut)),
        Frame(trailer=trailer),
    ]


@dataclass
class Spare:
    """A copy that follows the cloud's."""

    receiver: Receiver
    lineage: str = ""
    revision: int = 0
    records: dict[Key, bytes] = field(default_factory=dict)
    version: str = VERSION
    whole_kinds: list[RecordKind] = field(default_factory=list)

    def call(self) -> Any:
        """Begin to pull."""
        request = sync_service_pb2.PullChangesRequest(
            lineage=self.lineage,
            since_revision=self.revision,
            software_version=self.version,
            whole_kinds=[record_pb2.RecordKind.ValueType(int(kind)) for kind in self.whole_kinds],
        )
        stub = sync_service_pb2_grpc.SyncServiceStub(self.receiver.channel)
        return stub.PullChanges(request, metadata=self.receiver.metadata, timeout=DEADLINE)

    async def pull(self) -> "Pulled":
        """Pull, and take it over if its digests agree."""
        return await self.take(self.call())

    async def take(self, call: Any) -> "Pulled":
        """Take over what a call brings."""
        messages = aiter(call)
        reader = TransferReader(header_from_proto((await anext(messages)).header))
        changes = [change async for piece in pieces(messages, reader) for change in piece]
        header = reader.header
        after = {key: payload for key, payload in self.records.items() if key[0] not in header.whole}
        after |= {(change.kind, change.record_id): change.record for change in changes}
        after = {key: payload for key, payload in after.items() if payload}
        assert reader.ended is not None
        agreed = digests_of(after) == reader.ended.digests
        if agreed:
            self.lineage, self.revision, self.records = header.lineage, header.revision, after
        return Pulled(header, changes, agreed)

    def watch(self) -> Any:
        """Watch the cloud's copy."""
        stub = sync_service_pb2_grpc.SyncServiceStub(self.receiver.channel)
        return stub.WatchBackup(
            sync_service_pb2.WatchBackupRequest(), metadata=self.receiver.metadata, timeout=DEADLINE
        )


@dataclass
class Pulled:
    """What a pull brought."""

    header: TransferHeader
    changes: list[Change]
    agreed: bool


def backups(receiver: Receiver) -> Any:
    """The stub of the BackupService."""
    return backup_service_pb2_grpc.BackupServiceStub(receiver.channel)
