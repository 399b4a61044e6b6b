"""Who may take a role, and what the group shows of itself (G1 to G6, G8)."""

import asyncio
import base64

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hotspare.v1 import account_service_pb2, account_service_pb2_grpc, group_pb2, role_service_pb2
from hotspare_model.errors import Reason
from hotspare_rpc.credentials import BearerToken, ReceiverCredentials
from tests.integration.cloud.helpers import Account, CloudProcess, refused, until, until_asked
from tests.integration.cloud.receivers import HOST, ROLES, SPARE_1, SPARE_2, SPARE_3, Line, Pull, Receiver
from tests.integration.cloud.scene import Scene


async def test_g1_a_role_that_is_taken_is_refused_and_its_holder_and_the_free_ones_are_named(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    other = Receiver(channel, account)
    error = await refused(other.join(SPARE_1))
    assert error.reason is Reason.ROLE_TAKEN
    assert error.metadata == {
        "role": "SPARE_1",
        "holder": scene.spare.receiver_id,
        "holder_name": scene.spare.described().name,
        "free_roles": "SPARE_2,SPARE_3",
    }
    assert scene.spare.receiver_id in error.message
    error = await refused(other.join(HOST))
    assert (error.reason, error.metadata["holder"]) == (Reason.ROLE_TAKEN, scene.host.receiver_id)
    assert list((await other.members()).group.free_roles) == [SPARE_2, SPARE_3]


async def test_g1_four_roles_and_no_fifth(channel: grpc.aio.Channel, account: Account) -> None:
    await Scene.set(channel, account, spares=3)
    for role in ROLES:
        error = await refused(Receiver(channel, account).join(role))
        assert (error.reason, error.metadata["free_roles"]) == (Reason.ROLE_TAKEN, "")


async def test_g1_a_spare_2_without_a_spare_1_is_fine(channel: grpc.aio.Channel, account: Account) -> None:
    await Scene.set(channel, account, spares=0)
    answer = await Receiver(channel, account).join(SPARE_2)
    assert (answer.member.role, list(answer.group.free_roles)) == (SPARE_2, [SPARE_1, SPARE_3])


async def test_g1_two_that_want_the_same_role_at_once_do_not_both_get_it(
    channel: grpc.aio.Channel, account: Account
) -> None:
    await Scene.set(channel, account, spares=0)
    wishes = [Receiver(channel, account).join(SPARE_1) for _ in range(6)]
    answers = await asyncio.gather(*wishes, return_exceptions=True)
    assert sum(isinstance(answer, role_service_pb2.JoinGroupResponse) for answer in answers) == 1


async def test_g1_the_same_wish_again_changes_nothing_and_another_free_role_is_a_change(
    channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    first, again = await scene.spare.join(SPARE_1), await scene.spare.join(SPARE_1)
    assert first.member.generation == again.member.generation
    moved = await scene.spare.join(SPARE_3)
    assert (moved.member.role, moved.member.generation) == (SPARE_3, again.member.generation + 1)
    listed = await scene.host.members()
    assert [member.role for member in listed.members] == [HOST, SPARE_3]


async def test_g2_a_spare_before_its_host_is_refused(channel: grpc.aio.Channel, account: Account) -> None:
    for role in (SPARE_1, SPARE_2, SPARE_3):
        error = await refused(Receiver(channel, account).join(role))
        assert (error.reason, error.metadata) == (Reason.HOST_MISSING, {"role": group_pb2.Role.Name(role)[5:]})
    assert list((await Receiver(channel, account).members()).group.free_roles) == [HOST]


async def test_g3_all_wrong_credentials_get_the_very_same_answer(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    receiver = Receiver(channel, account)
    wrong_id = ReceiverCredentials("no-such-account", account.key, receiver.receiver_id).metadata()
    wrong_key = ReceiverCredentials(account.arc_id, account.key[:-1] + "~", receiver.receiver_id).metadata()
    answers = set()
    for metadata in (
        wrong_id,
        wrong_key,
        ReceiverCredentials(account.arc_id, cloud.token, receiver.receiver_id).metadata(),
        ReceiverCredentials("not an id", account.key, receiver.receiver_id).metadata(),
        (*receiver.metadata, ("hotspare-arc-key", account.key)),
        receiver.metadata[:2],
        (),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await receiver.roles.ListMembers(role_service_pb2.ListMembersRequest(), metadata=metadata)
        trailing = {key: value for key, value in error.value.trailing_metadata() or () if key != "date"}
        answers.add((error.value.code(), error.value.details(), tuple(sorted(trailing.items()))))
    (answer,) = answers
    assert answer[0] is grpc.StatusCode.UNAUTHENTICATED
    assert account.key not in cloud.log()


async def test_g3_the_streams_answer_wrong_credentials_in_the_same_way(
    channel: grpc.aio.Channel, account: Account
) -> None:
    await Scene.set(channel, account)
    answers = set()
    for wrong in (Account("no-such-account", account.key), Account(account.arc_id, "wrong")):
        receiver = Receiver(channel, wrong)
        for stream in (Line(receiver, beating=False), Pull(receiver, 1)):
            stream.begin()  # and not a word: grpc.aio loses the status of a call that ends under a write
            error = await stream.until_ended()
            assert error is not None
            answers.add((error.reason, error.message, str(error.metadata)))
    assert len(answers) == 1
    assert answers.pop()[0] is Reason.INVALID_CREDENTIALS


async def test_g4_a_spare_of_another_sub_account_is_refused_and_both_are_named(
    channel: grpc.aio.Channel, account: Account
) -> None:
    await Scene.set(channel, account, spares=0)
    error = await refused(Receiver(channel, account, sub_account="second").join(SPARE_1))
    assert error.reason is Reason.SUB_ACCOUNT_MISMATCH
    assert error.metadata == {"sub_account": "second", "host_sub_account": "default"}
    assert "second" in error.message
    assert "default" in error.message


async def test_g4_a_role_is_held_in_one_sub_account_at_a_time(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    scene.spare.sub_account = "second"
    error = await refused(scene.spare.join(HOST))
    assert (error.reason, error.metadata) == (Reason.ROLE_HELD, {"setting": "sub_account", "role": "SPARE_1"})
    await scene.spare.leave()
    assert (await scene.spare.join(HOST)).group.sub_account == "second"


async def test_g4_a_sub_account_that_is_not_there_is_told_so(channel: grpc.aio.Channel, account: Account) -> None:
    error = await refused(Receiver(channel, account, sub_account="third").join(HOST))
    assert (error.reason, error.metadata) == (Reason.SUB_ACCOUNT_UNKNOWN, {"sub_account": "third"})


async def test_g5_dual_connection_is_for_hosts_alone(channel: grpc.aio.Channel, account: Account) -> None:
    host = Receiver(channel, account, dual_connection=True)
    await host.join(HOST)
    error = await refused(Receiver(channel, account, dual_connection=True).join(SPARE_1))
    assert (error.reason, error.metadata) == (Reason.DUAL_CONNECTION_NOT_ALLOWED, {"role": "SPARE_1"})


@pytest.mark.parametrize(
    ("described", "role", "field"),
    [
        ({}, 0, "role"),
        ({}, 77, "role"),
        ({"machine_id": ""}, HOST, "receiver.machine_id"),
        ({"name": "n" * 65}, HOST, "receiver.name"),
        ({"receiver_id": "01234567-89ab-4def-8123-456789abcdef"}, HOST, "receiver.receiver_id"),
    ],
)
async def test_s4_a_wish_with_a_wrong_field_is_refused(
    channel: grpc.aio.Channel, account: Account, described: dict[str, str], role: int, field: str
) -> None:
    receiver = Receiver(channel, account)
    info = receiver.described()
    for name, value in described.items():
        setattr(info, name, value)
    request = role_service_pb2.JoinGroupRequest(role=group_pb2.Role.ValueType(role), receiver=info)
    error = await refused(receiver.roles.JoinGroup(request, metadata=receiver.metadata))
    assert (error.reason, error.metadata["field"]) == (Reason.FIELD_INVALID, field)


async def test_g6_the_list_shows_each_member_and_who_asked(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=2)
    host, first, second = scene.receivers
    first.info = {"address": "198.51.100.7:7002", "name": "west"}
    await host.attend()
    await host.until_working()
    line = await first.attend(beating=False)
    await line.beat(
        sync_state=group_pb2.SYNC_STATE_FAILED,
        sync_revision=7,
        sync_detail="no room",
        progress=group_pb2.ForwardProgress(waiting=3, confirmed=4),
        health=group_pb2.Health(problems=[group_pb2.HealthProblem(subject="out", detail="d")]),
    )
    line.beating = True
    listed = await until_asked(first.members, lambda answer: answer.members[1].sync_revision == 7)
    assert [member.role for member in listed.members] == [HOST, SPARE_1, SPARE_2]
    assert [member.is_self for member in listed.members] == [False, True, False]
    assert [member.status for member in listed.members] == [
        group_pb2.MEMBER_STATUS_WORKING,
        group_pb2.MEMBER_STATUS_STANDBY,
        group_pb2.MEMBER_STATUS_OFFLINE,
    ]
    assert [member.HasField("epoch") for member in listed.members] == [True, False, False]
    assert [member.HasField("last_seen_time") for member in listed.members] == [True, True, False]
    shown = listed.members[1]
    assert shown.receiver == first.described()
    assert (shown.sync_state, shown.sync_detail) == (group_pb2.SYNC_STATE_FAILED, "no room")
    assert (shown.progress.waiting, shown.progress.confirmed, shown.health.problems[0].subject) == (3, 4, "out")
    assert shown.standby_reason == group_pb2.STANDBY_REASON_UNHEALTHY
    group = listed.group
    assert (group.epoch, group.working_receiver_id) == (1, host.receiver_id)
    assert group.HasField("working_since_time")
    assert second.receiver_id == listed.members[2].receiver.receiver_id


async def test_g6_two_members_on_one_machine_are_warned_about(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    twin = Receiver(channel, account, machine_id=scene.host.machine_id)
    await twin.join(SPARE_2)
    listed = await scene.host.members()
    assert [len(member.warnings) for member in listed.members] == [1, 0, 1]
    assert twin.described().name in listed.members[0].warnings[0]


async def test_g6_the_list_comes_in_pages(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=3)
    token, roles = "", []
    for _ in range(2):
        request = role_service_pb2.ListMembersRequest(page_size=2, page_token=token)
        page = await scene.host.roles.ListMembers(request, metadata=scene.host.metadata)
        roles += [member.role for member in page.members]
        token = page.next_page_token
    assert (roles, token) == (list(ROLES), "")


@pytest.mark.parametrize("position", ["", "x", "-", "1.5", "\u0663"])
async def test_s4_a_damaged_page_token_is_refused(channel: grpc.aio.Channel, account: Account, position: str) -> None:
    host = (await Scene.set(channel, account, spares=0)).host
    for text in (f"members\n{position}" if position else "members", "tokens\n1", "\xff"):
        token = base64.urlsafe_b64encode(text.encode()).decode()
        request = role_service_pb2.ListMembersRequest(page_token=token)
        error = await refused(host.roles.ListMembers(request, metadata=host.metadata))
        assert error.reason is Reason.PAGE_TOKEN_INVALID


async def test_s4_what_a_beat_tells_of_absurd_times_harms_no_list(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    line = await scene.host.attend(beating=False)
    for span in (Duration(seconds=315_576_000_000, nanos=999_999_999), Duration(seconds=-315_576_000_000)):
        number = await line.beat(
            health=group_pb2.Health(
                problems=[group_pb2.HealthProblem(since_time=Timestamp(seconds=253_402_300_799, nanos=999_999_999))],
                loop_lag=span,
            ),
            progress=group_pb2.ForwardProgress(oldest_age=span),
            sync_detail="\x00\x1b[2J" * 1000,
        )
        await until(lambda: line.answer_to(number), "the beat was answered")  # noqa: B023 - it is of this turn
        assert len((await scene.spare.members()).members) == 2


async def test_g8_a_member_that_is_gone_is_removed_and_another_takes_its_role(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    await scene.attend()

    async def remove(receiver: Receiver, force: bool = False) -> role_service_pb2.RemoveMemberResponse:
        request = role_service_pb2.RemoveMemberRequest(
            receiver_id=receiver.receiver_id, arc_id=account.arc_id, force=force
        )
        return await receiver.roles.RemoveMember(request, metadata=BearerToken(cloud.token).metadata())

    error = await refused(remove(scene.host))
    assert (error.reason, error.metadata) == (Reason.MEMBER_CONNECTED, {"receiver_id": scene.host.receiver_id})
    line = scene.host.line
    assert line is not None
    answer = await remove(scene.host, force=True)
    assert list(answer.group.free_roles) == [HOST]
    ended = await line.until_ended()
    assert ended is not None
    assert ended.reason is Reason.NOT_A_MEMBER
    await scene.spare.until_working()  # the spares keep their roles and the work
    again = await (await scene.host.attend(generation=1)).until_ended()
    assert again is not None
    assert again.reason is Reason.NOT_A_MEMBER
    fresh = Receiver(channel, account)
    await fresh.join(HOST)
    assert (await remove(scene.host)).group.generation == answer.group.generation + 1  # idempotent


async def test_g8_removing_one_that_never_was_is_an_error(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    stranger = Receiver(channel, account)
    request = role_service_pb2.RemoveMemberRequest(receiver_id=stranger.receiver_id, arc_id=account.arc_id)
    error = await refused(stranger.roles.RemoveMember(request, metadata=BearerToken(cloud.token).metadata()))
    assert (error.reason, error.metadata) == (Reason.MEMBER_NOT_FOUND, {"receiver_id": stranger.receiver_id})


async def test_g8_the_last_member_that_was_removed_is_told_that_it_is_none(
    cloud: CloudProcess, channel: grpc.aio.Channel, account: Account
) -> None:
    host = Receiver(channel, account)
    generation = (await host.join(HOST)).member.generation
    request = role_service_pb2.RemoveMemberRequest(receiver_id=host.receiver_id, arc_id=account.arc_id)
    await host.roles.RemoveMember(request, metadata=BearerToken(cloud.token).metadata())
    error = await (await host.attend(generation=generation)).until_ended()
    assert error is not None
    assert error.reason is Reason.NOT_A_MEMBER


async def test_x2_a_host_that_leaves_ends_the_hot_spare_of_all(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account, spares=2)
    host, first, away = scene.receivers
    generation = (await away.join(SPARE_2)).member.generation
    for receiver in (host, first):
        await receiver.attend()
    await host.until_working()
    answer = await host.leave(released_through=1)
    assert {member.receiver.receiver_id for member in answer.ended_members} == {first.receiver_id, away.receiver_id}
    for receiver in (host, first):
        assert receiver.line is not None
        error = await receiver.line.until_ended()
        assert error is not None
        assert error.reason is Reason.HOT_SPARE_ENDED
    listed = await host.members()
    assert (list(listed.members), list(listed.group.free_roles)) == ([], [HOST])
    error = await (await away.attend(generation=generation)).until_ended()
    assert error is not None
    assert error.reason is Reason.HOT_SPARE_ENDED
    assert not (await host.leave()).ended_members  # once more: nothing
    # Another hot spare in the same group changes nothing for the one that was away.
    await Receiver(channel, account).join(HOST)
    error = await (await away.attend(generation=generation)).until_ended()
    assert error is not None
    assert error.reason is Reason.HOT_SPARE_ENDED


async def test_x1_an_older_goodbye_does_not_end_a_newer_membership(channel: grpc.aio.Channel, account: Account) -> None:
    scene = await Scene.set(channel, account)
    older = (await scene.spare.join(SPARE_1)).member.generation
    await scene.spare.join(SPARE_2)
    await scene.spare.leave(generation=older)
    assert len((await scene.host.members()).members) == 2
    await scene.spare.leave(generation=older + 1)
    assert len((await scene.host.members()).members) == 1


async def test_not_served_is_told_by_name(cloud: CloudProcess, channel: grpc.aio.Channel) -> None:
    records = account_service_pb2_grpc.AccountServiceStub(channel).ListOperatorAuditRecords
    request = account_service_pb2.ListOperatorAuditRecordsRequest()
    error = await refused(records(request, metadata=BearerToken(cloud.token).metadata()))
    assert error.reason is Reason.NOT_SERVED
    assert error.metadata == {"method": "/hotspare.v1.AccountService/ListOperatorAuditRecords"}
