"""One connection to the ARC's automation software, over TCP or UDP: opened when wanted, opened anew when lost, cut when
it must be.

The addresses are tried in order (O3). A failure is followed by a bounded backoff (O2); only an answer that
proves the other side alive sets it back, for a peer that accepts and closes at once must not be hammered. Over UDP
there is nobody to accept: a link stands as soon as there is a socket, and is given up by who waits for an answer.
"""

import asyncio
import errno
import os
import random
from datetime import datetime
from typing import Protocol

from hotspare_receiver.clock import Clock
from hotspare_receiver.core.backoff import Backoff
from hotspare_receiver.core.link_health import LinkHealth
from hotspare_receiver.outputs.wire import DatagramWire, StreamWire, Wire
from hotspare_receiver.snapshot import LinkState, Transport
from hotspare_rpc.address import Address

CONNECT_TIMEOUT = 3.0
"""Seconds for one address."""

BACKOFF = Backoff(first=0.2, longest=5.0)
JITTER = 0.2
"""Part of a backoff that is random, so that receivers don't come back to one ARC in step."""


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
        self,
        addresses: tuple[Address, ...],
        events: LinkEvents,
        clock: Clock,
        *,
        supervised: bool = True,
        transport: Transport = Transport.TCP,
    ) -> None:
        """`supervised`: what it is idle for is asked with heartbeats, so that an answer is to be had at any time."""
        self._addresses = addresses
        self._events = events
        self._clock = clock
        self._wanted = False
        self._transport = transport
        self._wire: Wire | None = None
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

    def unanswered(self) -> None:
        """What was written had no valid answer in its time, and the link is kept to try again."""
        self.health = self.health.unanswered(self._clock.now())

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

    def made(self, wire: Wire) -> None:
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

    def received(self, wire: Wire, data: bytes) -> None:
        """Bytes came on a wire; those of one that was given up are late."""
        if wire is self._wire:
            self._events.link_data(data)

    def lost(self, wire: Wire, error: Exception | None) -> None:
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
        if self._transport is Transport.UDP:
            await loop.create_datagram_endpoint(lambda: DatagramWire(self), remote_addr=(address.host, address.port))
        else:
            await loop.create_connection(lambda: StreamWire(self), address.host, address.port)

    def _become(self, state: LinkState) -> None:
        if state is not self.state:
            self.state = state
            self.since = self._clock.wall()


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        # asyncio puts the address where the cause should stand.
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
