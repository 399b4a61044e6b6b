"""The process `hotspare-receiver`: what it prints, how it ends, and its one-line errors."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.integration.test_receiver_desk_support import DEADLINE

COMMAND = (sys.executable, "-m", "hotspare_receiver.main", "serve")
READY = re.compile(rb"serving grpc=(127\.0\.0\.1:[0-9]+) metrics=(127\.0\.0\.1:[0-9]+)\n")


@contextlib.asynccontextmanager
async def process(data: Path, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command; it is killed in the end if it still runs."""
    arguments = (*COMMAND, "--data", str(data), *more)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*arguments, stdout=pipe, stderr=pipe)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()


async def refusal(data: Path, *more: str) -> bytes:
    """The one line by which a start is refused."""
    async with asyncio.timeout(DEADLINE), process(data, "--log-level", "error", *more) as child:
        out, err = await child.communicate()
    assert (child.returncode, out) == (1, b"")
    assert err.count(b"\n") == 1, err
    return err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_tells_where_it_serves_and_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    more = ("--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
    async with asyncio.timeout(DEADLINE), process(tmp_path / "r", *more) as child:
        assert child.stdout is not None
        ready = READY.fullmatch(await child.stdout.readline())
        assert ready is not None
        async with grpc.aio.insecure_channel(ready[1].decode()) as channel:
            await asyncio.wait_for(channel.channel_ready(), DEADLINE)
        reader, writer = await asyncio.open_connection(*ready[2].decode().split(":"))
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = await reader.read()
        writer.close()
        assert b"hotspare_receiver_epoch 0.0" in page
        assert b"grpc_server_handled_total" in page
        in_use = await refusal(tmp_path / "r", "--listen", "127.0.0.1:0")
        assert f"in use by a running process (pid {child.pid})".encode() in in_use
        taken = await refusal(tmp_path / "other", "--listen", ready[1].decode())
        assert b"in use" in taken
        child.send_signal(number)
        await child.communicate()
        assert child.returncode == 0


async def test_s3_a_public_address_without_tls_is_refused(tmp_path: Path) -> None:
    assert b"without TLS" in await refusal(tmp_path / "r", "--listen", "0.0.0.0:0")


async def test_a_data_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert b"can't be used" in await refusal(tmp_path / "file" / "r", "--listen", "127.0.0.1:0")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_data_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)  # noqa: ASYNC240 - quick
    assert b"can't be used" in await refusal(tmp_path / "r", "--listen", "127.0.0.1:0")
