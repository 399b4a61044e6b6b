"""PostgreSQL: a batch is one INSERT from arrays in a transaction of its own; a unique index finds duplicates."""

import asyncio
import struct
import subprocess
import time
from collections.abc import Sequence
from itertools import count as counting
from pathlib import Path

from benchmarks.alarms import alarms
from benchmarks.alarms.hands import Line
from benchmarks.alarms.peers.server import GUARD, PATIENCE, PeerServer, as_user, found, reachable, version

PROGRAM = found("postgres", "/usr/lib/postgresql/*/bin/postgres")
NAME = "PostgreSQL, unnest"
_TABLE = """
CREATE TABLE alarm (
    number bigserial PRIMARY KEY, device_id text NOT NULL, alarm_id uuid NOT NULL, payload bytea NOT NULL,
    state int NOT NULL DEFAULT 0, UNIQUE (device_id, alarm_id));
CREATE INDEX waiting ON alarm (number) WHERE state = 0
"""
_INSERT = """
INSERT INTO alarm (device_id, alarm_id, payload)
SELECT 'panel-0', * FROM unnest($1::uuid[], $2::bytea[]) ON CONFLICT DO NOTHING RETURNING number
"""
_PAGE = "SELECT number, payload FROM alarm WHERE state = 0 AND number > $1::bigint ORDER BY number LIMIT $2::int"
_CONFIRM = "UPDATE alarm SET state = 1 WHERE number BETWEEN $1::bigint AND $2::bigint AND state = 0"


USER = "postgres"
"""By whom it is run where root runs the benchmark: it refuses to run as root."""
OUT_OF_REACH = "left out, for its user can't reach the folder of the benchmark (--data names another)"


def told(folder: Path) -> str:
    """Its version, or why it is left out."""
    known = version(PROGRAM)
    return known if PROGRAM is None or usable(folder) else f"{known}: {OUT_OF_REACH}"


def usable(folder: Path) -> bool:
    """Whether it is there, and can store below that folder."""
    return PROGRAM is not None and reachable(USER, folder)


