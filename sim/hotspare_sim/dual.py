"""Panels with two paths: to the host by DC-09 over TCP, and to the cloud where that gets no answer (D1).

One alarm at a time, so that the order is that of the answers (A3). What the host did not acknowledge goes to the cloud
with the same code, place and time of occurrence: the system knows it as the same alarm if the host had passed it on
(D3). Then the host is left alone for a while, as panels do that have a second path.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hotspare.v1.alarm_pb2 import QUALIFIER_NEW, QUALIFIER_RESTORE, QUALIFIER_STATUS, Alarm
from hotspare_model.contact_id import ContactId, Qualifier
from hotspare_model.dc09 import Frame, encode
from hotspare_model.dc09_adm_cid import adm_cid_frame
from hotspare_model.dc09_errors import FrameError
from hotspare_model.dc09_reply import ReplyKind, parse_reply
from hotspare_model.dc09_stream import FrameSplitter
from hotspare_model.sequence import wire_sequence
from hotspare_rpc.address import Address
from hotspare_sim.publish import Publisher, Receipt, Refusal, Way

CONNECT_TIMEOUT = 2.0
ANSWER_TIMEOUT = 4.0
"""Seconds for the host's answer: it has to be durable in the cloud first."""
LEFT_ALONE = 3.0
"""Seconds after a failure for which alarms go to the cloud at once."""
READ_SIZE = 4096

_QUALIFIERS = {
    QUALIFIER_NEW: Qualifier.NEW,
    QUALIFIER_RESTORE: Qualifier.RESTORE,
    QUALIFIER_STATUS: Qualifier.STATUS,
}


class LineError(Exception):
    """The host did not acknowledge the message; in words."""


class LineClosedError(LineError):
    """The host closed the connection, or there is none."""


@dataclass(frozen=True)
class DirectAccess:
    """How a panel reaches the host."""

    address: Address
    account: str
    key: bytes | None = field(default=None, repr=False)
    """AES, 16, 24 or 32 bytes. None: it talks in clear."""


class HostLine:
    """A panel's connection to the host's listener: one message, one answer."""

    def __init__(self, access: DirectAccess) -> None:
        self._access = access
        self._numbered = 0
        self._last = ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, alarm: Alarm) -> None:
        """Send an alarm until it is acknowledged; the same one again has the same sequence. Raises LineError."""
        if alarm.alarm_id != self._last:
            self._last = alarm.alarm_id
            self._numbered += 1
        frame = self._frame(alarm)
        had_one = self._streams is not None
        try:
            await self._exchange(frame)
        except LineClosedError:
            # A connection that stood for long may have been closed by the other side; that says nothing of the host.
            if not had_one:
                raise
            await self._exchange(frame)

    def _frame(self, alarm: Alarm) -> Frame:
        access = self._access
        event = ContactId(_QUALIFIERS[alarm.qualifier], alarm.code, alarm.partition, alarm.zone)
        return adm_cid_frame(
            account=access.account,
            contact_id=event,
            sequence=wire_sequence(self._numbered),
            sent_at=datetime.now(UTC),
            occurred=alarm.occur_time.ToDatetime(UTC).replace(microsecond=0),
            text=alarm.text,
            encrypted=access.key is not None,
        )

    async def _exchange(self, frame: Frame) -> None:
        try:
            reader, writer = await self._connected()
            writer.write(encode(frame, self._access.key, None if self._access.key is None else os.urandom))
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await writer.drain()
                await self._acknowledged(frame, reader)
        except TimeoutError as problem:
            self.drop()
            raise LineError("no answer in time") from problem
        except OSError as problem:
            self.drop()
            raise LineClosedError(problem.strerror or str(problem)) from problem
        except LineError:
            self.drop()
            raise

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            address = self._access.address
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._streams = await asyncio.open_connection(address.host, address.port)
        return self._streams

    async def _acknowledged(self, frame: Frame, reader: asyncio.StreamReader) -> None:
        splitter = FrameSplitter()
        while data := await reader.read(READ_SIZE):
            try:
                replies = [parse_reply(raw, self._access.key) for raw in splitter.feed(data)]
            except FrameError as problem:
                raise LineError(f"an answer that is none: {problem}") from problem
            for reply in replies:
                if not reply.answers(frame):
                    continue
                if reply.kind is ReplyKind.ACK:
                    return
                raise LineError(f"it was answered with {reply.kind.value}")
        raise LineClosedError("the host closed the connection")

    def drop(self) -> None:
        """Have no connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class DualPublisher:
    """Gives each alarm to the host, or else to the cloud."""

    def __init__(self, access: DirectAccess, cloud: Publisher) -> None:
        self._line = HostLine(access)
        self._cloud = cloud
        self._direct_from = 0.0

    async def publish(self, alarms: Sequence[Alarm]) -> list[Receipt | Refusal]:
        """Publish until the first that may be tried again: what follows it has to wait for it (A3)."""
        results: list[Receipt | Refusal] = []
        for alarm in alarms:
            if await self._directly(alarm):
                results.append(Receipt(0, False, Way.DIRECT))
                continue
            result = (await self._cloud.publish([alarm]))[0]
            results.append(result)
            if isinstance(result, Refusal) and not result.final:
                return results + [result] * (len(alarms) - len(results))
        return results

    async def _directly(self, alarm: Alarm) -> bool:
        if time.monotonic() < self._direct_from:
            return False
        try:
            await self._line.send(alarm)
        except LineError:
            self._direct_from = time.monotonic() + LEFT_ALONE
            return False
        return True

    async def close(self) -> None:
        """End what is open."""
        self._line.drop()
        with contextlib.suppress(OSError):
            await self._cloud.close()
