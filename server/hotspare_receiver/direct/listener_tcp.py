"""TCP connections of panels: only so many, each with bounded memory and time, so that none harms another (S4)."""

import asyncio
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass

from hotspare_receiver.clock import Clock
from hotspare_receiver.core.dc09_limits import Share
from hotspare_receiver.core.dc09_session import Reason
from hotspare_receiver.core.dc09_stream import Stream
from hotspare_receiver.direct.listener_desk import Desk, Sender
from hotspare_rpc.address import Address

CHUNK = 4096
"""Bytes that are read at once."""

MOST_CONNECTIONS = 1000

WRITE_TIMEOUT = 10.0
"""Seconds that a panel may leave our answers unread."""

BACKLOG = 256
"""Connections that the system keeps for us until we take them."""


@dataclass(slots=True)
class Traffic:
    """What became of connections, since the start."""

    opened: int = 0
    crowded_out: int = 0
    """Closed to make room for another."""
    expired: int = 0
    """Closed for saying nothing, or for a frame that never ended."""
    spoiled: int = 0
    """Closed for what came."""


def connection_limit() -> int:
    """How many connections are kept: of the file descriptors of this process, half stay for all else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(MOST_CONNECTIONS, soft // 2))


class _Turns:
    """One after the other, with pauses that keep all together within a share of the processor."""

    def __init__(self, share: Share, clock: Clock) -> None:
        self._share = share
        self._clock = clock
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Return when it is the caller's turn. The other tasks of the loop have run meanwhile."""
        async with self._turn:
            await asyncio.sleep(self._share.wait(self._clock.now()))


class TcpPanels:
    """The server for connections."""

    def __init__(self, desk: Desk, clock: Clock, limit: Callable[[], int] = connection_limit) -> None:
        self.traffic = Traffic()
        self._desk = desk
        self._clock = clock
        self._limit = limit
        self._connections: dict[asyncio.StreamWriter, tuple[Stream, asyncio.Task[None]]] = {}
        self._strangers = _Turns(desk.strangers, clock)
        self._known = _Turns(desk.known, clock)
        self._server: asyncio.Server | None = None

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    async def start(self, address: Address) -> int:
        """Listen; return the port. Raises OSError."""
        if address.host == "::":
            own = socket.create_server(
                ("::", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
            self._server = await asyncio.start_server(self._connected, sock=own, limit=CHUNK, backlog=BACKLOG)
        else:
            self._server = await asyncio.start_server(
                self._connected, address.host, address.port, limit=CHUNK, backlog=BACKLOG
            )
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close the port and all connections; what is under way gets no answer, and its panel sends it again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = [task for _, task in self._connections.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        self.traffic.opened += 1
        while len(self._connections) >= max(1, self._limit()):
            self._crowd_out()
        stream = Stream(self._clock.now())
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, stream), name="dc09-panel")
        self._connections[writer] = stream, task
        task.add_done_callback(lambda _: self._close(writer))

    def _crowd_out(self) -> None:
        """Close who has shown no account and is here longest; without such, who has said nothing for longest."""
        oldest = next((writer for writer, (stream, _) in self._connections.items() if not stream.proven), None)
        if oldest is None:
            oldest = min(self._connections, key=lambda writer: self._connections[writer][0].last_heard)
        self.traffic.crowded_out += 1
        _, task = self._connections[oldest]
        self._close(oldest)
        task.cancel()

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._connections.pop(writer, None)
        if writer.transport.get_write_buffer_size():
            # Who does not read its answers would keep a closed connection open for good.
            writer.transport.abort()
        else:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream) -> None:
        peer = writer.get_extra_info("peername")
        sender = Sender(str(peer[0]) if peer else "", "tcp")
        _keep_alive(writer)
        try:
            while chunk := await self._read(reader, stream):
                if not await self._hear(chunk, writer, stream, sender):
                    self.traffic.spoiled += 1
                    return
        except TimeoutError:
            self.traffic.expired += 1
        except OSError:
            return

    async def _read(self, reader: asyncio.StreamReader, stream: Stream) -> bytes:
        """The next bytes; none at the end. Raises TimeoutError, OSError."""
        async with asyncio.timeout(max(0.0, stream.deadline - self._clock.now())):
            return await reader.read(CHUNK)

    async def _hear(self, chunk: bytes, writer: asyncio.StreamWriter, stream: Stream, sender: Sender) -> bool:
        """Answer the frames of some bytes, in order. False: the connection has to end.

        Raises TimeoutError, OSError.
        """
        await (self._known if stream.proven else self._strangers).wait()
        with self._desk.spending(self._desk.known if stream.proven else self._desk.strangers):
            fed = stream.feed(chunk, self._clock.now())
        if fed.rubbish:
            self._desk.dropped(Reason.MALFORMED, chunk, sender)
        for index, raw in enumerate(fed.frames):
            if index:
                await (self._known if stream.proven else self._strangers).wait()
            answer = await self._desk.take(raw, sender, known=stream.proven)
            stream.judged(answer.known)
            if answer.data is not None:
                writer.write(answer.data)
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await writer.drain()
            if stream.spoiled:
                return False
        if fed.too_long:
            self._desk.dropped(Reason.TOO_LONG, chunk, sender)
            return False
        return not stream.spoiled


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Have the system find out about panels that are gone without a word."""
    own: socket.socket | None = writer.get_extra_info("socket")
    if own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
