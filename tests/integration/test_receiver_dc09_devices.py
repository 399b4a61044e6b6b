"""DC-09 accounts of devices: edited at a receiver, kept in memory for its listener (D1, S1)."""

import asyncio
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from hotspare.v1 import configuration_service_pb2, record_pb2
from hotspare_model.dc09_reply import NakForm
from hotspare_model.digest import RecordKind
from hotspare_model.errors import Reason
from hotspare_model.kinds import kind_of
from hotspare_receiver.core.dc09_accounts import PanelAccount
from hotspare_receiver.core.dc09_window import TimeWindow
from hotspare_receiver.direct.accounts import Accounts, panel_account
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.records import packed
from hotspare_store.database import Database
from tests.integration.test_receiver_desk_support import Desk, refused, running

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = bytes(range(16))
DEVICE = kind_of(RecordKind.DEVICE)


def record(device_id: str, number: str = "1234", key: bytes = b"", **access: Any) -> bytes:
    device = record_pb2.Device(device_id=device_id, account_number=number, dc09=record_pb2.Dc09Access(**access))
    return packed(DEVICE, record_pb2.DeviceRecord(device=device, device_key_sha256=bytes(32), dc09_key=key))


def silent(device_id: str) -> bytes:
    device = record_pb2.Device(device_id=device_id, account_number="9999")
    return packed(DEVICE, record_pb2.DeviceRecord(device=device, device_key_sha256=bytes(32)))


# --- From records ---


def test_d1_the_account_of_a_device_is_what_its_record_says() -> None:
    window = record_pb2.Dc09TimeWindow(past=Duration(seconds=90), future=Duration())
    full = record(
        "p", key=KEY, account="ab12", clear_allowed=True, time_window=window, nak_form=record_pb2.DC09_NAK_FORM_OLD
    )
    assert panel_account(full) == PanelAccount(
        "AB12", "p", KEY, True, TimeWindow(timedelta(seconds=90), timedelta(0)), NakForm.OLD
    )
    assert panel_account(record("p")) == PanelAccount("1234", "p")
    assert panel_account(record("p", time_window=record_pb2.Dc09TimeWindow(off=True))) == PanelAccount(
        "1234", "p", window=TimeWindow(off=True)
    )
    assert panel_account(silent("p")) is None


def test_s1_a_key_that_can_not_be_used_does_not_open_the_account_to_clear_text() -> None:
    assert panel_account(record("p", key=b"short")) is None


def test_s1_the_key_of_an_account_is_in_no_text() -> None:
    assert KEY.hex() not in repr(panel_account(record("p", key=KEY)))
    assert repr(KEY) not in repr(panel_account(record("p", key=KEY)))


# --- In memory ---


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ConfigurationStore]:
    database = Database.open(tmp_path / "r.db", migrations)
    yield ConfigurationStore(database)
    database.close()


async def put(store: ConfigurationStore, **records: bytes | None) -> None:
    def change(draft: Any) -> None:
        for device_id, given in records.items():
            draft.put(RecordKind.DEVICE, device_id, given)

    await store.edit("anna", NOW, change)


def known(accounts: Accounts) -> dict[str, str]:
    found = {name: accounts.table.find(name) for name in accounts.table.names}
    return {name: account.device_id for name, account in found.items() if account is not None}


async def test_d1_the_table_follows_what_is_created_changed_and_deleted(store: ConfigurationStore) -> None:
    changes: list[int] = []
    accounts = Accounts(store, lambda: changes.append(1))
    assert not accounts.table.complete
    await accounts.refresh()
    assert (known(accounts), accounts.table.complete) == ({}, True)
    await put(store, p=record("p"), q=record("q", "5678"), r=silent("r"))
    await accounts.refresh()
    assert known(accounts) == {"1234": "p", "5678": "q"}
    await put(store, p=record("p", account="AAA"), q=None, r=record("r", "9999", KEY))
    await accounts.refresh()
    assert known(accounts) == {"AAA": "p", "9999": "r"}
    told = len(changes)
    await put(store, s=silent("s"))
    await accounts.refresh()
    # What has nothing to do with panels changes nothing here.
    assert (known(accounts), len(changes)) == ({"AAA": "p", "9999": "r"}, told)


