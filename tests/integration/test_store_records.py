"""Configurations in the cloud's store, against the protocol: whatever implements `Store` has to pass all of this."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import sqlite_utils

from hotspare_cloud.store.base import AccountRow, Store
from hotspare_cloud.store.base_records import START, Backup, Bucket, DeviceRow, KindRow, Place, RecordRow
from hotspare_cloud.store.schema import MIGRATIONS
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_cloud.transfers import Transfer
from hotspare_model.digest import KindDigest, RecordKind, digest_of, empty_digests
from hotspare_model.transfer import Change

Again = Callable[[], Awaitable[Store]]
Contents = Mapping[tuple[RecordKind, str], bytes]

DEVICE, ZONE, USER = RecordKind.DEVICE, RecordKind.ZONE, RecordKind.USER


@pytest.fixture(params=["sqlite"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Again]]:
    """A store with one account of two groups, and how to open it again."""
    stores = [SqliteStore.open(tmp_path, lambda error: None)]
    await stores[0].create_account(AccountRow("arc", b"k" * 32, 1000.5), ["north", "south"])

    async def again() -> Store:
        stores[-1].close()
        stores.append(SqliteStore.open(tmp_path, lambda error: None))
        return stores[-1]

    yield stores[0], again
    stores[-1].close()


@pytest.fixture
def store(opened: tuple[Store, Again]) -> Store:
    """The store."""
    return opened[0]


@pytest.fixture
async def group(store: Store) -> int:
    """A group."""
    return (await store.groups())[0].group_id


@pytest.fixture
async def other(store: Store) -> int:
    """The other group."""
    return (await store.groups())[1].group_id


def row_of(group_id: int, change: Change) -> RecordRow:
    """A record without any check; a device's key is its contents."""
    device = None
    if change.kind is DEVICE and change.record:
        device = DeviceRow(group_id, change.record_id, change.record[:32].ljust(32, b"k"), "1234")
    return RecordRow(change.kind, change.record_id, change.record, change.revision, change.operator, device)


def digests_of(contents: Contents) -> tuple[KindDigest, ...]:
    """The digests of a configuration."""
    return tuple(
        digest_of(kind, [(name, record) for (of, name), record in contents.items() if of is kind])
        for kind in RecordKind
    )


async def transfer_of(
    store: Store, group: int, changes: Contents, number: int = 1, revision: int = 1, whole: Iterable[RecordKind] = ()
) -> Transfer:
    """A transfer that lies in the store, and has been settled."""
    transfer = Transfer(store, number, group, row_of)
    rows = [Change(kind, name, record, revision, "ann") for (kind, name), record in sorted(changes.items())]
    for start in range(0, len(rows), 3):
        await transfer.add(rows[start : start + 3], revision)
    await transfer.settle(tuple(whole), revision, "ann")
    return transfer


async def commit(
    store: Store, group: int, changes: Contents, revision: int, whole: Iterable[RecordKind] = (), request_id: str = ""
) -> Backup:
    """Store a revision, and forget its transfer."""
    before = await store.backup(group)
    transfer = await transfer_of(store, group, changes, revision=revision, whole=whole)
    proof = await transfer.prove(before.digests if before else (), tuple(whole))
    kinds = tuple(KindRow(digest, revision, 10.5) for digest in proof.digests)
    backup = Backup(
        "line", revision, "1.2.3", kinds, 100.0 + revision, "r1", "ann", await transfer.size(), 0, revision - 1, "line"
    )
    await transfer.apply(revision)
    await store.commit(transfer.transfer_id, group, backup, proof.buckets, request_id)
    await transfer.drop()
    return backup


async def contents(
    store: Store, group: int, at: int, since: int = 0, limit: int = 2
) -> dict[tuple[RecordKind, str], bytes]:
    """What the store has of a revision, page by page."""
    found: dict[tuple[RecordKind, str], bytes] = {}
    for kind in RecordKind:
        after = ""
        while page := await store.changes(group, kind, since=since, at=at, after=after, limit=limit):
            assert [change.record_id for change in page] == sorted(change.record_id for change in page)
            assert len(page) <= limit
            found |= {(kind, change.record_id): change.record for change in page}
            after = page[-1].record_id
    return found


