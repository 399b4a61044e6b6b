"""What carries the bytes of a link: a TCP connection, or datagrams to and from one address."""

import array
import asyncio
import fcntl
import socket
import struct
import termios
from typing import Generic, Protocol, TypeVar, cast

from hotspare_model.lease import WRITE_DELAY

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire(Protocol):
    """One connection of a link."""

    @property
    def has_unsent(self) -> bool:
        """Whether bytes that were written may still be on this side."""

    def write(self, data: bytes) -> None:
        """Write at once, as far as the kernel takes it."""

    def reset(self) -> None:
        """End it; what is unsent is thrown away."""


class Holder(Protocol):
    """Who has a wire."""

    def made(self, wire: Wire) -> None:
        """It stands."""

    def received(self, wire: Wire, data: bytes) -> None:
        """Bytes came."""

    def lost(self, wire: Wire, error: Exception | None) -> None:
        """It is gone."""


class _Buffering(Protocol):
    def get_write_buffer_size(self) -> int: ...


T = TypeVar("T", bound=_Buffering)


class _SocketWire(Generic[T]):
    """What both kinds have: a transport with its socket, once there is one, and the holder that hears of it."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._transport: T | None = None
        self._socket: socket.socket | None = None

    @property
    def has_unsent(self) -> bool:
        """Whether the transport, or the kernel's queue, still holds anything."""
        if self._transport is None or self._socket is None:
            return False
        return bool(self._transport.get_write_buffer_size()) or _kernel_holds(self._socket)


class StreamWire(_SocketWire[asyncio.Transport], asyncio.Protocol):
    """A TCP connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound the life of a written byte (timing: X), and be known."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        limit = int(WRITE_DELAY.total_seconds() * 1000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)
        self._holder.made(self)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._holder.received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end on."""
        self._holder.lost(self, exc)

    def write(self, data: bytes) -> None:
        """Write at once, as far as the kernel takes it."""
        if self._transport is not None:
            self._transport.write(data)

    def reset(self) -> None:
        """End with a reset: what is unsent is thrown away."""
        if self._transport is None or self._socket is None:
            return
        if not self._transport.is_closing():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()


class _Datagrams(Protocol):
    """What the datagram transports of asyncio can, though their base class does not tell all of it."""

    def sendto(self, data: bytes) -> None: ...

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def get_extra_info(self, name: str) -> socket.socket: ...


class DatagramWire(_SocketWire[_Datagrams], asyncio.DatagramProtocol):
    """A UDP socket that is bound to one address: what others send to it never arrives."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be known."""
        self._transport = cast(_Datagrams, transport)
        self._socket = self._transport.get_extra_info("socket")
        self._holder.made(self)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Pass a datagram on."""
        self._holder.received(self, data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there, or there is no way: the network said so."""
        self._holder.lost(self, exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end on."""
        self._holder.lost(self, exc)

    def write(self, data: bytes) -> None:
        """Send one datagram."""
        if self._transport is not None:
            self._transport.sendto(data)

    def reset(self) -> None:
        """Close the socket; what waits in the process is thrown away."""
        if self._transport is not None:
            self._transport.abort()


def _kernel_holds(sock: socket.socket) -> bool:
    """Whether the kernel's send queue (SIOCOUTQ) holds bytes; one that can't be asked may."""
    queued = array.array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
    except OSError:
        return True
    return queued[0] > 0
