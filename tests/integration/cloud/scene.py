"""Devices, the configuration that makes them known, and a whole group for a story."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import (
    alarm_pb2,
    alarm_service_pb2,
    alarm_service_pb2_grpc,
    backup_pb2,
    backup_service_pb2,
    backup_service_pb2_grpc,
    record_pb2,
)
from hotspare_model.digest import KindDigest, RecordKind, digest_of, empty_digests
from hotspare_rpc.credentials import DeviceCredentials, new_secret, sha256
from tests.integration.cloud.helpers import DEADLINE, Account
from tests.integration.cloud.receivers import ROLES, Receiver

Frame = backup_service_pb2.PushChangesRequest


@dataclass
class Device:
    """A panel."""

    channel: grpc.aio.Channel
    account: Account
    device_id: str
    account_number: str = "1234"
    key: str = field(default_factory=new_secret, repr=False)

    @property
    def metadata(self) -> Any:
        """Its credentials."""
        return DeviceCredentials(self.account.arc_id, self.device_id, self.key).metadata()

    def record(self) -> bytes:
        """Its record, as a host sends it."""
        device = record_pb2.Device(device_id=self.device_id, account_number=self.account_number)
        travelling = record_pb2.DeviceRecord(device=device, device_key_sha256=sha256(self.key))
        return record_pb2.Record(device=travelling).SerializeToString(deterministic=True)

    async def publish(self, zone: int = 1, **fields: Any) -> alarm_service_pb2.AlarmReceipt:
        """Publish one alarm, and return its receipt."""
        return await self.send(new_alarm(zone, **fields))

    async def send(self, alarm: alarm_pb2.Alarm) -> alarm_service_pb2.AlarmReceipt:
        """Publish this very alarm."""
        request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=alarm))
        stub = alarm_service_pb2_grpc.AlarmServiceStub(self.channel)
        return (await stub.PublishAlarm(request, metadata=self.metadata, timeout=DEADLINE)).receipt

    def stream(self, batches: Iterable[Any]) -> Any:
        """Open a stream of batches."""
        stub = alarm_service_pb2_grpc.AlarmServiceStub(self.channel)
        return stub.PublishAlarms(iter(batches), metadata=self.metadata, timeout=DEADLINE)

    def stream_of_nothing(self) -> Any:
        """Open a stream of batches, and send none."""
        return alarm_service_pb2_grpc.AlarmServiceStub(self.channel).PublishAlarms(metadata=self.metadata)


def new_alarm(zone: int = 1, **fields: Any) -> alarm_pb2.Alarm:
    """An alarm that nothing is odd about."""
    told: dict[str, Any] = {
        "alarm_id": str(uuid4()),
        "qualifier": alarm_pb2.QUALIFIER_NEW,
        "code_format": alarm_pb2.CODE_FORMAT_CONTACT_ID,
        "code": "130",
        "partition": 1,
        "zone": zone,
        "occur_time": timestamp(datetime.now(UTC)),
    }
    return alarm_pb2.Alarm(**{**told, **fields})


def timestamp(time: datetime) -> Timestamp:
    """A time as a message."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def batch(number: int, alarms: Sequence[alarm_pb2.Alarm]) -> alarm_service_pb2.PublishAlarmsRequest:
    """A batch of a stream."""
    submissions = [alarm_service_pb2.AlarmSubmission(alarm=alarm) for alarm in alarms]
    return alarm_service_pb2.PublishAlarmsRequest(batch=number, submissions=submissions)


