"""A device that falls silent raises one event, and one when it is back, whatever becomes of the cloud (A9)."""

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest

from hotspare.v1 import alarm_pb2, alarm_service_pb2, alarm_service_pb2_grpc, record_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import DeviceCredentials, sha256
from tests.integration.cloud.helpers import DEADLINE, Account, CloudProcess, query, refused, until
from tests.integration.cloud.receivers import HOST, Pull, Receiver
from tests.integration.cloud.scene import Configuration, Device, Scene, batch, new_alarm, send_push
from tests.integration.cloud.test_restart import begun, killed
from tests.integration.cloud.together import Together

together = Together(at_once=3)

CODE = "350"
SILENT, BACK = alarm_pb2.QUALIFIER_NEW, alarm_pb2.QUALIFIER_RESTORE
INTERVAL = 1.0
AMPLE = 3.0
"""The interval of those that must not fall silent, however busy the machine is that the test shares."""
MOMENTS = (0.0, 0.02, 0.05, 0.1, 0.3)
"""Seconds between what makes an event and the kill, from before its commit to after it."""


@dataclass
class Panel(Device):
    """A panel that is supervised as it says."""

    interval: float | None = INTERVAL
    disabled: bool = False

    def record(self) -> bytes:
        """Its record, as a host sends it."""
        device = record_pb2.Device(device_id=self.device_id, account_number=self.account_number, disabled=self.disabled)
        if self.interval is not None:
            device.supervision_interval.FromTimedelta(timedelta(seconds=self.interval))
        travelling = record_pb2.DeviceRecord(device=device, device_key_sha256=sha256(self.key))
        return record_pb2.Record(device=travelling).SerializeToString(deterministic=True)

    async def beat(self, device_id: str = "") -> alarm_service_pb2.BeatResponse:
        """Say that it lives."""
        stub = alarm_service_pb2_grpc.AlarmServiceStub(self.channel)
        request = alarm_service_pb2.BeatRequest(device_id=device_id)
        return await stub.Beat(request, metadata=self.metadata, timeout=DEADLINE)

    async def keep_beating(self) -> None:
        """Say it again and again, whether or not anybody answers."""
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self.beat()
            await asyncio.sleep(INTERVAL / 4)


async def set_scene(channel: grpc.aio.Channel, account: Account, *panels: Panel) -> Scene:
    """A group with a host and these panels."""
    host = Receiver(channel, account)
    await host.join(HOST)
    configuration = Configuration()
    await send_push(host, configuration.changed(*panels))
    return Scene([host], panels, configuration)


def events(pull: Pull, device: Device) -> list[int]:
    """What was told of a device."""
    stored = [alarm.stored.alarm for alarm in pull.alarms]
    return [alarm.qualifier for alarm in stored if (alarm.device_id, alarm.code) == (device.device_id, CODE)]


def in_store(cloud: CloudProcess, device: Device) -> list[int]:
    """Qualifiers of the alarms of a device that are stored."""
    rows = query(cloud.data, "SELECT payload FROM alarm WHERE device_id = ? ORDER BY number", device.device_id)
    return [alarm_pb2.StoredAlarm.FromString(payload).alarm.qualifier for (payload,) in rows]


@together
async def test_a9_a_silent_device_raises_one_event_and_its_return_stands_before_what_it_reports(
    channel: grpc.aio.Channel, account: Account
) -> None:
    panel, other = Panel(channel, account, "a", "AB12"), Panel(channel, account, "b", "AB13", interval=AMPLE)
    scene = await set_scene(channel, account, panel, other)
    pull = await scene.host.work()
    beating = asyncio.create_task(other.keep_beating())
    await panel.beat()
    await until(lambda: events(pull, panel), "its silence was told")
    told = pull.alarms[-1].stored
    assert (told.account_number, told.account_sequence, told.alarm.qualifier) == ("AB12", 1, SILENT)
    assert list(told.marks) == [alarm_pb2.ALARM_MARK_SYSTEM]
    assert told.path == alarm_pb2.ALARM_PATH_SYSTEM
    assert "no sign of life since" in told.alarm.text
    await asyncio.sleep(2 * INTERVAL)  # not again, however long it lasts
    answers = [panel.publish(zone) for zone in (5, 6)]
    await asyncio.gather(*answers)
    await until(lambda: len(pull.alarms) >= 4, "all came")
    assert [alarm.stored.alarm.qualifier for alarm in pull.alarms][:2] == [SILENT, BACK]
    assert sorted(pull.zones) == [0, 0, 5, 6]
    assert events(pull, other) == []
    beating.cancel()
    await pull.confirm_all()


@together
async def test_a9_every_publish_batch_and_beat_is_a_sign_of_life(channel: grpc.aio.Channel, account: Account) -> None:
    names = ("beats", "publishes", "streams", "refused")
    panels = [Panel(channel, account, name, interval=AMPLE) for name in names]
    beats, publishes, streams, wrong = panels
    scene = await set_scene(channel, account, *panels)
    pull = await scene.host.work()
    for panel in panels:
        await panel.beat()
    stream = streams.stream_of_nothing()
    ends, number = time.monotonic() + 1.5 * AMPLE, 0
    while time.monotonic() < ends:
        number += 1
        await beats.beat()
        await publishes.publish()
        await stream.write(batch(number, [new_alarm()]))
        await stream.read()
        with contextlib.suppress(grpc.aio.AioRpcError):
            await wrong.publish(alarm_id="no uuid")  # it lives, whatever became of its call
        await asyncio.sleep(INTERVAL / 4)
    stream.cancel()
    assert [events(pull, panel) for panel in panels] == [[]] * 4
    await until(lambda: all(events(pull, panel) == [SILENT] for panel in panels), "then all fell silent")


