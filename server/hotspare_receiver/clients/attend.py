"""The life line to the cloud: beats up, leases and wishes down (Attend).

Beats are sent by the loop that forwards alarms, so that a stuck process falls silent. The clock is read right
before each one is sent. The end of a stream says nothing about the lease: that runs on by what was granted.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol, TypeAlias

import grpc

from hotspare.v1 import role_service_pb2, role_service_pb2_grpc
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.group import GroupSettings
from hotspare_receiver.clients.attend_messages import (
    BeatReport,
    Told,
    beat_to_proto,
    hello_to_proto,
    told_from_proto,
)
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.lease import LeaseGuard
from hotspare_receiver.snapshot import Attendance, CloudSnapshot, Introduction
from hotspare_receiver.timings import Timings
from hotspare_rpc.errors import describe, from_rpc_error
from hotspare_rpc.logs import log_event

BACKOFF_SECONDS = (0.2, 1.0)
"""Between two attempts to attend: random within this, so that a group does not come back in step."""

SHORTEST_BEAT = 0.05
"""Seconds; whatever the cloud says, beats must not fill the line."""

EXPELLING = frozenset({Reason.NOT_A_MEMBER, Reason.HOT_SPARE_ENDED})
"""Refusals by which a role is gone."""

FINAL_REASONS = EXPELLING | {Reason.MACHINE_MISMATCH, Reason.INCARNATION_SUPERSEDED}
"""After these trying again is pointless until an operator acted."""

OLDER_CLOUD = EXPELLING | {Reason.STREAM_PROTOCOL, Reason.FIELD_INVALID}
"""How a cloud that knows nothing of G7 refuses a receiver without a role."""

ALONE_REFUSED = OLDER_CLOUD | {Reason.SUB_ACCOUNT_UNKNOWN}
"""Refusals of such a receiver that only somebody at the cloud can change: trying again may take its time."""

ALONE_BACKOFF_SECONDS = (8.0, 12.0)
"""Until it tries again after one of those."""

_log = logging.getLogger(__name__)
_Call: TypeAlias = grpc.aio.StreamStreamCall[role_service_pb2.AttendRequest, role_service_pb2.AttendResponse]


class CloudAccess(Protocol):
    """How the cloud is reached."""

    @property
    def address(self) -> str:
        """Where it is. Empty: not configured."""

    def channel(self) -> grpc.aio.Channel | None:
        """The channel to it. None: not configured."""

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The receiver's credentials."""


class Holder(Protocol):
    """Who holds the lease."""

    @property
    def guard(self) -> LeaseGuard:
        """The guard as it is."""

    def next_beat(self) -> LeaseGuard:
        """Read the clock for one more beat, which is sent at once."""

    def report(self) -> BeatReport:
        """How this receiver is."""

    def heard(self, told: Told) -> None:
        """The cloud's state arrived."""

    def refused(self, error: HotspareError) -> None:
        """The cloud refuses us until an operator acted; attending has ended."""


