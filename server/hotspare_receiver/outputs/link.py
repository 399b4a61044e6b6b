"""One TCP connection to the ARC's automation software: opened when wanted, opened anew when lost, cut when it
must be.

The addresses are tried in order (O3). A failure is followed by a bounded backoff (O2); only an answer that
proves the other side alive sets it back, for a peer that accepts and closes at once must not be hammered.
"""

import array
import asyncio
import errno
import fcntl
import os
import random
import socket
import struct
import termios
from datetime import datetime
from typing import Protocol

from hotspare_model.lease import WRITE_DELAY
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.link_health import LinkHealth
from hotspare_receiver.snapshot import LinkState
from hotspare_rpc.address import Address

CONNECT_TIMEOUT = 3.0
"""Seconds for one address."""

BACKOFF = Backoff(first=0.2, longest=5.0)
JITTER = 0.2
"""Part of a backoff that is random, so that receivers don't come back to one ARC in step."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class LinkEvents(Protocol):
    """What a link tells its output."""

    def link_up(self) -> None:
        """It stands, and nothing is in flight on it."""

    def link_data(self, data: bytes) -> None:
        """Bytes came."""

    def link_down(self, problem: str) -> None:
        """It is gone; what was in flight on it will have no answer."""


class Link:
    """Keeps one connection while it is wanted."""

    def __init__(
        self, addresses: tuple[Address, ...], events: LinkEvents, clock: Clock, *, supervised: bool = True
    ) -> None:
        """`supervised`: what it is idle for is asked with heartbeats, so that an answer is to be had at any time."""
        self._addresses = addresses
        self._events = events
        self._clock = clock
        self._wanted = False
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._turn = 0
        self._failures = 0
        self._proven = False
        self.health = LinkHealth(supervised, clock.now())
        self.state = LinkState.IDLE
        self.since: datetime = clock.wall()
        self.address = addresses[0] if addresses else None
        self.problem = ""
        """What went wrong last. Empty: nothing since the link was proven."""

    @property
    def up(self) -> bool:
        """Whether something can be written."""
        return self._wire is not None

    @property
    def has_unsent(self) -> bool:
        """Whether bytes that were written may still be on this side."""
        return self._wire is not None and self._wire.has_unsent

    def want(self, wanted: bool) -> None:
        """Open the link and keep it, or cut it and leave it."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if wanted:
            self._failures = self._turn = 0
            self.health = self.health.wanted(self._clock.now())
            self._connect_after(0.0)
            return
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        self._drop("the link was closed")
        self._become(LinkState.IDLE)

    def reset(self) -> None:
        """Throw away what is unsent, and open the link anew at once: nothing was wrong with it."""
        if self._wanted and self._drop("the link was reset"):
            self._become(LinkState.CONNECTING)
            self._connect_after(0.0)

    def settle(self, patience: float) -> None:
        """Time has passed; see core/link_health.py."""
        self.health = self.health.settled(self._clock.now(), patience)

    def write(self, data: bytes) -> None:
        """Write bytes that have to be answered; the link has to be up."""
        assert self._wire is not None
        self.health = self.health.wrote(self._clock.now())
        self._wire.write(data)

    def proven(self) -> None:
        """A valid answer came."""
        self._proven = True
        self._failures = self._turn = 0
        self.problem = ""
        self.health = self.health.answered()

    def cut(self, problem: str) -> None:
        """Reset the connection: nothing unsent goes out any more. A new one follows after a backoff."""
        if self._drop(problem):
            self._failed(problem)

    # How.

    def made(self, wire: "_Wire") -> None:
        """The wire stands."""
        if not self._wanted or self._wire is not None:
            wire.reset()
            return
        self._wire = wire
        # The attempt is over, though its task learns of it later: the wire may be lost again before that.
        self._connecting = None
        self._proven = False
        self.health = self.health.made(self._clock.now())
        self._become(LinkState.UP)
        self._events.link_up()

    def received(self, wire: "_Wire", data: bytes) -> None:
        """Bytes came on a wire; those of one that was given up are late."""
        if wire is self._wire:
            self._events.link_data(data)

    def lost(self, wire: "_Wire", error: Exception | None) -> None:
        """A wire is gone."""
        if wire is self._wire:
            self.cut(f"the link was lost: {_words(error)}" if error else "the other side closed the link")

    def _drop(self, problem: str) -> bool:
        wire, self._wire = self._wire, None
        if wire is None:
            return False
        wire.reset()
        self._events.link_down(problem)
        return True

    def _failed(self, problem: str) -> None:
        self.problem = problem
        self.health = self.health.failed(self._clock.now())
        self._become(LinkState.DOWN if self._wanted else LinkState.IDLE)
        self._failures += 1
        # The next address has its turn, unless this one had been good.
        self._turn = 0 if self._proven else (self._turn + 1) % max(1, len(self._addresses))
        if self._wanted:
            self._connect_after(BACKOFF.delay(self._failures) * (1 - JITTER * random.random()))

    def _connect_after(self, delay: float) -> None:
        if self._connecting is None:
            task = self._connect(delay)
            self._connecting = asyncio.get_running_loop().create_task(task, name="output-connect")

    async def _connect(self, delay: float) -> None:
        attempt = asyncio.current_task()
        await asyncio.sleep(delay)
        self._become(LinkState.CONNECTING)
        problem = "the output has no address"
        while self._turn < len(self._addresses):
            self.address = address = self._addresses[self._turn]
            try:
                await asyncio.wait_for(self._open(address), CONNECT_TIMEOUT)
            except (OSError, TimeoutError) as error:
                if self._connecting is not attempt:
                    return
                problem = f"no connection to {address}: {_words(error)}"
                self._turn += 1
                continue
            return
        self._connecting = None
        self._turn = -1
        self._proven = False
        self._failed(problem)

    async def _open(self, address: Address) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Wire(self), address.host, address.port)

    def _become(self, state: LinkState) -> None:
        if state is not self.state:
            self.state = state
            self.since = self._clock.wall()


class _Wire(asyncio.Protocol):
    """One connection of a link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound the life of a written byte (timing: X), and be known."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        limit = int(WRITE_DELAY.total_seconds() * 1000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._link.received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end on."""
        self._link.lost(self, exc)

    @property
    def has_unsent(self) -> bool:
        """Whether the transport, or the kernel's queue (SIOCOUTQ), still holds bytes."""
        if self._transport is None or self._socket is None:
            return False
        if self._transport.get_write_buffer_size():
            return True
        queued = array.array("i", [0])
        try:
            fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, queued)
        except OSError:
            return True
        return queued[0] > 0

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


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        # asyncio puts the address where the cause should stand.
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
