"""NATS JetStream with `sync_interval: always`: what was answered is on the disk.

Older versions can't do that, and are left out.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.alarms import alarms
from benchmarks.alarms.hands import Line
from benchmarks.alarms.peers.server import MISSING, PATIENCE, PeerServer, found, version

PROGRAM = found("nats-server", "/usr/sbin/nats-server")
NAME = "NATS JetStream, sync always"
TOO_OLD = "this version can't sync every message, so it is left out"
_CONFIG = 'listen: "{address}"\njetstream {{\n  store_dir: "{folder}"\n  sync_interval: always\n}}\n'


def told() -> str:
    """Its version, or why it is left out."""
    known = version(PROGRAM)
    return known if known == MISSING or usable() else f"{known}: {TOO_OLD}"


def usable() -> bool:
    """Whether it is there, and knows how to sync every message."""
    if PROGRAM is None:
        return False
    text = _CONFIG.format(address="127.0.0.1:4222", folder="/nonexistent")
    # `-t` checks a configuration and ends.
    told = subprocess.run(
        [PROGRAM, "-t", "-c", "/dev/stdin"], input=text, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return told.returncode == 0


class Nats(PeerServer):
    """One server."""

    def prepare(self) -> None:
        """Write its configuration."""
        (self.folder / "conf").write_text(_CONFIG.format(address=self.address, folder=self.folder), encoding="utf-8")

    def command(self) -> Sequence[str]:
        assert PROGRAM is not None
        return [PROGRAM, "-c", str(self.folder / "conf")]


class Client:
    """One connection, with an inbox for its answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._inbox = f"_INBOX.{alarms.new_id()}"
        self._asked = 0
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self.delivered: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        """Messages to other subjects than the inbox: where to acknowledge, and what."""

    @classmethod
    async def open(cls, address: str) -> "Client":
        """Connect."""
        host, _, port = address.partition(":")
        client = cls(*await asyncio.open_connection(host, int(port), limit=1 << 24))
        await client._reader.readline()
        client._writer.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        client._writer.write(f"SUB {client._inbox}.* 1\r\n".encode())
        client._task = asyncio.create_task(client._read())
        return client

    _task: asyncio.Task[None]

    async def publish(self, alarm_id: str, payload: bytes) -> dict[str, Any]:
        """Publish an alarm, and wait until it is stored. Its id finds duplicates."""
        head = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % alarm_id.encode()
        return await self._answered("alarms.one", payload, head)

    async def api(self, what: str, **request: Any) -> dict[str, Any]:
        """Ask JetStream."""
        return await self._answered(f"$JS.API.{what}", json.dumps(request).encode())

    def subscribe(self, subject: str) -> None:
        """Get what is sent to a subject."""
        self._writer.write(f"SUB {subject} 2\r\n".encode())

    def acknowledge(self, subject: str) -> None:
        """Say that a message was taken."""
        self._writer.write(f"PUB {subject} 4\r\n+ACK\r\n".encode())

    def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        self._writer.close()

    async def _answered(self, subject: str, payload: bytes, head: bytes = b"") -> dict[str, Any]:
        self._asked += 1
        reply = f"{self._inbox}.{self._asked}"
        waiting = self._waiting[reply] = asyncio.get_running_loop().create_future()
        verb, sizes = ("HPUB", f"{len(head)} {len(head) + len(payload)}") if head else ("PUB", f"{len(payload)}")
        self._writer.write(f"{verb} {subject} {reply} {sizes}\r\n".encode() + head + payload + b"\r\n")
        answer: dict[str, Any] = json.loads(await waiting)
        if "error" in answer:
            raise RuntimeError(str(answer["error"]))
        return answer

    async def _read(self) -> None:
        while line := await self._reader.readline():
            words = line.decode().split()
            match words[:1]:
                case ["PING"]:
                    self._writer.write(b"PONG\r\n")
                case ["MSG" | "HMSG"]:
                    body = (await self._reader.readexactly(int(words[-1]) + 2))[:-2]
                    if words[0] == "HMSG":
                        body = body[int(words[-2]) :]
                    if (waiting := self._waiting.pop(words[1], None)) is not None:
                        waiting.set_result(body)
                    else:
                        reply = words[3] if len(words) > (4 if words[0] == "MSG" else 5) else ""
                        self.delivered.put_nowait((reply, body))
                case ["-ERR"]:
                    raise RuntimeError(line.decode())
                case _:
                    pass


def _payload(alarm_id: str) -> bytes:
    return alarms.stored(alarm_id, "panel-0", alarms.account_number(0))


async def prepare(line: Line, address: str) -> None:
    """Make the stream."""
    client = await Client.open(address)
    await client.api("STREAM.CREATE.ALARMS", name="ALARMS", subjects=["alarms.*"], storage="file", num_replicas=1)
    client.close()


async def unary(line: Line, address: str, callers: int, seconds: float) -> tuple[int, float]:
    """Each of many callers publishes one alarm after the other, over one connection."""
    client = await Client.open(address)

    async def caller() -> int:
        count = 0
        while time.monotonic() < end:
            alarm_id = alarms.new_id()
            await client.publish(alarm_id, _payload(alarm_id))
            count += 1
        return count

    await line.go()
    begun = time.monotonic()
    end = begun + seconds
    counts = await asyncio.gather(*(caller() for _ in range(callers)))
    client.close()
    return sum(counts), time.monotonic() - begun


async def consume(line: Line, address: str, expected: int) -> dict[str, float]:
    """Wait for alarms, and acknowledge each. Returns when each came, by its payload's id."""
    client, times = await Client.open(address), dict[str, float]()
    client.subscribe("to.arc")
    config = {"deliver_subject": "to.arc", "ack_policy": "explicit", "deliver_policy": "all", "durable_name": "arc"}
    await client.api("CONSUMER.DURABLE.CREATE.ALARMS.arc", stream_name="ALARMS", config=config)
    await line.go()
    while len(times) < expected:
        reply, body = await client.delivered.get()
        times[alarms.id_of(body)] = time.monotonic()
        client.acknowledge(reply)
    client.close()
    return times


async def steady(line: Line, address: str, rate: float, count: int) -> dict[str, float]:
    """Publish at a steady rate. Returns when each call began, by the alarm's id."""
    client, times = await Client.open(address), dict[str, float]()
    await line.go()
    due, running = time.monotonic() + 0.2, []
    for _ in range(count):
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        alarm_id = alarms.new_id()
        payload = _payload(alarm_id)
        times[alarm_id] = time.monotonic()
        running.append(asyncio.create_task(client.publish(alarm_id, payload)))
        due += 1 / rate
    await asyncio.gather(*running)
    client.close()
    return times
