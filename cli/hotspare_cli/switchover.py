"""A switchover, from the wish to the moment when its target works (F8)."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import grpc

from hotspare.v1.group_pb2 import Group, Member, MemberStatus, Role
from hotspare.v1.role_service_pb2 import (
    GetGroupSettingsRequest,
    SwitchoverRequest,
    SwitchoverResponse,
    WatchMembersRequest,
    WatchMembersResponse,
)
from hotspare_cli.errors import CliError, ExitCode, usage_error
from hotspare_cli.naming import Names, called
from hotspare_cli.progress import telling
from hotspare_cli.session import Session
from hotspare_cli.words import number, role_word, span, word

_FIRST_WAIT = 0.1
_LONGEST_WAIT = 1.0
_SHORTEST_CALL = 0.001

_LOOK = "hotspare members shows how it is now, hotspare history what happened."


def find_target(members: Sequence[Member], text: str) -> Member:
    """The member that a technician means: by its role, its receiver id, or its name, in this order.

    Raises:
        CliError: nobody is meant, or several are.
    """
    wanted = text.strip().lower()
    for member in members:
        if member.role != Role.ROLE_UNSPECIFIED and wanted == role_word(member.role):
            return member
    found = [member for member in members if wanted == member.receiver.receiver_id.lower()]
    found = found or [member for member in members if text == member.receiver.name]
    if len(found) > 1:
        raise usage_error(f"Several members are called {text!r}.", "Name one by its role or id: hotspare members.")
    if not found:
        there = ", ".join(called(member) for member in members)
        raise CliError(
            f"No member has the role, the id or the name {text!r}.",
            f"The members are: {there}." if there else "The group has no members: hotspare enable --role host.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return found[0]


def effect(group: Group, members: Sequence[Member], target: Member) -> str:
    """What a switchover to that member will do, in words, before it is asked for."""
    who = called(target)
    if target.status != MemberStatus.MEMBER_STATUS_STANDBY:
        who = f"{who} ({word(MemberStatus.DESCRIPTOR, target.status)})"
    if group.working_receiver_id:
        what = f"This hands the work over from {Names(members).of(group.working_receiver_id)} to {who}."
    else:
        what = f"This gives the work to {who}; nobody works now."
    return (
        f"{what} It stays pinned there, whoever comes back, until hotspare resume, another switchover, or until it lays"
        " the work down itself (lost, stopped, unable to deliver)."
    )


class Phase(Enum):
    """How far a wish is, by one state of the group."""

    UNDER_WAY = "under way"
    DONE = "done"
    ENDED = "ended"
    """It will not come about any more."""


@dataclass
class Outlook:
    """Judges the states of the group that come after a switchover to `target` was accepted."""

    target: str
    pinned: bool = False

    def judge(self, group: Group) -> Phase:
        """How far the wish is, if the group is so now."""
        if group.working_receiver_id == self.target:
            return Phase.DONE
        wanted = self.target in (group.pinned_receiver_id, group.moving_to_receiver_id)
        self.pinned = self.pinned or wanted
        # The pin comes with the acceptance, and goes by resume, another switchover or a loss. Before it was seen
        # its absence proves nothing.
        return Phase.ENDED if self.pinned and not wanted else Phase.UNDER_WAY


async def hand_over(
    session: Session, request: SwitchoverRequest, target: Member, *, timeout: float, begun: Callable[[], None]
) -> tuple[SwitchoverResponse, timedelta]:
    """Switch over and wait until the target works; return the answer, with the group as it then is, and how
    long that took.

    `timeout` in seconds is that of each call; `begun` is called when the switchover was accepted.

    Raises:
        CliError: it was refused, or the target did not get the work.
    """
    # Read first: once the switchover is accepted, nothing but its own end may fail.
    settings = (await session.call(session.roles.GetGroupSettings, GetGroupSettingsRequest())).settings
    loop = asyncio.get_running_loop()
    begin = loop.time()
    response = await switch_over(session, request, patience=timeout)
    begun()
    # After drain_timeout a hand-over goes on as a loss, so there is news by then.
    patience = settings.drain_timeout.ToTimedelta().total_seconds() + timeout
    works = until_it_works(session, target, response.group, patience=patience)
    response.group.CopyFrom(await telling(f"Until {called(target)} works", works, longest=patience))
    return response, timedelta(seconds=loop.time() - begin)


async def switch_over(session: Session, request: SwitchoverRequest, *, patience: float) -> SwitchoverResponse:
    """Ask for the switchover; a call without an answer is made again under the same id, for `patience` seconds.

    Raises:
        CliError: it was refused, or no answer came.
    """
    loop, wait = asyncio.get_running_loop(), _FIRST_WAIT
    give_up = loop.time() + patience
    while True:
        try:
            allowed = max(give_up - loop.time(), _SHORTEST_CALL)
            return await session.attempt(session.roles.Switchover, request, timeout=allowed)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or loop.time() + wait >= give_up:
                raise session.explain(error) from None
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)


async def until_it_works(session: Session, target: Member, begun: Group, *, patience: float) -> Group:
    """Watch the group until the target works; return the group as it then is.

    `begun` is the group as the switchover was answered. A watch that breaks is opened again.

    Raises:
        CliError: something else happened, `patience` seconds went by, or the group could not be watched.
    """
    outlook = Outlook(target.receiver.receiver_id)
    if outlook.judge(begun) is Phase.DONE:
        return begun
    loop, wait = asyncio.get_running_loop(), _FIRST_WAIT
    give_up = loop.time() + patience
    last: WatchMembersResponse | None = None
    problem: CliError | None = None
    while (left := give_up - loop.time()) > 0:
        try:
            watch = session.watch(session.roles.WatchMembers, WatchMembersRequest(), timeout=left)
            async with aclosing(watch) as states:
                async for last in states:
                    problem, wait = None, _FIRST_WAIT
                    phase = outlook.judge(last.group)
                    if phase is Phase.DONE:
                        return last.group
                    if phase is Phase.ENDED:
                        raise CliError(f"{called(target)} did not get the work{_now(target, last)}.", _LOOK)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                break
            problem = session.explain(error)
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                break
        await asyncio.sleep(min(wait, max(give_up - loop.time(), 0)))
        wait = min(wait * 2, _LONGEST_WAIT)
    if problem is not None:
        what = f"The switchover was accepted; whether {called(target)} works could not be seen. {problem.what}"
        raise CliError(what, problem.hint, exit_code=problem.exit_code)
    known = _now(target, last) if last is not None else ""
    waited = span(timedelta(seconds=patience))
    what = f"{called(target)} does not work yet, {waited} after it was asked{known}."
    raise CliError(what, _LOOK, exit_code=ExitCode.NO_ANSWER)


def _now(target: Member, last: WatchMembersResponse) -> str:
    """Why, as far as it can be seen, and who works, as the group was seen last: the end of a sentence."""
    names, group = Names(last.members), last.group
    working = f"{names.of(group.working_receiver_id)} works" if group.working_receiver_id else "nobody works"
    who, why = f"; {working} (epoch {number(group.epoch)})", ""
    own = next((one for one in last.members if one.receiver.receiver_id == target.receiver.receiver_id), None)
    if own is None:
        why = ", for it is no member any more"
    elif own.status == MemberStatus.MEMBER_STATUS_OFFLINE:
        why = ", for it is offline"
    elif not group.pinned_receiver_id:
        why = ", for its pin has ended"
    elif group.pinned_receiver_id != target.receiver.receiver_id:
        why = f", for {names.of(group.pinned_receiver_id)} was pinned instead"
    return why + who
