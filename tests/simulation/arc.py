"""The ARC's side: what came there is the truth by which a history is judged.

Each receiver has automation software of its own, reached over TCP that bounds the life of a written byte by X (as
TCP_USER_TIMEOUT does): a byte arrives within that time or never.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

from hotspare_model.dc09_stream import FrameSplitter
from hotspare_model.lease import WRITE_DELAY
from hotspare_sim.core.answers import Answer, Answered, Fault, Message, answer_to, read_message
from tests.proof.facts import Identity, Wrote
from tests.simulation.world import WALL, Process, World

NEAR = (0.001, 0.01)
ANSWERS = (0.002, 0.05)

LOST = 60.0
"""Seconds after which a connection that never comes is given up by the kernel; everybody else does before."""
X = WRITE_DELAY.total_seconds()

_idle, _idle_peer = socket.socketpair()


class Watch(Protocol):
    """Who is told of what passes."""

    def wrote(self) -> Wrote | None:
        """A message is being written; by the code under test, at this moment. None: it is no alarm."""

    def arrived(
        self, wrote: Wrote, identity: Identity, content: str, *, acknowledged: bool, refused: bool, alive: bool
    ) -> None:
        """It came to the ARC, which acknowledges it, refuses it in words, or neither. `alive`: its writer still is."""


class Arc:
    """Automation software, with its ways to misbehave."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.refuses = False
        self.cut = False
        self.fault: Fault | None = None
        self.dislikes = 0
        """It refuses each alarm in so many words whose sequence this divides (A5). 0: none."""
        self.takes = NEAR
        """Seconds of a byte on its way, one way."""
        self.answers_in = ANSWERS
        self.wires: list[Wire] = []

    async def connect(
        self, process: Process, watch: Watch, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection."""
        await asyncio.sleep(self.world.random.uniform(*self.takes))
        if self.cut:
            await asyncio.sleep(LOST)
        if self.refuses:
            raise ConnectionRefusedError(111, "refused")
        protocol = factory()
        wire = Wire(self, process, watch, protocol)
        self.wires.append(wire)
        protocol.connection_made(wire)
        return wire, protocol

    def close_all(self) -> None:
        """Close every connection."""
        for wire in tuple(self.wires):
            wire.close_by_peer()

    def arrived(self, wire: "Wire", data: bytes, wrote: Wrote | None) -> None:
        """Bytes came."""
        for raw in wire.splitter.feed(data):
            message = read_message(raw, lambda account: None)
            if message.header is None or message.problem is not None or message.is_alarm is (wrote is None):
                self.world.defect(self.name, f"what came is not what was sent: {raw!r}: {message.problem}")
                return
            disliked = wrote is not None and self.dislikes and message.header.sequence % self.dislikes == 0
            fault = Fault.DUH if disliked and self.fault is None else self.fault
            answer = answer_to(message, fault, WALL, lambda account: None, bytes)
            if wrote is not None:
                assert message.header.account is not None
                identity, content = (message.header.account, message.header.sequence), _said(message)
                acknowledged = answer.answered == Answered.ACK
                wire.watch.arrived(
                    wrote,
                    identity,
                    content,
                    acknowledged=acknowledged,
                    refused=answer.answered == Answered.DUH,
                    alive=wire.process.alive,
                )
            self._answer(wire, answer)

    def _answer(self, wire: "Wire", answer: Answer) -> None:
        if answer.closes:
            wire.close_by_peer()
        elif answer.data:
            self.world.after(self.world.random.uniform(*self.answers_in), wire.answer, answer.data)


class Wire(asyncio.Transport):
    """One connection, from the receiver's side."""

    count = 0

    def __init__(self, arc: Arc, process: Process, watch: Watch, protocol: asyncio.Protocol) -> None:
        super().__init__()
        Wire.count += 1
        self.arc = arc
        self.process = process
        self.watch = watch
        self.splitter = FrameSplitter()
        self._protocol = protocol
        self._key = f"wire-{Wire.count}"
        self._unsent = 0
        self._closed = False
        process.on_kill.append(self._killed)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The socket, on which only options are set, and which has nothing unsent of its own."""
        return _Socket() if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        """Bytes on this side."""
        return self._unsent

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        if self._closed:
            return
        world = self.arc.world
        self._unsent += len(data)
        delay = min(X * 0.9, world.random.uniform(*self.arc.takes))
        world.after(delay, self._arrive, bytes(data), world.now, self.watch.wrote())

    def _arrive(self, data: bytes, sent: float, wrote: Wrote | None) -> None:
        world = self.arc.world
        age = world.now - sent
        if self.arc.cut and age < X * 0.9:
            world.after(0.05, self._arrive, data, sent, wrote)
            return
        if self._closed and world.random.random() < 0.5:
            return  # What was not on the wire yet is thrown away with the connection.
        if self.arc.cut:
            self._lost(TimeoutError(110, "timed out"))
            return
        self._unsent -= len(data)
        self.arc.arrived(self, data, wrote)

    def answer(self, data: bytes) -> None:
        """An answer goes back."""
        if self.arc.cut or self._closed:
            return
        delay = self.arc.world.random.uniform(*self.arc.takes)
        self.arc.world.after(delay, self.process.post, self._key, self._take, data)

    def _take(self, data: bytes) -> None:
        if not self._closed:
            self._protocol.data_received(data)

    def close_by_peer(self) -> None:
        """The ARC closed it."""
        self._lost(None)

    def _lost(self, error: Exception | None) -> None:
        if not self._closed:
            self._forget()
            self.process.post(self._key, self._protocol.connection_lost, error)

    def abort(self) -> None:
        """End it with a reset."""
        if not self._closed:
            self._forget()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def _killed(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._closed = True
        if self in self.arc.wires:
            self.arc.wires.remove(self)


class _Socket:
    def setsockopt(self, *_: Any) -> None:
        """Nothing to do."""

    def fileno(self) -> int:
        """One with nothing unsent."""
        return _idle.fileno()


def _said(message: Message) -> str:
    """What an alarm says that has to be the same each time. Its text may be left out: some ARCs refuse texts."""
    event = message.event
    return f"{event.contact_id} {event.occurred}" if event is not None else ""