async def test_b3_a_revision_is_kept_with_all_that_is_known_of_it(
    opened: tuple[Store, Again], store: Store, group: int, other: int
) -> None:
    assert await store.backup(group) is None
    backup = await commit(store, group, {(DEVICE, "a"): b"1", (ZONE, "a/1"): b"2"}, 1)
    again = await opened[1]()
    assert await again.backup(group) == backup
    assert backup.digests == digests_of({(DEVICE, "a"): b"1", (ZONE, "a/1"): b"2"})
    assert backup.change_count == 2
    assert await again.backup(other) is None
    changes = await again.changes(group, DEVICE, since=0, at=1, after="", limit=9)
    assert list(changes) == [Change(DEVICE, "a", b"1", 1, "ann")]


async def test_b5_what_is_laid_down_counts_for_nothing_until_it_is_committed(
    opened: tuple[Store, Again], store: Store, group: int
) -> None:
    backup = await commit(store, group, {(DEVICE, "a"): b"1"}, 1)
    await transfer_of(store, group, {(DEVICE, "a"): b"9", (DEVICE, "b"): b"2"}, number=7, revision=2, whole=[ZONE])
    again = await opened[1]()
    assert await again.backup(group) == backup
    assert await contents(again, group, at=99) == {(DEVICE, "a"): b"1"}
    assert [device.device_id for device in await again.devices()] == ["a"]
    assert list(await again.transfers()) == [7]
    await Transfer(again, 7, group, row_of).drop()
    assert list(await again.transfers()) == []


async def test_b5_what_is_applied_is_unseen_until_it_is_committed_and_can_be_taken_back(
    opened: tuple[Store, Again], store: Store, group: int, other: int
) -> None:
    first = {(DEVICE, "a"): b"1", (DEVICE, "b"): b"1", (ZONE, "a/1"): b"1"}
    await commit(store, group, first, 1)
    await commit(store, other, first, 1)
    backup = await commit(store, group, {(DEVICE, "b"): b""}, 2)
    now = {(DEVICE, "a"): b"1", (ZONE, "a/1"): b"1"}
    changes = {(DEVICE, "a"): b"2", (DEVICE, "b"): b"2", (DEVICE, "c"): b"2", (ZONE, "a/1"): b""}
    transfer = await transfer_of(store, group, changes, revision=3)
    place: Place | None = START
    while place is not None:
        place = await store.apply(1, group, 3, place, 1)
        assert await contents(store, group, at=2) == now
        assert await contents(store, group, at=2, since=1) == {(DEVICE, "b"): b""}
        assert await contents(store, group, at=1) == first
    again = await opened[1]()
    assert await again.backup(group) == backup
    assert [await again.undo(group, 2, 3) for _ in range(2)] == [True, False]
    assert await contents(again, group, at=3) == now
    assert await contents(again, group, at=1) == first
    await Transfer(again, transfer.transfer_id, group, row_of).drop()
    assert (await commit(again, group, changes, 3)).digests == digests_of({key: b for key, b in changes.items() if b})
    assert await contents(again, other, at=1) == first


async def test_b5_a_transfer_is_dropped_in_steps(store: Store, group: int) -> None:
    await transfer_of(store, group, {(ZONE, f"{number}"): b"z" for number in range(5)})
    assert [await store.drop(1, 2) for _ in range(3)] == [True, True, False]
    assert await store.staged(1) == 0


async def test_b3_an_unchanged_record_is_no_change(store: Store, group: int) -> None:
    await commit(store, group, {(DEVICE, "a"): b"1", (DEVICE, "b"): b"1"}, 1)
    backup = await commit(store, group, {(DEVICE, "a"): b"1", (DEVICE, "b"): b"2", (ZONE, "never"): b""}, 2)
    assert backup.change_count == 1
    assert await contents(store, group, at=2, since=1) == {(DEVICE, "b"): b"2"}


async def test_b5_what_a_whole_kind_lacks_is_gone(store: Store, group: int, other: int) -> None:
    await commit(store, other, {(DEVICE, "x"): b"1"}, 1)
    await commit(store, group, {(DEVICE, name): b"1" for name in "abc"} | {(ZONE, "a/1"): b"1"}, 1)
    backup = await commit(store, group, {(DEVICE, "b"): b"1"}, 2, whole=[DEVICE])
    assert await contents(store, group, at=2) == {(DEVICE, "b"): b"1", (ZONE, "a/1"): b"1"}
    assert backup.digests == digests_of({(DEVICE, "b"): b"1", (ZONE, "a/1"): b"1"})
    assert sorted(device.device_id for device in await store.devices()) == ["b", "x"]


