"""Devices of the direct path that fall silent: the host tells it once, over its own restarts and the cloud's (A9)."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hotspare.v1 import record_pb2
from hotspare_model.alarm import AlarmPath
from hotspare_model.contact_id import Qualifier
from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.kinds import kind_of
from hotspare_receiver.direct import supervision as supervision_module
from hotspare_receiver.direct.intake import Accepted, DirectAlarm
from hotspare_receiver.direct.supervision import AGAIN, DirectSupervision
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.direct_lives import DirectLife, DirectLives
from hotspare_receiver.store.schema import migrations
from hotspare_rpc.records import packed
from hotspare_store.database import Database
from tests.integration.test_receiver_desk_support import wait_until

INTERVAL = 60
SILENT, BACK = Qualifier.NEW, Qualifier.RESTORE
DIRECT = AlarmPath.DIRECT_DC09


class DrivenClock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


class Cloud:
    """What takes direct alarms. It may refuse, and may lose the answer to what it has taken."""

    def __init__(self) -> None:
        self.open = True
        self.refuses: Reason | None = None
        self.loses_answers = False
        self.handed_over: list[DirectAlarm] = []

    async def accept(self, alarm: DirectAlarm) -> Accepted:
        if self.refuses is not None:
            raise HotspareError(self.refuses, "refused")
        self.handed_over.append(alarm)
        if self.loses_answers:
            raise HotspareError(Reason.CLOUD_UNREACHABLE, "no answer")
        return Accepted(alarm.alarm.alarm_id, alarm.received, 1, 1, False, ())

    async def alive(self, device_id: str, path: AlarmPath) -> None:
        raise NotImplementedError

    @property
    def told(self) -> list[tuple[str, Qualifier]]:
        """What arrived, each alarm id once."""
        alarms = {each.alarm.alarm_id: each.alarm for each in self.handed_over}
        return [(alarm.device_id, alarm.qualifier) for alarm in alarms.values()]


class Host:
    """A receiver's supervision of its direct path, as often as it is started."""

    def __init__(self, database: Database) -> None:
        self.clock, self.cloud = DrivenClock(), Cloud()
        self.reaches_anyone = True
        self.database = database
        self.configuration = ConfigurationStore(database)

    async def start(self) -> None:
        """The process begins, on what is stored."""
        lives = DirectLives(self.database)
        self.supervision = DirectSupervision(
            lives, self.configuration, self.cloud, lambda: self.reaches_anyone, self.clock
        )
        await self.supervision.load()

    async def set(self, device_id: str, *, gone: bool = False, interval: int = INTERVAL) -> None:
        """Edit a device."""
        device = record_pb2.Device(device_id=device_id, account_number="1234")
        device.supervision_interval.FromSeconds(interval)
        travelling = record_pb2.DeviceRecord(device=device, device_key_sha256=bytes(32))
        record = None if gone else packed(kind_of(RecordKind.DEVICE), travelling)
        put = lambda draft: draft.put(RecordKind.DEVICE, device_id, record)  # noqa: E731
        await self.configuration.edit("anna", self.clock.wall(), put)

    async def known(self) -> list[str]:
        """The devices of which something is stored."""
        return [life.device_id for life in await DirectLives(self.database).all()]

    async def wait(self, seconds: int, *heard: str) -> None:
        """Let time pass, in which these devices say each second that they live."""
        for _ in range(seconds):
            self.clock.seconds += 1
            for device_id in heard:
                self.supervision.heard(device_id, DIRECT)
            await self.supervision.turn(self.clock.now())
            await asyncio.sleep(0)
            if (task := self.supervision._handing_over) is not None:
                await asyncio.wait((task,))


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host with the devices a and b."""
    database = Database.open(tmp_path / "receiver.db", migrations)
    host = Host(database)
    await host.set("a")
    await host.set("b")
    await host.start()
    yield host
    database.close()


async def test_a9_the_host_tells_who_is_silent_on_the_direct_path_and_who_is_back(host: Host) -> None:
    await host.wait(2, "a", "b", "no device")
    await host.wait(3 * INTERVAL, "b")
    assert host.cloud.told == [("a", SILENT)]
    event = host.cloud.handed_over[0]
    assert (event.alarm.code, event.path) == ("356", AlarmPath.SYSTEM)
    assert "direct path" in event.alarm.text
    host.supervision.heard("a", AlarmPath.SYSTEM)  # its own event is no sign of its life
    await host.wait(2, "b")
    assert len(host.cloud.told) == 1
    await host.wait(2, "a", "b")
    assert host.cloud.told == [("a", SILENT), ("a", BACK)]
    assert host.supervision.events == {"silent": 1, "back": 1}


async def test_a9_an_event_that_may_have_arrived_is_the_same_alarm_after_a_restart(host: Host) -> None:
    await host.wait(2, "a")
    host.cloud.loses_answers = True
    await host.wait(INTERVAL + int(AGAIN) * 2 + 2)
    assert len(host.cloud.handed_over) >= 2
    assert host.cloud.told == [("a", SILENT)]
    host.cloud.loses_answers = False
    await host.start()
    await host.wait(2)
    assert host.cloud.told == [("a", SILENT)]
    await host.start()
    await host.wait(3 * INTERVAL)
    assert host.cloud.told == [("a", SILENT)]
    await host.wait(2, "a")
    assert host.cloud.told == [("a", SILENT), ("a", BACK)]


async def test_a9_back_while_the_cloud_is_away_both_are_told_in_order(host: Host) -> None:
    await host.wait(2, "a")
    host.cloud.refuses = Reason.CLOUD_UNREACHABLE
    await host.wait(INTERVAL + 5, "b")
    await host.wait(2, "a", "b")
    assert host.cloud.told == []
    await host.start()
    host.cloud.refuses = None
    await host.wait(int(AGAIN) + 2, "a", "b")
    assert host.cloud.told == [("a", SILENT), ("a", BACK)]


async def test_a9_while_the_port_is_closed_nobody_is_judged_and_then_all_get_grace(host: Host) -> None:
    await host.wait(2, "a")
    host.cloud.open = False
    await host.wait(3 * INTERVAL)
    host.cloud.open = True
    await host.wait(INTERVAL - 5, "b")
    assert host.cloud.told == []
    await host.wait(10, "b")
    assert host.cloud.told == [("a", SILENT)]


async def test_a9_while_the_host_reaches_nobody_the_silence_may_be_its_own(host: Host) -> None:
    await host.wait(2, "a", "b")
    host.reaches_anyone = False
    await host.wait(3 * INTERVAL)
    assert host.cloud.told == []
    host.reaches_anyone = True
    await host.wait(INTERVAL - 5, "a", "b")
    assert host.cloud.told == []


class FailingLives(DirectLives):
    """A store that fails at first, and never deletes anything."""

    def __init__(self, database: Database, failures: list[Exception]) -> None:
        super().__init__(database)
        self.failures = failures

    async def all(self) -> Sequence[DirectLife]:
        if self.failures:
            raise self.failures.pop()
        return await super().all()

    async def forget(self, device_ids: Iterable[str]) -> None:
        if tuple(device_ids):
            raise HotspareError(Reason.DISK_LOW, "the disk is full")


async def test_a9_a_store_that_fails_at_the_start_does_not_end_the_supervision(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await host.wait(2, "a", "b")
    await host.supervision.stop()
    await host.supervision._save()
    await host.set("b", gone=True)
    monkeypatch.setattr(supervision_module, "TURN", 0.01)
    lives = FailingLives(host.database, [RuntimeError("strange"), HotspareError(Reason.STORE_FAILED, "it failed")])
    supervision = DirectSupervision(lives, host.configuration, host.cloud, lambda: True, host.clock)
    supervision.start()
    await wait_until(lambda: supervision.supervisor.supervised == 1)
    assert not lives.failures
    assert [record.message.split()[0] for record in caplog.records] == ["supervision_not_stored", "supervision_failed"]
    # The turns go on, though the device that is gone can't be forgotten.
    await wait_until(lambda: len(caplog.records) > 2)
    await host.set("a", interval=0)
    await wait_until(lambda: supervision.supervisor.supervised == 0)
    await supervision.stop()


async def test_a9_the_records_decide_who_is_supervised(host: Host) -> None:
    await host.wait(2, "a", "b")
    await host.set("a", interval=0)
    await host.set("b", gone=True)
    await host.wait(3 * INTERVAL)
    assert host.cloud.told == []
    assert await host.known() == ["a"]
    await host.set("a", interval=10)
    await host.wait(15)
    assert host.cloud.told == [("a", SILENT)]


async def test_a9_a_device_that_was_deleted_before_the_start_is_forgotten(host: Host) -> None:
    await host.wait(2, "a", "b")
    await host.supervision._save()
    assert await host.known() == ["a", "b"]
    await host.set("b", gone=True)
    await host.start()
    await host.wait(1)
    assert await host.known() == ["a"]
