"""Runs the cloud with an echo beside its services; the product has none.

`python -P echo.py HOST:PORT serve ...` runs `hotspare-cloud serve ...`. Two methods answer a request of PublishAlarm
with an answer of the size of PublishAlarm's: `/benchmark.Echo/Echo` on the very server of the cloud, with all that
stands around its handlers; and the same at HOST:PORT, on a bare server of grpc.aio in the same process and loop.
"""

import sys
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import alarm_service_pb2 as messages
from hotspare_rpc import server as rpc_server

SERVICE = "benchmark.Echo"
METHOD = f"/{SERVICE}/Echo"


async def echo(request: messages.PublishAlarmRequest, _: Any) -> messages.PublishAlarmResponse:
    """Answer with what a receipt has: the id, a time, a number."""
    alarm = request.submission.alarm
    at = Timestamp(seconds=alarm.occur_time.seconds, nanos=alarm.occur_time.nanos)
    receipt = messages.AlarmReceipt(alarm_id=alarm.alarm_id, receive_time=at, account_sequence=1000)
    return messages.PublishAlarmResponse(receipt=receipt)


def handlers() -> dict[str, Any]:
    """The method, by its name."""
    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=messages.PublishAlarmRequest.FromString,
        response_serializer=messages.PublishAlarmResponse.SerializeToString,
    )
    return {"Echo": handler}


def _register(_servicer: Any, server: Any) -> None:
    server.add_registered_method_handlers(SERVICE, handlers())


def install(address: str) -> None:
    """Have every server of the cloud echo too, and start the bare one with it."""
    start = rpc_server.RpcServer.start

    async def start_with_echo(self: rpc_server.RpcServer) -> str:
        self.add(_register, None)
        bare = grpc.aio.server(options=rpc_server.SERVER_OPTIONS)
        bare.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers()),))
        bare.add_registered_method_handlers(SERVICE, handlers())
        bare.add_insecure_port(address)
        await bare.start()
        vars(self)["_bare_echo"] = bare
        return await start(self)

    kind: Any = rpc_server.RpcServer
    kind.start = start_with_echo


def main() -> None:
    """Run the cloud."""
    _, address, *arguments = sys.argv
    install(address)
    sys.argv = ["hotspare-cloud", *arguments]
    from hotspare_cloud.main import main as run

    run()


if __name__ == "__main__":
    main()
