"""Panels that others wrote, at our listener (D1).

my-dc09-spt is the maintained form of dc09-spt, whose ciphers need pycrypto, which no Python of today builds. In clear
text that one was tried by hand: Contact ID, SIA blocks and polls, over TCP and UDP.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from my_dc09_spt.dc09_spt import dc09_spt

from hotspare_model.alarm import CodeFormat
from hotspare_model.contact_id import Qualifier
from hotspare_receiver.clock import SystemClock
from hotspare_receiver.core.dc09_accounts import PanelAccount
from hotspare_receiver.core.dc09_window import TimeWindow
from hotspare_rpc.address import Address
from tests.integration import panels
from tests.integration.panels import Station

KEYS = {"clear": None, "aes-128": bytes(range(16)), "aes-256": bytes(range(32))}

with_each_key = pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))
with_each_transport = pytest.mark.parametrize("transport", ["TCP", "UDP"])


@pytest.fixture
async def station() -> AsyncIterator[Station]:
    accounts = tuple(PanelAccount(name.upper().replace("-", ""), name, key) for name, key in KEYS.items())
    station = Station(accounts)
    yield station
    await station.listener.stop()


def peer(name: str, key: bytes | None, transport: str, address: Address, **more: Any) -> Any:
    account = name.upper().replace("-", "")
    spt = dc09_spt(account)
    spt.set_path("main", "primary", address.host, address.port, account=account, key=key, type=transport, **more)
    return spt


def name_of(key: bytes | None) -> str:
    return next(name for name, known in KEYS.items() if known == key)


@with_each_transport
@with_each_key
async def test_d1_my_dc09_spt_sends_contact_id_and_is_acknowledged(
    station: Station, key: bytes | None, transport: str
) -> None:
    spt = peer(name_of(key), key, transport, await station.open())
    for code in (130, 131):
        # It raises when it is not acknowledged.
        await asyncio.to_thread(spt.send_msg, "ADM-CID", {"code": code, "q": 3, "area": 2, "zone": 15})
    assert [
        (taken.alarm.device_id, taken.alarm.qualifier, taken.alarm.code, taken.alarm.partition, taken.alarm.zone)
        for taken in station.intake.taken
    ] == [(name_of(key), Qualifier.RESTORE, code, 2, 15) for code in ("130", "131")]
    assert [taken.sequence for taken in station.intake.taken] == ["0001", "0002"]


@with_each_key
async def test_d1_my_dc09_spt_sends_sia_blocks_with_names_and_texts(station: Station, key: bytes | None) -> None:
    spt = peer(name_of(key), key, "TCP", await station.open(), receiver=1, line=2)
    message = {
        "code": "BA", "area": 2, "areaname": "Upper floor", "zone": 3, "zonename": "Door", "text": "Magnet",
        "time": "now", "lat": "44.5", "lon": "-93.25", "verification": "https://example.org/1",
    }  # fmt: skip
    await asyncio.to_thread(spt.send_msg, "SIA-DCS", message)
    (alarm,) = (taken.alarm for taken in station.intake.taken)
    assert (alarm.code_format, alarm.code, alarm.partition, alarm.zone) == (CodeFormat.SIA, "BA", 2, 3)
    assert alarm.text == "Upper floor, Door, Magnet"
    assert (alarm.latitude, alarm.longitude) == (44.5, -93.25)
    assert alarm.verification_url == "https://example.org/1"


@with_each_transport
@with_each_key
async def test_d1_my_dc09_spt_polls_and_is_acknowledged(station: Station, key: bytes | None, transport: str) -> None:
    spt = peer(name_of(key), key, transport, await station.open())
    path = spt.tpaths["main"]["primary"]["path"]
    assert await asyncio.to_thread(spt.transfer_msg, 0, "NULL", "]", path)
    assert [device_id for device_id, _ in station.intake.beats] == [name_of(key)]


@with_each_key
async def test_s4_my_dc09_spt_without_the_right_key_is_not_acknowledged(station: Station, key: bytes | None) -> None:
    spt = peer(name_of(key), bytes(16) if key is None else None, "TCP", await station.open())
    path = spt.tpaths["main"]["primary"]["path"]
    asked = asyncio.create_task(asyncio.to_thread(spt.transfer_msg, 1, "ADM-CID", "1130 01 015]", path))
    reason = "encrypted_without_key" if key is None else "clear_text_refused"
    async with asyncio.timeout(5):
        while not station.count(reason):  # noqa: ASYNC110 - it is told to nobody
            await asyncio.sleep(0.01)
    await station.listener.stop()
    # All that it ever saw was the end of its connection.
    with pytest.raises(Exception, match="too short"):
        await asked
    assert station.intake.taken == []


async def test_d1_my_dc09_spt_sets_its_time_by_our_nak(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ahead(SystemClock):
        def wall(self) -> datetime:
            return super().wall() + timedelta(hours=2)

    monkeypatch.setattr(panels, "SystemClock", Ahead)
    station = Station((PanelAccount("AAA", "p", KEYS["aes-128"], window=TimeWindow()),))
    spt = dc09_spt("AAA")
    address = await station.open()
    try:
        spt.set_path("main", "primary", address.host, address.port, key=KEYS["aes-128"])
        # It stumbles over the answer to its second try, but that had our time.
        with pytest.raises(Exception):  # noqa: B017, PT011 - what it raises is its own
            await asyncio.to_thread(spt.send_msg, "ADM-CID", {"code": 130})
        assert (station.count("timestamp", "nak"), station.count("taken", "ack")) == (1, 1)
        assert [taken.alarm.code for taken in station.intake.taken] == ["130"]
    finally:
        await station.listener.stop()
