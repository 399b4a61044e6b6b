"""`hotspare-sim arc --kind surgard` over real sockets, and as a process."""

import asyncio
import json
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from hotspare_model.contact_id import ContactId, Qualifier
from hotspare_model.surgard import Header, encode_contact_id, encode_heartbeat, encode_sia
from hotspare_rpc.address import Address
from hotspare_sim.arc import Behaviour
from hotspare_sim.arc_surgard import SurgardServer
from hotspare_sim.core.answers import Fault
from hotspare_sim.line_log import LineLog, LineTail
from tests.integration.test_sim_arc import DEADLINE, LOOPBACK, connected, started

ALARM = encode_contact_id(Header(), "1234", ContactId(Qualifier.NEW, "130", 1, 15))
BEAT = encode_heartbeat(Header())


async def answers(address: Address, data: bytes, count: int) -> bytes:
    async with connected(address) as (reader, writer):
        writer.write(data)
        async with asyncio.timeout(DEADLINE):
            return await reader.readexactly(count) if count else await reader.read()


async def test_o1_messages_are_answered_in_order_and_logged(tmp_path: Path) -> None:
    tail = LineTail(tmp_path / "log")
    server = SurgardServer(log=LineLog(tmp_path / "log"))
    address = await server.start(LOOPBACK)
    try:
        sia = encode_sia(Header(), "1234", "BA", 7)
        assert await answers(address, BEAT + ALARM + sia + b"rubbish\x14", 4) == b"\x06\x06\x06\x15"
    finally:
        await server.stop()
    beat, contact_id, by_sia, rubbish = tail.read()
    assert (beat["kind"], beat["answered"]) == ("heartbeat", "ack")
    assert (contact_id["account"], contact_id["code"], contact_id["zone"]) == ("1234", "130", 15)
    assert (by_sia["kind"], by_sia["code"], by_sia["zone"]) == ("sia", "BA", 7)
    assert rubbish["problem"].startswith("no message of Sur-Gard")
    assert (server.counts.received, server.counts.acknowledged, server.counts.refused) == (2, 2, 1)


@pytest.mark.parametrize(
    ("fault", "answer"), [(Fault.NAK, b"\x15"), (Fault.TWICE, b"\x06\x06"), (Fault.LATE, b"\x06"), (Fault.CLOSE, b"")]
)
async def test_faults_are_used_up_by_alarms(fault: Fault, answer: bytes) -> None:
    server = SurgardServer(behaviour=Behaviour(fault=fault, fault_count=1, late=timedelta(seconds=0.1)))
    address = await server.start(LOOPBACK)
    try:
        assert await answers(address, ALARM, len(answer)) == answer
        assert await answers(address, ALARM, 1) == b"\x06"
    finally:
        await server.stop()


async def test_s4_a_message_without_an_end_ends_the_connection() -> None:
    server = SurgardServer()
    address = await server.start(LOOPBACK)
    try:
        assert await answers(address, b"5" * 1000, 0) == b""
        assert server.counts.refused == 1
    finally:
        await server.stop()


async def test_the_process_serves_and_tells_its_counts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process, line = await started("arc", "--kind", "surgard", "--listen", "127.0.0.1:0", "--log", str(log))
    try:
        assert line.startswith("serving surgard=127.0.0.1:")
        assert await answers(Address("127.0.0.1", int(line.rpartition(":")[2])), ALARM, 1) == b"\x06"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors) == (0, b"")
    assert out.startswith(b"stopped connections=1 received=1 acknowledged=1")
    assert json.loads(log.read_text())["account"] == "1234"


async def test_s4_a_fault_that_the_format_has_not_is_refused() -> None:
    process, _ = await started("arc", "--kind", "surgard", "--listen", "127.0.0.1:0", "--fault", "wrong-sequence")
    async with asyncio.timeout(DEADLINE):
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"Sur-Gard has no fault" in errors