async def test_d1_many_devices_are_read_in_pages(store: ConfigurationStore) -> None:
    await put(store, **{f"p{number}": record(f"p{number}", f"{number:04X}") for number in range(1001)})
    accounts = Accounts(store)
    await accounts.refresh()
    assert len(accounts.table) == 1001


async def test_d1_the_table_follows_by_itself(store: ConfigurationStore) -> None:
    accounts = Accounts(store)
    accounts.start()
    try:
        await put(store, p=record("p"))
        async with asyncio.timeout(5):
            while known(accounts) != {"1234": "p"}:  # noqa: ASYNC110 - it is told to nobody else
                await asyncio.sleep(0.01)
    finally:
        await accounts.stop()


async def test_d1_another_lineage_is_read_whole(store: ConfigurationStore) -> None:
    accounts = Accounts(store)
    await put(store, p=record("p"))
    await accounts.refresh()

    def emptied(draft: Any) -> None:
        draft._connection.execute("DELETE FROM record")
        draft._connection.execute("UPDATE copy SET lineage = 'other'")

    await store.edit("anna", NOW, emptied)
    await store.reload()
    await accounts.refresh()
    assert known(accounts) == {}


# --- By calls ---


async def create(desk: Desk, device_id: str, number: str, key: bytes = b"", **access: Any) -> Any:
    device = record_pb2.Device(device_id=device_id, account_number=number, dc09=record_pb2.Dc09Access(**access))
    request = configuration_service_pb2.CreateDeviceRequest(device=device, dc09_key=key)
    return await desk.call(desk.configuration.CreateDevice, request)


async def update(desk: Desk, device: record_pb2.Device, *paths: str, key: bytes | None = None) -> Any:
    request = configuration_service_pb2.UpdateDeviceRequest(device=device, dc09_key=key)
    request.update_mask.paths.extend(paths)
    return await desk.call(desk.configuration.UpdateDevice, request)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with running(tmp_path / "r") as opened:
        yield opened


async def test_d1_how_a_device_speaks_dc09_is_edited_by_calls(desk: Desk) -> None:
    made = (await create(desk, "p", "1234", KEY, account="ab12")).device
    assert made.dc09.account == "AB12"
    made.dc09.clear_allowed = True
    changed = (await update(desk, made, "dc09")).device
    assert changed.dc09.clear_allowed
    changed.ClearField("dc09")
    assert not (await update(desk, changed, "dc09")).device.HasField("dc09")


async def test_s1_a_dc09_key_is_kept_where_only_the_receiver_reads_it_and_never_returned(desk: Desk) -> None:
    made = (await create(desk, "p", "1234", KEY)).device
    assert KEY not in made.SerializeToString()
    files = list(desk.folder.glob("receiver.db*"))
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    # A new key alone needs no mask; it changes the etag, and an empty one takes it away.
    other = (await update(desk, record_pb2.Device(device_id="p"), key=bytes(32))).device
    assert other.etag != made.etag
    none = (await update(desk, record_pb2.Device(device_id="p"), key=b"")).device
    assert none.etag not in (other.etag, made.etag)


async def test_s1_a_dc09_key_of_a_wrong_length_is_refused_without_being_shown(desk: Desk) -> None:
    async with refused(Reason.FIELD_INVALID, field="dc09_key"):
        await create(desk, "p", "1234", b"secret")


async def test_d1_of_two_devices_only_one_may_have_a_dc09_account(desk: Desk) -> None:
    await create(desk, "p", "1234", account="AAA")
    async with refused(Reason.FIELD_INVALID, field="device.dc09.account"):
        await create(desk, "q", "AAA")
    async with refused(Reason.FIELD_INVALID, field="device.dc09.account"):
        await create(desk, "q", "5678", account="aaa")
    other = (await create(desk, "q", "1234")).device
    other.dc09.account = "AAA"
    async with refused(Reason.FIELD_INVALID, field="device.dc09.account"):
        await update(desk, other, "dc09")
    # One that does not speak DC-09 may have the number, and the account is free again once its device lets it go.
    await desk.call(
        desk.configuration.CreateDevice,
        configuration_service_pb2.CreateDeviceRequest(device=record_pb2.Device(device_id="r", account_number="AAA")),
    )
    await update(desk, record_pb2.Device(device_id="p", account_number="1234"), "dc09")
    assert (await update(desk, other, "dc09")).device.dc09.account == "AAA"