async def test_b3_a_device_is_looked_up_with_its_newest_key(store: Store, group: int) -> None:
    await commit(store, group, {(DEVICE, "a"): b"old"}, 1)
    await commit(store, group, {(DEVICE, "a"): b"new"}, 2)
    assert list(await store.devices()) == [DeviceRow(group, "a", b"new".ljust(32, b"k"), "1234")]


async def test_b4_deletions_are_among_the_changes_and_not_in_the_whole(store: Store, group: int) -> None:
    await commit(store, group, {(DEVICE, "a"): b"1", (DEVICE, "b"): b"1"}, 1)
    await commit(store, group, {(DEVICE, "a"): b""}, 2)
    assert await contents(store, group, at=2, since=1) == {(DEVICE, "a"): b""}
    assert await contents(store, group, at=2) == {(DEVICE, "b"): b"1"}


async def test_s5_a_wish_that_was_carried_out_is_remembered_with_its_revision(store: Store, group: int) -> None:
    await commit(store, group, {(DEVICE, "a"): b"1"}, 1, request_id="wish")
    assert await store.is_done(group, "wish", 0.0)
    assert not await store.is_done(group, "another", 0.0)


@pytest.mark.parametrize("seed", range(6))
async def test_b8_any_kept_revision_can_be_read_whole_and_compared(store: Store, group: int, seed: int) -> None:
    """Random edits; every revision, and what lies between any two, is what it was."""
    chance = random.Random(seed)
    now: dict[tuple[RecordKind, str], bytes] = {}
    history = [dict(now)]
    for revision in range(1, 9):
        whole = [kind for kind in (DEVICE, ZONE) if chance.random() < 0.2]
        keys = [(kind, name) for kind in (DEVICE, ZONE, USER) for name in "abcdef"]
        changes = {key: chance.choice([b"", b"1", b"2"]) for key in chance.sample(keys, chance.randint(0, 9))}
        now = {key: record for key, record in now.items() if key[0] not in whole} | changes
        now = {key: record for key, record in now.items() if record}
        backup = await commit(store, group, changes, revision, whole=whole)
        assert backup.digests == digests_of(now)
        history.append(dict(now))
    for older in range(1, 9):
        assert await contents(store, group, at=older) == history[older]
        for newer in range(older, 9):
            assert await applied(store, group, history[older], older, newer) == history[newer]
            assert await compared(store, group, older, newer) == {
                key: (history[older].get(key, b""), history[newer].get(key, b""))
                for key in history[older] | history[newer]
                if history[older].get(key) != history[newer].get(key)
            }
    # Only what is needed for revision 5 and above stays.
    while await store.prune(group, 5, 2):
        pass
    assert [number for number, _ in await store.revision_times(group)] == [5, 6, 7, 8]
    for older in range(5, 9):
        assert await contents(store, group, at=older) == history[older]
        assert await applied(store, group, history[older], older, 8) == history[8]


async def applied(
    store: Store, group: int, before: Contents, since: int, at: int
) -> dict[tuple[RecordKind, str], bytes]:
    """A copy after the changes since a revision."""
    after = {**before, **await contents(store, group, at=at, since=since)}
    return {key: record for key, record in after.items() if record}


async def compared(
    store: Store, group: int, older: int, newer: int
) -> dict[tuple[RecordKind, str], tuple[bytes, bytes]]:
    """What differs between two revisions."""
    found: dict[tuple[RecordKind, str], tuple[bytes, bytes]] = {}
    for kind in RecordKind:
        after, more = "", True
        while more:
            page, after = await store.differences(
                group, kind, from_revision=older, to_revision=newer, after=after, limit=2
            )
            found |= {(kind, each.id): (each.before, each.after) for each in page}
            more = bool(after)
    return found


async def test_b8_pruned_records_leave_nothing_behind(store: Store, group: int) -> None:
    for revision in range(1, 5):
        await commit(
            store, group, {(DEVICE, "a"): b"%d" % revision, (ZONE, "z"): b"" if revision > 1 else b"1"}, revision
        )
    while await store.prune(group, 4, 1):
        pass
    assert isinstance(store, SqliteStore)
    counts = await store.database.read(
        lambda db: [
            db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("revision", "record_version", "record")
        ]
    )
    assert counts == [1, 0, 1]


