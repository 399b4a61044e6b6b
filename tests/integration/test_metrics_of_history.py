"""The metrics of the histories, of cloud and receiver, move with what is kept and what goes (A8).
tests/unit/test_metrics_list.py lists all."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from hotspare_cloud.clock import StallWatch
from hotspare_cloud.directory import Directory, shutting_down
from hotspare_cloud.metrics_expiry import ExpiryCollector
from hotspare_cloud.store import sqlite_expiry
from hotspare_cloud.store.base import AccountRow
from hotspare_cloud.store.sqlite import SqliteStore
from hotspare_model.retention import HistoryLimits
from hotspare_receiver.journal import Journal
from hotspare_receiver.metrics_history import HistoryCollector
from hotspare_receiver.store.schema import migrations
from hotspare_store.database import Database
from tests.integration.moving import moving, page_of
from tests.integration.test_cloud_expiry import DAY, LONG_AGO, NOW
from tests.integration.test_cloud_expiry import Trial as CloudTrial
from tests.integration.test_receiver_expiry import Times
from tests.integration.test_receiver_expiry import Trial as ReceiverTrial


@pytest.fixture
async def at_cloud(tmp_path: Path) -> AsyncIterator[CloudTrial]:
    store = SqliteStore.open(tmp_path, lambda error: None)
    await store.create_account(AccountRow("arc", b"k" * 32, NOW), ["north"])
    directory = Directory(store, StallWatch())
    await directory.load()
    trial = CloudTrial(store, directory, [row.group_id for row in await store.groups()])
    await trial.begin(1)
    yield trial
    await directory.stop(shutting_down())
    store.close()


@pytest.fixture
async def at_receiver(tmp_path: Path) -> AsyncIterator[ReceiverTrial]:
    database = Database.open(tmp_path / "receiver.db", migrations)
    clock = Times()
    journal = Journal(database, clock)
    yield ReceiverTrial(database, clock, journal)
    await journal.close()
    database.close()


async def test_a8_what_the_cloud_keeps_and_forgets_is_shown(
    at_cloud: CloudTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_expiry, "ALARM_BYTES", 200_000)
    at_cloud.limits = HistoryLimits(max_bytes=10_000_000)
    expiry = at_cloud.expiry()
    page = page_of(ExpiryCollector(CollectorRegistry(), at_cloud.directory, expiry).collect)
    async with moving(
        page,
        "hotspare_cloud_history_alarms up",
        "hotspare_cloud_history_bytes up",
        f"hotspare_cloud_history_oldest_time_seconds ={NOW - 3 * DAY:.1f}",
        'hotspare_cloud_history_deleted_total{cause="age"} +20',
        'hotspare_cloud_history_deleted_total{cause="size"} up',
    ):
        await at_cloud.keep(20, LONG_AGO)
        await at_cloud.keep(60, NOW - 3 * DAY)
        await at_cloud.confirm(1, 20, LONG_AGO)
        await at_cloud.confirm(21, 80, NOW - 3 * DAY)
        await expiry.round()


async def test_a8_what_a_receiver_keeps_and_deletes_is_shown(at_receiver: ReceiverTrial) -> None:
    trial = at_receiver
    expiry = trial.expiry()
    page = page_of(HistoryCollector(expiry).collect)
    await trial.have(range(1, 21))
    trial.clock.pass_days(60)
    await trial.have(range(21, 31))
    trial.clock.pass_days(31)
    async with moving(
        page,
        "hotspare_receiver_history_alarms =10",
        "hotspare_receiver_history_attempts =10",
        "hotspare_receiver_history_bytes up",
        "hotspare_receiver_history_oldest_time_seconds up",
        'hotspare_receiver_history_deleted_total{cause="age"} +20',
    ):
        await expiry.round()