class Configuration:
    """The configuration of a host: devices by id, with lineage and revision."""

    def __init__(self, lineage: str = "") -> None:
        self.lineage = lineage or str(uuid4())
        self.revision = 0
        self.records: dict[str, bytes] = {}

    def digests(self, records: dict[str, bytes] | None = None) -> list[record_pb2.KindDigest]:
        """The digests of all kinds."""
        known = self.records if records is None else records
        digests = {each.kind: each for each in empty_digests()}
        digests[RecordKind.DEVICE] = digest_of(RecordKind.DEVICE, known.items())
        return [digest_message(digests[kind]) for kind in RecordKind]

    def changed(self, *devices: Device, gone: Sequence[str] = ()) -> list[Frame]:
        """Take changes over, and return the push that tells the cloud of them."""
        changes = [(device.device_id, device.record()) for device in devices] + [(name, b"") for name in gone]
        base, before = self.revision, self.digests()
        self.revision += 1
        self.records |= dict(changes)
        self.records = {name: record for name, record in self.records.items() if record}
        return push(
            backup_pb2.ChangeHeader(
                lineage=self.lineage,
                base_revision=base,
                base_digests=before if base else [],
                revision=self.revision,
                software_version="1.2.3",
            ),
            [[change(name, record) for name, record in sorted(changes)]],
            self.digests(),
        )


def change(record_id: str, record: bytes, kind: int = record_pb2.RECORD_KIND_DEVICE) -> record_pb2.RecordChange:
    """One change; an empty record is one that is gone."""
    return record_pb2.RecordChange(kind=record_pb2.RecordKind.ValueType(kind), id=record_id, record=record)


def push(
    header: backup_pb2.ChangeHeader,
    chunks: Sequence[Sequence[record_pb2.RecordChange]],
    digests: Sequence[record_pb2.KindDigest],
    **more: Any,
) -> list[Frame]:
    """The frames of a push that is right in itself."""
    frames = [Frame(header=header, **more)]
    frames += [
        Frame(chunk=backup_pb2.ChangeChunk(index=index, changes=changes)) for index, changes in enumerate(chunks)
    ]
    count = sum(len(changes) for changes in chunks)
    trailer = backup_pb2.ChangeTrailer(chunk_count=len(chunks), change_count=count, digests=digests)
    return [*frames, Frame(trailer=trailer)]


def digest_message(digest: KindDigest) -> record_pb2.KindDigest:
    """A digest as a message."""
    return record_pb2.KindDigest(
        kind=record_pb2.RecordKind.ValueType(digest.kind), count=digest.count, sha256=digest.sha256
    )


async def send_push(receiver: Receiver, frames: Iterable[Frame]) -> backup_pb2.BackupTable:
    """Push, and return the cloud's table afterwards."""
    stub = backup_service_pb2_grpc.BackupServiceStub(receiver.channel)
    answer = await stub.PushChanges(iter(frames), metadata=receiver.metadata, timeout=DEADLINE)
    return answer.backup


class Scene:
    """A group with receivers that joined and devices that are known. Nobody attends yet.

    What is opened ends with the channel, so nobody has to close it.
    """

    def __init__(self, receivers: Sequence[Receiver], devices: Sequence[Device], configuration: Configuration) -> None:
        self.receivers = receivers
        self.devices = devices
        self.configuration = configuration

    @classmethod
    async def set(
        cls, channel: grpc.aio.Channel, account: Account, *, spares: int = 1, devices: int = 2, sub_account: str = ""
    ) -> "Scene":
        """Set the scene."""
        receivers = [Receiver(channel, account, sub_account=sub_account) for _ in range(spares + 1)]
        for receiver, role in zip(receivers, ROLES, strict=False):
            await receiver.join(role)
        panels = [Device(channel, account, f"panel-{number}", f"{4000 + number}") for number in range(1, devices + 1)]
        configuration = Configuration()
        await send_push(receivers[0], configuration.changed(*panels))
        return cls(receivers, panels, configuration)

    @property
    def host(self) -> Receiver:
        """The host."""
        return self.receivers[0]

    @property
    def spare(self) -> Receiver:
        """Spare 1."""
        return self.receivers[1]

    async def attend(self) -> None:
        """All attend, the host first, so that it works in epoch 1."""
        for receiver in self.receivers:
            await receiver.attend()
            await self.host.until_working()