async def test_b4_many_changes_are_found_as_few_are(store: Store, group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await commit(store, group, {(ZONE, f"{number:02}"): b"1" for number in range(20)}, 1)
    await commit(store, group, {(ZONE, f"{number:02}"): b"2" for number in range(0, 20, 3)}, 2)
    few = await contents(store, group, at=2, since=1)
    monkeypatch.setattr("hotspare_cloud.store.sqlite_records.FEW", 2)
    assert await contents(store, group, at=2, since=1) == few
    assert len(few) == 7


async def test_b5_a_repair_changes_contents_within_the_same_revision(store: Store, group: int) -> None:
    backup = await commit(store, group, {(DEVICE, "a"): b"1", (ZONE, "a/1"): b"1"}, 1)
    assert isinstance(store, SqliteStore)
    await store.database.write(lambda db: db.execute("UPDATE record SET payload = x'00' WHERE kind = 3") and None)
    transfer = await transfer_of(store, group, {(ZONE, "a/1"): b"1"}, revision=1, whole=[ZONE])
    proof = await transfer.prove(backup.digests, [ZONE])
    assert proof.digests == backup.digests
    await store.repair(transfer.transfer_id, group, backup, proof.buckets)
    assert await contents(store, group, at=1) == {(DEVICE, "a"): b"1", (ZONE, "a/1"): b"1"}
    assert [number for number, _ in await store.revision_times(group)] == [1]


async def test_b5_stored_bucket_digests_are_those_of_the_records(store: Store, group: int) -> None:
    await commit(store, group, {(ZONE, f"{number}"): b"1" for number in range(40)}, 1)
    await commit(store, group, {(ZONE, "7"): b"2", (ZONE, "8"): b""}, 2)
    stored = dict(await store.bucket_digests(group, ZONE))
    fresh = await store.digest_with(0, group, ZONE, range(256))
    assert {number: bucket for number, bucket in fresh.items() if bucket.count} == stored
    assert fresh[next(number for number in range(256) if number not in stored)] == Bucket(0, bytes(32))


def test_a_database_of_before_revisions_goes_on_with_one(tmp_path: Path) -> None:
    """A copy of the release before becomes revision N with its digests by bucket."""
    path = tmp_path / "cloud.db"
    db = sqlite_utils.Database(path)
    MIGRATIONS.apply(db, stop_before="m0006_revisions")
    digests = digests_of({(DEVICE, "a"): b"1"})
    text = "[" + ", ".join(f'[{each.kind}, {each.count}, "{each.sha256.hex()}"]' for each in digests) + "]"
    db.execute("INSERT INTO account (arc_id, key_sha256, created_at) VALUES ('arc', x'00', 1.0)")
    db.execute(
        "INSERT INTO grp (arc_id, sub_account, settings, generation, last_number, lineage, revision, backup_version,"
        " backup_digests, backup_at) VALUES ('arc', 'default', '{}', 0, 0, 'line', 9, '1.0', ?, 5.5)",
        [text],
    )
    db.execute("INSERT INTO record VALUES (1, 1, 'a', ?, 7)", [b"1"])
    db.conn.commit()
    db.close()
    store = SqliteStore.open(tmp_path, lambda error: None)
    try:
        backup = _run(store.backup(1))
        assert isinstance(backup, Backup)
        assert (backup.lineage, backup.revision, backup.software_version, backup.stored_at) == ("line", 9, "1.0", 5.5)
        assert backup.digests == digests
        assert [row.revision for row in backup.kinds] == [9, 0, 0, 0, 0, 0]
        buckets = _run(store.bucket_digests(1, DEVICE))
        assert isinstance(buckets, dict)
        assert list(buckets.values()) == list(_run(store.digest_with(0, 1, DEVICE, list(buckets))).values())  # type: ignore[attr-defined]
    finally:
        store.close()


def _run(work: object) -> object:
    import asyncio

    return asyncio.run(work)  # type: ignore[arg-type]


def test_empty_digests_are_those_of_nothing() -> None:
    assert digests_of({}) == empty_digests()
    assert replace(Backup("l", 1, "v", (), 1.0), kinds=()).digests == ()
