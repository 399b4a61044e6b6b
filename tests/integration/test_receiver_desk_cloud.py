"""The channel to the cloud: made anew with the settings, and calls on it that end with errors of ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import role_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.store.schema import migrations
from hotspare_receiver.store.settings import Settings, SettingsStore
from hotspare_store.database import Database
from tests.integration.test_receiver_desk_support import ARC_ID, ARC_KEY, FakeCloud, serving_cloud


@asynccontextmanager
async def client(folder: Path, address: str) -> AsyncIterator[tuple[CloudClient, SettingsStore]]:
    database = Database.open(folder / "receiver.db", migrations)
    store = await SettingsStore.open(database, folder)
    await store.update(Settings(cloud_address=address, arc_id=ARC_ID), ARC_KEY)
    cloud = CloudClient(store)
    try:
        yield cloud, store
    finally:
        await cloud.close()
        database.close()


async def test_f7_every_start_in_a_data_folder_has_a_higher_number(tmp_path: Path) -> None:
    for start in (1, 2, 3):
        async with client(tmp_path, "") as (_, store):
            assert store.start == start
    async with client(tmp_path, "") as (_, store):
        await store.count_on(70)
        assert store.start == 71
        await store.count_on(5)
        assert store.start == 72
    async with client(tmp_path, "") as (_, store):
        assert store.start == 73


async def test_without_whole_settings_there_is_no_channel(tmp_path: Path) -> None:
    async with client(tmp_path, "") as (cloud, store):
        assert not cloud.follow_settings()
        assert (cloud.channel(), cloud.address) == (None, "")
        with pytest.raises(HotspareError) as error:
            cloud.roles()
        assert error.value.metadata == {"missing": "cloud_address"}
        await store.update(replace(store.settings, cloud_address="127.0.0.1:9"), ARC_KEY)
        assert cloud.follow_settings()
        assert cloud.channel() is not None
        assert not cloud.follow_settings()


async def test_another_key_needs_no_other_channel(tmp_path: Path) -> None:
    async with client(tmp_path, "127.0.0.1:9") as (cloud, store):
        cloud.follow_settings()
        before = cloud.channel()
        await store.update(store.settings, "another")
        assert not cloud.follow_settings()
        assert cloud.channel() is before
        assert ("hotspare-arc-key", "another") in cloud.metadata()


async def test_a_cloud_that_is_not_there_is_told_as_unreachable_with_its_address(tmp_path: Path) -> None:
    async with client(tmp_path, "127.0.0.1:9") as (cloud, _):
        cloud.follow_settings()
        with pytest.raises(HotspareError) as error:
            await cloud.call(cloud.roles().ListMembers, role_service_pb2.ListMembersRequest())
        assert error.value.reason is Reason.CLOUD_UNREACHABLE
        assert error.value.metadata["cloud_address"] == "127.0.0.1:9"


async def test_a_channel_closed_under_a_call_is_an_error_and_does_not_cancel_who_called(
    tmp_path: Path,
) -> None:
    async with serving_cloud(FakeCloud()) as address, client(tmp_path, address) as (cloud, _):
        cloud.follow_settings()
        watch = cloud.stream(cloud.roles().WatchMembers, role_service_pb2.WatchMembersRequest())
        await anext(watch)
        waiting: asyncio.Task[Any] = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        channel = cloud.channel()
        assert channel is not None
        await channel.close()
        with pytest.raises(HotspareError) as error:
            await waiting
        assert error.value.reason is Reason.CLOUD_UNREACHABLE


async def test_a_cancelled_call_stays_cancelled(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address, client(tmp_path, address) as (cloud, _):
        cloud.follow_settings()
        watch = cloud.stream(cloud.roles().WatchMembers, role_service_pb2.WatchMembersRequest())
        await anext(watch)
        waiting: asyncio.Task[Any] = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
