"""The metrics of direct devices move with what happens there. tests/unit/test_metrics_list.py lists all."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hotspare_model import supervision as supervision_module
from hotspare_model.dc09_reply import ReplyKind
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.core import dc09_stream
from hotspare_receiver.metrics_direct import DirectCollector
from hotspare_receiver.metrics_supervision import SupervisionCollector
from hotspare_receiver.store.schema import migrations
from hotspare_store.database import Database
from tests.acceptance.harness.scraping import Page
from tests.integration import test_direct_gateway
from tests.integration.moving import moving, page_of
from tests.integration.panels import Station, TcpPanel, alarm, encoded, poll
from tests.integration.test_direct_gateway import FakeIntake, gateway_to, serving
from tests.integration.test_direct_gateway import alarm as direct_alarm
from tests.integration.test_direct_isolated import host_in
from tests.integration.test_receiver_direct_supervision import INTERVAL
from tests.integration.test_receiver_direct_supervision import Host as SupervisingHost

Look = Callable[[], Awaitable[Page]]

PREFIX = "hotspare_receiver_direct"
SILENT_CONNECTIONS = 6
ROOM = 3
"""Connections that a listener of these tests holds."""


def page_with(**parts: Any) -> Look:
    """The page of a receiver that has these parts, and of which all others are at rest."""
    quiet: dict[str, Any] = {
        "gate": SimpleNamespace(open=False, accepted=0, refused=0),
        "gateway": SimpleNamespace(under_way=0, failed=0),
        "listener": Station().listener,
        "isolated": SimpleNamespace(active=False, unpublished=0, taken=0, confirmed=0, published=0),
    }
    return page_of(DirectCollector(**{**quiet, **parts}).collect)


@pytest.fixture
async def station() -> AsyncIterator[Station]:
    station = Station(limit=lambda: ROOM)
    yield station
    await station.listener.stop()


async def test_d1_panels_move_the_metrics_of_the_listener(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_with(listener=station.listener)
    async with moving(page, "hotspare_receiver_direct_listening =1"):
        address = await station.open()
    async with moving(
        page,
        "hotspare_receiver_direct_connections =1",
        "hotspare_receiver_direct_connections_opened_total +1",
        'hotspare_receiver_direct_frames_total{transport="tcp",answer="ack",reason="taken"} +1',
    ):
        known = await TcpPanel.connect(address)
        assert (await known.ask(alarm("1130"))).kind is ReplyKind.ACK
    async with moving(page, 'hotspare_receiver_direct_connections_ended_total{cause="crowded_out"} up'):
        silent = [await TcpPanel.connect(address) for _ in range(SILENT_CONNECTIONS)]
    monkeypatch.setattr(dc09_stream, "FRAME_TIME", 0.05)
    async with moving(page, 'hotspare_receiver_direct_connections_ended_total{cause="expired"} up'):
        for byte in encoded(alarm())[:-1]:
            known.writer.write(bytes([byte]))
            if station.listener.snapshot().expired:
                break
            await asyncio.sleep(0.01)
    for panel in (known, *silent):
        panel.close()


async def test_s4_who_guesses_moves_the_refusals(station: Station) -> None:
    page = page_with(listener=station.listener)
    address = await station.open()
    async with moving(
        page,
        'hotspare_receiver_direct_frames_total{transport="tcp",answer="none",reason="unknown_account"} up',
        'hotspare_receiver_direct_connections_ended_total{cause="spoiled"} +2',
        "hotspare_receiver_direct_refusals_untold_total up",
    ):
        for _ in range(2):
            panel = await TcpPanel.connect(address)
            await panel.say(b"".join(encoded(poll(f"D{os.urandom(4).hex()}")) for _ in range(dc09_stream.STRIKES)))
            assert await panel.ended()
            panel.close()


async def test_a3_what_got_no_answer_moves_the_metrics_of_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_direct_gateway, "PATIENCE", 0.5)
    intake = FakeIntake(going={"panel": asyncio.Event()})
    async with serving(intake) as address, gateway_to(tmp_path, address) as gateway:
        page = page_with(gateway=gateway)
        async with moving(page, "hotspare_receiver_direct_given_back_total +1"):
            async with moving(page, "hotspare_receiver_direct_under_way =1"):
                publishing = asyncio.create_task(gateway.publish(direct_alarm(1)))
            with pytest.raises(HotspareError) as refused:
                await publishing
        assert refused.value.reason is Reason.CLOUD_UNREACHABLE


async def test_d4_a_host_that_is_cut_off_moves_the_metrics_of_its_isolation(tmp_path: Path) -> None:
    async with host_in(tmp_path) as host:
        page = page_with(isolated=host.isolated)
        async with moving(
            page,
            "hotspare_receiver_direct_isolated =1",
            "hotspare_receiver_direct_unpublished =2",
            'hotspare_receiver_direct_isolated_alarms_total{state="taken"} +2',
            'hotspare_receiver_direct_isolated_alarms_total{state="confirmed"} +2',
        ):
            await host.cut_off()
            for zone in (1, 2):
                await host.accept(zone)
            host.forward_all()
        async with moving(
            page,
            "hotspare_receiver_direct_isolated =0",
            "hotspare_receiver_direct_unpublished =0",
            'hotspare_receiver_direct_isolated_alarms_total{state="published"} +2',
        ):
            host.around.silent = 0.0
            await host.until_published(1, 2)


async def test_a9_devices_that_fall_silent_move_the_metrics_of_the_direct_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision_module, "BURST", 1)
    database = Database.open(tmp_path / "receiver.db", migrations)
    host = SupervisingHost(database)
    for device_id in ("a", "b"):
        await host.set(device_id)
    await host.start()
    page = page_of(lambda: SupervisionCollector(host.supervision).collect())
    async with moving(page, "hotspare_receiver_direct_devices_supervised =2"):
        await host.wait(2, "a", "b")
    async with moving(
        page,
        "hotspare_receiver_direct_devices_silent =2",
        'hotspare_receiver_direct_supervision_events_total{event="silent"} up',
        "hotspare_receiver_direct_supervision_events_waiting up",
        "hotspare_receiver_direct_supervision_storms_total +1",
    ):
        for _ in range(2 * INTERVAL):
            await host.wait(1)
            if host.supervision.supervisor.storms:
                break
    async with moving(
        page,
        "hotspare_receiver_direct_devices_silent =0",
        'hotspare_receiver_direct_supervision_events_total{event="back"} up',
        "hotspare_receiver_direct_supervision_events_waiting =0",
    ):
        await host.wait(3, "a", "b")
    database.close()