@together
async def test_a9_a_device_that_is_off_disabled_or_was_never_there_is_not_missed(
    channel: grpc.aio.Channel, account: Account
) -> None:
    off, disabled = Panel(channel, account, "off", interval=0.0), Panel(channel, account, "disabled", disabled=True)
    never, heard = Panel(channel, account, "never"), Panel(channel, account, "heard")
    usual = Panel(channel, account, "usual", interval=None)
    scene = await set_scene(channel, account, off, disabled, never, heard, usual)
    pull = await scene.host.work()
    answers = [await panel.beat() for panel in (off, disabled, heard, usual)]
    assert [answer.supervision_interval.ToSeconds() for answer in answers] == [0, 0, 1, 180]
    assert abs(answers[0].server_time.ToSeconds() - time.time()) < 60
    await until(lambda: events(pull, heard), "the one was missed")
    await asyncio.sleep(INTERVAL)
    assert [len(events(pull, panel)) for panel in (off, disabled, never, heard, usual)] == [0, 0, 0, 1, 0]
    # Its record decides, from when it arrives.
    off.interval = disabled.interval = 1.0
    disabled.disabled, heard.disabled = False, True
    await send_push(scene.host, scene.configuration.changed(off, disabled, heard))
    await heard.beat()
    await until(lambda: events(pull, off) and events(pull, disabled), "both are supervised now")
    assert events(pull, heard) == [SILENT]


@together
async def test_a9_a_beat_is_of_the_device_that_calls(channel: grpc.aio.Channel, account: Account) -> None:
    panel = Panel(channel, account, "a")
    await set_scene(channel, account, panel)
    await panel.beat("a")
    assert (await refused(panel.beat("b"))).reason is Reason.FIELD_INVALID
    stub: Any = alarm_service_pb2_grpc.AlarmServiceStub(channel)
    wrong = DeviceCredentials(account.arc_id, "a", "wrong").metadata()
    error = await refused(stub.Beat(alarm_service_pb2.BeatRequest(), metadata=wrong, timeout=DEADLINE))
    assert error.reason is Reason.INVALID_CREDENTIALS


@pytest.mark.full
async def test_a9_with_the_cloud_killed_at_any_moment_each_is_told_once(own_cloud: CloudProcess) -> None:
    (account,) = await begun(own_cloud)
    async with contextlib.AsyncExitStack() as channels:
        channel = await channels.enter_async_context(open_channel(own_cloud.address, None))
        panel = Panel(channel, account, "a")
        scene = await set_scene(channel, account, panel)
        expected: list[int] = []
        told_before_kill = 0
        for late in MOMENTS:
            await panel.beat()
            heard = time.monotonic()
            # The looks come once a second, so that the event is stored at some time after its interval.
            await asyncio.sleep(heard + INTERVAL + late * 3 - time.monotonic())
            told_before_kill += len(in_store(own_cloud, panel)) > len(expected)
            await channels.enter_async_context(killed(own_cloud, scene))
            expected.append(SILENT)
            await until(lambda: in_store(own_cloud, panel) == expected, f"{expected}")
            await panel.beat()
            await asyncio.sleep(late / 10)
            await channels.enter_async_context(killed(own_cloud, scene))
            await panel.beat()
            expected.append(BACK)
            await until(lambda: in_store(own_cloud, panel) == expected, f"{expected}")
        assert told_before_kill < len(MOMENTS), "no kill came before the commit"
        assert own_cloud.stop() == 0
        ((last_seen, told),) = query(own_cloud.data, "SELECT last_seen, told FROM device_life")
        assert time.time() - 60 < last_seen <= time.time()
        assert told == 0


@pytest.mark.full
async def test_a9_after_a_restart_and_a_standstill_of_the_cloud_nobody_is_told_who_is_there(
    own_cloud: CloudProcess,
) -> None:
    (account,) = await begun(own_cloud)
    async with contextlib.AsyncExitStack() as channels:
        channel = await channels.enter_async_context(open_channel(own_cloud.address, None))
        panels = [Panel(channel, account, f"panel-{number}", interval=AMPLE) for number in range(20)]
        scene = await set_scene(channel, account, *panels)
        await scene.host.attend()
        beating = [asyncio.create_task(panel.keep_beating()) for panel in panels]
        await asyncio.sleep(2)
        own_cloud.kill()
        await asyncio.sleep(6)
        await asyncio.to_thread(own_cloud.start)
        await asyncio.sleep(4)
        own_cloud.signal(signal.SIGSTOP)
        await asyncio.sleep(8)
        own_cloud.signal(signal.SIGCONT)
        await asyncio.sleep(6)
        assert query(own_cloud.data, "SELECT count(*) FROM alarm") == [(0,)]
        beating[0].cancel()
        await until(lambda: in_store(own_cloud, panels[0]) == [SILENT], "who really is silent is told")
        for task in beating:
            task.cancel()
