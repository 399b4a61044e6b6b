"""What goes with a role and what stays: by an operator, the cloud, other settings, and after a crash (X1 to X4)."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1 import configuration_service_pb2, group_pb2, receiver_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.address import Address
from tests.integration.test_receiver_desk_support import (
    ARC_ID,
    ARC_KEY,
    Desk,
    FakeCloud,
    port_of,
    refused,
    running,
    serving_cloud,
    wait_until,
)

SPARE = group_pb2.ROLE_SPARE_1
NOBODY = group_pb2.ROLE_UNSPECIFIED


def in_database(folder: Path, sql: str) -> list[Any]:
    """Look into, or change, the database of a receiver that does not run."""
    database = sqlite3.connect(folder / "receiver.db")
    with database:
        rows = database.execute(sql).fetchall()
    database.close()
    return rows


async def as_spare(folder: Path, address: str, devices: int = 3) -> int:
    """Have a folder of a spare whose configuration came from its host; returns how many records that are."""
    async with running(folder) as desk:
        await desk.connect(address)
        for number in range(devices):
            await desk.edit(f"panel-{number}")
        await desk.enable(SPARE, confirmed=True)
    in_database(folder, "UPDATE copy SET synced = 1")
    count: int = in_database(folder, "SELECT count(*) FROM record WHERE record IS NOT NULL")[0][0]
    assert count >= devices
    return count


async def disable(desk: Desk, *, confirmed: bool = True) -> receiver_service_pb2.DisableHotSpareResponse:
    request = receiver_service_pb2.DisableHotSpareRequest(confirmed=confirmed)
    answer: receiver_service_pb2.DisableHotSpareResponse = await desk.call(desk.receiver.DisableHotSpare, request)
    return answer


async def move(desk: Desk, *, confirmed: bool, **values: Any) -> Any:
    """Change settings, with or without the word that the hot spare may end."""
    settings = receiver_service_pb2.ReceiverSettings(**values)
    request = receiver_service_pb2.UpdateSettingsRequest(settings=settings, confirmed=confirmed)
    request.update_mask.paths.extend(values)
    return await desk.call(desk.receiver.UpdateSettings, request)


async def devices(desk: Desk) -> int:
    answer = await desk.call(desk.configuration.ListDevices, configuration_service_pb2.ListDevicesRequest())
    return len(answer.devices)


async def test_x1_a_spare_that_is_disabled_clears_what_it_took_over_and_nothing_else(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        count = await as_spare(tmp_path / "r", address)
        async with running(tmp_path / "r") as desk:
            async with refused(Reason.CONFIRMATION_REQUIRED):
                await disable(desk, confirmed=False)
            assert await devices(desk) == 3
            answer = await disable(desk)
            assert (answer.cloud_told, answer.cleared_records) == (True, count)
            assert await devices(desk) == 0
            assert (await disable(desk)).cleared_records == 0
            settings = (await desk.call(desk.receiver.GetSettings, receiver_service_pb2.GetSettingsRequest())).settings
            assert (settings.cloud_address, settings.arc_id, settings.arc_key_set) == (address, ARC_ID, True)
        async with running(tmp_path / "r") as desk:
            assert ((await desk.status()).role, await devices(desk)) == (NOBODY, 0)
        assert not cloud.members


async def test_x4_what_goes_is_told_with_its_number(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address:
        count = await as_spare(tmp_path / "r", address)
        async with running(tmp_path / "r") as desk:
            clears = f"this receiver's role, and the configuration that it took over from the host ({count} records)"
            async with refused(Reason.CONFIRMATION_REQUIRED, clears=clears):
                await disable(desk, confirmed=False)
            async with refused(Reason.CONFIRMATION_REQUIRED, clears=clears):
                await move(desk, confirmed=False, arc_id="south")
            assert (await desk.status()).role == SPARE


async def test_x1_s5_without_the_cloud_it_leaves_and_clears_at_once_and_tells_later_who_did_it(
    tmp_path: Path,
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        count = await as_spare(tmp_path / "r", address)
    async with running(tmp_path / "r") as desk:
        answer = await disable(desk)
        assert (answer.cloud_told, answer.cleared_records) == (False, count)
        assert ((await desk.status()).role, await devices(desk)) == (NOBODY, 0)
    async with serving_cloud(cloud, Address("127.0.0.1", port_of(address))), running(tmp_path / "r"):
        await wait_until(lambda: not cloud.members)
        assert cloud.operators["LeaveGroup"] == "admin"


async def test_x2_a_hosts_own_configuration_stays(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        await desk.edit("panel")
        async with refused(Reason.CONFIRMATION_REQUIRED):
            await disable(desk, confirmed=False)
        answer = await disable(desk)
        assert (answer.cloud_told, answer.cleared_records) == (True, 0)
        assert await devices(desk) == 1
        await desk.edit("panel-2")


async def test_g8_a_spare_that_became_the_host_keeps_its_copy_as_its_own(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address:
        await as_spare(tmp_path / "r", address)
        async with running(tmp_path / "r") as desk:
            cloud_side = receiver_service_pb2.EnableHotSpareRequest(role=group_pb2.ROLE_HOST, promote=True)
            await desk.call(desk.receiver.EnableHotSpare, cloud_side)
            assert (await disable(desk)).cleared_records == 0
        # A copy that is left without a role is cleared at a start; this one is a copy no more.
        async with running(tmp_path / "r") as desk:
            await wait_until(lambda: desk.app.address != "")
            await disable(desk)
            assert await devices(desk) == 3


@pytest.mark.parametrize("reason", [Reason.NOT_A_MEMBER, Reason.HOT_SPARE_ENDED])
@pytest.mark.parametrize("role", [SPARE, group_pb2.ROLE_HOST], ids=["spare", "host"])
async def test_x2_g8_one_whose_role_ended_while_it_was_away_clears_a_copy_and_never_its_own(
    tmp_path: Path, reason: Reason, role: group_pb2.Role.ValueType
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        if role == SPARE:
            await as_spare(tmp_path / "r", address)
        else:
            async with running(tmp_path / "r") as desk:
                await desk.connect(address)
                await desk.enable()
                await desk.edit("panel")
        cloud.refusals["Attend"] = HotspareError(reason, "gone for good", generation=1)
        async with running(tmp_path / "r") as desk:
            await desk.until(lambda status: status.role == NOBODY)
            assert await devices(desk) == (0 if role == SPARE else 1)


async def test_x1_a_crash_between_the_role_and_the_copy_is_made_good_at_the_start(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address:
        await as_spare(tmp_path / "r", address)
        in_database(tmp_path / "r", "UPDATE identity SET role = NULL, generation = 0")
        async with running(tmp_path / "r") as desk:
            async with asyncio.timeout(10):
                while await devices(desk):  # noqa: ASYNC110 - as a user would
                    await asyncio.sleep(0.02)


async def test_x1_an_own_configuration_is_never_cleared_at_the_start(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        await desk.edit("panel")
    async with running(tmp_path / "r") as desk:
        await disable(desk)
        assert await devices(desk) == 1


@pytest.mark.parametrize(
    ("setting", "value"), [("cloud_address", "127.0.0.1:9"), ("arc_id", "south"), ("arc_key", "another")]
)
async def test_x3_another_cloud_account_or_key_switches_the_hot_spare_off_first(
    tmp_path: Path, setting: str, value: str
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        await as_spare(tmp_path / "r", address)
        async with running(tmp_path / "r") as desk:
            async with refused(Reason.CONFIRMATION_REQUIRED):
                await move(desk, confirmed=False, **{setting: value})
            assert ((await desk.status()).role, await devices(desk)) == (SPARE, 3)
            assert not cloud.left
            await move(desk, confirmed=True, **{setting: value})
            assert ((await desk.status()).role, await devices(desk)) == (NOBODY, 0)
            assert not cloud.members, "it left under the settings of before"
            assert cloud.operators["LeaveGroup"] == "admin"
            settings = (await desk.call(desk.receiver.GetSettings, receiver_service_pb2.GetSettingsRequest())).settings
            if setting != "arc_key":
                assert getattr(settings, setting) == value
            else:
                assert (tmp_path / "r" / "arc.key").read_text().strip() == value


async def test_x3_g4_the_sub_account_may_change_together_with_the_account(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        async with refused(Reason.ROLE_HELD, setting="sub_account"):
            await move(desk, confirmed=True, sub_account="east")
        answer = await move(desk, confirmed=True, sub_account="east", arc_id="south")
        assert (answer.settings.sub_account, (await desk.status()).role) == ("east", NOBODY)


async def test_x3_without_the_cloud_another_address_takes_hold_at_once_and_the_goodbye_goes_to_the_old_one(
    tmp_path: Path,
) -> None:
    cloud, other = FakeCloud(), FakeCloud()
    async with serving_cloud(cloud) as address:
        await as_spare(tmp_path / "r", address)
    async with serving_cloud(other) as elsewhere, running(tmp_path / "r") as desk:
        await move(desk, confirmed=True, cloud_address=elsewhere)
        assert ((await desk.status()).role, await devices(desk)) == (NOBODY, 0)
        await desk.enable()
        assert other.members
        async with serving_cloud(cloud, Address("127.0.0.1", port_of(address))):
            await wait_until(lambda: not cloud.members)
        assert other.members
        assert not other.left


async def test_x3_a_key_that_the_cloud_can_not_be_asked_about_ends_nothing(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address:
        await as_spare(tmp_path / "r", address)
    async with running(tmp_path / "r") as desk:
        for confirmed in (False, True):
            async with refused(Reason.CLOUD_UNREACHABLE):
                await move(desk, confirmed=confirmed, arc_key="another")
        assert ((await desk.status()).role, await devices(desk)) == (SPARE, 3)
        assert (tmp_path / "r" / "arc.key").read_text().strip() == ARC_KEY


async def test_g5_a_spare_can_not_switch_dual_connection_on_but_while_it_leaves(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address:
        await as_spare(tmp_path / "r", address)
        async with running(tmp_path / "r") as desk:
            async with refused(Reason.DUAL_CONNECTION_NOT_ALLOWED):
                await move(desk, confirmed=True, dual_connection=True)
            answer = await move(desk, confirmed=True, dual_connection=True, arc_id="south")
            assert answer.settings.dual_connection
