"""Two keys of an ARC account for a bounded time: who may use which, who still does, and how the old one ends (X3)."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from hotspare.v1 import account_service_pb2, account_service_pb2_grpc, group_pb2, role_service_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.channel import open_channel
from hotspare_rpc.credentials import BearerToken, ReceiverCredentials
from tests.integration.cloud.helpers import (
    DEADLINE,
    SEDATE,
    Account,
    CloudProcess,
    furnish,
    new_accounts,
    query,
    refused,
    run_cloud,
    to_its_end,
    until,
    until_asked,
)
from tests.integration.cloud.receivers import SPARE_1, Receiver
from tests.integration.cloud.scene import Scene


class Operator:
    """The cloud's operator."""

    def __init__(self, cloud: CloudProcess, channel: grpc.aio.Channel) -> None:
        self._stub = account_service_pb2_grpc.AccountServiceStub(channel)
        self._metadata = BearerToken(cloud.token).metadata()

    async def rotate(self, account: Account, **fields: Any) -> tuple[Account, account_service_pb2.ArcAccount]:
        """Rotate; returns the account with its new key, and what the cloud tells of it."""
        request = account_service_pb2.RotateArcKeyRequest(arc_id=account.arc_id, **fields)
        answer = await self._stub.RotateArcKey(request, metadata=self._metadata, timeout=DEADLINE)
        return replace(account, key=answer.arc_key), answer.account

    async def end(self, account: Account, *, force: bool = False) -> None:
        """End the rotation."""
        request = account_service_pb2.EndArcKeyRotationRequest(arc_id=account.arc_id, force=force)
        await self._stub.EndArcKeyRotation(request, metadata=self._metadata, timeout=DEADLINE)

    async def account(self, account: Account) -> account_service_pb2.ArcAccount:
        """The account, as it is shown."""
        request = account_service_pb2.GetArcAccountRequest(arc_id=account.arc_id)
        return (await self._stub.GetArcAccount(request, metadata=self._metadata, timeout=DEADLINE)).account


@pytest.fixture
def operator(cloud: CloudProcess, channel: grpc.aio.Channel) -> Operator:
    return Operator(cloud, channel)


