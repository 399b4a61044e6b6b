"""An ARC's automation software: takes DC-09 over TCP, writes down what came, and acknowledges it."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hotspare_model.dc09_errors import TooLongError
from hotspare_model.dc09_stream import FrameSplitter
from hotspare_sim.core.answers import Answer, Answered, Fault, Message, answer_to, log_entry, read_message
from hotspare_sim.core.repeats import Repeats
from hotspare_sim.line_log import LineLog
from hotspare_sim.line_server import LineServer, peer_of

READ_SIZE = 65536
TAKEN = frozenset({str(Answered.ACK), str(Fault.TWICE)})
"""What tells the other side, in time and rightly, that its message was taken."""


@dataclass(frozen=True)
class Keys:
    """AES keys of the accounts that talk encrypted: those in clear are refused then."""

    default: bytes | None = None
    """Of the accounts that are not named. None: they talk in clear."""
    accounts: Mapping[str, bytes] = field(default_factory=dict)
    """By account number, upper case."""

    def of(self, account: str) -> bytes | None:
        """The key of an account, None for one that talks in clear."""
        return self.accounts.get(account.upper(), self.default)


@dataclass(frozen=True)
class Behaviour:
    """How the software answers."""

    delay: timedelta = timedelta(0)
    """How long it takes to answer."""
    fault: Fault | None = None
    fault_count: int | None = None
    """Alarms that meet the fault before all is well. None: all of them."""
    late: timedelta = timedelta(seconds=6)
    """How late `Fault.LATE` answers."""


@dataclass
class Counts:
    """What happened since the start."""

    connections: int = 0
    received: int = 0
    """Alarms that could be read, also those that met a fault."""
    acknowledged: int = 0
    repeated: int = 0
    """Acknowledged alarms whose account and sequence came before."""
    refused: int = 0
    """Frames that could not be read or taken."""
    supervision: int = 0

    def __str__(self) -> str:
        return " ".join(f"{name}={count}" for name, count in vars(self).items())


class ArcServer(LineServer):
    """Serves any number of connections; answers the messages of each in their order."""

    def __init__(
        self,
        *,
        keys: Keys | None = None,
        behaviour: Behaviour | None = None,
        log: LineLog | None = None,
        complain: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """`complain` is told, in words, when the log can't be written; the message then gets no answer."""
        super().__init__()
        self.counts = Counts()
        self._keys = keys or Keys()
        self._behaviour = behaviour or Behaviour()
        self._fault_left = self._behaviour.fault_count
        self._log = log or LineLog(None)
        self._complain = complain
        self._repeats = Repeats()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts.connections += 1
        splitter = FrameSplitter()
        peer = peer_of(writer)
        while chunk := await reader.read(READ_SIZE):
            try:
                frames = splitter.feed(chunk)
            except TooLongError as problem:
                self.counts.refused += 1
                frames = list(problem.frames)
            for raw in frames:
                if not await self._handle(raw, peer, writer):
                    return

    async def _handle(self, raw: bytes, peer: str, writer: asyncio.StreamWriter) -> bool:
        """Take one frame; False when the connection is to end."""
        message = read_message(raw, self._keys.of)
        fault = self._fault_for(message)
        answer = answer_to(message, fault, datetime.now(UTC), self._keys.of, os.urandom)
        if not self._written_down(message, answer, peer):
            return False
        self._count(message, answer)
        wait = self._behaviour.delay + (self._behaviour.late if answer.late else timedelta(0))
        if wait:
            await asyncio.sleep(wait.total_seconds())
        if answer.data:
            writer.write(answer.data)
            await writer.drain()
        return not answer.closes

    def _fault_for(self, message: Message) -> Fault | None:
        """The fault that this message meets. Supervision meets it too, but only alarms use it up."""
        fault = self._behaviour.fault
        if fault is None or self._fault_left == 0:
            return None
        if self._fault_left is not None and message.is_alarm and message.problem is None:
            self._fault_left -= 1
        return fault

    def _written_down(self, message: Message, answer: Answer, peer: str) -> bool:
        """Log the message before it is acknowledged: what the other side was told is in the log, always."""
        times: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(),
            "clock": time.monotonic(),
            "peer": peer,
        }
        try:
            self._log.write(times | log_entry(message, answer.answered))
        except OSError as problem:
            self._complain(f"cannot write the log: {problem.strerror or problem}")
            return False
        return True

    def _count(self, message: Message, answer: Answer) -> None:
        header = message.header
        if message.problem is not None or header is None:
            self.counts.refused += 1
        elif not message.is_alarm:
            self.counts.supervision += 1
        else:
            self.counts.received += 1
            if answer.answered in TAKEN:
                self.counts.acknowledged += 1
                self.counts.repeated += self._repeats.saw(header.account or "", header.sequence)
