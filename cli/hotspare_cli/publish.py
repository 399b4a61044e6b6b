"""Publishing as a device does: one alarm after the other, each tried again under its id until answered."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc

from hotspare.v1.alarm_pb2 import Alarm
from hotspare.v1.alarm_service_pb2 import AlarmReceipt, AlarmSubmission, PublishAlarmRequest
from hotspare_cli.errors import CliError
from hotspare_cli.session import Session
from hotspare_rpc.alarm_ids import uuid7
from hotspare_rpc.errors import from_rpc_error

# Their outcome is unknown or will change: the same id again is safe (A2). An attempt without an answer is one
# of them.
_AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
_ZONES = 1000
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 1.0
_LONGEST_ATTEMPT = 5.0


@dataclass
class Tally:
    """What became of the alarms so far; `problem` is the first error."""

    count: int
    stored: int = 0
    duplicates: int = 0
    failed: int = 0
    problem: CliError | None = None

    def __str__(self) -> str:
        text = f"stored {self.stored}, duplicates {self.duplicates}, failed {self.failed}"
        left = self.count - self.stored - self.duplicates - self.failed
        return f"{text}, not sent {left}" if left else text


def numbered(first: Alarm, count: int) -> Iterator[Alarm]:
    """`count` alarms like the first, each with the next zone (0 after 999), made as it is asked for.

    Each gets an id, and the time of now, where the first has none.
    """
    for index in range(count):
        alarm = Alarm()
        alarm.CopyFrom(first)
        alarm.zone = (first.zone + index) % _ZONES
        alarm.alarm_id = first.alarm_id or str(uuid7())
        if not first.HasField("occur_time"):
            alarm.occur_time.FromDatetime(datetime.now(UTC))
        yield alarm


async def publish(
    session: Session,
    alarms: Iterable[Alarm],
    tally: Tally,
    *,
    rate: float | None,
    patience: float,
    progress: Callable[[int], None] = lambda _done: None,
) -> None:
    """Publish the alarms in their order (A3), at most `rate` a second, and keep the tally; `progress` gets how many
    are behind it.

    Each may take `patience` seconds with all its attempts. What is wrong with one alarm alone is counted, and
    the next is sent; anything else ends the run, for the later ones would meet with the same and must not
    pass the earlier.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for index, alarm in enumerate(alarms):
        progress(index)
        if rate is not None:
            await asyncio.sleep(begin + index / rate - loop.time())
        try:
            receipt = await _until_answered(session, alarm, loop.time() + patience)
        except grpc.aio.AioRpcError as error:
            tally.failed += 1
            tally.problem = tally.problem or session.explain(error)
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                return
        else:
            tally.duplicates += receipt.duplicate
            tally.stored += not receipt.duplicate


async def _until_answered(session: Session, alarm: Alarm, give_up: float) -> AlarmReceipt:
    """Raises AioRpcError: the last one, when it was final or there was no time for another attempt."""
    request = PublishAlarmRequest(submission=AlarmSubmission(alarm=alarm))
    loop, wait = asyncio.get_running_loop(), _FIRST_WAIT
    while True:
        try:
            # Shorter than all there is: an attempt that got stuck must leave time for another.
            allowed = min(_LONGEST_ATTEMPT, max(give_up - loop.time(), 0.001))
            return (await session.attempt(session.alarms.PublishAlarm, request, timeout=allowed)).receipt
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AGAIN:
                raise
            pause = _pause(error, wait)
            if loop.time() + pause >= give_up:
                raise
        await asyncio.sleep(pause)
        wait = min(wait * 2, _LONGEST_WAIT)


def _pause(error: grpc.aio.AioRpcError, wait: float) -> float:
    """The server's own wish where it told one; else ours, spread so that many devices don't come in step."""
    ours = from_rpc_error(error)
    if ours is not None and ours.retry_after is not None:
        return max(ours.retry_after.total_seconds(), _FIRST_WAIT)
    return wait * random.uniform(0.5, 1.0)
