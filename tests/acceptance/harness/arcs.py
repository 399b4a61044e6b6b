"""ARCs that are not ours.

`Arc` is the automation software: the package pysiaalarm, with what it received as the truth. Its limits:

- It acknowledges before its callback, so an entry comes a moment after the ACK; a test waits for entries.
- It reads one frame a segment, wants R or L in the frame, and refuses more than one block of extended data: an
  alarm with a text (time of occurrence and text are two blocks) can't go to it. Those go to a `Sink`.
- It answers with a key where it has one, even in clear: keys here are made up.
- It checks the frame's time against its clock, 40 s back and 20 s ahead: an ACK proves that the frame's time is
  that of sending (A6).

`Sink` is a socket around the codec of the package siadc09; it can also misbehave.
"""

import contextlib
import re
import socket
import socketserver
import struct
import threading
import time
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from pysiaalarm.account import SIAAccount
from pysiaalarm.event import SIAEvent
from pysiaalarm.sync.client import SIAClient
from pysiaalarm.utils.enums import MessageTypes
from siadc09.message import AckMessage, DuhMessage, NakMessage, parse_frame

from tests.acceptance.harness.book import Book, Event, Received

HOST = "127.0.0.1"
ANY_ACCOUNT = ""


def wire_time(text: str) -> datetime:
    """A time as DC-09 writes it."""
    return datetime.strptime(text, "%H:%M:%S,%m-%d-%Y").replace(tzinfo=UTC)


class Arc:
    """Automation software by pysiaalarm, on a TCP port."""

    def __init__(self, name: str, book: Book, *, host: str = HOST, port: int = 0, key: str | None = None) -> None:
        """`key`: 16, 24 or 32 ASCII characters, which are the AES key."""
        self.name = name
        self.host = host
        self.delay = 0.0
        """Seconds that it takes after each alarm, before it reads the next one."""
        self._book = book
        account = SIAAccount(ANY_ACCOUNT, key)
        self._client = SIAClient(host, port, [account], self._received)
        # A receiver that is killed resets its connection; that is no news.
        vars(self._client.sia_server)["handle_error"] = lambda *_: None
        self._client.start(poll_interval=0.05)
        self.port = int(self._client.sia_server.server_address[1])

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.host}:{self.port}"

    @property
    def received(self) -> list[Received]:
        """The alarms that it acknowledged."""
        return self._book.of_arc(self.name)

    def problems(self) -> dict[str, int]:
        """What it refused, by kind; empty when all was well."""
        return {kind: count for kind, count in vars(self._client.counts).items() if kind.startswith("error_") and count}

    def stop(self) -> None:
        """Listen no more. Connections that stand live on: end the receiver first."""
        self._client.stop()

    def _received(self, event: SIAEvent) -> None:
        at = time.monotonic()
        if event.message_type is not MessageTypes.ADMCID:
            return
        occurred = next((block.value for block in event.extended_data or [] if block.identifier == "H"), None)
        self._book.add(
            Received(
                arc=self.name,
                at=at,
                account=str(event.account),
                sequence=int(event.sequence or 0),
                event=Event(
                    int(event.event_qualifier or 0),
                    str(event.event_type),
                    int(event.partition or 0),
                    int(event.ri or 0),
                    wire_time(str(occurred)),
                ),
                sent=event.timestamp if isinstance(event.timestamp, datetime) else None,
                raw=str(event.full_message),
                encrypted=bool(event.encrypted),
            )
        )
        time.sleep(self.delay)


class Fault(Enum):
    """How a sink misbehaves."""

    NONE = "none"
    RUBBISH = "rubbish"
    MUTE = "mute"
    CLOSE = "close"
    RESET = "reset"
    """It resets each connection as soon as it stands."""
    NAK = "nak"
    DUH = "duh"


_FRAME = re.compile(rb"\n[^\r]*\r")
_TEXT = re.compile(r"\[I([^\[\]]*)\]")


class Sink:
    """An ARC by the codec of siadc09: takes what pysiaalarm can't read, looks at no clock, and does what it should
    not."""

    def __init__(self, name: str, book: Book, *, port: int = 0, fault: Fault = Fault.NONE) -> None:
        self.name = name
        self.fault = fault
        self.delay = 0.0
        """Seconds that it takes for each alarm, before it acknowledges."""
        self.attempts: list[bytes] = []
        """Every alarm that came, answered or not; no test of the link (NULL)."""
        self.connections = 0
        """How many were made."""
        self._book = book
        self._connections: set[socket.socket] = set()
        sink = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                sink._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((HOST, port), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"

    @property
    def received(self) -> list[Received]:
        """The alarms that it acknowledged."""
        return self._book.of_arc(self.name)

    def problems(self) -> dict[str, int]:
        """What it refused, by kind: nothing unless it was told to."""
        return {}

    def stop(self) -> None:
        """Listen no more, and reset what stands."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        if self.fault is Fault.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return
        self._connections.add(connection)
        buffered = b""
        try:
            while data := connection.recv(65536):
                buffered += data
                while match := _FRAME.search(buffered):
                    buffered = buffered[match.end() :]
                    if not self._answer(connection, match[0]):
                        return
        except OSError:
            return
        finally:
            self._connections.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, raw: bytes) -> bool:
        message: Any = parse_frame(raw)
        if message.idtoken == "ADM-CID":
            self.attempts.append(raw)
        match self.fault:
            case Fault.NONE:
                time.sleep(self.delay)
                self._note(message, raw)
                connection.sendall(AckMessage(message.account, message.seq, None).encode())
            case Fault.RUBBISH:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\xff\x00\n12G400\r")
            case Fault.NAK:
                connection.sendall(NakMessage(message.account, datetime.now(UTC)).encode())
            case Fault.DUH:
                connection.sendall(DuhMessage(message.account, message.seq).encode())
            case Fault.CLOSE:
                return False
            case Fault.MUTE | Fault.RESET:
                pass
        return True

    def _note(self, message: Any, raw: bytes) -> None:
        if message.idtoken != "ADM-CID":
            return
        event, blocks = message.data.event, {block.prefix: block.value for block in message.xdata}
        # siadc09 reads texts by the edition of 2026, as UTF-8; ours are in Windows-1252, as receivers of today read.
        text = _TEXT.search(raw.decode("cp1252"))
        self._book.add(
            Received(
                arc=self.name,
                at=time.monotonic(),
                account=f"{message.account.acct:04X}",
                sequence=int(message.seq),
                event=Event(
                    int(event.qualifier), event.code, int(f"{event.group:X}"), int(f"{event.addr:X}"), blocks["H"]
                ),
                sent=message.timestamp,
                raw=raw.decode("latin-1"),
                text=text and text[1],
            )
        )
