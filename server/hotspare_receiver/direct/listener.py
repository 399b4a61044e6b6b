"""The DC-09 listener of a receiver: one address, TCP and UDP, open only while direct devices are taken (D1)."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hotspare_receiver.clock import Clock
from hotspare_receiver.core.dc09_accounts import AccountTable
from hotspare_receiver.core.dc09_session import Judge
from hotspare_receiver.core.dc09_window import TimeWindow
from hotspare_receiver.direct.intake import DirectIntake
from hotspare_receiver.direct.listener_desk import Desk
from hotspare_receiver.direct.listener_tcp import TcpPanels, connection_limit
from hotspare_receiver.direct.listener_udp import UdpPanels
from hotspare_rpc.address import Address
from hotspare_rpc.logs import log_event

RETRY = 5.0
"""Seconds until a port that could not be opened is tried again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """What an operator set about the listener."""

    on: bool = False
    """Dual connection."""
    address: Address | None = None
    """Where panels connect, by TCP and UDP. None: nowhere."""
    window: TimeWindow = field(default_factory=TimeWindow)
    """Of devices that have none of their own."""


@dataclass(frozen=True, slots=True)
class ListenerSnapshot:
    """What the listener does, at one moment."""

    address: str = ""
    """Where it listens; empty: nowhere."""
    problem: str = ""
    """Why it does not, although it should; in words."""
    connections: int = 0
    opened: int = 0
    crowded_out: int = 0
    expired: int = 0
    spoiled: int = 0
    frames: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """By transport, answer and reason."""
    untold: int = 0
    """Refusals that the ARC was not told of because there were too many."""


class Listener:
    """Opens and closes the port as settings and role say. `apply` may be called at any time; `stop` ends it."""

    def __init__(
        self,
        intake: DirectIntake,
        table: Callable[[], AccountTable],
        clock: Clock,
        on_refused: Callable[[str, str], None] = lambda reason, account: None,
        *,
        pad: Callable[[int], bytes] = os.urandom,
        limit: Callable[[], int] = connection_limit,
    ) -> None:
        """`on_refused(reason, account)`: called once for each refusal that the ARC has to be told (S4)."""
        self._judge = Judge(table)
        self._desk = Desk(self._judge, intake, clock, on_refused, pad)
        self._tcp = TcpPanels(self._desk, clock, limit)
        self._udp = UdpPanels(self._desk)
        self._wanted: Address | None = None
        self._bound: Address | None = None
        self._problem = ""
        self._changing = asyncio.Lock()
        self._retrying: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where it listens, with the port that the system chose for 0; empty while it is closed."""
        return "" if self._bound is None else str(self._bound)

    async def apply(self, settings: ListenSettings, role_allows: bool) -> None:
        """Listen where and while `settings` and the role allow it. What was open stays open if nothing changed.

        A port that can't be opened is tried again until it can; `snapshot().problem` tells of it meanwhile.
        """
        self._judge.window = settings.window
        wanted = settings.address if settings.on and role_allows else None
        async with self._changing:
            if wanted != self._wanted:
                await self._close()
                self._wanted = wanted
                await self._open()

    async def stop(self) -> None:
        """Close the port and all connections, for good."""
        async with self._changing:
            await self._close()
            self._wanted = None

    def snapshot(self) -> ListenerSnapshot:
        """What it does now."""
        traffic = self._tcp.traffic
        return ListenerSnapshot(
            address=self.address,
            problem=self._problem,
            connections=self._tcp.open_connections,
            opened=traffic.opened,
            crowded_out=traffic.crowded_out,
            expired=traffic.expired,
            spoiled=traffic.spoiled,
            frames=dict(self._desk.frames),
            untold=self._desk.untold,
        )

    def accounts_changed(self) -> None:
        """Have what is known of accounts follow the table, which changed."""
        self._judge.forget_gone()

    async def _open(self) -> None:
        if self._wanted is None:
            return
        try:
            port = await self._tcp.start(self._wanted)
            await self._udp.start(Address(self._wanted.host, port))
        except OSError as error:
            await self._tcp.stop()
            await self._udp.stop()
            problem = f"{self._wanted}: {error.strerror or error}"
            if problem != self._problem:
                log_event(_log, logging.ERROR, "direct_listen_failed", address=self._wanted, problem=problem)
            self._problem = problem
            self._retrying = asyncio.create_task(self._retry(), name="dc09-listen")
            return
        self._problem = ""
        self._bound = Address(self._wanted.host, port)
        log_event(_log, logging.INFO, "direct_listening", address=self._bound)

    async def _close(self) -> None:
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)
            self._retrying = None
        self._problem = ""
        await self._udp.stop()
        await self._tcp.stop()
        if self._bound is not None:
            log_event(_log, logging.INFO, "direct_closed", address=self._bound)
            self._bound = None

    async def _retry(self) -> None:
        await asyncio.sleep(RETRY)
        async with self._changing:
            # Not to be cancelled by itself when the next try fails as well.
            self._retrying = None
            await self._open()
