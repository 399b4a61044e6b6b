"""Peers that stop, die, are slow or come back: found and met again within seconds."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from hotspare_rpc.address import Address
from hotspare_rpc.channel import open_channel
from hotspare_rpc.tls import ChannelTls, ServerTls
from hotspare_rpc.transport import FASTEST_PING_MS, KEEPALIVE_OPTIONS
from tests.integration.test_rpc_support import (
    DEADLINE,
    Authority,
    Probe,
    ProbeClient,
    serving,
    wait_until,
)

FOUND_WITHIN = 5.0
ROOT = Path(__file__).resolve().parents[2]

SERVER = """
import asyncio
from tests.integration.test_rpc_support import *
async def main():
    async def both(requests, context):
        async for request in requests:
            yield request
    async with serving(Probe(both=both)) as served:
        print(served.address, flush=True)
        await asyncio.sleep(120)
asyncio.run(main())
"""

CLIENT = """
import asyncio, sys
from tests.integration.test_rpc_support import *
async def main():
    async with open_channel(sys.argv[1], None) as channel:
        call = ProbeClient(channel).both_call()
        await call.write("a")
        print(await call.read(), flush=True)
        await asyncio.sleep(120)
asyncio.run(main())
"""


@asynccontextmanager
async def python(program: str, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a program; give it with its first line, and kill it in the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process, (await asyncio.wait_for(process.stdout.readline(), DEADLINE)).decode().strip()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_stopped_server_is_found_by_its_client() -> None:
    async with python(SERVER) as (process, address), open_channel(address, None) as channel:
        call = ProbeClient(channel).both_call()
        await call.write("a")
        assert await call.read() == "a"
        process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call.read(), 3 * FOUND_WITHIN)
        assert time.monotonic() - stopped < FOUND_WITHIN
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_stopped_client_is_found_by_its_server() -> None:
    ended: list[float] = []

    async def both(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            async for request in requests:
                yield request
        finally:
            ended.append(time.monotonic())

    async with serving(Probe(both=both)) as served, python(CLIENT, served.address) as (process, line):
        assert line == "a"
        process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        await wait_until(lambda: ended != [], 3 * FOUND_WITHIN)
        assert ended[0] - stopped < FOUND_WITHIN


@pytest.mark.full
async def test_pings_on_an_idle_connection_are_no_offence() -> None:
    """Without its side of the settings a server ends such a client with `too_many_pings` after three."""

    async def both(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield request

    # gRPC pings once a second at most; the fourth ping would be the one too many.
    options = tuple((dict(KEEPALIVE_OPTIONS) | {"grpc.keepalive_time_ms": 1000}).items())
    async with serving(Probe(both=both)) as served, grpc.aio.insecure_channel(served.address, options) as channel:
        call = ProbeClient(channel).both_call()
        await call.write("a")
        assert await call.read() == "a"
        with pytest.raises(TimeoutError):  # and not AioRpcError
            await asyncio.wait_for(call.read(), 6)
    assert FASTEST_PING_MS < 1000 <= dict(KEEPALIVE_OPTIONS)["grpc.keepalive_time_ms"]


async def test_a_client_meets_a_server_that_was_started_anew() -> None:
    async def one(request: Any, context: Any) -> Any:
        return StringValue(value="x")

    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    async with open_channel(f"127.0.0.1:{port}", None) as channel:
        # Long enough for the backoff to reach its greatest value.
        failures = 0
        began = time.monotonic()
        while time.monotonic() - began < 3:
            with suppress(grpc.aio.AioRpcError):
                await ProbeClient(channel).one()
            failures += 1
            await asyncio.sleep(0.2)
        assert failures > 5
        async with serving(Probe(one), listen=Address("127.0.0.1", port)):
            served = time.monotonic()
            await ProbeClient(channel).one_call("a", wait_for_ready=True, timeout=DEADLINE)
            assert time.monotonic() - served < 2.0


@pytest.mark.full
async def test_a_client_tries_every_second_however_long_its_server_is_away() -> None:
    attempts: list[float] = []

    def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.append(time.monotonic())
        writer.close()

    refusing = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with refusing, open_channel(f"127.0.0.1:{refusing.sockets[0].getsockname()[1]}", None) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await ProbeClient(channel).one_call("a", wait_for_ready=True, timeout=12)
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert max(gaps) < 1.5
    assert min(gaps) > 0.1


@asynccontextmanager
async def slow_link(address: str, delay: float) -> AsyncIterator[str]:
    """A TCP proxy that delays each piece by `delay` seconds, each way."""
    host, _, port = address.rpartition(":")
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await reader.read(65536):
                loop.call_later(delay, writer.write, data)
        loop.call_later(delay, writer.close)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * delay)  # what the handshake of TCP would take
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(relay(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_slow_link_is_no_dead_one(tmp_path: Path) -> None:
    """A round trip of 600 ms, as over a satellite: TCP, TLS and HTTP/2 take about two seconds to connect."""
    ca = Authority.make()
    cert, key = ca.issue("server")
    (tmp_path / "crt").write_bytes(cert)
    (tmp_path / "key").write_bytes(key)

    async def one(request: Any, context: Any) -> Any:
        return request

    async with (
        serving(
            Probe(one), tls=ServerTls(tmp_path / "crt", tmp_path / "key"), channel_tls=ChannelTls(ca.pem)
        ) as served,
        slow_link(served.address, 0.3) as address,
        open_channel(address, ChannelTls(ca.pem)) as channel,
    ):
        assert await ProbeClient(channel).one_call("x", wait_for_ready=True, timeout=DEADLINE) == "x"
