"""The ARC's side of DC-09 over TCP: a peer that answers, and a bare loop that asks it and waits.

It does little on purpose: what it costs itself is in both figures that are compared.
"""

import asyncio
import re
import socket
import time
from dataclasses import dataclass, field
from itertools import cycle, islice

from benchmarks.alarms.hands import Line
from hotspare_model.dc09 import seal

KEPT_FRAMES = 1000
"""Frames that are kept as they came, for the bare loop to send."""

_FRAME = re.compile(rb'\n.{4}0..."(?P<kind>[^"]+)"(?P<sequence>\d{4})(?P<to>[RL0-9A-F]*)#(?P<account>[0-9A-F]*)\[')


@dataclass
class Received:
    """What an ARC acknowledged."""

    times: dict[tuple[str, int], float] = field(default_factory=dict)
    """When each alarm came first, by account and sequence."""
    again: int = 0
    """How many came once more."""
    frames: list[bytes] = field(default_factory=list)
    """The first ones, as they came."""


class _Peer(asyncio.Protocol):
    def __init__(self, received: Received, expected: int, done: asyncio.Event, delay: float) -> None:
        self._received = received
        self._expected = expected
        self._done = done
        self._delay = delay
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *frames, self._buffer = (self._buffer + data).split(b"\r")
        for frame in frames:
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        found = _FRAME.match(frame)
        if found is None or self._transport is None:
            raise ValueError(f"no frame: {frame!r}")
        answer = seal(b'"ACK"%b%b#%b[]' % (found["sequence"], found["to"], found["account"]))
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
        else:
            self._transport.write(answer)
        if found["kind"] != b"NULL":
            self._note(frame, (found["account"].decode(), int(found["sequence"])))

    def _note(self, frame: bytes, identity: tuple[str, int]) -> None:
        received = self._received
        if identity in received.times:
            received.again += 1
            return
        received.times[identity] = time.monotonic()
        if len(received.frames) < KEPT_FRAMES:
            received.frames.append(frame + b"\r")
        if len(received.times) >= self._expected:
            self._done.set()


async def arc(line: Line, expected: int, delay: float) -> Received:
    """Answer each message, `delay` seconds after it came. Says its address, then `all` when so many different alarms
    came; ends when it is told to."""
    received, done = Received(), asyncio.Event()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Peer(received, expected, done, delay), "127.0.0.1", 0
    )
    line.say(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    waiting = asyncio.create_task(done.wait())
    stopped = asyncio.create_task(line.stopped.wait())
    await asyncio.wait((waiting, stopped), return_when=asyncio.FIRST_COMPLETED)
    if done.is_set():
        line.say("all")
    waiting.cancel()
    await stopped
    server.close()
    return received


async def ask(line: Line, address: str, frames: list[bytes], count: int) -> float:
    """The bare loop: send a frame, wait for the answer, send the next. Returns its seconds."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await line.go()
        begun = time.monotonic()
        for frame in islice(cycle(frames), count):
            connection.sendall(frame)
            answer = connection.recv(4096)
            while not answer.endswith(b"\r"):
                answer += connection.recv(4096)
        return time.monotonic() - begun
