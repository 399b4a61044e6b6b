"""A receiver's role: taking it, losing it, giving it up; and the settings that go with it."""

import asyncio
import json
import logging
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotspare.v1 import group_pb2, receiver_service_pb2, role_service_pb2, token_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.store.settings import SettingsStore
from hotspare_rpc.address import Address
from hotspare_rpc.errors import UnknownReasonError, from_rpc_error, of_newer_peer
from tests.integration.test_receiver_desk_support import (
    ARC_ID,
    ARC_KEY,
    DEADLINE,
    Desk,
    FakeCloud,
    port_of,
    refused,
    running,
    serving_cloud,
    wait_until,
)

DISABLE = receiver_service_pb2.DisableHotSpareRequest(confirmed=True)


async def test_g1_an_enabled_receiver_attends_and_shows_its_group(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        member = (await desk.enable()).member
        assert member.role == group_pb2.ROLE_HOST
        cloud.working = member.receiver.receiver_id
        status = await desk.until(lambda status: status.status == group_pb2.MEMBER_STATUS_WORKING)
        assert (status.role, status.lease.epoch) == (group_pb2.ROLE_HOST, 1)
        assert 0 < status.lease.remaining.ToTimedelta().total_seconds() <= 1
        status = await desk.until(lambda status: len(status.members) == 1)
        assert status.members[0].is_self
        assert cloud.operators["JoinGroup"] == "admin"


async def test_enabling_again_changes_nothing_also_while_the_cloud_is_away(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with running(tmp_path / "r") as desk:
        async with serving_cloud(cloud) as address:
            await desk.connect(address)
            first = (await desk.enable()).member
            assert (await desk.enable()).member.generation == first.generation
            await wait_until(lambda: bool(cloud.attending))
        again = (await desk.enable()).member
        assert (again.role, again.receiver.receiver_id) == (first.role, first.receiver.receiver_id)
        async with refused(Reason.CLOUD_UNREACHABLE, cloud_address=address):
            await desk.enable(group_pb2.ROLE_SPARE_1)


async def test_a_role_and_the_receiver_id_survive_a_restart_and_the_incarnation_does_not(
    tmp_path: Path,
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        async with running(tmp_path / "r") as desk:
            await desk.connect(address)
            before = (await desk.enable()).member
        async with running(tmp_path / "r") as desk:
            status = await desk.until(lambda status: status.cloud.connected)
            assert status.role == before.role
            assert status.receiver.receiver_id == before.receiver.receiver_id


async def test_enabling_without_a_cloud_names_what_is_missing(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        await desk.set(arc_id=ARC_ID)
        async with refused(Reason.CLOUD_NOT_CONFIGURED, missing="cloud_address, arc_key"):
            await desk.enable()


async def test_g1_a_refusal_of_the_cloud_reaches_the_operator_and_changes_nothing(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        cloud.refusals["JoinGroup"] = HotspareError(Reason.HOST_MISSING, "no host", role="SPARE_1")
        async with refused(Reason.HOST_MISSING, role="SPARE_1"):
            await desk.enable(group_pb2.ROLE_SPARE_1)
        assert (await desk.status()).role == group_pb2.ROLE_UNSPECIFIED


async def test_g3_a_wrong_key_is_told_as_the_receivers_own(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address, running(tmp_path / "r") as desk:
        await desk.set(cloud_address=address, arc_id=ARC_ID, arc_key="another")
        with pytest.raises(grpc.aio.AioRpcError, match="the cloud does not take this receiver's ARC id") as raised:
            await desk.enable()
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "another" not in str(raised.value)
        told = from_rpc_error(raised.value)
        assert told is not None
        # Else a program would take its own token for the one that is wrong.
        assert told.metadata == {"of": "receiver"}


async def test_v3_what_a_newer_cloud_refuses_is_told_with_its_own_code_and_reason(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        newer = UnknownReasonError(Reason.CLOUD_UNREACHABLE, "OF_NEXT_YEAR", "FAILED_PRECONDITION", "not so", None)
        cloud.refusals["JoinGroup"] = newer
        with pytest.raises(grpc.aio.AioRpcError, match="not so") as raised:
            await desk.enable()
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        told = of_newer_peer(raised.value, Reason.INTERNAL)
        assert told is not None
        assert told.name == "OF_NEXT_YEAR"


async def test_g4_the_sub_account_is_fixed_while_a_role_is_held(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        async with refused(Reason.ROLE_HELD, setting="sub_account", role="HOST"):
            await desk.set(sub_account="east")
        await desk.set(arc_id=ARC_ID, arc_key=ARC_KEY, sub_account="default", name="still the same group")


async def test_g5_dual_connection_and_a_spare_role_exclude_each_other(tmp_path: Path) -> None:
    async with serving_cloud(FakeCloud()) as address, running(tmp_path / "r") as desk:
        await desk.connect(address, dual_connection=True)
        async with refused(Reason.DUAL_CONNECTION_NOT_ALLOWED, role="SPARE_1"):
            await desk.enable(group_pb2.ROLE_SPARE_1)
        await desk.set(dual_connection=False)
        await desk.enable(group_pb2.ROLE_SPARE_1)
        async with refused(Reason.DUAL_CONNECTION_NOT_ALLOWED, role="SPARE_1"):
            await desk.set(dual_connection=True)


async def test_x4_giving_the_role_up_asks_first_and_then_leaves(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        member = (await desk.enable()).member
        cloud.working = member.receiver.receiver_id
        await desk.until(lambda status: status.status == group_pb2.MEMBER_STATUS_WORKING)
        with pytest.raises(grpc.aio.AioRpcError, match="hot spare of the whole group"):
            await desk.call(desk.receiver.DisableHotSpare, receiver_service_pb2.DisableHotSpareRequest())
        assert not cloud.left
        answer = await desk.call(desk.receiver.DisableHotSpare, DISABLE)
        assert answer.cloud_told
        assert (cloud.left[0].released_through, cloud.left[0].generation) == (1, member.generation)
        status = await desk.status()
        assert (status.role, status.lease.epoch) == (group_pb2.ROLE_UNSPECIFIED, 0)
        again = await desk.call(desk.receiver.DisableHotSpare, DISABLE)
        assert again.cloud_told
        assert len(cloud.left) == 1


async def left_unheard(desk: Desk, cloud: FakeCloud) -> str:
    """Give a role up while the cloud is away; its address."""
    async with serving_cloud(cloud) as address:
        await desk.connect(address)
        await desk.enable()
    assert not (await desk.call(desk.receiver.DisableHotSpare, DISABLE)).cloud_told
    return address


async def test_x2_a_goodbye_that_the_cloud_did_not_hear_is_said_after_a_restart(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with running(tmp_path / "r") as desk:
        async with serving_cloud(cloud) as address:
            await desk.connect(address)
            generation = (await desk.enable()).member.generation
            await wait_until(lambda: bool(cloud.attending))
        answer = await desk.call(desk.receiver.DisableHotSpare, DISABLE)
        assert not answer.cloud_told
        status = await desk.status()
        assert status.role == group_pb2.ROLE_UNSPECIFIED
        assert any("not heard" in advice for advice in status.advice)
        # The goodbye keeps the credentials of then, whatever the settings say now (S1: not in the database).
        await desk.set(cloud_address="127.0.0.1:9", arc_key="another")
        assert stat.S_IMODE((tmp_path / "r" / "goodbye.key").stat().st_mode) == 0o600
    async with serving_cloud(cloud, Address("127.0.0.1", port_of(address))), running(tmp_path / "r") as desk:
        await wait_until(lambda: bool(cloud.left))
        assert cloud.left[0].generation == generation
        await wait_until(lambda: not (tmp_path / "r" / "goodbye.key").exists())
        assert not cloud.members


async def test_g7_a_goodbye_that_could_not_be_forgotten_is_not_the_end_of_the_receiver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is there this receiver attends nothing; on a full disk it could not be deleted."""
    cloud, failures = FakeCloud(), [HotspareError(Reason.DISK_LOW, "the disk is full"), OSError("no space")]
    forget = SettingsStore.forget_goodbye

    async def forgotten(store: SettingsStore) -> None:
        if store.goodbye is not None and failures:
            raise failures.pop()
        await forget(store)

    monkeypatch.setattr(SettingsStore, "forget_goodbye", forgotten)
    async with running(tmp_path / "r") as desk:
        address = await left_unheard(desk, cloud)
        async with serving_cloud(cloud, Address("127.0.0.1", port_of(address))):
            await wait_until(lambda: not (tmp_path / "r" / "goodbye.key").exists())
            assert not failures
            await wait_until(lambda: bool(cloud.attending))


async def test_a_role_taken_anew_is_not_given_up_by_an_older_goodbye(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with running(tmp_path / "r") as desk:
        address = await left_unheard(desk, cloud)
        async with serving_cloud(cloud, Address("127.0.0.1", port_of(address))):
            async with asyncio.timeout(DEADLINE):
                while True:
                    try:
                        await desk.enable()
                        break
                    except grpc.aio.AioRpcError:
                        await asyncio.sleep(0.1)
            status = await desk.until(lambda status: status.cloud.connected)
            assert status.role == group_pb2.ROLE_HOST
            assert cloud.members
            assert not any("not heard" in advice for advice in status.advice)


@pytest.mark.parametrize("reason", [Reason.NOT_A_MEMBER, Reason.HOT_SPARE_ENDED])
async def test_x2_a_receiver_that_the_cloud_does_not_know_any_more_clears_its_role(
    tmp_path: Path, reason: Reason
) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        async with running(tmp_path / "r") as desk:
            await desk.connect(address)
            await desk.enable()
        cloud.refusals["Attend"] = HotspareError(reason, "gone for good", generation=1)
        async with running(tmp_path / "r") as desk:
            status = await desk.until(lambda status: status.role == group_pb2.ROLE_UNSPECIFIED)
            assert "gone for good" in status.advice[0]
            del cloud.refusals["Attend"]
            await desk.enable()
            await desk.until(lambda status: status.cloud.connected and len(status.advice) == 1)
        async with running(tmp_path / "r") as desk:
            assert (await desk.status()).role == group_pb2.ROLE_HOST


async def test_g6_members_are_asked_of_the_cloud_with_the_operators_name(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        async with refused(Reason.CLOUD_NOT_CONFIGURED):
            await desk.call(desk.roles.ListMembers, role_service_pb2.ListMembersRequest())
        await desk.connect(address)
        await desk.enable()
        answer = await desk.call(desk.roles.ListMembers, role_service_pb2.ListMembersRequest())
        assert [member.is_self for member in answer.members] == [True]
        assert cloud.operators["ListMembers"] == "admin"


async def test_g6_a_watch_of_the_members_streams_a_change_and_ends_with_its_token(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        created = await desk.call(
            desk.receiver.CreateToken,
            receiver_service_pb2.CreateTokenRequest(name="wall", role=token_pb2.TOKEN_ROLE_VIEWER),
        )
        watch: Any = desk.roles.WatchMembers(
            role_service_pb2.WatchMembersRequest(),
            metadata=(("authorization", f"Bearer {created.secret}"),),
            timeout=DEADLINE,
        )
        assert len((await watch.read()).members) == 1
        cloud.members["other"] = group_pb2.Member(role=group_pb2.ROLE_SPARE_1)
        cloud.notify()
        assert len((await watch.read()).members) == 2
        await desk.call(desk.receiver.RevokeToken, receiver_service_pb2.RevokeTokenRequest(name="wall"))
        async with refused(Reason.INVALID_CREDENTIALS):
            await watch.read()


async def test_leaving_by_role_service_goes_the_same_way(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.call(desk.roles.JoinGroup, role_service_pb2.JoinGroupRequest(role=group_pb2.ROLE_HOST))
        await desk.until(lambda status: status.cloud.connected)
        async with refused(Reason.CONFIRMATION_REQUIRED):
            await desk.call(desk.roles.LeaveGroup, role_service_pb2.LeaveGroupRequest())
        await desk.call(desk.roles.LeaveGroup, role_service_pb2.LeaveGroupRequest(confirmed=True))
        assert (await desk.status()).role == group_pb2.ROLE_UNSPECIFIED
        assert not cloud.members


async def test_f5_a_receiver_that_stops_hands_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address:
        async with running(tmp_path / "r") as desk:
            await desk.connect(address)
            cloud.working = (await desk.enable()).member.receiver.receiver_id
            await desk.until(lambda status: status.status == group_pb2.MEMBER_STATUS_WORKING)
            caplog.set_level(logging.WARNING)
        assert "hand_over_overdue" not in caplog.messages


async def test_s1_the_arc_key_stands_in_a_file_of_its_own_and_is_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving_cloud(FakeCloud()) as address, running(tmp_path / "r") as desk:
        await desk.connect(address)
        await desk.enable()
        key_file = tmp_path / "r" / "arc.key"
        assert key_file.read_text().strip() == ARC_KEY
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        settings = (await desk.call(desk.receiver.GetSettings, receiver_service_pb2.GetSettingsRequest())).settings
        assert settings.arc_key_set
        shown = f"{settings}{await desk.status()}"
    for file in (tmp_path / "r").glob("receiver.db*"):
        assert ARC_KEY.encode() not in file.read_bytes()
    logged = json.dumps([[record.getMessage(), str(vars(record))] for record in caplog.records])
    assert ARC_KEY not in shown + logged
    assert desk.token not in shown + logged
