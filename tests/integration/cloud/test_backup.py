"""The host's configuration comes to the cloud: whole, in order, and never over another one (B3, B5, B7)."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import grpc
import pytest

from hotspare.v1 import backup_pb2, backup_service_pb2, backup_service_pb2_grpc, record_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.credentials import BearerToken
from tests.integration.cloud.helpers import Account, CloudProcess, refused
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.scene import Configuration, Device, Frame, Scene, change, push, send_push

KINDS = list(range(1, 7))


async def table(receiver: Receiver) -> backup_pb2.BackupTable:
    """The cloud's table."""
    stub = backup_service_pb2_grpc.BackupServiceStub(receiver.channel)
    answer = await stub.GetBackup(backup_service_pb2.GetBackupRequest(), metadata=receiver.metadata)
    return answer.backup


async def host_of(channel: grpc.aio.Channel, account: Account) -> Receiver:
    """A host that has pushed nothing."""
    host = Receiver(channel, account)
    await host.join(HOST)
    return host


async def test_b3_a_push_is_stored_and_shown_and_its_devices_are_known_at_once(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host = await host_of(channel, account)
    empty = await table(host)
    assert (empty.revision, list(empty.rows)) == (0, [])
    configuration, device = Configuration(), Device(channel, account, "one")
    shown = await send_push(host, configuration.changed(device))
    assert shown == await table(host)
    assert (shown.lineage, shown.revision, shown.software_version) == (configuration.lineage, 1, "1.2.3")
    assert [row.kind for row in shown.rows] == KINDS
    assert [row.count for row in shown.rows] == [1, 0, 0, 0, 0, 0]
    assert [row.sha256 for row in shown.rows] == [digest.sha256 for digest in configuration.digests()]
    assert (await device.publish()).account_sequence == 1


async def test_b3_changes_build_on_the_revision_before(channel: grpc.aio.Channel, account: Account) -> None:
    host, configuration = await host_of(channel, account), Configuration()
    devices = [Device(channel, account, f"panel-{number}") for number in range(5)]
    await send_push(host, configuration.changed(*devices[:3]))
    await send_push(host, configuration.changed(devices[3], devices[4], gone=["panel-0"]))
    shown = await send_push(host, configuration.changed(gone=["panel-1"]))
    assert (shown.revision, shown.rows[0].count) == (3, 3)
    assert shown.rows[0].sha256 == configuration.digests()[0].sha256
    for gone in devices[:2]:
        assert (await refused(gone.publish())).reason is Reason.INVALID_CREDENTIALS
    for known in devices[2:]:
        await known.publish()


async def test_b3_the_same_push_again_changes_nothing(channel: grpc.aio.Channel, account: Account) -> None:
    host, configuration = await host_of(channel, account), Configuration()
    first = configuration.changed(Device(channel, account, "one"))
    second = configuration.changed(Device(channel, account, "two"))
    await send_push(host, first)
    shown = await send_push(host, second)
    assert await send_push(host, second) == shown


async def test_b5_many_pieces_are_one_change(channel: grpc.aio.Channel, account: Account) -> None:
    host, configuration = await host_of(channel, account), Configuration()
    devices = [Device(channel, account, f"panel-{number:04}") for number in range(1000)]
    whole = configuration.changed(*devices)
    changes = whole[1].chunk.changes
    pieces = [changes[start : start + 90] for start in range(0, 1000, 90)]
    shown = await send_push(host, push(whole[0].header, pieces, configuration.digests()))
    assert shown.rows[0].count == 1000
    await devices[999].publish()


async def test_b5_two_pushes_at_once_are_judged_one_after_the_other(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, base = await host_of(channel, account), Configuration()
    await send_push(host, base.changed(Device(channel, account, "base")))
    rivals = []
    for number in range(4):
        rival = Configuration(base.lineage)
        rival.revision, rival.records = base.revision, dict(base.records)
        rivals.append(send_push(host, rival.changed(Device(channel, account, f"rival-{number}"))))
    answers = await asyncio.gather(*rivals, return_exceptions=True)
    assert sum(isinstance(answer, backup_pb2.BackupTable) for answer in answers) == 1
    assert (await table(host)).rows[0].count == 2


class Case:
    """A push that is wrong: the host has pushed revision 1 with one device, and now pushes revision 2."""

    def __init__(self, configuration: Configuration, device: Device) -> None:
        self.configuration = configuration
        self.frames = configuration.changed(device)
        self.header = self.frames[0].header
        self.chunk = self.frames[1].chunk
        self.trailer = self.frames[2].trailer


def gap(case: Case) -> None:
    case.chunk.index = 1


def too_few_chunks(case: Case) -> None:
    case.trailer.chunk_count = 2


def too_few_changes(case: Case) -> None:
    case.trailer.change_count = 2


def chunk_twice(case: Case) -> None:
    case.frames.insert(1, case.frames[1])


def other_digest(case: Case) -> None:
    case.trailer.digests[0].sha256 = b"\x01" * 32


def other_count(case: Case) -> None:
    case.trailer.digests[0].count += 1


def digest_left_out(case: Case) -> None:
    del case.trailer.digests[:]


def digest_of_another_kind(case: Case) -> None:
    case.trailer.digests[3].sha256 = b"\x01" * 32


def digest_twice(case: Case) -> None:
    case.trailer.digests.append(record_pb2.KindDigest(kind=record_pb2.RECORD_KIND_DEVICE, sha256=b"\x01" * 32))


def flipped_record(case: Case) -> None:
    record = bytearray(case.chunk.changes[0].record)
    record[-1] ^= 1
    case.chunk.changes[0].record = bytes(record)


def behind(case: Case) -> None:
    case.header.base_revision = 0


def ahead(case: Case) -> None:
    case.header.base_revision, case.header.revision = 7, 8


def same_revision_other_digest(case: Case) -> None:
    case.header.base_digests[0].sha256 = b"\x01" * 32


def another_lineage(case: Case) -> None:
    case.header.lineage = str(uuid4())


def another_lineage_knowingly_but_on_a_base(case: Case) -> None:
    case.header.lineage = str(uuid4())
    case.frames[0].new_lineage = True


def no_lineage(case: Case) -> None:
    case.header.lineage = ""


def long_lineage(case: Case) -> None:
    case.header.lineage = "x" * 65


def not_growing(case: Case) -> None:
    case.header.revision = 1


def huge_revision(case: Case) -> None:
    case.header.revision = 2**64 - 1


def no_header(case: Case) -> None:
    del case.frames[0]


def two_headers(case: Case) -> None:
    case.frames.insert(1, case.frames[0])


def no_trailer(case: Case) -> None:
    del case.frames[2]


def another_kind(case: Case) -> None:
    case.chunk.changes[0].kind = record_pb2.RECORD_KIND_ZONE


def unknown_kind(case: Case) -> None:
    case.chunk.changes[0].kind = record_pb2.RecordKind.ValueType(77)


def no_id(case: Case) -> None:
    case.chunk.changes[0].id = ""


def another_id(case: Case) -> None:
    case.chunk.changes[0].id = "another"


def no_record(case: Case) -> None:
    case.chunk.changes[0].record = b"\xff\xff"


WRONG = [
    (gap, Reason.CHUNK_INVALID, {"index": "1", "expected": "0"}),
    (too_few_chunks, Reason.CHUNK_INVALID, {}),
    (too_few_changes, Reason.CHUNK_INVALID, {}),
    (chunk_twice, Reason.CHUNK_INVALID, {"index": "0", "expected": "1"}),
    (other_digest, Reason.DIGEST_MISMATCH, {"kind": "DEVICE"}),
    (other_count, Reason.DIGEST_MISMATCH, {"kind": "DEVICE"}),
    (digest_left_out, Reason.DIGEST_MISMATCH, {"kind": "DEVICE"}),
    (digest_of_another_kind, Reason.DIGEST_MISMATCH, {"kind": "CHANNEL"}),
    (flipped_record, None, {}),
    (digest_twice, None, {}),
    (behind, Reason.REVISION_BEHIND, {"base_revision": "0", "revision": "1"}),
    (ahead, Reason.REVISION_FORKED, {"revision": "1"}),
    (same_revision_other_digest, Reason.REVISION_FORKED, {"revision": "1"}),
    (another_lineage, Reason.REVISION_FORKED, {"revision": "1"}),
    (another_lineage_knowingly_but_on_a_base, Reason.REVISION_FORKED, {"revision": "1"}),
    (no_lineage, Reason.FIELD_INVALID, {"field": "header.lineage"}),
    (long_lineage, Reason.FIELD_INVALID, {}),
    (not_growing, Reason.FIELD_INVALID, {"field": "header.revision"}),
    (huge_revision, Reason.FIELD_INVALID, {}),
    (no_header, Reason.STREAM_PROTOCOL, {"expected": "header"}),
    (two_headers, Reason.STREAM_PROTOCOL, {}),
    (no_trailer, Reason.STREAM_PROTOCOL, {"expected": "trailer"}),
    (another_kind, Reason.FIELD_INVALID, {}),
    (unknown_kind, Reason.FIELD_INVALID, {}),
    (no_id, Reason.FIELD_INVALID, {}),
    (another_id, Reason.FIELD_INVALID, {}),
    (no_record, Reason.FIELD_INVALID, {}),
]


@pytest.mark.parametrize(("spoil", "reason", "metadata"), WRONG, ids=[case[0].__name__ for case in WRONG])
async def test_b5_b7_a_push_that_is_wrong_is_refused_and_changes_nothing(
    channel: grpc.aio.Channel, account: Account, spoil: Any, reason: Reason | None, metadata: dict[str, str]
) -> None:
    host, configuration = await host_of(channel, account), Configuration()
    known = Device(channel, account, "known")
    await send_push(host, configuration.changed(known))
    before = await table(host)
    case = Case(configuration, Device(channel, account, "new"))
    spoil(case)
    error: HotspareError = await refused(send_push(host, case.frames))
    assert error.reason in ((reason,) if reason else (Reason.FIELD_INVALID, Reason.DIGEST_MISMATCH))
    assert metadata.items() <= error.metadata.items()
    assert await table(host) == before
    await known.publish()


async def test_b7_a_new_lineage_replaces_the_copy_knowingly(channel: grpc.aio.Channel, account: Account) -> None:
    host, old = await host_of(channel, account), Configuration()
    gone = Device(channel, account, "gone")
    await send_push(host, old.changed(gone))
    anew = Configuration()
    frames = anew.changed(Device(channel, account, "kept"))
    assert (await refused(send_push(host, frames))).reason is Reason.REVISION_FORKED
    frames[0].new_lineage = True
    assert (await refused(send_push(host, frames))).metadata["field"] == "header.revision"
    frames[0].header.revision = 2
    shown = await send_push(host, frames)
    assert (shown.lineage, shown.revision, shown.rows[0].count) == (anew.lineage, 2, 1)
    assert await send_push(host, frames) == shown
    assert (await refused(gone.publish())).reason is Reason.INVALID_CREDENTIALS


async def test_b5_a_push_that_breaks_off_changes_nothing(channel: grpc.aio.Channel, account: Account) -> None:
    host, configuration = await host_of(channel, account), Configuration()
    frames = configuration.changed(Device(channel, account, "one"))
    stub = backup_service_pb2_grpc.BackupServiceStub(channel)
    call = stub.PushChanges(metadata=host.metadata)
    for frame in frames[:2]:
        await call.write(frame)
    call.cancel()
    assert (await table(host)).revision == 0
    assert (await send_push(host, frames)).revision == 1


async def test_b2_only_the_host_pushes(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    frames = scene.configuration.changed(Device(channel, account, "new"))
    error = await refused(send_push(scene.spare, frames))
    assert error.reason is Reason.NOT_EDITABLE_HERE
    assert error.metadata == {"role": "SPARE_1", "host_receiver_id": scene.host.receiver_id, "host_address": ""}
    error = await refused(send_push(Receiver(channel, account), frames))
    assert error.reason is Reason.NOT_A_MEMBER
    assert (await send_push(scene.host, frames)).revision == 2


async def test_b6_every_member_and_the_operator_read_the_table(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    assert await table(scene.spare) == await table(scene.host)
    stub = backup_service_pb2_grpc.BackupServiceStub(channel)
    request = backup_service_pb2.GetBackupRequest(arc_id=account.arc_id, sub_account="default")
    answer = await stub.GetBackup(request, metadata=BearerToken(cloud.token).metadata())
    assert answer.backup == await table(scene.host)


async def test_s2_groups_of_one_account_have_copies_of_their_own(channel: grpc.aio.Channel, account: Account) -> None:
    first = await Scene.set(channel, account, spares=0, devices=1)
    second = await Scene.set(channel, account, spares=0, devices=2, sub_account="second")
    assert [(await table(scene.host)).rows[0].count for scene in (first, second)] == [1, 2]
    await send_push(second.host, second.configuration.changed(gone=["panel-1"]))
    await first.devices[0].publish()
    assert (await refused(second.devices[0].publish())).reason is Reason.INVALID_CREDENTIALS


async def test_f4_a_spare_that_becomes_the_host_pushes_on(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.host.leave()
    await scene.spare.join(HOST)
    frames: Sequence[Frame] = scene.configuration.changed(Device(channel, account, "new"))
    assert (await send_push(scene.spare, frames)).revision == 2
    await scene.host.join(SPARE_1)
    assert (await refused(send_push(scene.host, frames))).reason is Reason.NOT_EDITABLE_HERE


async def test_b5_a_deletion_of_what_is_not_there_is_no_error(channel: grpc.aio.Channel, account: Account) -> None:
    host, configuration = await host_of(channel, account), Configuration()
    await send_push(host, configuration.changed(Device(channel, account, "one")))
    header = backup_pb2.ChangeHeader(
        lineage=configuration.lineage, base_revision=1, base_digests=configuration.digests(), revision=2
    )
    shown = await send_push(host, push(header, [[change("never-was", b"")]], configuration.digests()))
    assert (shown.revision, shown.rows[0].count) == (2, 1)
