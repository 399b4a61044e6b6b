"""Alarms that were set aside, into the queue again (A5)."""

import uuid
from collections.abc import Sequence

from hotspare.v1.alarm_pb2 import AlarmState
from hotspare.v1.alarm_pull_service_pb2 import (
    GetQueuedAlarmRequest,
    ListQueueRequest,
    ReplayAlarmRequest,
    ReplayAlarmResponse,
)
from hotspare_cli.errors import CliError
from hotspare_cli.progress import Progress
from hotspare_cli.session import Session
from hotspare_model.errors import Reason

_PAGE = 1000


async def set_aside(session: Session, device_id: str) -> list[int]:
    """The numbers of the alarms that are set aside, in their order; of one device where it is named.

    Raises:
        CliError: they can't be listed.
    """
    request = ListQueueRequest(state=AlarmState.ALARM_STATE_SET_ASIDE, device_id=device_id, page_size=_PAGE)
    found = await session.all_pages(session.queue.ListQueue, request)
    return [one.stored.number for one in found.alarms]


async def number_of(session: Session, number: int, alarm_id: str) -> int:
    """The number of an alarm that is named by its id; or the number that is there. Raises CliError."""
    if not alarm_id:
        return number
    found = await session.call(session.queue.GetQueuedAlarm, GetQueuedAlarmRequest(alarm_id=alarm_id))
    return found.alarm.stored.number


async def replay_one(session: Session, number: int) -> ReplayAlarmResponse:
    """Send one again. Raises CliError where it is refused: it is not set aside, for one."""
    request = ReplayAlarmRequest(request_id=str(uuid.uuid4()), number=number)
    return await session.call(session.queue.ReplayAlarm, request)


async def replay_all(
    session: Session, named: Sequence[tuple[int, str]], *, as_listed: bool
) -> list[ReplayAlarmResponse]:
    """Send them again in their order, each by its number or its id; tell on the terminal how far it is.

    `as_listed`: they were set aside a moment ago; one that is not any more is passed over, for somebody else has sent
    it meanwhile. One that was named and is not set aside is a mistake, and ends it.

    Raises:
        CliError: something else went wrong; it tells how many went out before.
    """
    done: list[ReplayAlarmResponse] = []
    session.tells_waiting = False
    with Progress("Sending again") as line:
        for passed, one in enumerate(named):
            line.show(passed, len(named), "alarms")
            try:
                done.append(await replay_one(session, await number_of(session, *one)))
            except CliError as problem:
                if not as_listed or problem.reason is not Reason.ALARM_NOT_SET_ASIDE:
                    what = f"{problem.what} Before that {len(done):,} of {len(named):,} alarms went out."
                    raise CliError(what, problem.hint, exit_code=problem.exit_code) from None
    return done
