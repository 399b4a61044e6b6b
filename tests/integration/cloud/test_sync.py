"""The spares follow the cloud's copy (B4, B5, V1), and it heals (B5)."""

import asyncio
import sqlite3
from typing import Any

import grpc
import pytest

from hotspare.v1 import backup_service_pb2, group_pb2
from hotspare_cloud.services.backup_convert import row_of
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_cloud.transfers import Transfer
from hotspare_model.digest import RecordKind
from hotspare_model.errors import Reason
from hotspare_model.transfer import Change, TransferHeader
from hotspare_rpc.channel import open_channel
from tests.integration.cloud.helpers import DEADLINE, QUICK, Account, CloudProcess, furnish, new_accounts, refused
from tests.integration.cloud.receivers import HOST, SPARE_1, Receiver
from tests.integration.cloud.records import (
    DEVICE,
    EVENT,
    USER,
    VERSION,
    ZONE,
    Host,
    Spare,
    backups,
    digests_of,
    frames_of,
    record,
)
from tests.integration.cloud.scene import send_push

ALL_KINDS = {
    key: record(key)
    for key in (
        (DEVICE, "a"),
        (RecordKind.PARTITION, "a/1"),
        (ZONE, "a/1"),
        (RecordKind.CHANNEL, "a/1"),
        (USER, "ann"),
        (EVENT, "130"),
    )
}


async def cast(channel: grpc.aio.Channel, account: Account, **more: Any) -> tuple[Host, Spare]:
    """A host and its spare."""
    host, spare = (Receiver(channel, account, **more) for _ in range(2))
    await host.join(HOST)
    await spare.join(SPARE_1)
    return Host(host), Spare(spare)


def zones(count: int, name: str = "") -> dict[tuple[RecordKind, str], bytes]:
    """So many zones."""
    keys = [(ZONE, f"panel-{number // 500}/{number % 500 + 1}") for number in range(count)]
    return {key: record(key, name) for key in keys}


async def table(receiver: Receiver) -> Any:
    """The cloud's table."""
    request = backup_service_pb2.GetBackupRequest()
    return (await backups(receiver).GetBackup(request, metadata=receiver.metadata, timeout=DEADLINE)).backup


