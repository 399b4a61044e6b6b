"""A TCP proxy that cuts, delays, throttles, resets, closes and refuses.

What it does to one direction it does to all connections, also to those that come later. Bytes are never dropped out of
the middle of a connection, for TCP would not do that either: what is held at a cut comes when the way heals, as it
would by TCP's own retransmission. That includes the end of a connection: behind a cut nobody learns that the other
side is gone.

Its limit: the kernels on both sides still acknowledge, so nothing here makes TCP_USER_TIMEOUT fire. For that see
`netns.py`.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.acceptance.harness.polling import until

T = TypeVar("T")

PIECE = 16384
"""Bytes that go through at once; after a cut no further piece does."""
QUEUE = 64
"""Pieces on their way in one direction; then the proxy reads no more, and the sender feels it."""
DONE = 10.0
"""Seconds for the proxy's own thread to do what it is told."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Way:
    """One direction, as it is now. Changed by its proxy alone."""

    name: str
    delay: float = 0.0
    """Seconds that every byte takes longer."""
    rate: float | None = None
    """Bytes a second of each connection. None: as fast as it goes."""
    passed: int = 0
    """Bytes that went through."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it is not cut."""


class _End(Exception):
    """Ends a connection on both sides with a reset."""


class Proxy:
    """Listens on a port of its own and passes on to a target. All methods may be called from any thread, and what
    they do is done when they return."""

    def __init__(self, target: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """`target`: host:port; it need not listen yet."""
        self.up = Way("to the target")
        self.down = Way("from the target")
        self._target_host, _, target_port = target.rpartition(":")
        self._target_port = int(target_port)
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.host = host
        self.port = port
        self._do(self._open_ways)
        self.accept()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many stand now."""
        return self._do(lambda: len(self._connections))

    @property
    def accepted(self) -> int:
        """How many were ever made."""
        return self._do(lambda: self._accepted)

    def cut(self, *ways: Way) -> None:
        """Let nothing through any more, without a sign; both ways unless some are named."""

        def clear() -> None:
            for way in ways or (self.up, self.down):
                way.open.clear()

        self._do(clear)

    def heal(self) -> None:
        """Be a good line again: nothing cut, slow or refused."""
        self.slow(0.0)
        self.accept()
        self._do(self._open_ways)

    def slow(self, delay: float, *, rate: float | None = None) -> None:
        """Have every byte take `delay` seconds each way, and at most `rate` bytes a second pass. Order stays."""

        def set_both() -> None:
            for way in (self.up, self.down):
                way.delay, way.rate = delay, rate

        self._do(set_both)

    def reset(self) -> None:
        """Reset all connections that stand, on both sides, also behind a cut."""
        self._do(lambda: self._end_all(reset=True))

    def close(self) -> None:
        """Close all connections that stand, on both sides, as in order."""
        self._do(lambda: self._end_all(reset=False))

    def refuse(self) -> None:
        """Refuse new connections; those that stand go on."""
        self._run(self._stop_listening())

    def accept(self) -> None:
        """Take connections (again)."""
        self._run(self._listen())

    def stop(self) -> None:
        """End it, with all connections. Harmless when done twice."""
        if not self._thread.is_alive():
            return
        self.refuse()
        self.reset()
        until(lambda: self.connections == 0, DONE, "all connections are over")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DONE)
        self._loop.close()

    # How: all of it in the thread of the loop.

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DONE)

    def _do(self, action: Callable[[], T]) -> T:
        async def act() -> T:
            return action()

        return self._run(act())

    def _open_ways(self) -> None:
        self.up.open.set()
        self.down.open.set()

    def _end_all(self, *, reset: bool) -> None:
        for connection in tuple(self._connections):
            connection.end(reset=reset)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._connected, self.host, self.port, limit=PIECE, reuse_address=True
            )
            self.port = int(self._listener.sockets[0].getsockname()[1])

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            # Not wait_closed: since Python 3.12 that waits for all connections.
            self._listener.close()
            self._listener = None
            await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted += 1
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.serve(self._target_host, self._target_port)
        finally:
            self._connections.discard(connection)


class _Connection:
    """One connection: its client's side and the target's."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writers = [writer]
        self._tasks: list[asyncio.Task[None]] = []
        self._ended: bool | None = None

    def end(self, *, reset: bool) -> None:
        """End both sides at once; what is held is gone."""
        if self._ended is None:
            self._ended = reset
            for task in self._tasks:
                task.cancel()
            for writer in self._writers:
                _close(writer, reset=reset)

    async def serve(self, host: str, port: int) -> None:
        """Pass on until both sides have ended."""
        proxy = self._proxy
        # A SYN behind a cut would not arrive either.
        await proxy.up.open.wait()
        if self._ended is not None:
            return
        try:
            reader, writer = await asyncio.open_connection(host, port, limit=PIECE)
        except OSError:
            self.end(reset=True)
            return
        self._writers.append(writer)
        if self._ended is not None:
            _close(writer, reset=self._ended)
            return
        up, down = _Queue(QUEUE), _Queue(QUEUE)
        pumps = (
            _take(proxy.up, self._reader, up),
            _give(proxy.up, up, writer, back=proxy.down),
            _take(proxy.down, reader, down),
            _give(proxy.down, down, self._writers[0], back=proxy.up),
        )
        self._tasks = [asyncio.ensure_future(pump) for pump in pumps]
        try:
            await asyncio.gather(*self._tasks)
        except (OSError, _End):
            self.end(reset=True)
        except asyncio.CancelledError:
            # By `end`, which has closed both sides.
            pass
        else:
            self.end(reset=False)


_Queue = asyncio.Queue[tuple[float, bytes | None]]


# Two tasks for each way, one that takes the time of each piece as it comes, and one that waits until it is due: one
# alone would add up the delays.


async def _take(way: Way, reader: asyncio.StreamReader, queue: _Queue) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await way.open.wait()
        try:
            data: bytes | None = await reader.read(PIECE)
        except OSError:
            data = None
        else:
            if not data:
                data = b""
        await queue.put((loop.time(), data))
        if not data:
            return


async def _give(way: Way, queue: _Queue, writer: asyncio.StreamWriter, *, back: Way) -> None:
    """Pass pieces on when they are due. Empty: the end in order; None: a reset."""
    loop = asyncio.get_running_loop()
    free = 0.0
    while True:
        came, data = await queue.get()
        size = len(data or b"")
        await _sleep_until(max(came + way.delay, free))
        while not way.open.is_set():
            await way.open.wait()
        if data is None:
            raise _End
        if not data:
            with contextlib.suppress(OSError):
                writer.write_eof()
            return
        way.passed += size
        writer.write(data)
        free = loop.time() + (size / way.rate if way.rate else 0.0)
        try:
            await writer.drain()
        except OSError:
            # Its answer to bytes that it does not want is a reset, which goes the other way.
            await back.open.wait()
            raise


async def _sleep_until(due: float) -> None:
    left = due - asyncio.get_running_loop().time()
    if left > 0:
        await asyncio.sleep(left)


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        connection: socket.socket | None = writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()
    else:
        writer.close()
