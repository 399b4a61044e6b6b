"""A wallboard: watches who of the group works."""

import asyncio
import itertools

import grpc
from hotspare.v1 import group_pb2, role_service_pb2, role_service_pb2_grpc

from connection import Receiver, channel_to, receivers, say
from refusals import read

PAUSE = 0.5
"""Seconds before the next receiver is asked."""


class Watcher:
    """Follows the state of the group at one receiver after the other: each of them tells the whole of it."""

    def __init__(self, moves: int) -> None:
        self._moves = moves
        self._seen = 0
        self._worked = ""

    async def run(self) -> None:
        """Watch until the work has moved `moves` times; with 0 for ever."""
        for receiver in itertools.cycle(receivers()):
            try:
                await self._watch(receiver)
                return
            except grpc.aio.AioRpcError as error:
                refusal = read(error)
                say("lost", receiver=receiver.address, code=refusal.code.name, reason=refusal.reason)
                if not refusal.passes:
                    raise
            await asyncio.sleep(PAUSE)

    async def _watch(self, receiver: Receiver) -> None:
        async with channel_to(receiver.address) as channel:
            service = role_service_pb2_grpc.RoleServiceStub(channel)
            # Every message is the whole state, so nothing is missed between two streams.
            async for state in service.WatchMembers(role_service_pb2.WatchMembersRequest(), metadata=receiver.viewer):
                self._show(state)
                if self._moves and self._seen >= self._moves:
                    return

    def _show(self, state: role_service_pb2.WatchMembersResponse) -> None:
        working = state.group.working_receiver_id
        roles = {member.receiver.receiver_id: role_name(member.role) for member in state.members}
        say("group", epoch=state.group.epoch, working=roles.get(working, "-"))
        for member in state.members:
            status = status_name(member.status)
            say("member", role=role_name(member.role), status=status, name=member.receiver.name.replace(" ", "_"))
        if working and self._worked and working != self._worked:
            self._seen += 1
        self._worked = working or self._worked


def role_name(role: group_pb2.Role.ValueType) -> str:
    """The name without its prefix. A number that a later release added counts as unspecified."""
    known = role in group_pb2.Role.values()
    return group_pb2.Role.Name(role if known else group_pb2.ROLE_UNSPECIFIED).removeprefix("ROLE_")


def status_name(status: group_pb2.MemberStatus.ValueType) -> str:
    """The same of a status."""
    known = status in group_pb2.MemberStatus.values()
    name = group_pb2.MemberStatus.Name(status if known else group_pb2.MEMBER_STATUS_UNSPECIFIED)
    return name.removeprefix("MEMBER_STATUS_")
