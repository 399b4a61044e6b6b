"""RoleService: who is in the group, who works, and the life lines."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from hotspare.v1 import group_pb2, role_service_pb2, role_service_pb2_grpc
from hotspare_cloud import roster, verbs
from hotspare_cloud.attendance import AttendSession
from hotspare_cloud.core.admission import Membership, check_join
from hotspare_cloud.core.state import Attended, Beat, Kind, Note
from hotspare_cloud.directory import DEFAULT_SUB_ACCOUNT, Directory, shutting_down
from hotspare_cloud.finish import finished
from hotspare_cloud.group import Group
from hotspare_cloud.intake import UUID_FORM
from hotspare_cloud.services import convert
from hotspare_cloud.services.callers import ADMIN, OPERATOR, VIEWER, Callers, Context, ReceiverCaller
from hotspare_cloud.services.paging import decode_number, encode_token, page_size
from hotspare_cloud.services.streams import first_of
from hotspare_cloud.store.base import Store
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import Role
from hotspare_rpc.text import printable
from hotspare_rpc.wire import (
    group_settings_to_proto,
    role_from_proto,
    settings_changes_from_proto,
    timestamp_from_proto,
)

MAX_EPOCH = 2**62
"""What fits into the store. What a receiver claims to have seen is taken over far below it, see core.decide."""

MAX_START = 2**53
"""More starts than any machine sees; and counting on above it still fits into the store."""

MEMBERS_PAGE = 100
DETAIL_LIMIT = 256

Request = role_service_pb2.AttendRequest
Response = role_service_pb2.AttendResponse


class RoleService(role_service_pb2_grpc.RoleServiceServicer):
    """See role_service.proto."""

    def __init__(self, callers: Callers, directory: Directory, store: Store) -> None:
        self._callers = callers
        self._directory = directory
        self._store = store

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
        wish = _described(request.receiver, caller.receiver_id, role)
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

    async def _end_alone(self, caller: ReceiverCaller, why: str, *, but: Group | None = None) -> None:
        """Let a receiver work alone nowhere, but in one group."""
        for group in self._directory.groups_alone(caller.arc_id, caller.receiver_id):
            if group is not but:
                await self._remove(group, caller.receiver_id, Kind.MEMBER_LEFT, why, caller.operator)

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

    async def _remove(
        self, group: Group, receiver_id: str, kind: Kind, detail: str, operator: str, *, connected_too: bool = True
    ) -> None:
        removed = HotspareError(
            Reason.NOT_A_MEMBER, "this receiver was removed from the group", receiver_id=receiver_id
        )
        note = Note(kind, receiver_id, detail, operator)
        await roster.leave(group, [receiver_id], {}, removed, note, connected_too=connected_too)

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
        changed = asyncio.Event()
        changed.set()
        ended: list[HotspareError] = []

        def end(error: HotspareError) -> None:
            ended.append(error)
            changed.set()

        group.watchers.add(changed.set)
        try:
            with self._callers.lasting(context, end):
                while True:
                    await changed.wait()
                    changed.clear()
                    if self._directory.stopped.is_set():
                        raise shutting_down()
                    if ended:
                        raise ended[0]
                    yield role_service_pb2.WatchMembersResponse(
                        group=convert.group_to_proto(group), members=self._rows(group, asking)
                    )
        finally:
            group.watchers.discard(changed.set)

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

    # The life lines.

    async def Attend(self, request_iterator: AsyncIterator[Request], context: Context) -> AsyncIterator[Response]:
        """See role_service.proto."""
        caller = self._callers.receiver(context)
        hello = (await first_of(request_iterator, "hello", self._directory.stopped)).hello
        # The role is the stored one; the one here is never looked at.
        _check_hello(hello)
        member = replace(
            _described(hello.receiver, caller.receiver_id, Role.HOST, generation=hello.generation),
            incarnation=hello.incarnation,
            start=hello.start,
            folder_id=hello.folder_id,
        )
        group = self._directory.group_of_member(caller.arc_id, caller.receiver_id)
        if group is None:
            group = self._directory.group(caller.arc_id, hello.sub_account or DEFAULT_SUB_ACCOUNT)
            if hello.generation == 0:
                await self._admit_alone(caller, group, member)
        session = await group.attend(
            member,
            Attended(caller.receiver_id, hello.incarnation, hello.highest_epoch, hello.released_through),
        )
        reader = asyncio.create_task(self._read(request_iterator, group, session))
        try:
            with self._callers.lasting(context, session.end):
                while (state := await session.next_state()) is not None:
                    yield convert.state_to_proto(state)
        finally:
            reader.cancel()
            await group.part(session)

    @finished
    async def _admit_alone(self, caller: ReceiverCaller, group: Group, member: Membership) -> None:
        """Let a receiver without a role work in this group, and in no other one any more (G7)."""
        async with self._directory.membership_lock:
            if self._directory.group_of_member(caller.arc_id, caller.receiver_id) is None:
                await self._end_alone(caller, "it moved to another sub account", but=group)
                await roster.admit_alone(group, member)

    async def _read(self, requests: AsyncIterator[Request], group: Group, session: AttendSession) -> None:
        try:
            async for request in requests:
                if request.WhichOneof("frame") != "beat":
                    raise HotspareError(Reason.STREAM_PROTOCOL, "expected `beat` after `hello`", expected="beat")
                beat = request.beat
                event = Beat(
                    receiver_id=session.receiver_id,
                    incarnation=session.incarnation,
                    number=beat.number,
                    epoch=beat.epoch,
                    echo_sent=None,
                    released_through=beat.released_through,
                    wants_release=beat.wants_release,
                    healthy=beat.HasField("health") and not beat.health.problems,
                    in_sync=group.may_return(session.receiver_id, beat.sync_state),
                )
                await group.beat(session, event, (beat.echo_boot, beat.echo_number), convert.report_from_proto(beat))
            session.finish()
        except Exception as error:
            # Also a defect: a stream that is deaf must not stay open.
            session.end(error)


def _described(info: group_pb2.ReceiverInfo, receiver_id: str, role: Role, *, generation: int = 0) -> Membership:
    """A receiver as it describes itself. Raises HotspareError FIELD_INVALID."""
    if not UUID_FORM.fullmatch(info.receiver_id):
        raise field_invalid("receiver.receiver_id", "must be a UUID")
    if info.receiver_id != receiver_id:
        raise field_invalid("receiver.receiver_id", "must be that of the credentials")
    for name, most in (("machine_id", 128), ("name", 64), ("address", 255), ("software_version", 64)):
        if len(getattr(info, name)) > most:
            raise field_invalid(f"receiver.{name}", f"must have at most {most} characters")
    if not info.machine_id:
        raise field_invalid("receiver.machine_id", "must be there")
    return Membership(
        receiver_id=receiver_id,
        role=role,
        generation=generation,
        name=printable(info.name, 64) or receiver_id[:8],
        machine_id=info.machine_id,
        address=printable(info.address, 255),
        software_version=printable(info.software_version, 64),
        dual_connection=info.dual_connection,
        own_account_number=printable(info.own_account_number, 16),
        joined_at=time.time(),
    )


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


def _check_hello(hello: Request.Hello) -> None:
    if not 1 <= len(hello.incarnation) <= 64:
        raise field_invalid("incarnation", "must be 1 to 64 characters")
    if len(hello.folder_id) > 64:
        raise field_invalid("folder_id", "must have at most 64 characters")
    if not 1 <= hello.start <= MAX_START:
        raise field_invalid("start", f"must be from 1 to {MAX_START}")
    for name in ("highest_epoch", "released_through"):
        if getattr(hello, name) > MAX_EPOCH:
            raise field_invalid(name, f"must be at most {MAX_EPOCH}")