class Attend:
    """Attends while there is a group to attend in."""

    def __init__(
        self,
        cloud: CloudAccess,
        holder: Holder,
        introduce: Callable[[], Introduction],
        incarnation: str,
        clock: Clock,
        on_behind: Callable[[int], Awaitable[None]],
        on_change: Callable[[], None],
    ) -> None:
        """`on_behind`: the cloud knows a start of this receiver with that number, which is not lower than ours."""
        self._cloud = cloud
        self._holder = holder
        self._introduce = introduce
        self._incarnation = incarnation
        self._clock = clock
        self._on_behind = on_behind
        self._on_change = on_change
        self._attendance: Attendance | None = None
        self._beat_interval = GroupSettings().beat.total_seconds()
        self._task: asyncio.Task[None] | None = None
        self._beat_wanted = asyncio.Event()
        self._beat_sent = 0.0
        self._answered = 0
        self.snapshot = CloudSnapshot(connected=False, since=clock.wall())
        self.beats_missed = 0
        self.streams = 0
        """Streams on which the cloud told its state."""
        self.renewals = Timings()

    def start(self, attendance: Attendance) -> None:
        """Attend so from now on; a stream for an earlier attendance is opened anew."""
        self.stop()
        self._attendance = attendance
        self._task = asyncio.get_running_loop().create_task(self._run(attendance), name="attend")

    def restart(self) -> None:
        """Open the stream anew: the way to the cloud has changed, or what this receiver says of itself."""
        if self._attendance is not None:
            self.start(self._attendance)

    def stop(self) -> None:
        """Attend no more."""
        self._attendance = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._set(connected=False)

    def beat_now(self) -> None:
        """A level has changed that the cloud should see at once."""
        self._beat_wanted.set()

    # The stream.

    async def _run(self, attendance: Attendance) -> None:
        while True:
            try:
                await self._attend(attendance)
                self._set(connected=False, problem="the cloud ended the stream")
            except grpc.aio.AioRpcError as error:
                if self._is_final(error, attendance):
                    return
                if await self._count_on(error):
                    continue
                if attendance.role is None and _reason_of(error) in ALONE_REFUSED:
                    await asyncio.sleep(random.uniform(*ALONE_BACKOFF_SECONDS))
                    continue
            except Exception as error:
                # A defect must not end the attendance for ever: the lease guards, and the log tells.
                log_event(_log, logging.ERROR, "attend_failed", error=error)
                self._set(connected=False, problem=f"{type(error).__name__}: {error}")
            await asyncio.sleep(random.uniform(*BACKOFF_SECONDS))

    async def _attend(self, attendance: Attendance) -> None:
        channel = self._cloud.channel()
        if channel is None:
            self._set(connected=False, problem="the cloud is not configured")
            return
        call = role_service_pb2_grpc.RoleServiceStub(channel).Attend(metadata=self._cloud.metadata())
        beats: asyncio.Task[None] | None = None
        try:
            await call.write(self._hello(attendance))
            async for response in call:
                self._heard(response)
                if beats is None:
                    beats = asyncio.get_running_loop().create_task(self._beat(call), name="beat")
        except asyncio.CancelledError:
            # grpc.aio raises the same when the call is cancelled, or its channel closed, as for this task.
            if is_own_cancellation():
                raise
        finally:
            call.cancel()
            if beats is not None:
                beats.cancel()

    async def _beat(self, call: _Call) -> None:
        """Beat until the stream ends. Without beats it is worth nothing: it begins anew."""
        try:
            await self._beat_on(call)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # The end of the stream is seen where it is read.
        except Exception as error:
            log_event(_log, logging.ERROR, "beat_failed", error=error)
            call.cancel()

    async def _beat_on(self, call: _Call) -> None:
        loop = asyncio.get_running_loop()
        while not call.done():
            planned = loop.time() + self._beat_interval
            self._beat_wanted.clear()
            await call.write(self._next_beat())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(planned):
                    await self._beat_wanted.wait()

    def _next_beat(self) -> role_service_pb2.AttendRequest:
        report = self._holder.report()
        if self._holder.guard.beats > self._answered and self.snapshot.connected:
            self.beats_missed += self._clock.now() - self._beat_sent >= self._beat_interval
        # Last, so that as little as can be comes between the clock and the wire (timing 1).
        guard = self._holder.next_beat()
        self._beat_sent = guard.sent[-1].sent
        return beat_to_proto(guard, report)

    def _heard(self, response: role_service_pb2.AttendResponse) -> None:
        now = self._clock.now()
        told = told_from_proto(response)
        if told.settings is not None:
            self._beat_interval = max(SHORTEST_BEAT, told.settings.beat.total_seconds())
        self._count_renewal(told, now)
        round_trip = self.snapshot.round_trip
        if told.state.answers_beat == self._holder.guard.beats > self._answered:
            round_trip = timedelta(seconds=now - self._beat_sent)
        self._answered = max(self._answered, told.state.answers_beat)
        offset = told.server_time - self._clock.wall() if told.server_time is not None else None
        since = self.snapshot.since if self.snapshot.connected else self._clock.wall()
        became_connected = not self.snapshot.connected
        self.snapshot = CloudSnapshot(True, since, round_trip=round_trip, clock_offset=offset)
        if became_connected:
            self.streams += 1
            log_event(_log, logging.INFO, "cloud_connected", address=self._cloud.address)
            self._on_change()
        self._holder.heard(told)

    def _count_renewal(self, told: Told, now: float) -> None:
        """How long the grant took that answers a beat, the first time that it does."""
        state = told.state
        if not state.working or state.lease is None or state.answers_beat <= self._answered:
            return
        sent = next((beat.sent for beat in self._holder.guard.sent if beat.number == state.answers_beat), None)
        if sent is not None:
            self.renewals = self.renewals.with_one(now - sent)

    async def _count_on(self, error: grpc.aio.AioRpcError) -> bool:
        """Where our start is not the latest that the cloud knows, count on above that: this process lives."""
        ours = from_rpc_error(error)
        known = ours.metadata.get("start", "") if ours and ours.reason is Reason.START_BEHIND else ""
        if not known.isdecimal():
            return False
        try:
            await self._on_behind(int(known))
        except HotspareError as failed:
            log_event(_log, logging.ERROR, "start_not_counted", problem=failed.message)
            return False
        return True

    # Its end.

    def _is_final(self, error: grpc.aio.AioRpcError, attendance: Attendance) -> bool:
        """Tell what went wrong. What is no reason of ours, INTERNAL of a library included, is never final."""
        ours = from_rpc_error(error)
        reason = ours.reason.value if ours is not None else error.code().name
        problem, final = describe(error), ours is not None and ours.reason in FINAL_REASONS
        if attendance.role is None and ours is not None and ours.reason in OLDER_CLOUD:
            # There is no role to be lost.
            problem, final = f"the cloud takes no receiver without a role here: {problem}", False
        self._set(connected=False, problem=problem, reason=reason, final=final)
        if ours is None or not final:
            return False
        self._attendance = None
        self._task = None
        self._holder.refused(ours)
        return True

    def _set(self, *, connected: bool, problem: str = "", reason: str = "", final: bool = False) -> None:
        before = self.snapshot
        since = before.since if before.connected == connected else self._clock.wall()
        self.snapshot = CloudSnapshot(connected, since, problem, reason, final, before.round_trip, before.clock_offset)
        if (before.connected, before.problem) != (connected, problem):
            log_event(
                _log,
                logging.WARNING if problem else logging.INFO,
                _event(before.connected, problem),
                address=self._cloud.address,
                reason=reason,
                problem=problem,
            )
            self._on_change()

    def _hello(self, attendance: Attendance) -> role_service_pb2.AttendRequest:
        return hello_to_proto(self._introduce(), self._incarnation, attendance, self._holder.guard)


def is_own_cancellation() -> bool:
    """Whether a CancelledError that was caught is meant for the task that runs, and not for a call of its."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _reason_of(error: grpc.aio.AioRpcError) -> Reason | None:
    ours = from_rpc_error(error)
    return ours.reason if ours is not None else None


def _event(was_connected: bool, problem: str) -> str:
    if not problem:
        return "attend_stopped"
    return "cloud_lost" if was_connected else "cloud_not_reached"
