"""An ARC's automation software: takes Sur-Gard over TCP, writes down what came, and acknowledges it."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hotspare_model.surgard import (
    Answer,
    CidMessage,
    Heartbeat,
    Message,
    MessageSplitter,
    SiaMessage,
    SurgardError,
    parse_message,
)
from hotspare_sim.arc import Behaviour, Counts
from hotspare_sim.core.answers import RUBBISH, Answered, Fault
from hotspare_sim.line_log import LineLog
from hotspare_sim.line_server import LineServer, peer_of

READ_SIZE = 65536
HEARTBEAT = "heartbeat"
"""Kind, in the log, of a message that carries no alarm."""
FAULTS = frozenset({Fault.MUTE, Fault.RUBBISH, Fault.CLOSE, Fault.NAK, Fault.LATE, Fault.TWICE})
"""Those that Sur-Gard can have: it has no half answers, and none with a sequence."""


class SurgardServer(LineServer):
    """Serves any number of connections; answers the messages of each in their order.

    Repeated alarms are not counted: the format can't tell one from an alarm that happened twice.
    """

    def __init__(
        self,
        *,
        behaviour: Behaviour | None = None,
        log: LineLog | None = None,
        complain: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """`complain` is told, in words, when the log can't be written; the message then gets no answer."""
        super().__init__()
        self.counts = Counts()
        self._behaviour = behaviour or Behaviour()
        self._fault_left = self._behaviour.fault_count
        self._log = log or LineLog(None)
        self._complain = complain

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts.connections += 1
        splitter = MessageSplitter()
        peer = peer_of(writer)
        try:
            while data := await reader.read(READ_SIZE):
                for raw in splitter.feed(data):
                    if not await self._handle(raw, peer, writer):
                        return
        except SurgardError:
            self.counts.refused += 1

    async def _handle(self, raw: bytes, peer: str, writer: asyncio.StreamWriter) -> bool:
        """Take one message; False when the connection is to end."""
        message, problem = _read(raw)
        fault = self._fault_for(message)
        answered, answer = _answer(message, fault)
        times = {"time": datetime.now(UTC).isoformat(), "clock": time.monotonic(), "peer": peer}
        try:
            # Before it is acknowledged: what the other side was told is in the log, always.
            self._log.write(times | log_entry(raw, message, answered, problem))
        except OSError as error:
            self._complain(f"cannot write the log: {error.strerror or error}")
            return False
        self._count(message, answered)
        wait = self._behaviour.delay + (self._behaviour.late if fault is Fault.LATE else timedelta(0))
        if wait:
            await asyncio.sleep(wait.total_seconds())
        writer.write(answer)
        await writer.drain()
        return fault is not Fault.CLOSE

    def _fault_for(self, message: Message | None) -> Fault | None:
        """The fault that this message meets. Heartbeats meet it too, but only alarms use it up."""
        fault = self._behaviour.fault
        if fault is None or message is None or self._fault_left == 0:
            return None
        if self._fault_left is not None and not isinstance(message, Heartbeat):
            self._fault_left -= 1
        return fault

    def _count(self, message: Message | None, answered: str) -> None:
        match message:
            case None:
                self.counts.refused += 1
            case Heartbeat():
                self.counts.supervision += 1
            case _:
                self.counts.received += 1
                self.counts.acknowledged += answered in (Answered.ACK, Fault.TWICE)


def _read(raw: bytes) -> tuple[Message | None, str | None]:
    try:
        return parse_message(raw), None
    except SurgardError as error:
        return None, str(error)


def _answer(message: Message | None, fault: Fault | None) -> tuple[str, bytes]:
    if message is None:
        return str(Answered.NAK), Answer.NAK.value
    match fault:
        case Fault.MUTE | Fault.CLOSE:
            return str(fault), b""
        case Fault.RUBBISH:
            return str(fault), RUBBISH
        case Fault.NAK:
            return str(fault), Answer.NAK.value
        case Fault.TWICE:
            return str(fault), Answer.ACK.value * 2
        case Fault.LATE:
            return str(fault), Answer.ACK.value
        case _:
            return str(Answered.ACK), Answer.ACK.value


def log_entry(raw: bytes, message: Message | None, answered: str, problem: str | None) -> dict[str, Any]:
    """What stands in the log about a message, but for the times. Fields that it does not have are null."""
    entry: dict[str, Any] = dict.fromkeys(
        ("kind", "account", "qualifier", "code", "partition", "zone", "receiver", "line")
    )
    match message:
        case Heartbeat():
            entry["kind"] = HEARTBEAT
        case CidMessage(header, account, event):
            entry |= {"kind": "contact-id", "account": account, "receiver": header.receiver, "line": header.line}
            entry |= {"qualifier": int(event.qualifier), "code": event.code}
            entry |= {"partition": event.partition, "zone": event.zone}
        case SiaMessage(header, account, code, zone):
            entry |= {"kind": "sia", "account": account, "receiver": header.receiver, "line": header.line}
            entry |= {"code": code, "zone": zone}
        case None:
            pass
    return entry | {"answered": answered, "problem": problem, "raw": raw.decode("latin-1")}
