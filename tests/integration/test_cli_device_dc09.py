"""`device dc09`: what it shows and sends, and that the key is nowhere to be seen (D1, S1)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1.configuration_service_pb2 import GetDeviceResponse, UpdateDeviceResponse
from hotspare.v1.record_pb2 import DC09_NAK_FORM_OLD, Dc09Access, Dc09TimeWindow, Device
from tests.integration.test_cli_support import Script, scripted_server, secret_file

KEY = bytes(range(16))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        script.answers["UpdateDevice"] = lambda request: UpdateDeviceResponse(device=request.device)
        has(script)
        yield script


def has(server: Script, **access: Any) -> None:
    """Have the receiver know a device that speaks DC-09 so."""
    device = Device(device_id="panel-1", account_number="1234", etag="e1")
    if access:
        device.dc09.CopyFrom(Dc09Access(**access))
    server.answers["GetDevice"] = GetDeviceResponse(device=device)


async def test_d1_a_device_that_does_not_speak_dc09_is_shown_so(server: Script) -> None:
    shown = await server.run("device", "dc09", "panel-1")
    assert (shown.code, shown.out.split()) == (0, ["Device", "panel-1", "DC-09", "no"])
    assert server.requests("UpdateDevice") == []


async def test_s1_a_key_goes_from_its_file_to_the_receiver_and_nowhere_else(server: Script, tmp_path: Path) -> None:
    key = secret_file(tmp_path / "aes.key", KEY.hex())
    shown = await server.run("device", "dc09", "panel-1", "--on", "--key-file", str(key))
    assert shown.code == 0
    assert KEY.hex() not in shown.out + shown.err
    assert ["Account", "1234"] in [line.split() for line in shown.out.splitlines()]
    (request,) = server.requests("UpdateDevice")
    assert (request.dc09_key, list(request.update_mask.paths)) == (KEY, ["dc09"])
    assert request.device.HasField("dc09")
    # With the etag that was read: what somebody else changed since is not undone.
    assert request.device.etag == "e1"


async def test_d1_what_is_not_named_stays(server: Script) -> None:
    has(server, account="AAA", clear_allowed=True)
    shown = await server.run("device", "dc09", "panel-1", "--time-window", "90s,10s", "--nak", "old")
    (request,) = server.requests("UpdateDevice")
    window = Dc09TimeWindow()
    window.past.seconds, window.future.seconds = 90, 10
    expected = Dc09Access(account="AAA", clear_allowed=True, time_window=window, nak_form=DC09_NAK_FORM_OLD)
    assert request.device.dc09 == expected
    assert not request.HasField("dc09_key")
    assert "90s,10s" in shown.out.replace("1m 30s", "90s").replace("1m30s", "90s")


@pytest.mark.full
async def test_d1_clear_text_and_the_key_are_taken_back(server: Script) -> None:
    has(server, account="AAA", clear_allowed=True)
    assert (await server.run("device", "dc09", "panel-1", "--clear", "no", "--no-key", "--yes")).code == 0
    assert (await server.run("device", "dc09", "panel-1", "--off", "--yes")).code == 0
    changed, off = server.requests("UpdateDevice")
    assert (changed.device.dc09, changed.dc09_key) == (Dc09Access(account="AAA"), b"")
    assert changed.HasField("dc09_key")
    assert (off.device.HasField("dc09"), off.dc09_key, off.HasField("dc09_key")) == (False, b"", True)


@pytest.mark.full
@pytest.mark.parametrize(
    "words", [("--off", "--account", "AAA"), ("--off", "--no-key"), ("--no-key", "--key-file", "aes.key")]
)
async def test_d1_what_contradicts_itself_is_refused_before_anything_is_asked(
    server: Script, words: tuple[str, ...]
) -> None:
    assert (await server.run("device", "dc09", "panel-1", *words)).code == 2
    assert server.requests("GetDevice") == []
