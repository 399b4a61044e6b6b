"""What a receiver serves to its own operators: tokens, settings, outputs, devices, status, versions (S1 to S5)."""

import asyncio
import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from hotspare.v1 import (
    alarm_feed_service_pb2,
    alarm_feed_service_pb2_grpc,
    alarm_pb2,
    configuration_service_pb2,
    output_pb2,
    receiver_service_pb2,
    record_pb2,
    role_service_pb2,
    token_pb2,
    version_service_pb2,
    version_service_pb2_grpc,
)
from hotspare_model.errors import Reason
from hotspare_receiver.app import Options, ReceiverApp
from hotspare_receiver.clock import SystemClock
from hotspare_rpc.address import Address, ListenError
from hotspare_rpc.errors import from_rpc_error
from hotspare_store.folder import DataFolderError, DataFolderInUseError
from tests.integration.test_receiver_desk_support import (
    DEADLINE,
    LOOPBACK,
    Desk,
    refused,
    running,
)

GET_STATUS = receiver_service_pb2.GetStatusRequest()
SECRET = "k" * 32


async def token_of(desk: Desk, name: str, role: token_pb2.TokenRole.ValueType, **more: Any) -> str:
    answer = await desk.call(
        desk.receiver.CreateToken, receiver_service_pb2.CreateTokenRequest(name=name, role=role, **more)
    )
    secret: str = answer.secret
    return secret


async def add_output(desk: Desk, **more: Any) -> output_pb2.Output:
    asked = output_pb2.Output(name="arc", kind=output_pb2.OUTPUT_KIND_SIA_DC09, addresses=["127.0.0.1:9"], **more)
    answer = await desk.call(desk.receiver.CreateOutput, receiver_service_pb2.CreateOutputRequest(output=asked))
    output: output_pb2.Output = answer.output
    return output


async def change_output(desk: Desk, output: output_pb2.Output, *paths: str) -> output_pb2.Output:
    request = receiver_service_pb2.UpdateOutputRequest(output=output)
    request.update_mask.paths.extend(paths)
    changed: output_pb2.Output = (await desk.call(desk.receiver.UpdateOutput, request)).output
    return changed


async def create_device(desk: Desk, **fields: Any) -> configuration_service_pb2.CreateDeviceResponse:
    request = configuration_service_pb2.CreateDeviceRequest(device=record_pb2.Device(**fields))
    answer: configuration_service_pb2.CreateDeviceResponse = await desk.call(desk.configuration.CreateDevice, request)
    return answer


async def change_device(desk: Desk, *paths: str, **fields: Any) -> record_pb2.Device:
    request = configuration_service_pb2.UpdateDeviceRequest(device=record_pb2.Device(**fields))
    request.update_mask.paths.extend(paths)
    device: record_pb2.Device = (await desk.call(desk.configuration.UpdateDevice, request)).device
    return device


async def list_devices(desk: Desk, **fields: Any) -> configuration_service_pb2.ListDevicesResponse:
    request = configuration_service_pb2.ListDevicesRequest(**fields)
    answer: configuration_service_pb2.ListDevicesResponse = await desk.call(desk.configuration.ListDevices, request)
    return answer


# --- Tokens -------------------------------------------------------------------------------------------------


