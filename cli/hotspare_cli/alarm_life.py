"""Asks for all that is known of one alarm: the receiver's own history, and the cloud through the receiver."""

import grpc

from hotspare.v1.alarm_feed_service_pb2 import GetAlarmRequest
from hotspare.v1.alarm_pb2 import AlarmRecord
from hotspare.v1.alarm_pull_service_pb2 import GetQueuedAlarmRequest, GetQueuedAlarmResponse
from hotspare_cli.errors import CliError
from hotspare_cli.session import Session
from hotspare_cli.views.alarm_life import Life


async def find_life(session: Session, number: int, alarm_id: str) -> Life:
    """What this receiver and the cloud know of an alarm, by its id, or by its number where the id is empty.

    Raises:
        CliError: neither has it; or the receiver can't be asked.
    """
    unknown: CliError | None = None
    own: AlarmRecord | None = None
    asked = GetAlarmRequest(alarm_id=alarm_id) if alarm_id else GetAlarmRequest(number=number)
    try:
        own = (await session.attempt(session.feed.GetAlarm, asked, timeout=session.timeout)).alarm
    except grpc.aio.AioRpcError as error:
        unknown = session.explain(error)
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise unknown from None
    queued, problem = await _ask_cloud(session, number, alarm_id, own)
    if own is None and queued is None:
        assert unknown is not None
        raise CliError(f"{unknown.what} {problem}", unknown.hint, exit_code=unknown.exit_code)
    return Life(own, queued, problem)


async def _ask_cloud(
    session: Session, number: int, alarm_id: str, own: AlarmRecord | None
) -> tuple[GetQueuedAlarmResponse | None, str]:
    """What the cloud has, or why it tells nothing."""
    # By the number, where it is known: an id alone may be that of an alarm of each of several devices.
    if own is not None:
        number, alarm_id = own.stored.number, own.stored.alarm.alarm_id
    asked = GetQueuedAlarmRequest(number=number) if number else GetQueuedAlarmRequest(alarm_id=alarm_id)
    try:
        queued = await session.attempt(session.queue.GetQueuedAlarm, asked, timeout=session.timeout)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None, "The cloud does not have it, or no longer."
        return None, f"The cloud could not be asked. {session.explain(error).what}"
    if own is not None and queued.alarm.stored.alarm.alarm_id != own.stored.alarm.alarm_id:
        # This receiver was in another group, or the cloud was set up anew: numbers begin at 1 there.
        return (
            None,
            f"Another alarm has the number {number} there: this one is of another group, or of an earlier cloud.",
        )
    return queued, ""
