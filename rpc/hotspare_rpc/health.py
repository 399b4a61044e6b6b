"""grpc.health.v1: whether this server serves. A standby receiver does: health is liveness, not the working
role.

Not the servicer of grpcio-health-checking: its watches never end, so each would hold up an orderly stop for
the whole grace, and its statuses can only be set from a coroutine.
"""

import asyncio
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hotspare_model.errors import HotspareError, Reason

Request: TypeAlias = health_pb2.HealthCheckRequest
Response: TypeAlias = health_pb2.HealthCheckResponse

_Status: TypeAlias = int

OVERALL = ""
"""The name under which the server as a whole is asked for."""


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Answers Check, List and Watch. Made in the loop that it serves in, and not thread-safe."""

    def __init__(self) -> None:
        self._status: dict[str, _Status] = {}
        self._changed = asyncio.Event()
        self._ended = False

    def set(self, services: list[str], serving: bool) -> None:
        """Set the status of services; watchers are told. Without effect after `end`."""
        if self._ended:
            return
        status = Response.SERVING if serving else Response.NOT_SERVING
        self._status.update(dict.fromkeys(services, status))
        self._wake()

    def end(self) -> None:
        """Set all to NOT_SERVING for good; watchers are told, and their streams end."""
        self.set(list(self._status), serving=False)
        self._ended = True
        self._wake()

    async def Check(self, request: Request, context: Any) -> Response:
        """The status of one service; NOT_FOUND if this server has no such service."""
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this server has no such service")
        return Response(status=status)

    async def List(self, request: Any, context: Any) -> Any:
        """The status of all services."""
        return health_pb2.HealthListResponse(  # type: ignore[attr-defined]  # newer than its types
            statuses={service: Response(status=status) for service, status in self._status.items()}
        )

    async def Watch(self, request: Request, context: Any) -> None:
        """The status of one service now, and again whenever it changed."""
        last: _Status | None = None
        while True:
            changed, ended = self._changed, self._ended
            status = self._status.get(request.service, Response.SERVICE_UNKNOWN)
            if status != last:
                await context.write(Response(status=status))
                last = status
            elif ended:
                raise HotspareError(Reason.SHUTTING_DOWN, "the server is stopping")
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
