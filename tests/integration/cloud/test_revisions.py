"""Older revisions are kept, shown, compared and brought back (B8), by whom it concerns (S2, S5)."""

import asyncio
from typing import Any
from uuid import uuid4

import grpc
import pytest

from hotspare.v1 import backup_pb2, backup_service_pb2, role_service_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.errors import Reason
from hotspare_rpc.credentials import BearerToken, sha256
from tests.integration.cloud.helpers import DEADLINE, Account, CloudProcess, refused
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.records import DEVICE, USER, ZONE, Host, Spare, backups, digests_of, record
from tests.integration.cloud.scene import Device, send_push
from tests.integration.cloud.test_sync import cast, table

PANEL, OTHER = (DEVICE, "panel"), (DEVICE, "other")


def panel(key: str, device_id: str = "panel") -> bytes:
    """A device with this key."""
    message = record((DEVICE, device_id))
    return message.replace(sha256(f"key of {device_id}"), sha256(key))


async def revisions(receiver: Receiver, size: int = 0) -> list[backup_pb2.BackupRevision]:
    """All revisions, page by page."""
    found: list[backup_pb2.BackupRevision] = []
    token = ""
    while True:
        request = backup_service_pb2.ListBackupRevisionsRequest(page_size=size, page_token=token)
        answer = await backups(receiver).ListBackupRevisions(request, metadata=receiver.metadata, timeout=DEADLINE)
        found += answer.revisions
        token = answer.next_page_token
        if not token:
            return found


async def until_kept(receiver: Receiver, wanted: list[int]) -> None:
    """Wait until these revisions are kept, and no others."""
    async with asyncio.timeout(DEADLINE):
        while [each.revision for each in await revisions(receiver)] != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def diff(receiver: Receiver, older: int, newer: int = 0, **more: Any) -> Any:
    """Compare two revisions."""
    request = backup_service_pb2.DiffBackupRevisionsRequest(from_revision=older, to_revision=newer, **more)
    return backups(receiver).DiffBackupRevisions(request, metadata=receiver.metadata, timeout=DEADLINE)


def restore(receiver: Receiver, number: int, request_id: str = "", **more: Any) -> Any:
    """Bring a revision back."""
    request = backup_service_pb2.RestoreBackupRequest(revision=number, request_id=request_id or str(uuid4()), **more)
    return backups(receiver).RestoreBackup(request, metadata=receiver.metadata, timeout=DEADLINE)


async def test_b8_revisions_are_listed_newest_first_page_by_page(channel: grpc.aio.Channel, account: Account) -> None:
    host, spare = await cast(channel, account)
    for number in range(1, 6):
        frames = host.frames_for({(USER, f"{number}"): record((USER, f"{number}"))}, operator_name=f"operator-{number}")
        await send_push(host.receiver, frames)
    for size in (0, 1, 2, 5):
        found = await revisions(spare.receiver, size)
        assert [each.revision for each in found] == [5, 4, 3, 2, 1]
    assert [each.operator_name for each in found] == [f"operator-{number}" for number in (5, 4, 3, 2, 1)]
    assert {(each.lineage, each.receiver_id, each.change_count) for each in found} == {
        (host.lineage, host.receiver.receiver_id, 1)
    }
    assert [digest.sha256 for digest in found[0].digests] == [digest.sha256 for digest in digests_of(host.records)]


