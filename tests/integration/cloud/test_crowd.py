"""Many devices at once, and one that sends all it can: each alarm is answered, and nobody waits for others (S4, A7)."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from benchmarks.alarms import publishing
from benchmarks.alarms.hands import Hand
from hotspare.v1 import alarm_service_pb2, backup_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.errors import from_rpc_error
from tests.integration.cloud.helpers import SEDATE, Account, CloudProcess, furnish, new_accounts, query
from tests.integration.cloud.receivers import HOST, Receiver
from tests.integration.cloud.scene import Configuration, Device, Frame, change, new_alarm, push, send_push

pytestmark = pytest.mark.full

DEVICES = 10_000
CHANNELS = 100
CHUNK = 1000
PATIENCE = 60.0
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
"""Else all channels of a process to one address share a connection."""


@asynccontextmanager
async def crowd(cloud: CloudProcess, count: int) -> AsyncIterator[list[Device]]:
    """A cloud with so many devices of one group; each has its key."""
    (account,) = new_accounts("crowd", 1)
    await furnish(cloud.data, [account], SEDATE)
    cloud.start()
    async with open_channel(cloud.address, None) as channel:
        devices = [Device(channel, account, f"panel-{number:05d}", f"{number:05X}") for number in range(count)]
        await known(channel, account, devices)
        yield devices


async def known(channel: grpc.aio.Channel, account: Account, devices: Sequence[Device]) -> None:
    """Make the devices known, as a host does, in messages of a bearable size."""
    host = Receiver(channel, account)
    await host.join(HOST)
    configuration = Configuration()
    records = {device.device_id: device.record() for device in devices}
    changes = [change(name, record) for name, record in sorted(records.items())]
    header = backup_pb2.ChangeHeader(lineage=configuration.lineage, revision=1, software_version="1.2.3")
    chunks = [changes[start : start + CHUNK] for start in range(0, len(changes), CHUNK)]
    frames: list[Frame] = push(header, chunks, configuration.digests(records))
    await send_push(host, frames)


async def publish_until_answered(channel: grpc.aio.Channel, device: Device) -> tuple[int, int]:
    """One alarm, again under its id after the pause that the cloud asks for; its account sequence, and the refusals."""
    request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=new_alarm()))
    raw = request.SerializeToString()
    call: Any = channel.unary_unary("/hotspare.v1.AlarmService/PublishAlarm")
    refused = 0
    while True:
        try:
            answer = await call(raw, metadata=device.metadata, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            ours = from_rpc_error(error)
            # Back-pressure in so many words, and with the time to wait, is the one answer that may be instead (A7).
            if ours is None or ours.reason is not Reason.INTAKE_FULL or ours.retry_after is None:
                raise
            refused += 1
            await asyncio.sleep(ours.retry_after.total_seconds())
            continue
        return alarm_service_pb2.PublishAlarmResponse.FromString(answer).receipt.account_sequence, refused


async def test_s4_ten_thousand_devices_at_once_over_a_hundred_channels_are_all_answered(
    own_cloud: CloudProcess,
) -> None:
    async with crowd(own_cloud, DEVICES) as devices, AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(own_cloud.address, options=OWN_CONNECTION))
            for _ in range(CHANNELS)
        ]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(
                *(publish_until_answered(channels[place % CHANNELS], device) for place, device in enumerate(devices))
            )
        took = time.monotonic() - began
    # Each device has an account number of its own, and this is its first alarm.
    assert {number for number, _ in answers} == {1}
    stored = query(own_cloud.data, "SELECT count(*), count(DISTINCT device_id) FROM alarm")
    assert stored == [(DEVICES, DEVICES)]
    print(f"{DEVICES:,} devices answered in {took:.1f} s, {sum(refused for _, refused in answers)} times put off")


async def test_s4_a_device_that_floods_leaves_the_others_their_latency(own_cloud: CloudProcess) -> None:
    async def latency(devices: Sequence[Device], count: int) -> float:
        """The median of so many alarms, one after the other, in seconds."""
        times = []
        for place in range(count):
            began = time.monotonic()
            await devices[place % len(devices)].publish()
            times.append(time.monotonic() - began)
        return statistics.median(times)

    async with crowd(own_cloud, 5) as (flooder, *others):
        await latency(others, 20)
        alone = await latency(others, 60)
        hand = Hand(publishing.flood, own_cloud.address, flooder.metadata, 100, 16)
        with hand as flood:
            await asyncio.to_thread(flood.heard)
            flood.go()
            # It floods once the cloud has much of it.
            async with asyncio.timeout(PATIENCE):
                while query(own_cloud.data, "SELECT count(*) FROM alarm")[0][0] < 2000:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            beside = await latency(others, 60)
            flood.stop()
            stored = (await asyncio.to_thread(flood.result))["stored"]
    print(f"publish to answered: {alone * 1e3:.1f} ms alone, {beside * 1e3:.1f} ms beside {stored:,} alarms of a flood")
    assert stored > 3000
    # One flood shares commits and processors with them: some of them, and not all of its 1,600 in flight each time.
    assert beside < max(0.15, 15 * alone)
