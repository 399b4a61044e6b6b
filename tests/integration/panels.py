"""A direct intake that keeps what it gets, and panels that speak DC-09 to a listener."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hotspare_model.alarm import AlarmPath
from hotspare_model.dc09 import Frame, encode
from hotspare_model.dc09_reply import Reply, parse_reply
from hotspare_model.dc09_stream import FrameSplitter
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.core.dc09_accounts import AccountTable, PanelAccount
from hotspare_receiver.direct.intake import Accepted, DirectAlarm
from hotspare_receiver.direct.listener import Listener, ListenSettings
from hotspare_rpc.address import Address, parse_address

ANSWER = 5.0
"""Seconds within which an answer has to come."""

QUIET = 0.15
"""Seconds after which no answer counts as none."""

KEY = bytes(range(16))
ACCOUNTS = (
    PanelAccount("AAA", "panel-clear"),
    PanelAccount("BBB", "panel-other"),
    PanelAccount("B12345", "panel-keyed", KEY),
)


@dataclass
class KeepingIntake:
    """Keeps alarms in memory; `gate` holds them up, `error` is what it raises."""

    open: bool = True
    taken: list[DirectAlarm] = field(default_factory=list)
    beats: list[tuple[str, AlarmPath]] = field(default_factory=list)
    error: Exception | None = None
    gate: asyncio.Event | None = None
    waiting: int = 0
    """Calls that are held up."""

    async def accept(self, alarm: DirectAlarm) -> Accepted:
        """Take an alarm."""
        if self.gate is not None:
            self.waiting += 1
            try:
                await self.gate.wait()
            finally:
                self.waiting -= 1
        if self.error is not None:
            raise self.error
        self.taken.append(alarm)
        return Accepted("", datetime.now(UTC), len(self.taken), len(self.taken), False, ())

    async def alive(self, device_id: str, path: AlarmPath) -> None:
        """Note a sign of life."""
        self.beats.append((device_id, path))

    @property
    def codes(self) -> list[str]:
        """Codes of what was taken, in order."""
        return [alarm.alarm.code for alarm in self.taken]


class Station:
    """A listener with its intake, on a port of loopback."""

    def __init__(self, accounts: tuple[PanelAccount, ...] = ACCOUNTS, limit: Callable[[], int] = lambda: 1000) -> None:
        self.intake = KeepingIntake()
        self.table = AccountTable(accounts)
        self.told: list[tuple[str, str]] = []
        self.listener = Listener(
            self.intake, lambda: self.table, SystemClock(), lambda *told: self.told.append(told), limit=limit
        )

    async def open(self, settings: ListenSettings | None = None) -> Address:
        """Listen; the address."""
        settings = settings or ListenSettings(True, Address("127.0.0.1", 0))
        await self.listener.apply(settings, role_allows=True)
        return parse_address(self.listener.address)

    def count(self, reason: str, answer: str = "none", transport: str = "tcp") -> int:
        """Frames that were counted so."""
        return self.listener.snapshot().frames.get((transport, answer, reason), 0)


class TcpPanel:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._splitter = FrameSplitter()
        self._answers: list[bytes] = []

    @classmethod
    async def connect(cls, address: Address) -> "TcpPanel":
        """Connect."""
        return cls(*await asyncio.open_connection(address.host, address.port))

    async def say(self, data: bytes) -> None:
        """Write bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, key: bytes | None = None, within: float = ANSWER) -> Reply:
        """The next answer. Raises TimeoutError; EOFError when the connection ends."""
        async with asyncio.timeout(within):
            while not self._answers:
                chunk = await self.reader.read(4096)
                if not chunk:
                    raise EOFError
                self._answers += self._splitter.feed(chunk)
        return parse_reply(self._answers.pop(0), key)

    async def ask(self, frame: Frame, key: bytes | None = None) -> Reply:
        """Send a frame and wait for its answer."""
        await self.say(encoded(frame, key))
        return await self.answer(key)

    async def silent(self) -> bool:
        """Whether no answer comes."""
        try:
            await self.answer(within=QUIET)
        except TimeoutError:
            return True
        return False

    async def ended(self) -> bool:
        """Wait until the other side closes the connection."""
        with suppress(ConnectionError):
            async with asyncio.timeout(ANSWER):
                while await self.reader.read(4096):
                    pass
        return True

    def close(self) -> None:
        """Close the connection."""
        self.writer.close()


class UdpPanel(asyncio.DatagramProtocol):
    """One socket for datagrams."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def connect(cls, address: Address) -> "UdpPanel":
        """Open a socket that sends to `address`."""
        loop = asyncio.get_running_loop()
        transport, panel = await loop.create_datagram_endpoint(cls, remote_addr=(address.host, address.port))
        panel._transport = transport
        return panel

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Keep an answer."""
        self.answers.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """Nothing: the port is closed."""

    def say(self, data: bytes) -> None:
        """Send a datagram."""
        assert self._transport is not None
        self._transport.sendto(data)

    async def answer(self, key: bytes | None = None, within: float = ANSWER) -> Reply:
        """The next answer. Raises TimeoutError."""
        return parse_reply(await asyncio.wait_for(self.answers.get(), within), key)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


def encoded(frame: Frame, key: bytes | None = None) -> bytes:
    """A frame on the wire."""
    return encode(frame, key, os.urandom if key else None)


def poll(account: str = "AAA") -> Frame:
    """A supervision message."""
    return Frame("NULL", 0, None, "0", account)


def alarm(code: str = "1130", account: str = "AAA", sequence: int = 1, at: datetime | None = None) -> Frame:
    """A Contact ID message of now; encrypted for the account with a key."""
    return Frame(
        "ADM-CID", sequence, None, "0", account, encrypted=account == "B12345", data=f"#{account}|{code} 01 015",
        timestamp=(at or datetime.now(UTC)).replace(microsecond=0),
    )  # fmt: skip