async def test_b8_two_revisions_are_compared_record_by_record_without_secrets(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    await host.push(
        {PANEL: record(PANEL), (ZONE, "panel/1"): record((ZONE, "panel/1")), (USER, "b"): record((USER, "b"))}
    )
    await host.push({PANEL: record(PANEL, "Shop"), (ZONE, "panel/1"): b""})
    await host.push({(USER, "b"): record((USER, "b"), "Bob"), (USER, "c"): record((USER, "c"))})
    found = (await diff(spare.receiver, 1)).differences
    assert [(each.kind, each.id) for each in found] == [(1, "panel"), (3, "panel/1"), (5, "b"), (5, "c")]
    assert (found[0].before.device.device.name, found[0].after.device.device.name) == ("", "Shop")
    assert (found[0].after.device.device_key_sha256, found[0].after.device.dc09_key) == (b"", b"")
    assert (found[1].before.zone.number, found[1].HasField("after")) == (1, False)
    assert (found[3].HasField("before"), found[3].after.user.user_id) == (False, "c")
    assert [each.id for each in (await diff(spare.receiver, 2, 3)).differences] == ["b", "c"]
    assert [each.id for each in (await diff(spare.receiver, 1, kind=ZONE)).differences] == ["panel/1"]
    assert (await diff(spare.receiver, 3)).differences == []


async def test_b8_a_comparison_comes_in_pages_of_the_same_two_revisions(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, _ = await cast(channel, account)
    await host.push({PANEL: record(PANEL)})
    keys = [(kind, f"panel/{number}") for kind in (RecordKind.PARTITION, ZONE) for number in range(1, 8)]
    await host.push({key: record(key) for key in keys})
    found, token = [], ""
    while True:
        answer = await diff(host.receiver, 1, page_size=3, page_token=token)
        found += [(each.kind, each.id) for each in answer.differences]
        token = answer.next_page_token
        if not token:
            break
        if len(found) == 3:
            first = token
            await host.push({(ZONE, "panel/1"): b""})
    assert found == [(int(kind), name) for kind, name in keys]
    for strange in (diff(host.receiver, 2, page_token=first), diff(host.receiver, 1, page_token="x" * 9)):
        assert (await refused(strange)).reason is Reason.PAGE_TOKEN_INVALID
    request = backup_service_pb2.ListBackupRevisionsRequest(page_token=first)
    call = backups(host.receiver).ListBackupRevisions(request, metadata=host.receiver.metadata)
    assert (await refused(call)).reason is Reason.PAGE_TOKEN_INVALID


async def test_b8_a_revision_that_is_not_kept_is_told(channel: grpc.aio.Channel, account: Account) -> None:
    host, _ = await cast(channel, account)
    assert (await refused(restore(host.receiver, 0))).reason is Reason.REVISION_NOT_FOUND
    await host.push({PANEL: record(PANEL)})
    for call in (diff(host.receiver, 7), diff(host.receiver, 1, 9), restore(host.receiver, 9)):
        error = await refused(call)
        assert (error.reason, error.metadata["oldest"], error.metadata["newest"]) == (
            Reason.REVISION_NOT_FOUND,
            "1",
            "1",
        )
    for call in (diff(host.receiver, 0), diff(host.receiver, 2**63), restore(host.receiver, 2**63)):
        assert (await refused(call)).reason is Reason.FIELD_INVALID
    assert (await refused(restore(host.receiver, 1, "no uuid"))).reason is Reason.FIELD_INVALID


async def test_b8_a_restore_is_a_new_revision_with_the_contents_and_devices_of_then(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    panels = {name: Device(channel, account, name, key=f"key-{name}") for name in ("panel", "other", "new")}
    await host.push({PANEL: panel("key-panel"), OTHER: panel("key-other", "other"), (USER, "b"): record((USER, "b"))})
    then = dict(host.records)
    await spare.pull()
    await host.push({PANEL: panel("renewed"), OTHER: b"", (DEVICE, "new"): panel("key-new", "new")})
    await panels["new"].publish()
    assert (await refused(panels["other"].publish())).reason is Reason.INVALID_CREDENTIALS
    watch = spare.watch()
    await watch.read()
    wish = str(uuid4())
    shown = (await restore(host.receiver, 1, wish)).backup
    assert (shown.lineage, shown.revision, shown.software_version) == (host.lineage, 3, host.version)
    assert [row.sha256 for row in shown.rows] == [digest.sha256 for digest in digests_of(then)]
    assert [row.revision for row in shown.rows] == [3, 0, 0, 0, 1, 0]
    told = await watch.read()
    assert (told.revision, told.restored_from, told.base_revision, told.base_lineage) == (3, 1, 2, host.lineage)
    pulled = await spare.pull()
    assert (pulled.agreed, pulled.header.base_revision, spare.records) == (True, 1, then)
    # The devices of then, with the keys of then, are known at once.
    await panels["other"].publish()
    await panels["panel"].publish()
    assert (await refused(panels["new"].publish())).reason is Reason.INVALID_CREDENTIALS
    # The same wish again changes nothing, nor does what is so already.
    assert (await restore(host.receiver, 1, wish.upper())).backup == shown
    assert (await restore(host.receiver, 1)).backup == shown
    assert (await restore(host.receiver, 0)).backup == shown
    newest = (await revisions(host.receiver))[0]
    assert (newest.restored_from, newest.change_count) == (1, 3)
    # And the host goes on from it.
    host.revision, host.records = 3, then
    assert (await host.push({(USER, "z"): record((USER, "z"))})).revision == 4


async def test_b8_who_restores_is_written_down(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    for name in ("", "A", "B"):
        await host.push({PANEL: record(PANEL, name)})
    assert (await refused(restore(spare.receiver, 1))).reason is Reason.NOT_EDITABLE_HERE
    assert (await refused(restore(Receiver(channel, account), 1))).reason is Reason.NOT_A_MEMBER
    operator = Receiver(channel, account)
    operator.metadata = BearerToken(cloud.token).metadata()
    named: dict[str, Any] = {"arc_id": account.arc_id, "sub_account": ""}
    assert (await restore(operator, 1, **named)).backup.revision == 4
    host.receiver.metadata = (*host.receiver.metadata, ("hotspare-operator", "ann"))
    await restore(host.receiver, 2)
    request = backup_service_pb2.ListBackupRevisionsRequest(**named)
    answer = await backups(operator).ListBackupRevisions(request, metadata=operator.metadata)
    assert [(each.operator_name, each.restored_from) for each in answer.revisions[:2]] == [("ann", 2), ("admin", 1)]
    assert (await refused(restore(operator, 1, arc_id="nobody"))).reason is Reason.RESOURCE_NOT_FOUND


async def test_b7_start_lineage_is_the_hosts_own(channel: grpc.aio.Channel, account: Account) -> None:
    host, _ = await cast(channel, account)
    request = backup_service_pb2.StartLineageRequest(request_id=str(uuid4()), confirmed=True)
    call = backups(host.receiver).StartLineage(request, metadata=host.receiver.metadata)
    assert (await refused(call)).reason is Reason.NOT_SERVED


async def test_b7_b8_revisions_of_an_older_lineage_can_be_brought_back(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    await host.push({PANEL: record(PANEL)})
    then = dict(host.records)
    await spare.pull()
    anew = Host(host.receiver)
    frames = anew.frames_for({OTHER: record(OTHER)}, new_lineage=True)
    frames[0].header.revision = 2
    await send_push(host.receiver, frames)
    assert (await spare.pull()).header.base_revision == 0
    shown = (await restore(host.receiver, 1)).backup
    assert (shown.lineage, shown.revision) == (anew.lineage, 3)
    assert (await spare.pull()).header.base_revision == 2
    assert spare.records == then


async def test_b8_only_so_many_older_revisions_stay(channel: grpc.aio.Channel, account: Account) -> None:
    host, spare = await cast(channel, account)
    await host.push({PANEL: record(PANEL)})
    await spare.pull()
    request = role_service_pb2.UpdateGroupSettingsRequest()
    request.settings.revision_max_count = 2
    request.update_mask.paths.append("revision_max_count")
    await host.receiver.roles.UpdateGroupSettings(request, metadata=host.receiver.metadata)
    for name in "abcd":
        await host.push({PANEL: record(PANEL, name)})
    await until_kept(host.receiver, [5, 4, 3])
    assert (await refused(diff(host.receiver, 1))).metadata["oldest"] == "3"
    assert (await refused(restore(host.receiver, 2))).reason is Reason.REVISION_NOT_FOUND
    # The spare's revision is gone: it gets all.
    pulled = await spare.pull()
    assert (pulled.agreed, pulled.header.base_revision) == (True, 0)
    assert spare.records == host.records


async def test_b3_many_pushes_at_once_are_judged_one_after_the_other(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    await host.push({PANEL: record(PANEL)})
    rivals = []
    for number in range(4):
        rival = Host(host.receiver, host.lineage, 1, dict(host.records))
        rivals.append(rival.push({(USER, f"{number}"): record((USER, f"{number}"))}))
    answers = await asyncio.gather(*rivals, return_exceptions=True)
    assert sum(isinstance(answer, backup_pb2.BackupTable) for answer in answers) == 1
    assert [row.count for row in (await table(host.receiver)).rows] == [1, 0, 0, 0, 1, 0]
    assert (await spare.pull()).agreed


@pytest.mark.parametrize("role", [HOST, SPARE_1])
async def test_b6_every_member_reads_the_revisions(channel: grpc.aio.Channel, account: Account, role: int) -> None:
    host, spare = await cast(channel, account)
    await host.push({PANEL: record(PANEL)})
    asking = host.receiver if role == HOST else spare.receiver
    assert [each.revision for each in await revisions(asking)] == [1]
    assert isinstance(spare, Spare)
