"""The DC-09 listener on sockets: its answers, its port, and that nobody harms another panel (D1, S4)."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hotspare_model.alarm import AlarmPath
from hotspare_model.dc09_reply import Reply, ReplyKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_receiver.core import dc09_stream
from hotspare_receiver.core.dc09_accounts import AccountTable, PanelAccount
from hotspare_receiver.core.dc09_window import TimeWindow
from hotspare_receiver.direct import listener as listener_module
from hotspare_receiver.direct import listener_desk, listener_tcp
from hotspare_receiver.direct.listener import ListenSettings
from hotspare_rpc.address import Address
from tests.integration.panels import ACCOUNTS, KEY, Station, TcpPanel, UdpPanel, alarm, encoded, poll

DATA = Path(__file__).parent.parent / "data"

NOT_HARMED = 1.0
"""Seconds within which a panel is answered while others do their worst; on a quiet machine it takes some 2 ms."""


@pytest.fixture
async def station() -> AsyncIterator[Station]:
    station = Station()
    yield station
    await station.listener.stop()


async def eventually(condition: Callable[[], bool], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


# --- Answers ---


async def test_d1_a_panel_is_acknowledged_over_tcp_and_udp_on_one_address(station: Station) -> None:
    address = await station.open()
    tcp, udp = await TcpPanel.connect(address), await UdpPanel.connect(address)
    assert (await tcp.ask(alarm("1130"))).kind is ReplyKind.ACK
    udp.say(encoded(alarm("1131", "BBB", 2)))
    answer = await udp.answer()
    assert (answer.kind, answer.account, answer.sequence) == (ReplyKind.ACK, "BBB", 2)
    assert [(taken.alarm.device_id, taken.alarm.code, taken.sequence) for taken in station.intake.taken] == [
        ("panel-clear", "130", "0001"), ("panel-other", "131", "0002"),
    ]  # fmt: skip
    assert all(taken.path is AlarmPath.DIRECT_DC09 and taken.raw and taken.stamped for taken in station.intake.taken)
    assert (station.count("taken", "ack"), station.count("taken", "ack", "udp")) == (1, 1)
    tcp.close()
    udp.close()


async def test_d1_an_encrypted_panel_is_acknowledged_in_kind(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    answer = await panel.ask(alarm("1130", "B12345"), KEY)
    assert (answer.kind, answer.encrypted) == (ReplyKind.ACK, True)
    panel.close()


async def test_d1_supervision_is_a_sign_of_life_of_a_known_account(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    assert (await panel.ask(poll())).kind is ReplyKind.ACK
    await panel.say(encoded(poll("DEAD")))
    assert await panel.silent()
    assert station.intake.beats == [("panel-clear", AlarmPath.DIRECT_DC09)]
    panel.close()


async def test_d1_many_frames_in_one_segment_and_one_in_many_are_answered_in_order(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    data = b"".join(encoded(alarm(f"1{100 + number}", sequence=number)) for number in range(1, 31))
    await panel.say(data[:700])
    for byte in data[700:760]:
        await panel.say(bytes([byte]))
        await asyncio.sleep(0)
    await panel.say(data[760:])
    assert [(await panel.answer()).sequence for _ in range(30)] == list(range(1, 31))
    assert station.intake.codes == [f"{100 + number}" for number in range(1, 31)]
    panel.close()


async def test_d1_an_alarm_is_acknowledged_only_when_it_is_durable(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    station.intake.gate = asyncio.Event()
    await panel.say(encoded(alarm()))
    await eventually(lambda: station.intake.waiting == 1)
    assert await panel.silent()
    station.intake.gate.set()
    assert (await panel.answer()).kind is ReplyKind.ACK
    panel.close()


@pytest.mark.parametrize(
    "error",
    [
        HotspareError(Reason.CLOUD_UNREACHABLE, "no way"),
        HotspareError(Reason.DISK_LOW, "full"),
        RuntimeError("a defect"),
    ],
)
async def test_d1_what_is_not_durable_gets_no_answer_and_is_taken_when_it_comes_again(
    station: Station, error: Exception
) -> None:
    panel = await TcpPanel.connect(await station.open())
    raw = encoded(alarm(account="B12345"), KEY)
    station.intake.error = error
    await panel.say(raw)
    assert await panel.silent()
    station.intake.error = None
    await panel.say(raw)
    assert (await panel.answer(KEY)).kind is ReplyKind.ACK
    assert (len(station.intake.taken), station.count("unavailable")) == (1, 1)
    panel.close()


async def test_d1_an_alarm_that_is_refused_for_good_gets_duh(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    station.intake.error = field_invalid("alarm", "is not to be mended")
    assert (await panel.ask(alarm())).kind is ReplyKind.DUH
    panel.close()


async def test_d1_nothing_is_taken_while_the_intake_is_not_open(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    station.intake.open = False
    await panel.say(encoded(alarm()) + encoded(poll()))
    assert await panel.silent()
    assert (station.intake.taken, station.intake.beats, station.count("unavailable")) == ([], [], 2)
    panel.close()


async def test_d1_a_wrong_time_gets_a_nak_with_ours(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    answer = await panel.ask(alarm(account="B12345", at=datetime.now(UTC) - timedelta(hours=1)), KEY)
    assert answer.kind is ReplyKind.NAK
    assert answer.timestamp is not None
    assert abs((answer.timestamp - datetime.now(UTC)).total_seconds()) < 5
    panel.close()


async def test_d1_a_window_that_is_set_counts_at_once(station: Station) -> None:
    address = await station.open()
    panel = await TcpPanel.connect(address)
    late = alarm(account="B12345", at=datetime.now(UTC) - timedelta(hours=1))
    assert (await panel.ask(late, KEY)).kind is ReplyKind.NAK
    settings = ListenSettings(True, Address("127.0.0.1", 0), TimeWindow(off=True))
    assert await station.open(settings) == address
    assert (await panel.ask(late, KEY)).kind is ReplyKind.ACK
    panel.close()


# --- Refusals ---


@pytest.mark.parametrize(
    "line",
    [line for line in (DATA / "dc09-refuse.txt").read_bytes().splitlines() if not line.startswith(b"# ")],
)
async def test_s4_what_no_one_can_trust_gets_no_answer_and_the_panel_beside_it_does(
    station: Station, line: bytes
) -> None:
    address = await station.open(ListenSettings(True, Address("127.0.0.1", 0), TimeWindow(off=True)))
    station.table = AccountTable([*ACCOUNTS, PanelAccount("4F39", "panel-eldes")])
    tcp, udp, other = await TcpPanel.connect(address), await UdpPanel.connect(address), await TcpPanel.connect(address)
    for raw in (b"\n" + line + b"\r", line):
        await tcp.say(raw)
        udp.say(raw)
    assert (await other.ask(poll())).kind is ReplyKind.ACK
    assert await tcp.silent()
    assert udp.answers.empty()
    assert station.intake.taken == []
    # What is said on the same connection afterwards is heard.
    assert (await tcp.ask(alarm())).kind is ReplyKind.ACK
    tcp.close()
    udp.close()
    other.close()


async def test_s4_refusals_are_told_once_each_and_counted_always(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    for _ in range(3):
        await panel.say(encoded(alarm(account="DEAD")))
        await panel.say(encoded(poll("B12345")))
    await eventually(lambda: station.count("clear_text_refused") == 3)
    assert station.count("unknown_account") == 3
    assert sorted(station.told) == [("clear_text_refused", "B12345"), ("unknown_account", "DEAD")]
    panel.close()


async def test_s4_who_guesses_accounts_is_told_slowly_and_closed(station: Station) -> None:
    address = await station.open()
    for _ in range(5):
        panel = await TcpPanel.connect(address)
        data = b"".join(encoded(poll(f"D{os.urandom(4).hex()}")) for _ in range(dc09_stream.STRIKES))
        await panel.say(data)
        assert await panel.ended()
        panel.close()
    snapshot = station.listener.snapshot()
    assert (station.count("unknown_account"), snapshot.spoiled) == (100, 5)
    assert len(station.told) == 20
    assert snapshot.untold == 80


async def test_s4_a_replay_gets_no_answer_from_another_address(station: Station) -> None:
    address = await station.open()
    panel, thief = await UdpPanel.connect(address), await _from("127.0.0.2", address)
    raw = encoded(alarm(account="B12345"), KEY)
    panel.say(raw)
    assert (await panel.answer(KEY)).kind is ReplyKind.ACK
    thief.say(raw)
    await eventually(lambda: station.count("replay", transport="udp") == 1)
    panel.say(raw)
    assert (await panel.answer(KEY)).kind is ReplyKind.ACK
    assert thief.answers.empty()
    assert (len(station.intake.taken), station.count("again", "ack", "udp")) == (1, 1)
    assert station.told == [("replay", "B12345")]
    panel.close()
    thief.close()


async def _from(host: str, address: Address) -> UdpPanel:
    loop = asyncio.get_running_loop()
    transport, panel = await loop.create_datagram_endpoint(
        UdpPanel, local_addr=(host, 0), remote_addr=(address.host, address.port)
    )
    panel._transport = transport
    return panel


# --- The port ---


async def test_d1_the_port_is_open_only_where_direct_devices_are_taken(station: Station) -> None:
    address = await station.open()
    settings = ListenSettings(True, address)
    panel = await TcpPanel.connect(address)
    assert (await panel.ask(poll())).kind is ReplyKind.ACK
    for closing in ((settings, False), (ListenSettings(False, address), True), (ListenSettings(True, None), True)):
        await station.listener.apply(*closing)
        assert station.listener.address == ""
        assert await panel.ended()
        with pytest.raises(ConnectionRefusedError):
            await TcpPanel.connect(address)
        await station.listener.apply(settings, True)
        panel = await TcpPanel.connect(address)
        assert (await panel.ask(poll())).kind is ReplyKind.ACK
        udp = await UdpPanel.connect(address)
        udp.say(encoded(poll()))
        assert (await udp.answer()).kind is ReplyKind.ACK
        udp.close()
    panel.close()


async def test_d1_a_port_that_is_taken_is_told_and_opened_when_it_is_free(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "RETRY", 0.02)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await station.listener.apply(ListenSettings(True, Address("127.0.0.1", port)), True)
    assert f"127.0.0.1:{port}" in station.listener.snapshot().problem
    server.close()
    await server.wait_closed()
    await eventually(lambda: station.listener.address != "")
    assert station.listener.snapshot().problem == ""


async def test_d1_what_is_under_way_when_the_port_closes_gets_no_answer(station: Station) -> None:
    panel = await TcpPanel.connect(await station.open())
    station.intake.gate = asyncio.Event()
    await panel.say(encoded(alarm()))
    await eventually(lambda: station.intake.waiting == 1)
    await station.listener.stop()
    assert (await panel.reader.read(), station.intake.waiting) == (b"", 0)
    panel.close()


# --- Nobody else is harmed ---


async def answered_in(panel: TcpPanel) -> float:
    """Seconds that a panel waits for its answer."""
    began = time.monotonic()
    assert (await panel.ask(poll("BBB"))).kind is ReplyKind.ACK
    return time.monotonic() - began


async def test_s4_a_megabyte_without_an_end_is_cut_off_and_others_are_answered(station: Station) -> None:
    address = await station.open()
    other, hostile = await TcpPanel.connect(address), await TcpPanel.connect(address)
    assert await answered_in(other) < NOT_HARMED
    hostile.writer.write(b'\n00000FFF"ADM-CID"' + b"x" * 1_000_000)
    assert await answered_in(other) < NOT_HARMED
    assert await hostile.ended()
    assert station.count("too_long") == 1
    assert await answered_in(other) < NOT_HARMED
    other.close()
    hostile.close()


async def test_s4_one_byte_now_and_then_is_cut_off(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dc09_stream, "FRAME_TIME", 0.1)
    address = await station.open()
    other, slow = await TcpPanel.connect(address), await TcpPanel.connect(address)
    assert (await slow.ask(poll())).kind is ReplyKind.ACK
    raw, sent = encoded(alarm()), 0
    while station.listener.snapshot().expired == 0 and sent < len(raw) - 1:
        slow.writer.write(raw[sent : sent + 1])
        sent += 1
        await asyncio.sleep(0.01)
    assert station.listener.snapshot().expired == 1
    assert await answered_in(other) < NOT_HARMED
    other.close()
    slow.close()


async def test_s4_connections_that_say_nothing_make_room_for_panels() -> None:
    station = Station(limit=lambda: 50)
    address = await station.open()
    try:
        known = await TcpPanel.connect(address)
        assert (await known.ask(poll())).kind is ReplyKind.ACK
        silent = [await TcpPanel.connect(address) for _ in range(200)]
        other = await TcpPanel.connect(address)
        assert await answered_in(other) < NOT_HARMED
        # Who has shown an account stays, however many come after it.
        assert await answered_in(known) < NOT_HARMED
        snapshot = station.listener.snapshot()
        assert snapshot.connections <= 50
        assert snapshot.crowded_out == 202 - 50
        for panel in (known, other, *silent):
            panel.close()
    finally:
        await station.listener.stop()


async def test_s4_a_panel_that_does_not_read_its_answers_is_closed_and_harms_nobody(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_tcp, "WRITE_TIMEOUT", 0.1)
    address = await station.open()
    other, deaf = await TcpPanel.connect(address), await TcpPanel.connect(address)
    deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
    flood = encoded(poll()) * 500

    async def send() -> None:
        while not deaf.writer.transport.is_closing():
            deaf.writer.write(flood)
            await deaf.writer.drain()

    sending = asyncio.create_task(send())
    try:
        for _ in range(20):
            assert await answered_in(other) < NOT_HARMED
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    other.close()
    deaf.close()


async def repeated(panel: UdpPanel, raw: bytes, within: float) -> Reply:
    """Send a datagram as panels do, again and again until it is answered."""
    async with asyncio.timeout(within):
        while True:
            panel.say(raw)
            with suppress(TimeoutError):
                return await panel.answer(within=0.1)


async def test_s4_a_flood_of_datagrams_is_dropped_and_other_panels_are_answered(station: Station) -> None:
    address = await station.open()
    tcp, udp, hostile = (
        await TcpPanel.connect(address),
        await UdpPanel.connect(address),
        await UdpPanel.connect(address),
    )
    assert await answered_in(tcp) < NOT_HARMED
    floods = (encoded(alarm(account="DEAD"))[:-1] + b"x" * 3000, encoded(alarm()), os.urandom(1400), b"\n" * 1400)

    async def flood() -> None:
        while True:
            for _ in range(10):
                for datagram in floods:
                    hostile.say(datagram)
            await asyncio.sleep(0)

    began = time.monotonic()
    flooding = asyncio.create_task(flood())
    try:
        for _ in range(3):
            assert await answered_in(tcp) < NOT_HARMED
            assert (await repeated(udp, encoded(poll("BBB")), NOT_HARMED)).kind is ReplyKind.ACK
    finally:
        flooding.cancel()
    assert station.count("overload", transport="udp") > 0
    # One account that floods has its rate, and no more.
    most = listener_desk.DATAGRAM_BURST + listener_desk.DATAGRAM_RATE * (time.monotonic() - began) + 1
    assert 0 < len(station.intake.taken) <= most
    tcp.close()
    udp.close()
    hostile.close()


async def test_s4_datagrams_in_any_order_and_twice_are_each_answered(station: Station) -> None:
    address = await station.open()
    panel = await UdpPanel.connect(address)
    frames = [encoded(alarm(f"1{100 + number}", sequence=number)) for number in range(1, 9)]
    for raw in reversed(frames):
        panel.say(raw)
        assert (await panel.answer()).kind is ReplyKind.ACK
    panel.say(frames[0])
    assert (await panel.answer()).sequence == 1
    assert station.intake.codes == [f"{100 + number}" for number in (*range(8, 0, -1), 1)]
    panel.close()


async def test_s4_one_account_whose_alarms_hang_keeps_no_other_from_being_taken(station: Station) -> None:
    address = await station.open()
    panel = await UdpPanel.connect(address)
    station.intake.gate = asyncio.Event()
    for sequence in range(1, 21):
        panel.say(encoded(alarm(sequence=sequence)))
    await eventually(lambda: station.count("overload", transport="udp") == 12)
    gate, station.intake.gate = station.intake.gate, None
    other = await TcpPanel.connect(address)
    assert (await other.ask(alarm("1131", "BBB"))).kind is ReplyKind.ACK
    gate.set()
    assert [(await panel.answer()).sequence for _ in range(8)] == list(range(1, 9))
    panel.close()
    other.close()
