"""Devices of `hotspare-sim` say that they live, as often as their cloud wants to hear it (A9)."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc

from hotspare.v1 import alarm_service_pb2
from hotspare_rpc.channel import open_channel
from hotspare_sim.beats import A_SILENCE
from hotspare_sim.devices import Devices, Plan
from hotspare_sim.line_log import LineLog
from tests.integration.test_sim_devices import DEADLINE, KEYS, Cloud, serving

ALLOWED = 1.0


class Listening(Cloud):
    """A cloud that counts beats; the first of each device is not answered."""

    def __init__(self) -> None:
        super().__init__()
        self.beats: Counter[str] = Counter()
        self.enough = asyncio.Event()

    async def Beat(self, request: alarm_service_pb2.BeatRequest, context: Any) -> alarm_service_pb2.BeatResponse:
        device = self._device(context)
        assert request.device_id == ""
        self.beats[device] += 1
        if self.beats[device] == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        if len(self.beats) == len(KEYS) and min(self.beats.values()) > A_SILENCE:
            self.enough.set()
        answer = alarm_service_pb2.BeatResponse()
        answer.supervision_interval.FromTimedelta(timedelta(seconds=ALLOWED))
        return answer


async def run(cloud: Cloud, tmp_path: Path, plan: Plan, until: asyncio.Event | None) -> list[str]:
    """Run devices until an event, or to the end of their plan; returns what they complain of."""
    problems: list[str] = []
    async with serving(cloud) as address, open_channel(address, None) as channel:
        log = LineLog(tmp_path / "log.jsonl")
        devices = Devices(plan, channel, log, problems.append)
        stop = asyncio.Event()
        running = asyncio.create_task(devices.run(stop, timedelta(seconds=2)))
        if until is not None:
            await asyncio.wait_for(until.wait(), DEADLINE)
            stop.set()
        await asyncio.wait_for(running, DEADLINE)
        log.close()
    return problems


async def test_a9_each_device_beats_so_often_that_two_beats_may_get_lost(tmp_path: Path) -> None:
    cloud = Listening()
    assert await run(cloud, tmp_path, Plan("north", KEYS, rate=0.1), cloud.enough) == []
    assert set(cloud.beats) == set(KEYS)


async def test_a9_without_beats_devices_say_nothing_but_alarms(tmp_path: Path) -> None:
    cloud = Listening()
    await run(cloud, tmp_path, Plan("north", KEYS, rate=100, count=20, seed=1, beat=False), None)
    assert (len(cloud.numbers), sum(cloud.beats.values())) == (20, 0)


async def test_a9_a_cloud_that_serves_no_beats_is_no_problem(tmp_path: Path) -> None:
    cloud = Cloud()
    assert await run(cloud, tmp_path, Plan("north", KEYS, rate=100, count=50, seed=1), None) == []
    assert len(cloud.numbers) == 50
