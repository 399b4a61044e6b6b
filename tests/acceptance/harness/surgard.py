"""Automation software that speaks Sur-Gard: a socket with a reader of its own, not the codec of the product.

It takes messages of both header widths, acknowledges each with one byte, and keeps what it acknowledged as the truth.
The format has no sequence and no time: alarms are told apart by account, event, partition and zone.
"""

import contextlib
import re
import socket
import socketserver
import threading
from dataclasses import dataclass

from tests.acceptance.harness.book import Event, Published

HOST = "127.0.0.1"
DC4, ACK = b"\x14", b"\x06"
LETTERS = {"E": 1, "R": 3, "P": 6}

_HEARTBEAT = re.compile(rb"1\d\d\d(\d\d)?\s{11}@\s{4}\Z")
_CONTACT_ID = re.compile(rb"5\d\d(?:\d|\d\d\d) 18(\w{4,16}?)([ERP])(\w{3})(\d\d)(\d{3})\Z")


@dataclass(frozen=True)
class Told:
    """What one message says."""

    account: str
    qualifier: int
    code: str
    partition: int
    zone: int

    @classmethod
    def of(cls, alarm: Published) -> "Told":
        """What the message of a published alarm has to say."""
        event: Event = alarm.event
        return cls(alarm.account, event.qualifier, event.code, event.partition, event.zone)


class SurgardSink:
    """An ARC on a TCP port."""

    def __init__(self, together: list["Told"]) -> None:
        """`together`: what all ARCs of a group acknowledged, in order."""
        self._together = together
        self.silent = False
        """Whether it reads and answers nothing."""
        self.alarms: list[Told] = []
        """What it acknowledged, in order."""
        self.raw: list[bytes] = []
        """Every alarm that came, answered or not."""
        self.heartbeats = 0
        self.rubbish: list[bytes] = []
        """What it could not read."""
        sink = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    sink._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((HOST, 0), Handler)
        self.address = f"{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more. Connections that stand live on: end the receiver first."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, connection: socket.socket) -> None:
        buffered = b""
        while data := connection.recv(65536):
            *whole, buffered = (buffered + data).split(DC4)
            for message in whole:
                if self._take(message):
                    connection.sendall(ACK)

    def _take(self, message: bytes) -> bool:
        match = _CONTACT_ID.match(message)
        if match is not None:
            self.raw.append(message)
            if not self.silent:
                account, letter, code, partition, zone = (part.decode() for part in match.groups())
                told = Told(account, LETTERS[letter], code, int(partition), int(zone))
                self.alarms.append(told)
                self._together.append(told)
        elif _HEARTBEAT.match(message):
            self.heartbeats += 1
        else:
            self.rubbish.append(message)
        return not self.silent
