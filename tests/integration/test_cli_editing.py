"""Commands that change something: what they send, where keys go, and the question before a loss."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import group_pb2
from hotspare.v1.configuration_service_pb2 import (
    CreateDeviceResponse,
    DeleteDeviceResponse,
    RotateDeviceKeyResponse,
)
from hotspare.v1.output_pb2 import OUTPUT_KIND_SIA_DC09
from hotspare.v1.receiver_service_pb2 import (
    CreateOutputResponse,
    CreateTokenResponse,
    DeleteOutputResponse,
    DisableHotSpareResponse,
    EnableHotSpareResponse,
    ReceiverSettings,
    RevokeTokenResponse,
    UpdateSettingsResponse,
)
from hotspare.v1.record_pb2 import Device
from hotspare.v1.token_pb2 import TOKEN_ROLE_FEED, Token
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import HOST_ID, Script, member, scripted_server, secret_file

KEY = "device-key-that-is-told-once"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


def created(request: Any) -> CreateDeviceResponse:
    return CreateDeviceResponse(device=request.device, device_key=KEY)


# --- Settings ----------------------------------------------------------------------------------------------


async def test_settings_set_sends_what_was_named_and_nothing_else(server: Script, tmp_path: Path) -> None:
    server.answers["UpdateSettings"] = UpdateSettingsResponse(settings=ReceiverSettings(arc_id="north"))
    key = secret_file(tmp_path / "arc.key", "arc-key")
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM)
    shown = await server.run(
        *("settings", "set", "--cloud-address", "127.0.0.1:7443", "--arc-id", "north"),
        *("--arc-key-file", str(key), "--cloud-ca-file", str(ca), "--dual-connection", "off"),
        *("--own-account", "F001", "--disk-floor", "700"),
    )
    assert shown.code == 0
    assert "arc-key" not in shown.out
    (request,) = server.requests("UpdateSettings")
    paths = ["cloud_address", "arc_id", "arc_key", "cloud_ca_pem", "own_account_number", "disk_floor_bytes"]
    paths.append("dual_connection")
    assert list(request.update_mask.paths) == paths
    assert request.settings == ReceiverSettings(
        cloud_address="127.0.0.1:7443",
        arc_id="north",
        arc_key="arc-key",
        cloud_ca_pem=PEM,
        own_account_number="F001",
        disk_floor_bytes=700_000_000,
    )
    assert request.confirmed is False


async def test_x3_a_change_that_clears_something_needs_yes(server: Script) -> None:
    def update(request: Any) -> Any:
        if not request.confirmed:
            return HotspareError(Reason.CONFIRMATION_REQUIRED, "this ends the hot spare", clears="8 devices")
        return UpdateSettingsResponse(settings=request.settings)

    server.answers["UpdateSettings"] = update
    refused = await server.run("settings", "set", "--arc-id", "south")
    assert refused.code == 1
    assert refused.error_lines()[1] == "It would clear: 8 devices. Repeat it with --yes to go on."
    assert (await server.run("settings", "set", "--arc-id", "south", "--yes")).code == 0
    asked = await server.run_on_terminal("settings", "set", "--arc-id", "south", answer="y\n")
    assert asked.code == 0
    assert "clears: 8 devices. Go on?" in asked.out
    assert [one.confirmed for one in server.requests("UpdateSettings")] == [False, True, False, True]


# --- Outputs -----------------------------------------------------------------------------------------------


async def test_o1_o3_an_output_is_added_with_its_key_and_several_addresses(server: Script, tmp_path: Path) -> None:
    server.answers["CreateOutput"] = lambda request: CreateOutputResponse(output=request.output)
    key = secret_file(tmp_path / "aes.key", "00112233445566778899AABBCCDDEEFF")
    shown = await server.run(
        *("output", "add", "main", "--kind", "sia-dc09", "--address", "127.0.0.1:5000"),
        *("--address", "[::1]:5001", "--receiver-number", "1", "--line-number", "A", "--key-file", str(key)),
        "--best-effort",
    )
    assert shown.code == 0
    assert "AABBCC" not in shown.out.upper()
    (request,) = server.requests("CreateOutput")
    output = request.output
    assert (output.name, output.kind) == ("main", OUTPUT_KIND_SIA_DC09)
    assert list(output.addresses) == ["127.0.0.1:5000", "[::1]:5001"]
    assert (output.dc09.receiver_number, output.dc09.line_number) == ("1", "A")
    assert output.dc09.key == bytes.fromhex("00112233445566778899aabbccddeeff")
    assert output.HasField("required")
    assert output.required is False


async def test_an_output_is_in_clear_and_required_unless_told_otherwise(server: Script) -> None:
    server.answers["CreateOutput"] = lambda request: CreateOutputResponse(output=request.output)
    add = ("output", "add", "main", "--kind", "sia-dc09", "--address", "127.0.0.1:5000")
    assert (await server.run(*add, "-o", "json")).json()["output"]["required"] is True
    assert server.requests("CreateOutput")[0].output.dc09.key == b""


# --- The role ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "role"), [("host", group_pb2.ROLE_HOST), ("spare3", group_pb2.ROLE_SPARE_3)])
async def test_g1_enable_takes_the_role(server: Script, word: str, role: group_pb2.Role.ValueType) -> None:
    server.answers["EnableHotSpare"] = EnableHotSpareResponse(member=member(role, HOST_ID, "alpha"))
    shown = await server.run("enable", "--role", word)
    assert shown.out == f"alpha has the role {word} now.\n"
    assert [request.role for request in server.requests("EnableHotSpare")] == [role]


def disabling(request: Any) -> Any:
    if not request.confirmed:
        return HotspareError(Reason.CONFIRMATION_REQUIRED, "not confirmed", clears="the synced configuration")
    return DisableHotSpareResponse(cleared_records=12, cloud_told=False)


async def test_x4_disable_tells_what_is_cleared_and_asks(server: Script) -> None:
    server.answers["DisableHotSpare"] = disabling
    done = await server.run_on_terminal("disable", answer="y\n")
    assert done.code == 0
    assert "clears: the synced configuration. Go on? [y/N]" in done.out
    assert "records cleared here: 12" in done.out
    assert "it will be told" in done.out
    assert [one.confirmed for one in server.requests("DisableHotSpare")] == [False, True]


@pytest.mark.parametrize("answer", ["n\n", "\n"])
async def test_x4_without_a_yes_nothing_is_changed(server: Script, answer: str) -> None:
    server.answers["DisableHotSpare"] = disabling
    declined = await server.run_on_terminal("disable", answer=answer)
    assert declined.code == 1
    assert "Nothing was changed." in declined.out
    assert [one.confirmed for one in server.requests("DisableHotSpare")] == [False]


async def test_x4_yes_stands_for_the_answer_and_nobody_is_asked_without_a_role(server: Script) -> None:
    server.answers["DisableHotSpare"] = disabling
    assert (await server.run("disable", "--yes")).code == 0
    server.answers["DisableHotSpare"] = DisableHotSpareResponse(cloud_told=True)
    assert "Go on?" not in (await server.run_on_terminal("disable")).out


# --- Devices and tokens, and their secrets -----------------------------------------------------------------


async def test_s1_a_new_device_key_goes_into_a_file_of_mode_0600_and_nowhere_else(
    server: Script, tmp_path: Path
) -> None:
    server.answers["CreateDevice"] = created
    out = tmp_path / "panel.key"
    create = ("device", "create", "panel-1", "--account", "1234", "--name", "Depot", "--key-out")
    shown = await server.run(*create, str(out))
    assert shown.code == 0
    assert KEY not in shown.out + shown.err
    assert str(out) in shown.out
    assert out.read_text() == f"{KEY}\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    (request,) = server.requests("CreateDevice")
    assert request.device == Device(device_id="panel-1", account_number="1234", name="Depot")
    data = (await server.run(*create, str(tmp_path / "other.key"), "-o", "json")).json()
    assert data["device_key"] == ""
    assert data["device"]["device_id"] == "panel-1"


async def test_s1_without_a_file_the_key_is_shown_once(server: Script) -> None:
    server.answers["CreateDevice"] = created
    shown = await server.run("device", "create", "panel-1", "--account", "1234")
    assert shown.out.count(KEY) == 1
    data = (await server.run("device", "create", "panel-1", "--account", "1234", "-o", "json")).json()
    assert data["device_key"] == KEY


async def test_a_refusal_leaves_no_empty_key_file(server: Script, tmp_path: Path) -> None:
    server.answers["CreateDevice"] = HotspareError(
        Reason.RESOURCE_EXISTS, "there is a device panel-1", kind="device", id="panel-1"
    )
    out = tmp_path / "panel.key"
    refused = await server.run("device", "create", "panel-1", "--account", "1234", "--key-out", str(out))
    assert refused.code == 1
    assert refused.error_lines() == (
        "There is a device panel-1 (RESOURCE_EXISTS).",
        "Choose another name than panel-1, or delete that device first.",
    )
    assert not out.exists()


async def test_a_rotated_key_is_handed_over_the_same_way(server: Script, tmp_path: Path) -> None:
    server.answers["RotateDeviceKey"] = RotateDeviceKeyResponse(device=Device(device_id="panel-1"), device_key=KEY)
    out = tmp_path / "panel.key"
    assert (await server.run("device", "rotate-key", "panel-1", "--yes", "--key-out", str(out))).code == 0
    assert out.read_text() == f"{KEY}\n"


async def test_s1_a_new_token_goes_into_a_file_of_mode_0600(server: Script, tmp_path: Path) -> None:
    server.answers["CreateToken"] = CreateTokenResponse(token=Token(name="automation"), secret=KEY)
    out = tmp_path / "automation.token"
    create = ("token", "create", "automation", "--role", "feed", "--subscription", "desk", "--days", "30")
    shown = await server.run(*create, "--out", str(out))
    assert shown.code == 0
    assert KEY not in shown.out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    (request,) = server.requests("CreateToken")
    assert (request.name, request.role) == ("automation", TOKEN_ROLE_FEED)
    assert list(request.subscriptions) == ["desk"]
    assert request.validity.seconds == 30 * 86400


async def test_deleting_and_revoking_with_yes(server: Script) -> None:
    server.answers |= {
        "DeleteDevice": DeleteDeviceResponse(cascaded=3),
        "DeleteOutput": DeleteOutputResponse(),
        "RevokeToken": RevokeTokenResponse(),
    }
    deleted = await server.run("device", "delete", "panel-1", "--cascade", "--yes")
    assert deleted.out == "Deleted the device panel-1, and 3 other records were deleted or changed with it.\n"
    assert (await server.run("output", "delete", "main", "--yes")).code == 0
    assert (await server.run("token", "revoke", "old", "--yes")).code == 0
    assert server.requests("DeleteDevice")[0].cascade is True
    assert server.requests("DeleteOutput")[0].name == "main"
    assert server.requests("RevokeToken")[0].name == "old"


async def test_on_a_terminal_deleting_asks_first(server: Script) -> None:
    server.answers["DeleteDevice"] = DeleteDeviceResponse()
    declined = await server.run_on_terminal("device", "delete", "panel-1", answer="n\n")
    assert declined.code == 1
    assert server.calls == []
    assert (await server.run_on_terminal("device", "delete", "panel-1", answer="y\n")).code == 0
