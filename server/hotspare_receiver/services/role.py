"""RoleService at a receiver: passed on to the cloud under the ARC key, with the operator's name (S5).

Joining and leaving go the way of EnableHotSpare and DisableHotSpare, for what the cloud is told has to be so here too.
Attend is the cloud's alone.
"""

from collections.abc import AsyncIterator
from typing import Any

from hotspare.v1 import role_service_pb2, role_service_pb2_grpc
from hotspare_model.errors import field_invalid
from hotspare_receiver.clients.cloud import CloudClient
from hotspare_receiver.hot_spare import HotSpare
from hotspare_receiver.services.passing import Passing
from hotspare_receiver.services.streams import Ends
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Tokens
from hotspare_rpc.wire import role_from_proto

SWITCHOVER_TIMEOUT = 10.0
"""Seconds, as the contract's deadline has it."""


class RoleServicer(role_service_pb2_grpc.RoleServiceServicer):
    """Serves RoleService for the operators of this receiver; the group is always its own."""

    def __init__(
        self,
        tokens: Tokens,
        ends: Ends,
        cloud: CloudClient,
        settings: SettingsStore,
        hot_spare: HotSpare,
    ) -> None:
        self._tokens = tokens
        self._ends = ends
        self._cloud = cloud
        self._passing = Passing(cloud, settings)
        self._hot_spare = hot_spare

    async def JoinGroup(
        self, request: role_service_pb2.JoinGroupRequest, context: Any
    ) -> role_service_pb2.JoinGroupResponse:
        """Take a role, as EnableHotSpare does; the sub account is that of the settings."""
        operator = self._tokens.admit(context, TokenRole.ADMIN)
        role = role_from_proto(request.role)
        if role is None:
            raise field_invalid("role", "must be HOST, SPARE_1, SPARE_2 or SPARE_3")
        return await self._hot_spare.enable(role, operator.name, promote=request.promote)

    async def LeaveGroup(
        self, request: role_service_pb2.LeaveGroupRequest, context: Any
    ) -> role_service_pb2.LeaveGroupResponse:
        """Give the role up, as DisableHotSpare does; what was released is filled in here."""
        operator = self._tokens.admit(context, TokenRole.ADMIN)
        disabled = await self._hot_spare.disable(operator.name, confirmed=request.confirmed)
        return role_service_pb2.LeaveGroupResponse(ended_members=disabled.ended_members)

    async def ListMembers(
        self, request: role_service_pb2.ListMembersRequest, context: Any
    ) -> role_service_pb2.ListMembersResponse:
        """The group and its members, as the cloud has them now."""
        operator = self._tokens.admit(context, TokenRole.VIEWER)
        asked = role_service_pb2.ListMembersRequest(
            sub_account=self._passing.sub_account(),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return await self._cloud.call(self._cloud.roles().ListMembers, asked, operator=operator.name)

    def WatchMembers(
        self, request: role_service_pb2.WatchMembersRequest, context: Any
    ) -> AsyncIterator[role_service_pb2.WatchMembersResponse]:
        """The same, again at every change."""
        operator = self._tokens.admit(context, TokenRole.VIEWER)
        asked = role_service_pb2.WatchMembersRequest(sub_account=self._passing.sub_account())
        watch = self._cloud.stream(self._cloud.roles().WatchMembers, asked, operator.name)
        return self._ends.guard(watch, operator)

    async def RemoveMember(
        self, request: role_service_pb2.RemoveMemberRequest, context: Any
    ) -> role_service_pb2.RemoveMemberResponse:
        """Remove a member that is gone for good (G8)."""
        operator = self._tokens.admit(context, TokenRole.ADMIN)
        return await self._passing.on(self._cloud.roles().RemoveMember, request, context, operator)

    async def Switchover(
        self, request: role_service_pb2.SwitchoverRequest, context: Any
    ) -> role_service_pb2.SwitchoverResponse:
        """Hand the work over to a named receiver (F8)."""
        operator = self._tokens.admit(context, TokenRole.OPERATOR)
        return await self._passing.on(self._cloud.roles().Switchover, request, context, operator, SWITCHOVER_TIMEOUT)

    async def PauseFailover(
        self, request: role_service_pb2.PauseFailoverRequest, context: Any
    ) -> role_service_pb2.PauseFailoverResponse:
        """Pause automatic moves."""
        operator = self._tokens.admit(context, TokenRole.OPERATOR)
        return await self._passing.on(self._cloud.roles().PauseFailover, request, context, operator)

    async def ResumeFailover(
        self, request: role_service_pb2.ResumeFailoverRequest, context: Any
    ) -> role_service_pb2.ResumeFailoverResponse:
        """Resume them; a pin and what is held back end."""
        operator = self._tokens.admit(context, TokenRole.OPERATOR)
        return await self._passing.on(self._cloud.roles().ResumeFailover, request, context, operator)

    async def ListTransitions(
        self, request: role_service_pb2.ListTransitionsRequest, context: Any
    ) -> role_service_pb2.ListTransitionsResponse:
        """The history of moves, newest first."""
        operator = self._tokens.admit(context, TokenRole.VIEWER)
        return await self._passing.on(self._cloud.roles().ListTransitions, request, context, operator)

    async def GetGroupSettings(
        self, request: role_service_pb2.GetGroupSettingsRequest, context: Any
    ) -> role_service_pb2.GetGroupSettingsResponse:
        """The settings that concern all members."""
        operator = self._tokens.admit(context, TokenRole.VIEWER)
        return await self._passing.on(self._cloud.roles().GetGroupSettings, request, context, operator)

    async def UpdateGroupSettings(
        self, request: role_service_pb2.UpdateGroupSettingsRequest, context: Any
    ) -> role_service_pb2.UpdateGroupSettingsResponse:
        """Change them."""
        operator = self._tokens.admit(context, TokenRole.ADMIN)
        return await self._passing.on(self._cloud.roles().UpdateGroupSettings, request, context, operator)
