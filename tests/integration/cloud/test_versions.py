"""CheckVersion at the cloud: open to all, and with credentials the plan of a group (V2, V3)."""

from typing import Any

import grpc
import pytest

from hotspare.v1 import group_pb2, version_service_pb2, version_service_pb2_grpc
from hotspare_model.errors import Reason
from hotspare_rpc.credentials import BearerToken, DeviceCredentials, ReceiverCredentials, new_secret
from hotspare_rpc.version import SOFTWARE_VERSION
from tests.integration.cloud.helpers import DEADLINE, Account, CloudProcess, refused, until_asked
from tests.integration.cloud.receivers import HOST, SPARE_1, SPARE_2, Receiver

OLD = "0.0.1"
NONE, NOW = version_service_pb2.UPGRADE_STEP_NONE, version_service_pb2.UPGRADE_STEP_UPGRADE_NOW
WAIT, NEWER = version_service_pb2.UPGRADE_STEP_WAIT, version_service_pb2.UPGRADE_STEP_NEWER_THAN_HOST


def check(
    channel: grpc.aio.Channel, metadata: Any = (), **request: str
) -> "grpc.aio.UnaryUnaryCall[Any, version_service_pb2.CheckVersionResponse]":
    """CheckVersion."""
    stub = version_service_pb2_grpc.VersionServiceStub(channel)
    return stub.CheckVersion(version_service_pb2.CheckVersionRequest(**request), metadata=metadata, timeout=DEADLINE)


def steps(answer: version_service_pb2.CheckVersionResponse) -> list[int]:
    """What is next for the cloud and for each member."""
    return [answer.cloud_step, *(member.step for member in answer.members)]


async def member(channel: grpc.aio.Channel, account: Account, role: int, version: str, **more: Any) -> Receiver:
    """A member that attends, of a release, whose copy is up to date."""
    receiver = Receiver(channel, account, software_version=version, **more)
    receiver.says["sync_state"] = group_pb2.SYNC_STATE_UP_TO_DATE
    await receiver.join(role)
    await receiver.attend()
    return receiver


async def test_v2_v3_without_credentials_only_the_version_is_told(channel: grpc.aio.Channel) -> None:
    answer = await check(channel)
    assert answer == version_service_pb2.CheckVersionResponse(
        software_version=SOFTWARE_VERSION,
        component=version_service_pb2.COMPONENT_CLOUD,
        contract_major=1,
        compatible=True,
    )


@pytest.mark.parametrize(
    ("client", "fine"), [("", True), (SOFTWARE_VERSION, True), ("0.0.1", True), ("99.0", False), ("\0" * 9999, False)]
)
async def test_v3_a_client_learns_whether_it_works_with_this_cloud(
    channel: grpc.aio.Channel, client: str, fine: bool
) -> None:
    answer = await check(channel, software_version=client)
    assert (answer.compatible, bool(answer.detail)) == (fine, not fine)


async def test_v2_a_member_is_told_what_is_next_for_each_in_order(channel: grpc.aio.Channel, account: Account) -> None:
    host = await member(channel, account, HOST, OLD)
    await host.until_working()
    two = await member(channel, account, SPARE_2, OLD)
    one = await member(channel, account, SPARE_1, OLD)
    answer = await until_asked(
        lambda: check(channel, two.metadata), lambda told: steps(told) == [NONE, NOW, WAIT, WAIT]
    )
    assert [each.receiver_id for each in answer.members] == [host.receiver_id, one.receiver_id, two.receiver_id]
    assert [each.role for each in answer.members] == [HOST, SPARE_1, SPARE_2]
    assert [each.software_version for each in answer.members] == [OLD] * 3
    assert answer.cloud_version == SOFTWARE_VERSION
    assert "hands over" in answer.members[0].detail


async def test_v2_a_member_that_comes_back_upgraded_is_seen_and_the_next_waits_until_it_is_in_sync(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host = await member(channel, account, HOST, SOFTWARE_VERSION)
    one = await member(channel, account, SPARE_1, OLD)
    await member(channel, account, SPARE_2, OLD)
    await until_asked(lambda: check(channel, host.metadata), lambda told: steps(told) == [NONE, NONE, NOW, WAIT])
    await one.vanish()
    again = one.started_anew()
    again.info["software_version"] = SOFTWARE_VERSION
    again.says["sync_state"] = group_pb2.SYNC_STATE_SYNCING
    await again.attend()
    answer = await until_asked(
        lambda: check(channel, host.metadata), lambda told: steps(told) == [NONE, NONE, NONE, WAIT]
    )
    assert "not in sync yet" in answer.members[2].detail
    again.says["sync_state"] = group_pb2.SYNC_STATE_UP_TO_DATE
    await until_asked(lambda: check(channel, host.metadata), lambda told: steps(told) == [NONE, NONE, NONE, NOW])


async def test_v2_a_member_newer_than_the_cloud_puts_the_cloud_first(
    channel: grpc.aio.Channel, account: Account
) -> None:
    host = await member(channel, account, HOST, SOFTWARE_VERSION)
    await member(channel, account, SPARE_1, "99.0")
    assert steps(await check(channel, host.metadata)) == [NOW, WAIT, NEWER]


async def test_v2_the_clouds_operator_names_the_account(
    channel: grpc.aio.Channel, cloud: CloudProcess, account: Account
) -> None:
    await member(channel, account, HOST, OLD)
    operator = BearerToken(cloud.token).metadata()
    assert steps(await check(channel, operator, arc_id=account.arc_id)) == [NONE, NOW]
    assert steps(await check(channel, operator, arc_id=account.arc_id, sub_account="second")) == [NONE]
    assert not (await check(channel, operator)).cloud_version
    assert (await refused(check(channel, operator, arc_id="nobody"))).reason is Reason.RESOURCE_NOT_FOUND


async def test_s1_s2_who_shows_wrong_credentials_is_refused_and_learns_nothing(
    channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    host = await member(channel, account, HOST, OLD)
    for metadata in (
        ReceiverCredentials(account.arc_id, new_secret(), host.receiver_id).metadata(),
        ReceiverCredentials("nobody", account.key, host.receiver_id).metadata(),
        host.metadata[:1] + host.metadata[2:],
        BearerToken(new_secret()).metadata(),
        (("authorization", "Basic abc"),),
    ):
        for request in ({}, {"arc_id": account.arc_id}):
            assert (await refused(check(channel, metadata, **request))).reason is Reason.INVALID_CREDENTIALS
    stranger = Receiver(channel, other_account)
    answer = await check(channel, stranger.metadata, arc_id=account.arc_id)
    assert not answer.members, "the account is that of the credentials"


async def test_s1_a_device_is_told_the_version_alone(channel: grpc.aio.Channel, account: Account) -> None:
    answer = await check(channel, DeviceCredentials(account.arc_id, "panel-1", new_secret()).metadata())
    assert (answer.software_version, answer.cloud_version) == (SOFTWARE_VERSION, "")
