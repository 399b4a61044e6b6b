"""Automation software for Sur-Gard, as tests need it: it answers each message as it is told to."""

import asyncio
import contextlib
from collections.abc import Callable

from hotspare_model.surgard import CidMessage, Heartbeat, Message, MessageSplitter, SiaMessage, parse_message
from hotspare_rpc.address import Address

ACK, NAK = b"\x06", b"\x15"
CLOSE = b"close"
"""An answer that closes the connection instead."""

Answer = Callable[[Message], bytes | None]


class SurgardArc:
    """Serves any number of connections; `answer` says what a message gets: bytes, nothing, or CLOSE."""

    def __init__(self) -> None:
        self.answer: Answer = lambda message: ACK
        self.messages: list[Message] = []
        self.raw: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.server: asyncio.Server | None = None
        self.address = Address("127.0.0.1", 0)

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.address = Address("127.0.0.1", self.server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    def say(self, data: bytes) -> None:
        """Send bytes unasked, on the newest connection."""
        self.writers[-1].write(data)

    @property
    def alarms(self) -> list[CidMessage | SiaMessage]:
        return [message for message in self.messages if not isinstance(message, Heartbeat)]

    @property
    def zones(self) -> list[int]:
        """The zones of the Contact ID alarms that came: by those tests tell them apart."""
        return [message.event.zone for message in self.messages if isinstance(message, CidMessage)]

    @property
    def heartbeats(self) -> int:
        return sum(isinstance(message, Heartbeat) for message in self.messages)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        splitter = MessageSplitter()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(65536):
                for raw in splitter.feed(data):
                    self.raw.append(raw)
                    self.messages.append(parse_message(raw))
                    answer = self.answer(self.messages[-1])
                    if answer == CLOSE:
                        writer.transport.abort()
                    elif answer is not None:
                        writer.write(answer)
        writer.close()
