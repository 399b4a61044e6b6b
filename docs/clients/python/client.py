"""An example client: a device, automation software, a wallboard. See README.md beside it.

python client.py publish COUNT | follow COUNT | members MOVES | test | errors
"""

import argparse
import asyncio
import sys

import grpc
from hotspare.v1 import (
    alarm_feed_service_pb2,
    alarm_feed_service_pb2_grpc,
    alarm_pb2,
    alarm_service_pb2,
    alarm_service_pb2_grpc,
    role_service_pb2,
    role_service_pb2_grpc,
)

from connection import bearer, channel_to, device, receivers, say, setting
from follow import Follower
from members import Watcher
from publish import new_alarm_id, publish, test
from refusals import read


async def show_refusals() -> None:
    """Make three calls that are refused, and tell why."""
    async with channel_to(setting("HOTSPARE_CLOUD")) as channel:
        alarm = alarm_pb2.Alarm(alarm_id="no UUID", code="130")
        request = alarm_service_pb2.PublishAlarmRequest(submission=alarm_service_pb2.AlarmSubmission(alarm=alarm))
        try:
            await alarm_service_pb2_grpc.AlarmServiceStub(channel).PublishAlarm(request, metadata=device(), timeout=10)
        except grpc.aio.AioRpcError as error:
            show_refusal("PublishAlarm", error)
    for receiver in receivers():
        async with channel_to(receiver.address) as channel:
            feed = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(channel)
            unknown = alarm_feed_service_pb2.GetAlarmRequest(alarm_id=new_alarm_id())
            try:
                await feed.GetAlarm(unknown, metadata=receiver.viewer, timeout=5)
            except grpc.aio.AioRpcError as error:
                if read(error).passes:
                    continue  # it is away: any other receiver answers the same
                show_refusal("GetAlarm", error)
            roles = role_service_pb2_grpc.RoleServiceStub(channel)
            try:
                async for _ in roles.WatchMembers(role_service_pb2.WatchMembersRequest(), metadata=bearer("none")):
                    pass
            except grpc.aio.AioRpcError as error:
                show_refusal("WatchMembers", error)
        return


def show_refusal(call: str, error: grpc.aio.AioRpcError) -> None:
    """Tell what a program decides by: never the message."""
    refusal = read(error)
    told = {key: refusal.metadata[key] for key in ("field", "kind") if key in refusal.metadata}
    say("error", call=call, code=refusal.code.name, reason=refusal.reason, **told)


async def run(command: str, number: int | None) -> bool:
    """Carry out a command; returns whether all that it should send was taken."""
    match command:
        case "publish":
            return await publish(1 if number is None else number)
        case "follow":
            await Follower(number or 0).run()
        case "members":
            await Watcher(number or 0).run()
        case "test":
            return await test()
        case _:
            await show_refusals()
    return True


def main() -> int:
    """Run the program; returns its exit status."""
    arguments = argparse.ArgumentParser(description="An example client of Hotspare.")
    arguments.add_argument("command", choices=("publish", "follow", "members", "test", "errors"))
    arguments.add_argument("number", nargs="?", type=int, help="alarms to publish or to wait for; moves to wait for")
    chosen = arguments.parse_args()
    try:
        return 0 if asyncio.run(run(chosen.command, chosen.number)) else 1
    except grpc.aio.AioRpcError as error:
        print(f"{error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
