"""Signs of life of alarm devices (A9): each says that it lives often enough for the silence that its cloud allows."""

import asyncio
from collections.abc import Mapping
from random import Random

import grpc

from hotspare.v1 import alarm_service_pb2, alarm_service_pb2_grpc
from hotspare_rpc.credentials import DeviceCredentials, MetadataPairs
from hotspare_rpc.wire import duration_from_proto

ANSWER_TIMEOUT = 5.0
"""Seconds: the deadline of Beat in the contract."""
A_SILENCE = 3
"""Beats in the silence that is allowed: two may get lost."""
SHORTEST, LONGEST = 0.3, 60.0
"""Seconds between beats, whatever is allowed; the longest also while nothing is."""
AGAIN = 2.0
"""Seconds until the next try of a beat that was not answered."""
SPREAD = 0.01
"""Seconds by device over which the first beats are spread."""


class Beats:
    """The beats of all devices of one process, on one channel."""

    def __init__(self, channel: grpc.aio.Channel, arc_id: str, keys: Mapping[str, str], random: Random) -> None:
        self.answered = 0
        self._stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
        self._metadata = [DeviceCredentials(arc_id, device_id, key).metadata() for device_id, key in keys.items()]
        self._random = random

    async def run(self) -> None:
        """Beat until cancelled."""
        await asyncio.gather(*map(self._beat_on, self._metadata))

    async def _beat_on(self, metadata: MetadataPairs) -> None:
        pause = self._random.uniform(0, min(SPREAD * len(self._metadata), LONGEST / A_SILENCE))
        while True:
            await asyncio.sleep(pause)
            pause = await self._beat(metadata)

    async def _beat(self, metadata: MetadataPairs) -> float:
        """Say it once; returns after how many seconds to say it again. What fails is told where alarms fail."""
        try:
            answer = await self._stub.Beat(alarm_service_pb2.BeatRequest(), timeout=ANSWER_TIMEOUT, metadata=metadata)
        except grpc.aio.AioRpcError as problem:
            served = problem.code() is not grpc.StatusCode.UNIMPLEMENTED
            return AGAIN * self._random.uniform(0.5, 1.5) if served else LONGEST
        self.answered += 1
        allowed = duration_from_proto(answer.supervision_interval)
        if not allowed:
            return LONGEST
        return max(SHORTEST, min(allowed.total_seconds() / A_SILENCE, LONGEST)) * self._random.uniform(0.9, 1.0)
