"""A server for lines of text or bytes over TCP, as automation software has one."""

import asyncio
import contextlib
from abc import ABC, abstractmethod

from hotspare_rpc.address import Address, ListenError


class LineServer(ABC):
    """Serves any number of connections."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, listen: Address) -> Address:
        """Serve; returns the address with the real port. Raises ListenError."""
        try:
            self._server = await asyncio.start_server(self._connected, listen.host, listen.port)
        except OSError as problem:
            raise ListenError(f"cannot listen at {listen}: {problem.strerror or problem}") from problem
        return Address(listen.host, self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no more, and close all connections."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            # The other side is gone, or we stop: asyncio would report either as an error of ours.
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end. OSError: the other side is gone."""


def peer_of(writer: asyncio.StreamWriter) -> str:
    """The address of the other side, as far as it is known."""
    name = writer.get_extra_info("peername")
    return str(Address(name[0], name[1])) if name else ""
