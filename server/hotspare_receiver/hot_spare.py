"""As what this receiver attends: taking a role, giving it up, and working alone (X1, X2, X4, G7).

Here meet what an operator asks for, what the cloud says, and what is durable.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from hotspare.v1 import group_pb2, role_service_pb2, role_service_pb2_grpc
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import Role
from hotspare_receiver.clients.attend_messages import introduction_to_proto
from hotspare_receiver.clients.cloud import CloudClient, not_configured, uses_tls
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.snapshot import Attendance, Expulsion, Introduction
from hotspare_receiver.store.settings import Goodbye, RoleHeld, Settings, SettingsStore
from hotspare_rpc.address import AddressError
from hotspare_rpc.channel import PlaintextError
from hotspare_rpc.credentials import ReceiverCredentials
from hotspare_rpc.errors import describe, from_rpc_error
from hotspare_rpc.logs import log_event
from hotspare_rpc.tls import TlsError
from hotspare_rpc.wire import role_from_proto, role_to_proto

GOODBYE_TIMEOUT = 2.0
FIRST_GOODBYE_RETRY = 1.0
LONGEST_GOODBYE_RETRY = 60.0
LONGEST_BLOCKING_RETRY = 5.0
"""Of a goodbye to the group in which this receiver is to work alone next: alarms may wait for it."""

LEFT_DETAIL = "switched off by an operator of the receiver"
MOVED_DETAIL = "its settings name another group now"

_HEARD = (Reason.NOT_A_MEMBER, Reason.HOT_SPARE_ENDED)

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
    ) -> None:
        """`introduce` tells who this receiver is.

        `on_role` is called when the role here, or the group, is another one; `on_way` when the settings are.
        """
        self._store = store
        self._cloud = cloud
        self._path = path
        self._introduce = introduce
        self._count_records = count_records
        self._on_role = on_role
        self._on_way = on_way
        self.lock = asyncio.Lock()
        self.expulsion: Expulsion | None = None
        self._goodbye_wake = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Deliver a goodbye that is left from before. Call it in the loop."""
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

    async def configure(self, change: Callable[[], tuple[Settings, str]]) -> bool:
        """Put settings and ARC key in place as `change` tells them; returns whether they are others than before.

        Where they name another group, what is held in the old one is handed over first (G7). It goes on when the
        caller has gone.

        Raises:
            HotspareError: those of `change`, DISK_LOW, STORE_FAILED; nothing changed then.
        """
        return await self._finish(self._configure(change))

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
            if store.goodbye is not None and self._same_account(store.goodbye):
                await store.forget_goodbye()
            self._attend()
            return joined

    async def _disable(self, operator: str, confirmed: bool) -> Disabled:
        async with self.lock:
            role = self._store.role
            if role is None:
                return Disabled(cloud_told=self._store.goodbye is None)
            if not confirmed:
                raise _confirmation_required(role.role)
            released_through = await self._path.leave(self._path.settings.drain_timeout)
            request = role_service_pb2.LeaveGroupRequest(
                released_through=released_through, detail=LEFT_DETAIL, generation=role.generation
            )
            ended: tuple[group_pb2.Member, ...] = ()
            told = True
            try:
                answer = await self._cloud.call(self._cloud.roles().LeaveGroup, request, operator=operator)
                ended = tuple(answer.ended_members)
            except HotspareError as error:
                told = error.reason in _HEARD
            if told:
                await self._store.set_role(None)
            else:
                await self._store.keep_goodbye(released_through, LEFT_DETAIL, uses_tls(self._store.settings))
                self._goodbye_wake.set()
            log_event(
                _log, logging.WARNING, "role_given_up", role=role.role.name, cloud_told=told,
                released_through=released_through, operator=operator,
            )  # fmt: skip
            self._attend()
            return Disabled(told, ended)

    async def _configure(self, change: Callable[[], tuple[Settings, str]]) -> bool:
        async with self.lock:
            store, before = self._store, (self._store.settings, self._store.arc_key)
            after, arc_key = change()
            if (after, arc_key) == before:
                return False
            moves = store.role is None and (not arc_key or _group_of(after) != _group_of(before[0]))
            if moves:
                await self._leave_alone()
            try:
                await store.update(after, arc_key)
            finally:
                self._on_way()
                if moves or self._path.attendance is None:
                    self._attend()
                elif arc_key != before[1]:
                    self._path.reconnect()
                elif _introduced(store.settings) != _introduced(before[0]):
                    self._path.introduce()
            return True

    async def _leave_alone(self) -> None:
        """Hand over what is held without a role, and tell the cloud that it is over; it need not hear that."""
        if self._path.attendance is None:
            return
        released_through = await self._path.leave(self._path.settings.drain_timeout)
        request = role_service_pb2.LeaveGroupRequest(released_through=released_through, detail=MOVED_DETAIL)
        try:
            await self._cloud.call(self._cloud.roles().LeaveGroup, request)
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
            # An operator may have taken a role anew while this waited for its turn.
            if self.expulsion is not None and self._store.role is not None:
                await self._store.set_role(None)
            if self._path.attendance is None:
                self._attend()

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
        return goodbye is not None and self._same_account(goodbye) and self._store.goodbye_key == self._store.arc_key

    def _same_account(self, goodbye: Goodbye) -> bool:
        settings = self._store.settings
        return (goodbye.cloud_address, goodbye.arc_id) == (settings.cloud_address, settings.arc_id)

    # The goodbye: what the cloud could not be told when the role was given up here.

    async def _say_goodbyes(self) -> None:
        delay = FIRST_GOODBYE_RETRY
        while True:
            if self._store.goodbye is None:
                self._goodbye_wake.clear()
                await self._goodbye_wake.wait()
                delay = FIRST_GOODBYE_RETRY
                continue
            async with self.lock:
                # Under the lock, for a role taken meanwhile must not be given up by an older goodbye.
                goodbye = self._store.goodbye
                if goodbye is None or await self._say(goodbye):
                    await self._store.forget_goodbye()
                    if self._path.attendance is None:
                        self._attend()
                    continue
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_BLOCKING_RETRY if self._goodbye_blocks() else LONGEST_GOODBYE_RETRY)

    async def _say(self, goodbye: Goodbye) -> bool:
        """Tell the cloud that it was then; returns whether it heard."""
        credentials = ReceiverCredentials(goodbye.arc_id, self._store.goodbye_key, self._store.receiver_id)
        try:
            channel = self._cloud.open(goodbye.cloud_address, goodbye.cloud_tls, goodbye.cloud_ca_pem)
        except (AddressError, PlaintextError, TlsError):
            return False
        async with channel:
            try:
                await role_service_pb2_grpc.RoleServiceStub(channel).LeaveGroup(
                    role_service_pb2.LeaveGroupRequest(
                        released_through=goodbye.released_through,
                        detail=goodbye.detail,
                        generation=goodbye.generation,
                    ),
                    metadata=credentials.metadata(),
                    timeout=GOODBYE_TIMEOUT,
                )
            except grpc.aio.AioRpcError as error:
                ours = from_rpc_error(error)
                log_event(_log, logging.INFO, "goodbye_not_heard", problem=describe(error))
                return ours is not None and ours.reason in _HEARD
        log_event(_log, logging.INFO, "goodbye_heard", cloud_address=goodbye.cloud_address)
        return True

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


def _group_of(settings: Settings) -> tuple[str, str, str]:
    return settings.cloud_address, settings.arc_id, settings.sub_account


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


def _confirmation_required(role: Role) -> HotspareError:
    clears = (
        "the hot spare of the whole group, and the copy of the configuration on each of its spares"
        if role is Role.HOST
        else "this receiver's role, and the configuration that it took over from the host"
    )
    return HotspareError(Reason.CONFIRMATION_REQUIRED, f"this clears {clears}: confirm it explicitly", clears=clears)
