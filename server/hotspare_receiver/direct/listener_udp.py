"""Datagrams of panels: read when there is room, else dropped, since their sender repeats them (S4)."""

import asyncio
import contextlib
import re
import socket

from hotspare_receiver.core.dc09_session import Reason
from hotspare_receiver.core.dc09_stream import datagram_frames
from hotspare_receiver.direct.listener_desk import Desk, Sender
from hotspare_rpc.address import Address

MOST_DATAGRAMS = 256
"""Datagrams that are answered at one time."""

AT_ONCE = 64
"""Datagrams that are read before others have their turn."""

BUFFER = 1 << 20
"""Bytes that the system is asked to keep for us; it may give less."""

_LONGEST = 65_535
_ACCOUNT = re.compile(rb"#([!-Z^-~]{0,16})\[")
_HEAD = 80
"""Bytes in which the account stands."""


class UdpPanels:
    """The socket for datagrams.

    It is read here and not by asyncio's endpoint, which takes one datagram in each round of the loop: a flood would
    keep the system's buffer full, and panels would find no room in it.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, address: Address) -> None:
        """Listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        family, _, _, _, place = found[0]
        own = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if address.host == "::":
                own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            own.setblocking(False)
            own.bind(place)
        except OSError:
            own.close()
            raise
        self._socket = own
        loop.add_reader(own, self._readable, own)

    async def stop(self) -> None:
        """Close the port; what is under way gets no answer."""
        own, self._socket = self._socket, None
        if own is not None:
            asyncio.get_running_loop().remove_reader(own)
            own.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _readable(self, own: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                data, peer = own.recvfrom(_LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # What the network says about an answer that nobody took.
                continue
            self._received(data, peer)

    def _received(self, data: bytes, peer: tuple[str, int]) -> None:
        found = _ACCOUNT.search(data, 0, _HEAD)
        account = None if found is None else found[1].decode("ascii")
        known = account is not None and self._desk.knows(account)
        if not self._desk.admits_datagram(account if known else None):
            return
        if len(self._tasks) >= MOST_DATAGRAMS:
            self._desk.dropped(Reason.OVERLOAD, data, Sender(peer[0], "udp"))
            return
        task = asyncio.get_running_loop().create_task(self._answer(data, peer, known), name="dc09-datagram")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, peer: tuple[str, int], known: bool) -> None:
        sender = Sender(peer[0], "udp")
        fed = datagram_frames(data)
        if fed.rubbish or fed.too_long:
            self._desk.dropped(Reason.TOO_LONG if fed.too_long else Reason.MALFORMED, data, sender)
        for raw in fed.frames:
            answer = await self._desk.take(raw, sender, known=known)
            if answer.data is not None and self._socket is not None:
                # A panel that is gone, or a network that takes no more: it repeats what it has to tell.
                with contextlib.suppress(OSError):
                    self._socket.sendto(answer.data, peer)