async def test_s1_bad_tokens_of_all_kinds_get_one_answer(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        revoked = await token_of(desk, "gone", token_pb2.TOKEN_ROLE_VIEWER)
        await desk.call(desk.receiver.RevokeToken, receiver_service_pb2.RevokeTokenRequest(name="gone"))
        answers = set()
        for metadata in (
            (),
            (("authorization", "Bearer "),),
            (("authorization", "Basic eDp5"),),
            (("authorization", f"Bearer {desk.token}x"),),
            (("authorization", f"Bearer {revoked}"),),
            (("authorization", f"Bearer {desk.token}"), ("authorization", f"Bearer {desk.token}")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await desk.receiver.GetStatus(GET_STATUS, metadata=metadata, timeout=DEADLINE)
            error = from_rpc_error(raised.value)
            assert error is not None
            answers.add((raised.value.code(), error.reason, error.message, str(error.metadata)))
        assert len(answers) == 1
        assert next(iter(answers))[1] is Reason.INVALID_CREDENTIALS


async def test_s1_a_token_may_do_what_its_role_includes_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        tokens = {
            "viewer": await token_of(desk, "wall", token_pb2.TOKEN_ROLE_VIEWER),
            "operator": await token_of(desk, "desk@arc", token_pb2.TOKEN_ROLE_OPERATOR),
            "feed": await token_of(desk, "software", token_pb2.TOKEN_ROLE_FEED, subscriptions=["main"]),
        }
        operators: tuple[tuple[Any, Any], ...] = (
            (desk.receiver.CreateOutput, receiver_service_pb2.CreateOutputRequest()),
            (desk.configuration.CreateDevice, configuration_service_pb2.CreateDeviceRequest()),
        )
        admins: tuple[tuple[Any, Any], ...] = (
            (desk.receiver.CreateToken, receiver_service_pb2.CreateTokenRequest()),
            (desk.receiver.UpdateSettings, receiver_service_pb2.UpdateSettingsRequest()),
            (desk.receiver.DisableHotSpare, receiver_service_pb2.DisableHotSpareRequest()),
            (desk.roles.RemoveMember, role_service_pb2.RemoveMemberRequest()),
        )
        for method, request in (*operators, *admins):
            async with refused(Reason.CALLER_NOT_ALLOWED, caller="viewer"):
                await desk.call(method, request, tokens["viewer"])
        for method, request in admins:
            async with refused(Reason.CALLER_NOT_ALLOWED, caller="operator", required="admin"):
                await desk.call(method, request, tokens["operator"])
        await desk.call(desk.receiver.GetStatus, GET_STATUS, tokens["viewer"])
        await desk.call(desk.receiver.GetStatus, GET_STATUS, tokens["operator"])
        async with refused(Reason.CALLER_NOT_ALLOWED, caller="feed"):
            await desk.call(desk.receiver.GetStatus, GET_STATUS, tokens["feed"])


async def test_s1_a_token_expires_and_says_so(tmp_path: Path) -> None:
    class Later(SystemClock):
        ahead = timedelta(0)

        def wall(self) -> datetime:
            return datetime.now(UTC) + self.ahead

    clock = Later()
    app = ReceiverApp(Options(tmp_path / "r", LOOPBACK), clock)
    await app.start()
    try:
        async with grpc.aio.insecure_channel(app.address) as channel:
            desk = Desk(app, tmp_path / "r", channel, (tmp_path / "r" / "admin.token").read_text().strip())
            short = await token_of(desk, "short", token_pb2.TOKEN_ROLE_VIEWER, validity=Duration(seconds=3600))
            await desk.call(desk.receiver.GetStatus, GET_STATUS, short)
            clock.ahead = timedelta(hours=2)
            async with refused(Reason.TOKEN_EXPIRED):
                await desk.call(desk.receiver.GetStatus, GET_STATUS, short)
    finally:
        await app.stop()


async def test_s1_tokens_are_listed_without_secrets_and_kept_as_digests(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        secret = await token_of(desk, "wall", token_pb2.TOKEN_ROLE_VIEWER)
        async with refused(Reason.RESOURCE_EXISTS, kind="token", id="wall"):
            await token_of(desk, "wall", token_pb2.TOKEN_ROLE_VIEWER)
        async with refused(Reason.FIELD_INVALID, field="subscriptions"):
            await token_of(desk, "feed", token_pb2.TOKEN_ROLE_FEED)
        names = []
        page_token = ""
        for _ in range(2):
            request = receiver_service_pb2.ListTokensRequest(page_size=1, page_token=page_token)
            answer = await desk.call(desk.receiver.ListTokens, request)
            names += [token.name for token in answer.tokens]
            page_token = answer.next_page_token
        assert (names, page_token) == (["admin", "wall"], "")
        assert answer.tokens[0].role == token_pb2.TOKEN_ROLE_VIEWER
        revoke = receiver_service_pb2.RevokeTokenRequest(name="wall")
        first = (await desk.call(desk.receiver.RevokeToken, revoke)).token
        again = (await desk.call(desk.receiver.RevokeToken, revoke)).token
        assert first.revoke_time == again.revoke_time
        await token_of(desk, "wall", token_pb2.TOKEN_ROLE_OPERATOR)
        async with refused(Reason.RESOURCE_NOT_FOUND):
            await desk.call(desk.receiver.RevokeToken, receiver_service_pb2.RevokeTokenRequest(name="x"))
        token = desk.token
    for file in (tmp_path / "r").glob("receiver.db*"):
        assert secret.encode() not in file.read_bytes()
        assert token.encode() not in file.read_bytes()


async def test_s1_the_admin_token_is_made_once_for_this_user_alone_and_replaced_when_lost(
    tmp_path: Path,
) -> None:
    file = tmp_path / "r" / "admin.token"
    async with running(tmp_path / "r") as desk:
        first = desk.token
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(first) >= 32
    async with running(tmp_path / "r") as desk:
        assert desk.token == first
    file.unlink()
    async with running(tmp_path / "r") as desk:
        assert desk.token != first
        await desk.status()
        async with refused(Reason.INVALID_CREDENTIALS):
            await desk.call(desk.receiver.GetStatus, GET_STATUS, first)


# --- Settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cloud_address", "nowhere"),
        ("cloud_address", "127.0.0.1:0"),
        ("arc_id", "north arc"),
        ("arc_key", "k\u00e9y"),
        ("arc_key", "k" * 257),
        ("sub_account", "a/b"),
        ("name", "x" * 65),
        ("name", "a\x07b"),
        ("cloud_ca_pem", "no certificate"),
        ("advertised_address", "here"),
        ("dc09_listen", "everywhere"),
    ],
)
async def test_s4_a_setting_that_makes_no_sense_is_refused_by_name(tmp_path: Path, field: str, value: str) -> None:
    async with running(tmp_path / "r") as desk, refused(Reason.FIELD_INVALID, field=field):
        await desk.set(**{field: value})


async def test_s3_a_cloud_on_another_machine_is_never_called_in_clear(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        async with refused(Reason.FIELD_INVALID, field="cloud_tls"):
            await desk.set(cloud_address="192.0.2.1:443", cloud_tls=False)
        await desk.set(cloud_address="192.0.2.1:443")


async def test_a_setting_that_has_no_effect_yet_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        for field, value in (("arc_key_set", True), ("etag", "x")):
            async with refused(Reason.FIELD_MASK_INVALID, field=field):
                await desk.set(**{field: value})


async def test_settings_changed_meanwhile_are_not_overwritten(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        get = receiver_service_pb2.GetSettingsRequest()
        read = (await desk.call(desk.receiver.GetSettings, get)).settings
        request = receiver_service_pb2.UpdateSettingsRequest(
            settings=receiver_service_pb2.ReceiverSettings(name="mine", etag=read.etag)
        )
        request.update_mask.paths.append("name")
        await desk.set(name="theirs")
        async with refused(Reason.ETAG_MISMATCH):
            await desk.call(desk.receiver.UpdateSettings, request)
        # An update whose values are in place already may be tried again, whatever its etag.
        request.settings.name = "theirs"
        assert (await desk.call(desk.receiver.UpdateSettings, request)).settings.name == "theirs"
    async with running(tmp_path / "r") as desk:
        assert (await desk.call(desk.receiver.GetSettings, get)).settings.name == "theirs"


# --- Outputs ------------------------------------------------------------------------------------------------


async def test_an_output_is_made_listed_changed_and_deleted(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        options = output_pb2.Dc09Options(key=SECRET.encode(), line_number="2")
        made = await add_output(desk, dc09=options)
        assert (made.dc09.encrypted, made.dc09.key) == (True, b"")
        again = await add_output(desk, dc09=options)
        # Its link is opened at once, so its state may be another one already.
        again.ClearField("state")
        made.ClearField("state")
        assert again == made
        async with refused(Reason.RESOURCE_EXISTS, kind="output", id="arc"):
            await add_output(desk)
        listed = await desk.call(desk.receiver.ListOutputs, receiver_service_pb2.ListOutputsRequest())
        assert [output.name for output in listed.outputs] == ["arc"]
        assert SECRET not in str(listed)
        made.required = False
        changed = await change_output(desk, made, "required", "dc09")
        assert not changed.required
        assert changed.dc09.encrypted
        async with refused(Reason.ETAG_MISMATCH, etag=changed.etag):
            await change_output(desk, output_pb2.Output(name="arc", required=True, etag=made.etag), "required")
        assert (await change_output(desk, made, "required")).etag == changed.etag
        async with refused(Reason.ETAG_MISMATCH):
            delete = receiver_service_pb2.DeleteOutputRequest(name="arc", etag=made.etag)
            await desk.call(desk.receiver.DeleteOutput, delete)
        delete = receiver_service_pb2.DeleteOutputRequest(name="arc")
        await desk.call(desk.receiver.DeleteOutput, delete)
        async with refused(Reason.RESOURCE_NOT_FOUND, kind="output", id="arc"):
            await desk.call(desk.receiver.DeleteOutput, delete)


async def test_a4_a_receiver_without_a_required_output_says_so(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        assert any("No required output" in advice for advice in (await desk.status()).advice)
        await add_output(desk)
        status = await desk.status()
        assert not any("No required output" in advice for advice in status.advice)
        assert [output.name for output in status.outputs] == ["arc"]
    async with running(tmp_path / "r") as desk:
        status = await desk.status()
        assert not status.health.problems
        assert status.outputs[0].HasField("state")


async def test_calls_of_later_releases_are_not_served(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        for method, request in ((desk.receiver.ListAuditRecords, receiver_service_pb2.ListAuditRecordsRequest()),):
            async with refused(Reason.NOT_SERVED):
                await desk.call(method, request)


# --- Devices ------------------------------------------------------------------------------------------------


async def test_s1_a_device_key_is_shown_once_and_rotated(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        made = await create_device(desk, device_id="panel-1", account_number="12ab")
        assert len(made.device_key) >= 32
        assert made.device.account_number == "12AB"
        assert made.device.supervision_interval.seconds == 180
        async with refused(Reason.RESOURCE_EXISTS, kind="device", id="panel-1"):
            await create_device(desk, device_id="panel-1", account_number="12ab")
        rotate = configuration_service_pb2.RotateDeviceKeyRequest(device_id="panel-1")
        rotated = await desk.call(desk.configuration.RotateDeviceKey, rotate)
        assert rotated.device_key != made.device_key
        assert rotated.device.etag != made.device.etag
        get = configuration_service_pb2.GetDeviceRequest(device_id="panel-1")
        shown = await desk.call(desk.configuration.GetDevice, get)
        assert shown.device == rotated.device
        assert rotated.device_key not in str(shown)
    for file in (tmp_path / "r").glob("receiver.db*"):
        assert rotated.device_key.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("device.device_id", {"device_id": "panel 1", "account_number": "1234"}),
        ("device.device_id", {"device_id": "", "account_number": "1234"}),
        ("device.device_id", {"device_id": "x" * 10_000, "account_number": "1234"}),
        ("device.account_number", {"device_id": "panel-1"}),
        ("device.account_number", {"device_id": "panel-1", "account_number": "12XY"}),
        ("device.name", {"device_id": "panel-1", "account_number": "1234", "name": "\x1b[2J"}),
        (
            "device.supervision_interval",
            {"device_id": "p", "account_number": "1234", "supervision_interval": Duration(seconds=5)},
        ),
        ("device.line_number", {"device_id": "panel-1", "account_number": "1234", "line_number": "1234567"}),
        ("device.line_number", {"device_id": "panel-1", "account_number": "1234", "line_number": "1G"}),
    ],
)
async def test_s4_a_device_that_makes_no_sense_is_refused_by_field(
    tmp_path: Path, field: str, fields: dict[str, Any]
) -> None:
    async with running(tmp_path / "r") as desk:
        async with refused(Reason.FIELD_INVALID, field=field):
            await create_device(desk, **fields)
        assert not (await list_devices(desk)).devices


async def test_an_update_changes_what_its_mask_names(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        made = (await create_device(desk, device_id="p", account_number="1234", name="Hall")).device
        changed = await change_device(desk, "name", device_id="p", name="Yard", etag=made.etag)
        assert (changed.name, changed.account_number) == ("Yard", "1234")
        async with refused(Reason.ETAG_MISMATCH, etag=changed.etag):
            await change_device(desk, "name", device_id="p", name="Roof", etag=made.etag)
        # The same again changes nothing, whatever its etag (B3: it is not sent again).
        same = await change_device(desk, "name", device_id="p", name="Yard", etag=made.etag)
        assert same == changed
        get = configuration_service_pb2.GetDigestRequest()
        assert (await desk.call(desk.configuration.GetDigest, get)).revision == 2
        async with refused(Reason.RESOURCE_NOT_FOUND, kind="device", id="q"):
            await change_device(desk, "name", device_id="q")
        async with refused(Reason.FIELD_MASK_INVALID, field="create_time"):
            await change_device(desk, "create_time", device_id="p")


async def test_devices_are_listed_in_pages_and_found_by_text_and_account(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        for number in range(7):
            account, name = ("1111", "Hall") if number % 2 else ("2222", "Yard")
            await create_device(desk, device_id=f"p{number}", account_number=account, name=name)
        found: list[str] = []
        page_token = ""
        while True:
            page = await list_devices(desk, page_size=3, page_token=page_token)
            assert page.total_count == 7
            found += [device.device_id for device in page.devices]
            page_token = page.next_page_token
            if not page_token:
                break
        assert found == [f"p{number}" for number in range(7)]
        page = await list_devices(desk, text="hALL", page_size=2)
        assert (len(page.devices), page.total_count) == (2, 3)
        page = await list_devices(desk, text="hall", page_size=2, page_token=page.next_page_token)
        assert [device.device_id for device in page.devices] == ["p5"]
        assert (await list_devices(desk, account_number="2222")).total_count == 4
        async with refused(Reason.PAGE_TOKEN_INVALID):
            await list_devices(desk, page_token="x")


# --- Status, history, versions ------------------------------------------------------------------------------


async def test_a_watch_of_the_status_streams_changes_and_ends_with_the_server(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        watch: Any = desk.receiver.WatchStatus(
            receiver_service_pb2.WatchStatusRequest(),
            metadata=(("authorization", f"Bearer {desk.token}"),),
            timeout=DEADLINE,
        )
        first = (await watch.read()).status
        assert first.receiver.address == desk.app.address
        assert any("Not connected to a cloud" in advice for advice in first.advice)
        await desk.set(name="North 1")
        while (await watch.read()).status.receiver.name != "North 1":
            pass
        stopping = asyncio.create_task(desk.app.stop())
        async with refused(Reason.SHUTTING_DOWN):
            while await watch.read():
                pass
        await stopping


async def test_a8_an_empty_history_is_listed_and_knows_no_alarm(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        feed = alarm_feed_service_pb2_grpc.AlarmFeedServiceStub(desk.channel)
        for state in (alarm_pb2.ALARM_STATE_UNSPECIFIED, alarm_pb2.ALARM_STATE_HELD):
            request = alarm_feed_service_pb2.ListAlarmsRequest(state=state)
            assert not (await desk.call(feed.ListAlarms, request)).alarms
        for get in (
            alarm_feed_service_pb2.GetAlarmRequest(number=2**64 - 1),
            alarm_feed_service_pb2.GetAlarmRequest(alarm_id="no such alarm"),
        ):
            async with refused(Reason.RESOURCE_NOT_FOUND, kind="alarm"):
                await desk.call(feed.GetAlarm, get)
        async with refused(Reason.FIELD_INVALID, field="key"):
            await desk.call(feed.GetAlarm, alarm_feed_service_pb2.GetAlarmRequest())


async def test_v3_the_version_is_told_to_everyone(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        versions = version_service_pb2_grpc.VersionServiceStub(desk.channel)
        answer = await versions.CheckVersion(version_service_pb2.CheckVersionRequest(), timeout=DEADLINE)
        assert answer.compatible
        assert answer.component == version_service_pb2.COMPONENT_RECEIVER


# --- Start --------------------------------------------------------------------------------------------------


async def test_a_data_folder_in_use_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "r"):
        second = ReceiverApp(Options(tmp_path / "r", LOOPBACK))
        with pytest.raises(DataFolderInUseError, match="in use"):
            await second.start()
        await second.stop()


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "r"):
        pass
    with sqlite3.connect(tmp_path / "r" / "receiver.db") as database:
        database.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
            ("hotspare_receiver", "desk_999", "2031-01-01"),
        )
    database.close()
    app = ReceiverApp(Options(tmp_path / "r", LOOPBACK))
    with pytest.raises(DataFolderError, match="newer version"):
        await app.start()
    await app.stop()


async def test_a_port_in_use_is_refused_and_leaves_the_folder_free(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        port = int(desk.app.address.rpartition(":")[2])
        second = ReceiverApp(Options(tmp_path / "other", Address("127.0.0.1", port)))
        with pytest.raises(ListenError, match="in use"):
            await second.start()
        await second.stop()
    async with running(tmp_path / "other"):
        pass