@pytest.fixture
async def other_channel(cloud: CloudProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(cloud.address, None) as opened:
        yield opened


def shows(receiver: Receiver, account: Account) -> None:
    """Have a receiver show the key of that account with all its calls from now on."""
    receiver.account = account
    receiver.metadata = ReceiverCredentials(account.arc_id, account.key, receiver.receiver_id).metadata()


def old_users(rows: Any) -> list[str]:
    return [row.receiver.receiver_id for row in rows if row.uses_old_key]


async def test_x3_both_keys_are_valid_until_the_rotation_ends_and_then_the_new_one_alone(
    operator: Operator, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    new, shown = await operator.rotate(account)
    left = shown.old_key_expire_time.seconds - time.time()
    assert 6.9 * 86_400 < left < 7.1 * 86_400
    assert new.key != account.key
    await scene.host.members()
    shows(scene.spare, new)
    await scene.spare.members()
    shows(scene.host, new)
    await scene.host.members()
    await operator.end(account)
    await operator.end(account)
    assert not (await operator.account(account)).HasField("old_key_expire_time")
    shows(scene.spare, account)
    assert (await refused(scene.spare.members())).reason is Reason.INVALID_CREDENTIALS
    assert len((await scene.host.members()).members) == 2


async def test_x3_the_list_and_the_watch_tell_who_still_uses_the_old_key(
    operator: Operator, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=2)
    host, spare, away = scene.receivers
    assert old_users((await host.members()).members) == []
    watch: Any = host.roles.WatchMembers(
        role_service_pb2.WatchMembersRequest(), metadata=host.metadata, timeout=DEADLINE
    )
    assert old_users((await watch.read()).members) == []
    new, _ = await operator.rotate(account)
    assert old_users((await watch.read()).members) == [host.receiver_id, spare.receiver_id, away.receiver_id]
    shows(spare, new)
    await spare.members()
    assert old_users((await watch.read()).members) == [host.receiver_id, away.receiver_id]
    error = await refused(operator.end(account))
    assert error.reason is Reason.KEY_IN_USE
    assert set(error.metadata["receivers"].split(",")) == {host.receiver_id, away.receiver_id}
    # One that went back counts again: its settings were set back, or its disk was.
    shows(spare, account)
    assert spare.receiver_id in old_users((await spare.members()).members)
    await operator.end(account, force=True)
    assert (await refused(host.members())).reason is Reason.INVALID_CREDENTIALS


async def test_x3_a_second_rotation_is_refused_and_a_restart_ends_the_first_ones_new_key(
    operator: Operator, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    first, shown = await operator.rotate(account, overlap=Duration(seconds=3600))
    error = await refused(operator.rotate(account))
    assert error.reason is Reason.ROTATION_RUNNING
    assert error.metadata["old_key_expire_time"].endswith("Z")
    shows(scene.spare, first)
    line = await scene.spare.attend()
    second, again = await operator.rotate(account, restart=True)
    assert again.old_key_expire_time.seconds > shown.old_key_expire_time.seconds
    await until(lambda: line.error is not None, "the stream under the abandoned key ended")
    assert line.error is not None
    assert line.error.reason is Reason.INVALID_CREDENTIALS
    assert (await refused(scene.spare.members())).reason is Reason.INVALID_CREDENTIALS
    await scene.host.members()
    shows(scene.spare, second)
    assert old_users((await scene.spare.members()).members) == [scene.host.receiver_id]


async def test_x3_the_end_of_the_old_key_ends_the_streams_that_stand_under_it_and_no_others(
    operator: Operator, channel: grpc.aio.Channel, other_channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    new, _ = await operator.rotate(account)
    shows(scene.host, new)
    scene.host.reach(other_channel)
    host_line = await scene.host.attend()
    await scene.host.until_working()
    pull = await scene.host.open_pull()
    spare_line = await scene.spare.attend()
    watch = scene.spare.roles.WatchMembers(
        role_service_pb2.WatchMembersRequest(), metadata=scene.spare.metadata, timeout=DEADLINE
    )
    await watch.read()
    await operator.end(account, force=True)
    await until(lambda: spare_line.error is not None, "the life line under the old key ended")
    assert spare_line.error is not None
    assert spare_line.error.reason is Reason.INVALID_CREDENTIALS
    assert (await refused(to_its_end(watch))).reason is Reason.INVALID_CREDENTIALS
    members = await scene.host.members()
    assert members.members[0].status == group_pb2.MEMBER_STATUS_WORKING
    assert host_line.error is None
    assert pull.error is None
    await scene.devices[0].publish()
    await until(lambda: len(pull.alarms) == 1, "alarms flow under the new key")


async def test_x3_the_old_key_ends_by_itself_at_its_time_also_for_streams_and_across_a_restart(
    own_cloud: CloudProcess,
) -> None:
    (account,) = new_accounts("own", 1)
    await furnish(own_cloud.data, [account], SEDATE)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        operator = Operator(own_cloud, channel)
        scene = await Scene.set(channel, account)
        new, _ = await operator.rotate(account, overlap=Duration(seconds=60))
        shows(scene.spare, new)
        await scene.spare.members()
        await until(lambda: query(own_cloud.data, "SELECT * FROM changed_over"), "it is stored who changed over")
    own_cloud.kill()
    # A minute is the least; the test waits for less.
    _store(own_cloud, "UPDATE account SET old_key_expires_at = ?", time.time() + 4)
    own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        for receiver in scene.receivers:
            receiver.reach(channel)
        assert old_users((await scene.spare.members()).members) == [scene.host.receiver_id]
        line = await scene.host.attend()
        await until(lambda: line.error is not None, "the stream ended with its key")
        assert line.error is not None
        assert line.error.reason is Reason.INVALID_CREDENTIALS
        assert (await refused(scene.host.members())).reason is Reason.INVALID_CREDENTIALS
        assert old_users((await scene.spare.members()).members) == []
    await until(
        lambda: query(own_cloud.data, "SELECT old_key_sha256, old_key_expires_at FROM account") == [(None, None)],
        "nothing of the old key is kept",
    )


async def test_x3_what_is_wrong_with_a_rotation_is_told(operator: Operator, account: Account) -> None:
    for overlap in (Duration(seconds=59), Duration(seconds=91 * 86_400), Duration(seconds=-1)):
        error = await refused(operator.rotate(account, overlap=overlap))
        assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, "overlap")
    nobody = Account("nobody-here", "")
    assert (await refused(operator.rotate(nobody))).reason is Reason.RESOURCE_NOT_FOUND
    assert (await refused(operator.end(nobody))).reason is Reason.RESOURCE_NOT_FOUND
    assert not (await operator.account(account)).HasField("old_key_expire_time")


async def test_x3_two_rotations_at_once_do_not_both_succeed(operator: Operator, account: Account) -> None:
    answers = await asyncio.gather(*(operator.rotate(account) for _ in range(4)), return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1


@pytest.mark.parametrize("running", [True, False], ids=["beside a running cloud", "on a folder at rest"])
async def test_x3_rotation_by_the_command_line(own_cloud: CloudProcess, running: bool) -> None:
    (account,) = new_accounts("own", 1)
    await furnish(own_cloud.data, [account], SEDATE)
    data, key_file = ("--data", str(own_cloud.data)), own_cloud.data.with_name("new.key")
    if running:
        own_cloud.start()
    made = run_cloud("account", "rotate-key", account.arc_id, *data, "--overlap", "2d", "--key-out", str(key_file))
    assert made.returncode == 0, made
    assert made.stdout == ""
    assert "The old key is valid until 20" in made.stderr
    assert key_file.stat().st_mode & 0o777 == 0o600
    twice = run_cloud("account", "rotate-key", account.arc_id, *data)
    assert twice.returncode == 1, twice
    assert "--restart" in twice.stderr
    if not running:
        own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        old, new = Receiver(channel, account), Receiver(channel, account)
        shows(new, replace(account, key=key_file.read_text().strip()))
        await old.members()
        await new.members()
        await old.join(group_pb2.ROLE_HOST)
    if not running:
        own_cloud.stop()
    in_use = run_cloud("account", "end-rotation", account.arc_id, *data)
    assert in_use.returncode == 1, in_use
    assert old.receiver_id in in_use.stderr
    ended = run_cloud("account", "end-rotation", account.arc_id, *data, "--force")
    assert ended.returncode == 0, ended
    if not running:
        own_cloud.start()
    async with open_channel(own_cloud.address, None) as channel:
        for receiver in (old, new):
            receiver.reach(channel)
        await new.members()
        assert (await refused(old.members())).reason is Reason.INVALID_CREDENTIALS
    assert key_file.read_text().strip() not in own_cloud.log()


async def test_s5_the_log_tells_who_rotated(cloud: CloudProcess, operator: Operator, account: Account) -> None:
    await operator.rotate(account)
    await until(lambda: f"arc_key_rotated arc_id={account.arc_id}" in cloud.log(), "it is logged")
    line = next(line for line in cloud.log().splitlines() if f"arc_key_rotated arc_id={account.arc_id}" in line)
    assert "operator=admin" in line


async def test_g3_a_third_key_is_refused_as_ever_while_two_are_valid(
    operator: Operator, channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    await operator.rotate(account)
    errors: list[HotspareError] = []
    for wrong in (Account(account.arc_id, other_account.key), Account("nobody-here", other_account.key)):
        shows(scene.host, wrong)
        errors.append(await refused(scene.host.members()))
    assert errors[0].message == errors[1].message
    assert {error.reason for error in errors} == {Reason.INVALID_CREDENTIALS}


async def test_x3_a_receiver_that_joins_meanwhile_shows_its_key_too(
    operator: Operator, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    new, _ = await operator.rotate(account)
    late, later = Receiver(channel, account), Receiver(channel, new)
    assert (await late.join(SPARE_1)).member.uses_old_key
    assert not (await later.join(group_pb2.ROLE_SPARE_2)).member.uses_old_key
    listed = await until_asked(scene.host.members, lambda answer: len(answer.members) == 3)
    assert old_users(listed.members) == [scene.host.receiver_id, late.receiver_id]


def _store(cloud: CloudProcess, sql: str, *values: object) -> None:
    database = sqlite3.connect(cloud.data / "cloud.db")
    with database:
        database.execute(sql, values)
    database.close()
