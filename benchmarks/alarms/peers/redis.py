"""Redis Streams with `appendfsync always`: what was answered is on the disk."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.alarms import alarms
from benchmarks.alarms.hands import Line
from benchmarks.alarms.peers.server import PeerServer, found, version

PROGRAM = found("redis-server")
NAME = "Redis, appendfsync always"
KEPT_IDS = 86_400
"""Seconds for which ids are known, so that duplicates are found: as long as ours are at least (A2)."""
GROUP = ("alarms", "arc")

# The payload first, then the ids: the alarms differ in nothing else.
_ONCE = f"""
local new = 0
for i = 2, #ARGV do
  if redis.call('SET', 'id:' .. ARGV[i], '', 'NX', 'EX', {KEPT_IDS}) then
    redis.call('XADD', 'alarms', '*', 'i', ARGV[i], 'p', ARGV[1])
    new = new + 1
  end
end
return new
"""


def told() -> str:
    """Its version, or that it is missing."""
    return version(PROGRAM)


class Redis(PeerServer):
    """One server."""

    def command(self) -> Sequence[str]:
        assert PROGRAM is not None
        words = f"--port {self.port} --bind 127.0.0.1 --appendonly yes --appendfsync always --dir {self.folder}"
        return [PROGRAM, *words.split(), "--save", ""]


class Client:
    """One connection. Answers come in the order of the questions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str) -> "Client":
        """Connect."""
        host, _, port = address.partition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=1 << 24))

    def send(self, raw: bytes) -> None:
        """Ask something; `answer` gets the answer."""
        self._writer.write(raw)

    async def ask(self, *words: str | bytes | int) -> Any:
        """Ask and wait, with nothing else under way."""
        self.send(command(*words))
        return await self.answer()

    async def answer(self) -> Any:
        """The next answer. Raises RuntimeError for an error."""
        line = await self._reader.readuntil(b"\r\n")
        kind, rest = line[:1], line[1:-2]
        match kind:
            case b"$":
                return None if rest == b"-1" else (await self._reader.readexactly(int(rest) + 2))[:-2]
            case b"*":
                return None if rest == b"-1" else [await self.answer() for _ in range(int(rest))]
            case b":":
                return int(rest)
            case b"-":
                raise RuntimeError(rest.decode())
            case _:
                return rest

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def command(*words: str | bytes | int) -> bytes:
    """A command as bytes."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def _payload() -> bytes:
    return alarms.stored(alarms.new_id(), "panel-0", alarms.account_number(0))


async def unary(line: Line, address: str, callers: int, seconds: float) -> tuple[int, float]:
    """Each of many connections adds one alarm after the other."""
    payload = _payload()

    clients = [await Client.open(address) for _ in range(callers)]

    async def caller(client: Client) -> int:
        count = 0
        while time.monotonic() < end:
            await client.ask("XADD", "alarms", "*", "i", alarms.new_id(), "p", payload)
            count += 1
        return count

    await line.go()
    begun = time.monotonic()
    end = begun + seconds
    counts = await asyncio.gather(*(caller(client) for client in clients))
    seconds = time.monotonic() - begun
    for client in clients:
        client.close()
    return sum(counts), seconds


async def stream(
    line: Line, address: str, ids: Sequence[str], size: int, in_flight: int, once: bool
) -> tuple[float, dict[str, int]]:
    """Add alarms in batches. `once`: find duplicates, by a script; else they are simply added."""
    client, payload = await Client.open(address), _payload()
    sha = await client.ask("SCRIPT", "LOAD", _ONCE)
    batches = []
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        if once:
            batches.append(command("EVALSHA", sha, 0, payload, *batch))
        else:
            batches.append(b"".join(command("XADD", "alarms", "*", "i", each, "p", payload) for each in batch))
    answers = 1 if once else size
    await line.go()
    begun = time.monotonic()
    stored = 0
    for index, batch_bytes in enumerate(batches):
        client.send(batch_bytes)
        if index >= in_flight - 1:
            stored += await _taken(client, answers)
    for _ in range(min(in_flight - 1, len(batches))):
        stored += await _taken(client, answers)
    seconds = time.monotonic() - begun
    client.close()
    return seconds, {"stored": stored, "duplicates": len(ids) - stored, "refused": 0}


async def _taken(client: Client, answers: int) -> int:
    count = 0
    for _ in range(answers):
        answer = await client.answer()
        count += answer if isinstance(answer, int) else 1
    return count


async def fill(line: Line, address: str, count: int) -> None:
    """Make a backlog, with a group that reads it."""
    client, payload = await Client.open(address), _payload()
    await client.ask("CONFIG", "SET", "appendfsync", "everysec")
    await client.ask("XGROUP", "CREATE", *GROUP, 0, "MKSTREAM")
    for start in range(0, count, 1000):
        size = min(1000, count - start)
        client.send(b"".join(command("XADD", "alarms", "*", "i", alarms.new_id(), "p", payload) for _ in range(size)))
        await _taken(client, size)
    await client.ask("CONFIG", "SET", "appendfsync", "always")
    client.close()


async def drain(line: Line, address: str, count: int, page: int) -> float:
    """Read all that waits, and acknowledge each page. Returns the seconds until the last one is durable."""
    client = await Client.open(address)
    read = command("XREADGROUP", "GROUP", GROUP[1], "one", "COUNT", page, "STREAMS", GROUP[0], ">")
    await line.go()
    begun = time.monotonic()
    done, owed = 0, 0
    client.send(read)
    while done < count:
        ((_, entries),) = await client.answer()
        # The next page is asked for together with the acknowledgement of this one.
        client.send(command("XACK", *GROUP, *(entry[0] for entry in entries)) + read)
        done += len(entries)
        if await client.answer() != len(entries):
            owed += 1
    seconds = time.monotonic() - begun
    client.close()
    if owed:
        raise RuntimeError("some were not acknowledged")
    return seconds


async def consume(line: Line, address: str, expected: int) -> dict[str, float]:
    """Wait for alarms, and acknowledge each. Returns when each came, by its id."""
    client, times = await Client.open(address), dict[str, float]()
    await client.ask("XGROUP", "CREATE", *GROUP, "$", "MKSTREAM")
    await line.go()
    while len(times) < expected:
        words = ("XREADGROUP", "GROUP", GROUP[1], "one", "COUNT", 100, "BLOCK", 60_000, "STREAMS", GROUP[0], ">")
        ((_, entries),) = await client.ask(*words)
        now = time.monotonic()
        times |= {entry[1][1].decode(): now for entry in entries}
        await client.ask("XACK", *GROUP, *(entry[0] for entry in entries))
    client.close()
    return times


async def steady(line: Line, address: str, rate: float, count: int) -> dict[str, float]:
    """Add alarms at a steady rate. Returns when each call began, by the alarm's id."""
    client, payload, times = await Client.open(address), _payload(), dict[str, float]()

    async def answers() -> None:
        for _ in range(count):
            await client.answer()

    await line.go()
    reader = asyncio.create_task(answers())
    due = time.monotonic() + 0.2
    for _ in range(count):
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        alarm_id = alarms.new_id()
        raw = command("XADD", "alarms", "*", "i", alarm_id, "p", payload)
        times[alarm_id] = time.monotonic()
        client.send(raw)
        due += 1 / rate
    await reader
    client.close()
    return times
