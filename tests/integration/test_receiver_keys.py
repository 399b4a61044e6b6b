"""A receiver takes a second key of its account over, with the cloud as a process: no role and no work is lost (X3)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hotspare.v1 import group_pb2, receiver_service_pb2, role_service_pb2
from hotspare_model.errors import Reason
from hotspare_model.group import GroupSettings
from tests.integration.cloud.helpers import Account, CloudProcess, furnish, new_accounts, run_cloud
from tests.integration.test_receiver_desk_support import Desk, refused, running, wait_until


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[CloudProcess, Account]]:
    """A cloud with one account."""
    cloud = CloudProcess(tmp_path / "cloud", "--disk-floor", "0")
    (account,) = new_accounts("own", 1)
    await furnish(cloud.data, [account], GroupSettings())
    cloud.start()
    yield cloud, account
    cloud.kill()


async def rotated(cloud: CloudProcess, account: Account) -> Account:
    """The account with a new key, beside the old one. In a thread: the receivers live in this loop."""
    made = await asyncio.to_thread(run_cloud, "account", "rotate-key", account.arc_id, "--data", str(cloud.data))
    assert made.returncode == 0, made
    return replace(account, key=made.stdout.strip())


async def ended(cloud: CloudProcess, account: Account, *more: str) -> None:
    made = await asyncio.to_thread(
        run_cloud, "account", "end-rotation", account.arc_id, "--data", str(cloud.data), *more
    )
    assert made.returncode == 0, made


async def connect(desk: Desk, cloud: CloudProcess, account: Account, role: int) -> None:
    await desk.set(cloud_address=cloud.address, arc_id=account.arc_id, arc_key=account.key)
    await desk.enable(group_pb2.Role.ValueType(role))
    await desk.until(lambda status: status.cloud.connected)


async def members(desk: Desk) -> role_service_pb2.ListMembersResponse:
    answer: role_service_pb2.ListMembersResponse = await desk.call(
        desk.roles.ListMembers, role_service_pb2.ListMembersRequest()
    )
    return answer


async def moves(desk: Desk) -> int:
    answer = await desk.call(desk.roles.ListTransitions, role_service_pb2.ListTransitionsRequest())
    return len(answer.transitions)


async def test_x3_a_second_key_of_the_account_is_taken_over_without_losing_role_or_work(
    served: tuple[CloudProcess, Account], tmp_path: Path
) -> None:
    cloud, account = served
    async with running(tmp_path / "host", machine_id="a") as host, running(tmp_path / "spare", machine_id="b") as spare:
        await connect(host, cloud, account, group_pb2.ROLE_HOST)
        await connect(spare, cloud, account, group_pb2.ROLE_SPARE_1)
        await host.until(lambda status: status.status == group_pb2.MEMBER_STATUS_WORKING)
        epoch, lines = (await members(host)).group.epoch, await moves(host)
        new = await rotated(cloud, account)
        assert [row.uses_old_key for row in (await members(host)).members] == [True, True]
        for desk in (host, spare):
            # Unconfirmed: nothing ends by it.
            await desk.set(arc_key=new.key)
        await host.until(lambda status: not any(row.uses_old_key for row in status.members) and bool(status.members))
        await ended(cloud, account)
        for desk, role in ((host, group_pb2.ROLE_HOST), (spare, group_pb2.ROLE_SPARE_1)):
            status = await desk.until(lambda status: status.cloud.connected and len(status.members) == 2)
            assert status.role == role
            assert (desk.folder / "arc.key").read_text().strip() == new.key
        after = await members(host)
        assert (after.group.epoch, await moves(host)) == (epoch, lines), "nobody moved"
        assert [row.status for row in after.members] == [
            group_pb2.MEMBER_STATUS_WORKING,
            group_pb2.MEMBER_STATUS_STANDBY,
        ]


async def test_x3_a_key_of_nobody_switches_the_hot_spare_off_and_asks_first(
    served: tuple[CloudProcess, Account], tmp_path: Path
) -> None:
    cloud, account = served
    async with running(tmp_path / "host") as host:
        await connect(host, cloud, account, group_pb2.ROLE_HOST)
        await rotated(cloud, account)
        async with refused(Reason.CONFIRMATION_REQUIRED):
            await host.set(arc_key="a-key-that-is-none-of-the-two")
        assert (await host.status()).role == group_pb2.ROLE_HOST
        assert len((await members(host)).members) == 1


async def test_x3_a_receiver_whose_old_key_has_ended_comes_back_in_its_role_with_the_new_one(
    served: tuple[CloudProcess, Account], tmp_path: Path
) -> None:
    cloud, account = served
    async with running(tmp_path / "host") as host:
        await connect(host, cloud, account, group_pb2.ROLE_HOST)
        new = await rotated(cloud, account)
        await ended(cloud, account, "--force")
        await host.until(lambda status: not status.cloud.connected)
        await host.set(arc_key=new.key)
        status = await host.until(lambda status: status.cloud.connected)
        assert status.role == group_pb2.ROLE_HOST


async def test_x2_x3_a_goodbye_whose_key_has_ended_is_said_with_the_key_of_today(
    served: tuple[CloudProcess, Account], tmp_path: Path
) -> None:
    cloud, account = served
    async with running(tmp_path / "host") as host:
        await connect(host, cloud, account, group_pb2.ROLE_HOST)
        await asyncio.to_thread(cloud.stop)
        request = receiver_service_pb2.DisableHotSpareRequest(confirmed=True)
        assert not (await host.call(host.receiver.DisableHotSpare, request)).cloud_told
        new = await rotated(cloud, account)
        await ended(cloud, account, "--force")
        await asyncio.to_thread(cloud.start)
        await host.set(arc_key=new.key)
        await wait_until(lambda: not (tmp_path / "host" / "goodbye.key").exists())
        await host.until(lambda status: not any("not heard" in advice for advice in status.advice))
        assert [row.role for row in (await members(host)).members if row.role] == []
