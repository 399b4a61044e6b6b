"""`output update`, `alarm test`, `alarm replay` of several, `settings set` of every field, `account` and `operator`."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import account_service_pb2, output_pb2
from hotspare.v1.alarm_feed_service_pb2 import SendTestAlarmResponse
from hotspare.v1.alarm_pull_service_pb2 import ListQueueRequest, ListQueueResponse, ReplayAlarmResponse
from hotspare.v1.receiver_service_pb2 import (
    ListOutputsResponse,
    ReceiverSettings,
    UpdateOutputResponse,
    UpdateSettingsResponse,
)
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import Script, scripted_server, secret_file

AES = "00112233445566778899aabbccddeeff"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


# --- output update -----------------------------------------------------------------------------------------


@pytest.fixture
def outputs(server: Script) -> Script:
    arc = output_pb2.Output(name="arc", kind=output_pb2.OUTPUT_KIND_SIA_DC09, etag="e1")
    arc.dc09.SetInParent()
    old = output_pb2.Output(name="old", kind=output_pb2.OUTPUT_KIND_SURGARD, etag="e2")
    old.surgard.SetInParent()
    feed = output_pb2.Output(name="feed", kind=output_pb2.OUTPUT_KIND_STREAM, etag="e3")
    feed.stream.subscription = "feed"
    server.answers["ListOutputs"] = ListOutputsResponse(outputs=[arc, old, feed])
    server.answers["UpdateOutput"] = lambda request: UpdateOutputResponse(output=request.output)
    return server


async def test_o3_an_update_names_what_was_typed_and_carries_the_etag_that_was_read(
    outputs: Script, tmp_path: Path
) -> None:
    key = secret_file(tmp_path / "aes.key", AES)
    words = ("--address", "127.0.0.1:5001", "--address", "127.0.0.2:5001", "--key-file", str(key), "--best-effort")
    done = await outputs.run_inside("output", "update", "arc", *words, "--heartbeat", "0s", "--receiver-number", "")
    assert done.code == 0, done.err
    (request,) = outputs.requests("UpdateOutput")
    paths = ["addresses", "required", "dc09.receiver_number", "dc09.key", "dc09.heartbeat"]
    assert list(request.update_mask.paths) == paths
    output = request.output
    assert (output.name, output.etag, output.required) == ("arc", "e1", False)
    assert list(output.addresses) == ["127.0.0.1:5001", "127.0.0.2:5001"]
    assert (output.dc09.key.hex(), output.dc09.HasField("heartbeat")) == (AES, True)
    assert AES not in done.out


@pytest.mark.parametrize(
    ("name", "words", "path"),
    [
        ("old", ("--receiver-number", "7"), "surgard.receiver_number"),
        ("old", ("--width", "system"), "surgard.width"),
        ("feed", ("--subscription", "other"), "stream.subscription"),
        ("arc", ("--no-key",), "dc09.key"),
        ("arc", ("--form", "sia-dcs"), "dc09.form"),
        ("arc", ("--required",), "required"),
    ],
)
async def test_o3_each_kind_has_its_options(outputs: Script, name: str, words: tuple[str, ...], path: str) -> None:
    assert (await outputs.run_inside("output", "update", name, *words)).code == 0
    (request,) = outputs.requests("UpdateOutput")
    assert list(request.update_mask.paths) == [path]


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("feed", ("--address", "127.0.0.1:1"), "has no --address"),
        ("arc", ("--width", "mlr2"), "sia-dc09 has no --width"),
        ("old", ("--receiver-number", "1F"), "is no number"),
        ("arc", (), "Nothing was named"),
        ("arc", ("--required", "--best-effort"), "exclude each other"),
        ("arc", ("--key-file", "x", "--no-key"), "exclude each other"),
    ],
)
async def test_o3_what_cannot_be_meant_is_told_before_anything_is_changed(
    outputs: Script, name: str, words: tuple[str, ...], told: str
) -> None:
    refused = await outputs.run_inside("output", "update", name, *words)
    assert refused.code == 2
    assert told in refused.error_lines()[0]
    assert outputs.requests("UpdateOutput") == []


async def test_an_output_that_is_not_there_is_5_and_those_that_are_stand_in_the_hint(outputs: Script) -> None:
    missing = await outputs.run_inside("output", "update", "main", "--required")
    assert missing.code == 5
    assert missing.error_lines()[1] == "There are: arc, old, feed."


# --- settings ----------------------------------------------------------------------------------------------

SETTINGS = {
    "name": ("--name", "alpha"),
    "cloud_address": ("--cloud-address", "127.0.0.1:7443"),
    "arc_id": ("--arc-id", "north"),
    "arc_key": ("--arc-key-file", "KEY"),
    "sub_account": ("--sub-account", "harbour"),
    "advertised_address": ("--advertised-address", "10.0.0.1:7001"),
    "dual_connection": ("--dual-connection", "on"),
    "dc09_listen": ("--dc09-listen", "none"),
    "dc09_time_window": ("--dc09-time-window", "off"),
    "isolated_forwarding": ("--isolated-forwarding", "off"),
    "own_account_number": ("--own-account", "9001"),
    "cloud_ca_pem": ("--cloud-ca-file", "CA"),
    "cloud_tls": ("--cloud-tls", "off"),
    "history_max_age": ("--history-age", "30d"),
    "history_max_bytes": ("--history-size", "500"),
    "disk_floor_bytes": ("--disk-floor", "100"),
}
TOLD_BY_THE_SERVER = {"arc_key_set", "etag"}


def test_no_setting_of_the_contract_is_without_an_option() -> None:
    assert {field.name for field in ReceiverSettings.DESCRIPTOR.fields} == set(SETTINGS) | TOLD_BY_THE_SERVER


async def test_every_setting_is_set_by_its_option_alone(server: Script, tmp_path: Path) -> None:
    server.answers["UpdateSettings"] = lambda request: UpdateSettingsResponse(settings=request.settings)
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    files = {"KEY": str(secret_file(tmp_path / "arc.key", "k" * 43)), "CA": str(ca)}
    for field, (option, value) in SETTINGS.items():
        done = await server.run_inside("settings", "set", option, files.get(value, value))
        assert done.code == 0, done.err
        assert list(server.requests("UpdateSettings")[-1].update_mask.paths) == [field]
    await server.run_inside("settings", "set", "--cloud-tls", "auto", "--advertised-address", "none")
    last = server.requests("UpdateSettings")[-1]
    assert (last.settings.HasField("cloud_tls"), last.settings.advertised_address) == (False, "")
    assert sorted(last.update_mask.paths) == ["advertised_address", "cloud_tls"]


# --- alarm test, alarm replay ------------------------------------------------------------------------------


async def test_an_own_test_alarm_goes_the_whole_way_under_an_id_of_its_own(server: Script) -> None:
    server.answers["SendTestAlarm"] = SendTestAlarmResponse(number=17)
    done = await server.run_inside("alarm", "test", "--text", "after the repair")
    assert (done.code, "alarm 17" in done.out, "hotspare alarm show 17" in done.out) == (0, True, True)
    await server.run_inside("alarm", "test", "--code", "601")
    first, second = server.requests("SendTestAlarm")
    assert (first.text, first.code, second.code) == ("after the repair", "", "601")
    assert len({first.alarm_id, second.alarm_id}) == 2


@pytest.fixture
def aside(server: Script) -> Script:
    def page(request: ListQueueRequest) -> ListQueueResponse:
        response = ListQueueResponse()
        for number in (3, 5, 8):
            response.alarms.add().stored.number = number
        return response

    def replay(request: Any) -> ReplayAlarmResponse:
        if request.number == 5:
            raise HotspareError(Reason.ALARM_NOT_SET_ASIDE, "alarm 5 is not set aside", number=5)
        response = ReplayAlarmResponse()
        response.alarm.stored.number = request.number
        return response

    server.answers["ListQueue"] = page
    server.answers["ReplayAlarm"] = replay
    return server


async def test_a5_all_that_is_set_aside_goes_out_again_in_its_order_but_what_somebody_sent_meanwhile(
    aside: Script,
) -> None:
    done = await aside.run_inside("alarm", "replay", "--all", "--device", "panel-1", "--yes")
    assert (done.code, done.out) == (0, "2 alarms are in the queue again.\n")
    assert [request.number for request in aside.requests("ReplayAlarm")] == [3, 5, 8]
    assert len({request.request_id for request in aside.requests("ReplayAlarm")}) == 3
    assert aside.requests("ListQueue")[0].device_id == "panel-1"
    lines = (await aside.run_inside("alarm", "replay", "3", "8", "-o", "json")).out.splitlines()
    assert ['"number":"3"' in lines[0], '"number":"8"' in lines[1], len(lines)] == [True, True, 2]
    aside.answers["ListQueue"] = ListQueueResponse()
    assert (await aside.run_inside("alarm", "replay", "--all", "--yes")).out == "No alarm is set aside.\n"


async def test_a5_one_that_was_named_and_is_not_set_aside_is_a_mistake_and_no_success(aside: Script) -> None:
    refused = await aside.run_inside("alarm", "replay", "3", "5", "8")
    assert refused.code == 1
    assert "Alarm 5 is not set aside" in refused.error_lines()[0]
    assert "Before that 1 of 3 alarms went out." in refused.error_lines()[0]
    assert [request.number for request in aside.requests("ReplayAlarm")] == [3, 5]


async def test_a5_a_break_tells_how_many_went_out_before_it(aside: Script) -> None:
    def breaks(request: Any) -> ReplayAlarmResponse:
        if request.number == 8:
            raise HotspareError(Reason.CLOUD_UNREACHABLE, "the cloud is gone")
        return ReplayAlarmResponse()

    aside.answers["ReplayAlarm"] = breaks
    broken = await aside.run_inside("alarm", "replay", "--all", "--yes")
    assert broken.code == 3
    assert "Before that 2 of 3 alarms went out." in broken.error_lines()[0]


async def test_a5_either_alarms_are_named_or_all_are(aside: Script) -> None:
    for words in ((), ("3", "--all", "--yes"), ("3", "--device", "panel-1")):
        assert (await aside.run_inside("alarm", "replay", *words)).code == 2
    assert aside.calls == []


@pytest.mark.full
async def test_a5_on_a_terminal_it_is_told_how_many_and_how_far_it_is(aside: Script) -> None:
    declined = await aside.run_on_terminal("alarm", "replay", "--all", answer="n\n")
    assert declined.code == 1
    assert "This sends 3 alarms again" in declined.out
    assert aside.requests("ReplayAlarm") == []
    done = await aside.run_on_terminal("alarm", "replay", "--all", answer="y\n")
    assert done.code == 0
    assert "] 2 of 3 alarms" in done.out
    assert done.out.rstrip().endswith("2 alarms are in the queue again.")


# --- account, operator -------------------------------------------------------------------------------------


@pytest.fixture
def cloud(server: Script) -> Script:
    account = account_service_pb2.ArcAccount(arc_id="north", sub_accounts=["default"])
    secret = "s" * 43
    server.answers |= {
        "ListArcAccounts": account_service_pb2.ListArcAccountsResponse(accounts=[account]),
        "GetArcAccount": account_service_pb2.GetArcAccountResponse(account=account),
        "CreateSubAccount": account_service_pb2.CreateSubAccountResponse(account=account),
        "EndArcKeyRotation": account_service_pb2.EndArcKeyRotationResponse(account=account),
        "CreateArcAccount": account_service_pb2.CreateArcAccountResponse(account=account, arc_key=secret),
        "RotateArcKey": account_service_pb2.RotateArcKeyResponse(account=account, arc_key=secret),
        "CreateOperatorToken": account_service_pb2.CreateOperatorTokenResponse(secret=secret),
        "ListOperatorTokens": account_service_pb2.ListOperatorTokensResponse(),
        "RevokeOperatorToken": account_service_pb2.RevokeOperatorTokenResponse(),
    }
    return server


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("account", "create", "north"), "CreateArcAccount"),
        (("account", "rotate-key", "north", "--overlap", "2d"), "RotateArcKey"),
        (("operator", "create", "olga", "--role", "viewer", "--days", "30"), "CreateOperatorToken"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
async def test_s1_a_secret_of_the_cloud_goes_into_its_file_of_mode_0600_and_nowhere_else(
    cloud: Script, tmp_path: Path, words: tuple[str, ...], call: str
) -> None:
    file = tmp_path / "new.key"
    option = "--out" if words[0] == "operator" else "--key-out"
    done = await cloud.run_inside(*words, option, str(file), "-o", "json")
    assert done.code == 0, done.err
    assert (file.read_text().strip(), stat.S_IMODE(file.stat().st_mode)) == ("s" * 43, 0o600)
    assert "s" * 43 not in done.out + done.err
    assert len(cloud.requests(call)) == 1
    shown = await cloud.run_inside(*words)
    assert shown.out.rstrip().endswith("s" * 43), "told once"


async def test_accounts_and_operators_of_a_cloud_are_read_and_changed(cloud: Script) -> None:
    assert "north" in (await cloud.run_inside("account", "list")).out
    assert "default" in (await cloud.run_inside("account", "show", "north")).out
    assert (await cloud.run_inside("account", "add-sub-account", "north", "harbour")).code == 0
    assert cloud.requests("CreateSubAccount")[0].sub_account == "harbour"
    assert (await cloud.run_inside("account", "end-rotation", "north", "--force", "--yes")).code == 0
    assert cloud.requests("EndArcKeyRotation")[0].force
    assert (await cloud.run_inside("operator", "list")).out == "no tokens\n"
    assert "Revoked" in (await cloud.run_inside("operator", "revoke", "olga", "--yes")).out


async def test_s1_with_a_receivers_token_the_clouds_is_asked_for(cloud: Script) -> None:
    cloud.answers["ListArcAccounts"] = HotspareError(Reason.INVALID_CREDENTIALS, "not taken")
    refused = await cloud.run_inside("account", "list")
    assert refused.code == 1
    assert "operator.token" in refused.error_lines()[1]
