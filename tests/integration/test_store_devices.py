"""The verbs of the cloud's store for the supervision of devices: once, together, and kept (A9)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
import sqlite_utils

from hotspare.v1 import record_pb2
from hotspare_cloud.store.base import AccountRow, NewAlarm
from hotspare_cloud.store.base_devices import LifeRow, NewTell
from hotspare_cloud.store.schema import MIGRATIONS
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_model.digest import RecordKind
from hotspare_model.supervision import AS_USUAL, Watched

Again = Callable[[], Awaitable[SqliteStore]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, Again]]:
    """A store with one group of the devices a and b, and how to open it again."""
    stores = [SqliteStore.open(tmp_path, lambda error: None)]
    await stores[0].create_account(AccountRow("arc", b"k" * 32, 1000.5), ["north"])
    await add_devices(stores[0], "a", "b")

    async def again() -> SqliteStore:
        stores[-1].close()
        stores.append(SqliteStore.open(tmp_path, lambda error: None))
        return stores[-1]

    yield stores[0], again
    stores[-1].close()


async def add_devices(store: SqliteStore, *names: str) -> None:
    insert = "INSERT INTO device (group_id, device_id, key_sha256, account_number) VALUES (1, ?, x'00', '1234')"
    await store.database.write(lambda db: db.executemany(insert, [(name,) for name in names]) and None)


def tell(device_id: str, silent: bool, last_seen: float = 50.0) -> NewTell:
    """An event of a device."""
    return NewTell(device_id, silent, last_seen, NewAlarm(str(uuid4()), device_id, "1234", 100.0, b"payload"))


async def events(store: SqliteStore) -> list[str]:
    """Whose alarms are stored, in their order."""
    return [alarm.device_id for alarm in await store.waiting_alarms(1, 0, 100)]


async def test_a9_an_event_is_stored_once_with_the_fact_that_it_was_told(opened: tuple[SqliteStore, Again]) -> None:
    store, again = opened
    assert list(await store.tell(1, [tell("a", True), tell("b", True), tell("a", True)])) == [True, True, False]
    store = await again()  # a process that died knows nothing of it
    assert list(await store.tell(1, [tell("a", True), tell("b", False), tell("b", False)])) == [False, True, False]
    assert await events(store) == ["a", "b", "b"]
    lives = {row.device_id: row.told for row in await store.lives()}
    assert lives == {"a": True, "b": False}


async def test_a9_a_return_without_a_silence_is_no_event(opened: tuple[SqliteStore, Again]) -> None:
    store, _ = opened
    await store.save_lives(1, {"a": 60.0})
    assert list(await store.tell(1, [tell("a", False), tell("b", False)])) == [False, False]
    assert await events(store) == []


async def test_a9_last_seen_outlives_a_restart_and_never_what_was_told(opened: tuple[SqliteStore, Again]) -> None:
    store, again = opened
    await store.tell(1, [tell("a", True, last_seen=50.0)])
    await store.save_lives(1, {"a": 70.0, "b": 71.0})
    store = await again()
    assert sorted(await store.lives(), key=lambda row: row.device_id) == [
        LifeRow(1, "a", 70.0, True),
        LifeRow(1, "b", 71.0, False),
    ]


async def test_a9_a_device_that_is_gone_has_no_life(opened: tuple[SqliteStore, Again]) -> None:
    store, _ = opened
    await store.save_lives(1, {"gone": 70.0})
    assert list(await store.tell(1, [tell("gone", True)])) == [False]
    assert (await events(store), list(await store.lives())) == ([], [])


async def test_a9_the_times_of_many_devices_are_few_writes(opened: tuple[SqliteStore, Again]) -> None:
    store, _ = opened
    names = [f"panel-{number}" for number in range(2500)]
    await add_devices(store, *names)
    before = store.database.counters.writes
    await store.save_lives(1, dict.fromkeys(names, 80.0))
    assert store.database.counters.writes - before == 3
    assert len(await store.lives()) == 2500


def test_a9_devices_of_an_older_database_are_supervised_as_their_records_tell(tmp_path: Path) -> None:
    database = sqlite_utils.Database(tmp_path / "cloud.db")
    MIGRATIONS.apply(database, stop_before="cloud_supervision")
    odd = record_pb2.Device(device_id="odd", account_number="1234", disabled=True)
    odd.supervision_interval.FromSeconds(30)
    plain = record_pb2.Device(device_id="plain", account_number="1234")
    for device in (odd, plain):
        payload = record_pb2.Record(device=record_pb2.DeviceRecord(device=device)).SerializeToString()
        key = (1, int(RecordKind.DEVICE), device.device_id, 0, payload)
        database.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, 1, 1, '')", key)
    for name in ("odd", "plain", "damaged"):
        database.execute("INSERT INTO device VALUES (1, ?, x'00', '1234')", (name,))
    database.execute("INSERT INTO record VALUES (1, 1, 'damaged', 0, x'ff', 1, 1, '')")
    database.conn.commit()
    MIGRATIONS.apply(database)
    rows = database.execute("SELECT device_id, supervision, disabled FROM device ORDER BY device_id").fetchall()
    found = {name: Watched(interval, bool(disabled)) for name, interval, disabled in rows}
    assert found == {"damaged": AS_USUAL, "odd": Watched(30.0, disabled=True), "plain": AS_USUAL}
    database.close()
