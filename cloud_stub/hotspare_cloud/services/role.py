"""RoleService: who is in the group, who works, and the life lines."""

from collections.abc import AsyncIterator

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_cloud import roster, verbs
from hotspare_cloud.core.admission import Membership, check_join
from hotspare_cloud.core.state import Kind, Note
from hotspare_cloud.finish import finished
from hotspare_cloud.group import Group
from hotspare_cloud.services import convert
from hotspare_cloud.services.attend import MAX_EPOCH, LifeLines, described
from hotspare_cloud.services.callers import ADMIN, OPERATOR, VIEWER, Context, ReceiverCaller
from hotspare_cloud.services.paging import decode_number, encode_token, page_size
from hotspare_cloud.services.streams import woken
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import Role
from hotspare_model.ids import UUID_FORM
from hotspare_rpc.text import printable
from hotspare_rpc.wire import (
    group_settings_to_proto,
    role_from_proto,
    settings_changes_from_proto,
    timestamp_from_proto,
)

MEMBERS_PAGE = 100
DETAIL_LIMIT = 256


class RoleService(LifeLines):
    """See role_service.proto."""

    async def JoinGroup(
        self, request: role_service_pb2.JoinGroupRequest, context: Context
    ) -> role_service_pb2.JoinGroupResponse:
        """See role_service.proto."""
        caller = self._callers.receiver(context)
        role = role_from_proto(request.role)
        if role is None:
            raise field_invalid("role", "must be HOST, SPARE_1, SPARE_2 or SPARE_3")
        if request.promote and role is not Role.HOST:
            raise field_invalid("promote", "goes with the role HOST alone")
        wish = described(request.receiver, caller.receiver_id, role)
        group, member = await self._join(caller, wish, request.sub_account, promote=request.promote)
        return role_service_pb2.JoinGroupResponse(
            member=self._row(group, member, caller.receiver_id),
            group=convert.group_to_proto(group),
            settings=group_settings_to_proto(group.state.settings),
        )

    @finished
    async def _join(
        self, caller: ReceiverCaller, wish: Membership, sub_account: str, *, promote: bool
    ) -> tuple[Group, Membership]:
        # All groups of the account are looked at, so only one joins at a time.
        async with self._directory.membership_lock:
            group = self._directory.group(caller.arc_id, sub_account)
            before = self._directory.group_of_member(caller.arc_id, caller.receiver_id)
            if before is not None and before is not group:
                held = before.members[caller.receiver_id].role
                raise HotspareError(
                    Reason.ROLE_HELD,
                    f"this receiver holds a role in sub account {before.row.sub_account}: disable it there first",
                    setting="sub_account",
                    role=held.name if held else "",
                )
            if promote:
                await self._make_room(group, wish, caller.operator)
            check_join(wish, group.row.sub_account, group.members, self._other_hosts(group))
            joined = await roster.join(group, wish, caller.operator)
            await self._end_alone(caller, "it took a role", but=group)
            return group, joined

    async def _make_room(self, group: Group, wish: Membership, operator: str) -> None:
        """Remove the host of before, for a spare that is promoted in its place (G8).

        A stop of the cloud right after it leaves a group without a host, and promoting again goes on from there.
        """
        spare = group.members.get(wish.receiver_id)
        if spare is None or spare.role is None:
            raise HotspareError(
                Reason.NOT_A_MEMBER,
                "only a spare of the group can be promoted: take a free role without promoting",
                receiver_id=wish.receiver_id,
            )
        host = next((member for member in group.members.values() if member.role is Role.HOST), None)
        if host is None or host.receiver_id == wish.receiver_id:
            return
        others = {key: member for key, member in group.members.items() if member is not host}
        check_join(wish, group.row.sub_account, others, self._other_hosts(group))
        why = f"{host.name}, for {spare.name} is promoted"
        await self._remove(group, host.receiver_id, Kind.MEMBER_REMOVED, why, operator, connected_too=False)

    def _other_hosts(self, group: Group) -> tuple[str, ...]:
        return tuple(
            other.row.sub_account
            for other in self._directory.groups(group.row.arc_id)
            if other is not group and any(member.role is Role.HOST for member in other.members.values())
        )

    async def LeaveGroup(
        self, request: role_service_pb2.LeaveGroupRequest, context: Context
    ) -> role_service_pb2.LeaveGroupResponse:
        """See role_service.proto."""
        return await self._leave(self._callers.receiver(context), request)

    @finished
    async def _leave(
        self, caller: ReceiverCaller, request: role_service_pb2.LeaveGroupRequest
    ) -> role_service_pb2.LeaveGroupResponse:
        # Behind a join of the same receiver whose caller has gone: what was asked later counts.
        async with self._directory.membership_lock:
            group = self._directory.group_at_work(caller.arc_id, caller.receiver_id)
            if group is None:
                return role_service_pb2.LeaveGroupResponse()
            member = group.members[caller.receiver_id]
            if request.generation and request.generation < member.generation:
                return role_service_pb2.LeaveGroupResponse()
            gone = [member]
            if member.role is Role.HOST:
                gone += [other for other in group.members.values() if other is not member and other.role is not None]
            ended = [self._row(group, other) for other in gone[1:]]
            kind = Kind.HOT_SPARE_ENDED if member.role is Role.HOST else Kind.MEMBER_LEFT
            detail = printable(request.detail, DETAIL_LIMIT)
            await roster.leave(
                group,
                [each.receiver_id for each in gone],
                {caller.receiver_id: min(request.released_through, MAX_EPOCH)},
                HotspareError(
                    Reason.HOT_SPARE_ENDED, "the hot spare was switched off", generation=group.generation + 1
                ),
                Note(kind, member.receiver_id, detail, caller.operator),
                ended=[other.receiver_id for other in gone[1:]],
            )
            return role_service_pb2.LeaveGroupResponse(ended_members=ended)

    async def RemoveMember(
        self, request: role_service_pb2.RemoveMemberRequest, context: Context
    ) -> role_service_pb2.RemoveMemberResponse:
        """See role_service.proto."""
        group, asking = self._callers.group(context, ADMIN, request.arc_id, request.sub_account)
        member = group.members.get(request.receiver_id)
        if member is None and request.receiver_id in group.departed:
            return role_service_pb2.RemoveMemberResponse(group=convert.group_to_proto(group))
        if member is None:
            raise HotspareError(
                Reason.MEMBER_NOT_FOUND,
                f"the group has no member {printable(request.receiver_id, 64)}",
                receiver_id=printable(request.receiver_id, 64),
            )
        operator = self._callers.operator_name(context, asking)
        await self._remove(
            group, member.receiver_id, Kind.MEMBER_REMOVED, member.name, operator, connected_too=request.force
        )
        return role_service_pb2.RemoveMemberResponse(group=convert.group_to_proto(group))

    def _row(self, group: Group, member: Membership, asking: str = "") -> group_pb2.Member:
        """A member as it is now, and whether the end of a rotation would shut it out."""
        row = convert.member_to_proto(group, member, asking)
        row.uses_old_key = self._directory.keys.uses_old_key(group.row.arc_id, member.receiver_id)
        return row

    def _rows(self, group: Group, asking: str) -> list[group_pb2.Member]:
        """All members, in the order of their roles."""
        return [self._row(group, member, asking) for member in convert.in_order(group.members.values())]

    async def ListMembers(
        self, request: role_service_pb2.ListMembersRequest, context: Context
    ) -> role_service_pb2.ListMembersResponse:
        """See role_service.proto."""
        group, asking = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        size = page_size(request.page_size, default=MEMBERS_PAGE, most=MEMBERS_PAGE)
        after = decode_number("members", request.page_token)
        members = self._rows(group, asking)[after:]
        page = members[:size]
        return role_service_pb2.ListMembersResponse(
            group=convert.group_to_proto(group, await self._store.oldest_waiting(group.row.group_id)),
            members=page,
            next_page_token=encode_token("members", str(after + size)) if len(members) > size else "",
        )

    async def WatchMembers(
        self, request: role_service_pb2.WatchMembersRequest, context: Context
    ) -> AsyncIterator[role_service_pb2.WatchMembersResponse]:
        """See role_service.proto."""
        group, asking = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        with woken(self._directory, self._callers, context, group) as wakes:
            while True:
                await wakes.wait()
                yield role_service_pb2.WatchMembersResponse(
                    group=convert.group_to_proto(group), members=self._rows(group, asking)
                )

    async def GetGroupSettings(
        self, request: role_service_pb2.GetGroupSettingsRequest, context: Context
    ) -> role_service_pb2.GetGroupSettingsResponse:
        """See role_service.proto."""
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        settings = group.state.settings
        return role_service_pb2.GetGroupSettingsResponse(
            settings=group_settings_to_proto(settings, verbs.etag_of(settings))
        )

    async def UpdateGroupSettings(
        self, request: role_service_pb2.UpdateGroupSettingsRequest, context: Context
    ) -> role_service_pb2.UpdateGroupSettingsResponse:
        """See role_service.proto."""
        group, wish = self._wish(context, ADMIN, request.arc_id, request.sub_account)
        if not request.update_mask.paths:
            raise field_invalid("update_mask", "must name the settings that change")
        changes = settings_changes_from_proto(request.settings, request.update_mask.paths)
        settings = await verbs.change_settings(group, changes, request.settings.etag, wish)
        return role_service_pb2.UpdateGroupSettingsResponse(
            settings=group_settings_to_proto(settings, verbs.etag_of(settings))
        )

    # What operators want of who works.

    async def Switchover(
        self, request: role_service_pb2.SwitchoverRequest, context: Context
    ) -> role_service_pb2.SwitchoverResponse:
        """See role_service.proto."""
        if not UUID_FORM.fullmatch(request.request_id):
            raise field_invalid("request_id", "must be a UUID")
        group, wish = self._wish(
            context, OPERATOR, request.arc_id, request.sub_account, request.detail, request.request_id.lower()
        )
        target = _target(request)
        expected = request.expected_epoch if request.HasField("expected_epoch") else None
        await verbs.switch(group, target, wish, expected)
        return role_service_pb2.SwitchoverResponse(group=convert.group_to_proto(group))

    async def PauseFailover(
        self, request: role_service_pb2.PauseFailoverRequest, context: Context
    ) -> role_service_pb2.PauseFailoverResponse:
        """See role_service.proto."""
        group, wish = self._wish(context, OPERATOR, request.arc_id, request.sub_account, request.detail)
        await verbs.pause(group, wish)
        return role_service_pb2.PauseFailoverResponse(group=convert.group_to_proto(group))

    async def ResumeFailover(
        self, request: role_service_pb2.ResumeFailoverRequest, context: Context
    ) -> role_service_pb2.ResumeFailoverResponse:
        """See role_service.proto."""
        group, wish = self._wish(context, OPERATOR, request.arc_id, request.sub_account, request.detail)
        await verbs.resume(group, wish)
        return role_service_pb2.ResumeFailoverResponse(group=convert.group_to_proto(group))

    async def ListTransitions(
        self, request: role_service_pb2.ListTransitionsRequest, context: Context
    ) -> role_service_pb2.ListTransitionsResponse:
        """See role_service.proto."""
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        size = page_size(request.page_size)
        before = decode_number("transitions", request.page_token)
        lines = await self._store.history(
            group.row.group_id,
            before=before,
            since=_bound(request, "start_time"),
            until=_bound(request, "end_time"),
            limit=size + 1,
        )
        page = lines[:size]
        return role_service_pb2.ListTransitionsResponse(
            transitions=[convert.line_to_proto(line) for line in page],
            next_page_token=encode_token("transitions", str(page[-1].number)) if len(lines) > size else "",
        )

    def _wish(
        self, context: Context, least: int, arc_id: str, sub_account: str, detail: str = "", request_id: str = ""
    ) -> tuple[Group, verbs.Wish]:
        if len(detail) > DETAIL_LIMIT:
            raise field_invalid("detail", f"must have at most {DETAIL_LIMIT} characters")
        group, asking = self._callers.group(context, least, arc_id, sub_account)
        operator = self._callers.operator_name(context, asking)
        return group, verbs.Wish(printable(operator, 64), printable(detail, DETAIL_LIMIT), request_id)


def _target(request: role_service_pb2.SwitchoverRequest) -> str | Role:
    """Whom a switchover means. Raises HotspareError FIELD_INVALID."""
    if request.WhichOneof("target") == "receiver_id" and request.receiver_id:
        return printable(request.receiver_id, 64)
    role = role_from_proto(request.role)
    if role is None:
        raise field_invalid("target", "must be a receiver id, or one of HOST, SPARE_1, SPARE_2, SPARE_3")
    return role


def _bound(request: role_service_pb2.ListTransitionsRequest, name: str) -> float | None:
    """A bound of the history, seconds since 1970. Raises HotspareError FIELD_INVALID."""
    if not request.HasField(name):  # type: ignore[arg-type]
        return None
    time = timestamp_from_proto(getattr(request, name))
    if time is None:
        raise field_invalid(name, "must be a time between the years 1 and 9999")
    return time.timestamp()
