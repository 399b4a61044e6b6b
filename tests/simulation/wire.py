"""gRPC streams between receivers and the cloud, as far as they can be told from inside: one-way, in order, cut, late.

A `Road` is the way of one machine to the cloud, with both its directions. What is sent into a direction that is cut
waits, as TCP repeats it; when that lasts, keepalive ends the streams, at each side at a time of its own or never.
Messages of one stream are never reordered, doubled or lost in the middle: a stream loses its end, or all of it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_status import rpc_status

from hotspare_model.errors import HotspareError
from hotspare_rpc.errors import to_status
from tests.simulation.world import Process, World

UP, DOWN = 0, 1
NEAR = (0.001, 0.02)
"""Seconds that a message is on its way, mostly."""

KEEPALIVE = (2.0, 4.5)
"""Seconds after which a side notices that nothing comes back."""

CONNECT_LIMIT = 3.0
DEAF = 0.1
"""Part of the cuts of which keepalive tells a side nothing."""

Metadata = tuple[tuple[str, str], ...]
Handler = Callable[[AsyncIterator[Any], Any], AsyncIterator[Any]]


@dataclass(frozen=True, slots=True)
class _Open:
    path: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class _Frame:
    message: Any


@dataclass(frozen=True, slots=True)
class _HalfClose:
    pass


@dataclass(frozen=True, slots=True)
class _End:
    """The stream is over: a status from the server, a reset from the client."""

    error: HotspareError | str | None


class Service:
    """What a cloud process serves, by the path of the method. A process that serves nothing refuses."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.handlers: dict[str, Handler] = {}


class Road:
    """The way between a machine and the cloud."""

    def __init__(self, world: World, name: str, cloud: Callable[[], Service | None]) -> None:
        self.world = world
        self.name = name
        self.cloud = cloud
        self.cut = [False, False]
        self.takes = [NEAR, NEAR]
        self.streams: list[Stream] = []
        self.passes: Callable[[Any], Any] = unchanged
        """What becomes of a message to the cloud: some clients are not ours."""
        self._cuts = 0

    def set_cut(self, up: bool, down: bool, *, unnoticed: bool = False) -> None:
        """Cut or heal the directions. `unnoticed`: keepalive tells nobody, as when a proxy on the way answers it."""
        self.cut = [up, down]
        self._cuts += 1
        for stream in tuple(self.streams):
            stream.pump()
        if unnoticed or not (up or down):
            return
        for stream in tuple(self.streams):
            for lose in (stream.lose_at_client, stream.lose_at_server):
                if self.world.random.random() >= DEAF:
                    self.world.after(self.world.random.uniform(*KEEPALIVE), self._still_cut, self._cuts, lose)

    def reset(self) -> None:
        """Something on the way resets all that passes."""
        for stream in tuple(self.streams):
            stream.lose_at_client()
            stream.lose_at_server()

    def silent(self, process: Process) -> None:
        """A process was stopped: its peers lose it after a while."""
        for stream in tuple(self.streams):
            for lose in stream.losers_of_peer(process):
                if self.world.random.random() >= DEAF:
                    delay = self.world.random.uniform(*KEEPALIVE)
                    self.world.after(delay, self._still_stopped, process, process.stops, lose)

    def _still_cut(self, cuts: int, lose: Callable[[], None]) -> None:
        if cuts == self._cuts:
            lose()

    @staticmethod
    def _still_stopped(process: Process, stops: int, lose: Callable[[], None]) -> None:
        if process.alive and process.stopped and process.stops == stops:
            lose()


class Pipe:
    """One direction of a stream."""

    def __init__(self, road: Road, direction: int, deliver: Callable[[Any], None]) -> None:
        self.stuck = False
        self.closed = False
        self._road = road
        self._direction = direction
        self._deliver = deliver
        self._queue: deque[tuple[float, Any]] = deque()
        self._armed = False

    def send(self, item: Any) -> None:
        """Put something in."""
        if self.closed:
            return
        world = self._road.world
        ready = world.now + world.random.uniform(*self._road.takes[self._direction])
        self._queue.append((ready, item))
        self.pump()

    def end(self, item: Any) -> None:
        """Put the last thing in. What is still on its way may be lost by it."""
        if self._road.world.random.random() < 0.5:
            self._queue.clear()
        self.send(item)
        self.closed = True

    def clear(self) -> None:
        """Nothing comes out any more."""
        self.closed = True
        self._queue.clear()

    def pump(self) -> None:
        """Go on."""
        if not self._armed and self._queue and not self.stuck and not self._road.cut[self._direction]:
            self._armed = True
            self._road.world.at(self._queue[0][0], self._next)

    def _next(self) -> None:
        self._armed = False
        if self._queue and not self.stuck and not self._road.cut[self._direction]:
            _, item = self._queue.popleft()
            self._deliver(item)
            self.pump()


