"""`hotspare-sim arc` over real sockets, and as a process."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hotspare_model.contact_id import ContactId
from hotspare_model.dc09 import Frame, encode
from hotspare_model.dc09_adm_cid import adm_cid_frame
from hotspare_model.dc09_reply import ReplyKind, parse_reply
from hotspare_rpc.address import Address, ListenError
from hotspare_sim.arc import ArcServer, Behaviour, Keys
from hotspare_sim.core.answers import Fault
from hotspare_sim.line_log import LineLog, LineTail

LOOPBACK = Address("127.0.0.1", 0)
SIM = Path(sys.executable).parent / "hotspare-sim"
DEADLINE = 20


def alarm(sequence: int, *, account: str = "1A2B", encrypted: bool = False) -> Frame:
    return adm_cid_frame(
        account=account,
        contact_id=ContactId.from_code("1130", 1, 15),
        sequence=sequence,
        sent_at=datetime.now(UTC),
        line="1",
        encrypted=encrypted,
    )


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def reply_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(DEADLINE):
        return await reader.readuntil(b"\r")


async def test_o1_messages_in_one_piece_are_answered_in_order_and_logged_before(tmp_path: Path) -> None:
    log, tail = LineLog(tmp_path / "log"), LineTail(tmp_path / "log")
    server = ArcServer(log=log)
    address = await server.start(LOOPBACK)
    try:
        async with connected(address) as (reader, writer):
            writer.write(b"noise" + b"".join(encode(alarm(sequence)) for sequence in (1, 2, 3)))
            for sequence in (1, 2, 3):
                assert parse_reply(await reply_of(reader)).sequence == sequence
            assert [entry["sequence"] for entry in tail.read()] == [1, 2, 3]
            writer.write(encode(alarm(2)))
            await reply_of(reader)
    finally:
        await server.stop()
    assert (server.counts.received, server.counts.acknowledged, server.counts.repeated) == (4, 4, 1)


async def test_o1_accounts_with_and_without_a_key_share_a_server() -> None:
    key = bytes(range(32))
    server = ArcServer(keys=Keys(accounts={"00FF": key}))
    address = await server.start(LOOPBACK)
    try:
        async with connected(address) as (reader, writer):
            writer.write(encode(alarm(1, account="00FF", encrypted=True), key, bytes))
            assert parse_reply(await reply_of(reader), key).kind is ReplyKind.ACK
            writer.write(encode(alarm(1, account="00FF")))
            assert parse_reply(await reply_of(reader)).kind is ReplyKind.DUH
            writer.write(encode(alarm(1)))
            assert parse_reply(await reply_of(reader)).kind is ReplyKind.ACK
    finally:
        await server.stop()


async def test_a_fault_of_one_alarm_meets_supervision_but_is_used_up_by_alarms_only() -> None:
    server = ArcServer(behaviour=Behaviour(fault=Fault.DUH, fault_count=1))
    address = await server.start(LOOPBACK)
    kinds = []
    try:
        async with connected(address) as (reader, writer):
            for frame in (Frame("NULL", 0, line="1", account="1A2B"), alarm(1), alarm(1)):
                writer.write(encode(frame))
                kinds.append(parse_reply(await reply_of(reader)).kind)
    finally:
        await server.stop()
    assert kinds == [ReplyKind.DUH, ReplyKind.DUH, ReplyKind.ACK]


async def test_the_delay_comes_before_each_answer() -> None:
    server = ArcServer(behaviour=Behaviour(delay=timedelta(seconds=0.2)))
    address = await server.start(LOOPBACK)
    loop = asyncio.get_running_loop()
    try:
        async with connected(address) as (reader, writer):
            begun = loop.time()
            writer.write(encode(alarm(1)) + encode(alarm(2)))
            await reply_of(reader)
            await reply_of(reader)
            assert loop.time() - begun >= 0.4
    finally:
        await server.stop()


async def test_a4_what_cannot_be_written_down_is_not_acknowledged() -> None:
    complaints: list[str] = []
    server = ArcServer(log=LineLog(Path("/dev/full")), complain=complaints.append)
    address = await server.start(LOOPBACK)
    try:
        async with connected(address) as (reader, writer):
            writer.write(encode(alarm(1)))
            async with asyncio.timeout(DEADLINE):
                assert await reader.read() == b""
    finally:
        await server.stop()
    assert complaints == ["cannot write the log: No space left on device"]
    assert server.counts.acknowledged == 0


async def test_s4_one_endless_frame_harms_no_other_connection() -> None:
    server = ArcServer()
    address = await server.start(LOOPBACK)
    try:
        async with connected(address) as (_, flood), connected(address) as (reader, writer):
            flood.write(b"\n" + b"x" * 1_000_000)
            writer.write(encode(alarm(1)))
            assert parse_reply(await reply_of(reader)).kind is ReplyKind.ACK
    finally:
        await server.stop()


async def test_a_second_server_on_the_port_is_refused() -> None:
    server = ArcServer()
    address = await server.start(LOOPBACK)
    try:
        with pytest.raises(ListenError, match=f"cannot listen at {address}"):
            await ArcServer().start(address)
    finally:
        await server.stop()


async def started(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        SIM, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        return process, (await process.stdout.readline()).decode().strip()


async def test_the_process_tells_its_address_and_stops_on_sigterm_with_its_counts(tmp_path: Path) -> None:
    key_file, log = tmp_path / "key", tmp_path / "log"
    key_file.touch(mode=0o600)
    key_file.write_text("00112233445566778899AABBCCDDEEFF\n")
    process, line = await started(
        "arc", "--listen", "127.0.0.1:0", "--account-key", f"00ff={key_file}", "--log", str(log)
    )
    try:
        assert line.startswith("serving dc09=127.0.0.1:")
        address = Address("127.0.0.1", int(line.rpartition(":")[2]))
        async with connected(address) as (reader, writer):
            writer.write(encode(alarm(9)))
            await reply_of(reader)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE):
                out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors) == (0, b"")
    assert out.startswith(b"stopped connections=1 received=1 acknowledged=1 repeated=0")
    assert json.loads(log.read_text())["answered"] == "ack"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--listen", "here"), "'here' is no address"),
        (("--listen", "127.0.0.1:0", "--fault-count", "3"), "--fault-count goes with --fault"),
        (("--listen", "127.0.0.1:0", "--account-key", "00FF"), "is not ACCOUNT=FILE"),
        (("--listen", "127.0.0.1:0", "--key-file", "pyproject.toml"), "chmod 600 pyproject.toml"),
        (("--listen", "127.0.0.1:0", "--log", "/proc/none/log"), "cannot write /proc/none/log"),
    ],
)
async def test_s4_a_wrong_option_gets_a_clear_error(arguments: tuple[str, ...], problem: str) -> None:
    process = await asyncio.create_subprocess_exec(
        SIM, "arc", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE):
        _, errors = await process.communicate()
    assert process.returncode != 0
    assert problem in errors.decode()
    assert "Traceback" not in errors.decode()
