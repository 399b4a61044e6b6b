"""The life lines of RoleService: who attends, and each beat of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from hotspare.v1 import group_pb2, role_service_pb2, role_service_pb2_grpc
from hotspare_cloud import roster
from hotspare_cloud.attendance import AttendSession
from hotspare_cloud.core.admission import Membership
from hotspare_cloud.core.state import Attended, Beat, Kind, Note
from hotspare_cloud.directory import DEFAULT_SUB_ACCOUNT, Directory
from hotspare_cloud.finish import finished
from hotspare_cloud.group import Group
from hotspare_cloud.services import convert
from hotspare_cloud.services.callers import Callers, Context, ReceiverCaller
from hotspare_cloud.services.streams import first_of
from hotspare_cloud.store.base import Store
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_model.group import Role
from hotspare_model.ids import UUID_FORM
from hotspare_rpc.text import printable

MAX_EPOCH = 2**62
"""What fits into the store. What a receiver claims to have seen is taken over far below it, see core.decide."""

MAX_START = 2**53
"""More starts than any machine sees; and counting on above it still fits into the store."""


Request = role_service_pb2.AttendRequest
Response = role_service_pb2.AttendResponse


class LifeLines(role_service_pb2_grpc.RoleServiceServicer):
    """Serves Attend."""

    def __init__(self, callers: Callers, directory: Directory, store: Store) -> None:
        self._callers = callers
        self._directory = directory
        self._store = store

    async def Attend(self, request_iterator: AsyncIterator[Request], context: Context) -> AsyncIterator[Response]:
        """See role_service.proto."""
        caller = self._callers.receiver(context)
        hello = (await first_of(request_iterator, "hello", self._directory.stopped)).hello
        # The role is the stored one; the one here is never looked at.
        _check_hello(hello)
        member = replace(
            described(hello.receiver, caller.receiver_id, Role.HOST, generation=hello.generation),
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

    async def _end_alone(self, caller: ReceiverCaller, why: str, *, but: Group | None = None) -> None:
        """Let a receiver work alone nowhere, but in one group."""
        for group in self._directory.groups_alone(caller.arc_id, caller.receiver_id):
            if group is not but:
                await self._remove(group, caller.receiver_id, Kind.MEMBER_LEFT, why, caller.operator)

    async def _remove(
        self, group: Group, receiver_id: str, kind: Kind, detail: str, operator: str, *, connected_too: bool = True
    ) -> None:
        removed = HotspareError(
            Reason.NOT_A_MEMBER, "this receiver was removed from the group", receiver_id=receiver_id
        )
        note = Note(kind, receiver_id, detail, operator)
        await roster.leave(group, [receiver_id], {}, removed, note, connected_too=connected_too)


def described(info: group_pb2.ReceiverInfo, receiver_id: str, role: Role, *, generation: int = 0) -> Membership:
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