class Stream:
    """One call of a method with streams both ways: the client's end is what the stub returns."""

    count = 0

    def __init__(self, road: Road, process: Process, path: str, metadata: Metadata) -> None:
        Stream.count += 1
        self.road = road
        self.path = path
        self.client = process
        self.server: Process | None = None
        self.server_over = False
        self._key = f"stream-{Stream.count}"
        self._error: HotspareError | str | None = None
        self._cancelled = False
        self._client_over = False
        self._inbox: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._requests: deque[Any] = deque()
        self._request_waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._up = Pipe(road, UP, self._reached_cloud)
        self._down = Pipe(road, DOWN, lambda item: process.post(self._key, self._take_response, item))
        self._metadata = metadata
        road.streams.append(self)
        process.on_kill.append(self._client_killed)
        self._up.send(_Open(path, metadata))
        road.world.after(CONNECT_LIMIT, self._connect_overdue)

    # What the client does (grpc.aio.StreamStreamCall).

    async def write(self, message: Any) -> None:
        """Send a message."""
        if self._client_over:
            raise self._rpc_error() if not self._cancelled else asyncio.InvalidStateError("the call is done")
        self._up.send(_Frame(self.road.passes(message)))
        await asyncio.sleep(0)

    async def done_writing(self) -> None:
        """Send no more."""
        self._up.send(_HalfClose())

    def cancel(self) -> bool:
        """End it, from the client's side."""
        if self._client_over:
            return False
        self._cancelled = True
        self._end_client("cancelled")
        self._up.end(_End("cancelled"))
        self._down.clear()
        return True

    def done(self) -> bool:
        """Whether it has ended."""
        return self._client_over

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Any:
        while True:
            if self._inbox and not self._cancelled:
                return self._inbox.popleft()
            if self._client_over:
                if self._cancelled:
                    raise asyncio.CancelledError
                if self._error is None:
                    raise StopAsyncIteration
                raise self._rpc_error()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    # What happens to it.

    @property
    def over(self) -> bool:
        """Whether both ends know that it has ended."""
        return self._client_over and (self.server_over or self.server is None)

    def pump(self) -> None:
        """A direction may be free again."""
        self._up.pump()
        self._down.pump()

    def stick(self, up: bool, down: bool) -> None:
        """Nothing passes any more, though the connection lives."""
        self._up.stuck, self._down.stuck = up, down
        self.pump()

    def losers_of_peer(self, process: Process) -> list[Callable[[], None]]:
        """What happens to the other end when a process is silent for long."""
        if process is self.client:
            return [self.lose_at_server]
        return [self.lose_at_client] if process is self.server else []

    def lose_at_client(self) -> None:
        """The client finds the connection lost."""
        self.client.post(self._key, self._client_lost)

    def lose_at_server(self) -> None:
        """The server finds the connection lost, which looks to it like an end."""
        if self.server is not None:
            self.server.post(self._key, self._server_lost)

    # The client's side.

    def _client_lost(self) -> None:
        if not self._client_over:
            self._end_client("the connection was lost")
            self._up.end(_End("lost"))
            self._down.clear()

    def _client_killed(self) -> None:
        if self._client_over:
            return
        self._client_over = True
        self._down.clear()
        self._forget()
        if self.road.world.random.random() < 0.85:
            self._up.end(_End("killed"))  # The kernel closes what the process had open.
        else:
            # The machine went with it: nobody says anything.
            self._up.clear()
            self.road.world.after(self.road.world.random.uniform(*KEEPALIVE), self.lose_at_server)

    def _connect_overdue(self) -> None:
        if self.server is None and not self._client_over:
            if self.road.world.random.random() < 0.5:
                self._up.clear()
            self.client.post(self._key, self._client_lost)

    def _take_response(self, item: Any) -> None:
        if self._client_over:
            return
        match item:
            case _Frame(message):
                self._inbox.append(message)
                self._wake()
            case _End(error):
                self._end_client(error)
                self._up.clear()
            case _:
                raise AssertionError(item)

    def _end_client(self, error: HotspareError | str | None) -> None:
        self._client_over = True
        self._error = error
        self._forget()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _rpc_error(self) -> grpc.aio.AioRpcError:
        if isinstance(self._error, HotspareError):
            status = rpc_status.to_status(to_status(self._error))
            trailing = grpc.aio.Metadata(*status.trailing_metadata)
            return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)
        return grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), self._error or "it ended"
        )

    def _forget(self) -> None:
        if self.over and self in self.road.streams:
            self.road.streams.remove(self)

    # The server's side.

    def _reached_cloud(self, item: Any) -> None:
        if self.server is None:
            service = self.road.cloud()
            if service is None or not isinstance(item, _Open):
                self._up.clear()
                self._down.send(_End("connection refused"))
                return
            self.server = service.process
            service.process.on_kill.append(self._server_killed)
        self.server.post(self._key, self._take_request, item)

    def _take_request(self, item: Any) -> None:
        if self.server_over:
            return
        match item:
            case _Open(path):
                service = self.road.cloud()
                handler = service.handlers.get(path) if service and service.process is self.server else None
                if handler is None:
                    self._end_server("it is not serving")
                else:
                    self._task = asyncio.get_running_loop().create_task(self._serve(handler))
            case _Frame(message):
                self._requests.append(message)
                self._wake_requests()
            case _HalfClose():
                self._requests.append(None)
                self._wake_requests()
            case _End():
                self._server_lost()
            case _:
                raise AssertionError(item)

    async def _serve(self, handler: Handler) -> None:
        error: HotspareError | str | None = None
        try:
            async for message in handler(self._each_request(), CallContext(self._metadata)):
                self._down.send(_Frame(message))
                await asyncio.sleep(0)
        except HotspareError as refusal:
            error = refusal
        except asyncio.CancelledError:
            error = "cancelled"
        except Exception as failure:
            error = repr(failure)
            self.road.world.defect("cloud", f"{self.path}: {failure!r}", failure)
        if not self.server_over:
            self._end_server(error)

    async def _each_request(self) -> AsyncIterator[Any]:
        while True:
            while self._requests:
                message = self._requests.popleft()
                if message is None:
                    return
                yield message
            self._request_waiter = asyncio.get_running_loop().create_future()
            await self._request_waiter

    def _wake_requests(self) -> None:
        if self._request_waiter is not None and not self._request_waiter.done():
            self._request_waiter.set_result(None)

    def _server_lost(self) -> None:
        """The end of a stream looks like a polite one; the handler is cancelled a moment later, or at once."""
        if self.server_over:
            return
        self._end_server("lost")
        self._requests.append(None)
        self._wake_requests()
        assert self.server is not None
        if self._task is not None:
            if self.road.world.random.random() < 0.5:
                self._task.cancel()
            else:
                delay = self.road.world.random.uniform(0.0, 0.01)
                self.road.world.after(delay, self.server.post, self._key, self._task.cancel)

    def _end_server(self, error: HotspareError | str | None) -> None:
        self.server_over = True
        self._down.send(_End(error))
        self._down.closed = True
        self._forget()

    def _server_killed(self) -> None:
        if self.server_over:
            return
        self.server_over = True
        self._forget()
        if self.road.world.random.random() < 0.85:
            self._down.end(_End("the cloud died"))
        else:
            self._down.clear()
            self.road.world.after(self.road.world.random.uniform(*KEEPALIVE), self.lose_at_client)


class CallContext:
    """What the services ask of a call."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Metadata:
        """The credentials."""
        return self._metadata


def unchanged(message: Any) -> Any:
    """What a client of ours sends."""
    return message


class SimChannel:
    """What the stubs take for a channel."""

    def __init__(self, road: Road, process: Process) -> None:
        self._road = road
        self._process = process

    def stream_stream(self, path: str, **_: Any) -> Callable[..., Stream]:
        """A method with streams both ways."""

        def call(metadata: Metadata = ()) -> Stream:
            return Stream(self._road, self._process, path, metadata)

        return call

    def unary_unary(self, path: str, **_: Any) -> None:
        """Nobody calls these here."""

    unary_stream = stream_unary = unary_unary