async def test_b4_a_spare_gets_all_kinds_and_then_only_what_changed(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    await host.push(ALL_KINDS, operator_name="ann")
    first = await spare.pull()
    assert (first.agreed, first.header.base_revision, spare.records) == (True, 0, host.records)
    assert {change.operator for change in first.changes} == {"ann"}
    await host.push({(USER, "ann"): record((USER, "ann"), "Ann"), (EVENT, "130"): b""})
    second = await spare.pull()
    assert (second.agreed, second.header.base_revision, len(second.changes)) == (True, 1, 2)
    assert (spare.records, spare.revision) == (host.records, 2)
    third = await spare.pull()
    assert (third.agreed, third.header.base_revision, third.changes) == (True, 2, [])


async def test_b6_each_kind_tells_when_it_changed_last(channel: grpc.aio.Channel, account: Account) -> None:
    host, spare = await cast(channel, account)
    await host.push({(DEVICE, "a"): record((DEVICE, "a"))})
    before = await table(host.receiver)
    await host.push({(ZONE, "a/1"): record((ZONE, "a/1"))})
    after = await table(spare.receiver)
    assert [row.revision for row in after.rows] == [1, 0, 2, 0, 0, 0]
    assert [row.name for row in after.rows] == ["devices", "partitions", "zones", "channels", "users", "events"]
    assert after.rows[0] == before.rows[0]
    assert not after.rows[1].HasField("update_time")


async def test_b4_a_spare_of_another_lineage_or_beyond_gets_all(channel: grpc.aio.Channel, account: Account) -> None:
    host, spare = await cast(channel, account)
    await host.push(ALL_KINDS)
    await host.push({(USER, "bob"): record((USER, "bob"))})
    for lineage, revision in (("other", 1), (host.lineage, 9), ("", 0)):
        stranger = Spare(spare.receiver, lineage, revision, {(USER, "old"): b"old"})
        pulled = await stranger.pull()
        assert (pulled.agreed, pulled.header.base_revision) == (True, 0)
        assert stranger.records == host.records


async def test_b5_a_kind_is_fetched_whole_when_asked_for(channel: grpc.aio.Channel, account: Account) -> None:
    host, spare = await cast(channel, account)
    await host.push(ALL_KINDS)
    await spare.pull()
    spare.records[ZONE, "a/1"] = b"flipped"
    spare.whole_kinds = [ZONE]
    await host.push({(USER, "bob"): record((USER, "bob"))})
    pulled = await spare.pull()
    assert (pulled.agreed, pulled.header.whole_kinds) == (True, (ZONE,))
    assert [change.kind for change in pulled.changes] == [ZONE, USER]


async def test_b5_a_push_that_lands_in_the_middle_of_a_pull_changes_nothing_of_it(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    await host.push(zones(4_000, "x" * 4_000))
    before = dict(host.records)
    first = aiter(spare.call())
    await anext(first)
    await host.push({key: record(key, "y") if number % 2 else b"" for number, key in enumerate(before)})
    again = spare.call()
    pulled = await spare.take(again)
    assert pulled.agreed
    assert spare.records == host.records
    # The first pull goes on with what it began with, from its second message.
    rest = [message async for message in first]
    changes = [change for message in rest for change in message.chunk.changes]
    assert {(RecordKind(change.kind), change.id): change.record for change in changes} == before


async def test_b5_a_push_cut_off_at_any_piece_changes_nothing_and_can_be_sent_again(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    await host.push(ALL_KINDS)
    frames = host.frames_for(zones(40), piece=300)
    assert len(frames) > 8
    for count in range(1, len(frames)):
        error = await refused(send_push(host.receiver, frames[:count]))
        assert error.reason is Reason.STREAM_PROTOCOL
    assert (await table(host.receiver)).revision == 1
    assert (await send_push(host.receiver, frames)).revision == 2
    assert (await spare.pull()).agreed
    assert spare.records == host.records


async def test_b5_each_piece_once_and_in_order(channel: grpc.aio.Channel, account: Account) -> None:
    host, _ = await cast(channel, account)
    frames = host.frames_for(zones(40), piece=300)
    for wrong in (
        [*frames[:3], *frames[2:]],
        [*frames[:2], *frames[3:]],
        [*frames[:2], frames[3], frames[2], *frames[4:]],
    ):
        assert (await refused(send_push(host.receiver, wrong))).reason is Reason.CHUNK_INVALID
    assert (await table(host.receiver)).revision == 0
    assert (await send_push(host.receiver, frames)).revision == 1


async def test_v1_a_spare_of_another_version_gets_nothing_and_the_host_does(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host, spare = await cast(channel, account)
    await host.push(ALL_KINDS)
    spare.version = "1.3.0"
    error = await refused(spare.pull())
    assert (error.reason, error.metadata) == (Reason.VERSION_DIFFERS, {"version": "1.3.0", "required": VERSION})
    anew = Spare(host.receiver, version="1.3.0")
    assert (await anew.pull()).agreed
    # A host that was upgraded stores its version with a revision of its own (V2).
    host.version = "1.3.0"
    assert (await host.push({})).software_version == "1.3.0"
    assert (await spare.pull()).agreed
    spare.version = ""
    assert (await refused(spare.pull())).reason is Reason.FIELD_INVALID


async def test_b4_only_members_follow(channel: grpc.aio.Channel, account: Account, other_account: Account) -> None:
    host, spare = await cast(channel, account)
    await host.push(ALL_KINDS)
    for stranger in (Receiver(channel, account), Receiver(channel, other_account)):
        assert (await refused(Spare(stranger).pull())).reason is Reason.NOT_A_MEMBER
        assert (await refused(Spare(stranger).watch().read())).reason is Reason.NOT_A_MEMBER
    await host.receiver.leave()
    for call in (spare.pull(), spare.watch().read()):
        assert (await refused(call)).reason is Reason.HOT_SPARE_ENDED


async def test_s2_a_spare_of_another_account_or_group_sees_nothing_of_it(
    channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    host, spare = await cast(channel, account)
    await host.push(ALL_KINDS)
    for elsewhere in (await cast(channel, other_account), await cast(channel, account, sub_account="second")):
        pulled = await elsewhere[1].call().read()
        assert (pulled.header.lineage, pulled.header.revision) == ("", 0)
        assert (await elsewhere[1].watch().read()).revision == 0
        request = backup_service_pb2.DiffBackupRevisionsRequest(from_revision=1)
        receiver = elsewhere[1].receiver
        call = backups(receiver).DiffBackupRevisions(request, metadata=receiver.metadata)
        assert (await refused(call)).reason is Reason.REVISION_NOT_FOUND
    assert (await spare.pull()).agreed


async def test_b4_a_watch_tells_the_newest_and_then_each_change(channel: grpc.aio.Channel, account: Account) -> None:
    host, spare = await cast(channel, account)
    watch = spare.watch()
    assert (await watch.read()).revision == 0
    await host.push(ALL_KINDS)
    told = await watch.read()
    assert (told.revision, told.lineage, told.software_version) == (1, host.lineage, VERSION)
    assert [digest.sha256 for digest in told.digests] == [digest.sha256 for digest in digests_of(host.records)]
    await host.push({})
    told = await watch.read()
    assert (told.revision, told.base_revision, told.base_lineage) == (2, 1, host.lineage)
    late = Spare(spare.receiver).watch()
    assert (await late.read()).revision == 2
    await spare.receiver.leave()
    assert (await refused(watch.read())).reason is Reason.NOT_A_MEMBER


async def test_g7_one_that_works_alone_follows_while_there_is_no_host(
    channel: grpc.aio.Channel, account: Account
) -> None:
    alone = Receiver(channel, account)
    await alone.attend()
    host = Host(alone)
    await host.push(ALL_KINDS)
    anew = Spare(alone)
    assert (await anew.pull()).agreed
    other = Receiver(channel, account)
    await other.join(HOST)
    assert (await refused(anew.pull())).reason is Reason.NOT_A_MEMBER


# A cloud of its own.


async def alone_with(cloud: CloudProcess) -> Account:
    """An account of a cloud of the test's own."""
    account = new_accounts("own", 1)[0]
    await furnish(cloud.data, [account], QUICK)
    return account


async def test_b5_a_bit_that_flips_in_the_store_is_kept_out_shown_and_mended(own_cloud: CloudProcess) -> None:
    account = await alone_with(own_cloud)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        host, spare = await cast(channel, account)
        await host.push({**ALL_KINDS, **zones(300)})
        flip(
            own_cloud,
            "UPDATE record SET payload = CAST(substr(payload, 1, length(payload) - 1) || '!' AS BLOB) WHERE kind = 3",
        )
        watch = Spare(host.receiver).watch()
        assert (await watch.read()).revision == 1
        pulled = await spare.pull()
        assert (pulled.agreed, spare.revision) == (False, 0)
        assert (await asyncio.wait_for(watch.read(), DEADLINE)).revision == 1
        rows = (await table(host.receiver)).rows
        assert [row.status == group_pb2.SYNC_STATE_FAILED for row in rows] == [False, False, True, False, False, False]
        # The host sends the kind whole, within the same revision.
        digests = digests_of(host.records)
        header = TransferHeader(host.lineage, 1, digests, 1, VERSION, (ZONE,))
        kind = {key: payload for key, payload in host.records.items() if key[0] is ZONE}
        shown = await send_push(host.receiver, frames_of(header, kind, digests, 500))
        assert (shown.revision, {row.status for row in shown.rows}) == (1, {group_pb2.SYNC_STATE_UP_TO_DATE})
        assert (await spare.pull()).agreed
        assert spare.records == host.records
    assert "backup_damaged" in own_cloud.log()


async def test_b5_a_push_that_meets_a_flipped_bit_is_refused_and_then_sent_with_the_kind_whole(
    own_cloud: CloudProcess,
) -> None:
    account = await alone_with(own_cloud)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        host, spare = await cast(channel, account)
        await host.push({**ALL_KINDS, **zones(2000)})
        before = dict(host.records)
        # A change meets the damage where it shares a bucket with it.
        flip(own_cloud, "UPDATE record SET payload = x'00' WHERE kind = 3")
        frames = host.frames_for({(ZONE, "panel-9/1"): record((ZONE, "panel-9/1"))})
        assert (await refused(send_push(host.receiver, frames))).metadata == {"kind": "ZONE"}
        assert (await table(host.receiver)).rows[2].status == group_pb2.SYNC_STATE_FAILED
        host.revision, host.records = 1, before
        shown = await host.push({(ZONE, "panel-9/1"): record((ZONE, "panel-9/1"))}, whole=[ZONE])
        assert (shown.revision, shown.rows[2].status) == (2, group_pb2.SYNC_STATE_UP_TO_DATE)
        assert (await spare.pull()).agreed
        assert spare.records == host.records


async def test_b5_a_digest_of_a_bucket_that_flips_is_put_right_by_itself(own_cloud: CloudProcess) -> None:
    account = await alone_with(own_cloud)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        host, spare = await cast(channel, account)
        await host.push({**ALL_KINDS, **zones(300)})
        flip(own_cloud, "UPDATE bucket SET sha256 = x'00' WHERE kind = 3")
        frames = host.frames_for({(ZONE, "panel-9/1"): record((ZONE, "panel-9/1"))})
        assert (await refused(send_push(host.receiver, frames))).reason is Reason.DIGEST_MISMATCH
        assert (await send_push(host.receiver, frames)).revision == 2
        assert (await spare.pull()).agreed
        assert spare.records == host.records


def flip(cloud: CloudProcess, statement: str) -> None:
    """Change the store behind the cloud's back."""
    with sqlite3.connect(cloud.data / "cloud.db") as db:
        assert db.execute(statement).rowcount
    db.close()


async def test_b5_what_was_under_way_when_the_cloud_died_is_gone_and_can_be_sent_again(
    own_cloud: CloudProcess,
) -> None:
    account = await alone_with(own_cloud)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        host, spare = await cast(channel, account)
        await host.push(ALL_KINDS)
        frames = host.frames_for(zones(400), piece=2000)
        call = backups(host.receiver).PushChanges(metadata=host.receiver.metadata)
        for frame in frames[:-1]:
            await call.write(frame)
        await until_staged(own_cloud)
        own_cloud.kill()
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        host.receiver.reach(channel)
        spare.receiver.reach(channel)
        assert (await spare.pull()).agreed
        assert len(spare.records) == len(ALL_KINDS)
        await until_staged(own_cloud, 0)
        assert (await send_push(host.receiver, frames)).revision == 2
        assert (await spare.pull()).header.base_revision == 1
        assert spare.records == host.records


async def test_b5_what_was_half_applied_when_the_cloud_died_is_taken_back(own_cloud: CloudProcess) -> None:
    account = await alone_with(own_cloud)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        host, spare = await cast(channel, account)
        await host.push({**ALL_KINDS, **zones(30)})
    own_cloud.kill()
    store = SqliteStore.open(own_cloud.data, lambda error: None)
    group = next(row.group_id for row in await store.groups() if row.sub_account == "default")
    half = Transfer(store, 1, group, row_of)
    await half.add([Change(kind, name, b"", 2) for kind, name in sorted(zones(20))], 2)
    await half.apply(2)
    store.close()
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        host.receiver.reach(channel)
        spare.receiver.reach(channel)
        await host.push({(ZONE, "panel-0/1"): record((ZONE, "panel-0/1"), "new")})
        assert (await spare.pull()).agreed
        assert spare.records == host.records


async def until_staged(cloud: CloudProcess, wanted: int = 400) -> None:
    """Wait until so many records are laid down."""
    async with asyncio.timeout(DEADLINE):
        while True:
            with sqlite3.connect(f"file:{cloud.data / 'cloud.db'}?mode=ro", uri=True) as db:
                (count,) = db.execute("SELECT count(*) FROM incoming").fetchone()
            db.close()
            if count == wanted:
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("count", [20_000])
async def test_b5_a_large_configuration_moves_with_bounded_memory(own_cloud: CloudProcess, count: int) -> None:
    account = await alone_with(own_cloud)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        host, spare = await cast(channel, account)
        await host.push({(USER, "ann"): record((USER, "ann"))})
        before = peak(own_cloud)
        await host.push(zones(count, "x" * 120))
        assert (await spare.pull()).agreed
        assert spare.records == host.records
        size = sum(len(payload) for payload in host.records.values())
        assert peak(own_cloud) - before < 32 * 1024 * 1024 + size // 4


def peak(cloud: CloudProcess) -> int:
    """The most memory that the cloud has had, bytes."""
    with open(f"/proc/{cloud.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
