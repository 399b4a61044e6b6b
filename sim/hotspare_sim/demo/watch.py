"""Asks the receivers, as `hotspare status` does, how their group is."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc

from hotspare.v1 import receiver_service_pb2, receiver_service_pb2_grpc
from hotspare.v1.backup_pb2 import BackupTable
from hotspare.v1.group_pb2 import MemberStatus
from hotspare.v1.receiver_service_pb2 import ReceiverStatus
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken, MetadataPairs
from hotspare_sim.demo.cast import Station

CALL_TIMEOUT = 1.0
PREFIX = "MEMBER_STATUS_"


@dataclass(frozen=True)
class MemberView:
    """A receiver, as the cloud told it to the one that was asked."""

    receiver_id: str
    status: str
    """`WORKING`, `STANDBY`, `OFFLINE`; empty while nobody told."""
    epoch: int | None
    """The epoch that it holds."""


@dataclass(frozen=True)
class GroupView:
    """The newest that any receiver knows of the group."""

    epoch: int
    members: Mapping[str, MemberView]
    """By receiver id."""
    held: int = 0
    """Alarms that wait until a holder of an ended epoch has surely stopped (F6)."""


NOTHING = GroupView(0, {})

Copy = tuple[object, ...]
"""Lineage, revision, and the digest of each kind of a receiver's configuration: equal copies are equal."""


class Watch:
    """Keeps a channel to each receiver; those that are down are asked again each time."""

    def __init__(self, stations: Iterable[Station]) -> None:
        self._stations = list(stations)
        self._stubs: dict[str, receiver_service_pb2_grpc.ReceiverServiceAsyncStub] = {}
        self._tokens: dict[str, MetadataPairs] = {}
        self._channels: list[grpc.aio.Channel] = []
        self.ids: dict[str, str] = {}
        """Receiver id by role; it never changes."""
        self.newest = NOTHING
        self.copies: dict[str, Copy] = {}
        """By role: the configuration of each, as it was told last."""

    def open(self) -> None:
        """Open the channels, once all receivers serve."""
        for station in self._stations:
            channel = open_channel(station.receiver.addresses["grpc"], None)
            self._channels.append(channel)
            self._stubs[station.role] = receiver_service_pb2_grpc.ReceiverServiceStub(channel)
            secret = station.token_file.read_text(encoding="ascii").strip()
            self._tokens[station.role] = BearerToken(secret).metadata()

    async def look(self) -> GroupView:
        """Ask all that run, and take the newest view of the group; without any answer the last one stays."""
        asked = [station.role for station in self._stations if station.receiver.is_running]
        answers = await asyncio.gather(*map(self._ask, asked))
        known = []
        for role, status in zip(asked, answers, strict=True):
            if status is not None:
                self.ids[role] = status.receiver.receiver_id
                self.copies[role] = _copy(status.backup)
                known.append(status)
        told = [status for status in known if status.members]
        if told:
            self.newest = _view(max(told, key=lambda status: status.group_time.ToNanoseconds()))
        return self.newest

    async def _ask(self, role: str) -> ReceiverStatus | None:
        request = receiver_service_pb2.GetStatusRequest()
        try:
            response = await self._stubs[role].GetStatus(request, timeout=CALL_TIMEOUT, metadata=self._tokens[role])
        except grpc.aio.AioRpcError:
            return None
        return response.status

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            await channel.close()


def _view(status: ReceiverStatus) -> GroupView:
    members = {
        member.receiver.receiver_id: MemberView(
            member.receiver.receiver_id,
            _word(member.status),
            member.epoch if member.HasField("epoch") else None,
        )
        for member in status.members
    }
    return GroupView(status.group.epoch, members, sum(hold.alarms for hold in status.group.holds))


def _copy(table: BackupTable) -> Copy:
    return (table.lineage, table.revision, *((row.kind, row.count, row.sha256) for row in table.rows))


def _word(status: int) -> str:
    value = MemberStatus.DESCRIPTOR.values_by_number.get(status)
    return "" if value is None or not status else value.name.removeprefix(PREFIX)
