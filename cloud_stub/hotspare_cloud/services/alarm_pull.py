"""AlarmPullService: alarms to the working receiver, confirmations and refusals back; the queue, for people."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from hotspare.v1 import alarm_pb2, alarm_pull_service_pb2, alarm_pull_service_pb2_grpc
from hotspare_cloud.clock import boottime
from hotspare_cloud.delivery import Deliver, Finished, PullMessage, PullSession, Stale, Stored, Withdraw
from hotspare_cloud.directory import Directory
from hotspare_cloud.group import Group
from hotspare_cloud.services import queue
from hotspare_cloud.services.callers import OPERATOR, VIEWER, Callers, Context, ReceiverCaller
from hotspare_cloud.services.queue import refused_alarm
from hotspare_cloud.services.streams import first_of
from hotspare_cloud.set_aside import refuse
from hotspare_cloud.store.base import WaitingAlarm
from hotspare_model.errors import HotspareError, Reason, field_invalid

MAX_WINDOW = 10_000
MAX_RANGES = 1000
MAX_EPOCH = 2**53

Request = alarm_pull_service_pb2.PullAlarmsRequest
Response = alarm_pull_service_pb2.PullAlarmsResponse


class AlarmPullService(alarm_pull_service_pb2_grpc.AlarmPullServiceServicer):
    """See alarm_pull_service.proto."""

    def __init__(self, callers: Callers, directory: Directory) -> None:
        self._callers = callers
        self._directory = directory
        self._pulls: set[PullSession] = set()
        self._ended: HotspareError | None = None

    def end_streams(self, error: HotspareError) -> None:
        """End all pulls, also those that are stale and wait for their receiver, and take no new one."""
        self._ended = error
        for pull in self._pulls:
            pull.end(error)

    async def PullAlarms(self, request_iterator: AsyncIterator[Request], context: Context) -> AsyncIterator[Response]:
        """See alarm_pull_service.proto."""
        caller = self._callers.receiver(context)
        opening = (await first_of(request_iterator, "open", self._directory.stopped)).open
        _check_open(opening)
        if self._ended is not None:
            # One that begins now would be ended by nobody, if it is stale, and hold the stop up.
            raise self._ended
        pull = PullSession(caller.receiver_id, opening.incarnation, opening.pull_id, boottime())
        group = self._directory.group_at_work(caller.arc_id, caller.receiver_id)
        if group is None:
            pull.send(Stale(0))
        else:
            group.open_pull(pull, opening.epoch, opening.window)
        self._pulls.add(pull)
        reader = asyncio.create_task(self._read(request_iterator, pull, caller, group))
        try:
            with self._callers.lasting(context, pull.end):
                while not isinstance(message := await pull.next_message(), Finished):
                    yield _encode(message)
        finally:
            self._pulls.discard(pull)
            reader.cancel()
            if group is not None:
                group.delivery.close(pull)

    async def ListQueue(self, request: queue.ListRequest, context: Context) -> queue.ListResponse:
        """See alarm_pull_service.proto."""
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        return await queue.list_queue(group, request)

    async def GetQueuedAlarm(self, request: queue.GetRequest, context: Context) -> queue.GetResponse:
        """See alarm_pull_service.proto."""
        group, _ = self._callers.group(context, VIEWER, request.arc_id, request.sub_account)
        return await queue.get_alarm(group, request)

    async def ReplayAlarm(self, request: queue.ReplayRequest, context: Context) -> queue.ReplayResponse:
        """See alarm_pull_service.proto."""
        group, receiver_id = self._callers.group(context, OPERATOR, request.arc_id, request.sub_account)
        return await queue.replay_alarm(group, request, self._callers.operator_name(context, receiver_id))

    async def _read(
        self, requests: AsyncIterator[Request], pull: PullSession, caller: ReceiverCaller, group: Group | None
    ) -> None:
        try:
            async for request in requests:
                match request.WhichOneof("frame"):
                    case "confirm":
                        await self._confirm(request.confirm, pull, caller, group)
                    case "refuse":
                        if group is not None:
                            await refuse(group, pull, request.refuse.epoch, refused_alarm(request.refuse))
                    case "give_back":
                        raise HotspareError(
                            Reason.NOT_SERVED, "what is given back is told by a release", method="PullAlarms.give_back"
                        )
                    case _:
                        raise HotspareError(
                            Reason.STREAM_PROTOCOL, "expected `confirm` or `refuse` after `open`", expected="confirm"
                        )
            pull.send(Finished())
        except Exception as error:
            # Also a defect: a stream that is deaf must not stay open.
            pull.end(error)

    async def _confirm(
        self, confirm: Request.Confirm, pull: PullSession, caller: ReceiverCaller, group: Group | None
    ) -> None:
        ranges: list[tuple[int, int]] = []
        # What is not to be forwarded is done with as well.
        for name, told in (("ranges", confirm.ranges), ("not_forwarded", confirm.not_forwarded)):
            if len(told) > MAX_RANGES or any(not 1 <= each.first <= each.last for each in told):
                raise field_invalid(name, f"must be at most {MAX_RANGES}, each from a first of 1 up to its last")
            ranges += [(each.first, each.last) for each in told]
        if confirm.epoch > MAX_EPOCH:
            raise field_invalid("epoch", f"must be at most {MAX_EPOCH}")
        ranges = _merged(ranges)
        # Also from one that left, or has moved to another group since: epochs of a group name their holder.
        others = [each for each in self._directory.groups(caller.arc_id) if each is not group]
        groups = [group, *others] if group is not None else others
        for each in groups:
            if await each.confirm(pull, confirm.epoch, ranges, last=each is groups[-1]):
                return


def _check_open(opening: Request.Open) -> None:
    if not 1 <= len(opening.incarnation) <= 64:
        raise field_invalid("incarnation", "must be 1 to 64 characters")
    if opening.pull_id < 1:
        raise field_invalid("pull_id", "must be at least 1")
    if not 1 <= opening.window <= MAX_WINDOW:
        raise field_invalid("window", f"must be from 1 to {MAX_WINDOW}")


def _encode(message: PullMessage) -> Response:
    match message:
        case Deliver(epoch, first, alarms):
            return Response(
                delivery=Response.Delivery(
                    epoch=epoch, first_delivery=first, alarms=[delivered(alarm) for alarm in alarms]
                )
            )
        case Stored(epoch, numbers, never_delivered):
            return Response(
                stored=Response.Stored(
                    epoch=epoch,
                    ranges=_ranges(numbers),
                    never_delivered=[_range(*each) for each in never_delivered],
                )
            )
        case Withdraw(number):
            return Response(withdraw=Response.Withdraw(number=number))
        case Stale(current_epoch):
            return Response(stale=Response.Stale(current_epoch=current_epoch))
        case Finished():
            raise AssertionError("not a message")


def delivered(alarm: WaitingAlarm) -> alarm_pull_service_pb2.DeliveredAlarm:
    """The alarm with what the store gave it: its payload was made before these were known."""
    stored = alarm_pb2.StoredAlarm.FromString(alarm.payload)
    stored.number = alarm.number
    stored.account_sequence = alarm.account_sequence
    return alarm_pull_service_pb2.DeliveredAlarm(
        stored=stored, attempt=alarm.deliveries + 1, maybe_sent=alarm.maybe_sent, replay=alarm.replay
    )


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers in order and without overlaps: what is named twice must not cost twice."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _range(first: int, last: int) -> alarm_pull_service_pb2.NumberRange:
    return alarm_pull_service_pb2.NumberRange(first=first, last=last)


def _ranges(numbers: Sequence[int]) -> list[alarm_pull_service_pb2.NumberRange]:
    ranges: list[alarm_pull_service_pb2.NumberRange] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1].last == number - 1:
            ranges[-1].last = number
        else:
            ranges.append(_range(number, number))
    return ranges
