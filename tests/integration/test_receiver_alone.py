"""A receiver without a role (G7): when it attends, as what, and how it comes and goes with roles and settings."""

from pathlib import Path

import pytest

from hotspare.v1 import group_pb2, receiver_service_pb2, role_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver import hot_spare
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

DISABLE = receiver_service_pb2.DisableHotSpareRequest(confirmed=True)
WORKING = group_pb2.MEMBER_STATUS_WORKING
STANDBY = group_pb2.MEMBER_STATUS_STANDBY


async def working_alone(desk: Desk, cloud: FakeCloud, address: str) -> str:
    """Have it work alone; returns its receiver id."""
    await desk.connect(address)
    receiver_id: str = (await desk.status()).receiver.receiver_id
    cloud.working = receiver_id
    await desk.until(lambda status: status.status == WORKING)
    return receiver_id


async def test_g7_it_attends_alone_as_soon_as_the_settings_are_whole(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.set(cloud_address=address, arc_id=ARC_ID, sub_account="east")
        assert (await desk.status()).status == group_pb2.MEMBER_STATUS_UNSPECIFIED
        assert not cloud.hellos
        await desk.set(arc_key=ARC_KEY)
        status = await desk.until(lambda status: status.status == STANDBY)
        assert status.role == group_pb2.ROLE_UNSPECIFIED
        hello = cloud.hellos[0]
        assert (hello.generation, hello.sub_account) == (0, "east")
        # The list of the group is asked for by its name, for there is no role that would tell it.
        status = await desk.until(lambda status: status.HasField("group"))
        assert cloud.watched == ["east"]


async def test_g7_it_works_alone_and_after_a_restart_again(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        async with running(tmp_path / "r") as desk:
            await working_alone(desk, cloud, address)
        cloud.epoch = 2
        async with running(tmp_path / "r") as desk:
            status = await desk.until(lambda status: status.status == WORKING)
            assert (status.role, status.lease.epoch) == (group_pb2.ROLE_UNSPECIFIED, 2)


async def test_g7_the_host_role_is_taken_under_the_same_epoch(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await working_alone(desk, cloud, address)
        generation = (await desk.enable()).member.generation
        assert (await desk.status()).status == WORKING
        await wait_until(lambda: cloud.hellos[-1].generation == generation)
        beats = len(cloud.beats)
        await wait_until(lambda: len(cloud.beats) > beats + 1)
        assert (cloud.beats[-1].epoch, cloud.beats[-1].released_through) == (1, 0)


async def test_x2_a_host_that_is_switched_off_goes_on_alone(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await working_alone(desk, cloud, address)
        await desk.enable()
        await desk.call(desk.receiver.DisableHotSpare, DISABLE)
        assert cloud.left[0].released_through == 1
        await wait_until(lambda: cloud.hellos[-1].generation == 0 and cloud.hellos[-1].released_through == 1)
        cloud.epoch = 2
        status = await desk.until(lambda status: status.status == WORKING)
        assert (status.role, status.lease.epoch) == (group_pb2.ROLE_UNSPECIFIED, 2)


async def test_x2_one_that_the_cloud_expelled_attends_alone_with_its_role_cleared(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        async with running(tmp_path / "r") as desk:
            await desk.connect(address)
            await desk.enable()
        cloud.members.clear()
        async with running(tmp_path / "r") as desk:
            status = await desk.until(lambda status: status.status == STANDBY)
            assert status.role == group_pb2.ROLE_UNSPECIFIED
            assert "ended this receiver's role" in status.advice[0]
            assert cloud.hellos[-1].generation == 0


async def test_g7_a_goodbye_that_was_not_heard_comes_before_working_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the cloud would still take it for the member that it was."""
    monkeypatch.setattr(hot_spare, "FIRST_GOODBYE_RETRY", 0.1)
    cloud = FakeCloud()
    async with running(tmp_path / "r") as desk:
        async with serving_cloud(cloud) as address:
            await desk.connect(address)
            await desk.enable()
            await wait_until(lambda: bool(cloud.attending))
        assert not (await desk.call(desk.receiver.DisableHotSpare, DISABLE)).cloud_told
        cloud.hellos.clear()
        cloud.operators.clear()
        cloud.refusals["LeaveGroup"] = HotspareError(Reason.SHUTTING_DOWN, "not yet")
        async with serving_cloud(cloud, Address("127.0.0.1", port_of(address))):
            await wait_until(lambda: "LeaveGroup" in cloud.operators)
            status = await desk.status()
            assert (status.status, cloud.hellos) == (group_pb2.MEMBER_STATUS_UNSPECIFIED, [])
            del cloud.refusals["LeaveGroup"]
            await desk.until(lambda status: status.status == STANDBY)
            assert cloud.left
            assert cloud.hellos[0].generation == 0


async def test_g7_another_sub_account_is_attended_after_the_work_was_handed_over(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await working_alone(desk, cloud, address)
        await desk.set(sub_account="east")
        assert (cloud.left[0].released_through, cloud.left[0].generation) == (1, 0)
        await wait_until(lambda: cloud.hellos[-1].sub_account == "east")
        assert cloud.hellos[-1].released_through == 0
        # The watch is a stream of its own, beside the life line.
        await wait_until(lambda: cloud.watched[-1] == "east")


async def test_g7_another_cloud_is_attended_after_the_work_was_handed_over(tmp_path: Path) -> None:
    cloud, other = FakeCloud(), FakeCloud()
    async with serving_cloud(cloud) as address, serving_cloud(other) as elsewhere, running(tmp_path / "r") as desk:
        await working_alone(desk, cloud, address)
        await desk.set(cloud_address=elsewhere)
        assert cloud.left[0].released_through == 1
        await wait_until(lambda: bool(other.attending) and not cloud.attending)


async def test_g7_settings_without_a_key_end_the_attendance(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await working_alone(desk, cloud, address)
        await desk.set(arc_key="")
        assert cloud.left[0].released_through == 1
        status = await desk.status()
        assert (status.status, status.lease.epoch) == (group_pb2.MEMBER_STATUS_UNSPECIFIED, 0)
        assert "set arc_key" in status.advice[0]


async def test_g7_refused_settings_change_nothing_about_the_work(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await working_alone(desk, cloud, address)
        async with refused(Reason.FIELD_INVALID, field="sub_account"):
            await desk.set(sub_account="no/slashes")
        assert ((await desk.status()).status, cloud.left, len(cloud.hellos)) == (WORKING, [], 1)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (group_pb2.STANDBY_REASON_HOST_EXISTS, "enable it as a spare"),
        (group_pb2.STANDBY_REASON_ANOTHER_WORKS_ALONE, "Another receiver without a role"),
        (group_pb2.STANDBY_REASON_PAUSED, ""),
    ],
)
async def test_g7_it_says_why_it_takes_no_alarms(
    tmp_path: Path, reason: group_pb2.StandbyReason.ValueType, words: str
) -> None:
    cloud = FakeCloud(standby_reason=int(reason))
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        status = await desk.until(lambda status: status.status == STANDBY)
        assert status.standby_reason == reason
        assert any(words in advice for advice in status.advice)


async def test_f9_a_spare_says_why_it_stands_by(tmp_path: Path) -> None:
    cloud = FakeCloud(standby_reason=int(group_pb2.STANDBY_REASON_HELD_BACK))
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable(group_pb2.ROLE_SPARE_1)
        status = await desk.until(lambda status: status.status == STANDBY)
        assert status.standby_reason == group_pb2.STANDBY_REASON_HELD_BACK


async def test_g7_an_older_cloud_is_no_fault_of_the_settings_and_a_role_still_works(tmp_path: Path) -> None:
    cloud = FakeCloud(older=True)
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        status = await desk.until(lambda status: "without a role" in status.cloud.last_problem)
        assert status.cloud.last_reason == "NOT_A_MEMBER"
        assert any("takes no receiver without a role" in advice for advice in status.advice)
        await desk.enable()
        await desk.until(lambda status: status.cloud.connected)


async def test_b2_a_receiver_without_a_role_may_edit(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await working_alone(desk, cloud, address)
        await desk.edit("panel-1")
        await desk.call(desk.receiver.DisableHotSpare, DISABLE)
        assert (await desk.status()).status == WORKING


async def test_f10_its_own_account_number_is_told_with_every_introduction(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        for wrong in ("12", "12345678901234567", "12G4", "12 4"):
            async with refused(Reason.FIELD_INVALID, field="own_account_number"):
                await desk.set(own_account_number=wrong)
        await desk.set(own_account_number="12ab")
        await desk.connect(address)
        await wait_until(lambda: bool(cloud.hellos))
        assert cloud.hellos[0].receiver.own_account_number == "12AB"
        assert (await desk.enable()).member.receiver.own_account_number == "12AB"
        await wait_until(lambda: bool(cloud.hellos[-1].generation))
        # A change is told without waiting for the next start, and costs no lease.
        await desk.set(own_account_number="")
        await wait_until(lambda: cloud.hellos[-1].receiver.own_account_number == "")
        settings = (await desk.call(desk.receiver.GetSettings, receiver_service_pb2.GetSettingsRequest())).settings
        assert settings.own_account_number == ""


async def test_f3_the_disk_floor_is_a_setting(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        settings = (await desk.call(desk.receiver.GetSettings, receiver_service_pb2.GetSettingsRequest())).settings
        assert settings.disk_floor_bytes == 512_000_000
        for wrong in (1, 10**14):
            async with refused(Reason.FIELD_INVALID, field="disk_floor_bytes"):
                await desk.set(disk_floor_bytes=wrong)
        await desk.set(disk_floor_bytes=10**13)
        status = await desk.until(lambda status: any(problem.kind == LOW for problem in status.health.problems))
        assert any("the floor is 10000000000000" in advice for advice in status.advice)


LOW = group_pb2.HEALTH_PROBLEM_KIND_DISK_LOW


async def test_g7_joining_is_asked_with_the_sub_account_of_the_settings(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address, sub_account="east")
        await desk.call(desk.roles.PauseFailover, role_service_pb2.PauseFailoverRequest())
        assert cloud.asked["PauseFailover"].sub_account == "east"
        await desk.enable()
        await desk.call(desk.roles.PauseFailover, role_service_pb2.PauseFailoverRequest())
        assert cloud.asked["PauseFailover"].sub_account == ""
