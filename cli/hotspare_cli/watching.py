"""The status of a receiver with the last moves of its group: once, and followed for `--watch`."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass

import grpc

from hotspare.v1.group_pb2 import Transition
from hotspare.v1.receiver_service_pb2 import (
    GetStatusRequest,
    GetStatusResponse,
    ReceiverStatus,
    WatchStatusRequest,
    WatchStatusResponse,
)
from hotspare.v1.role_service_pb2 import ListMembersRequest, ListTransitionsRequest
from hotspare_cli.errors import CliError
from hotspare_cli.session import Session

_LINES_ASKED = 50
"""Lines of the history: what operators did stands between the moves."""
_MOVES_TIMEOUT = 2.0
"""Seconds for the history: a screen that is there must not wait for a cloud that is not."""
_REDRAW = 1.0
_LEAST_PAUSE = 0.2
_RECONNECT = 1.0
_REFRESH = 2.0
"""Seconds between two questions to the cloud, while a screen is drawn again and again."""


@dataclass(frozen=True)
class Moment:
    """What is known now."""

    status: ReceiverStatus
    moves: tuple[Transition, ...] | None = None
    """The newest lines of the history; None where they are not known."""
    problem: str = ""
    """Why this is not the newest state. Empty: it is."""

    @property
    def response(self) -> GetStatusResponse:
        """As GetStatus answers."""
        return GetStatusResponse(status=self.status)


async def look(session: Session, *, with_moves: bool) -> Moment:
    """The state now. Raises CliError when the receiver does not tell it."""
    response = await session.call(session.receiver.GetStatus, GetStatusRequest())
    await ask_the_cloud(session, response.status)
    return Moment(response.status, await _moves(session, response.status) if with_moves else None)


async def follow(session: Session, tell: Callable[[Moment], None], *, with_moves: bool, steady: bool) -> None:
    """Tell each new state, for ever; with `steady` the newest one, and that once a second in any case, for ages grow.

    A connection that breaks after the first state is opened again and again; meanwhile the last state is told with the
    problem.

    Raises:
        CliError: there was no first state, or the receiver refuses the call.
    """
    if not steady:
        await _Followed(session, with_moves, tell).read()
        return
    changed = asyncio.Event()
    followed = _Followed(session, with_moves, lambda _moment: changed.set())
    reading = asyncio.create_task(followed.read())
    reading.add_done_callback(lambda _task: changed.set())
    try:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _REDRAW)
            if reading.done():
                reading.result()
            changed.clear()
            await followed.refresh()
            if followed.moment is not None:
                tell(followed.moment)
            # At most ten changes a second come; nobody reads so fast.
            await asyncio.sleep(_LEAST_PAUSE)
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError, CliError):
            await reading


@dataclass
class _Followed:
    session: Session
    with_moves: bool
    tell: Callable[[Moment], None]
    moment: Moment | None = None
    refresh_at: float = 0.0

    async def read(self) -> None:
        """Keep `moment` up to date; ends with an error alone."""
        while True:
            try:
                await self._read_until_it_breaks()
            except grpc.aio.AioRpcError as error:
                problem = self.session.explain(error)
                if self.moment is None or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise problem from None
                self._set(Moment(self.moment.status, self.moment.moves, problem.what))
            await asyncio.sleep(_RECONNECT)

    async def _read_until_it_breaks(self) -> None:
        watch = self.session.watch(self.session.receiver.WatchStatus, WatchStatusRequest(), timeout=None)
        async with aclosing(watch) as states:
            async for state in states:
                await self._take(state)

    async def _take(self, state: WatchStatusResponse) -> None:
        before, now = self.moment, state.status
        moves = before.moves if before is not None else None
        if self.with_moves and (moves is None or before is None or _who_works(before.status) != _who_works(now)):
            moves = await _moves(self.session, now)
        self._set(Moment(now, moves))

    async def refresh(self) -> None:
        """Ask the cloud anew, now and then."""
        if self.moment is None or self.moment.problem or asyncio.get_running_loop().time() < self.refresh_at:
            return
        self.refresh_at = asyncio.get_running_loop().time() + _REFRESH
        await ask_the_cloud(self.session, self.moment.status)

    def _set(self, moment: Moment) -> None:
        self.moment = moment
        self.tell(moment)


async def ask_the_cloud(session: Session, status: ReceiverStatus) -> None:
    """Put the group as it is now in the place of the one that the receiver was told last.

    It is told at changes of members and moves alone: how many alarms wait at the cloud may be from long before. Where
    the cloud does not answer soon, the status stays as it is.
    """
    session.tells_waiting = False
    if not (status.cloud.connected and status.HasField("group")):
        return
    with suppress(CliError):
        now = await session.call(session.roles.ListMembers, ListMembersRequest(), timeout=_MOVES_TIMEOUT)
        if not now.next_page_token and now.HasField("group"):
            status.group.CopyFrom(now.group)
            del status.members[:]
            status.members.extend(now.members)
            status.group_time.GetCurrentTime()


async def _moves(session: Session, status: ReceiverStatus) -> tuple[Transition, ...] | None:
    """The newest lines of the history. They are no reason to fail: without the cloud the screen is needed most."""
    if not status.cloud.connected:
        return None
    request = ListTransitionsRequest(page_size=_LINES_ASKED)
    with suppress(CliError):
        return tuple((await session.call(session.roles.ListTransitions, request, timeout=_MOVES_TIMEOUT)).transitions)
    return None


def _who_works(status: ReceiverStatus) -> Iterable[object]:
    return status.group.epoch, status.group.working_receiver_id