class Postgres(PeerServer):
    """One cluster with its defaults: fsync and synchronous_commit are on."""

    def prepare(self) -> None:
        """Make the cluster, and let its user reach it."""
        assert PROGRAM is not None
        initdb = found("initdb", "/usr/lib/postgresql/*/bin/initdb")
        words = [str(initdb), "--pgdata", str(self.folder / "data"), "--auth=trust", "--username=postgres", "--no-sync"]
        self._user = as_user(USER, self.folder)
        made = subprocess.run(
            [*self._user, *words, "--encoding=UTF8"], capture_output=True, text=True, timeout=60, check=False
        )
        if made.returncode:
            raise RuntimeError(f"initdb: {made.stderr}")

    def command(self) -> Sequence[str]:
        assert PROGRAM is not None
        set_to = (f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
        settings = [word for each in set_to for word in ("-c", each)]
        # The guard of `PeerServer` does not outlast the change of the user.
        user = [*self._user, *GUARD[1:]] if self._user else []
        return [*user, PROGRAM, "-D", str(self.folder / "data"), *settings]


class Client:
    """One connection, by the extended protocol (version 3.0)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str) -> "Client":
        """Connect, also while the server is still starting."""
        host, _, port = address.partition(":")
        deadline = time.monotonic() + PATIENCE
        while True:
            client = cls(*await asyncio.open_connection(host, int(port), limit=1 << 24))
            words = b"user\0postgres\0database\0postgres\0\0"
            client._writer.write(struct.pack("!ii", len(words) + 8, 196608) + words)
            try:
                await client.rows()
                return client
            except RuntimeError:
                client.close()
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    async def run(self, statements: str) -> None:
        """Run statements one after another."""
        for statement in statements.split(";"):
            await self.prepare(b"", statement)
            self.execute(b"")
            await self.rows()

    async def prepare(self, name: bytes, statement: str) -> None:
        """Prepare a statement."""
        self._writer.write(_message(b"P", name + b"\0" + statement.encode() + b"\0" + b"\0\0") + _message(b"S"))
        await self.rows()

    def execute(self, name: bytes, *values: bytes) -> None:
        """Execute a prepared statement in a transaction of its own; `rows` gets what it returns."""
        given = b"".join(struct.pack("!i", len(value)) + value for value in values)
        bind = b"\0" + name + b"\0" + struct.pack("!hh", 0, len(values)) + given + struct.pack("!h", 0)
        self._writer.write(_message(b"B", bind) + _message(b"E", b"\0" + struct.pack("!i", 0)) + _message(b"S"))

    async def rows(self) -> list[list[bytes]]:
        """What the oldest execution returns, once it is committed. Raises RuntimeError for an error."""
        rows: list[list[bytes]] = []
        problem = b""
        while True:
            kind, length = struct.unpack("!ci", await self._reader.readexactly(5))
            body = await self._reader.readexactly(length - 4)
            if kind == b"D":
                rows.append(_columns(body))
            elif kind == b"E":
                problem = body.replace(b"\0", b" ")
                if b"C57P03" in problem:
                    raise RuntimeError("it is starting")
            elif kind == b"Z":
                if problem:
                    raise RuntimeError(problem.decode(errors="replace"))
                return rows

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _columns(body: bytes) -> list[bytes]:
    columns, place = [], 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        (length,) = struct.unpack_from("!i", body, place)
        place += 4
        columns.append(body[place : place + length] if length >= 0 else b"")
        place += max(length, 0)
    return columns


def arrays(ids: Sequence[str], payload: bytes) -> tuple[bytes, bytes]:
    """A batch as the two arrays of the INSERT, in text."""
    one = b'"\\\\x%b"' % payload.hex().encode()
    return b"{%b}" % ",".join(ids).encode(), b"{%b}" % b",".join([one] * len(ids))


def _payload() -> bytes:
    return alarms.stored(alarms.new_id(), "panel-0", alarms.account_number(0))


async def prepare(line: Line, address: str) -> None:
    """Make the table."""
    client = await Client.open(address)
    await client.run(_TABLE)
    client.close()


async def stream(
    line: Line, address: str, ids: Sequence[str], size: int, in_flight: int
) -> tuple[float, dict[str, int]]:
    """Insert alarms in batches, each connection one batch at a time."""
    payload = _payload()
    batches = [arrays(ids[start : start + size], payload) for start in range(0, len(ids), size)]
    clients = [await Client.open(address) for _ in range(in_flight)]
    for client in clients:
        await client.prepare(b"i", _INSERT)
    turn = counting()

    async def worker(client: Client) -> int:
        stored = 0
        while (index := next(turn)) < len(batches):
            client.execute(b"i", *batches[index])
            stored += len(await client.rows())
        return stored

    await line.go()
    begun = time.monotonic()
    stored = sum(await asyncio.gather(*(worker(client) for client in clients)))
    seconds = time.monotonic() - begun
    for client in clients:
        client.close()
    return seconds, {"stored": stored, "duplicates": len(ids) - stored, "refused": 0}


async def fill(line: Line, address: str, count: int) -> None:
    """Make a backlog."""
    client, payload = await Client.open(address), _payload()
    await client.prepare(b"i", _INSERT)
    for start in range(0, count, 5000):
        ids = [alarms.new_id() for _ in range(min(5000, count - start))]
        client.execute(b"i", *arrays(ids, payload))
        await client.rows()
    client.execute(b"i", b"{}", b"{}")
    await client.rows()
    await client.run("ANALYZE alarm")
    client.close()


async def drain(line: Line, address: str, count: int, page: int) -> float:
    """Read all that waits page by page, and note each page as confirmed. Returns the seconds until the last one is."""
    client = await Client.open(address)
    await client.prepare(b"p", _PAGE)
    await client.prepare(b"c", _CONFIRM)
    await line.go()
    begun = time.monotonic()
    done, after, size = 0, 0, str(page).encode()
    client.execute(b"p", b"0", size)
    while done < count:
        rows = await client.rows()
        first, after = int(rows[0][0]), int(rows[-1][0])
        # The next page is asked for together with the confirmation of this one.
        client.execute(b"c", str(first).encode(), str(after).encode())
        client.execute(b"p", str(after).encode(), size)
        await client.rows()
        done += len(rows)
    seconds = time.monotonic() - begun
    client.close()
    return seconds
