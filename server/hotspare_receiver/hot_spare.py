"""As what this receiver attends: taking a role, giving it up, and working alone (X1, X2, X4, G7).

Here meet what an operator asks for, what the cloud says, and what is durable.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import Role
from hotspare_receiver.clients.attend_messages import introduction_to_proto
from hotspare_receiver.clients.cloud import CALL_TIMEOUT, CloudClient, not_configured, uses_tls
from hotspare_receiver.clients.goodbye import HEARD, same_account, say
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.snapshot import Attendance, Expulsion, Introduction
from hotspare_receiver.store.settings import Goodbye, RoleHeld, Settings, SettingsStore
from hotspare_rpc.credentials import ReceiverCredentials
from hotspare_rpc.errors import from_rpc_error
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import role_from_proto, role_to_proto

FIRST_GOODBYE_RETRY = 1.0
LONGEST_GOODBYE_RETRY = 60.0
LONGEST_BLOCKING_RETRY = 5.0
"""Of a goodbye to the group in which this receiver is to work alone next: alarms may wait for it."""

CLEAR_RETRY = 5.0
"""Seconds between attempts to clear a copy on a disk that is full."""

LEFT_DETAIL = "switched off by an operator of the receiver"
MOVED_DETAIL = "its settings name another group now"

_log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Disabled:
    """What came of giving the role up. `cleared_records`: of the configuration here."""

    cloud_told: bool
    ended_members: tuple[group_pb2.Member, ...] = ()
    cleared_records: int = 0


class HotSpare:
    """The role of this receiver, or that it has none. Every change of it, and of what it rests on, holds `lock`."""

    def __init__(
        self,
        store: SettingsStore,
        cloud: CloudClient,
        path: AlarmPath,
        introduce: Callable[[], Introduction],
        count_records: Callable[[], Awaitable[int]],
        on_role: Callable[[], None],
        on_way: Callable[[], None],
        *,
        clear_copy: Callable[[], Awaitable[int]],
    ) -> None:
        """`introduce` tells who this receiver is.

        `on_role` is called when the role here, the group, or the key to it, is another one; `on_way` when the settings
        are. `clear_copy` clears a configuration that was synced from a host, never an own one, and returns how many
        records that were.
        """
        self._store = store
        self._cloud = cloud
        self._path = path
        self._introduce = introduce
        self._count_records = count_records
        self._on_role = on_role
        self._on_way = on_way
        self._clear = clear_copy
        self.lock = asyncio.Lock()
        self.expulsion: Expulsion | None = None
        self._goodbye_wake = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Do what was left undone before: clear a copy, deliver a goodbye. Call it in the loop."""
        self._spawn(self._clear_left())
        self._spawn(self._say_goodbyes())

    async def stop(self) -> None:
        """Stop what runs in the background; a goodbye that was not heard stays for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def attendance(self) -> Attendance | None:
        """What to attend as: with the role, else alone (G7). None: there is no cloud yet, or it has to hear of the end
        of the role first, or else it would take the one that works alone for the member of before."""
        role, settings = self._store.role, self._store.settings
        if role is not None:
            return Attendance(role.role, settings.arc_id, settings.sub_account, role.generation)
        if self._store.missing or self._goodbye_blocks():
            return None
        return Attendance(None, settings.arc_id, settings.sub_account, 0)

    async def enable(
        self, role: Role, operator: str, *, promote: bool = False, confirmed: bool = False
    ) -> role_service_pb2.JoinGroupResponse:
        """Take a role and begin to attend; it goes on when the caller has gone.

        Raises:
            HotspareError: those of JoinGroup, CLOUD_NOT_CONFIGURED, CLOUD_UNREACHABLE, CONFIRMATION_REQUIRED.
        """
        return await self._finish(self._enable(role, operator, promote, confirmed))

    async def disable(self, operator: str, *, confirmed: bool) -> Disabled:
        """Stop forwarding, hand over, leave the group; it goes on when the caller has gone.

        Raises:
            HotspareError: CONFIRMATION_REQUIRED.
        """
        return await self._finish(self._disable(operator, confirmed))

    async def configure(
        self, change: Callable[[], tuple[Settings, str]], operator: str, *, confirmed: bool = False
    ) -> bool:
        """Put settings and ARC key in place as `change` tells them; returns whether they are others than before.

        Where they name another cloud or account, the role is given up first (X3), which has to be `confirmed`; where
        they name another group, what is held in the old one without a role is handed over first (G7). It goes on when
        the caller has gone.

        Raises:
            HotspareError: those of `change`, CONFIRMATION_REQUIRED, CLOUD_UNREACHABLE (a key that the cloud can't be
                asked about); nothing changed then. DISK_LOW, STORE_FAILED: the settings did not change.
        """
        return await self._finish(self._configure(change, operator, confirmed))

    def expelled(self, expulsion: Expulsion) -> None:
        """The cloud said for good that this receiver has no role: clear it here. The path has stopped already."""
        self.expulsion = expulsion
        log_event(_log, logging.WARNING, "role_lost", reason=expulsion.reason.value, detail=expulsion.message)
        self._spawn(self._clear_role())

    async def _enable(
        self, role: Role, operator: str, promote: bool, confirmed: bool
    ) -> role_service_pb2.JoinGroupResponse:
        async with self.lock:
            store = self._store
            if store.missing:
                raise not_configured(", ".join(store.missing))
            if role is not Role.HOST and store.settings.dual_connection:
                raise dual_connection_not_allowed(role)
            if role is not Role.HOST and store.role is None and not confirmed:
                await self._check_replaced()
            request = role_service_pb2.JoinGroupRequest(
                sub_account=store.settings.sub_account,
                role=role_to_proto(role),
                receiver=introduction_to_proto(self._introduce()),
                promote=promote,
            )
            try:
                joined = await self._cloud.call(self._cloud.roles().JoinGroup, request, operator=operator)
            except HotspareError as error:
                held = store.role is not None and store.role.role is role and not promote
                if held and error.reason is Reason.CLOUD_UNREACHABLE:
                    return role_service_pb2.JoinGroupResponse(member=self._own_row(role))
                raise
            taken = RoleHeld(role_from_proto(joined.member.role) or role, joined.member.generation)
            if taken != store.role:
                await store.set_role(taken)
                log_event(
                    _log, logging.WARNING, "role_taken", role=taken.role.name, generation=taken.generation,
                    operator=operator,
                )  # fmt: skip
            self.expulsion = None
            if store.goodbye is not None and same_account(store, store.goodbye):
                await store.forget_goodbye()
            self._attend()
            return joined

    async def _disable(self, operator: str, confirmed: bool) -> Disabled:
        async with self.lock:
            role = self._store.role
            if role is None:
                # A clearing that broke off is ended by asking again.
                return Disabled(self._store.goodbye is None, cleared_records=await self._clear_copy())
            if not confirmed:
                raise _confirmation_required(await self._cleared_by_leaving(role.role))
            try:
                return await self._give_up(role, operator, LEFT_DETAIL)
            finally:
                self._attend()

    async def _give_up(self, role: RoleHeld, operator: str, detail: str) -> Disabled:
        """Hand over, leave, and clear what goes with the role. Whoever calls it attends anew.

        What is durable first: the cloud hears it, or the goodbye is kept; then the role goes here, then the copy. A
        crash in between goes on where it was: a cloud that has heard refuses the member, and a copy that was synced is
        cleared at the start of a receiver without a role.
        """
        released_through = await self._path.leave(self._path.settings.drain_timeout)
        request = role_service_pb2.LeaveGroupRequest(
            released_through=released_through, detail=detail, generation=role.generation
        )
        ended: tuple[group_pb2.Member, ...] = ()
        told = True
        try:
            answer = await self._cloud.call(self._cloud.roles().LeaveGroup, request, operator=operator)
            ended = tuple(answer.ended_members)
        except HotspareError as error:
            told = error.reason in HEARD
        goodbye = None
        if not told:
            tls = uses_tls(self._store.settings)
            goodbye = self._store.goodbye_of_today(released_through, detail, operator, cloud_tls=tls)
        log_event(
            _log, logging.WARNING, "role_given_up", role=role.role.name, cloud_told=told,
            released_through=released_through, operator=operator,
        )  # fmt: skip
        cleared = await self._drop_role(role, goodbye)
        self._goodbye_wake.set()
        return Disabled(told, ended, cleared)

    async def _drop_role(self, role: RoleHeld, goodbye: Goodbye | None = None) -> int:
        """Have no role any more; of a spare the synced copy goes too (X1, X2). Returns how many records went.

        Raises:
            HotspareError: DISK_LOW, STORE_FAILED. The role may be gone then, and the copy not yet.
        """
        await self._store.give_up_role(goodbye)
        cleared = 0
        try:
            if role.role is not Role.HOST:
                cleared = await self._clear_copy()
        except HotspareError:
            self._spawn(self._clear_left())
            raise
        finally:
            self._store.role_given_up()
            self._on_role()
        if role.role is not Role.HOST:
            # What was being synced while the copy was cleared may have arrived after it.
            cleared += await self._clear_copy()
        return cleared

    async def _clear_left(self) -> None:
        """Clear a copy that was left when this process, or the one before, was interrupted, or its disk was full."""
        while True:
            try:
                async with self.lock:
                    if self._store.role is None:
                        await self._clear_copy()
                return
            except HotspareError as error:
                log_event(_log, logging.ERROR, "copy_not_cleared", problem=error)
            await asyncio.sleep(CLEAR_RETRY)

    async def _clear_copy(self) -> int:
        cleared = await self._clear()
        if cleared:
            log_event(_log, logging.WARNING, "copy_cleared", records=cleared)
        return cleared

    async def _configure(self, change: Callable[[], tuple[Settings, str]], operator: str, confirmed: bool) -> bool:
        async with self.lock:
            store, before = self._store, (self._store.settings, self._store.arc_key)
            after, arc_key = change()
            if (after, arc_key) == before:
                return False
            role = store.role
            if role is None:
                moves = not arc_key or group_of(after) != group_of(before[0])
            else:
                moves = await self._leaves(after, arc_key)
                if moves and not confirmed:
                    raise _confirmation_required(await self._cleared_by_leaving(role.role))
            try:
                if moves and role is not None:
                    await self._give_up(role, operator, MOVED_DETAIL)
                elif moves:
                    await self._leave_alone(operator)
                await store.update(after, arc_key)
            finally:
                self._on_way()
                if moves or self._path.attendance is None:
                    self._attend()
                elif store.arc_key != before[1]:
                    # At once, and not when the old key ends: then a stream that stands would break (X3).
                    self._path.reconnect()
                    self._on_role()
                elif _introduced(store.settings) != _introduced(before[0]):
                    self._path.introduce()
            return True

    async def _leaves(self, after: Settings, arc_key: str) -> bool:
        """Whether settings end the role (X3): another cloud or account. A second key of the same account does not.

        Raises:
            HotspareError: CLOUD_UNREACHABLE, and others of the cloud, when it can't be asked about a key.
        """
        if leaves_account(self._store.settings, after):
            return True
        return arc_key != self._store.arc_key and not await self._takes_key(arc_key)

    async def _takes_key(self, arc_key: str) -> bool:
        """Whether the cloud takes another key for this account."""
        if not arc_key:
            return False
        store = self._store
        credentials = ReceiverCredentials(store.settings.arc_id, arc_key, store.receiver_id)
        request = role_service_pb2.ListMembersRequest(page_size=1)
        try:
            await self._cloud.roles().ListMembers(request, metadata=credentials.metadata(), timeout=CALL_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            ours = from_rpc_error(error)
            if ours is not None and ours.reason is Reason.INVALID_CREDENTIALS:
                return False
            # Not knowing is no reason to end a hot spare: the operator tries again, or disables it.
            raise self._cloud.mapped(error) from error
        return True

    async def _leave_alone(self, operator: str) -> None:
        """Hand over what is held without a role, and tell the cloud that it is over; it need not hear that."""
        if self._path.attendance is None:
            return
        released_through = await self._path.leave(self._path.settings.drain_timeout)
        request = role_service_pb2.LeaveGroupRequest(released_through=released_through, detail=MOVED_DETAIL)
        try:
            await self._cloud.call(self._cloud.roles().LeaveGroup, request, operator=operator)
        except HotspareError as error:
            log_event(_log, logging.INFO, "leaving_not_heard", problem=error)

    def _attend(self) -> None:
        """Attend as things are now."""
        attendance = self.attendance()
        if attendance is not None:
            self._path.attend(attendance)
        self._on_role()

    async def _clear_role(self) -> None:
        async with self.lock:
            role = self._store.role
            try:
                # An operator may have taken a role anew while this waited for its turn.
                if self.expulsion is not None and role is not None:
                    await self._drop_role(role)
            finally:
                if self._path.attendance is None:
                    self._attend()

    async def _cleared_by_leaving(self, role: Role) -> str:
        """X4: what goes with a role, in words."""
        if role is Role.HOST:
            return "the hot spare of the whole group, and the copy of the configuration on each of its spares"
        count = await self._count_records()
        return f"this receiver's role, and the configuration that it took over from the host ({count} records)"

    async def _check_replaced(self) -> None:
        """X4: a spare follows the host's configuration, so what is here before will go."""
        count = await self._count_records()
        if count:
            clears = f"the {count} records of the configuration that is here"
            raise HotspareError(
                Reason.CONFIRMATION_REQUIRED,
                f"as a spare this receiver follows the host: that replaces {clears}; confirm it explicitly",
                clears=clears,
            )

    def _own_row(self, role: Role) -> group_pb2.Member:
        """This receiver's row as far as it can tell without the cloud."""
        return group_pb2.Member(
            receiver=introduction_to_proto(self._introduce()), role=role_to_proto(role), is_self=True
        )

    def _goodbye_blocks(self) -> bool:
        """Whether a goodbye is on its way to the very group of today. With another key it may never arrive."""
        goodbye = self._store.goodbye
        same = goodbye is not None and same_account(self._store, goodbye)
        return same and self._store.goodbye_key == self._store.arc_key

    # The goodbye: what the cloud could not be told when the role was given up here.

    async def _say_goodbyes(self) -> None:
        delay = FIRST_GOODBYE_RETRY
        while True:
            if self._store.goodbye is None:
                self._goodbye_wake.clear()
                await self._goodbye_wake.wait()
                delay = FIRST_GOODBYE_RETRY
                continue
            try:
                async with self.lock:
                    # Under the lock, for a role taken meanwhile must not be given up by an older goodbye.
                    goodbye = self._store.goodbye
                    if goodbye is None or await say(self._cloud, self._store, goodbye):
                        await self._store.forget_goodbye()
                        if self._path.attendance is None:
                            self._attend()
                        continue
            except Exception as error:
                # A disk that is full, say: while this is not done, the receiver does not work at all.
                log_event(_log, logging.ERROR, "goodbye_not_forgotten", error=error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_BLOCKING_RETRY if self._goodbye_blocks() else LONGEST_GOODBYE_RETRY)

    async def _finish(self, work: Coroutine[Any, Any, Result]) -> Result:
        return await asyncio.shield(self._spawn(work))

    def _spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, HotspareError):
            log_event(_log, logging.INFO, "hot_spare_refused", reason=error.reason.value, problem=error)
        else:
            log_event(_log, logging.ERROR, "hot_spare_broke", error=error)


def group_of(settings: Settings) -> tuple[str, str, str]:
    """What names the group, beside the key."""
    return settings.cloud_address, settings.arc_id, settings.sub_account


def leaves_account(before: Settings, after: Settings) -> bool:
    """Whether settings name another cloud or another account, so that a role does not outlive them (X3)."""
    return (before.cloud_address, before.arc_id) != (after.cloud_address, after.arc_id)


def _introduced(settings: Settings) -> tuple[str, str, bool, str]:
    """What of the settings a hello tells."""
    return settings.name, settings.advertised_address, settings.dual_connection, settings.own_account_number


def dual_connection_not_allowed(role: Role) -> HotspareError:
    """G5: a spare has no devices of its own."""
    return HotspareError(
        Reason.DUAL_CONNECTION_NOT_ALLOWED,
        "a receiver with dual connection switched on can't be a spare, and a spare can't switch it on",
        role=role.name,
    )


def _confirmation_required(clears: str) -> HotspareError:
    return HotspareError(Reason.CONFIRMATION_REQUIRED, f"this clears {clears}: confirm it explicitly", clears=clears)
